#include "bh_test.h"

#include <errno.h>

#include "base/json.h"
#include "base/str.h"

#define MAX_LEN (1 << 20)

static json_t *parsed(const char *text)
{
	struct bh_err err = {0};
	json_t *j = NULL;

	bh_assert_ok(&err, bh_json_parse(text, strlen(text), MAX_LEN, &j, &err));
	return j;
}

/* ---- parse ---- */

static void test_accepts(void **state)
{
	static const char *const rows[] = {
		"{}",
		"[]",
		" \t\r\n{ } \n",
		"{\"a\":1,\"b\":[true,false,null],\"c\":{\"a\":-1.5e3}}",
		"{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\ud83d\\udc27\"}",
		"{\"a\":\"[[[[{{{{\"}",
		"{\"a\":\"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\xa7\"}",
		"{\"\":0}",
		"[9223372036854775807,-9223372036854775808]",
		"{\"a\":{\"x\":1},\"b\":{\"x\":1}}",
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++)
		json_decref(parsed(rows[i]));
}

static void test_refuses(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"", "line 1"},
		{"   ", "line 1"},
		{"{", "line 1"},
		{"}", "line 1"},
		{"{]", "line 1"},
		{"[1,]", "line 1"},
		{"{\"a\":1,}", "line 1"},
		{"{\"a\" 1}", "line 1"},
		{"{a:1}", "line 1"},
		{"{'a':1}", "line 1"},
		{"[1] [2]", "end of file expected"},
		{"{} x", "end of file expected"},
		{"{}}", "end of file expected"},
		{"[01]", "line 1"},
		{"[+1]", "line 1"},
		{"[.5]", "line 1"},
		{"[1.]", "line 1"},
		{"[NaN]", "line 1"},
		{"[Infinity]", "line 1"},
		{"[tru]", "line 1"},
		{"[1e999]", "line 1"},
		{"[9223372036854775808]", "too big"},
		{"// x\n{}", "line 1"},
		{"\"text\"", "line 1"},
		{"1", "line 1"},
		{"null", "line 1"},
		{"[\"a\nb\"]", "line 1"},
		{"[\"\\x\"]", "line 1"},
		{"[\"\\u12\"]", "line 1"},
		{"[\"\\ud83d\"]", "line 1"},
		{"[\"\\udc27\\ud83d\"]", "line 1"},
		{"[\"\\u0000\"]", "NUL"},
		{"{\"\\u0000\":1}", "NUL"},
		{"[\"open]", "line 1"},
		{"[\"open\\\"]", "line 1"},
		{"[\"\\", "line 1"},
		{"{\"a\":1,\"a\":1}", "duplicate"},
		{"{\"a\":1,\"\\u0061\":2}", "duplicate"},
		{"{\"x\":{\"a\":1,\"b\":2,\"a\":3}}", "duplicate"},
		{"\xef\xbb\xbf{}", "line 1"}, /* byte order mark */
		{"\xff\xfe{\0}", "UTF-8"},
		{"[\"\x80\"]", "line 1 column 3: not valid UTF-8"},
		{"[\n \"\xc3\xa4\xed\xa0\x80\"]", "line 2 column 4: not valid UTF-8"},
		{"[\"\xc0\xaf\"]", "not valid UTF-8"},
		{"[\"\\\xc3\"]", "not valid UTF-8"},
		{"[\"\xf0\x9f\x90", "not valid UTF-8"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_err err = {0};
		json_t *j = NULL;
		int r = bh_json_parse(rows[i].text, strlen(rows[i].text), MAX_LEN, &j, &err);

		if (r != -EINVAL || !strstr(err.text, rows[i].why))
			fail_msg("row %zu '%s': %d '%s'", i, rows[i].text, r, err.text);
		assert_null(j);
	}
}

static void test_nul_bytes(void **state)
{
	struct bh_err err;
	json_t *j = NULL;

	(void)state;
	bh_assert_fails(&err, -EINVAL, "line 1 column 3: a NUL byte",
			bh_json_parse("{}\0", 3, MAX_LEN, &j, &err));
	bh_assert_fails(&err, -EINVAL, "NUL", bh_json_parse("\0{}", 3, MAX_LEN, &j, &err));
	bh_assert_fails(&err, -EINVAL, "NUL", bh_json_parse("[\"a\0b\"]", 7, MAX_LEN, &j, &err));
	assert_null(j);
}

static void test_size_limit(void **state)
{
	struct bh_err err;
	json_t *j = NULL;

	(void)state;
	bh_assert_fails(&err, -EFBIG, "JSON of 3 bytes is larger than 2",
			bh_json_parse("[1]", 3, 2, &j, &err));
	bh_assert_ok(&err, bh_json_parse("[1]", 3, 3, &j, &err));
	json_decref(j);
}

