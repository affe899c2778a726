/* test_trace_lsm.c - tier 2 where its hooks may not load: every hook is one that this kernel knows,
 * with the arguments we take; and the bodies, verified by the kernel in an iterator with the same
 * types, refuse and tell what they should. Where the hooks do load, that is what is asked for as
 * well. */
#include "dp_env.h"

#include <sys/mman.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "datapath/trace.h"
#include "event/trace.h"
#include "lsm.skel.h"
#include "twin.skel.h"

#define DIR "/mnt"

enum { ASK_EXEC, ASK_MAP, ASK_OPEN, ASK_PATH, ASK_CALL };

/* ---- the hooks ---- */

static size_t count_args(const struct btf *btf, const char *name)
{
	const struct btf_type *t;
	int id = btf__find_by_name_kind(btf, name, BTF_KIND_FUNC);

	if (id < 0)
		fail_msg("the kernel has no %s", name);
	t = btf__type_by_id(btf, btf__type_by_id(btf, (uint32_t)id)->type);
	return btf_vlen(t);
}

static void every_hook_is_the_kernels(void **state)
{
	static const struct {
		const char *program;
		size_t n_args; /* 0: kernels differ, and it matters not */
	} rows[] = {
		{"bh_lsm_exec", 1},  {"bh_lsm_mmap", 4},   {"bh_lsm_mprotect", 3},
		{"bh_lsm_open", 1},  {"bh_lsm_unlink", 2}, {"bh_lsm_rename", 5},
		{"bh_lsm_link", 3},  {"bh_lsm_mknod", 4},  {"bh_lsm_chmod", 2},
		{"bh_lsm_mount", 5}, {"bh_lsm_ptrace", 2}, {"bh_lsm_bpf", 0},
		{"bh_lsm_kill", 4},
	};
	struct btf *btf = btf__load_vmlinux_btf();
	struct lsm_bpf *skel = lsm_bpf__open();
	struct bpf_program *each;
	size_t n = 0;

	(void)state;
	assert_non_null(btf);
	assert_non_null(skel);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct bpf_program *p =
			bpf_object__find_program_by_name(skel->obj, rows[i].program);
		char name[64];

		assert_non_null(p);
		assert_int_equal(bpf_program__type(p), BPF_PROG_TYPE_LSM);
		assert_int_equal(strncmp(bpf_program__section_name(p), "lsm/", 4), 0);
		snprintf(name, sizeof(name), "bpf_lsm_%s", bpf_program__section_name(p) + 4);
		assert_true(count_args(btf, name) == rows[i].n_args || !rows[i].n_args);
	}
	bpf_object__for_each_program(each, skel->obj) n++;
	assert_int_equal(n, sizeof(rows) / sizeof(rows[0]));
	lsm_bpf__destroy(skel);
	btf__free(btf);
}

/* Refused with a sentence, or attached; never half. */
static void it_loads_or_says_why(void **state)
{
	struct dp_env *e = *state;
	struct bh_trace *t;
	struct bh_err err;
	const char *why;
	size_t n;

	bh_assert_ok(&err, bh_trace_open(e->dp, &t, &err));
	bh_assert_ok(&err, bh_trace_set_mode(t, BH_TRACE_WATCH, &err));
	assert_int_equal(bh_trace_mode(t), BH_TRACE_WATCH);
	why = bh_trace_lsm(t, &n);
	assert_true(why ? n == 0 : n > 0);
	if (why)
		assert_non_null(strstr(why, "killed instead"));
	bh_assert_ok(&err, bh_trace_set_mode(t, BH_TRACE_OFF, &err));
	bh_trace_lsm(t, &n);
	assert_int_equal(n, 0);
	bh_trace_close(t);
}

/* ---- the bodies ---- */

struct twin {
	struct bh_trace *trace;
	struct twin_bpf *skel;
	struct dp_env *env;
	pid_t pid; /* a shell of the pod */
	int to, from;
};

static void share_maps(struct twin_bpf *skel)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, skel->obj)
	{
		char path[128];
		int fd;

		bpf_map__set_pin_path(map, NULL);
		snprintf(path, sizeof(path), DP_BPFFS "/abi%d/maps/%s", BH_ABI_VERSION,
			 bpf_map__name(map));
		fd = bpf_obj_get(path);
		if (fd >= 0) {
			assert_int_equal(bpf_map__reuse_fd(map, fd), 0);
			close(fd);
		}
	}
}

