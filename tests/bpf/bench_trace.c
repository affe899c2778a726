/* bench_trace.c - what tracing costs: per exec in the hook itself (the kernel's statistics of the
 * program), and per system call, open and exec as a program in a pod and one of no pod see it, in
 * each mode, in turns of one run; beside them what an empty program at the end of each call costs,
 * which nothing that is attached there can be cheaper than.
 *
 * Usage: bench_trace [ROUNDS [hook|calls]]; hook: only the former, calls: only system calls. Prints
 * one line a figure: what, unit, median, smallest, largest. bench_trace empty: attaches the empty
 * program until its input ends, and prints how often it ran and how many nanoseconds, while the
 * kernel counts them. */
#include "dp_env.h"

#include <sys/resource.h>
#include <sys/syscall.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "datapath/trace_private.h"

#define CALLS 100000
#define OPENS 10000
#define EXECS 200
#define DIR   "/mnt" /* a tmpfs of our own */
#define MODES 7

static const struct {
	const char *name;
	enum bh_trace_mode mode;
	uint32_t seq; /* BH_SEQ_*; 0: nothing wants to know in which order calls come */
	bool is_empty;
} modes[MODES] = {
	{"not traced", BH_TRACE_OFF, 0, false},
	{"light", BH_TRACE_LIGHT, 0, false},
	{"light, and an empty program", BH_TRACE_LIGHT, 0, true},
	{"watch", BH_TRACE_WATCH, 0, false},
	{"watch, sequences judged", BH_TRACE_WATCH, BH_SEQ_JUDGE, false},
	{"learn", BH_TRACE_LEARN, 0, false},
	{"learn, sequences counted", BH_TRACE_LEARN, BH_SEQ_COUNT, false},
};

struct figures {
	double v[MODES][64];
	int n;
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void show(const char *what, const char *unit, double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), by_value);
	printf("%s\t%s\t%.1f\t%.1f\t%.1f\n", what, unit, v[n / 2], v[0], v[n - 1]);
}

static void show_modes(const char *what, struct figures *f)
{
	char text[120];

	for (int m = 0; m < MODES; m++) {
		snprintf(text, sizeof(text), "%s, %s", what, modes[m].name);
		show(text, "ns", f->v[m], f->n);
	}
}

/* ---- what a program feels; each runs in a child of its own, which prints nanoseconds ---- */

static uint64_t us_of(const struct timeval *t)
{
	return (uint64_t)t->tv_sec * 1000000u + (uint64_t)t->tv_usec;
}

/* Of the process and its children: whatever else the machine does. */
static uint64_t cpu_ns(void)
{
	struct rusage self, children;

	getrusage(RUSAGE_SELF, &self);
	getrusage(RUSAGE_CHILDREN, &children);
	return 1000 * (us_of(&self.ru_utime) + us_of(&self.ru_stime) + us_of(&children.ru_utime) +
		       us_of(&children.ru_stime));
}

static double loop_calls(void)
{
	uint64_t from = cpu_ns();

	for (int i = 0; i < CALLS; i++)
		syscall(SYS_getppid);
	return (double)(cpu_ns() - from) / CALLS;
}

static double loop_opens(void)
{
	uint64_t from = cpu_ns();

	for (int i = 0; i < OPENS; i++)
		close(open("/etc/hostname", O_RDONLY));
	return (double)(cpu_ns() - from) / OPENS;
}

static double loop_execs(void)
{
	uint64_t from = cpu_ns();

	for (int i = 0; i < EXECS; i++) {
		pid_t pid = vfork();

		if (pid == 0) {
			execl("/bin/true", "true", NULL);
			_exit(1);
		}
		waitpid(pid, NULL, 0);
	}
	return (double)(cpu_ns() - from) / EXECS;
}

static const struct {
	const char *name;
	double (*fn)(void);
} loops[] = {
	{"getppid", loop_calls}, {"open and close", loop_opens}, {"vfork and exec", loop_execs}};

/* This program again, in the pod, so that it is a traced image. */
static double in_child(const struct dp_pod *p, int loop)
{
	char number[16];
	double ns = 0;
	int out[2];
	pid_t pid;

	snprintf(number, sizeof(number), "%d", loop);
	assert_int_equal(pipe(out), 0);
	pid = fork();
	if (pid == 0) {
		if (p && setns(p->ns, CLONE_NEWNET))
			_exit(1);
		dup2(out[1], 1);
		execl("/proc/self/exe", "bench_trace", "loop", number, NULL);
		_exit(1);
	}
	close(out[1]);
	if (read(out[0], &ns, sizeof(ns)) != sizeof(ns))
		ns = -1;
	close(out[0]);
	waitpid(pid, NULL, 0);
	return ns;
}

