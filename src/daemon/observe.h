/* observe.h - what pods did: edges from the kernel, announced once, shown on request.
 *
 * The kernel's edge map is the fact; the ring only announces. What the ring lost is found by the
 * sweep through the edges' unsent mark. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "ctl/server.h"
#include "datapath/datapath.h"

struct bh_daemon;
struct bh_endpoint;
struct bh_observer;

int bh_observer_open(struct bh_daemon *d, struct bh_observer **ret, struct bh_err *err);
void bh_observer_close(struct bh_observer *o);

/* Empties the ring: announces its edges. */
void bh_observer_drain(struct bh_observer *o);
/* Once in a few seconds: announces what the ring lost, and moves edges idle for an hour from the
 * kernel to the database. */
void bh_observer_sweep(struct bh_observer *o);

/* Tells the tracer's baselines of every allowed edge that was used since. */
void bh_observer_repeat(struct bh_observer *o, uint64_t since_ns);

struct bh_flow_filter {
	const char *ns, *name; /* pod; NULL: all */
	int verdict;	       /* enum bh_verdict, -1: both */
};
/* One element of the flows verb for each edge; the caller owns *ret (an array). */
int bh_observer_flows(struct bh_observer *o, const struct bh_flow_filter *f, json_t **ret,
		      struct bh_err *err);
/* The flows verb with follow: takes over the request. */
void bh_observer_follow(struct bh_observer *o, struct bh_request *rq,
			const struct bh_flow_filter *f);
/* Moves a leaving endpoint's edges to the database. Call before its slot is purged. */
void bh_observer_keep(struct bh_observer *o, const struct bh_endpoint *ep);

/* Wall clock of a bpf_ktime_get_ns value. */
int64_t bh_wall_ms(uint64_t ktime_ns);
