/* trace_seq.bpf.h - which calls a pod's tasks make, and in which order. While learning every gram
 * is counted; later only grams that the workload's filter does not have matter, and many of them
 * close together send the task's last calls to the daemon, whose model judges them.
 *
 * A task remembers the grams that it made lately. One of them says nothing new, neither of calls
 * nor of pairs nor of orders, so that only its number is noted; the maps of the slot are looked
 * into for the others, and for all when the daemon has changed them. */
#pragma once

#include "lib/trace_emit.bpf.h"

/* No window is sent before `pause` has gone by since the pod's last one. */
static __always_inline void seq_send(struct bh_trace_seq *q, const struct bh_trace_task *t,
				     struct bh_seq_task *st, __u64 pause)
{
	__u64 now = bpf_ktime_get_ns(), next = q->next_ns;
	struct bh_trace_window *w = NULL;

	if (now >= next && __sync_val_compare_and_swap(&q->next_ns, next, now + pause) == next)
		w = bpf_ringbuf_reserve(&trace_windows, sizeof(*w), 0);
	if (!w) {
		__sync_fetch_and_add(&q->unsent, 1);
		return;
	}
	w->version = BH_TRACE_VERSION;
	w->n = st->n;
	w->slot = t->slot;
	w->generation = t->generation;
	w->pid = bpf_get_current_pid_tgid() >> 32;
	w->uid = t->uid;
	w->n_unknown = __builtin_popcountll(st->unknown);
	w->pad = 0;
	w->ts_ns = now;
	w->exec_id = t->exec_id;
	bpf_get_current_comm(w->comm, sizeof(w->comm));
	bpf_probe_read_kernel(w->path, sizeof(w->path), t->path);
	bpf_probe_read_kernel(w->call, sizeof(w->call), st->call);
	bpf_ringbuf_submit(w, 0);
	__sync_fetch_and_add(&q->sent, 1);
}

/* A gram was made n times more; 0: nobody counts it. */
static __always_inline int seq_count(struct bh_trace_seq *q, const struct bh_gram_key *key, __u64 n)
{
	__u64 *count = bpf_map_lookup_elem(&trace_gram, key);

	if (!count && q->held < BH_SEQ_QUOTA &&
	    bpf_map_update_elem(&trace_gram, key, &n, BPF_NOEXIST) == 0) {
		__sync_fetch_and_add(&q->held, 1);
		return 1;
	}
	if (!count) /* another task was first */
		count = bpf_map_lookup_elem(&trace_gram, key);
	__sync_fetch_and_add(count ? count : &q->refused, n);
	return count != NULL;
}

static __always_inline struct bh_trace_seq *seq_of(const struct bh_trace_task *t)
{
	__u32 slot = t->slot;
	struct bh_trace_seq *q = bpf_map_lookup_elem(&trace_seq, &slot);

	return q && q->generation == t->generation ? q : NULL;
}

/* What the task counted by itself. */
__noinline int known_add(struct bh_seq_known *k, const struct bh_trace_task *t)
{
	struct bh_gram_key key = {};
	struct bh_trace_seq *q;

	if (!k || !t || !k->more)
		return 0;
	key.gram = k->gram;
	key.slot = t->slot;
	key.generation = t->generation;
	q = seq_of(t);
	if (q)
		seq_count(q, &key, k->more);
	k->more = 0;
	return 0;
}

static __always_inline void learn_bit(__u64 *words, __u32 bit, __u32 n_words)
{
	__u64 *word = &words[(bit / 64) & (n_words - 1)], mask = 1ull << (bit & 63);

	if (!(*word & mask))
		__sync_fetch_and_or(word, mask);
}

/* before: number plus 1 of the task's call before; 0: none. */
static __always_inline void calls_learn(const struct bh_trace_task *t, __u32 nr, __u32 before)
{
	__u32 slot = t->slot;
	struct bh_trace_learn *l = bpf_map_lookup_elem(&trace_learn, &slot);

	if (!l || l->generation != t->generation)
		return;
	__sync_fetch_and_add(&l->total, 1);
	learn_bit(l->calls, nr, BH_TRACE_CALLS / 64);
	if (!before)
		return;
	learn_bit(l->bloom, bh_trace_bloom_bit(before - 1, nr, 0), BH_TRACE_BLOOM_BITS / 64);
	learn_bit(l->bloom, bh_trace_bloom_bit(before - 1, nr, 1), BH_TRACE_BLOOM_BITS / 64);
}

/* 1: the filter has the gram. */
static __always_inline int seq_judge(struct bh_trace_seq *q, const struct bh_trace_task *t,
				     struct bh_seq_task *st)
{
	__u64 hash = bh_gram_hash(st->gram), bits = bh_gram_bits(hash);

