/* Where the kernel's table of names is, from what points to each name. */
#include "bh_test.h"

#include <bpf/libbpf.h>

#include "datapath/trace_private.h"

#define NAMES 128
#define BASE  0xffff888100000000ull

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed ^ *seed >> 15;
}

/* Of names in a table with that shift, of which some are not the first in their place. */
static void fill(struct bh_look_at at[NAMES], uint32_t shift, size_t others)
{
	uint32_t seed = shift + 1;

	for (size_t i = 0; i < NAMES; i++) {
		at[i].hash = next(&seed);
		at[i].place = BASE + 8ull * (at[i].hash >> shift);
		if (i < others)
			at[i].place = 0xffff888200000000ull + 192ull * (next(&seed) >> 8);
	}
}

static void test_every_size_is_found(void **state)
{
	(void)state;
	for (uint32_t shift = 8; shift < 20; shift++) {
		struct bh_look_at at[NAMES];
		struct bh_look_table t;

		fill(at, shift, NAMES / 2);
		assert_true(bh_look_solve(at, NAMES, &t));
		assert_int_equal(t.base, BASE);
		assert_int_equal(t.shift, shift);
	}
}

static void test_no_table_no_answer(void **state)
{
	struct bh_look_table t = {.base = 7};
	struct bh_look_at at[NAMES];

	(void)state;
	fill(at, 13, NAMES);
	assert_false(bh_look_solve(at, NAMES, &t));
	fill(at, 13, 0);
	assert_false(bh_look_solve(at, 8, &t));
	assert_false(bh_look_solve(at, 0, &t));
	fill(at, 13, NAMES - NAMES / 5); /* less than a quarter agrees */
	assert_false(bh_look_solve(at, NAMES, &t));
	/* names that say all the same say nothing */
	for (size_t i = 0; i < NAMES; i++)
		at[i] = at[0];
	assert_false(bh_look_solve(at, NAMES, &t));
	assert_int_equal(t.base, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_size_is_found),
		cmocka_unit_test(test_no_table_no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
