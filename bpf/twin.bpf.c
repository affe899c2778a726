/* twin.bpf.c - for tests only: the bodies of lsm.bpf.c over the open files of a task, by an
 * iterator, which loads where security hooks do not. The verifier sees the same functions with the
 * same types; verdicts and records are real. The reader says what to ask for. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "lib/trace_lsm.bpf.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct bpf_iter__task_file {
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

#pragma clang attribute pop

enum twin_what { TWIN_EXEC, TWIN_MAP, TWIN_OPEN, TWIN_PATH, TWIN_CALL };

/* in */
__u32 twin_pid;
__u32 twin_fd;
__u32 twin_what;
__u32 twin_arg;
__u32 twin_is_script;
char twin_script[32]; /* what the file would be started on */
/* out */
__s32 twin_verdict;
__u32 twin_runs;

static __always_inline int twin_ask(struct lsm_scratch *l, struct task_struct *p,
				    struct bh_trace_task *t, struct file *f)
{
	struct lsm_image i = {.file = f, .uid = twin_arg, .is_script = twin_is_script};

	if (twin_script[0])
		i.script = (const char *)twin_script;
	switch (twin_what) {
	case TWIN_EXEC:
		return lsm_exec(l, p, t, &i);
	case TWIN_MAP:
		l->act.arg[2] = twin_arg;
		return lsm_map(l, p, t, f, LSM_MMAP);
	case TWIN_OPEN:
		open_tell(&l->act, p, t, f);
		return 0;
	case TWIN_PATH:
		lsm_walk(l, 0, (const struct path *)__builtin_preserve_access_index(&f->f_path),
			 f->f_path.dentry);
		lsm_named(&l->act, t, twin_arg, 0);
		return 0;
	default:
		return lsm_call(l, t, LSM_PTRACE);
	}
}

SEC("iter/task_file")
int bh_twin(struct bpf_iter__task_file *ctx)
{
	struct task_struct *p = ctx->task;
	struct file *f = ctx->file;
	struct bh_trace_task *t;
	struct lsm_scratch *l;

	if (!p || !f || (__u32)p->pid != twin_pid || ctx->fd != twin_fd)
		return 0;
	t = bpf_task_storage_get(&trace_task, p, NULL, 0);
	l = t ? lsm_take(t) : NULL;
	if (!l)
		return 0;
	twin_verdict = lsm_put(l, twin_ask(l, p, t, f));
	twin_runs++;
	return 0;
}

char _license[] SEC("license") = "GPL";