/* `depth` arrays (or objects, or both in turn) around nothing */
static char *nested(unsigned depth, const char *kind)
{
	struct bh_str s = {0};

	for (unsigned i = 0; i < depth; i++)
		bh_str_add(&s, kind[i % strlen(kind)] == '[' ? "[" : "{\"k\":");
	if (kind[(depth - 1) % strlen(kind)] == '{')
		bh_str_add(&s, "0");
	for (unsigned i = depth; i-- > 0;)
		bh_str_add(&s, kind[i % strlen(kind)] == '[' ? "]" : "}");
	return bh_str_take(&s);
}

static void test_depth_limit(void **state)
{
	static const char *const kinds[] = {"[", "{", "[{"};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(kinds); i++) {
		BH_CLEANUP(bh_freep) char *ok = nested(BH_JSON_MAX_DEPTH, kinds[i]);
		BH_CLEANUP(bh_freep) char *deep = nested(BH_JSON_MAX_DEPTH + 1, kinds[i]);
		BH_CLEANUP(bh_freep) char *abyss = nested(200000, kinds[i]);
		struct bh_err err;
		json_t *j = NULL;

		json_decref(parsed(ok));
		bh_assert_fails(&err, -EINVAL, "nested too deep",
				bh_json_parse(deep, strlen(deep), 4 * MAX_LEN, &j, &err));
		bh_assert_fails(&err, -EINVAL, "nested too deep",
				bh_json_parse(abyss, strlen(abyss), 4 * MAX_LEN, &j, &err));
	}
}

/* closing brackets in front must not buy depth, brackets in strings must not cost any */
static void test_depth_is_not_fooled(void **state)
{
	BH_CLEANUP(bh_freep) char *deep = nested(BH_JSON_MAX_DEPTH + 1, "[");
	BH_CLEANUP(bh_freep) char *text = bh_strf("]]]]}}%s", deep);
	struct bh_str s = {0};
	struct bh_err err;
	json_t *j = NULL;

	(void)state;
	bh_assert_fails(&err, -EINVAL, "nested too deep",
			bh_json_parse(text, strlen(text), MAX_LEN, &j, &err));
	bh_str_add(&s, "[\"\\\"");
	for (int i = 0; i < 100; i++)
		bh_str_add(&s, "[{\\\\\\\"");
	bh_str_add(&s, "\"]");
	json_decref(parsed(bh_str_text(&s)));
	bh_str_done(&s);
}

/* each prefix of a document is refused, and nothing is read past its end (ASan watches) */
static void test_every_prefix_is_refused(void **state)
{
	static const char text[] = "{\"k\\u00e4\":[1,-2.5e+1,\"\xe2\x82\xac\\\\\"],\"b\":null}";

	(void)state;
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		BH_CLEANUP(bh_freep) char *exact = malloc(n ? n : 1);
		struct bh_err err;
		json_t *j = NULL;

		assert_non_null(exact);
		memcpy(exact, text, n);
		assert_int_equal(bh_json_parse(exact, n, MAX_LEN, &j, &err), -EINVAL);
		assert_null(j);
	}
	json_decref(parsed(text));
}

/* ---- getters ---- */

#define SAMPLE                                                                                     \
	"{\"s\":\"x\",\"i\":42,\"neg\":-7,\"real\":1.0,\"t\":true,\"f\":false,\"n\":null,"         \
	"\"o\":{\"k\":1},\"a\":[1,2]}"

static void test_getters_read(void **state)
{
	BH_CLEANUP(bh_json_decrefp) json_t *j = parsed(SAMPLE);
	struct bh_err err = {0};
	const char *s = NULL;
	json_t *sub = NULL;
	int64_t i = 0;
	bool b = false;

	(void)state;
	bh_assert_ok(&err, bh_json_get_str(j, "s", true, &s, &err));
	assert_string_equal(s, "x");
	bh_assert_ok(&err, bh_json_get_int(j, "i", true, 42, 42, &i, &err));
	assert_int_equal(i, 42);
	bh_assert_ok(&err, bh_json_get_int(j, "neg", true, INT64_MIN, INT64_MAX, &i, &err));
	assert_int_equal(i, -7);
	bh_assert_ok(&err, bh_json_get_bool(j, "t", true, &b, &err));
	assert_true(b);
	bh_assert_ok(&err, bh_json_get_bool(j, "f", true, &b, &err));
	assert_false(b);
	bh_assert_ok(&err, bh_json_get_obj(j, "o", true, &sub, &err));
	assert_int_equal(json_object_size(sub), 1);
	bh_assert_ok(&err, bh_json_get_arr(j, "a", true, &sub, &err));
	assert_int_equal(json_array_size(sub), 2);
}

