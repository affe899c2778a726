/* runtime_activity.h - what the tracer saw, as the detectors want it: in host terms, borrowed from
 * the event. Pure but for what it is told about us. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "detect/activity.h"
#include "event/trace.h"

/* Processes that are ours, this daemon's and the one's before it: what is done to them is done to
 * the guard. */
struct bh_guard_pids {
	const pid_t *v;
	size_t n;
};

/* Nobody in particular; every text is "". */
extern const struct bh_act_process bh_act_nobody;

/* Everything but the subject. The kind is BH_ACT_NONE when there is nothing to judge. Of an exec
 * that says more than one thing it is the exec itself. */
void bh_activity_of(const struct bh_trace_event *ev, const struct bh_guard_pids *ours,
		    struct bh_activity *ret);
