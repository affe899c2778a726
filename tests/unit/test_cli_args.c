/* Options and durations of the command line. */
#include "bh_test.h"

#include <errno.h>

#include "cli/args.h"
#include "base/duration.h"

static const struct bh_option options[] = {
	{"port", "P", "", 'p', false, false},
	{"allow", "A", "", 0, true, false},
	{"list", NULL, "", 'l', false, false},
	{"over", "DIR", "", 0, false, true},
	{0},
};
static const struct bh_option *const tables[2] = {options, NULL};

#define PARSE(a, err, ...)                                                                         \
	bh_args_parse(a, tables, (int)BH_ARRAY_SIZE(((char *[]){__VA_ARGS__})),                    \
		      (char *[]){__VA_ARGS__}, err)

static void test_forms(void **state)
{
	static char *rows[][3] = {
		{"--port", "80", "80"}, {"--port=80", "x", "80"}, {"-p", "80", "80"},
		{"-p80", "x", "80"},	{"--port=", "x", ""},	  {"--port", "-5", "-5"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_args a = {0};
		struct bh_err err;

		bh_assert_ok(&err, PARSE(&a, &err, rows[i][0], rows[i][1]));
		assert_string_equal(bh_args_get(&a, "port"), rows[i][2]);
		bh_args_done(&a);
	}
}

static void test_mixed_with_operands(void **state)
{
	struct bh_args a = {0};
	struct bh_err err;

	(void)state;
	bh_assert_ok(&err, PARSE(&a, &err, "one", "--allow", "x", "two", "--allow=y", "-", "--",
				 "--list"));
	assert_int_equal(a.operands.n, 4);
	assert_string_equal(bh_args_operand(&a, 1), "two");
	assert_string_equal(bh_args_operand(&a, 2), "-");
	assert_string_equal(bh_args_operand(&a, 3), "--list");
	assert_null(bh_args_operand(&a, 4));
	assert_int_equal(a.given.n, 2);
	assert_string_equal(a.given.v[1].value, "y");
	assert_false(bh_args_has(&a, "list"));
	bh_args_done(&a);
}

static void test_bare_value(void **state)
{
	static char *rows[][3] = {
		{"--over", "--list", ""}, {"--over", "dir", "dir"}, {"--list", "--over", ""}};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_args a = {0};
		struct bh_err err;

		bh_assert_ok(&err, PARSE(&a, &err, rows[i][0], rows[i][1]));
		assert_string_equal(bh_args_get(&a, "over"), rows[i][2]);
		assert_int_equal(a.operands.n, 0);
		bh_args_done(&a);
	}
}

static void test_refused(void **state)
{
	static const struct {
		char *argv[3];
		int argc;
		const char *why;
	} rows[] = {
		{{"--por", "1"}, 2, "unknown option '--por'"},
		{{"--ports=1"}, 1, "unknown option"},
		{{"-x"}, 1, "unknown option '-x'"},
		{{"--port"}, 1, "--port needs a value"},
		{{"--port=1", "--port=2"}, 2, "given twice"},
		{{"--list=yes"}, 1, "takes no value"},
		{{"-lx"}, 1, "takes no value"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_args a = {0};
		struct bh_err err;

		bh_assert_fails(&err, -EINVAL, rows[i].why,
				bh_args_parse(&a, tables, rows[i].argc, rows[i].argv, &err));
		bh_args_done(&a);
	}
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} good[] = {
		{"500ms", 500},	   {"10s", 10000},  {"10", 10000},
		{"0", 0},	   {"2h", 7200000}, {"1h30m", 5400000},
		{"7d", 604800000}, {"1s1ms", 1001}, {"2w1d", 1296000000},
	};
	static const char *const bad[] = {"",
					  "s",
					  "-1s",
					  "1.5s",
					  "10 s",
					  "1y",
					  "5m1h",
					  "1m1m",
					  "1h5",
					  "1sx",
					  "999999999999999999999d",
					  "36601d",
					  "0x10s",
					  "10S"};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(good); i++) {
		struct bh_err err;
		uint64_t ms = 7;

		bh_assert_ok(&err, bh_duration_parse(good[i].text, &ms, &err));
		assert_int_equal(ms, good[i].ms);
	}
	for (size_t i = 0; i < BH_ARRAY_SIZE(bad); i++) {
		struct bh_err err;
		uint64_t ms = 7;

		bh_assert_fails(&err, -EINVAL, "not a length of time",
				bh_duration_parse(bad[i], &ms, &err));
		assert_int_equal(ms, 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),	   cmocka_unit_test(test_mixed_with_operands),
		cmocka_unit_test(test_bare_value), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_durations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
