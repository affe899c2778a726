/* cpu.bpf.c - processor time of pods: what their tasks had when they ended, and, whenever the
 * daemon reads the iterator, what those that live have had so far. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lib/trace_rate.bpf.h"

#define PF_EXITING 4

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sched_entity {
	__u64 sum_exec_runtime;
};

/* struct task_struct with members that nobody else has a use for */
struct task_struct___cpu {
	unsigned int flags;
	struct sched_entity se;
};

#pragma clang attribute pop

/* Threads too: each has a time of its own. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(bh_cpu_exit, struct task_struct *p)
{
	struct bh_trace_task *t = bpf_task_storage_get(&trace_task, p, NULL, 0);
	struct bh_trace_rate *r = t ? rate_open(t->slot, t->generation) : NULL;

	if (r)
		__sync_fetch_and_add(&r->cpu_ended_ns, BPF_CORE_READ((struct task_struct___cpu *)p,
								     se.sum_exec_runtime));
	return 0;
}

/* Who is ending is counted above: it is marked before it gets there. */
SEC("iter/task")
int bh_cpu_read(struct bpf_iter__task *ctx)
{
	struct task_struct *p = ctx->task;
	struct bh_trace_task *t = p ? bpf_task_storage_get(&trace_task, p, NULL, 0) : NULL;
	struct bh_trace_rate *r;

	if (!t || (BPF_CORE_READ((struct task_struct___cpu *)p, flags) & PF_EXITING))
		return 0;
	r = rate_open(t->slot, t->generation);
	if (r)
		__sync_fetch_and_add(&r->cpu_live_ns, BPF_CORE_READ((struct task_struct___cpu *)p,
								    se.sum_exec_runtime));
	return 0;
}

char _license[] SEC("license") = "GPL";
