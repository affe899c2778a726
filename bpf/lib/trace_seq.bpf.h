/* trace_seq.bpf.h - in which order a pod's tasks make their calls. While learning every gram is
 * counted; later only grams that the workload's filter does not have matter, and many of them close
 * together send the task's last calls to the daemon, whose model judges them. */
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

static __always_inline void seq_count(struct bh_trace_seq *q, const struct bh_trace_task *t,
				      const struct bh_seq_task *st)
{
	struct bh_gram_key key = {.gram = st->gram, .slot = t->slot, .generation = t->generation};
	__u64 *count = bpf_map_lookup_elem(&trace_gram, &key), one = 1;

	if (!count && q->held < BH_SEQ_QUOTA &&
	    bpf_map_update_elem(&trace_gram, &key, &one, BPF_NOEXIST) == 0) {
		__sync_fetch_and_add(&q->held, 1);
		return;
	}
	if (!count) /* another task was first */
		count = bpf_map_lookup_elem(&trace_gram, &key);
	__sync_fetch_and_add(count ? count : &q->refused, 1);
}

/* Few pods have one: their slots say so, which spares the others a look into the hash table. */
static __always_inline struct bh_trace_seq *seq_of(const struct bh_trace_task *t)
{
	__u32 slot = t->slot;
	const struct bh_trace_slot *b = books_of(slot);
	struct bh_trace_seq *q;

	if (!b || b->seq != t->generation)
		return NULL;
	q = bpf_map_lookup_elem(&trace_seq, &slot);
	return q && q->generation == t->generation ? q : NULL;
}

static __always_inline void seq_judge(struct bh_trace_seq *q, const struct bh_trace_task *t,
				      struct bh_seq_task *st)
{
	__u64 hash = bh_gram_hash(st->gram), bits = bh_gram_bits(hash);

	st->unknown <<= 1;
	if (likely((q->word[bh_gram_word(hash)] & bits) == bits))
		return;
	st->unknown |= 1;
	__sync_fetch_and_add(&q->unknown, 1);
	if (__builtin_popcountll(st->unknown) < q->limit)
		return;
	seq_send(q, t, st, BH_SEQ_WINDOW_NS);
	st->unknown = 0;
}

/* A call has ended. */
static __always_inline void seq_step(struct task_struct *p, const struct bh_trace_task *t, __u32 nr)
{
	struct bh_trace_seq *q = seq_of(t);
	struct bh_seq_task *st;

	if (!q)
		return;
	st = bpf_task_storage_get(&trace_seq_task, p, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!st)
		return;
	st->gram = bh_gram_push(st->gram, nr);
	st->call[st->n++ & (BH_SEQ_WINDOW - 1)] = nr;
	if (q->flags & BH_SEQ_COUNT) {
		seq_count(q, t, st);
		if (st->n - st->sent >= BH_SEQ_WINDOW) {
			st->sent = st->n;
			seq_send(q, t, st, BH_SEQ_LEARN_NS);
		}
	}
	if (q->flags & BH_SEQ_JUDGE)
		seq_judge(q, t, st);
}

/* A task ends: what is left of its calls is a window too. */
static __always_inline void seq_end(struct task_struct *p, const struct bh_trace_task *t)
{
	struct bh_trace_seq *q = seq_of(t);
	struct bh_seq_task *st = bpf_task_storage_get(&trace_seq_task, p, NULL, 0);

	if (q && st && (q->flags & BH_SEQ_COUNT) && st->n < BH_SEQ_WINDOW)
		seq_send(q, t, st, BH_SEQ_LEARN_NS);
}
