/* The order of system calls in a baseline: sets of grams, models made of them, files, and what the
 * detectors make of a window. */
#include "detect_rig.h"

#include <errno.h>
#include <math.h>

#include "base/own.h"
#include "detect/baseline_seq.h"

#define N_WINDOWS 40

static const struct bh_subject web = {.ns = "shop",
				      .owner_kind = "Deployment",
				      .owner = "web",
				      .container = "web",
				      .image_digest = "sha256:11",
				      .pod = "web-1",
				      .pod_id = 1};
static uint16_t store[N_WINDOWS][BH_SEQ_WINDOW];
static uint32_t seed = 1;

static unsigned chance(unsigned n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 16) % n;
}

/* Requests of four calls each, of three kinds, in any order. */
static struct bh_trace normal(uint16_t *out)
{
	static const uint16_t kinds[3][4] = {{1, 2, 3, 4}, {1, 5, 6, 4}, {7, 2, 2, 8}};
	size_t i, k = 0;

	for (i = 0; i < BH_SEQ_WINDOW; i++) {
		if (i % 4 == 0)
			k = chance(3);
		out[i] = kinds[k][i % 4];
	}
	return (struct bh_trace){out, BH_SEQ_WINDOW};
}

static size_t grams_of(const struct bh_trace *t, struct bh_gram *out)
{
	uint64_t gram = 0;
	size_t i;

	for (i = 0; i < t->n; i++) {
		gram = bh_gram_push(gram, t->calls[i]);
		out[i] = (struct bh_gram){.gram = gram, .count = 1};
	}
	return t->n;
}

static struct bh_base_sighting by(uint64_t pod, bool is_suspect)
{
	return (struct bh_base_sighting){
		.pod_id = pod, .ts_ns = 600 * S, .now_s = 1700000000, .is_suspect = is_suspect};
}

/* Three replicas with the same life. */
static struct bh_baseline *learnt(void)
{
	struct bh_gram v[BH_SEQ_WINDOW];
	struct bh_baseline *b = NULL;
	struct bh_err err;
	unsigned i, pod;

	seed = 7;
	bh_assert_ok(&err, bh_baseline_new(&web, NULL, &b, &err));
	for (i = 0; i < N_WINDOWS; i++) {
		struct bh_trace t = normal(store[i]);
		size_t n = grams_of(&t, v);

		for (pod = 1; pod <= 3; pod++) {
			const struct bh_base_sighting s = by(pod, false);

			assert_int_equal(bh_baseline_see_grams(b, v, n, &s), 0);
		}
		assert_int_equal(
			bh_baseline_see_window(b, &t, &(struct bh_base_sighting){.pod_id = 1}), 0);
	}
	return b;
}

static void test_a_set_counts(void **state)
{
	struct bh_grams g = {.max = 3};
	uint64_t one = bh_gram_push(0, 5), two = bh_gram_push(one, 6);

	(void)state;
	assert_true(bh_grams_unseen(&g) == 1);
	assert_null(bh_grams_get(&g, one));
	assert_int_equal(bh_gram_len(one), 1);
	assert_int_equal(bh_gram_len(two), 2);
	assert_int_equal(bh_grams_add(&g, one, 2, 1), 0);
	assert_int_equal(bh_grams_add(&g, one, 3, 1), 0);
	assert_int_equal(bh_grams_get(&g, one)->count, 5);
	assert_false(bh_grams_get(&g, one)->is_confirmed);
	assert_int_equal(bh_grams_add(&g, one, UINT32_MAX, 2), 0);
	assert_int_equal(bh_grams_get(&g, one)->count, UINT32_MAX);
	assert_true(bh_grams_get(&g, one)->is_confirmed);
	assert_int_equal(bh_grams_add(&g, two, 1, 0), 0);
	assert_int_equal(bh_grams_add(&g, bh_gram_push(two, 7), 1, 0), 0);
	assert_int_equal(bh_grams_add(&g, bh_gram_push(two, 8), 4, 0), -ENOSPC);
	assert_int_equal(g.n, 3);
	assert_int_equal(g.refused, 4);
	bh_grams_done(&g);
}

