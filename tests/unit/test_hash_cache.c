/* Digests that are remembered: a changed file is another one, and room is bounded. */
#include "bh_test.h"

#include "daemon/hash_cache.h"

static struct bh_hash_cache *cache;

static int setup(void **state)
{
	(void)state;
	cache = bh_hash_cache_new();
	return cache ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	bh_hash_cache_free(cache);
	return 0;
}

static const struct bh_exefile_id file = {
	.dev = 1, .ino = 2, .stat_dev = 3, .ctime_ns = 4, .btime_ns = 5, .size = 6};

static void put(const struct bh_exefile_id *id, uint8_t first)
{
	uint8_t digest[BH_HASH_LEN] = {first};

	bh_hash_cache_put_file(cache, id, digest);
}

static int first_of(const struct bh_exefile_id *id)
{
	const uint8_t *digest = bh_hash_cache_file(cache, id);

	return digest ? digest[0] : -1;
}

static void test_every_part_of_the_identity_counts(void **state)
{
	struct bh_exefile_id other[6];

	(void)state;
	put(&file, 9);
	assert_int_equal(first_of(&file), 9);
	for (size_t i = 0; i < 6; i++)
		other[i] = file;
	other[0].dev++;
	other[1].ino++;
	other[2].stat_dev++;
	other[3].ctime_ns++;
	other[4].btime_ns++;
	other[5].size++;
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(first_of(&other[i]), -1);
}

static void test_a_new_state_replaces_the_old_one(void **state)
{
	struct bh_exefile_id changed = file;

	(void)state;
	changed.ctime_ns++;
	put(&file, 1);
	put(&changed, 2);
	assert_int_equal(first_of(&changed), 2);
	assert_int_equal(first_of(&file), -1);
}

/* What is used stays when ten times as much as fits goes by. */
static void test_least_used_goes(void **state)
{
	(void)state;
	put(&file, 1);
	for (uint64_t i = 1; i < 40000; i++) {
		struct bh_exefile_id one = file;

		one.ino += i;
		put(&one, 2);
		if (i % 8 == 0)
			assert_int_equal(first_of(&file), 1);
	}
}

static void test_execs(void **state)
{
	const uint8_t a[BH_HASH_LEN] = {1}, b[BH_HASH_LEN] = {2};

	(void)state;
	assert_null(bh_hash_cache_exec(cache, 0));
	assert_null(bh_hash_cache_exec(cache, 5));
	bh_hash_cache_put_exec(cache, 5, a);
	bh_hash_cache_put_exec(cache, 6, b);
	assert_int_equal(bh_hash_cache_exec(cache, 5)[0], 1);
	assert_int_equal(bh_hash_cache_exec(cache, 6)[0], 2);
	for (uint64_t i = 100; i < 60000; i++)
		bh_hash_cache_put_exec(cache, i, b);
	assert_null(bh_hash_cache_exec(cache, 5));
	assert_int_equal(bh_hash_cache_exec(cache, 59999)[0], 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_part_of_the_identity_counts, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_new_state_replaces_the_old_one, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_least_used_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_execs, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
