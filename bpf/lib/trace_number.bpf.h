/* trace_number.bpf.h - system calls by their numbers: what kind each is, what a 32-bit one is
 * called here, and whether the slot's policy refuses it. */
#pragma once

#include "lib/trace_emit.bpf.h"

#define COMPAT 2 /* x86's thread_info.status: a 32-bit call */
#ifndef SIGKILL
#define SIGKILL 9
#endif

/* The daemon's, who knows the numbers. */
const volatile struct bh_trace_table call_table;

/* Named by the slot's policy: whether it worked or not. */
static __always_inline int call_is_refused(const struct bh_trace_task *t, __u32 nr,
					   __u32 *ret_flags)
{
	__u32 slot = t->slot;
	const struct bh_trace_policy *pol = bpf_map_lookup_elem(&trace_policy, &slot);

	if (!pol || pol->generation != t->generation ||
	    !(pol->calls[(nr / 64) & (BH_TRACE_CALLS / 64 - 1)] >> (nr & 63) & 1))
		return 0;
	*ret_flags |= BH_TRACE_F_REFUSED;
	if ((pol->flags & BH_TRACE_P_KILL_CALLS) && bpf_send_signal(SIGKILL) == 0) {
		struct bh_trace_slot *b = books_of(slot);

		*ret_flags |= BH_TRACE_F_KILLED;
		if (b)
			__sync_fetch_and_add(&b->killed, 1);
	}
	return 1;
}

static __always_inline int task_is_foreign(const struct task_struct *p)
{
	return bpf_core_field_exists(p->thread_info.status) && (p->thread_info.status & COMPAT);
}

/* The number here of what a 32-bit call does, for policies name calls; 0, as of read(), where there
 * is none: whoever is refused read() is refused those as well. */
static __always_inline __u32 call_native(const struct pt_regs *regs, __u32 nr)
{
	__u32 at = nr & (BH_TRACE_CALLS - 1), part = regs->bx & (BH_TRACE_PARTS - 1);

	if (nr == call_table.socketcall)
		at = BH_TRACE_CALLS + part;
	else if (nr == call_table.ipc)
		at = BH_TRACE_CALLS + BH_TRACE_PARTS + part;
	return call_table.native[at];
}