static void test_missing_and_null(void **state)
{
	static const char *const keys[] = {"absent", "n"};
	BH_CLEANUP(bh_json_decrefp) json_t *j = parsed(SAMPLE);
	json_t *sub = j;
	const char *s = "default";
	int64_t i = 5;
	bool b = true;

	(void)state;
	for (size_t k = 0; k < BH_ARRAY_SIZE(keys); k++) {
		const char *key = keys[k];
		struct bh_err err = {0};

		bh_assert_ok(&err, bh_json_get_str(j, key, false, &s, &err));
		bh_assert_ok(&err, bh_json_get_int(j, key, false, 0, 1, &i, &err));
		bh_assert_ok(&err, bh_json_get_bool(j, key, false, &b, &err));
		bh_assert_ok(&err, bh_json_get_obj(j, key, false, &sub, &err));
		bh_assert_ok(&err, bh_json_get_arr(j, key, false, &sub, &err));
		bh_assert_fails(&err, -EINVAL, "is missing",
				bh_json_get_str(j, key, true, &s, &err));
		bh_assert_fails(&err, -EINVAL, "is missing",
				bh_json_get_int(j, key, true, 0, 1, &i, &err));
		bh_assert_fails(&err, -EINVAL, "is missing",
				bh_json_get_bool(j, key, true, &b, &err));
		bh_assert_fails(&err, -EINVAL, "is missing",
				bh_json_get_obj(j, key, true, &sub, &err));
		bh_assert_fails(&err, -EINVAL, "is missing",
				bh_json_get_arr(j, key, true, &sub, &err));
	}
	assert_string_equal(s, "default");
	assert_int_equal(i, 5);
	assert_true(b);
	assert_ptr_equal(sub, j);
}

static void test_wrong_types(void **state)
{
	BH_CLEANUP(bh_json_decrefp) json_t *j = parsed(SAMPLE);
	struct bh_err err;
	const char *s = NULL;
	json_t *sub = NULL;
	int64_t i = 0;
	bool b = false;

	(void)state;
	bh_assert_fails(&err, -EINVAL, "'i': expected a string, found a number",
			bh_json_get_str(j, "i", false, &s, &err));
	bh_assert_fails(&err, -EINVAL, "'s': expected an integer, found a string",
			bh_json_get_int(j, "s", false, 0, 9, &i, &err));
	bh_assert_fails(&err, -EINVAL, "'real': expected an integer, found a number",
			bh_json_get_int(j, "real", false, 0, 9, &i, &err));
	bh_assert_fails(&err, -EINVAL, "'i': expected a boolean, found a number",
			bh_json_get_bool(j, "i", false, &b, &err));
	bh_assert_fails(&err, -EINVAL, "'a': expected an object, found an array",
			bh_json_get_obj(j, "a", false, &sub, &err));
	bh_assert_fails(&err, -EINVAL, "'o': expected an array, found an object",
			bh_json_get_arr(j, "o", false, &sub, &err));
	bh_assert_fails(&err, -EINVAL, "'t': expected an array, found a boolean",
			bh_json_get_arr(j, "t", false, &sub, &err));
	assert_null(s);
	assert_null(sub);
}

static void test_int_range(void **state)
{
	BH_CLEANUP(bh_json_decrefp) json_t *j = parsed("{\"i\":70000}");
	struct bh_err err;
	int64_t i = -1;

	(void)state;
	bh_assert_fails(&err, -EINVAL, "'i': 70000 is not 1-65535",
			bh_json_get_int(j, "i", true, 1, 65535, &i, &err));
	bh_assert_fails(&err, -EINVAL, "'i': 70000 is not 70001-80000",
			bh_json_get_int(j, "i", true, 70001, 80000, &i, &err));
	assert_int_equal(i, -1);
}

static void test_parent_is_no_object(void **state)
{
	BH_CLEANUP(bh_json_decrefp) json_t *j = parsed("[1]");
	struct bh_err err;
	const char *s = NULL;

	(void)state;
	bh_assert_fails(&err, -EINVAL, "expected an object around it, found an array",
			bh_json_get_str(j, "k", false, &s, &err));
	bh_assert_fails(&err, -EINVAL, "found nothing",
			bh_json_get_str(NULL, "k", false, &s, &err));
}

static void test_any_text(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {{"plain", "plain"},
		    {"\xff\xfe/x\n\033",
		     "?"
		     "?/x\n\033"},
		    {"half\xc3", "half?"},
		    {"\xc0\x80\xed\xa0\x80", "?????"},
		    {"\xc3\xa9\xf0\x9f\x98\x80", "\xc3\xa9\xf0\x9f\x98\x80"},
		    {"", NULL},
		    {NULL, NULL}};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		BH_CLEANUP(bh_json_decrefp) json_t *j = bh_json_text(rows[i].in);

		assert_non_null(j);
		if (rows[i].want)
			assert_string_equal(json_string_value(j), rows[i].want);
		else
			assert_true(json_is_null(j));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepts),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_nul_bytes),
		cmocka_unit_test(test_size_limit),
		cmocka_unit_test(test_depth_limit),
		cmocka_unit_test(test_depth_is_not_fooled),
		cmocka_unit_test(test_every_prefix_is_refused),
		cmocka_unit_test(test_getters_read),
		cmocka_unit_test(test_missing_and_null),
		cmocka_unit_test(test_wrong_types),
		cmocka_unit_test(test_int_range),
		cmocka_unit_test(test_parent_is_no_object),
		cmocka_unit_test(test_any_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
