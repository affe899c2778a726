/* runtime_answer.h - what findings call for is done here, and not before the event that raised them
 * is dealt with: isolating a pod looks at the very tables that are being read. */
#pragma once

#include "base/err.h"
#include "daemon/runtime_detect.h"

struct bh_daemon;
struct bh_runtime_answers;
struct bh_trace_event;

int bh_runtime_answers_open(struct bh_daemon *d, struct bh_runtime_answers **ret,
			    struct bh_err *err);
void bh_runtime_answers_close(struct bh_runtime_answers *x);
/* Takes note of one; arg: the struct bh_runtime_answers. */
void bh_runtime_answers_note(const struct bh_endpoint *ep, const struct bh_detection_wish *w,
			     void *arg);
/* Replicas of the endpoint's workload, on this node and as the manifests tell; what waits here to
 * be cut off counts as cut off. arg: the struct bh_runtime_answers. */
void bh_runtime_answers_count(const struct bh_endpoint *ep, struct bh_detection_replicas *ret,
			      void *arg);
/* What was done, for whoever is to be killed and is gone: what of it are ends is remembered. */
void bh_runtime_answers_saw(struct bh_runtime_answers *x, const struct bh_trace_event *ev);
/* Does what was noted; call it again after more was read. */
void bh_runtime_answers_give(struct bh_runtime_answers *x);
