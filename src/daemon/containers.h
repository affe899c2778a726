/* containers.h - in which container of its pod a process is. The cgroup that a runtime makes for a
 * container bears the container's id, and the runtime says (image_watch.h) which name and image
 * that id has. Executions come with their cgroup; what an executed image does later is found by its
 * exec id. Where images are not looked at, or the runtime did not tell of the container yet,
 * nothing is known, and events name the pod alone. */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct bh_containers;
struct bh_daemon;
struct bh_endpoint;
struct bh_ocsf_pod;
struct bh_trace_event;
struct bh_whose;

/* d is borrowed. */
int bh_containers_open(const struct bh_daemon *d, struct bh_containers **ret, struct bh_err *err);
void bh_containers_close(struct bh_containers *c);
/* Puts the container of who did it into pod, with texts in whose and c: use them before the next
 * call. Executions have to pass here first. */
void bh_containers_name(struct bh_containers *c, const struct bh_endpoint *ep,
			const struct bh_trace_event *ev, struct bh_whose *whose,
			struct bh_ocsf_pod *pod);