/* The shell has descriptor 7 open on the file; it answers a line with a line. */
static void shell_start(struct twin *t, const char *file)
{
	int in[2], out[2];
	char script[300], byte;

	assert_int_equal(pipe(in) | pipe(out), 0);
	snprintf(script, sizeof(script), "exec 7<%s; echo; read x", file);
	t->pid = fork();
	assert_true(t->pid >= 0);
	if (t->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		if (setns(t->env->pod[0].ns, CLONE_NEWNET))
			_exit(90);
		execl("/bin/sh", "sh", "-c", script, NULL);
		_exit(91);
	}
	close(in[0]);
	close(out[1]);
	t->to = in[1];
	t->from = out[0];
	assert_int_equal(read(t->from, &byte, 1), 1);
}

static void shell_end(struct twin *t)
{
	close(t->to);
	close(t->from);
	waitpid(t->pid, NULL, 0);
}

static void twin_open(struct twin *t, struct dp_env *e)
{
	struct bh_err err;

	t->env = e;
	dp_attach(e, 0);
	bh_assert_ok(&err, bh_trace_open(e->dp, &t->trace, &err));
	bh_assert_ok(&err, bh_trace_set_mode(t->trace, BH_TRACE_LIGHT, &err));
	t->skel = twin_bpf__open();
	assert_non_null(t->skel);
	for (uint32_t i = 0; i < sizeof(t->skel->rodata->lsm_nr) / sizeof(uint32_t); i++)
		t->skel->rodata->lsm_nr[i] = i;
	share_maps(t->skel);
	assert_int_equal(twin_bpf__load(t->skel), 0); /* the verifier's word */
}

static void twin_close(struct twin *t)
{
	twin_bpf__destroy(t->skel);
	bh_trace_close(t->trace);
}

static int ask(struct twin *t, uint32_t what, uint32_t arg)
{
	struct bpf_link *link;
	char sink[16];
	int fd;

	t->skel->bss->twin_pid = (uint32_t)t->pid;
	t->skel->bss->twin_fd = 7;
	t->skel->bss->twin_what = what;
	t->skel->bss->twin_arg = arg;
	t->skel->bss->twin_runs = 0;
	link = bpf_program__attach_iter(t->skel->progs.bh_twin, NULL);
	assert_non_null(link);
	fd = bpf_iter_create(bpf_link__fd(link));
	assert_true(fd >= 0);
	while (read(fd, sink, sizeof(sink)) > 0)
		;
	close(fd);
	bpf_link__destroy(link);
	assert_int_equal(t->skel->bss->twin_runs, 1);
	return t->skel->bss->twin_verdict;
}

static void set_policy(struct twin *t, struct bh_trace_policy p, const char *allowed)
{
	const char *const allow[] = {allowed};
	struct bh_err err;

	p.generation = 7;
	bh_assert_ok(&err, bh_trace_set_policy(t->trace, t->env->pod[0].slot, &p, allow,
					       allowed ? 1 : 0, &err));
}

struct seen {
	int n, n_blocked, n_map, n_open;
	char path[300];
};

static void on_record(const void *record, size_t len, void *arg)
{
	struct seen *s = arg;
	struct bh_trace_event ev;
	struct bh_err err;

	bh_assert_ok(&err, bh_trace_decode(record, len, &ev, &err));
	s->n++;
	s->n_map += ev.kind == BH_TRACE_MAP;
	s->n_open += ev.kind == BH_TRACE_FILE;
	if (ev.flags & BH_TRACE_F_BLOCKED) {
		s->n_blocked++;
		assert_int_equal(ev.op, BH_CALL_DENIED);
		snprintf(s->path, sizeof(s->path), "%s", ev.path);
	}
}

static struct seen drain(struct twin *t)
{
	struct seen s = {0};

	while (bh_trace_consume(t->trace, 1000, on_record, &s) == 1000)
		;
	return s;
}

