/* generate_seccomp.c - an OCI seccomp profile (runtime-spec, config-linux, "seccomp"): everything
 * is refused but the calls that were observed and those a runtime makes after it has loaded the
 * filter. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "detect/generate_parts.h"
#include "policy/syscalls.h"

#define MAX_CALLS 1024
#define NAME	  48

/* Between loading the filter and the container's first instruction, and for its end. Without
 * noNewPrivileges runc loads it early: capabilities, user and directory are set under it, and the
 * program is looked for. */
static const char *const needed[] = {"brk",
				     "capget",
				     "capset",
				     "chdir",
				     "close",
				     "close_range",
				     "dup3",
				     "epoll_ctl",
				     "epoll_pwait",
				     "execve",
				     "exit",
				     "exit_group",
				     "faccessat",
				     "faccessat2",
				     "fchown",
				     "fcntl",
				     "fstat",
				     "fstatfs",
				     "futex",
				     "getcwd",
				     "getdents64",
				     "getpid",
				     "getppid",
				     "gettid",
				     "getuid",
				     "madvise",
				     "mmap",
				     "mprotect",
				     "munmap",
				     "nanosleep",
				     "newfstatat",
				     "openat",
				     "openat2",
				     "prctl",
				     "read",
				     "readlinkat",
				     "restart_syscall",
				     "rt_sigaction",
				     "rt_sigprocmask",
				     "rt_sigreturn",
				     "sched_yield",
				     "setgid",
				     "setgroups",
				     "setuid",
				     "sigaltstack",
				     "stat",
				     "statx",
				     "tgkill",
				     "write"};

struct calls {
	bool is_observed[MAX_CALLS], is_needed[MAX_CALLS];
};

static int collect(const struct bh_gen_keys *keys, struct calls *ret, struct bh_err *err)
{
	char name[NAME];
	size_t i;

	for (i = 0; i < keys->n; i++) {
		long nr = strtol(keys->v[i], NULL, 10);

		/* a number without a name is no call of this machine: it failed, and may go on to
		 */
		if (nr < 0 || nr >= MAX_CALLS)
			return bh_fail(err, EINVAL, "'%s' is no system call", keys->v[i]);
		ret->is_observed[nr] = bh_syscall_name((int)nr, name, sizeof(name));
	}
	for (i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		int nr = bh_syscall_number(needed[i]);

		if (nr >= 0 && nr < MAX_CALLS)
			ret->is_needed[nr] = true;
	}
	return 0;
}

static int write_profile(const struct calls *calls, struct bh_str *out)
{
	json_t *names = json_array(), *root;
	char name[NAME];
	char *text;
	int nr;

	for (nr = 0; nr < MAX_CALLS; nr++) {
		if ((calls->is_observed[nr] || calls->is_needed[nr]) &&
		    bh_syscall_name(nr, name, sizeof(name)))
			json_array_append_new(names, json_string(name));
	}
	/* 38, ENOSYS: programs try newer calls first, and fall back */
	root = json_pack("{s:s, s:i, s:[{s:o, s:s}]}", "defaultAction", "SCMP_ACT_ERRNO",
			 "defaultErrnoRet", 38, "syscalls", "names", names, "action",
			 "SCMP_ACT_ALLOW");
	text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
	json_decref(root);
	if (!text)
		return -ENOMEM;
	bh_str_add(out, text);
	bh_str_add(out, "\n");
	free(text);
	return out->failed ? -ENOMEM : 0;
}

/* Reads the profile as a runtime does: which of the calls does it let through? */
static int read_back(const char *text, bool allowed[MAX_CALLS], struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *root = NULL;
	size_t i, k;
	int r = bh_json_parse(text, strlen(text), 1u << 20, &root, err);
	json_t *rules = json_object_get(root, "syscalls");

	for (i = 0; !r && i < json_array_size(rules); i++) {
		json_t *rule = json_array_get(rules, i), *names = json_object_get(rule, "names");
		const char *action = json_string_value(json_object_get(rule, "action"));

		for (k = 0;
		     action && !strcmp(action, "SCMP_ACT_ALLOW") && k < json_array_size(names);
		     k++) {
			int nr = bh_syscall_number(json_string_value(json_array_get(names, k)));

			if (nr >= 0 && nr < MAX_CALLS)
				allowed[nr] = true;
		}
	}
	return r;
}

static int prove(const char *text, const struct calls *calls, struct bh_gen_report *report,
		 struct bh_err *err)
{
	bool allowed[MAX_CALLS] = {false};
	int nr, r = read_back(text, allowed, err);

	for (nr = 0; !r && nr < MAX_CALLS; nr++) {
		report->observed += calls->is_observed[nr];
		report->admitted += calls->is_observed[nr] && allowed[nr];
		report->asked += allowed[nr];
		report->slack += allowed[nr] && !calls->is_observed[nr];
	}
	if (!r && report->admitted != report->observed)
		r = bh_fail(err, EPROTO, "the profile admits %zu of %zu observed system calls",
			    report->admitted, report->observed);
	snprintf(
		report->what, sizeof(report->what),
		"system calls that were not observed, but that the runtime makes under the filter");
	return r;
}

int bh_generate_seccomp(const struct bh_gen_input *in, struct bh_str *out,
			struct bh_gen_report *ret, struct bh_err *err)
{
	struct calls calls = {{false}, {false}};
	struct bh_gen_report report = {0};
	struct bh_gen_keys keys;
	int r = bh_gen_keys(in, BH_BASE_SYSCALL, &keys);

	if (r)
		r = bh_fail(err, ENOMEM, "profile");
	else if (!keys.n)
		r = bh_fail(err, EINVAL,
			    "no system calls were recorded: learn in `learn` or `watch` mode");
	if (!r)
		r = collect(&keys, &calls, err);
	bh_gen_keys_done(&keys);
	if (!r && write_profile(&calls, out))
		r = bh_fail(err, ENOMEM, "profile");
	if (!r)
		r = prove(bh_str_text(out), &calls, &report, err);
	if (!r)
		*ret = report;
	return r;
}
