#include "bh_test.h"

#include <errno.h>
#include <math.h>

#include "base/own.h"
#include "detect/seq.h"

#define N_TRACES 60
#define LONG	 400

static uint16_t store[N_TRACES][LONG];
static struct bh_trace traces[N_TRACES];
static uint32_t seed;

static unsigned chance(unsigned n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 16) % n;
}

/* Requests of four calls each, of three kinds, in any order. */
static void make_normal(uint16_t *out, size_t n)
{
	static const uint16_t kinds[3][4] = {{1, 2, 3, 4}, {1, 5, 6, 4}, {7, 2, 2, 8}};
	size_t i, k = 0;

	for (i = 0; i < n; i++) {
		if (i % 4 == 0)
			k = chance(3);
		out[i] = kinds[k][i % 4];
	}
}

static struct bh_seq *trained(unsigned order)
{
	struct bh_seq_options opt = {.order = order};
	struct bh_seq *m = NULL;
	struct bh_err err;
	size_t i;

	seed = 7;
	for (i = 0; i < N_TRACES; i++) {
		traces[i] = (struct bh_trace){.calls = store[i], .n = 40 + chance(LONG - 40)};
		make_normal(store[i], traces[i].n);
	}
	bh_assert_ok(&err, bh_seq_new(&opt, &m, &err));
	bh_assert_ok(&err, bh_seq_train(m, traces, N_TRACES, &err));
	return m;
}

static double total(const struct bh_seq *m, const uint16_t *calls, size_t n)
{
	const struct bh_trace t = {.calls = calls, .n = n};
	struct bh_seq_score s;

	bh_seq_score(m, &t, &s);
	return s.total;
}

/* The chances of all calls after one context add up to one. */
static void test_chances_add_up(void **state)
{
	BH_CLEANUP(bh_seq_freep) struct bh_seq *m = trained(3);
	uint16_t calls[] = {1, 2, 0};
	const struct bh_trace t = {.calls = calls, .n = 3};
	double sum = 0;
	int i;

	(void)state;
	for (i = 0; i < BH_SEQ_CALLS; i++) {
		calls[2] = (uint16_t)i;
		sum += exp2(-bh_seq_bits(m, &t, 2));
	}
	assert_true(fabs(sum - 1) < 0.01); /* the rarest are rounded up */
	calls[2] = 3;			   /* what always follows */
	assert_true(bh_seq_bits(m, &t, 2) < 0.2);
	calls[2] = 6; /* known, but never after these */
	assert_true(bh_seq_bits(m, &t, 2) > 5);
}

/* Strings of known calls that training never saw are counted, each once; what it saw is not. */
static void test_unknown_strings_are_a_share(void **state)
{
	BH_CLEANUP(bh_seq_freep) struct bh_seq *m = trained(6);
	uint16_t calls[LONG];
	const struct bh_trace old = traces[0], t = {.calls = calls, .n = 100};
	struct bh_seq_score s;
	double odd;

	(void)state;
	bh_seq_score(m, &old, &s);
	assert_true(s.raw[BH_SEQ_NEW] <= 0);
	make_normal(calls, t.n);
	bh_seq_score(m, &t, &s);
	assert_true(s.raw[BH_SEQ_NEW] < 0.05);
	odd = s.total;
	for (size_t i = 0; i < t.n; i++)
		calls[i] = i % 2 ? 4 : 8;
	bh_seq_score(m, &t, &s);
	assert_true(s.raw[BH_SEQ_NEW] > 0.9);
	assert_true(s.total > odd);
}

static void test_normal_stays_below(void **state)
{
	unsigned orders[] = {6, 1};
	uint16_t calls[LONG];
	size_t i, k;

	(void)state;
	for (k = 0; k < 2; k++) {
		BH_CLEANUP(bh_seq_freep) struct bh_seq *m = trained(orders[k]);
		double limit = bh_seq_threshold(m, 0.01);
		unsigned above = 0;

		for (i = 0; i < 100; i++) {
			size_t n = 40 + chance(LONG - 40);

			make_normal(calls, n);
			above += total(m, calls, n) > limit;
		}
		assert_true(above <= 8);
	}
}

