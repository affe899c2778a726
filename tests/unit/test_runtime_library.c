/* The RuntimePolicies in policies/ are valid, without a warning. */
#include "objects_kit.h"

#include <glob.h>

#include "base/fs.h"
#include "base/own.h"
#include "detect/detect.h"

static int count(struct bh_runtime_policy *p, void *arg)
{
	(void)p;
	++*(size_t *)arg;
	return 0;
}

static void test_library(void **state)
{
	struct bh_objects *o = ok_new();
	char pattern[512];
	size_t i, n = 0, len;
	struct bh_err err;
	glob_t files;

	(void)state;
	snprintf(pattern, sizeof(pattern), "%s/policies/runtime-*.yaml", getenv("BH_SOURCE_DIR"));
	assert_int_equal(glob(pattern, 0, NULL, &files), 0);
	for (i = 0; i < files.gl_pathc; i++) {
		char *text = NULL;

		bh_assert_ok(&err, bh_fs_read(files.gl_pathv[i], 1 << 20, &text, &len, &err));
		ok_load_n(o, files.gl_pathv[i], text, len);
		free(text);
	}
	ok_assert_problems(o, "");
	assert_int_equal(bh_objects_runtime_policies(o, count, &n), 0);
	assert_int_equal(n, files.gl_pathc);
	assert_true(n >= 5);
	globfree(&files);
	bh_objects_free(o);
}

/* Whoever writes `on` finds every name in the page beside the policies. */
static void test_page(void **state)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	char path[512], row[128];
	struct bh_err err;
	size_t i, len;

	(void)state;
	snprintf(path, sizeof(path), "%s/policies/README.md", getenv("BH_SOURCE_DIR"));
	bh_assert_ok(&err, bh_fs_read(path, 1 << 20, &text, &len, &err));
	for (i = 0; i < bh_n_detectors; i++) {
		snprintf(row, sizeof(row), "| `%s` | %s", bh_detectors[i].name,
			 bh_detectors[i].title);
		if (!strstr(text, row))
			fail_msg("%s is not in %s", row, path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_library),
					   cmocka_unit_test(test_page)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
