/* sweep.bpf.h - forgets idle flows, also when no daemon runs; purges a slot.
 *
 * One sweep at a time, and only sweeps delete. The timer's holds up the packets of its CPU, and a
 * walk through the table of flows takes many milliseconds, however few there are. So the timer
 * takes a few from the queue `turns` at a time, and puts those that live on back at its end. */
#pragma once

#include "lib/flow.bpf.h"

#define SWEEP_INTERVAL_NS (5 * BH_S)   /* from the end of a round to the next */
#define SWEEP_PAUSE_NS	  (BH_S / 500) /* within a round */
#define SWEEP_SLICE	  256	       /* turns without a pause */

struct sweep {
	__u64 now;
	__u64 edges_before_ns;
	__u32 slot; /* SWEEP_EVERY: all */
	__u32 all;
	__u32 flows, edges;
	__u32 listed, pad;
};
#define SWEEP_EVERY 0xffffffffu

static __always_inline void usage_drop_flow(__u32 slot_id)
{
	struct bh_usage *u = usage_of(slot_id);

	if (!u)
		return;
	__sync_fetch_and_add(&u->flows, -1);
	__sync_fetch_and_add(&u->flows_ended, 1);
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

/* An entry that nobody listed: made by older programs, or when the ring was full. */
static long sweep_list(void *map, struct bh_flow_key *k, struct bh_flow *f, struct sweep *s)
{
	struct bh_flow_key key = *k;

	if (likely(f->turn))
		return 0;
	f->turn = s->now >> 22 | 1;
	flow_list(&key, f->turn);
	return 0;
}

static long sweep_flow(void *map, struct bh_flow_key *k, struct bh_flow *f, struct sweep *s)
{
	struct bh_flow_key key = *k;
	__u32 seen = f->epoch;

	if (s->slot != SWEEP_EVERY && key.slot != s->slot)
		return 0;
	if (!sweep_is_idle(&key, f, s)) {
		sweep_touch_edge(&key, f);
		sweep_list(&flow, &key, f, s);
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

/* Lists what is not; the caller is no packet and can wait. */
static __always_inline void sweep_adopt(struct bh_sweeper *w, struct sweep *s)
{
	if (__sync_val_compare_and_swap(&w->busy, 0, 1) != 0)
		return;
	s->now = bpf_ktime_get_ns();
	bpf_for_each_map_elem(&flow, sweep_list, s, 0);
	(void)__sync_lock_test_and_set(&w->busy, 0);
}

static __always_inline void talk_forget(__u32 slot)
{
	struct bh_talk *t = bpf_map_lookup_elem(&talk, &slot);

	if (t)
		__builtin_memset(t, 0, sizeof(*t));
}

/* 0, or 1 when another sweep is running. */
static __always_inline int sweep_run(struct bh_sweeper *w, struct sweep *s)
{
	if (__sync_val_compare_and_swap(&w->busy, 0, 1) != 0)
		return 1;
	s->now = bpf_ktime_get_ns(); /* the coarse clock is not for this program type */
	clock_forget();
	bpf_for_each_map_elem(&flow, sweep_flow, s, 0);
	if (s->all)
		talk_forget(s->slot);
	if (s->edges_before_ns || s->all)
		bpf_for_each_map_elem(&edge, sweep_edge, s, 0);
	(void)__sync_lock_test_and_set(&w->busy, 0);
	return 0;
}

/* ---- the timer's rounds ---- */

/* Takes the flow whose turn it is out of the ring. 0, or 1 when there is none. */
static __always_inline int turn_take(struct bh_turn *ret)
{
	struct bh_sweeper *w = sweeper_get();
	struct bh_turn *t;
	__u32 i;

	if (!w || w->tail == *(volatile __u32 *)&w->head)
		return 1;
	i = w->tail & (TURNS - 1);
	t = bpf_map_lookup_elem(&turns, &i);
	if (!t || *(volatile __u32 *)&t->seq != w->tail + 1) /* just being written */
		return 1;
	*ret = *t;
	*(volatile __u32 *)&w->tail = w->tail + 1;
	return 0;
}

enum turn_result { TURN_NONE, TURN_STALE, TURN_TAKEN };

/* The flow whose turn it is. */
__noinline int sweep_turn(struct sweep *s)
{
	struct bh_turn t = {};
	struct bh_flow *f;
	__u32 before;

	if (!s || turn_take(&t))
		return TURN_NONE;
	f = bpf_map_lookup_elem(&flow, &t.key);
	if (!f || f->turn != t.turn)
		return TURN_STALE;
	before = s->flows;
	sweep_flow(&flow, &t.key, f, s);
	if (s->flows == before)
		flow_list(&t.key, t.turn);
	return TURN_TAKEN;
}

static long sweep_count(void *map, __u32 *slot, struct bh_usage *u, struct sweep *s)
{
	s->listed += u->flows;
	return 0;
}

static __always_inline void sweep_round_begin(struct bh_sweeper *w, struct sweep *s)
{
	clock_forget();
	bpf_for_each_map_elem(&usage, sweep_count, s, 0);
	w->left = s->listed;
}

/* 1 when the round goes on. */
static __always_inline int sweep_slice(struct bh_sweeper *w, struct sweep *s)
{
	__u32 i;

	s->now = bpf_ktime_get_ns();
	if (!w->left)
		sweep_round_begin(w, s);
	for (i = 0; i < SWEEP_SLICE; i++) {
		int r = sweep_turn(s);

		if (r == TURN_STALE)
			continue;
		if (r == TURN_NONE || w->left <= 1) {
			w->left = 0;
			w->rounds++;
			return 0;
		}
		w->left--;
	}
	return 1;
}

static int sweep_timer(void *map, int *key, struct bh_sweeper *w)
{
	struct sweep s = {.slot = SWEEP_EVERY};
	int goes_on = 1;

	if (__sync_val_compare_and_swap(&w->busy, 0, 1) == 0) {
		goes_on = sweep_slice(w, &s);
		(void)__sync_lock_test_and_set(&w->busy, 0);
	}
	bpf_timer_start(&w->timer, goes_on ? SWEEP_PAUSE_NS : SWEEP_INTERVAL_NS, 0);
	return 0;
}
