/* trace_target.bpf.h - whom ptrace and its kin are about: by the number that the caller used, for
 * the kernel has none at hand when the call is over. */
#pragma once

#include "lib/trace_act.bpf.h"

#define TRACEES 16

/* A process number as the caller's namespace has it. */
static __always_inline __u32 number_for(const struct task_struct *of, __u32 level)
{
	const struct pid *pid = BPF_CORE_READ(of, thread_pid);
	struct upid id = {};

	if (BPF_CORE_READ(pid, level) >= level)
		bpf_probe_read_kernel(
			&id, sizeof(id),
			(const struct upid *)__builtin_preserve_access_index(&pid->numbers) +
				level);
	return id.nr;
}

/* The one that the caller traces, by the number it used; NULL: none, or too many to look at. */
static __always_inline const struct task_struct *tracee_find(const struct task_struct *p, __u32 nr,
							     __u32 level)
{
	const struct list_head *head = __builtin_preserve_access_index(&p->ptraced);
	const struct list_head *at = BPF_CORE_READ(p, ptraced.next);
	int i;

	for (i = 0; i < TRACEES && at && at != head; i++) {
		const struct task_struct *of =
			(const void *)at - bpf_core_field_offset(struct task_struct, ptrace_entry);

		if (number_for(of, level) == nr)
			return of;
		at = BPF_CORE_READ(at, next);
	}
	return NULL;
}

static __always_inline __u32 tracee_kind(const struct task_struct *p, const struct bh_trace_task *t,
					 const struct task_struct *of)
{
	__u64 cookie = BPF_CORE_READ(of, nsproxy, net_ns, net_cookie);
	__u32 *slot;

	if (BPF_CORE_READ(of, real_parent, tgid) == BPF_CORE_READ(p, tgid))
		return BH_TRACE_TARGET_OWN;
	slot = bpf_map_lookup_elem(&slot_by_cookie, &cookie);
	return slot && *slot == t->slot ? BH_TRACE_TARGET_POD : BH_TRACE_TARGET_OTHER;
}

/* Fills in arg[2] and arg[3]; the kind is part of what makes the act a new one. */
static __always_inline __u64 target_note(struct act_scratch *s, const struct task_struct *p,
					 const struct bh_trace_task *t, __u32 nr)
{
	__u32 level = BPF_CORE_READ(p, thread_pid, level);
	const struct task_struct *of;

	s->arg[3] = 0;
	if (nr == number_for(BPF_CORE_READ(p, group_leader), level)) {
		s->arg[2] = BH_TRACE_TARGET_OWN;
		return s->arg[2];
	}
	of = tracee_find(p, nr, level);
	s->arg[2] = of ? tracee_kind(p, t, of) : BH_TRACE_TARGET_UNKNOWN;
	s->arg[3] = of ? BPF_CORE_READ(of, tgid) : 0;
	return s->arg[2];
}
