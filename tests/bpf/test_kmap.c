/* Maps in batches: what is deleted is gone, what is absent is no error wherever it stands, the rest
 * stays. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <unistd.h>

#include "bh_test.h"
#include "datapath/kmap.h"

#define ELEMENTS (2 * BH_KMAP_CHUNK + 100)

static struct {
	struct bh_kmap map;
	uint32_t keys[ELEMENTS];
	struct bh_err err;
} fx;

/* Elements i with the value 2 * i. */
static int setup(void **state)
{
	(void)state;
	fx.map = (struct bh_kmap){
		.name = "test",
		.fd = bpf_map_create(BPF_MAP_TYPE_HASH, "bh_test", 4, 4, ELEMENTS, NULL),
		.type = BPF_MAP_TYPE_HASH,
		.max = ELEMENTS,
		.key_size = 4,
		.value_size = 4};
	assert_true(fx.map.fd >= 0);
	for (uint32_t i = 0; i < ELEMENTS; i++) {
		uint32_t value = 2 * i;

		fx.keys[i] = i;
		assert_int_equal(bpf_map_update_elem(fx.map.fd, &i, &value, BPF_NOEXIST), 0);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return close(fx.map.fd);
}

static bool is_there(uint32_t key)
{
	uint32_t value = 0;
	int r = bh_kmap_get(&fx.map, &key, &value);

	assert_true(r == -ENOENT || (r == 0 && value == 2 * key));
	return r == 0;
}

static uint64_t count(void)
{
	uint64_t n = 0;

	bh_assert_ok(&fx.err, bh_kmap_count(&fx.map, &n, &fx.err));
	return n;
}

static void delete (const uint32_t *keys, uint32_t n)
{
	const struct bh_kbatch b = {.keys = keys, .n = n};

	bh_assert_ok(&fx.err, bh_kmap_delete(&fx.map, &b, &fx.err));
}

/* More than a batch, none of them absent. */
static void test_all(void **state)
{
	(void)state;
	assert_int_equal(count(), ELEMENTS);
	delete (fx.keys, ELEMENTS - 1);
	assert_int_equal(count(), 1);
	assert_true(is_there(ELEMENTS - 1));
	assert_false(fx.map.has_no_batch);
}

/* Absent ones first, last, two in a row, and at both sides of a batch's end. */
static void test_absent_ones(void **state)
{
	static const uint32_t absent[] = {0,
					  1,
					  700,
					  7,
					  BH_KMAP_CHUNK - 1,
					  1023,
					  BH_KMAP_CHUNK,
					  BH_KMAP_CHUNK + 1,
					  2 * BH_KMAP_CHUNK,
					  ELEMENTS - 11};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(absent); i++)
		assert_int_equal(bpf_map_delete_elem(fx.map.fd, &absent[i]), 0);
	delete (fx.keys, ELEMENTS - 10);
	assert_int_equal(count(), 10);
	for (uint32_t i = ELEMENTS - 10; i < ELEMENTS; i++)
		assert_true(is_there(i));
}

static void test_only_absent_ones(void **state)
{
	uint32_t keys[3] = {ELEMENTS, ELEMENTS + 1, ELEMENTS + 2};

	(void)state;
	for (uint32_t n = 0; n <= 3; n++)
		delete (keys, n);
	assert_int_equal(count(), ELEMENTS);
	keys[1] = 5;
	delete (keys, 3);
	assert_int_equal(count(), ELEMENTS - 1);
	assert_false(is_there(5));
}

/* Any other error is one. */
static void test_no_map(void **state)
{
	const struct bh_kbatch b = {.keys = fx.keys, .n = 3};
	struct bh_kmap none = fx.map;

	(void)state;
	none.fd = -1;
	assert_true(bh_kmap_delete(&none, &b, &fx.err) < 0);
	assert_non_null(strstr(fx.err.text, "delete from map test"));
	assert_int_equal(count(), ELEMENTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_absent_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_absent_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_map, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
