/* Tier 2: programs at the kernel's security hooks. All optional: without them tier 1 tells the same
 * acts, and kills where these would refuse. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "datapath/trace_private.h"
#include "lsm.skel.h"

static const struct {
	const char *program, *hook;
	enum bh_trace_mode from;
} hooks[BH_TRACE_LSMS] = {
	{"bh_lsm_exec", "bprm_check_security", BH_TRACE_LIGHT},
	{"bh_lsm_mmap", "mmap_file", BH_TRACE_WATCH},
	{"bh_lsm_mprotect", "file_mprotect", BH_TRACE_WATCH},
	{"bh_lsm_open", "file_open", BH_TRACE_WATCH},
	{"bh_lsm_unlink", "path_unlink", BH_TRACE_WATCH},
	{"bh_lsm_rename", "path_rename", BH_TRACE_WATCH},
	{"bh_lsm_link", "path_link", BH_TRACE_WATCH},
	{"bh_lsm_mknod", "path_mknod", BH_TRACE_WATCH},
	{"bh_lsm_chmod", "path_chmod", BH_TRACE_WATCH},
	{"bh_lsm_mount", "sb_mount", BH_TRACE_WATCH},
	{"bh_lsm_ptrace", "ptrace_access_check", BH_TRACE_WATCH},
	{"bh_lsm_bpf", "bpf", BH_TRACE_WATCH},
	{"bh_lsm_kill", "task_kill", BH_TRACE_WATCH},
};

/* In the order of enum lsm_call. */
static const uint32_t numbers[] = {SYS_execve, SYS_mmap, SYS_mprotect, SYS_mount,
				   SYS_ptrace, SYS_bpf,	 SYS_kill};

static int set_numbers(struct bpf_object *obj, struct bh_err *err)
{
	const struct bpf_map *map = bpf_object__find_map_by_name(obj, ".rodata");
	size_t size = 0;
	void *table = map ? bpf_map__initial_value(map, &size) : NULL;

	if (!table || size < sizeof(numbers))
		return bh_fail(err, ENOENT, "BPF object lsm has no table of calls");
	memcpy(table, numbers, sizeof(numbers));
	return 0;
}

/* Hooks that this kernel does not have are left out. */
static int prepare(struct bpf_object *obj, struct bh_err *err)
{
	struct btf *kernel = btf__load_vmlinux_btf();

	for (size_t i = 0; i < BH_TRACE_LSMS; i++) {
		struct bpf_program *prog = bpf_object__find_program_by_name(obj, hooks[i].program);
		char name[64];

		snprintf(name, sizeof(name), "bpf_lsm_%s", hooks[i].hook);
		if (prog && (!kernel || btf__find_by_name_kind(kernel, name, BTF_KIND_FUNC) < 0))
			bpf_program__set_autoload(prog, false);
	}
	btf__free(kernel);
	return set_numbers(obj, err);
}

/* The list of active modules, when it can be read, says why nothing of ours would run. */
static bool is_active(void)
{
	FILE *f = fopen("/sys/kernel/security/lsm", "re");
	char list[256] = "";
	const char *at;

	if (!f)
		return true;
	if (!fgets(list, sizeof(list), f))
		list[0] = '\0';
	fclose(f);
	for (at = list; (at = strstr(at, "bpf")); at += 3)
		if ((at == list || at[-1] == ',') && (at[3] == ',' || at[3] == '\n' || !at[3]))
			return true;
	return false;
}

static int load(struct bh_trace *t, struct bh_err *err)
{
	static const struct bh_trace_source source = {"lsm", lsm_bpf__elf_bytes, prepare};

	if (!is_active())
		return bh_fail(err, EOPNOTSUPP,
			       "'bpf' is not among the kernel's active security "
			       "modules");
	return bh_trace_load(t, &source, &t->lsm, err);
}

static void attach(struct bh_trace *t, size_t i)
{
	int prog = bh_trace_prog(&t->lsm, hooks[i].program);

	if (t->lsm_link[i] < 0 && prog >= 0)
		t->lsm_link[i] = bpf_raw_tracepoint_open(NULL, prog);
}

void bh_trace_lsm_set(struct bh_trace *t, enum bh_trace_mode mode)
{
	struct bh_err err;
	size_t n = 0;

	if (mode >= BH_TRACE_LIGHT && !t->lsm.is_loaded && !t->lsm_why[0] && load(t, &err) < 0)
		snprintf(t->lsm_why, sizeof(t->lsm_why),
			 "security hooks: %.140s; what a policy refuses is killed instead",
			 err.text);
	for (size_t i = 0; i < BH_TRACE_LSMS; i++) {
		if (hooks[i].from > mode)
			bh_closep(&t->lsm_link[i]);
		else if (t->lsm.is_loaded)
			attach(t, i);
		n += t->lsm_link[i] >= 0;
	}
	t->n_lsm = n;
}

void bh_trace_lsm_close(struct bh_trace *t)
{
	for (size_t i = 0; i < BH_TRACE_LSMS; i++)
		bh_closep(&t->lsm_link[i]);
	bh_trace_unload(&t->lsm);
}

const char *bh_trace_lsm(const struct bh_trace *t, size_t *ret_n)
{
	*ret_n = t->n_lsm;
	return t->lsm_why[0] ? t->lsm_why : NULL;
}
