/* What the tracing programs left: records, books, sets. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <bpf/bpf.h>

#include "base/vec.h"
#include "datapath/kring.h"
#include "datapath/trace_private.h"

/* ---- rings ---- */

#define HELD_MAX 32 /* alarms of one turn */
#define ORDER_MAX                                                                                  \
	4096 /* records that may come before an alarm in one turn, whatever the caller wants */

struct bh_trace_held {
	struct bh_trace_held *next;
	size_t len;
	char record[];
};

static uint64_t time_of(const void *record, size_t len)
{
	struct bh_trace_head head = {0};

	memcpy(&head, record, len < sizeof(head) ? 0 : sizeof(head));
	return head.ts_ns;
}

/* The alarms of until ts_ns. */
static void give_held(struct bh_trace_reader *r, uint64_t ts_ns)
{
	struct bh_trace_held *h;

	while ((h = r->held) && time_of(h->record, h->len) <= ts_ns) {
		r->held = h->next;
		r->fn(h->record, h->len, r->arg);
		free(h);
	}
}

/* An alarm waits for what came before it and lies in the other ring: what it descends from is
 * told there. */
static int on_alarm(void *ctx, void *data, size_t size)
{
	struct bh_trace_reader *r = &((struct bh_trace *)ctx)->reader;
	struct bh_trace_held *h = malloc(sizeof(*h) + size), **at = &r->held;

	r->n++;
	if (!h) { /* too early is better than not at all */
		r->fn(data, size, r->arg);
		return 0;
	}
	h->len = size;
	memcpy(h->record, data, size);
	/* records of two processors may lie in the ring the other way round */
	while (*at && time_of((*at)->record, (*at)->len) <= time_of(data, size))
		at = &(*at)->next;
	h->next = *at;
	*at = h;
	return ++r->n_held >= HELD_MAX || r->n >= r->max ? -EAGAIN : 0;
}

static int on_record(void *ctx, void *data, size_t size)
{
	struct bh_trace_reader *r = &((struct bh_trace *)ctx)->reader;

	give_held(r, time_of(data, size));
	r->n++;
	r->fn(data, size, r->arg);
	/* a flood must not keep the caller from everything else */
	return r->n >= (r->held ? ORDER_MAX : r->max) ? -EAGAIN : 0;
}

static int open_one(struct bh_trace *t, enum bh_trace_map which, bh_kring_fn *fn,
		    struct bh_kring **ret, struct bh_err *err)
{
	const struct bh_kmap *m = &t->map[which];
	struct epoll_event ev = {.events = EPOLLIN};
	int r = bh_kring_open(m->fd, m->max, fn, t, ret, err);

	if (!r && epoll_ctl(t->poll_fd, EPOLL_CTL_ADD, m->fd, &ev))
		r = bh_fail_sys(err, errno, "wait for records");
	return r ? bh_note(err, r, "map %s", m->name) : 0;
}

int bh_trace_ring_open(struct bh_trace *t, struct bh_err *err)
{
	int r;

	t->sent_fd = bh_trace_prog(&t->obj, "bh_trace_sent");
	t->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (t->poll_fd < 0)
		return bh_fail_sys(err, errno, "wait for records");
	r = open_one(t, BH_T_ALARMS, on_alarm, &t->alarms, err);
	return r ? r : open_one(t, BH_T_EVENTS, on_record, &t->events, err);
}

void bh_trace_ring_close(struct bh_trace *t)
{
	bh_closep(&t->poll_fd);
	bh_kring_close(t->alarms);
	bh_kring_close(t->events);
}

int bh_trace_fd(const struct bh_trace *t)
{
	return t->poll_fd;
}

int bh_trace_consume(struct bh_trace *t, int max,
		     void (*fn)(const void *record, size_t len, void *arg), void *arg)
{
	struct bh_trace_reader *rd = &t->reader;
	int r;

	*rd = (struct bh_trace_reader){.fn = fn, .arg = arg, .max = max};
	do {
		rd->n_held = 0;
		r = bh_kring_consume(t->alarms);
		if (rd->held || rd->n < max)
			r = bh_kring_consume(t->events);
		give_held(rd, UINT64_MAX);
	} while (rd->n_held >= HELD_MAX && rd->n < max);
	if (r < 0 && r != -EAGAIN)
		return r;
	return rd->n < max ? rd->n : max;
}