/* The longest gram is seven calls, whatever came before, and the largest call numbers are one. */
static void test_a_gram_has_an_end(void **state)
{
	uint64_t a = 0, b = bh_gram_push(bh_gram_push(0, 400), 3);
	unsigned i;

	(void)state;
	for (i = 0; i < BH_GRAM_LEN; i++) {
		a = bh_gram_push(a, i);
		b = bh_gram_push(b, i);
	}
	assert_int_equal(a, b);
	assert_int_equal(bh_gram_len(a), BH_GRAM_LEN);
	assert_int_equal(bh_gram_push(0, 510), bh_gram_push(0, 70000));
	assert_int_not_equal(bh_gram_push(0, 509), bh_gram_push(0, 510));
}

/* It knows all that it was given, and hardly anything else. */
static void test_a_filter_is_right(void **state)
{
	static uint64_t words[BH_SEQ_WORDS];
	struct bh_grams g = {.max = BH_BASE_GRAMS};
	unsigned i, wrong = 0;
	struct bh_gram *e;
	size_t pos = 0;

	(void)state;
	seed = 3;
	while (g.n < BH_BASE_GRAMS) {
		uint64_t gram = 0;

		for (i = 0; i < BH_GRAM_LEN; i++)
			gram = bh_gram_push(gram, chance(400));
		assert_int_equal(bh_grams_add(&g, gram, 1, 3), 0);
	}
	bh_grams_filter(&g, words);
	while ((e = bh_grams_next(&g, &pos)))
		assert_true(bh_filter_has(words, e->gram));
	for (i = 0; i < 100000; i++)
		wrong += bh_filter_has(words, ((uint64_t)chance(65536) << 40 | i * 977u) | 1);
	assert_true(wrong < 1000);
	bh_grams_done(&g);
}

/* A model made of counted grams says the same as one made of the traces. */
static void test_grams_say_what_traces_say(void **state)
{
	BH_CLEANUP(bh_seq_freep) struct bh_seq *a = NULL, *b = NULL;
	struct bh_seq_options opt = {0};
	struct bh_trace traces[N_WINDOWS];
	struct bh_grams g = {.max = 100000};
	struct bh_gram v[BH_SEQ_WINDOW];
	struct bh_err err;
	size_t i, k;

	(void)state;
	seed = 11;
	for (i = 0; i < N_WINDOWS; i++) {
		traces[i] = normal(store[i]);
		grams_of(&traces[i], v);
		for (k = 0; k < traces[i].n; k++)
			assert_int_equal(bh_grams_add(&g, v[k].gram, 1, 3), 0);
	}
	bh_assert_ok(&err, bh_seq_new(&opt, &a, &err));
	bh_assert_ok(&err, bh_seq_new(&opt, &b, &err));
	bh_assert_ok(&err, bh_seq_train(a, traces, N_WINDOWS, &err));
	bh_assert_ok(&err, bh_seq_train_grams(b, &g, traces, N_WINDOWS, &err));
	assert_true(bh_seq_threshold(a, 0.01) == bh_seq_threshold(b, 0.01));
	for (i = 0; i < N_WINDOWS; i++) {
		struct bh_seq_score x, y;

		bh_seq_score(a, &traces[i], &x);
		bh_seq_score(b, &traces[i], &y);
		assert_true(x.total == y.total);
	}

	bh_grams_done(&g);
}

static void test_a_baseline_judges(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = learnt();
	BH_CLEANUP(bh_seq_freep) struct bh_seq *m = NULL;
	uint16_t calls[BH_SEQ_WINDOW];
	struct bh_trace t = normal(calls);
	struct bh_seq_score score;
	struct bh_err err;
	size_t i;

	(void)state;
	bh_assert_fails(&err, -ENODATA, "learnt", bh_baseline_model(b, &m, &err));
	bh_baseline_close(b);
	bh_assert_ok(&err, bh_baseline_model(b, &m, &err));
	bh_seq_score(m, &t, &score);
	assert_true(score.total < bh_seq_threshold(m, 0.01));
	for (i = 100; i < 124; i++)
		calls[i] = (uint16_t)(1 + i * 5 % 8); /* its own calls in an order of their own */
	bh_seq_score(m, &t, &score);
	assert_true(score.total > bh_seq_threshold(m, 0.01));
}

