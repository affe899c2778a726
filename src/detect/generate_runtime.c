/* generate_runtime.c - a RuntimePolicy from what was executed, written and called. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detect/generate_parts.h"
#include "detect/policy.h"
#include "policy/syscalls.h"
#include "policy/yaml.h"

#define KEY BH_BASE_KEY

/* "program", "program script", either with " from origin": see baseline_keys.c. */
struct run {
	char program[KEY], script[KEY];
	enum bh_provenance from;
};

static struct run parse_run(const char *key)
{
	struct run r = {.from = BH_PROV_IMAGE};
	const char *script = strstr(key, " /"), *from = strstr(key, " from "), *next;
	size_t n = strlen(key), end;

	while (from && (next = strstr(from + 1, " from ")))
		from = next;
	if (from && bh_provenance_parse(from + 6, &r.from))
		from = NULL;
	end = from ? (size_t)(from - key) : n;
	if (script && (size_t)(script - key) < end) {
		snprintf(r.script, sizeof(r.script), "%.*s",
			 (int)(end - (size_t)(script - key) - 1), script + 1);
		end = (size_t)(script - key);
	}
	snprintf(r.program, sizeof(r.program), "%.*s", (int)end, key);
	return r;
}

/* What was collapsed, or was no UTF-8, stands for many: everything with the same beginning. Returns
 * whether. */
static bool pattern(const char *path, char out[KEY])
{
	size_t n = strcspn(path, "#*?");

	snprintf(out, KEY, "%.*s%s", (int)n, path, path[n] ? "*" : "");
	return path[n];
}

