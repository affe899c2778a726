#include "bh_test.h"

#include "base/str.h"

static void test_empty_string(void **state)
{
	struct bh_str s = {0};
	char *taken;

	(void)state;
	assert_string_equal(bh_str_text(&s), "");
	bh_str_add(&s, "");
	bh_str_addn(&s, NULL, 0);
	assert_string_equal(bh_str_text(&s), "");
	taken = bh_str_take(&s);
	assert_string_equal(taken, "");
	free(taken);
	bh_str_done(&s);
	bh_str_done(&s);
}

static void test_appending(void **state)
{
	struct bh_str s = {0};
	char *taken;

	(void)state;
	bh_str_add(&s, "abc");
	bh_str_addn(&s, "defgh", 2);
	bh_str_fmt(&s, "-%d-%s", 42, "x");
	assert_string_equal(bh_str_text(&s), "abcde-42-x");
	assert_int_equal(s.n, 10);
	taken = bh_str_take(&s);
	assert_string_equal(taken, "abcde-42-x");
	free(taken);
	assert_int_equal(s.n, 0);
	bh_str_add(&s, "again");
	assert_string_equal(bh_str_text(&s), "again");
	bh_str_done(&s);
}

static void test_bytes_with_nul(void **state)
{
	struct bh_str s = {0};

	(void)state;
	bh_str_addn(&s, "a\0b", 3);
	assert_int_equal(s.n, 3);
	assert_memory_equal(s.s, "a\0b", 4);
	bh_str_done(&s);
}

/* every length around the small buffer and the doublings, against a plain count */
static void test_growth(void **state)
{
	struct bh_str s = {0};
	size_t want = 0;

	(void)state;
	for (int n = 0; n < 600; n++) {
		bh_str_fmt(&s, "%*s", n, "");
		want += (size_t)n;
		bh_str_addn(&s, "x", 1);
		want++;
		assert_int_equal(s.n, want);
		assert_int_equal(strlen(s.s), want);
		assert_true(s.cap > s.n);
		assert_int_equal(s.s[s.n - 1], 'x');
	}
	assert_false(s.failed);
	bh_str_done(&s);
}

/* one byte at a time, so that the string is once exactly as long as its memory */
static void test_growth_by_one(void **state)
{
	struct bh_str s = {0};

	(void)state;
	for (size_t n = 1; n < 600; n++) {
		bh_str_add(&s, "x");
		assert_int_equal(strlen(s.s), n);
	}
	bh_str_done(&s);
}

static void test_out_of_memory_is_remembered(void **state)
{
	struct bh_str s = {0};

	(void)state;
	bh_str_add(&s, "kept");
	bh_str_addn(&s, "", SIZE_MAX / 2);
	assert_true(s.failed);
	assert_string_equal(bh_str_text(&s), "kept");
	bh_str_add(&s, "ignored");
	bh_str_fmt(&s, "%400d", 1);
	assert_string_equal(bh_str_text(&s), "kept");
	assert_null(bh_str_take(&s));
	assert_false(s.failed);
	bh_str_add(&s, "usable again");
	assert_string_equal(bh_str_text(&s), "usable again");
	bh_str_done(&s);
}

static void test_strf(void **state)
{
	char *s = bh_strf("%s-%05d", "a", 7);

	(void)state;
	assert_string_equal(s, "a-00007");
	free(s);
}

static void test_streq(void **state)
{
	(void)state;
	assert_true(bh_streq(NULL, NULL));
	assert_true(bh_streq("", ""));
	assert_true(bh_streq("ab", "ab"));
	assert_false(bh_streq(NULL, ""));
	assert_false(bh_streq("", NULL));
	assert_false(bh_streq("a", "ab"));
}

static void test_hex(void **state)
{
	char out[9];

	(void)state;
	bh_hex("\x00\x7f\xab\xff", 4, out);
	assert_string_equal(out, "007fabff");
	bh_hex(NULL, 0, out);
	assert_string_equal(out, "");
}

static void test_utf8_len(void **state)
{
	static const struct {
		const char *bytes;
		size_t len, want;
	} rows[] = {
		{"a", 1, 1},
		{"", 1, 1},
		{"\x7f", 1, 1},
		{"", 0, 0},
		{"\x80", 1, 0},
		{"\xc1\x81", 2, 0}, /* overlong 'A' */
		{"\xc2\x80", 2, 2},
		{"\xc2", 1, 0},
		{"\xc2\x41", 2, 0},
		{"\xdf\xbf", 2, 2},
		{"\xe0\x9f\xbf", 3, 0}, /* overlong */
		{"\xe0\xa0\x80", 3, 3},
		{"\xed\x9f\xbf", 3, 3},
		{"\xed\xa0\x80", 3, 0}, /* surrogate */
		{"\xee\x80\x80", 3, 3},
		{"\xef\xbf\xbf", 3, 3},
		{"\xe2\x82", 2, 0},
		{"\xe2\x82\x41", 3, 0},
		{"\xf0\x8f\xbf\xbf", 4, 0}, /* overlong */
		{"\xf0\x90\x80\x80", 4, 4},
		{"\xf4\x8f\xbf\xbf", 4, 4},
		{"\xf4\x90\x80\x80", 4, 0}, /* beyond U+10FFFF */
		{"\xf5\x80\x80\x80", 4, 0},
		{"\xf0\x90\x80", 3, 0},
		{"\xf0\x90\x80\xc0", 4, 0},
		{"\xff", 1, 0},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		size_t got = bh_utf8_len(rows[i].bytes, rows[i].len);

		if (got != rows[i].want)
			fail_msg("row %zu: %zu, not %zu", i, got, rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_string),
		cmocka_unit_test(test_appending),
		cmocka_unit_test(test_bytes_with_nul),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_growth_by_one),
		cmocka_unit_test(test_out_of_memory_is_remembered),
		cmocka_unit_test(test_strf),
		cmocka_unit_test(test_streq),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_utf8_len),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
