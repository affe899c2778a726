/* test_trace_seq.c - the order of system calls, as the kernel tells it: every gram counted exactly,
 * windows that hold what was called, filters that know what was learnt. */
#include "dp_env.h"

#include "datapath/trace.h"
#include "detect/grams.h"

#define CALLS 3000
#define LIMIT 12
#define WILD  100 /* from here on hardly any gram comes twice */

/* Calls that no C library makes seven of in a row. */
static const uint16_t alphabet[] = {SYS_getppid, SYS_getsid,  SYS_getpgid, SYS_getuid,
				    SYS_geteuid, SYS_getegid, SYS_gettid};

static uint16_t call_at(unsigned i, unsigned step)
{
	static uint32_t seed;

	if (i == 0)
		seed = step;
	seed = seed * 1664525u + 1013904223u;
	/* mostly a round, now and then something else */
	return alphabet[step >= WILD || (seed >> 24) < 40 ? (seed >> 16) % 7 : i * step % 7];
}

static void make_calls(unsigned step)
{
	for (unsigned i = 0; i < CALLS; i++)
		syscall(call_at(i, step), 0);
}

static void expect_calls(unsigned step, struct bh_grams *out)
{
	uint64_t gram = 0;

	for (unsigned i = 0; i < CALLS; i++) {
		gram = bh_gram_push(gram, call_at(i, step));
		if (i + 1 >= BH_GRAM_LEN)
			assert_int_equal(bh_grams_add(out, gram, 1, 3), 0);
	}
}

static bool is_ours(uint64_t gram)
{
	for (unsigned i = 0; i < BH_GRAM_LEN; i++, gram >>= BH_GRAM_BITS) {
		bool is_known = false;

		for (unsigned k = 0; k < BH_ARRAY_SIZE(alphabet); k++)
			is_known = is_known || (gram & 511) == alphabet[k] + 1u;
		if (!is_known)
			return false;
	}
	return true;
}