	if (likely((q->word[bh_gram_word(hash)] & bits) == bits))
		return 1;
	st->unknown |= 1;
	__sync_fetch_and_add(&q->unknown, 1);
	if (__builtin_popcountll(st->unknown) < q->limit)
		return 0;
	seq_send(q, t, st, BH_SEQ_WINDOW_NS);
	st->unknown = 0;
	return 0;
}

/* A gram that is not among the task's known ones; it takes the place of `k` there. */
__noinline int seq_news(struct bh_seq_task *st, struct bh_seq_known *k,
			const struct bh_trace_task *t)
{
	struct bh_gram_key key = {};
	struct bh_trace_seq *q;
	int is_known = 1;
	__u32 nr;

	if (!st || !k || !t)
		return 0;
	known_add(k, t);
	nr = (st->gram & ((1 << BH_GRAM_BITS) - 1)) - 1;
	if ((st->flags & BH_SEQ_LEARN) && nr < BH_GRAM_CALLS - 1)
		calls_learn(t, nr, st->gram >> BH_GRAM_BITS & ((1 << BH_GRAM_BITS) - 1));
	q = st->flags & (BH_SEQ_COUNT | BH_SEQ_JUDGE) ? seq_of(t) : NULL;
	key.gram = st->gram;
	key.slot = t->slot;
	key.generation = t->generation;
	if (q && (st->flags & BH_SEQ_COUNT))
		is_known = seq_count(q, &key, 1);
	if (q && (st->flags & BH_SEQ_JUDGE))
		is_known = seq_judge(q, t, st) && is_known;
	k->gram = is_known ? st->gram : 0;
	k->room = 1;
	return 0;
}

/* All that the task counted by itself, into the maps. */
__noinline int seq_flush(struct bh_seq_task *st, const struct bh_trace_task *t)
{
	int i;

	if (!st || !t)
		return 0;
	for (i = 0; i < BH_SEQ_KNOWN; i++) {
		if (st->known[i].more)
			known_add(&st->known[i], t);
		st->known[i].gram = 0;
	}
	return 0;
}

/* Something about the slot is other than when the task asked. */
__noinline int seq_ask(struct bh_seq_task *st, const struct bh_trace_task *t)
{
	const struct bh_trace_slot *b;
	const struct bh_trace_seq *q;
	__u32 flags = 0;

	if (!st || !t)
		return 0;
	b = books_of(t->slot);
	if (!b)
		return 0;
	st->round = b->round;
	if (b->learn == t->generation)
		flags = BH_SEQ_LEARN;
	q = b->seq == t->generation ? seq_of(t) : NULL;
	if (q)
		flags |= q->flags & (BH_SEQ_COUNT | BH_SEQ_JUDGE);
	if (st->n) /* short-lived tasks are many */
		seq_flush(st, t);
	st->generation = t->generation;
	st->flags = flags;
	return 0;
}

/* The window is a whole one. */
__noinline int seq_window(struct bh_seq_task *st, const struct bh_trace_task *t)
{
	struct bh_trace_seq *q;

	if (!st || !t)
		return 0;
	st->sent = st->n;
	q = seq_of(t);
	if (q)
		seq_send(q, t, st, BH_SEQ_LEARN_NS);
	return 0;
}

/* A call has ended. Most calls make a gram that the task made before, and are done with that. Few
 * pods are looked at: their slots say so, which spares the others all the rest. */
static __always_inline void seq_step(struct task_struct *p, const struct bh_trace_task *t, __u32 nr)
{
	const struct bh_trace_slot *b = books_of(t->slot);
	struct bh_seq_known *k;
	struct bh_seq_task *st;

	if (!b || (b->seq != t->generation && b->learn != t->generation))
		return;
	st = bpf_task_storage_get(&trace_seq_task, p, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!st)
		return;
	if (unlikely(st->round != b->round || st->generation != t->generation))
		seq_ask(st, t);
	st->gram = bh_gram_push(st->gram, nr);
	st->call[st->n++ & (BH_SEQ_WINDOW - 1)] = nr;
	st->unknown <<= 1;
	k = &st->known[bh_gram_hash(st->gram) >> 32 & (BH_SEQ_KNOWN - 1)];
	if (unlikely(k->gram != st->gram)) {
		seq_news(st, k, t);
	} else if (++k->more >= k->room) {
		known_add(k, t);
		k->room = BH_SEQ_KNOWN_MORE;
	}
	if ((st->flags & BH_SEQ_COUNT) && st->n - st->sent >= BH_SEQ_WINDOW)
		seq_window(st, t);
}

/* A task ends: what is left of its calls is a window too. */
static __always_inline void seq_end(struct task_struct *p, const struct bh_trace_task *t)
{
	struct bh_seq_task *st = bpf_task_storage_get(&trace_seq_task, p, NULL, 0);

	if (!st || st->generation != t->generation || !(st->flags & BH_SEQ_COUNT))
		return;
	seq_flush(st, t);
	if (st->n < BH_SEQ_WINDOW)
		seq_window(st, t);
}
