/* trace_script.bpf.h - which file is an interpreter started on? Its name is kept with the task, so
 * that watch mode knows the file when it is opened: the kernel forgets a script's file before the
 * exec is over, and what `sh FILE` reads it never knew. */
#pragma once

#include "lib/trace_exec.bpf.h"

#define SCRIPT_ARGS 16 /* options before the file, and what they are about */
#define NAME_PARTS  24 /* of a module's name, in bytes */

struct script_names {
	__u32 first, second; /* hashes; 0: none */
	__u32 is_stdin;	     /* started on no file at all */
	__u32 has_line;	     /* by a #! line with options, which may be the whole program */
};

static __always_inline int name_begins(const char *t, const char *prefix, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (t[i] != prefix[i])
			return 0;
	return 1;
}

/* node18, php8.2; node_exporter and php-fpm8.2 take settings, not scripts. */
static __always_inline int is_version(char c)
{
	return !c || (c >= '0' && c <= '9');
}

/* By the file's own name; a copy under another name is not the image's anyway. */
static __always_inline int is_interpreter(const char *t)
{
	return name_begins(t, "sh", 3) || name_begins(t, "ash", 4) || name_begins(t, "bash", 5) ||
	       name_begins(t, "dash", 5) || name_begins(t, "zsh", 4) || name_begins(t, "ksh", 3) ||
	       name_begins(t, "mksh", 5) || name_begins(t, "tcsh", 5) ||
	       name_begins(t, "busybox", 8) || name_begins(t, "python", 6) ||
	       name_begins(t, "perl", 4) || name_begins(t, "ruby", 4) ||
	       (name_begins(t, "node", 4) && is_version(t[4])) ||
	       (name_begins(t, "php", 3) && is_version(t[3])) || name_begins(t, "nodejs", 7) ||
	       (name_begins(t, "lua", 3) && (is_version(t[3]) || t[3] == 'j')) ||
	       name_begins(t, "tclsh", 5) || name_begins(t, "mawk", 5) ||
	       name_begins(t, "gawk", 5) || name_begins(t, "make", 5) || name_begins(t, "java", 5);
}

/* Those that take their text from an argument or a file of their own, never from standard input. */
static __always_inline int is_quiet(const char *t)
{
	return name_begins(t, "mawk", 5) || name_begins(t, "gawk", 5) ||
	       name_begins(t, "make", 5) || name_begins(t, "java", 5) ||
	       name_begins(t, "busybox", 8);
}

/* The last component of the text in s->walk.buf becomes s->script. */
__noinline int script_name(struct exec_scratch *s)
{
	return s && name_last(s->walk.buf, PATH_HALF, &s->pos, &s->script) && s->script.text[0];
}

/* An option whose value is the argument behind it, of some interpreter; for others the next one is
 * the file. */
static __always_inline int takes_value(const char *t)
{
	return (t[0] == '-' || t[0] == '+') && t[1] && !t[2] &&
	       (t[1] == 'o' || t[1] == 'O' || t[1] == 'W' || t[1] == 'X' || t[1] == 'I' ||
		t[1] == 'd' || t[1] == 'r');
}

/* Of these no interpreter takes the next argument for the file. */
static __always_inline int surely_takes_value(const char *t)
{
	return t[1] == 'o' || t[1] == 'O' || t[1] == 'X';
}

/* The module's file: `python3 -m a.b` reads a/b.py, or __main__.py of a package. */
__noinline int module_name(struct exec_scratch *s)
{
	volatile __u32 *at;
	__u32 i, n;

	if (!s)
		return 0;
	at = &s->pos; /* in memory, as in name_last() */
	*at = 0;
	__builtin_memset(&s->script, 0, sizeof(s->script));
	for (i = 0; i < 4 * NAME_PARTS && s->walk.buf[i]; i++) {
		n = *at;
		if (s->walk.buf[i] == '.') {
			__builtin_memset(&s->script, 0, sizeof(s->script));
			*at = 0;
		} else if (n < NAME_PARTS) {
			s->script.text[n & (sizeof(s->script.text) - 1)] = s->walk.buf[i];
			*at = n + 1;
		}
	}
	n = *at;
	if (n + 3 >= sizeof(s->script.text))
		return 0;
	s->script.text[n & (sizeof(s->script.text) - 1)] = '.';
	s->script.text[(n + 1) & (sizeof(s->script.text) - 1)] = 'p';
	s->script.text[(n + 2) & (sizeof(s->script.text) - 1)] = 'y';
	return n;
}

/* `awk -f/opt/x`, `node --require=/opt/x`: the file is in the option itself. */
static __always_inline int option_has_file(const char *t)
{
	return (t[1] == 'f' && t[2] == '/') ||
	       (t[1] == '-' && t[2] == 'r' && t[3] == 'e' && t[4] == 'q' && t[5] == 'u');
}