static int text_cmp(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Sorts, and drops what is there twice. */
static size_t unique(char (*v)[KEY], size_t n)
{
	size_t i, k = 0;

	qsort(v, n, sizeof(*v), text_cmp);
	for (i = 0; i < n; i++) {
		if (k && !strcmp(v[k - 1], v[i]))
			continue;
		if (k != i)
			memcpy(v[k], v[i], sizeof(*v));
		k++;
	}
	return k;
}

static void write_list(char (*v)[KEY], size_t n, struct bh_str *out)
{
	size_t i;

	for (i = 0; i < n; i++) {
		bh_str_add(out, "    - ");
		bh_yaml_dump_string(v[i], out);
		bh_str_add(out, "\n");
	}
}

/* Keys > patterns. */
static int make_list(const struct bh_gen_keys *keys, bool is_exec, char (**ret)[KEY], size_t *ret_n,
		     struct bh_gen_report *report)
{
	char(*v)[KEY] = calloc(keys->n + 1, sizeof(*v));
	size_t i;

	if (!v)
		return -ENOMEM;
	for (i = 0; i < keys->n; i++) {
		struct run r = parse_run(keys->v[i]);
		const char *path = !is_exec ? keys->v[i] : *r.script ? r.script : r.program;

		report->slack += pattern(path, v[i]);
		report->asked++;
	}
	*ret_n = unique(v, keys->n);
	*ret = v;
	return 0;
}

static void write_origins(const struct bh_gen_keys *runs, struct bh_str *out)
{
	static const char *const names[] = {"image", "modified", "new",	 "tmpfs",
					    "memfd", "volume",	 "other"};
	unsigned origins = BH_ORIGIN_IMAGE | BH_ORIGIN_VOLUME;
	size_t i;

	for (i = 0; i < runs->n; i++)
		origins |= bh_provenance_origin(parse_run(runs->v[i]).from);
	bh_str_add(out, "    origin: [");
	for (i = 0; i < BH_ARRAY_SIZE(names); i++) {
		if (origins & (1u << i))
			bh_str_fmt(out, "%s%s", i ? ", " : "", names[i]);
	}
	bh_str_add(out, "]\n");
}

/* Calls that lead out of a container, where the workload never made them. Only when calls were
 * recorded at all: without that nothing is known. */
static void write_calls(const struct bh_gen_keys *calls, struct bh_str *out)
{
	static const char *const grave[] = {"add_key",
					    "bpf",
					    "delete_module",
					    "finit_module",
					    "init_module",
					    "io_uring_setup",
					    "kexec_load",
					    "keyctl",
					    "memfd_create",
					    "mount",
					    "open_by_handle_at",
					    "perf_event_open",
					    "pivot_root",
					    "process_vm_writev",
					    "ptrace",
					    "setns",
					    "swapon",
					    "umount2",
					    "unshare",
					    "userfaultfd"};
	size_t i, k, n = 0;
	char nr[16];

	for (i = 0; calls->n && i < BH_ARRAY_SIZE(grave); i++) {
		snprintf(nr, sizeof(nr), "%d", bh_syscall_number(grave[i]));
		for (k = 0; k < calls->n && strcmp(calls->v[k], nr); k++)
			continue;
		if (k == calls->n)
			bh_str_fmt(out, "%s%s", n++ ? ", " : "  syscalls: {deny: [", grave[i]);
	}
	bh_str_add(out, n ? "]}\n" : "");
}

static void write_users(const struct bh_gen_keys *uses, struct bh_str *out)
{
	bool is_known = false, has_root = false;
	size_t i;

	for (i = 0; i < uses->n; i++) {
		is_known |= !strncmp(uses->v[i], "user ", 5);
		has_root |= !strcmp(uses->v[i], "user 0");
	}
	if (is_known && !has_root)
		bh_str_add(out, "  users: {deny: [0]}\n");
}

/* ---- asking ---- */

/* A key without wild cards, as the thing that made it looked. */
static void unpattern(char *path)
{
	for (; *path; path++) {
		if (*path == '#')
			*path = '7';
	}
}

static bool admits_run(const struct bh_runtime_policy *p, const char *key)
{
	struct run r = parse_run(key);
	struct bh_act_process exec = {.path = r.program, .script = r.script, .provenance = r.from};

	unpattern(r.program);
	unpattern(r.script);
	/* where there is a script, either of the two may be the foreign one */
	if (*r.script) {
		exec.script_provenance = r.from;
		exec.provenance = BH_PROV_IMAGE;
		if (!bh_policy_allows_exec(p, &exec))
			return false;
		exec.provenance = r.from;
		exec.script_provenance = BH_PROV_IMAGE;
	}
	return bh_policy_allows_exec(p, &exec);
}

static bool admits_path(const struct bh_runtime_policy *p, const char *key)
{
	char path[KEY];

	snprintf(path, sizeof(path), "%s", key);
	unpattern(path);
	return bh_paths_have(&p->writable, path, true);
}

static bool admits_use(const struct bh_runtime_policy *p, const char *key)
{
	unsigned uid;
	size_t i;

	if (sscanf(key, "user %u", &uid) != 1)
		return true;
	for (i = 0; i < p->n_denied_users; i++) {
		if (p->denied_users[i] == uid)
			return false;
	}
	return true;
}

static bool admits_call(const struct bh_runtime_policy *p, const char *key)
{
	int nr = (int)strtol(key, NULL, 10);
	size_t i;

	for (i = 0; i < p->n_denied_syscalls; i++) {
		if (bh_syscall_number(p->denied_syscalls[i]) == nr)
			return false;
	}
	return true;
}

static const struct {
	enum bh_base_kind kind;
	bool (*admits)(const struct bh_runtime_policy *p, const char *key);
} questions[] = {
	{BH_BASE_EXEC, admits_run},
	{BH_BASE_PATH, admits_path},
	{BH_BASE_USE, admits_use},
	{BH_BASE_SYSCALL, admits_call},
};
#define N_QUESTIONS (sizeof(questions) / sizeof(questions[0]))

static int keep(struct bh_runtime_policy *p, void *arg)
{
	*(struct bh_runtime_policy **)arg = bh_runtime_policy_ref(p);
	return 0;
}

static int prove(const char *text, const struct bh_gen_keys keys[N_QUESTIONS],
		 struct bh_gen_report *report, struct bh_err *err)
{
	BH_CLEANUP(bh_objects_freep) struct bh_objects *o = NULL;
	BH_CLEANUP(bh_runtime_policy_unrefp) struct bh_runtime_policy *p = NULL;
	const char *refused = NULL;
	size_t i, k;
	int r = bh_gen_parse(text, &o, err);

	if (r)
		return r;
	bh_objects_runtime_policies(o, keep, &p);
	for (i = 0; p && i < N_QUESTIONS; i++) {
		for (k = 0; k < keys[i].n; k++) {
			bool is_admitted = questions[i].admits(p, keys[i].v[k]);

			report->observed++;
			report->admitted += is_admitted;
			if (!is_admitted)
				refused = keys[i].v[k];
		}
	}
	if (p && !refused)
		return 0;
	return bh_fail(err, EPROTO, "the policy does not admit '%s'", refused ? refused : "");
}

static int write_policy(const struct bh_gen_input *in, const struct bh_gen_keys keys[N_QUESTIONS],
			struct bh_str *out, struct bh_gen_report *report)
{
	BH_CLEANUP(bh_freep) char(*runs)[KEY] = NULL;
	BH_CLEANUP(bh_freep) char(*paths)[KEY] = NULL;
	size_t n_runs, n_paths;

	if (make_list(&keys[0], true, &runs, &n_runs, report) ||
	    make_list(&keys[1], false, &paths, &n_paths, report))
		return -ENOMEM;
	bh_gen_head(in, "bulkhead.io/v1alpha1", "RuntimePolicy", out);
	bh_str_add(out, "  exec:\n");
	write_origins(&keys[0], out);
	bh_str_add(out, "    allow:\n");
	write_list(runs, n_runs, out);
	bh_str_fmt(out, "  files:\n    writable:%s\n", n_paths ? "" : " []");
	write_list(paths, n_paths, out);
	write_users(&keys[2], out);
	write_calls(&keys[3], out);
	bh_str_add(out, "  baseline: observe\n  on: {violation: alert}\n");
	return out->failed ? -ENOMEM : 0;
}

int bh_generate_runtime(const struct bh_gen_input *in, struct bh_str *out,
			struct bh_gen_report *ret, struct bh_err *err)
{
	struct bh_gen_keys keys[N_QUESTIONS] = {{0}};
	struct bh_gen_report report = {0};
	size_t i;
	int r = 0;

	for (i = 0; !r && i < N_QUESTIONS; i++)
		r = bh_gen_keys(in, questions[i].kind, &keys[i]);
	if (!r && !keys[0].n)
		r = bh_fail(err, EINVAL, "nothing was executed while the baseline was learnt");
	else if (r || write_policy(in, keys, out, &report))
		r = bh_fail(err, ENOMEM, "policy");
	if (!r)
		r = prove(bh_str_text(out), keys, &report, err);
	if (!r) {
		snprintf(report.what, sizeof(report.what),
			 "paths that had to be written with a '*', because part of them varies");
		*ret = report;
	}
	for (i = 0; i < N_QUESTIONS; i++)
		bh_gen_keys_done(&keys[i]);
	return r;
}
