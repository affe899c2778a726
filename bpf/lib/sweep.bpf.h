/* sweep.bpf.h - forgets idle flows, also when no daemon runs; purges a slot.
 *
 * One sweep at a time, and only sweeps delete. */
#pragma once

#include "lib/flow.bpf.h"

#define SWEEP_INTERVAL_NS (5 * BH_S)

struct sweep {
	__u64 now;
	__u64 edges_before_ns;
	__u32 slot; /* SWEEP_EVERY: all */
	__u32 all;
	__u32 flows, edges;
};
#define SWEEP_EVERY 0xffffffffu

static __always_inline void usage_drop_flow(__u32 slot_id)
{
	struct bh_usage *u = usage_of(slot_id);

	if (u)
		__sync_fetch_and_add(&u->flows, -1);
}

/* A live flow keeps its edge from being forgotten. */
static __always_inline void sweep_touch_edge(const struct bh_flow_key *k, const struct bh_flow *f)
{
	struct bh_edge_key key = {};
	struct bh_edge *e;

	__builtin_memcpy(key.remote, k->remote, sizeof(key.remote));
	key.slot = k->slot;
	key.dir = f->dir;
	key.port = f->dir == BH_EGRESS ? k->rport : k->lport;
	key.proto = k->proto;
	key.verdict = BH_ALLOWED;
	key.reason = f->reason;
	e = bpf_map_lookup_elem(&edge, &key);
	if (e && e->generation == f->generation && (__s64)(f->last_ns - e->last_ns) > 0)
		e->last_ns = f->last_ns;
}

static __always_inline int sweep_is_idle(const struct bh_flow_key *key, const struct bh_flow *f,
					 const struct sweep *s)
{
	__u64 limit = verdict_idle_limit(key->proto, f->flags) + FLOW_SLACK_NS;

	if ((f->flags & BH_FLOW_CUT) && limit > 10 * BH_S)
		limit = 10 * BH_S;
	return s->all || (__s64)(s->now - f->last_ns) > (__s64)limit;
}

static __always_inline void sweep_delete(const struct bh_flow_key *key, struct bh_flow *f,
					 __u32 seen, struct sweep *s)
{
	long r;

	flow_fold(key, f);
	r = bpf_map_delete_elem(&flow, key);
	if (r == 0) {
		usage_drop_flow(key->slot);
		s->flows++;
	}
	if (r == -16) /* EBUSY: its bucket is locked; the next sweep comes back to it */
		(void)__sync_lock_test_and_set(&f->epoch, seen);
}

static long sweep_flow(void *map, struct bh_flow_key *k, struct bh_flow *f, struct sweep *s)
{
	struct bh_flow_key key = *k;
	__u32 seen = f->epoch;

	if (s->slot != SWEEP_EVERY && key.slot != s->slot)
		return 0;
	if (!sweep_is_idle(&key, f, s)) {
		sweep_touch_edge(&key, f);
		return 0;
	}
	/* an entry that a packet is just settling is not idle; the next sweep looks again */
	if (!flow_take(f, seen, FLOW_DEAD))
		return 0;
	if (!sweep_is_idle(&key, f, s)) { /* a packet revived it between look and take */
		(void)__sync_lock_test_and_set(&f->epoch, seen);
		return 0;
	}
	sweep_delete(&key, f, seen, s);
	return 0;
}

static long sweep_edge(void *map, struct bh_edge_key *k, struct bh_edge *e, struct sweep *s)
{
	struct bh_edge_key key = *k;
	struct bh_usage *u;
	int is_old;

	if (s->slot != SWEEP_EVERY && key.slot != s->slot)
		return 0;
	is_old = s->edges_before_ns && !(e->flags & BH_EDGE_UNSENT) &&
		 (__s64)(e->last_ns - s->edges_before_ns) < 0;
	if (!is_old && !(s->all && s->slot != SWEEP_EVERY))
		return 0;
	if (bpf_map_delete_elem(&edge, &key))
		return 0;
	s->edges++;
	u = usage_of(key.slot);
	if (u)
		__sync_fetch_and_add(&u->edges, -1);
	return 0;
}

/* An error in the packets' clock, however it came about, does not last. */
static __always_inline void clock_forget(void)
{
	struct bh_config *cfg = config_get();

	if (cfg)
		*(volatile __u64 *)&cfg->clock_ns = 0;
}

/* 0, or 1 when another sweep is running. */
static __always_inline int sweep_run(struct bh_sweeper *w, struct sweep *s)
{
	if (__sync_val_compare_and_swap(&w->busy, 0, 1) != 0)
		return 1;
	s->now = bpf_ktime_get_ns(); /* the coarse clock is not for this program type */
	clock_forget();
	bpf_for_each_map_elem(&flow, sweep_flow, s, 0);
	if (s->edges_before_ns || s->all)
		bpf_for_each_map_elem(&edge, sweep_edge, s, 0);
	w->sweeps++;
	(void)__sync_lock_test_and_set(&w->busy, 0);
	return 0;
}

static int sweep_timer(void *map, int *key, struct bh_sweeper *w)
{
	struct sweep s = {.slot = SWEEP_EVERY};

	sweep_run(w, &s);
	bpf_timer_start(&w->timer, SWEEP_INTERVAL_NS, 0);
	return 0;
}

static __always_inline struct bh_sweeper *sweeper_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&sweeper, &zero);
}
