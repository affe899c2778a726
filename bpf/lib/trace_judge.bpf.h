/* trace_judge.bpf.h - what a slot's policy says, for those who kill and those who refuse. */
#pragma once

#include "lib/trace_emit.bpf.h"

static __always_inline int uid_is_refused(const struct bh_trace_policy *pol, __u32 uid)
{
	__u32 i;

	for (i = 0; i < BH_TRACE_UIDS; i++)
		if (i < pol->n_uids && pol->uid[i] == uid)
			return 1;
	return 0;
}

/* The policy of the task's slot and its present tenant; NULL: none. */
static __always_inline const struct bh_trace_policy *policy_of(const struct bh_trace_task *t)
{
	__u32 slot = t->slot;
	const struct bh_trace_policy *pol = bpf_map_lookup_elem(&trace_policy, &slot);

	return pol && pol->generation == t->generation ? pol : NULL;
}
