/* runtime_guard.h - opt-in (runtime.fanotify): what a RuntimePolicy refuses by the origin of its
 * bytes gets EPERM before it is executed, by fanotify's permission events on each mount of the
 * pod's containers. Beside the kill in the exec program, which stays: for mounts made later, for
 * what lies on a single mounted file, for the time before the marks are set.
 *
 * Who executes waits for our answer. When the daemon dies, however, the kernel closes the groups
 * and lets everything pass; while it is stopped by SIGSTOP or a debugger, they wait with it: that
 * is how fanotify is made. Groups are bounded by the kernel's default queue; beyond it the kernel
 * lets pass. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "event/trace.h"

struct bh_endpoint;
struct bh_guard;
struct bh_loop;
struct bh_trace;

struct bh_guard_options { /* borrowed */
	struct bh_loop *loop;
	struct bh_trace *trace;
	/* something was refused; ev->path is borrowed for the call */
	void (*fn)(const struct bh_endpoint *ep, struct bh_trace_event *ev, void *arg);
	void *arg;
};
int bh_guard_open(const struct bh_guard_options *opt, struct bh_guard **ret, struct bh_err *err);
void bh_guard_close(struct bh_guard *g);
/* Whether the endpoint's pod is to be guarded; marks the containers it has. ep is borrowed until it
 * is said that it is not, or gone. g may be NULL, as below: then nothing happens. */
int bh_guard_set(struct bh_guard *g, const struct bh_endpoint *ep, bool is_wanted,
		 struct bh_err *err);
/* A container of the pod began with this process. */
void bh_guard_container(struct bh_guard *g, const struct bh_endpoint *ep, pid_t pid);
