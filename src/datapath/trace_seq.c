/* Sequences of system calls: filters into the kernel, counted grams and windows out of it. */
#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "base/vec.h"
#include "datapath/kring.h"
#include "datapath/trace_private.h"

int bh_trace_seq_set(struct bh_trace *t, uint32_t slot, const struct bh_trace_seq *want,
		     struct bh_err *err)
{
	int r = bpf_map_update_elem(t->map[BH_T_SEQ].fd, &slot, want, BPF_ANY);

	if (r)
		return bh_fail_sys(err, -r, "map trace_seq");
	bh_trace_want(t, slot, BH_TRACE_WANT_SEQ, true);
	__atomic_store_n(&t->slot[slot].seq, want->generation, __ATOMIC_RELEASE);
	bh_trace_next_round(t, slot);
	return 0;
}

int bh_trace_seq_get(const struct bh_trace *t, uint32_t slot, struct bh_trace_seq *ret)
{
	return bpf_map_lookup_elem(t->map[BH_T_SEQ].fd, &slot, ret);
}

void bh_trace_seq_unset(struct bh_trace *t, uint32_t slot)
{
	__atomic_store_n(&t->slot[slot].seq, 0, __ATOMIC_RELEASE);
	bh_trace_next_round(t, slot);
	bh_trace_want(t, slot, BH_TRACE_WANT_SEQ, false);
	bpf_map_delete_elem(t->map[BH_T_SEQ].fd, &slot);
}

/* ---- grams ---- */

BH_VEC_TYPE(keys, struct bh_gram_key);

static int collect(const void *key, const void *value, void *arg)
{
	const struct bh_gram_key *k = key;
	struct keys *keys = arg;

	(void)value;
	return bh_vec_push(keys, *k);
}

static int key_cmp(const void *pa, const void *pb)
{
	const struct bh_gram_key *a = pa, *b = pb;

	if (a->slot != b->slot)
		return a->slot < b->slot ? -1 : 1;
	if (a->generation != b->generation)
		return a->generation < b->generation ? -1 : 1;
	return (a->gram > b->gram) - (a->gram < b->gram);
}

/* Takes what was fetched off the slot's quota. */
static void fetched(const struct bh_trace *t, const struct bh_gram_key *k, uint32_t n)
{
	struct bh_seq_fetched f = {k->slot, k->generation, n, 0};
	struct bpf_test_run_opts opts = {
		.sz = sizeof(opts), .ctx_in = &f, .ctx_size_in = sizeof(f)};
	int prog = bh_trace_prog(&t->watch, "bh_seq_fetched");

	if (prog >= 0)
		bpf_prog_test_run_opts(prog, &opts);
}

/* All of one tenant, from keys[i] on; returns where the next one begins. */
static size_t fetch_one(struct bh_trace *t, const struct keys *keys, size_t i, bh_trace_gram_fn *fn,
			void *arg)
{
	const struct bh_gram_key *first = &keys->v[i];
	uint32_t n = 0;

	for (; i < keys->n && keys->v[i].slot == first->slot &&
	       keys->v[i].generation == first->generation;
	     i++) {
		uint64_t count;

		if (bpf_map_lookup_and_delete_elem(t->map[BH_T_GRAM].fd, &keys->v[i], &count))
			continue;
		n++;
		fn(&keys->v[i], count, arg);
	}
	fetched(t, first, n);
	return i;
}

int bh_trace_grams(struct bh_trace *t, bh_trace_gram_fn *fn, void *arg, struct bh_err *err)
{
	struct keys keys = {0};
	int r = bh_kmap_each(&t->map[BH_T_GRAM], collect, &keys, err);

	if (keys.n)
		qsort(keys.v, keys.n, sizeof(*keys.v), key_cmp);
	for (size_t i = 0; i < keys.n;)
		i = fetch_one(t, &keys, i, fn, arg);
	bh_vec_done(&keys);
	return r;
}

/* ---- windows ---- */

static int on_window(void *ctx, void *data, size_t size)
{
	struct bh_trace *t = ctx;

	t->windower.n++;
	t->windower.fn(data, size, t->windower.arg);
	return t->windower.n >= t->windower.max ? -EAGAIN : 0;
}

int bh_trace_windows_open(struct bh_trace *t, struct bh_err *err)
{
	const struct bh_kmap *m = &t->map[BH_T_WINDOWS];
	int r = bh_kring_open(m->fd, m->max, on_window, t, &t->windows, err);

	return r ? bh_note(err, r, "map trace_windows") : 0;
}

int bh_trace_windows(struct bh_trace *t, int max,
		     void (*fn)(const void *record, size_t len, void *arg), void *arg)
{
	int r;

	t->windower.fn = fn;
	t->windower.arg = arg;
	t->windower.n = 0;
	t->windower.max = max;
	r = bh_kring_consume(t->windows);
	return r < 0 && r != -EAGAIN ? r : t->windower.n;
}
