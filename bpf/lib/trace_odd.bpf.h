/* trace_odd.bpf.h - one odd exec in a flood of ordinary ones of the same program. What the set
 * knows is not announced again once the slot's budget is used up; then what is different about this
 * one has a fact of its own. Arguments that were not told in the flood yet find some more room. */
#pragma once

#include "lib/trace_exec.bpf.h"

enum {
	ODD_INET = 1,	/* its input or output is a socket of the network */
	ODD_FIFO = 2,	/* or a pipe with a name */
	ODD_TTY = 4,	/* somebody sits there */
	ODD_THREAD = 8, /* it calls itself like a thread of the kernel */
	ODD_FLAGS = 16, /* what executed it is not what usually does */
	ODD_REFUSED = 32,
};

/* The same budget as event_wants_record asks, without taking anything. */
static __always_inline int odd_is_flood(const struct bh_trace_slot *b, __u64 now)
{
	return b->budget_ns > now + REPEAT_ROOM;
}

static __always_inline __u8 odd_stdio(__u8 kind)
{
	if (kind == BH_TSTDIO_INET)
		return ODD_INET;
	if (kind == BH_TSTDIO_FIFO)
		return ODD_FIFO;
	return kind == BH_TSTDIO_TTY ? ODD_TTY : 0;
}

static __always_inline __u8 odd_look(struct exec_scratch *s, const struct task_struct *p)
{
	struct bh_trace_exec *r = record_of(s);
	__u8 odd = 0;
	char first = 0;

	record_stdio(r, p);
	odd |= odd_stdio(r->stdio[0]) | odd_stdio(r->stdio[1]);
	if (!bpf_probe_read_user(&first, 1, (const void *)p->mm->arg_start) && first == '[')
		odd |= ODD_THREAD;
	if (s->flags &
	    (BH_TRACE_F_UNLINKED | BH_TRACE_F_UID_GAINED | BH_TRACE_F_OUTER | BH_TRACE_F_CONNECTED))
		odd |= ODD_FLAGS;
	if (s->is_refused)
		odd |= ODD_REFUSED;
	return odd;
}

/* Gives the exec, which the set knows, a fact of its own where it is odd and there is a flood.
 * Returns whether it did; s->novelty then says what that one is. */
static __always_inline int odd_claim(struct exec_scratch *s, struct bh_trace_slot *b,
				     const struct exec_of *of)
{
	const struct bh_fact *known = of->known, *old;

	if (likely(s->novelty != FACT_KNOWN || !known || !odd_is_flood(b, s->now)))
		return 0;
	s->key.is_emptied = odd_look(s, of->p);
	if (!s->key.is_emptied)
		return 0;
	old = bpf_map_lookup_elem(&trace_fact, &s->key);
	if (old && old->generation == s->generation)
		return 0;
	s->is_old = old != NULL;
	s->novelty = fact_claim(b);
	if (s->novelty == FACT_NEW)
		s->flags |= BH_TRACE_F_FIRST;
	bpf_probe_read_kernel(s->fact.path, sizeof(s->fact.path), known->path);
	return 1;
}

#define ARGS_SEEN 32 /* of one slot */
#define ARGS_ROOM (REPEAT_ROOM + REPEAT_ROOM / 2)

struct args_seen {
	__u32 hash[ARGS_SEEN];
};

/* Cannot be full: other arguments take the place of those told before. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BH_TRACE_SLOTS);
	__type(key, __u32);
	__type(value, struct args_seen);
} trace_args SEC(".maps");

/* Where the arguments are noted once they are told; NULL: there is no flood, or they were. *ret:
 * what is to be noted there. */
static __always_inline __u32 *args_place(struct exec_scratch *s, const struct bh_trace_slot *b,
					 const struct exec_of *of, __u32 *ret)
{
	struct args_seen *seen;
	__u64 all;
	__u32 h;

	if (likely(s->novelty != FACT_KNOWN || !odd_is_flood(b, s->now)))
		return NULL;
	seen = bpf_map_lookup_elem(&trace_args, &s->slot);
	s->rest.at = of->p->mm->arg_start;
	s->rest.end = of->p->mm->arg_end;
	if (!seen || s->rest.at >= s->rest.end)
		return NULL;
	all = args_rest_hash(&s->rest);
	h = all >> 32 ^ all ^ s->key.ino ^ s->generation;
	*ret = h;
	return !all || seen->hash[h % ARGS_SEEN] == h ? NULL : &seen->hash[h % ARGS_SEEN];
}
