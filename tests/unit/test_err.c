#include "bh_test.h"

#include <errno.h>

#include "base/str.h"

static void test_fail_returns_and_records(void **state)
{
	struct bh_err err = {0};

	(void)state;
	assert_int_equal(bh_fail(&err, EINVAL, "port '%s' is not 1-65535", "x"), -EINVAL);
	assert_int_equal(err.code, -EINVAL);
	assert_string_equal(err.text, "port 'x' is not 1-65535");
}

static void test_notes_read_outside_in(void **state)
{
	struct bh_err err = {0};
	int r;

	(void)state;
	r = bh_fail(&err, EINVAL, "port '%d' is not 1-65535", 70000);
	r = bh_note(&err, r, "rule %d", 2);
	r = bh_note(&err, r, "policy '%s'", "web");
	assert_int_equal(r, -EINVAL);
	assert_int_equal(err.code, -EINVAL);
	assert_string_equal(err.text, "policy 'web': rule 2: port '70000' is not 1-65535");
}

static void test_fail_sys_adds_the_system_text(void **state)
{
	struct bh_err err = {0};

	(void)state;
	assert_int_equal(bh_fail_sys(&err, ENOENT, "open '%s'", "/x"), -ENOENT);
	assert_string_equal(err.text, "open '/x': No such file or directory");
	assert_int_equal(bh_fail_sys(&err, ENOENT, "%s", ""), -ENOENT);
	assert_string_equal(err.text, "No such file or directory");
}

/* errno given as the argument is read before the function can change it */
static void test_errno_as_argument(void **state)
{
	struct bh_err err = {0};

	(void)state;
	errno = EACCES;
	assert_int_equal(bh_fail_sys(&err, errno, "read"), -EACCES);
	assert_string_equal(err.text, "read: Permission denied");
}

static void test_text_is_never_empty(void **state)
{
	struct bh_err err = {0};

	(void)state;
	assert_int_equal(bh_fail(&err, EPERM, "%s", ""), -EPERM);
	assert_string_equal(err.text, "Operation not permitted");
	memset(&err, 0, sizeof(err));
	assert_int_equal(bh_note(&err, -EPERM, "%s", ""), -EPERM);
	assert_string_equal(err.text, "Operation not permitted");
	memset(&err, 0, sizeof(err));
	assert_int_equal(bh_note(&err, -EPERM, "step one"), -EPERM);
	assert_string_equal(err.text, "step one");
	assert_int_equal(err.code, -EPERM);
}

static void test_wrong_errno_is_still_a_failure(void **state)
{
	struct bh_err err = {0};

	(void)state;
	assert_int_equal(bh_fail(&err, 0, "x"), -EIO);
	assert_int_equal(err.code, -EIO);
	assert_int_equal(bh_fail(&err, -EINVAL, "x"), -EINVAL);
	assert_int_equal(err.code, -EINVAL);
	assert_int_equal(bh_fail_sys(&err, 0, "x"), -EIO);
}

static void test_long_text_is_cut_at_the_end(void **state)
{
	struct bh_err err = {0};
	char long_text[2 * BH_ERR_TEXT];

	(void)state;
	memset(long_text, 'a', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	bh_fail(&err, EINVAL, "%s", long_text);
	assert_int_equal(strlen(err.text), BH_ERR_TEXT - 1);
	bh_note(&err, -EINVAL, "outer");
	assert_int_equal(strlen(err.text), BH_ERR_TEXT - 1);
	assert_memory_equal(err.text, "outer: aaa", 10);
	bh_note(&err, -EINVAL, "%s", long_text);
	assert_int_equal(strlen(err.text), BH_ERR_TEXT - 1);
	bh_fail_sys(&err, EINVAL, "%s", long_text);
	assert_int_equal(strlen(err.text), BH_ERR_TEXT - 1);
}

static size_t bad_utf8_at(const char *s)
{
	size_t at = 0, left = strlen(s);

	while (left) {
		size_t n = bh_utf8_len(s + at, left);

		if (!n)
			return at + 1;
		at += n;
		left -= n;
	}
	return 0;
}

static void test_cut_never_splits_a_character(void **state)
{
	static const char *const chars[] = {"\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x90\xa7"};
	struct bh_err err;

	(void)state;
	for (size_t c = 0; c < BH_ARRAY_SIZE(chars); c++) {
		for (size_t pad = 0; pad < 4; pad++) {
			BH_CLEANUP(bh_str_done) struct bh_str s = {0};

			while (s.n < pad)
				bh_str_add(&s, "x");
			while (s.n < BH_ERR_TEXT)
				bh_str_add(&s, chars[c]);
			bh_fail(&err, EINVAL, "%s", bh_str_text(&s));
			assert_int_equal(bad_utf8_at(err.text), 0);
			assert_true(strlen(err.text) >= BH_ERR_TEXT - 4);
			bh_note(&err, -EINVAL, "y");
			assert_int_equal(bad_utf8_at(err.text), 0);
		}
	}
}

/* what a hostile name could put into a terminal or a JSON reply */
static void test_control_and_bad_bytes_are_masked(void **state)
{
	struct bh_err err = {0};

	(void)state;
	bh_fail(&err, EINVAL,
		"a\nb\x1b[31m\x7f"
		"c\xff\xc3"
		"d\xc3\xa4");
	assert_string_equal(err.text, "a?b?[31m?c??d\xc3\xa4");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fail_returns_and_records),
		cmocka_unit_test(test_notes_read_outside_in),
		cmocka_unit_test(test_fail_sys_adds_the_system_text),
		cmocka_unit_test(test_errno_as_argument),
		cmocka_unit_test(test_text_is_never_empty),
		cmocka_unit_test(test_wrong_errno_is_still_a_failure),
		cmocka_unit_test(test_long_text_is_cut_at_the_end),
		cmocka_unit_test(test_cut_never_splits_a_character),
		cmocka_unit_test(test_control_and_bad_bytes_are_masked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
