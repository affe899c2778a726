/* Executables of edges: the newest are known, and they never take more than so many bytes. */
#include "bh_test.h"

#include "daemon/edge_paths.h"

static struct bh_edge_key edge(uint32_t n)
{
	struct bh_edge_key k = {.slot = 3};

	memcpy(k.remote, &n, sizeof(n));
	return k;
}

static void put(struct bh_edge_paths *p, uint32_t n, const char *path)
{
	const struct bh_edge_key k = edge(n);

	bh_edge_paths_put(p, &k, 1, path);
}

static const char *get(const struct bh_edge_paths *p, uint32_t n)
{
	const struct bh_edge_key k = edge(n);

	return bh_edge_paths_get(p, &k, 1);
}

static void test_known(void **state)
{
	struct bh_edge_paths *p = bh_edge_paths_new();
	const struct bh_edge_key k = edge(1);
	size_t bytes;

	(void)state;
	assert_non_null(p);
	put(p, 1, "/bin/a");
	put(p, 2, "/bin/b");
	assert_string_equal(get(p, 1), "/bin/a");
	assert_string_equal(get(p, 2), "/bin/b");
	assert_null(get(p, 3));
	/* another tenant of the slot */
	assert_null(bh_edge_paths_get(p, &k, 2));
	bytes = bh_edge_paths_bytes(p);
	put(p, 1, "/bin/a");
	assert_int_equal(bh_edge_paths_bytes(p), bytes);
	put(p, 1, "/bin/c");
	assert_string_equal(get(p, 1), "/bin/c");
	bh_edge_paths_free(p);
}

static void test_bounded(void **state)
{
	struct bh_edge_paths *p = bh_edge_paths_new();
	char path[256] = {0};
	uint32_t known = 0;

	(void)state;
	assert_non_null(p);
	memset(path, 'x', sizeof(path) - 1);
	for (uint32_t i = 0; i < 100000; i++) {
		put(p, i, path);
		assert_true(bh_edge_paths_bytes(p) <= BH_EDGE_PATHS_BYTES);
		assert_non_null(get(p, i));
	}
	for (uint32_t i = 100000; i-- && get(p, i);)
		known++;
	/* the younger half at least */
	assert_in_range(known, BH_EDGE_PATHS_BYTES / 2 / 512, 100000);
	bh_edge_paths_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
