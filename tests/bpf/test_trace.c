/* test_trace.c - the tracing programs on real tasks: identity, books, sets, kills, modes, adoption.
 *
 * The test program is also what the pods execute: with BH_TRACE_MARK set, its constructor leaves a
 * file, so that one instruction of a killed image would be seen. */
#include "dp_env.h"

#include <sys/mount.h>

#include "datapath/trace.h"
#include "event/trace.h"

#define DIR   "/mnt" /* a tmpfs of the test's mount namespace */
#define KILLS 200
#define FLOOD 400

__attribute__((constructor)) static void leave_mark(void)
{
	const char *mark = getenv("BH_TRACE_MARK");

	if (mark)
		close(open(mark, O_CREAT | O_WRONLY, 0600));
}

struct seen {
	int n, n_exec, n_exit, n_killed, n_outside, n_first, n_high;
	char names[FLOOD][BH_COMM_LEN + 1]; /* distinct comms of execs */
	int n_names;
	struct bh_trace_event last; /* exec; strings are copies */
	char path[300], parent[300], args[BH_TRACE_ARGS];
	int status; /* of the last exit */
};

static void note_name(struct seen *s, const char *name)
{
	for (int i = 0; i < s->n_names; i++)
		if (strcmp(s->names[i], name) == 0)
			return;
	if (s->n_names < FLOOD)
		snprintf(s->names[s->n_names++], sizeof(s->names[0]), "%s", name);
}

static void note(struct seen *s, const struct bh_trace_event *ev)
{
	s->n++;
	if (ev->kind == BH_TRACE_EXIT) {
		s->n_exit++;
		s->status = ev->status;
		return;
	}
	s->n_exec++;
	s->n_killed += !!(ev->flags & BH_TRACE_F_KILLED);
	s->n_outside += !!(ev->flags & BH_TRACE_F_OUTSIDE);
	s->n_first += !!(ev->flags & BH_TRACE_F_FIRST);
	s->n_high += !!(ev->flags & BH_TRACE_F_HIGH);
	note_name(s, ev->comm);
	s->last = *ev;
	snprintf(s->path, sizeof(s->path), "%s", ev->path);
	snprintf(s->parent, sizeof(s->parent), "%s", ev->parent_path);
	memcpy(s->args, ev->args, ev->args_len);
	s->last.path = s->path;
	s->last.parent_path = s->parent;
	s->last.args = s->args;
}

static void on_record(const void *record, size_t len, void *arg)
{
	struct bh_trace_event ev;
	struct bh_err err;

	bh_assert_ok(&err, bh_trace_decode(record, len, &ev, &err));
	note(arg, &ev);
}

static int on_fact(const struct bh_fact_key *key, const struct bh_fact *fact, void *arg)
{
	struct bh_trace_event ev;
	struct bh_err err;

	bh_assert_ok(&err, bh_trace_decode_fact(key, fact, &ev, &err));
	note(arg, &ev);
	return 0;
}

static void drain(struct bh_trace *t, struct seen *s)
{
	while (bh_trace_consume(t, 1000, on_record, s) == 1000)
		;
}

static void assert_balanced(const struct bh_trace *t, uint32_t slot)
{
	struct bh_trace_slot b = bh_trace_books(t, slot);

	assert_int_equal(b.seen, b.delivered + b.deduplicated + b.deferred + b.lost);
}

static struct bh_trace *trace_open(struct dp_env *e, enum bh_trace_mode mode)
{
	struct bh_trace *t;
	struct bh_err err;

	bh_assert_ok(&err, bh_trace_open(e->dp, &t, &err));
	bh_assert_ok(&err, bh_trace_set_mode(t, mode, &err));
	return t;
}

