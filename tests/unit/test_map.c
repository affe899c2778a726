#include "bh_test.h"

#include <errno.h>
#include <stdbool.h>

#include "base/map.h"
#include "base/own.h"

static unsigned freed;

static void count_free(void *value)
{
	freed++;
	free(value);
}

static void *boxed(int n)
{
	int *p = malloc(sizeof(*p));

	assert_non_null(p);
	*p = n;
	return p;
}

static int unboxed(const void *p)
{
	return p ? *(const int *)p : -1;
}

static void test_zeroed_map_is_valid(void **state)
{
	struct bh_map m = {0};
	size_t pos = 0;
	int x = 1;

	(void)state;
	assert_null(bh_map_get_s(&m, "a"));
	assert_int_equal(bh_map_del_s(&m, "a"), -ENOENT);
	assert_null(bh_map_steal(&m, "a", 1));
	assert_null(bh_map_next(&m, &pos));
	bh_map_done(&m);
	assert_int_equal(bh_map_set_s(&m, "a", &x), 0);
	assert_ptr_equal(bh_map_get_s(&m, "a"), &x);
	bh_map_done(&m);
	assert_int_equal(m.count, 0);
	assert_null(bh_map_get_s(&m, "a"));
}

static void test_set_replaces_and_frees(void **state)
{
	struct bh_map m;
	void *same = boxed(3);

	(void)state;
	freed = 0;
	bh_map_init(&m, count_free);
	assert_int_equal(bh_map_set_s(&m, "k", boxed(1)), 0);
	assert_int_equal(bh_map_set_s(&m, "k", boxed(2)), 0);
	assert_int_equal(freed, 1);
	assert_int_equal(m.count, 1);
	assert_int_equal(unboxed(bh_map_get_s(&m, "k")), 2);
	assert_int_equal(bh_map_set_s(&m, "k", same), 0);
	assert_int_equal(bh_map_set_s(&m, "k", same), 0);
	assert_int_equal(freed, 2);
	assert_int_equal(unboxed(bh_map_get_s(&m, "k")), 3);
	bh_map_done(&m);
	assert_int_equal(freed, 3);
}

static void test_del_frees_steal_does_not(void **state)
{
	struct bh_map m;
	void *p;

	(void)state;
	freed = 0;
	bh_map_init(&m, count_free);
	assert_int_equal(bh_map_set_s(&m, "a", boxed(1)), 0);
	assert_int_equal(bh_map_set_s(&m, "b", boxed(2)), 0);
	assert_int_equal(bh_map_del_s(&m, "a"), 0);
	assert_int_equal(freed, 1);
	assert_int_equal(bh_map_del_s(&m, "a"), -ENOENT);
	p = bh_map_steal(&m, "b", 1);
	assert_int_equal(unboxed(p), 2);
	assert_int_equal(freed, 1);
	free(p);
	assert_int_equal(m.count, 0);
	bh_map_done(&m);
	assert_int_equal(freed, 1);
}

static void test_null_values_are_kept(void **state)
{
	struct bh_map m;
	size_t pos = 0;

	(void)state;
	bh_map_init(&m, count_free);
	assert_int_equal(bh_map_set_s(&m, "set", NULL), 0);
	assert_int_equal(m.count, 1);
	assert_non_null(bh_map_next(&m, &pos));
	assert_int_equal(bh_map_del_s(&m, "set"), 0);
	bh_map_done(&m);
}

static void test_keys_are_bytes_and_copied(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} keys[] = {{"", 0}, {"", 1}, {"\0\0", 2}, {"a", 1}, {"a", 2}, {"a\0b", 3}, {"a\0c", 3}};
	struct bh_map m = {0};
	char key[] = "abc";
	int values[BH_ARRAY_SIZE(keys)];
	size_t pos = 0;

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(keys); i++)
		assert_int_equal(bh_map_set(&m, keys[i].bytes, keys[i].len, &values[i]), 0);
	assert_int_equal(m.count, BH_ARRAY_SIZE(keys));
	for (size_t i = 0; i < BH_ARRAY_SIZE(keys); i++)
		assert_ptr_equal(bh_map_get(&m, keys[i].bytes, keys[i].len), &values[i]);
	bh_map_done(&m);
	assert_int_equal(bh_map_set_s(&m, key, &values[0]), 0);
	key[0] = 'x';
	assert_ptr_equal(bh_map_get_s(&m, "abc"), &values[0]);
	assert_string_equal(bh_map_next(&m, &pos)->key, "abc");
	bh_map_done(&m);
}

static void test_walk_is_in_insertion_order(void **state)
{
	struct bh_map m = {0};
	struct bh_map_entry *e;
	size_t pos = 0;
	int n = 0;

	(void)state;
	for (int i = 0; i < 500; i++)
		assert_int_equal(bh_map_set(&m, &i, sizeof(i), &m), 0);
	for (int i = 0; i < 500; i += 7) /* setting again moves nothing */
		assert_int_equal(bh_map_set(&m, &i, sizeof(i), &n), 0);
	while ((e = bh_map_next(&m, &pos))) {
		assert_int_equal(e->key_len, sizeof(int));
		assert_memory_equal(e->key, &n, sizeof(n));
		n++;
	}
	assert_int_equal(n, 500);
	bh_map_done(&m);
}