/* ---- books ---- */

struct bh_trace_slot bh_trace_books(const struct bh_trace *t, uint32_t slot)
{
	return slot < BH_TRACE_SLOTS ? t->slot[slot] : (struct bh_trace_slot){0};
}

struct bh_trace_slot bh_trace_total(const struct bh_trace *t)
{
	struct bh_trace_slot sum = {0};

	for (uint32_t i = 0; i < BH_TRACE_SLOTS; i++) {
		const struct bh_trace_slot *s = &t->slot[i];

		sum.seen += s->seen;
		sum.delivered += s->delivered;
		sum.deduplicated += s->deduplicated;
		sum.deferred += s->deferred;
		sum.lost += s->lost;
		sum.swept += s->swept;
		sum.execs += s->execs;
		sum.forks += s->forks;
		sum.exits += s->exits;
		sum.overflow += s->overflow;
		sum.killed += s->killed;
	}
	return sum;
}

/* ---- sets ---- */

struct fact_walk {
	uint32_t slot;
	bh_trace_fact_fn *fn;
	void *arg;
};

static int walk_fact(const void *key, const void *value, void *arg)
{
	const struct bh_fact_key *k = key;
	const struct fact_walk *w = arg;

	return w->slot && k->slot != w->slot ? 0 : w->fn(k, value, w->arg);
}

int bh_trace_facts(struct bh_trace *t, uint32_t slot, bh_trace_fact_fn *fn, void *arg,
		   struct bh_err *err)
{
	struct fact_walk w = {slot, fn, arg};

	return bh_kmap_each(&t->map[BH_T_FACT], walk_fact, &w, err);
}

bool bh_trace_has_unsent(const struct bh_trace *t)
{
	for (uint32_t i = 0; i < BH_TRACE_SLOTS; i++)
		if (t->slot[i].deferred != t->slot[i].swept)
			return true;
	return false;
}

struct sweep {
	struct bh_trace *t;
	bh_trace_fact_fn *fn;
	void *arg;
};

/* The kernel takes the mark away, so that its counters go on meanwhile. */
static int sweep_fact(const void *key, const void *value, void *arg)
{
	const struct bh_fact *f = value;
	const struct sweep *s = arg;
	struct bh_fact_key k;
	struct bpf_test_run_opts opts = {
		.sz = sizeof(opts), .ctx_in = &k, .ctx_size_in = sizeof(k)};

	if (!(f->flags & BH_TRACE_F_UNSENT))
		return 0;
	memcpy(&k, key, sizeof(k));
	if (bpf_prog_test_run_opts(s->t->sent_fd, &opts) || opts.retval != 1)
		return 0;
	return s->fn(&k, f, s->arg);
}

int bh_trace_sweep(struct bh_trace *t, bh_trace_fact_fn *fn, void *arg, struct bh_err *err)
{
	struct sweep s = {t, fn, arg};

	if (t->sent_fd < 0 || !bh_trace_has_unsent(t))
		return 0;
	return bh_kmap_each(&t->map[BH_T_FACT], sweep_fact, &s, err);
}

struct stale {
	const struct bh_trace *t;
	BH_VEC(struct bh_fact_key) keys;
};

static bool is_stale(const struct bh_trace *t, uint32_t slot, uint32_t generation)
{
	if (slot >= BH_TRACE_SLOTS)
		return true;
	if (slot >= BH_MAX_SLOTS)
		return t->slot[slot].generation != generation;
	return !(t->dp->slot[slot].flags & BH_SLOT_LIVE) ||
	       t->dp->slot[slot].generation != generation;
}

static int collect_stale(const void *key, const void *value, void *arg)
{
	const struct bh_fact_key *k = key;
	const struct bh_fact *f = value;
	struct stale *s = arg;

	return is_stale(s->t, k->slot, f->generation) ? bh_vec_push(&s->keys, *k) : 0;
}

int bh_trace_forget(struct bh_trace *t, uint32_t *ret_n, struct bh_err *err)
{
	struct stale s = {.t = t};
	int r = bh_kmap_each(&t->map[BH_T_FACT], collect_stale, &s, err);

	bh_vec_each (it, &s.keys)
		bpf_map_delete_elem(t->map[BH_T_FACT].fd, it);
	*ret_n = (uint32_t)s.keys.n;
	bh_vec_done(&s.keys);
	return r;
}
