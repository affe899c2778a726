#include "bh_test.h"

#include "base/vec.h"

struct pair {
	int a;
	char b;
};

static void test_empty_vector(void **state)
{
	BH_VEC(int) v = {0};
	unsigned visits = 0;

	(void)state;
	bh_vec_each (it, &v)
		visits++;
	assert_int_equal(visits, 0);
	bh_vec_done(&v);
	bh_vec_done(&v);
}

static void test_push_and_walk(void **state)
{
	BH_VEC(struct pair) v = {0};
	int i = 0;

	(void)state;
	for (int n = 0; n < 1000; n++)
		assert_int_equal(bh_vec_push(&v, ((struct pair){.a = n, .b = (char)n})), 0);
	assert_int_equal(v.n, 1000);
	assert_true(v.cap >= v.n);
	bh_vec_each (it, &v) {
		assert_int_equal(it->a, i);
		assert_int_equal(it->b, (char)i);
		i++;
	}
	assert_int_equal(i, 1000);
	bh_vec_done(&v);
	assert_null(v.v);
	assert_int_equal(v.n, 0);
	assert_int_equal(v.cap, 0);
}

static void test_reserve_keeps_the_elements(void **state)
{
	BH_VEC(uint64_t) v = {0};
	const uint64_t *before;

	(void)state;
	assert_int_equal(bh_vec_push(&v, 7u), 0);
	assert_int_equal(bh_vec_reserve(&v, 5000), 0);
	assert_true(v.cap >= 5000);
	assert_int_equal(v.n, 1);
	assert_int_equal(v.v[0], 7);
	before = v.v;
	assert_int_equal(bh_vec_reserve(&v, 10), 0);
	assert_ptr_equal(v.v, before);
	bh_vec_done(&v);
}

static void test_too_much_changes_nothing(void **state)
{
	BH_VEC(uint64_t) v = {0};

	(void)state;
	assert_int_equal(bh_vec_push(&v, 7u), 0);
	assert_int_equal(bh_vec_reserve(&v, SIZE_MAX), -ENOMEM);
	assert_int_equal(bh_vec_reserve(&v, SIZE_MAX / sizeof(uint64_t)), -ENOMEM);
	assert_int_equal(bh_vec_reserve(&v, SIZE_MAX / sizeof(uint64_t) + 1), -ENOMEM);
	assert_int_equal(v.n, 1);
	assert_int_equal(v.v[0], 7);
	bh_vec_done(&v);
}

static void test_room(void **state)
{
	BH_VEC(int) v = {0};

	(void)state;
	/* Just what is wanted where that is more than twice. */
	assert_int_equal(bh_vec_reserve(&v, 1001), 0);
	assert_int_equal(v.cap, 1001);
	for (int i = 0; i < 1002; i++)
		assert_int_equal(bh_vec_push(&v, i), 0);
	assert_int_equal(v.cap, 2002);
	bh_vec_shrink(&v);
	assert_int_equal(v.cap, 1002);
	assert_int_equal(v.v[1001], 1001);
	bh_vec_shrink(&v);
	assert_int_equal(v.cap, 1002);
	/* An empty one keeps its room. */
	v.n = 0;
	bh_vec_shrink(&v);
	assert_int_equal(v.cap, 1002);
	bh_vec_done(&v);
	bh_vec_shrink(&v);
	assert_null(v.v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_empty_vector),
		cmocka_unit_test(test_push_and_walk),
		cmocka_unit_test(test_reserve_keeps_the_elements),
		cmocka_unit_test(test_too_much_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