static void what_is_refused_gets_eperm(void **state)
{
	const uint32_t tmpfs = 1u << BH_TRACE_O_TMPFS;
	struct twin t = {0};
	struct seen s;

	twin_open(&t, *state);
	dp_sh("cp /bin/true " DIR "/dropped");
	shell_start(&t, DIR "/dropped");
	drain(&t);
	assert_int_equal(ask(&t, ASK_EXEC, 0), 0); /* no policy */
	set_policy(&t, (struct bh_trace_policy){.origins = tmpfs}, NULL);
	assert_int_equal(ask(&t, ASK_EXEC, 0), 0); /* it does not kill */
	set_policy(&t, (struct bh_trace_policy){.flags = BH_TRACE_P_KILL, .origins = tmpfs}, NULL);
	assert_int_equal(ask(&t, ASK_EXEC, 0), -EPERM);
	s = drain(&t);
	assert_int_equal(s.n_blocked, 1);
	assert_string_equal(s.path, DIR "/dropped");
	assert_int_equal(ask(&t, ASK_MAP, PROT_READ | PROT_EXEC), -EPERM);
	s = drain(&t);
	assert_true(s.n_map == 1 && s.n_blocked == 1);
	/* users and lists */
	set_policy(&t, (struct bh_trace_policy){.flags = BH_TRACE_P_KILL, .n_uids = 1, .uid = {33}},
		   NULL);
	assert_int_equal(ask(&t, ASK_EXEC, 33), -EPERM);
	assert_int_equal(ask(&t, ASK_EXEC, 34), 0);
	set_policy(&t, (struct bh_trace_policy){.flags = BH_TRACE_P_KILL | BH_TRACE_P_ALLOW},
		   "/bin/other");
	assert_int_equal(ask(&t, ASK_EXEC, 0), -EPERM);
	t.skel->bss->twin_is_script = 1; /* its interpreter is asked about next */
	assert_int_equal(ask(&t, ASK_EXEC, 0), 0);
	t.skel->bss->twin_is_script = 0; /* and may run what is listed, nothing else */
	strcpy(t.skel->bss->twin_script, "/bin/unlisted");
	assert_int_equal(ask(&t, ASK_EXEC, 0), -EPERM);
	strcpy(t.skel->bss->twin_script, "/bin/other");
	assert_int_equal(ask(&t, ASK_EXEC, 0), 0);
	t.skel->bss->twin_script[0] = '\0';
	set_policy(&t, (struct bh_trace_policy){.flags = BH_TRACE_P_KILL | BH_TRACE_P_ALLOW},
		   DIR "/dropped");
	assert_int_equal(ask(&t, ASK_EXEC, 0), 0);
	shell_end(&t);
	twin_close(&t);
}

static void what_happens_is_told(void **state)
{
	struct twin t = {0};
	struct bh_trace_slot b;
	struct seen s;

	twin_open(&t, *state);
	dp_sh("cp /bin/true " DIR "/told");
	shell_start(&t, DIR "/told");
	drain(&t);
	assert_int_equal(ask(&t, ASK_MAP, PROT_READ | PROT_EXEC), 0);
	assert_int_equal(ask(&t, ASK_PATH, BH_TRACE_OP_RENAME), 0);
	assert_int_equal(ask(&t, ASK_OPEN, 0), 0); /* only read: not told */
	s = drain(&t);
	assert_true(s.n_map == 1 && s.n_open == 1 && s.n == 2);
	/* again: known */
	assert_int_equal(ask(&t, ASK_MAP, PROT_READ | PROT_EXEC), 0);
	assert_int_equal(drain(&t).n, 0);
	set_policy(&t, (struct bh_trace_policy){.flags = BH_TRACE_P_KILL_CALLS, .calls = {16}},
		   NULL);
	assert_int_equal(ask(&t, ASK_CALL, 0), -EPERM); /* the twin's number of ptrace is 4 */
	set_policy(&t, (struct bh_trace_policy){.flags = BH_TRACE_P_KILL_CALLS, .calls = {8}},
		   NULL);
	assert_int_equal(ask(&t, ASK_CALL, 0), 0);
	b = bh_trace_books(t.trace, t.env->pod[0].slot);
	assert_int_equal(b.seen, b.delivered + b.deduplicated + b.deferred + b.lost);
	shell_end(&t);
	twin_close(&t);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, dp_setup, dp_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_hook_is_the_kernels),
		T(it_loads_or_says_why),
		T(what_is_refused_gets_eperm),
		T(what_happens_is_told),
	};

	if (!dp_isolate()) {
		puts("needs root");
		return 77;
	}
	assert_int_equal(mount("tmpfs", DIR, "tmpfs", 0, NULL), 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