static void skip_record(const void *record, size_t len, void *arg)
{
	(void)record;
	(void)len;
	(void)arg;
}

static int empty_load(void)
{
	struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	struct bpf_prog_load_opts opts = {.sz = sizeof(opts),
					  .expected_attach_type = BPF_TRACE_RAW_TP};
	int fd;

	opts.attach_btf_id = (uint32_t)libbpf_find_vmlinux_btf_id("sys_exit", BPF_TRACE_RAW_TP);
	fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, "bh_empty", "GPL", insns, BH_ARRAY_SIZE(insns),
			   &opts);
	assert_true(fd >= 0);
	return fd;
}

/* The filter knows everything, as it does nearly always. */
static void set_mode(struct dp_env *e, struct bh_trace *t, int m)
{
	struct bh_trace_seq q = {.generation = 7, .flags = modes[m].seq, .limit = 12};
	static int empty = -1, link = -1;
	struct bh_err err;

	if (empty < 0)
		empty = empty_load();
	if (link >= 0)
		close(link);
	link = modes[m].is_empty ? bpf_raw_tracepoint_open(NULL, empty) : -1;
	memset(q.word, 0xff, sizeof(q.word));
	bh_assert_ok(&err, bh_trace_set_mode(t, modes[m].mode, &err));
	bh_trace_seq_unset(t, e->pod[0].slot);
	if (q.flags)
		bh_assert_ok(&err, bh_trace_seq_set(t, e->pod[0].slot, &q, &err));
}

static void measure_modes(struct dp_env *e, struct bh_trace *t, int rounds, size_t n_loops)
{
	static struct figures f[2][BH_ARRAY_SIZE(loops)];
	char what[80];

	for (int i = 0; i < rounds; i++) {
		for (int m = 0; m < MODES; m++) {
			set_mode(e, t, m);
			for (int where = 0; where < 2; where++) {
				for (size_t l = 0; l < n_loops; l++)
					f[where][l].v[m][i] =
						in_child(where ? &e->pod[0] : NULL, (int)l);
				bh_trace_consume(t, 100000, skip_record, NULL);
			}
		}
	}
	for (int where = 0; where < 2; where++) {
		for (size_t l = 0; l < n_loops; l++) {
			f[where][l].n = rounds;
			snprintf(what, sizeof(what), "%s, %s", loops[l].name,
				 where ? "in a pod" : "of no pod");
			show_modes(what, &f[where][l]);
		}
	}
}

/* ---- the hook itself ---- */

struct cost {
	uint64_t runs, ns;
};

static const char *const hooks[] = {"exec", "fork", "exit"};
#define HOOKS 3

static struct cost cost_of_fd(int fd)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);

	assert_int_equal(bpf_prog_get_info_by_fd(fd, &info, &len), 0);
	return (struct cost){info.run_cnt, info.run_time_ns};
}

static struct cost cost_of(const struct bh_trace *t, size_t hook)
{
	char name[32];

	snprintf(name, sizeof(name), "bh_trace_%s", hooks[hook]);
	return cost_of_fd(bh_trace_prog(&t->obj, name));
}

/* What is executed, how often in a batch; and by whom: a process of the pod, or one that comes from
 * outside, as a runtime does. */
struct kind {
	const char *name;
	bool is_new; /* each time under a name that the set does not have */
	bool is_outside;
	bool is_foreign; /* the process goes into no pod at all */
	bool is_watched; /* in watch mode */
	const char *target;
	size_t args; /* bytes */
};

static const struct kind kinds[] = {
	{"known", .target = "/bin/true", .args = 20},
	{"new and announced", .is_new = true, .target = "/bin/true", .args = 20},
	{"new, from outside of the pod", .is_new = true, .is_outside = true, .target = "/bin/true",
	 .args = 20},
	{"new with 4 KiB of arguments", .is_new = true, .target = "/bin/true", .args = 3990},
	{"new and an alarm", .is_new = true, .target = DIR "/dropped", .args = 20},
	{"of no pod", .is_outside = true, .is_foreign = true, .target = "/bin/true", .args = 20},
	{"known, in watch mode", .is_watched = true, .target = "/bin/true", .args = 20},
	{"new and announced, in watch mode", .is_watched = true, .is_new = true,
	 .target = "/bin/true", .args = 20},
};

#define BATCH 50
#define VARS  24 /* a kilobyte of environment */