/* Executes path in the pod's namespace and returns the wait status. */
static int run_in(const struct dp_pod *p, const char *path, char *const argv[], char *const env[])
{
	pid_t pid = vfork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (p && setns(p->ns, CLONE_NEWNET))
			_exit(90);
		execve(path, argv, env);
		_exit(91);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int run_child(const struct dp_pod *p, const char *path)
{
	char *argv[] = {(char *)path, "child", NULL}, *env[] = {NULL};

	return run_in(p, path, argv, env);
}

static void copy_self(const char *to)
{
	dp_sh("cp /proc/%d/exe %s && chmod 755 %s", (int)getpid(), to, to);
}

/* ---- tests ---- */

static void an_exec_is_told_with_its_pod(void **state)
{
	struct dp_env *e = *state;
	struct bh_trace *t = trace_open(e, BH_TRACE_LIGHT);
	char *argv[] = {"/bin/sh", "-c", "/bin/true; exit 3", NULL}, *env[] = {NULL};
	struct seen s = {0};

	dp_attach(e, 0);
	assert_int_equal(WEXITSTATUS(run_in(&e->pod[0], "/bin/sh", argv, env)), 3);
	assert_int_equal(WEXITSTATUS(run_child(NULL, "/bin/true")), 0); /* of no pod */
	drain(t, &s);
	assert_int_equal(s.n_exec, 2);
	assert_int_equal(s.n_outside, 1);
	assert_int_equal(s.last.slot, e->pod[0].slot);
	assert_int_equal(s.last.generation, 7);
	assert_string_equal(s.last.comm, "true");
	assert_int_equal(s.last.args_len, strlen("/bin/true") + 1);
	assert_memory_equal(s.last.args, "/bin/true", sizeof("/bin/true"));
	assert_non_null(strstr(s.last.parent_path, "sh"));
	assert_int_not_equal(s.last.parent_exec_id, 0);
	assert_int_not_equal(s.last.parent_exec_id, s.last.exec_id);
	assert_int_equal(s.n_exit, 2);
	assert_int_equal(WEXITSTATUS(s.status), 3);
	assert_balanced(t, e->pod[0].slot);
	assert_int_equal(bh_trace_books(t, e->pod[0].slot).seen, 4);
	bh_trace_close(t);
}

/* A hundred at once, and twenty a second: a slow machine must repeat itself more often before most
 * of it is not told. */
static void what_repeats_is_counted_not_told(void **state)
{
	struct dp_env *e = *state;
	struct bh_trace *t = trace_open(e, BH_TRACE_LIGHT);
	uint64_t start_ns = bh_datapath_now_ns();
	struct bh_trace_slot b = {0};
	struct seen s = {0};
	uint64_t n = 0;

	dp_attach(e, 0);
	for (; n < 300 || (b.deduplicated <= 100 && n < 3000); n++) {
		assert_int_equal(run_child(&e->pod[0], "/bin/true"), 0);
		drain(t, &s);
		b = bh_trace_books(t, e->pod[0].slot);
	}
	assert_int_equal(b.execs, n);
	assert_int_equal(b.lost, 0);
	assert_int_equal(b.deferred, 0);
	assert_true(b.deduplicated > 100);
	assert_true((uint64_t)s.n_exec <= 102 + (bh_datapath_now_ns() - start_ns) / 50000000);
	assert_int_equal(s.n_exec + b.deduplicated, n);
	assert_int_equal(s.n, b.delivered);
	assert_balanced(t, e->pod[0].slot);
	bh_trace_close(t);
}

/* Distinct programs with long arguments while nobody reads. */
static void flood(struct dp_env *e)
{
	static char big[4000];
	char path[64], *env[] = {NULL}, *argv[] = {path, "child", big, NULL};

	memset(big, 'x', sizeof(big) - 1);
	copy_self(DIR "/self");
	for (int i = 0; i < FLOOD; i++) {
		snprintf(path, sizeof(path), DIR "/n%d", i);
		assert_int_equal(symlink("self", path), 0);
		assert_int_equal(run_in(&e->pod[0], path, argv, env), 0);
	}
}

static void a_full_ring_loses_nothing_new(void **state)
{
	struct dp_env *e = *state;
	struct bh_trace *t = trace_open(e, BH_TRACE_LIGHT);
	struct bh_trace_slot b;
	struct seen s = {0};
	struct bh_err err;

	dp_attach(e, 0);
	flood(e);
	b = bh_trace_books(t, e->pod[0].slot);
	assert_int_equal(b.execs, FLOOD);
	assert_true(b.deferred > 100);
	assert_balanced(t, e->pod[0].slot);
	drain(t, &s);
	assert_int_equal(s.n, b.delivered);
	bh_assert_ok(&err, bh_trace_sweep(t, on_fact, &s, &err));
	b = bh_trace_books(t, e->pod[0].slot);
	assert_int_equal(b.swept, b.deferred);
	assert_int_equal(s.n, b.delivered + b.swept);
	assert_int_equal(s.n_names, FLOOD);
	bh_assert_ok(&err, bh_trace_sweep(t, on_fact, &s, &err));
	assert_int_equal(s.n, b.delivered + b.swept); /* nothing twice */
	bh_trace_close(t);
}

static void refuse(struct bh_trace *t, struct dp_env *e, struct bh_trace_policy p)
{
	static const char *const allow[] = {"/bin/true", "/usr/bin/true"};
	struct bh_err err;

	p.generation = 7;
	bh_assert_ok(&err, bh_trace_set_policy(t, e->pod[0].slot, &p, allow, 2, &err));
}

static void what_is_refused_executes_nothing(void **state)
{
	struct dp_env *e = *state;
	struct bh_trace *t = trace_open(e, BH_TRACE_LIGHT);
	char *argv[] = {DIR "/dropped", "child", NULL};
	char *env[] = {"BH_TRACE_MARK=" DIR "/mark", NULL};
	struct seen s = {0};
	struct bh_err err;
	int killed = 0;

	dp_attach(e, 0);
	copy_self(DIR "/dropped");
	assert_int_equal(run_in(&e->pod[0], DIR "/dropped", argv, env), 0);
	assert_int_equal(unlink(DIR "/mark"), 0); /* the constructor works */
	refuse(t, e,
	       (struct bh_trace_policy){.flags = BH_TRACE_P_KILL,
					.origins = 1u << BH_TRACE_O_TMPFS});
	/* without a reader, too: the rings have no say */
	for (int i = 0; i < KILLS; i++) {
		int status = run_in(&e->pod[0], DIR "/dropped", argv, env);

		killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
		assert_int_equal(access(DIR "/mark", F_OK), -1);
	}
	assert_int_equal(killed, KILLS);
	assert_int_equal(bh_trace_books(t, e->pod[0].slot).killed, KILLS);
	drain(t, &s);
	assert_true(s.n_killed > 0 && s.n_high > 0);
	assert_balanced(t, e->pod[0].slot);
	assert_int_equal(run_child(&e->pod[0], "/bin/true"), 0);
	bh_assert_ok(&err, bh_trace_set_policy(t, e->pod[0].slot, NULL, NULL, 0, &err));
	assert_int_equal(run_in(&e->pod[0], DIR "/dropped", argv, env), 0);
	bh_trace_close(t);
}

/* What the set knows is only counted in a flood, but not when it is refused from now on. */
static void what_is_refused_in_a_flood_is_told(void **state)
{
	struct dp_env *e = *state;
	struct bh_trace *t = trace_open(e, BH_TRACE_LIGHT);
	struct bh_trace_slot b = {0};
	struct seen s = {0};

	dp_attach(e, 0);
	for (int n = 0; b.deduplicated <= 100 && n < 3000; n++) {
		assert_int_equal(run_child(&e->pod[0], "/bin/true"), 0);
		b = bh_trace_books(t, e->pod[0].slot);
	}
	drain(t, &s);
	assert_int_equal(s.n_killed, 0);
	refuse(t, e, (struct bh_trace_policy){.flags = BH_TRACE_P_KILL, .n_uids = 1, .uid = {0}});
	assert_true(WIFSIGNALED(run_child(&e->pod[0], "/bin/true")));
	drain(t, &s);
	assert_int_equal(s.n_killed, 1);
	assert_true(s.last.flags & BH_TRACE_F_HIGH);
	assert_string_equal(s.last.comm, "true");
	assert_balanced(t, e->pod[0].slot);
	bh_trace_close(t);
}

static void paths_and_users_are_refused(void **state)
{
	struct dp_env *e = *state;
	struct bh_trace *t = trace_open(e, BH_TRACE_LIGHT);

	dp_attach(e, 0);
	refuse(t, e, (struct bh_trace_policy){.flags = BH_TRACE_P_KILL | BH_TRACE_P_ALLOW});
	assert_int_equal(run_child(&e->pod[0], "/bin/true"), 0);
	assert_true(WIFSIGNALED(run_child(&e->pod[0], "/bin/false")));
	assert_int_equal(WEXITSTATUS(run_child(NULL, "/bin/false")), 1); /* of no pod */
	refuse(t, e, (struct bh_trace_policy){.flags = BH_TRACE_P_KILL, .n_uids = 1, .uid = {0}});
	assert_true(WIFSIGNALED(run_child(&e->pod[0], "/bin/true")));
	refuse(t, e, (struct bh_trace_policy){.flags = BH_TRACE_P_KILL, .n_uids = 1, .uid = {5}});
	assert_int_equal(run_child(&e->pod[0], "/bin/true"), 0);
	/* marked, not killed */
	refuse(t, e, (struct bh_trace_policy){.flags = BH_TRACE_P_ALLOW});
	assert_int_equal(WEXITSTATUS(run_child(&e->pod[0], "/bin/false")), 1);
	bh_trace_close(t);
}

struct order {
	uint64_t ts_ns;
	int n, n_high, n_wrong;
};

static void on_order(const void *record, size_t len, void *arg)
{
	struct order *o = arg;
	struct bh_trace_event ev;
	struct bh_err err;

	bh_assert_ok(&err, bh_trace_decode(record, len, &ev, &err));
	o->n++;
	o->n_high += !!(ev.flags & BH_TRACE_F_HIGH);
	o->n_wrong += ev.ts_ns < o->ts_ns;
	o->ts_ns = ev.ts_ns;
}

/* Two rings, one order: an alarm must not be judged before what led to it, however late both are
 * read. */
static void alarms_come_after_what_led_to_them(void **state)
{
	struct dp_env *e = *state;
	BH_CLEANUP(bh_trace_closep) struct bh_trace *t = trace_open(e, BH_TRACE_LIGHT);
	char *argv[] = {"program", "child", NULL}, *env[] = {NULL};
	struct order o = {0};

	dp_attach(e, 0);
	copy_self(DIR "/before");
	copy_self(DIR "/after");
	run_in(&e->pod[0], "/bin/true", argv, env);
	run_in(&e->pod[0], DIR "/before", argv, env);
	run_in(&e->pod[0], "/bin/false", argv, env);
	run_in(&e->pod[0], DIR "/after", argv, env);
	/* also when hardly anything is asked for */
	assert_int_equal(bh_trace_consume(t, 1, on_order, &o), 1);
	while (bh_trace_consume(t, 1000, on_order, &o) == 1000)
		;
	assert_true(o.n >= 8);
	assert_int_equal(o.n_high, 2);
	assert_int_equal(o.n_wrong, 0);
	assert_balanced(t, e->pod[0].slot);
}

static void a_policy_is_for_one_tenant(void **state)
{
	struct dp_env *e = *state;
	struct bh_trace *t = trace_open(e, BH_TRACE_LIGHT);
	struct bh_err err;
	struct bh_attach a;

	dp_attach(e, 0);
	refuse(t, e, (struct bh_trace_policy){.flags = BH_TRACE_P_KILL | BH_TRACE_P_ALLOW});
	assert_true(WIFSIGNALED(run_child(&e->pod[0], "/bin/false")));
	bh_assert_ok(&err, bh_datapath_detach(e->dp, e->pod[0].slot, &err));
	a = dp_attach_of(&e->pod[0]);
	a.generation = 8;
	bh_assert_ok(&err, bh_datapath_attach(e->dp, &a, &err));
	assert_int_equal(WEXITSTATUS(run_child(&e->pod[0], "/bin/false")), 1);
	assert_int_equal(bh_trace_books(t, e->pod[0].slot).execs, 1); /* new books */
	bh_trace_begin(t, e->pod[0].slot, 8);
	assert_int_equal(bh_trace_books(t, e->pod[0].slot).execs, 1); /* still the same tenant */
	bh_trace_begin(t, e->pod[0].slot, 9);
	assert_int_equal(bh_trace_books(t, e->pod[0].slot).execs, 0);
	assert_int_equal(bh_trace_books(t, e->pod[0].slot).generation, 9);
	bh_trace_close(t);
}

static void it_lives_on_without_a_handle(void **state)
{
	struct dp_env *e = *state;
	struct bh_trace *t = trace_open(e, BH_TRACE_LIGHT);
	struct seen s = {0};

	dp_attach(e, 0);
	refuse(t, e, (struct bh_trace_policy){.flags = BH_TRACE_P_KILL | BH_TRACE_P_ALLOW});
	bh_trace_close(t);
	dp_reopen(e);
	assert_true(WIFSIGNALED(run_child(&e->pod[0], "/bin/false")));
	assert_int_equal(run_child(&e->pod[0], "/bin/true"), 0);
	t = trace_open(e, BH_TRACE_LIGHT);
	drain(t, &s);
	assert_int_equal(s.n_exec, 2);
	/* after the change of programs everything is counted once */
	assert_int_equal(run_child(&e->pod[0], "/bin/true"), 0);
	assert_int_equal(bh_trace_books(t, e->pod[0].slot).execs, 3);
	assert_true(WIFSIGNALED(run_child(&e->pod[0], "/bin/false")));
	bh_trace_close(t);
}

/* The kernel lets go of a program that was taken away in the background, and it may see an exec or
 * two more. Runs until one is not seen; how many were. */
static uint64_t until_unseen(struct dp_env *e, struct bh_trace *t)
{
	uint64_t before, now = bh_trace_books(t, e->pod[0].slot).execs;
	int tries = 1000;

	do {
		before = now;
		assert_int_equal(run_child(&e->pod[0], "/bin/true"), 0);
		now = bh_trace_books(t, e->pod[0].slot).execs;
	} while (now != before && --tries);
	assert_int_equal(now, before);
	return now;
}

static void the_mode_changes_while_it_runs(void **state)
{
	struct dp_env *e = *state;
	struct bh_trace *t = trace_open(e, BH_TRACE_OFF);
	uint32_t slot = e->pod[0].slot;
	struct bh_err err;
	uint64_t execs;

	dp_attach(e, 0);
	assert_int_equal(run_child(&e->pod[0], "/bin/true"), 0);
	assert_int_equal(bh_trace_books(t, slot).execs, 0);
	bh_assert_ok(&err, bh_trace_set_mode(t, BH_TRACE_LIGHT, &err));
	assert_int_equal(run_child(&e->pod[0], "/bin/true"), 0);
	assert_int_equal(bh_trace_books(t, slot).execs, 1);
	bh_assert_ok(&err, bh_trace_set_mode(t, BH_TRACE_OFF, &err));
	execs = until_unseen(e, t);
	assert_int_equal(run_child(&e->pod[0], "/bin/true"), 0);
	assert_int_equal(bh_trace_books(t, slot).execs, execs);
	bh_assert_ok(&err, bh_trace_set_mode(t, BH_TRACE_LIGHT, &err));
	assert_int_equal(run_child(&e->pod[0], "/bin/true"), 0);
	assert_int_equal(bh_trace_books(t, slot).execs, execs + 1);
	bh_trace_close(t);
}

static bool has_call(const struct bh_trace_learn *l, unsigned nr)
{
	return l->calls[nr / 64] >> (nr % 64) & 1;
}

static bool has_pair(const struct bh_trace_learn *l, unsigned a, unsigned b)
{
	for (unsigned which = 0; which < 2; which++) {
		uint32_t bit = bh_trace_bloom_bit(a, b, which);

		if (!(l->bloom[bit / 64] >> (bit % 64) & 1))
			return false;
	}
	return true;
}

static void calls_are_learnt(void **state)
{
	struct dp_env *e = *state;
	struct bh_trace *t = trace_open(e, BH_TRACE_LEARN);
	char *argv[] = {"/proc/self/exe", "calls", NULL}, *env[] = {NULL};
	uint64_t total, calls[BH_TRACE_CALLS / 64];
	struct bh_trace_learn l;
	struct bh_err err;

	dp_attach(e, 0);
	bh_assert_ok(&err, bh_trace_learned(t, e->pod[0].slot, 7, &l, &err));
	assert_int_equal(l.total, 0);
	assert_int_equal(run_in(&e->pod[0], "/proc/self/exe", argv, env), 0);
	bh_assert_ok(&err, bh_trace_learned(t, e->pod[0].slot, 7, &l, &err));
	assert_true(has_call(&l, SYS_getppid) && has_call(&l, SYS_getsid));
	assert_false(has_call(&l, SYS_ptrace));
	assert_true(has_pair(&l, SYS_getppid, SYS_getsid));
	assert_false(has_pair(&l, SYS_getsid, SYS_getppid));
	total = l.total;
	assert_true(total > 10);
	/* taken away, and there again when they are made again */
	assert_true(bh_trace_take_calls(t, e->pod[0].slot, 7, calls));
	assert_memory_equal(calls, l.calls, sizeof(calls));
	assert_true(bh_trace_take_calls(t, e->pod[0].slot, 7, calls));
	assert_false(calls[SYS_getppid / 64] >> (SYS_getppid % 64) & 1);
	assert_false(bh_trace_take_calls(t, e->pod[0].slot, 8, calls));
	assert_int_equal(run_in(&e->pod[0], "/proc/self/exe", argv, env), 0);
	bh_assert_ok(&err, bh_trace_learned(t, e->pod[0].slot, 7, &l, &err));
	assert_true(has_call(&l, SYS_getppid));
	total = l.total;
	bh_assert_ok(&err, bh_trace_set_mode(t, BH_TRACE_WATCH, &err));
	assert_int_equal(run_in(&e->pod[0], "/proc/self/exe", argv, env), 0);
	bh_assert_ok(&err, bh_trace_learned(t, e->pod[0].slot, 7, &l, &err));
	assert_int_equal(l.total, total);
	/* another tenant begins anew */
	bh_assert_ok(&err, bh_trace_learned(t, e->pod[0].slot, 8, &l, &err));
	assert_int_equal(l.total, 0);
	bh_trace_unlearn(t, e->pod[0].slot);
	bh_trace_close(t);
}

/* A task of the pod from before: its children are of its tree. */
static void what_runs_already_is_adopted(void **state)
{
	struct dp_env *e = *state;
	struct seen s = {0};
	struct bh_trace *t;
	struct bh_err err;
	char byte = '\n';
	int go[2], up[2];
	pid_t pid;

	dp_attach(e, 0);
	assert_int_equal(pipe(go) | pipe(up), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(go[0], 0);
		dup2(up[1], 1);
		close(go[1]);
		if (setns(e->pod[0].ns, CLONE_NEWNET))
			_exit(90);
		execl("/bin/sh", "sh", "-c", "echo; read x; /bin/true; exit 0", NULL);
		_exit(91);
	}
	close(go[0]);
	close(up[1]);
	assert_int_equal(read(up[0], &byte, 1), 1); /* its exec is over */
	close(up[0]);
	t = trace_open(e, BH_TRACE_LIGHT);
	bh_assert_ok(&err, bh_trace_sweep(t, on_fact, &s, &err));
	assert_true(s.n_exec >= 1);
	assert_int_equal(write(go[1], &byte, 1), 1);
	close(go[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	memset(&s, 0, sizeof(s));
	drain(t, &s);
	assert_int_equal(s.n_exec, 1);
	assert_string_equal(s.last.comm, "true");
	assert_int_equal(s.n_outside, 0);
	assert_non_null(strstr(s.parent, "sh"));
	assert_balanced(t, e->pod[0].slot);
	bh_trace_close(t);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, dp_setup, dp_teardown)
	const struct CMUnitTest tests[] = {
		T(an_exec_is_told_with_its_pod),
		T(what_repeats_is_counted_not_told),
		T(a_full_ring_loses_nothing_new),
		T(what_is_refused_executes_nothing),
		T(what_is_refused_in_a_flood_is_told),
		T(paths_and_users_are_refused),
		T(a_policy_is_for_one_tenant),
		T(it_lives_on_without_a_handle),
		T(the_mode_changes_while_it_runs),
		T(what_runs_already_is_adopted),
		T(calls_are_learnt),
		T(alarms_come_after_what_led_to_them),
	};

	if (argc > 1 && strcmp(argv[1], "child") == 0)
		return 0;
	if (argc > 1 && strcmp(argv[1], "calls") == 0) {
		syscall(SYS_getppid);
		syscall(SYS_getsid, 0);
		return 0;
	}
	if (!dp_isolate()) {
		puts("needs root");
		return 77;
	}
	assert_int_equal(mount("tmpfs", DIR, "tmpfs", 0, NULL), 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