static void test_what_is_not_learnt(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = learnt();
	const struct bh_base_sighting suspect = by(1, true), lone = by(2, false);
	struct bh_gram odd = {.gram = bh_gram_push(0, 300), .count = 9};
	uint16_t calls[BH_SEQ_WINDOW];
	struct bh_trace t = normal(calls);
	static uint64_t words[BH_SEQ_WORDS];
	uint64_t offered = b->seq->offered;

	(void)state;
	assert_int_equal(bh_baseline_see_grams(b, &odd, 1, &suspect), 0);
	assert_int_equal(bh_baseline_see_window(b, &t, &suspect), 0);
	assert_null(bh_grams_get(&b->seq->grams, odd.gram));
	assert_int_equal(b->seq->offered, offered);
	/* one replica alone confirms nothing */
	assert_int_equal(bh_baseline_see_grams(b, &odd, 1, &lone), 0);
	assert_int_equal(bh_grams_get(&b->seq->grams, odd.gram)->count, 9);
	bh_grams_filter(&b->seq->grams, words);
	assert_false(bh_filter_has(words, odd.gram));
	bh_baseline_confirm_all(b);
	bh_grams_filter(&b->seq->grams, words);
	assert_true(bh_filter_has(words, odd.gram));
	bh_baseline_close(b);
	odd.gram = bh_gram_push(0, 301);
	assert_int_equal(bh_baseline_see_grams(b, &odd, 1, &lone), 0);
	assert_null(bh_grams_get(&b->seq->grams, odd.gram));
}

/* Whatever comes, a baseline stays within its bounds, and one that is too varied is not judged. */
static void test_bounds(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = NULL;
	const struct bh_base_sighting s = by(1, false);
	BH_CLEANUP(bh_str_done) struct bh_str text = {0};
	BH_CLEANUP(bh_seq_freep) struct bh_seq *m = NULL;
	struct bh_seq_stats stats;
	struct bh_gram *e;
	struct bh_err err;
	size_t pos;
	unsigned i;

	(void)state;
	bh_assert_ok(&err, bh_baseline_new(&web, NULL, &b, &err));
	for (i = 0; i < 3 * BH_BASE_GRAMS; i++) {
		struct bh_gram g = {.count = 1};
		uint16_t calls[] = {1, 2, (uint16_t)(i % 500)};
		const struct bh_trace t = {calls, 3};
		unsigned k;

		for (k = 0; k < BH_GRAM_LEN; k++)
			g.gram = bh_gram_push(g.gram, chance(400));
		assert_int_equal(bh_baseline_see_grams(b, &g, 1, &s), 0);
		assert_int_equal(bh_baseline_see_window(b, &t, &s), 0);
	}
	assert_int_equal(b->seq->grams.n, BH_BASE_GRAMS);
	assert_int_equal(b->seq->n_windows, BH_BASE_WINDOWS);
	assert_int_equal(b->seq->offered, 3 * BH_BASE_GRAMS);
	assert_true(b->seq->grams.refused > 0);
	bh_baseline_close(b);
	assert_non_null(strstr(bh_baseline_seq_lacks(b), "too many orders"));
	assert_int_equal(bh_baseline_write(b, &text), 0);
	assert_true(text.n < 240000); /* a request may have 256 KiB */
	/* the largest model there can be */
	b->seq->grams.refused = 0;
	bh_baseline_confirm_all(b);
	for (pos = 0; (e = bh_grams_next(&b->seq->grams, &pos));)
		e->count = 100;
	b->seq->grams.calls *= 100;
	bh_assert_ok(&err, bh_baseline_model(b, &m, &err));
	bh_seq_stats(m, &stats);
	assert_true(stats.bytes < 4u << 20);
}