static void run(const struct dp_pod *p, unsigned step)
{
	char text[16], *argv[] = {"/proc/self/exe", "calls", text, NULL}, *env[] = {NULL};
	pid_t pid;
	int status;

	snprintf(text, sizeof(text), "%u", step);
	pid = vfork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (setns(p->ns, CLONE_NEWNET))
			_exit(90);
		execve(argv[0], argv, env);
		_exit(91);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

struct fetched {
	uint32_t slot;
	struct bh_grams all, ours;
};

static void on_gram(const struct bh_gram_key *key, uint64_t count, void *arg)
{
	struct fetched *f = arg;

	if (key->slot != f->slot)
		return;
	assert_int_equal(key->generation, 7);
	assert_int_equal(bh_grams_add(&f->all, key->gram, (uint32_t)count, 3), 0);
	if (is_ours(key->gram))
		assert_int_equal(bh_grams_add(&f->ours, key->gram, (uint32_t)count, 3), 0);
}

static struct fetched fetch(struct bh_trace *t, uint32_t slot)
{
	struct fetched f = {slot, {.max = 100000}, {.max = 100000}};
	struct bh_err err;

	bh_assert_ok(&err, bh_trace_grams(t, on_gram, &f, &err));
	return f;
}

static void fetched_done(struct fetched *f)
{
	bh_grams_done(&f->all);
	bh_grams_done(&f->ours);
}

static struct bh_trace *begin(struct dp_env *e, uint32_t flags, const struct bh_grams *known)
{
	struct bh_trace_seq *q = calloc(1, sizeof(*q));
	struct bh_trace *t;
	struct bh_err err;

	assert_non_null(q);
	bh_assert_ok(&err, bh_trace_open(e->dp, &t, &err));
	bh_assert_ok(
		&err,
		bh_trace_set_mode(t, flags & BH_SEQ_COUNT ? BH_TRACE_LEARN : BH_TRACE_WATCH, &err));
	dp_attach(e, 0);
	*q = (struct bh_trace_seq){.generation = 7, .flags = flags, .limit = LIMIT};
	if (known) {
		uint64_t words[BH_SEQ_WORDS] = {0};

		bh_grams_filter(known, words);
		memcpy(q->word, words, sizeof(q->word));
	}
	bh_assert_ok(&err, bh_trace_seq_set(t, e->pod[0].slot, q, &err));
	free(q);
	return t;
}

/* What the kernel counted is what was called, to the last one. */
static void grams_are_counted_exactly(void **state)
{
	struct dp_env *e = *state;
	struct bh_trace *t = begin(e, BH_SEQ_COUNT, NULL);
	struct bh_grams want = {.max = 100000};
	struct bh_trace_seq q;
	struct fetched got;
	struct bh_gram *g;
	size_t pos = 0;

	run(&e->pod[0], 1);
	run(&e->pod[0], 2);
	expect_calls(1, &want);
	expect_calls(2, &want);
	assert_int_equal(bh_trace_seq_get(t, e->pod[0].slot, &q), 0);
	got = fetch(t, e->pod[0].slot);
	assert_int_equal(got.ours.n, want.n);
	while ((g = bh_grams_next(&want, &pos))) {
		const struct bh_gram *same = bh_grams_get(&got.ours, g->gram);

		assert_non_null(same);
		assert_int_equal(same->count, g->count);
	}
	/* a task begins with nothing before it, and both began the same way */
	g = bh_grams_get(&got.all, bh_gram_push(0, SYS_execve));
	assert_non_null(g);
	assert_int_equal(g->count, 2);
	/* the quota counts what waits, and nothing waits any more */
	assert_int_equal(q.held, got.all.n);
	assert_int_equal(q.refused, 0);
	assert_int_equal(bh_trace_seq_get(t, e->pod[0].slot, &q), 0);
	assert_int_equal(q.held, 0);
	fetched_done(&got);
	got = fetch(t, e->pod[0].slot);
	assert_int_equal(got.all.n, 0);
	bh_trace_close(t);
	bh_grams_done(&want);
}

struct windows {
	struct bh_trace_window first, last; /* where the machine is slow, there are more than one */
	int n;
};

static void on_window(const void *record, size_t len, void *arg)
{
	struct windows *w = arg;

	assert_int_equal(len, sizeof(w->last));
	memcpy(&w->last, record, len);
	if (w->n++ == 0)
		w->first = w->last;
}

static void a_window_to_learn_from_is_what_was_called(void **state)
{
	struct dp_env *e = *state;
	struct bh_trace *t = begin(e, BH_SEQ_COUNT, NULL);
	struct windows w = {0};
	unsigned first = 0, i;
	struct fetched got;

	run(&e->pod[0], 3);
	assert_true(bh_trace_windows(t, 100, on_window, &w) >= 1);
	assert_int_equal(w.first.slot, e->pod[0].slot);
	assert_int_equal(w.first.n_unknown, 0);
	assert_int_equal(w.first.n, BH_SEQ_WINDOW);
	assert_true(strlen(w.first.path) > 0);
	/* from the first of our own calls on */
	while (first < BH_SEQ_WINDOW && w.first.call[first] != call_at(0, 3))
		first++;
	assert_true(first + 20 <= BH_SEQ_WINDOW);
	for (i = 0; i < 20; i++)
		assert_int_equal(w.first.call[first + i], call_at(i, 3));
	got = fetch(t, e->pod[0].slot);
	fetched_done(&got);
	bh_trace_close(t);
}

static void a_filter_knows_what_was_learnt(void **state)
{
	struct dp_env *e = *state;
	struct bh_trace *t = begin(e, BH_SEQ_COUNT, NULL);
	struct windows w = {0};
	struct bh_trace_seq q;
	struct fetched got;
	struct bh_err err;

	run(&e->pod[0], 1);
	bh_trace_windows(t, 100, on_window, &w);
	got = fetch(t, e->pod[0].slot);
	bh_assert_ok(&err, bh_trace_set_mode(t, BH_TRACE_OFF, &err));
	bh_trace_close(t);
	memset(&w, 0, sizeof(w));
	t = begin(e, BH_SEQ_JUDGE, &got.all);
	run(&e->pod[0], 1);
	assert_int_equal(bh_trace_seq_get(t, e->pod[0].slot, &q), 0);
	assert_int_equal(q.unknown, 0);
	assert_int_equal(bh_trace_windows(t, 100, on_window, &w), 0);
	run(&e->pod[0], 5); /* the same calls in another order */
	assert_true(bh_trace_windows(t, 100, on_window, &w) >= 1);
	assert_int_equal(w.last.n_unknown, LIMIT);
	assert_int_equal(bh_trace_seq_get(t, e->pod[0].slot, &q), 0);
	assert_true(q.unknown >= CALLS / 2 && q.sent >= 1 && q.unsent >= 1);
	/* nobody asks any more */
	bh_trace_seq_unset(t, e->pod[0].slot);
	memset(&w, 0, sizeof(w));
	run(&e->pod[0], 6);
	assert_int_equal(bh_trace_windows(t, 100, on_window, &w), 0);
	fetched_done(&got);
	bh_trace_close(t);
}

/* A pod that makes ever new sequences fills its own quota and nobody else's. */
static void a_quota_is_one_slots(void **state)
{
	struct dp_env *e = *state;
	struct bh_trace *t = begin(e, BH_SEQ_COUNT, NULL);
	struct bh_trace_seq q;
	struct fetched got;
	unsigned i;

	for (i = 0; i < 12; i++)
		run(&e->pod[0], WILD + i);
	assert_int_equal(bh_trace_seq_get(t, e->pod[0].slot, &q), 0);
	assert_true(q.held <= BH_SEQ_QUOTA + 2);
	got = fetch(t, e->pod[0].slot);
	assert_int_equal(got.all.n, q.held);
	assert_true(got.all.n <= BH_SEQ_QUOTA + 2);
	assert_true(got.all.n >= BH_SEQ_QUOTA && q.refused > CALLS);
	fetched_done(&got);
	bh_trace_close(t);
}

/* ---- a process that lives on ---- */

#define ROUND 40 /* calls of each of its rounds */

struct server {
	pid_t pid;
	int to, from;
};

/* A round for each byte; after a 'p' it waits for ever. */
static int serve(void)
{
	char byte;

	while (read(0, &byte, 1) == 1) {
		for (int i = 0; i < ROUND / 2; i++) {
			syscall(SYS_getppid);
			syscall(SYS_getsid, 0);
		}
		if (write(1, &byte, 1) != 1)
			return 1;
		if (byte == 'p')
			syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
	}
	return 0;
}

static struct server server_start(const struct dp_pod *p)
{
	struct server s;
	int in[2], out[2];

	assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
	s.pid = fork();
	assert_true(s.pid >= 0);
	if (s.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (setns(p->ns, CLONE_NEWNET))
			_exit(90);
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl("/proc/self/exe", "test", "serve", NULL);
		_exit(91);
	}
	close(in[0]);
	close(out[1]);
	s.to = in[1];
	s.from = out[0];
	return s;
}

static void server_round(const struct server *s, char byte)
{
	assert_int_equal(write(s->to, &byte, 1), 1);
	assert_int_equal(read(s->from, &byte, 1), 1);
}

static void server_stop(struct server *s)
{
	close(s->to);
	assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
	close(s->from);
}

static bool makes(struct bh_trace *t, uint32_t slot, unsigned nr)
{
	struct bh_trace_learn l;
	struct bh_err err;

	bh_assert_ok(&err, bh_trace_learned(t, slot, 7, &l, &err));
	return l.calls[nr / 64] >> (nr % 64) & 1;
}

/* What a task remembers of itself hides nothing: neither what it does again after its calls were
 * taken away, nor a call that has not ended. */
static void what_a_task_does_again_is_seen(void **state)
{
	struct dp_env *e = *state;
	struct bh_trace *t = begin(e, BH_SEQ_COUNT, NULL);
	uint32_t slot = e->pod[0].slot;
	uint64_t calls[BH_TRACE_CALLS / 64];
	struct server s;
	struct bh_err err;

	assert_false(makes(t, slot, SYS_getppid));
	s = server_start(&e->pod[0]);
	for (int i = 0; i < 3; i++)
		server_round(&s, 'r');
	for (int i = 0; i < 3; i++) {
		assert_true(makes(t, slot, SYS_getppid));
		assert_true(bh_trace_take_calls(t, slot, 7, calls));
		assert_false(makes(t, slot, SYS_getppid));
		server_round(&s, 'r');
	}
	bh_assert_ok(&err, bh_trace_set_mode(t, BH_TRACE_WATCH, &err));
	assert_true(bh_trace_take_calls(t, slot, 7, calls));
	server_round(&s, 'r');
	assert_false(makes(t, slot, SYS_getppid));
	bh_assert_ok(&err, bh_trace_set_mode(t, BH_TRACE_LEARN, &err));
	server_round(&s, 'r');
	assert_true(makes(t, slot, SYS_getppid));
	server_stop(&s);
	bh_trace_close(t);
}

static void a_call_that_has_not_ended_is_learnt(void **state)
{
	struct dp_env *e = *state;
	struct bh_trace *t = begin(e, BH_SEQ_COUNT, NULL);
	uint32_t slot = e->pod[0].slot;
	struct server s;
	struct bh_err err;

	assert_false(makes(t, slot, SYS_ppoll));
	s = server_start(&e->pod[0]);
	server_round(&s, 'p');
	assert_false(makes(t, slot, SYS_ppoll));
	/* until it sleeps, however late it comes to that */
	for (int i = 0; !makes(t, slot, SYS_ppoll) && i < 60000; i++) {
		usleep(1000);
		bh_assert_ok(&err, bh_trace_learn_waiting(t, &err));
	}
	assert_true(makes(t, slot, SYS_ppoll));
	assert_int_equal(kill(s.pid, SIGKILL), 0);
	server_stop(&s);
	bh_trace_close(t);
}

/* A gram that comes again and again is counted in portions while its task lives, and to the last
 * one when it ended, however often the counts were fetched. */
static void counts_are_whole_after_fetches(void **state)
{
	struct dp_env *e = *state;
	struct bh_trace *t = begin(e, BH_SEQ_COUNT, NULL);
	struct server s = server_start(&e->pod[0]);
	struct fetched part[3], all = {e->pod[0].slot, {.max = 100000}, {.max = 100000}};
	struct bh_gram *g;
	uint64_t sum = 0;

	for (size_t i = 0; i < BH_ARRAY_SIZE(part); i++) {
		for (int k = 0; i < 2 && k < 9; k++)
			server_round(&s, 'r');
		if (i == 2)
			server_stop(&s);
		part[i] = fetch(t, all.slot);
		for (size_t pos = 0; (g = bh_grams_next(&part[i].ours, &pos));)
			assert_int_equal(bh_grams_add(&all.ours, g->gram, g->count, 3), 0);
		fetched_done(&part[i]);
	}
	for (size_t pos = 0; (g = bh_grams_next(&all.ours, &pos));)
		sum += g->count;
	assert_int_equal(sum, 18 * (ROUND - BH_GRAM_LEN + 1)); /* of each round those of seven */
	fetched_done(&all);
	bh_trace_close(t);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, dp_setup, dp_teardown)
	const struct CMUnitTest tests[] = {
		T(grams_are_counted_exactly),	   T(a_window_to_learn_from_is_what_was_called),
		T(a_filter_knows_what_was_learnt), T(a_quota_is_one_slots),
		T(what_a_task_does_again_is_seen), T(a_call_that_has_not_ended_is_learnt),
		T(counts_are_whole_after_fetches),
	};

	if (argc > 2 && strcmp(argv[1], "calls") == 0) {
		make_calls((unsigned)atoi(argv[2]));
		return 0;
	}
	if (argc > 1 && strcmp(argv[1], "serve") == 0)
		return serve();
	if (!dp_isolate()) {
		puts("needs root");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
