/* trace_odd.bpf.h - one odd exec in a flood of ordinary ones of the same program. What the set
 * knows is not announced again once the slot's budget is used up; then what is different about this
 * one has a fact of its own. */
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

	if (s->novelty != FACT_KNOWN || !known || !odd_is_flood(b, s->now))
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