static void test_learning_waits(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = NULL;
	const struct bh_base_options opt = {.min_starts = 2, .min_units = 1};
	struct bh_gram g = {.gram = bh_gram_push(0, 9), .count = 1};
	const struct bh_base_sighting s = by(1, false);
	struct bh_err err;
	char why[160];

	(void)state;
	bh_assert_ok(&err, bh_baseline_new(&web, &opt, &b, &err));
	assert_int_equal(bh_baseline_see(b, BH_BASE_EXEC, "/bin/app", &s), 0);
	assert_int_equal(bh_baseline_see(b, BH_BASE_EXEC, "/bin/app",
					 &(struct bh_base_sighting){2, 600 * S, 1, false, false}),
			 0);
	assert_null(bh_baseline_waits_for(b, why, sizeof(why)));
	assert_int_equal(bh_baseline_see_grams(b, &g, 1, &s), 0);
	assert_non_null(strstr(bh_baseline_waits_for(b, why, sizeof(why)), "orders of its calls"));
	g.count = 100;
	assert_int_equal(bh_baseline_see_grams(b, &g, 1, &s), 0);
	assert_null(bh_baseline_waits_for(b, why, sizeof(why)));
}

static void test_files(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = learnt(), *again = NULL, *old = NULL;
	BH_CLEANUP(bh_str_done) struct bh_str one = {0}, two = {0}, diff = {0};
	struct bh_gram odd = {.gram = bh_gram_push(0, 300), .count = 9};
	const struct bh_base_sighting s = by(2, false);
	struct bh_err err;

	(void)state;
	assert_int_equal(bh_baseline_see_grams(b, &odd, 1, &s), 0);
	assert_int_equal(bh_baseline_write(b, &one), 0);
	bh_assert_ok(&err, bh_baseline_read(one.s, one.n, &again, &err));
	assert_int_equal(again->seq->grams.calls, b->seq->grams.calls);
	assert_int_equal(bh_baseline_diff(b, again, &diff), 0);
	assert_int_equal(bh_baseline_write(again, &two), 0);
	assert_string_equal(one.s, two.s);
	/* merged with itself: the same grams, and what both have is confirmed */
	bh_baseline_forget_replicas(again);
	bh_assert_ok(&err, bh_baseline_merge(b, again, &err));
	assert_int_equal(b->seq->grams.n, again->seq->grams.n);
	assert_true(bh_grams_get(&b->seq->grams, odd.gram)->is_confirmed);
	assert_int_equal(bh_grams_get(&b->seq->grams, odd.gram)->count, 18);
	/* a file from before there were sequences */
	bh_assert_ok(&err, bh_baseline_new(&web, NULL, &old, &err));
	assert_int_equal(bh_baseline_diff(old, b, &diff), 1);
	assert_non_null(strstr(bh_str_text(&diff), "+ sequence"));
	bh_assert_ok(&err, bh_baseline_merge(old, b, &err));
	assert_int_equal(old->seq->grams.n, b->seq->grams.n);
}

static void refused(const char *good, const char *from, const char *to, const char *why)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = NULL;
	BH_CLEANUP(bh_str_done) struct bh_str text = {0};
	const char *at = strstr(good, from);
	struct bh_err err;

	assert_non_null(at);
	bh_str_fmt(&text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
	bh_assert_fails(&err, -EINVAL, why, bh_baseline_read(text.s, text.n, &b, &err));
}