static char **batch_env(void)
{
	static char text[VARS][64];
	static char *env[VARS + 1];

	for (size_t i = 0; i < VARS; i++) {
		snprintf(text[i], sizeof(text[i]),
			 "SERVICE_%02zu_PORT_ADDRESS=tcp://10.96.0.%zu:8080", i, 10 + i);
		env[i] = text[i];
	}
	return env;
}

/* As a runtime does it: this machine's programs are the image, DIR is a volume. */
static bool enter_image(void)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount("overlay", DIR "/root", "overlay", 0,
		     "lowerdir=/,upperdir=" DIR "/upper,workdir=" DIR "/work") == 0 &&
	       mount(DIR, DIR "/root" DIR, NULL, MS_BIND, NULL) == 0 && chdir(DIR "/root") == 0 &&
	       syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0 &&
	       chdir("/") == 0;
}

/* tenant: whose name it is to be new to; its set has no other's. */
static void batch_path(char out[64], const struct kind *k, uint32_t tenant, int i)
{
	snprintf(out, 64, DIR "/x%td.%u.%d", k - kinds, k->is_new ? tenant : 0, k->is_new ? i : 0);
}

static void run_one(const int enter[2], const struct kind *k, uint32_t tenant, int i)
{
	static char arg[4096];
	char path[64], **env = batch_env();
	pid_t pid;

	batch_path(path, k, tenant, i);
	memset(arg, 'x', k->args);
	arg[k->args] = '\0';
	pid = vfork();
	if (pid == 0) {
		if (enter && (setns(enter[0], CLONE_NEWNET) || setns(enter[1], CLONE_NEWNS)))
			_exit(1);
		execle(path, path, "child", arg, NULL, env);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

/* In a process of the pod: a batch whenever a byte comes. */
static int serve_batches(const struct kind *k, uint32_t tenant)
{
	char byte = 'r';

	do {
		if (write(1, &byte, 1) != 1 || read(0, &byte, 1) != 1)
			return 0;
		for (int i = 0; i < BATCH; i++)
			run_one(NULL, k, tenant, i);
	} while (true);
}

struct server {
	pid_t pid;
	int to, from;
};

static void server_answers(const struct server *s)
{
	char byte;

	assert_int_equal(read(s->from, &byte, 1), 1);
}

static void server_exec(const struct dp_pod *p, const struct kind *k, uint32_t tenant)
{
	int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char number[24], whose[24];
	char *args[] = {"bench_trace", "serve", number, whose, NULL};

	snprintf(number, sizeof(number), "%td", k - kinds);
	snprintf(whose, sizeof(whose), "%u", tenant);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (setns(p->ns, CLONE_NEWNET) == 0 && enter_image())
		fexecve(self, args, environ);
	_exit(1);
}

static struct server server_start(const struct dp_pod *p, const struct kind *k, uint32_t tenant)
{
	struct server s;
	int in[2], out[2];

	assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
	s.pid = fork();
	if (s.pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		server_exec(p, k, tenant);
	}
	close(in[0]);
	close(out[1]);
	s.to = in[1];
	s.from = out[0];
	server_answers(&s);
	return s;
}

static void server_batch(const struct server *s)
{
	char byte = 'b';

	assert_int_equal(write(s->to, &byte, 1), 1);
	server_answers(s);
}

static void server_stop(struct server *s)
{
	close(s->to);
	waitpid(s->pid, NULL, 0);
	close(s->from);
}

/* By processes that are of no pod before. */
static void outside_batch(const struct dp_pod *p, const struct server *s, const struct kind *k,
			  uint32_t tenant)
{
	int enter[2] = {p->ns, -1};
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)s->pid);
	enter[1] = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(enter[1] >= 0);
	for (int i = 0; i < BATCH; i++)
		run_one(k->is_foreign ? NULL : enter, k, tenant, i);
	close(enter[1]);
}

static void make_names(const struct kind *k, uint32_t tenant, bool is_to_be)
{
	char path[64];

	for (int i = 0; i < (k->is_new ? BATCH : 1); i++) {
		batch_path(path, k, tenant, i);
		assert_int_equal(is_to_be ? symlink(k->target, path) : unlink(path), 0);
	}
}

