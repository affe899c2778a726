/* The mounts a process sees. */
#include "bh_test.h"

#include <unistd.h>

#include "base/own.h"
#include "daemon/mountinfo.h"

static void test_reads_our_own(void **state)
{
	BH_CLEANUP(bh_mounts_done) struct bh_mounts m = {0};
	bool has_root = false, has_proc = false;
	size_t n = 0, again = 0;
	struct bh_mount one;

	(void)state;
	assert_true(bh_mounts_open(&m, (uint32_t)getpid()));
	for (; bh_mounts_next(&m, &one); n++) {
		assert_int_equal(one.point[0], '/');
		has_root |= !strcmp(one.point, "/");
		if (!strcmp(one.point, "/proc")) {
			has_proc = true;
			assert_false(one.is_local);
		}
	}
	assert_true(has_root && has_proc);
	bh_mounts_rewind(&m);
	while (bh_mounts_next(&m, &one))
		again++;
	assert_int_equal(again, n);
}

static void test_nobody_is_there(void **state)
{
	BH_CLEANUP(bh_mounts_done) struct bh_mounts m = {0};

	(void)state;
	assert_false(bh_mounts_open(&m, UINT32_MAX));
}

static void test_below(void **state)
{
	static const struct {
		const char *point, *path;
		bool is_below;
	} rows[] = {
		{"/", "/", true},	  {"/", "/a/b", true},	 {"/a", "/a", true},
		{"/a", "/a/b", true},	  {"/a", "/ab", false},	 {"/a/b", "/a", false},
		{"/a b", "/a b/c", true}, {"/b", "/a/b", false},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++)
		assert_int_equal(bh_mount_has(rows[i].point, rows[i].path), rows[i].is_below);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_our_own),
		cmocka_unit_test(test_nobody_is_there),
		cmocka_unit_test(test_below),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