static void test_bad_files(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = NULL;
	BH_CLEANUP(bh_str_done) struct bh_str text = {0};
	const struct bh_base_sighting s = by(1, false);
	struct bh_gram g = {.gram = bh_gram_push(bh_gram_push(0, 1), 2), .count = 9};
	uint16_t calls[] = {1, 2, 300};
	struct bh_err err;

	(void)state;
	bh_assert_ok(&err, bh_baseline_new(&web, NULL, &b, &err));
	assert_int_equal(bh_baseline_see_grams(b, &g, 1, &s), 0);
	assert_int_equal(bh_baseline_see_window(b, &(struct bh_trace){calls, 3}, &s), 0);
	assert_int_equal(bh_baseline_write(b, &text), 0);
	refused(text.s, "403:9:1", "403:9", "grams");
	refused(text.s, "403:9:1", "403:0:1", "grams");
	refused(text.s, "403:9:1", "8000000000000403:9:1", "grams");
	refused(text.s, "403:9:1", "40000:9:1", "grams"); /* a gap */
	refused(text.s, "403:9:1", "403:9:1?", "grams");
	refused(text.s, "403:9:1", "403:9:1 403:1:0", "twice");
	refused(text.s, "\"403:9:1\"", "7", "no text");
	refused(text.s, "\"00100212c\"", "\"0010\"", "windows");
	refused(text.s, "\"00100212c\"", "\"\"", "windows");
	refused(text.s, "\"00100212c\"", "\"00xyz2\"", "windows");
	refused(text.s, "\"00100212c\"", "\"fff\"", "fff");
	refused(text.s, "\"00100212c\"", "{}", "windows");
}

/* ---- the detectors ---- */

static void window(struct rig *r, double over)
{
	struct bh_activity a = rig_act(r, BH_ACT_SEQUENCE, "/usr/sbin/app");

	a.u.sequence.score = 10 * over;
	a.u.sequence.threshold = 10;
	a.u.sequence.calls = 256;
	a.u.sequence.unknown = 12;
	rig_feed(r, &a);
}

static void calls(struct rig *r, const uint64_t *set)
{
	struct bh_activity a = rig_act(r, BH_ACT_SYSCALLS, "/usr/sbin/app");

	a.u.syscalls.set = set;
	a.u.syscalls.n_words = 8;
	rig_feed(r, &a);
}

static void test_windows_add_up(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = learnt();
	const uint64_t few[8] = {0, 1}, many[8] = {0, 0, 7};
	struct rig r;
	unsigned i;

	(void)state;
	rig_init(&r, 600);
	b->units = 100;
	assert_int_equal(bh_detect_set_pod(r.d, &r.subject, &(struct bh_detect_pod){.baseline = b}),
			 0);
	window(&r, 9);
	rig_expect_silent(&r); /* still learning */
	bh_baseline_close(b);
	window(&r, 0.9);
	window(&r, 50); /* however odd: one alone is not enough */
	assert_null(rig_found(&r, "anomaly"));
	calls(&r, few); /* nor with one new call */
	assert_null(rig_found(&r, "anomaly"));
	calls(&r, many);
	rig_expect(&r, "anomaly", BH_SEVERITY_MEDIUM);
	rig_done(&r);
	/* by themselves they have to go on for a while */
	rig_init(&r, 600);
	assert_int_equal(bh_detect_set_pod(r.d, &r.subject, &(struct bh_detect_pod){.baseline = b}),
			 0);
	for (i = 0; i < 3; i++)
		window(&r, 3);
	rig_expect_silent(&r);
	for (i = 0; i < 5; i++)
		window(&r, 3);
	rig_expect(&r, "anomaly", BH_SEVERITY_MEDIUM);
	rig_done(&r);
	/* and one every half an hour never does */
	rig_init(&r, 600);
	assert_int_equal(bh_detect_set_pod(r.d, &r.subject, &(struct bh_detect_pod){.baseline = b}),
			 0);
	for (i = 0; i < 50; i++) {
		window(&r, 3);
		r.now_ns += 1800 * S;
	}
	rig_expect_silent(&r);
	rig_done(&r);
}

/* Nor does the most surprising window with one new program right after it. */
static void test_a_window_and_a_program(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = learnt();
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	b->units = 100;
	bh_baseline_close(b);
	assert_int_equal(bh_detect_set_pod(r.d, &r.subject, &(struct bh_detect_pod){.baseline = b}),
			 0);
	window(&r, 50);
	rig_exec(&r, "/usr/bin/odd");
	assert_non_null(rig_found(&r, "new-exec"));
	assert_null(rig_found(&r, "anomaly"));
	rig_exec(&r, "/usr/bin/odder");
	assert_non_null(rig_found(&r, "anomaly"));
	rig_done(&r);
}