static void test_delete_while_walking(void **state)
{
	struct bh_map m = {0};
	struct bh_map_entry *e;
	size_t pos = 0;
	unsigned visits = 0;

	(void)state;
	for (int i = 0; i < 300; i++)
		assert_int_equal(bh_map_set(&m, &i, sizeof(i), &m), 0);
	while ((e = bh_map_next(&m, &pos))) {
		visits++;
		assert_int_equal(bh_map_del(&m, e->key, e->key_len), 0);
	}
	assert_int_equal(visits, 300);
	assert_int_equal(m.count, 0);
	bh_map_done(&m);
}

/* set and delete for ever must not grow the map for ever */
static void test_churn_does_not_grow(void **state)
{
	struct bh_map m = {0};

	(void)state;
	for (int i = 0; i < 100000; i++) {
		assert_int_equal(bh_map_set(&m, &i, sizeof(i), &m), 0);
		if (i >= 10) {
			int old = i - 10;

			assert_int_equal(bh_map_del(&m, &old, sizeof(old)), 0);
		}
	}
	assert_int_equal(m.count, 10);
	assert_true(m.cap_e <= 64);
	bh_map_done(&m);
}

/* ---- random operations against a model: an array indexed by the key ---- */

#define MODEL_KEYS 700

static unsigned next_random(unsigned *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void compare_with_model(const struct bh_map *m, const int *model)
{
	struct bh_map_entry *e;
	size_t pos = 0, count = 0, seen = 0;

	for (uint16_t k = 0; k < MODEL_KEYS; k++) {
		assert_int_equal(unboxed(bh_map_get(m, &k, sizeof(k))), model[k]);
		count += model[k] >= 0;
	}
	assert_int_equal(m->count, count);
	while ((e = bh_map_next(m, &pos))) {
		uint16_t k;

		memcpy(&k, e->key, sizeof(k));
		assert_int_equal(unboxed(e->value), model[k]);
		seen++;
	}
	assert_int_equal(seen, count);
}

static void random_step(struct bh_map *m, int *model, unsigned *seed, int step)
{
	uint16_t k = (uint16_t)(next_random(seed) % MODEL_KEYS);
	unsigned what = next_random(seed) % 16;
	bool has = model[k] >= 0;

	if (what < 8) {
		assert_int_equal(bh_map_set(m, &k, sizeof(k), boxed(step)), 0);
		model[k] = step;
	} else if (what < 14) {
		assert_int_equal(bh_map_del(m, &k, sizeof(k)), has ? 0 : -ENOENT);
		model[k] = -1;
	} else {
		void *p = bh_map_steal(m, &k, sizeof(k));

		assert_int_equal(unboxed(p), model[k]);
		free(p);
		model[k] = -1;
	}
}

static void test_random_operations(void **state)
{
	int model[MODEL_KEYS];

	(void)state;
	for (unsigned round = 1; round <= 5; round++) {
		unsigned seed = round * 7919;
		struct bh_map m;

		memset(model, -1, sizeof(model));
		bh_map_init(&m, free);
		for (int step = 0; step < 20000; step++) {
			random_step(&m, model, &seed, step);
			if (step % 997 == 0)
				compare_with_model(&m, model);
		}
		compare_with_model(&m, model);
		bh_map_done(&m);
	}
}

/* ---- the hash ---- */

static void test_hash_depends_on_everything(void **state)
{
	unsigned char a[70] = {0};
	uint64_t base;

	(void)state;
	for (size_t n = 0; n < sizeof(a); n++) {
		base = bh_hash(a, n, 1);
		assert_true(base == bh_hash(a, n, 1));
		assert_true(base != bh_hash(a, n, 2));
		assert_true(base != bh_hash(a, n + 1, 1));
		for (size_t bit = 0; bit < 8 * n; bit++) {
			a[bit / 8] ^= (unsigned char)(1 << bit % 8);
			assert_true(base != bh_hash(a, n, 1));
			a[bit / 8] ^= (unsigned char)(1 << bit % 8);
		}
	}
}

/* The map uses the low bits: 4096 counting keys must spread over 4096 buckets about as randomly
 * as balls into bins (63% of the buckets hit), whatever byte of the key counts. */
static void test_hash_spreads(void **state)
{
	(void)state;
	for (size_t shift = 0; shift < 6; shift++) {
		unsigned char hit[4096] = {0};
		unsigned used = 0;

		for (unsigned i = 0; i < 4096; i++) {
			unsigned char key[8] = {0};

			memcpy(key + shift, &i, 2);
			hit[bh_hash(key, sizeof(key), 99) & 4095] = 1;
		}
		for (unsigned i = 0; i < 4096; i++)
			used += hit[i];
		assert_in_range(used, 2400, 2800);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zeroed_map_is_valid),
		cmocka_unit_test(test_set_replaces_and_frees),
		cmocka_unit_test(test_del_frees_steal_does_not),
		cmocka_unit_test(test_null_values_are_kept),
		cmocka_unit_test(test_keys_are_bytes_and_copied),
		cmocka_unit_test(test_walk_is_in_insertion_order),
		cmocka_unit_test(test_delete_while_walking),
		cmocka_unit_test(test_churn_does_not_grow),
		cmocka_unit_test(test_random_operations),
		cmocka_unit_test(test_hash_depends_on_everything),
		cmocka_unit_test(test_hash_spreads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
