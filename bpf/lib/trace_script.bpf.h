/* trace_script.bpf.h - which file is an interpreter started on? Its name is kept with the task, so
 * that watch mode knows the file when it is opened: the kernel forgets a script's file before the
 * exec is over, and what `sh FILE` reads it never knew. */
#pragma once

#include "lib/trace_exec.bpf.h"

#define SCRIPT_ARGS 4 /* options before the file */

static __always_inline int name_begins(const char *t, const char *prefix, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (t[i] != prefix[i])
			return 0;
	return 1;
}

/* By the file's own name; a copy under another name is not the image's anyway. */
static __always_inline int is_interpreter(const char *t)
{
	return name_begins(t, "sh", 3) || name_begins(t, "ash", 4) || name_begins(t, "bash", 5) ||
	       name_begins(t, "dash", 5) || name_begins(t, "zsh", 4) || name_begins(t, "ksh", 3) ||
	       name_begins(t, "busybox", 8) || name_begins(t, "python", 6) ||
	       name_begins(t, "perl", 4) || name_begins(t, "ruby", 4) ||
	       name_begins(t, "node", 4) || name_begins(t, "php", 3) || name_begins(t, "lua", 3);
}

/* The last component of the text in s->walk.buf becomes s->script. */
__noinline int script_name(struct exec_scratch *s)
{
	volatile __u32 *last;
	__u32 i, at;

	if (!s)
		return 0;
	last = &s->pos;
	*last = 0;
	for (i = 0; i < BH_PATH_MAX - 1; i++) {
		if (!s->walk.buf[i])
			break;
		if (s->walk.buf[i] == '/')
			*last = i + 1;
	}
	at = *last & (PATH_HALF / 2 - 1);
	__builtin_memset(&s->script, 0, sizeof(s->script));
	bpf_probe_read_kernel_str(s->script.text, sizeof(s->script.text), &s->walk.buf[at]);
	return s->script.text[0] != 0;
}

/* The first argument that is no option. */
static __always_inline int script_argument(struct exec_scratch *s, const struct task_struct *p)
{
	__u64 at = p->mm->arg_start, end = p->mm->arg_end;
	int i;

	for (i = 0; i < SCRIPT_ARGS && at < end; i++) {
		long n = bpf_probe_read_user_str(s->walk.buf, BH_PATH_MAX, (const void *)at);

		if (n <= 0)
			return 0;
		if (i && s->walk.buf[0] != '-')
			return 1;
		at += n;
	}
	return 0;
}

/* Hash of the file's name, 0: no interpreter, or started on nothing. Light mode sees no file opened
 * and does not ask. */
static __always_inline __u32 script_of(struct exec_scratch *s, const struct task_struct *p,
				       const struct linux_binprm *bprm)
{
	const struct bh_trace_config *cfg = trace_config_get();

	if (!cfg || cfg->mode < BH_TRACE_WATCH)
		return 0;
	if (s->flags & BH_TRACE_F_SCRIPT) {
		if (bpf_probe_read_kernel_str(s->walk.buf, BH_PATH_MAX, bprm->filename) <= 0)
			return 0;
	} else {
		__builtin_memset(&s->script, 0, sizeof(s->script));
		bpf_probe_read_kernel_str(s->script.text, sizeof(s->script.text),
					  bprm->file->f_path.dentry->d_name.name);
		if (!is_interpreter(s->script.text) || !script_argument(s, p))
			return 0;
	}
	return script_name(s) ? name_hash(&s->script) : 0;
}