static __always_inline __u32 main_hash(struct exec_scratch *s)
{
	int i;

	__builtin_memset(&s->script, 0, sizeof(s->script));
	for (i = 0; i < 11; i++)
		s->script.text[i] = "__main__.py"[i];
	return name_hash(&s->script);
}

/* An option; 1: the file is in it. */
static __always_inline int script_option(struct exec_scratch *s)
{
	struct script_at *a = &s->args;

	a->has_value = takes_value(s->walk.buf);
	a->is_sure = a->has_value && surely_takes_value(s->walk.buf);
	a->is_module = a->is_python && s->walk.buf[1] == 'm' && !s->walk.buf[2];
	if (!option_has_file(s->walk.buf) || !script_name(s))
		return 0;
	a->first = name_hash(&s->script);
	a->n_names = 1;
	return 1;
}

/* The next argument; 1: that was the last one to look at. */
__noinline int script_argument(struct exec_scratch *s)
{
	struct script_at *a;
	__u32 hash;
	long n;

	if (!s)
		return 1;
	a = &s->args;
	if (a->at >= a->end)
		return 1;
	n = bpf_probe_read_user_str(s->walk.buf, BH_PATH_MAX, (const void *)a->at);
	if (n <= 0)
		return 1;
	a->at += n;
	if (!a->n++)
		return 0;
	if (s->walk.buf[0] == '-' || (s->walk.buf[0] == '+' && takes_value(s->walk.buf)))
		return script_option(s);
	if (a->is_sure) { /* `bash -o pipefail`: no file */
		a->is_sure = a->has_value = 0;
		return 0;
	}
	if (a->is_module) {
		a->first = module_name(s) ? name_hash(&s->script) : 0;
		a->second = main_hash(s);
		a->n_names = 1;
		return 1;
	}
	hash = script_name(s) ? name_hash(&s->script) : 0;
	if (a->n_names++) {
		a->second = hash;
		return 1;
	}
	a->first = hash;
	if (a->is_python && !a->has_value) /* a directory of it */
		a->second = main_hash(s);
	return !a->has_value;
}

/* Names of the first argument that is no option, and of the one behind it where the first may be an
 * option's value. Returns how many. */
static __always_inline int script_arguments(struct exec_scratch *s, const struct task_struct *p,
					    struct script_names *ret)
{
	struct script_at *a = &s->args;
	int i;

	__builtin_memset(a, 0, sizeof(*a));
	a->is_python = name_begins(s->script.text, "python", 6);
	a->has_value = name_begins(s->script.text, "busybox", 8);
	a->at = p->mm->arg_start;
	a->end = p->mm->arg_end;
	for (i = 0; i < SCRIPT_ARGS; i++)
		if (script_argument(s))
			break;
	ret->first = a->first;
	ret->second = a->second;
	return a->n_names;
}

/* `#!/usr/bin/env -S sh -c TEXT`. A function of its own for the verifier's sake. */
__noinline int line_has_option(struct exec_scratch *s)
{
	char c = 0;
	long n;

	if (!s)
		return 0;
	n = bpf_probe_read_user_str(s->walk.buf, BH_PATH_MAX, (const void *)s->args.at);
	if (n > 0)
		bpf_probe_read_user(&c, 1, (const void *)(s->args.at + n));
	return c == '-';
}

/* Which names the file has that an interpreter was started on. Light mode sees no file opened and
 * does not ask. */
static __always_inline void script_of(struct exec_scratch *s, const struct task_struct *p,
				      const struct linux_binprm *bprm, struct script_names *ret)
{
	const struct bh_trace_config *cfg = trace_config_get();
	int n;

	if (likely(!cfg || cfg->mode < BH_TRACE_WATCH))
		return;
	if (s->flags & BH_TRACE_F_SCRIPT) {
		s->args.at = p->mm->arg_start;
		ret->has_line = line_has_option(s);
		/* of a script that is a script's interpreter the last one is read */
		script_arguments(s, p, ret);
		ret->second = ret->first;
		if (bpf_probe_read_kernel_str(s->walk.buf, BH_PATH_MAX, bprm->filename) > 0 &&
		    script_name(s))
			ret->first = name_hash(&s->script);
		return;
	}
	__builtin_memset(&s->script, 0, sizeof(s->script));
	bpf_probe_read_kernel_str(s->script.text, sizeof(s->script.text),
				  bprm->file->f_path.dentry->d_name.name);
	if (!is_interpreter(s->script.text))
		return;
	ret->is_stdin = !is_quiet(s->script.text);
	n = script_arguments(s, p, ret);
	ret->is_stdin = ret->is_stdin && !n;
}