/* A long trace does not hide a short deed, and one odd call alone does not condemn. */
static void test_deeds_stand_out(void **state)
{
	BH_CLEANUP(bh_seq_freep) struct bh_seq *m = trained(6);
	double limit = bh_seq_threshold(m, 0.01);
	uint16_t calls[LONG];
	size_t i;

	(void)state;
	make_normal(calls, LONG);
	calls[200] = 99;
	assert_true(total(m, calls, LONG) < limit);
	assert_true(total(m, calls, LONG) > total(m, traces[0].calls, traces[0].n));
	for (i = 200; i < 224; i++)
		calls[i] = (uint16_t)(100 + i % 5);
	assert_true(total(m, calls, LONG) > limit);
	/* its own calls, but backwards */
	make_normal(calls, LONG);
	for (i = 0; i < LONG / 2; i++) {
		uint16_t c = calls[i];

		calls[i] = calls[LONG - 1 - i];
		calls[LONG - 1 - i] = c;
	}
	assert_true(total(m, calls, LONG) > limit);
}

/* Some calls that no other trace makes. */
static void make_rare(uint16_t *out, size_t n, size_t which)
{
	make_normal(out, n);
	for (size_t k = 1; k < 5; k++)
		out[k * n / 5] = (uint16_t)(16 + 4 * which + k);
}

/* Training had regular short traces, and long ones each with calls of its own. A short one that has
 * some too is less usual, but no more than what normal traces score when they are left out. */
static void test_length_alone_is_nothing(void **state)
{
	BH_CLEANUP(bh_seq_freep) struct bh_seq *m = NULL;
	struct bh_seq_options opt = {0};
	uint16_t calls[LONG / 2];
	struct bh_err err;
	size_t i, n = sizeof(calls) / sizeof(*calls);

	(void)state;
	seed = 13;
	for (i = 0; i < N_TRACES; i++) {
		traces[i] = (struct bh_trace){.calls = store[i], .n = i % 2 ? LONG : n};
		if (i % 2)
			make_rare(store[i], LONG, i);
		else
			make_normal(store[i], n);
	}
	bh_assert_ok(&err, bh_seq_new(&opt, &m, &err));
	bh_assert_ok(&err, bh_seq_train(m, traces, N_TRACES, &err));
	make_rare(calls, n, N_TRACES);
	assert_true(total(m, calls, n) < bh_seq_threshold(m, 0.01));
	for (i = 0; i < n; i++)
		calls[i] = (uint16_t)(300 + i % 5);
	assert_true(total(m, calls, n) > bh_seq_threshold(m, 0.01));
}

static void test_odd_input(void **state)
{
	struct bh_seq_options opt = {.order = BH_SEQ_MAX_ORDER + 1}, tiny = {.max_nodes = 10};
	BH_CLEANUP(bh_seq_freep) struct bh_seq *m = NULL;
	const uint16_t calls[] = {65535, 512, 511, 1, 1, 1};
	const struct bh_trace one = {.calls = calls, .n = 6}, none = {.calls = calls};
	struct bh_seq_stats stats;
	struct bh_seq_score s;
	struct bh_err err;

	(void)state;
	bh_assert_fails(&err, -EINVAL, "order", bh_seq_new(&opt, &m, &err));
	bh_assert_ok(&err, bh_seq_new(&tiny, &m, &err));
	bh_assert_fails(&err, -EINVAL, "nothing", bh_seq_train(m, NULL, 0, &err));
	bh_assert_ok(&err, bh_seq_train(m, &one, 1, &err));
	bh_seq_stats(m, &stats);
	assert_true(stats.nodes <= 10 && stats.refused > 0);
	bh_seq_score(m, &none, &s);
	assert_true(s.total == 0);
	bh_seq_score(m, &one, &s);
	assert_true(isfinite(s.total));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chances_add_up),
		cmocka_unit_test(test_unknown_strings_are_a_share),
		cmocka_unit_test(test_normal_stays_below),
		cmocka_unit_test(test_deeds_stand_out),
		cmocka_unit_test(test_length_alone_is_nothing),
		cmocka_unit_test(test_odd_input),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