/* One new program is one new thing, whatever calls it makes, and two more are too many. */
static void test_a_new_program_counts_once(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = learnt();
	const uint64_t many[8] = {0, 0, 7};
	struct bh_activity a;
	struct rig r;
	uint64_t exec_id;
	unsigned i;

	(void)state;
	rig_init(&r, 600);
	b->units = 100;
	bh_baseline_close(b);
	assert_int_equal(bh_detect_set_pod(r.d, &r.subject, &(struct bh_detect_pod){.baseline = b}),
			 0);
	exec_id = rig_exec(&r, "/usr/bin/odd");
	for (i = 0; i < 20; i++) {
		a = rig_act(&r, BH_ACT_SEQUENCE, "/usr/bin/odd");
		a.process.exec_id = exec_id;
		a.u.sequence.score = 90;
		a.u.sequence.threshold = 10;
		rig_feed(&r, &a);
	}
	a = rig_act(&r, BH_ACT_SYSCALLS, "/usr/bin/odd");
	a.process.exec_id = exec_id;
	a.u.syscalls.set = many;
	a.u.syscalls.n_words = 8;
	rig_feed(&r, &a);
	assert_non_null(rig_found(&r, "new-exec"));
	assert_null(rig_found(&r, "anomaly"));
	rig_exec(&r, "/usr/bin/odder");
	rig_exec(&r, "/usr/bin/oddest");
	assert_non_null(rig_found(&r, "anomaly"));
	rig_done(&r);
}

/* A command that somebody enters the pod with runs in an order of its own; going on is something
 * else. */
static void test_one_command_from_outside(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = learnt();
	struct bh_activity a;
	struct rig r;
	unsigned i;

	(void)state;
	rig_init(&r, 600);
	a = rig_act(&r, BH_ACT_EXEC, "/usr/sbin/app");
	a.process.exec_id = 77;
	a.process.flags |= BH_PROC_FROM_OUTSIDE;
	for (i = 1; i <= 3; i++) {
		const struct bh_base_sighting s = by(i, false);

		assert_int_equal(bh_baseline_observe(b, &a, &s), 0);
	}
	b->units = 100;
	bh_baseline_close(b);
	assert_int_equal(bh_detect_set_pod(r.d, &r.subject, &(struct bh_detect_pod){.baseline = b}),
			 0);
	rig_feed(&r, &a);
	a = rig_act(&r, BH_ACT_SEQUENCE, "/usr/sbin/app");
	a.process.exec_id = 77;
	a.u.sequence.score = 90;
	a.u.sequence.threshold = 10;
	rig_feed(&r, &a);
	rig_exec(&r, "/usr/bin/odd");
	rig_exec(&r, "/usr/bin/odder");
	assert_null(rig_found(&r, "anomaly"));
	for (i = 0; i < 3; i++)
		rig_feed(&r, &a);
	assert_non_null(rig_found(&r, "anomaly"));
	rig_done(&r);
}

/* A privileged pod is told about, and learnt from all the same. */
static void test_posture_is_no_suspicion(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	a = rig_act(&r, BH_ACT_START, "/usr/sbin/app");
	a.u.start.is_privileged = true;
	rig_feed(&r, &a);
	assert_non_null(rig_found(&r, "privileged"));
	assert_false(bh_detect_pod_is_suspect(r.d, r.subject.pod_id));
	rig_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_set_counts),
		cmocka_unit_test(test_a_gram_has_an_end),
		cmocka_unit_test(test_a_filter_is_right),
		cmocka_unit_test(test_grams_say_what_traces_say),
		cmocka_unit_test(test_a_baseline_judges),
		cmocka_unit_test(test_what_is_not_learnt),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_learning_waits),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_windows_add_up),
		cmocka_unit_test(test_a_window_and_a_program),
		cmocka_unit_test(test_a_new_program_counts_once),
		cmocka_unit_test(test_one_command_from_outside),
		cmocka_unit_test(test_posture_is_no_suspicion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