/* Means over a batch, by a tenant whose set is empty. */
static void exec_batch(struct dp_env *e, struct bh_trace *t, const struct kind *k,
		       double ret[HOOKS])
{
	static uint32_t tenant = 7;
	struct bh_attach attach = dp_attach_of(&e->pod[0]);
	struct server s;
	struct cost a[HOOKS], b[HOOKS];
	struct bh_err err;

	attach.generation = ++tenant;
	bh_assert_ok(&err, bh_datapath_attach(e->dp, &attach, &err));
	make_names(k, tenant, true);
	s = server_start(&e->pod[0], k, tenant);
	if (!k->is_new) /* uses up the share of repeated announcements: the rest is only counted */
		for (int i = 0; i < 3; i++)
			server_batch(&s);
	bh_trace_consume(t, 100000, skip_record, NULL);
	for (size_t h = 0; h < HOOKS; h++)
		a[h] = cost_of(t, h);
	if (k->is_outside)
		outside_batch(&e->pod[0], &s, k, tenant);
	else
		server_batch(&s);
	for (size_t h = 0; h < HOOKS; h++)
		b[h] = cost_of(t, h);
	server_stop(&s);
	make_names(k, tenant, false);
	bh_assert_ok(&err, bh_datapath_detach(e->dp, e->pod[0].slot, &err));
	for (size_t h = 0; h < HOOKS; h++)
		ret[h] = (double)(b[h].ns - a[h].ns) / (double)(b[h].runs - a[h].runs);
}

static void measure_hooks(struct dp_env *e, struct bh_trace *t, int rounds)
{
	int stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	static double v[BH_ARRAY_SIZE(kinds)][HOOKS][64];
	double mean[HOOKS];
	struct bh_err err;
	char what[80];

	assert_true(stats >= 0);
	dp_sh("cp /bin/true " DIR "/dropped");
	dp_sh("mkdir " DIR "/root " DIR "/upper " DIR "/work");
	for (int i = 0; i < rounds; i++) {
		for (size_t k = 0; k < BH_ARRAY_SIZE(kinds); k++) {
			bh_assert_ok(&err, bh_trace_set_mode(t,
							     kinds[k].is_watched ? BH_TRACE_WATCH
										 : BH_TRACE_LIGHT,
							     &err));
			exec_batch(e, t, &kinds[k], mean);
			for (size_t h = 0; h < HOOKS; h++)
				v[k][h][i] = mean[h];
		}
	}
	close(stats);
	for (size_t h = 0; h < HOOKS; h++) {
		for (size_t k = 0; k < BH_ARRAY_SIZE(kinds); k++) {
			if (h > 0 && (kinds[k].is_new || kinds[k].is_watched))
				continue; /* all the same to them */
			snprintf(what, sizeof(what), "%s hook, %s", hooks[h], kinds[k].name);
			show(what, "ns", v[k][h], rounds);
		}
	}
}

static int run_empty(void)
{
	int stats = bpf_enable_stats(BPF_STATS_RUN_TIME), prog = empty_load();
	int link = bpf_raw_tracepoint_open(NULL, prog);
	struct cost c;
	char byte;

	if (stats < 0 || link < 0)
		return 1;
	while (read(0, &byte, 1) > 0)
		;
	c = cost_of_fd(prog);
	printf("%llu %llu\n", (unsigned long long)c.runs, (unsigned long long)c.ns);
	return 0;
}

static void measure(void **state)
{
	struct dp_env *e = *state;
	const char *text = getenv("ROUNDS"), *only = getenv("ONLY") ? getenv("ONLY") : "";
	int rounds = text ? (int)strtol(text, NULL, 10) : 7;
	struct bh_trace *t;
	struct bh_err err;

	assert_in_range(rounds, 1, 64);
	bh_assert_ok(&err, bh_trace_open(e->dp, &t, &err));
	if (strcmp(only, "calls") != 0)
		measure_hooks(e, t, rounds);
	if (strcmp(only, "hook") != 0) {
		dp_attach(e, 0);
		measure_modes(e, t, rounds, strcmp(only, "calls") == 0 ? 1 : BH_ARRAY_SIZE(loops));
	}
	bh_trace_close(t);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(measure, dp_setup, dp_teardown)};
	double ns;

	if (argc > 2 && strcmp(argv[1], "loop") == 0) {
		ns = loops[strtol(argv[2], NULL, 10) % (long)BH_ARRAY_SIZE(loops)].fn();
		return write(1, &ns, sizeof(ns)) == sizeof(ns) ? 0 : 1;
	}
	if (argc > 1 && strcmp(argv[1], "empty") == 0)
		return run_empty();
	if (argc > 3 && strcmp(argv[1], "serve") == 0)
		return serve_batches(&kinds[strtol(argv[2], NULL, 10) % (long)BH_ARRAY_SIZE(kinds)],
				     (uint32_t)strtoul(argv[3], NULL, 10));
	if (argc > 1 && setenv("ROUNDS", argv[1], 1))
		return 1;
	if (argc > 2 && setenv("ONLY", argv[2], 1))
		return 1;
	if (!dp_isolate()) {
		puts("needs root");
		return 77;
	}
	assert_int_equal(mount("tmpfs", DIR, "tmpfs", 0, NULL), 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
