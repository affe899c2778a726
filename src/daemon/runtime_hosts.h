/* runtime_hosts.h - hostNetwork pods for the tracer: no interface and no slot of the data path, so
 * they are known by their cgroup and get a number of their own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct bh_daemon;
struct bh_endpoint;
struct bh_runtime_hosts;
struct bh_trace;

/* Borrows both. */
struct bh_detection;
struct bh_runtime_hosts_options { /* borrowed */
	struct bh_daemon *d;
	struct bh_trace *trace;
	struct bh_detection *detection; /* is told of pods that are gone */
};
int bh_runtime_hosts_open(const struct bh_runtime_hosts_options *opt, struct bh_runtime_hosts **ret,
			  struct bh_err *err);
void bh_runtime_hosts_close(struct bh_runtime_hosts *h);
/* Looks for cgroups of pods that came, and lets go those that went; returns whether one came, which
 * then has no policy yet. Walks the cgroup tree: not for every change. */
bool bh_runtime_hosts_refresh(struct bh_runtime_hosts *h);
/* The pod of a number from BH_MAX_SLOTS, as an endpoint without an interface; NULL: gone. */
const struct bh_endpoint *bh_runtime_hosts_find(const struct bh_runtime_hosts *h, uint32_t slot,
						uint32_t generation);
/* The same for whoever has the number; NULL: nobody. */
const struct bh_endpoint *bh_runtime_hosts_at(const struct bh_runtime_hosts *h, uint32_t slot);
