#include "bh_test.h"

#include <errno.h>

#include "policy/yaml.h"

/* All documents of a text as one line of JSON each; a failure as "line:col: sentence". */
static char *show(const char *text, size_t n)
{
	struct bh_yaml_stream s;
	struct bh_yaml_slice slice;
	struct bh_yaml_err e = {0};
	struct bh_str out = {0};
	struct bh_yaml_doc *d;

	if (bh_yaml_open(&s, text, n, &e)) {
		bh_str_fmt(&out, "%u:%u: %s", e.line, e.col, e.err.text);
		return bh_str_take(&out);
	}
	while (bh_yaml_next(&s, &slice)) {
		bh_str_add(&out, out.n ? "\n" : "");
		if (bh_yaml_parse(&s, &slice, &d, &e)) {
			bh_str_fmt(&out, "%u:%u: %s", e.line, e.col, e.err.text);
			continue;
		}
		bh_yaml_dump(bh_yaml_root(d), &out);
		bh_yaml_doc_free(d);
	}
	return bh_str_take(&out);
}

static void assert_shows(const char *text, const char *want)
{
	char *got = show(text, strlen(text));

	assert_string_equal(got, want);
	free(got);
}

static void test_trees(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{"a: 1\nb: [x, 'y', \"z\"]\n", "{\"a\": 1, \"b\": [\"x\", \"y\", \"z\"]}"},
		{"- &a {k: v}\n- *a\n", "[{\"k\": \"v\"}, {\"k\": \"v\"}]"},
		{"&k key: &v value\nb: *v\n*k : 2\n", "1:1: key 'key' appears twice"},
		{"a:\nb: ~\nc: ''\n", "{\"a\": null, \"b\": null, \"c\": \"\"}"},
		{"a: |\n  x\n  y\n", "{\"a\": \"x\\u000ay\\u000a\"}"},
		{"a: !!str 80\nb: !!int 80\nc: !!map {}\nd: !!seq []\n",
		 "{\"a\": \"80\", \"b\": 80, \"c\": {}, \"d\": []}"},
		{"\xef\xbb\xbf"
		 "a: 1\n",
		 "{\"a\": 1}"},
		{"a: 1\r\nb: 2\r\n", "{\"a\": 1, \"b\": 2}"},
		{"a: 1\rb: 2\r", "{\"a\": 1, \"b\": 2}"},
		{"%YAML 1.1\n---\na: 1\n", "{\"a\": 1}"},
		{"\"<<\": 1\n", "{\"<<\": 1}"},
		{"", ""},
		{"# nothing\n\n", ""},
		{"---\n---\n# only this\n...\n", ""},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		char *got = show(rows[i].in, strlen(rows[i].in));

		assert_string_equal(got ? got : "", rows[i].want);
		free(got);
	}
}

static void test_documents(void **state)
{
	(void)state;
	assert_shows("a: 1\n---\nb: 2\n--- # c\nc: 3\n", "{\"a\": 1}\n{\"b\": 2}\n{\"c\": 3}");
	assert_shows("--- {a: 1}\n...\n{b: 2}\n...\n# end\n", "{\"a\": 1}\n{\"b\": 2}");
	/* A broken document does not take its neighbours with it. */
	assert_shows("a: 1\n---\nb: [\n---\nc: 3\n",
		     "{\"a\": 1}\n"
		     "4:1: the document cannot be read: did not find expected node content, while "
		     "parsing a flow node\n{\"c\": 3}");
	/* Anchors end with their document. */
	assert_shows("- &a 1\n---\n- *a\n", "[1]\n3:3: no anchor before this alias 'a'");
	assert_shows("---a: 1\n", "{\"---a\": 1}");
	assert_shows("%YAML 1.1\n---\na: 1\n...\n%YAML 1.1\n--- \nb: 1\n",
		     "{\"a\": 1}\n{\"b\": 1}");
}

static void test_refused(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{"a: 1\nb: 2\na: 3\n", "3:1: key 'a' appears twice"},
		{"a: 1\n\"a\": 3\n", "2:1: key 'a' appears twice"},
		{"a: &x {b: 1}\nc:\n  <<: *x\n",
		 "3:3: merge keys (<<) are not supported; write the fields out"},
		{"a: !!binary aGk=\n",
		 "1:4: a tag that is not understood here: 'tag:yaml.org,2002:binary'"},
		{"a: !x {}\n", "1:4: a tag that is not understood here: '!x'"},
		{"a: !!seq {}\n",
		 "1:4: a tag that is not understood here: 'tag:yaml.org,2002:seq'"},
		{"a: !!int x\n", "1:4: a tag that is not understood here: 'tag:yaml.org,2002:int'"},
		{"? [a]\n: 1\n", "1:3: a key must be a string"},
		{"- &a [1]\n- {*a : 1}\n", "2:4: a key must be a string"},
		{"- &a [*a]\n", "1:7: an alias inside of its own anchor 'a'"},
		{"- *nope\n", "1:3: no anchor before this alias 'nope'"},
		{"a: \"\\0\"\n", "1:4: a NUL character inside of a string"},
		{"a: b: c\n",
		 "1:5: the document cannot be read: mapping values are not allowed in "
		 "this context"},
		{"\ta: 1\n",
		 "1:1: the document cannot be read: found character that cannot start "
		 "any token, while scanning for the next token"},
		{"ok: 1\nbad: \xc3(\n", "2:6: byte 0xc3 is not valid UTF-8"},
		{"a: \xed\xa0\x80\n", "1:4: byte 0xed is not valid UTF-8"},
		{"a: \xc0\xaf\n", "1:4: byte 0xc0 is not valid UTF-8"},
		{"a: \xf4\x90\x80\x80\n", "1:4: byte 0xf4 is not valid UTF-8"},
		{"\xc3\xa4: \xe2\x82", "1:4: byte 0xe2 is not valid UTF-8"},
		{"\xc3\xa4: \x1b[31m", "1:4: character U+001B is not allowed in text"},
		{"a: \xe2\x80\xa8", "1:4: character U+2028 is not allowed in text"},
		{"a: \x7f", "1:4: character U+007F is not allowed in text"},
		{"{\"a\": 1} {\"b\": 2}",
		 "1:10: the document cannot be read: did not find expected <document start>"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++)
		assert_shows(rows[i].in, rows[i].want);
}

static void test_nul_byte(void **state)
{
	char *got = show("a: 1\nb\0: 2\n", 11);

	(void)state;
	assert_string_equal(got, "2:2: character U+0000 is not allowed in text");
	free(got);
}

static void test_json(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{"{\"a\\/b\": \"\\u00e9\\n\\t\"}", "{\"a/b\": \"\xc3\xa9\\u000a\\u0009\"}"},
		{"{\"a\": \"\\ud83d\\uDE00!\"}", "{\"a\": \"\xf0\x9f\x98\x80!\"}"},
		{"\t{\n\t\"a\"\t:\t1,\n\t\"b\": [\n\t\t2\n\t]\n}\n", "{\"a\": 1, \"b\": [2]}"},
		{"---\n# x\n[\"\\ud83d\\ude00\"]", "[\"\xf0\x9f\x98\x80\"]"},
		{"{\"a\":{\"b\":[]},\"c\":-1.5e3,\"d\":null,\"e\":true}",
		 "{\"a\": {\"b\": []}, \"c\": -1.5e3, \"d\": null, \"e\": true}"},
		{"{\"a\": \"\\\\\\ud83d\\ude00\\\"\"}", "{\"a\": \"\\\\\xf0\x9f\x98\x80\\\"\"}"},
		{"{\"a\": \"\\ud83d\"}",
		 "1:10: the document cannot be read: found invalid Unicode "
		 "character escape code, while parsing a quoted scalar"},
		{"{\"a\": \"\\ud83d\\u0041\"}",
		 "1:10: the document cannot be read: found invalid Unicode character escape code, "
		 "while parsing a quoted scalar"},
		{"{\"a\": 1, \"a\": 2}", "1:10: key 'a' appears twice"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++)
		assert_shows(rows[i].in, rows[i].want);
}

static void test_plain_types(void **state)
{
	static const struct {
		const char *in;
		enum bh_yaml_type want;
	} rows[] = {
		{"", BH_YAML_NULL},
		{"~", BH_YAML_NULL},
		{"Null", BH_YAML_NULL},
		{"true", BH_YAML_BOOL},
		{"Yes", BH_YAML_BOOL},
		{"on", BH_YAML_BOOL},
		{"OFF", BH_YAML_BOOL},
		{"n", BH_YAML_STRING},
		{"tRUE", BH_YAML_STRING},
		{"0", BH_YAML_INT},
		{"-12", BH_YAML_INT},
		{"+1_000", BH_YAML_INT},
		{"0x1F", BH_YAML_INT},
		{"0o17", BH_YAML_INT},
		{"0b101", BH_YAML_INT},
		{"017", BH_YAML_INT},
		{"08", BH_YAML_FLOAT},
		{"0x", BH_YAML_STRING},
		{"1.5", BH_YAML_FLOAT},
		{".5", BH_YAML_FLOAT},
		{"1.", BH_YAML_FLOAT},
		{"1e3", BH_YAML_FLOAT},
		{"-1.5E-3", BH_YAML_FLOAT},
		{".inf", BH_YAML_FLOAT},
		{"-.INF", BH_YAML_FLOAT},
		{".nan", BH_YAML_FLOAT},
		{"1e", BH_YAML_STRING},
		{"1.2.3", BH_YAML_STRING},
		{"10.0.0.0/8", BH_YAML_STRING},
		{"-", BH_YAML_STRING},
		{".", BH_YAML_STRING},
		{"12:30", BH_YAML_STRING},
		{"web", BH_YAML_STRING},
		{"2027-01-31T00:00:00Z", BH_YAML_STRING},
		{"2027-01-31", BH_YAML_STRING},
		{"99999999999999999999", BH_YAML_INT},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		enum bh_yaml_type got = bh_yaml_plain_type(rows[i].in, strlen(rows[i].in));

		if (got != rows[i].want)
			fail_msg("'%s' is %s", rows[i].in, bh_yaml_type_text(got));
	}
}

static void test_ints(void **state)
{
	static const struct {
		const char *in;
		int64_t want;
		int r;
	} rows[] = {
		{"0", 0, 0},
		{"-12", -12, 0},
		{"+1_000", 1000, 0},
		{"0x1f", 31, 0},
		{"0o17", 15, 0},
		{"017", 15, 0},
		{"-0b11", -3, 0},
		{"9223372036854775807", INT64_MAX, 0},
		{"-9223372036854775808", INT64_MIN, 0},
		{"9223372036854775808", 0, -ERANGE},
		{"99999999999999999999999", 0, -ERANGE},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_yaml n = {.text = rows[i].in, .n = (uint32_t)strlen(rows[i].in)};
		int64_t v = 0;

		assert_int_equal(bh_yaml_int(&n, &v), rows[i].r);
		assert_int_equal(v, rows[i].want);
	}
}

static void test_times(void **state)
{
	static const struct {
		const char *in;
		int64_t want;
	} rows[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2027-01-31T00:00:00Z", 1801353600},
		{"2000-02-29T12:34:56z", 951827696},
		{"2027-01-31t01:00:00+01:00", 1801353600},
		{"2027-01-30T18:30:00-05:30", 1801353600},
		{"2027-01-31T00:00:00.999Z", 1801353600},
		{"1969-12-31T23:59:59Z", -1},
		{"2016-12-31T23:59:60Z", 1483228800},
		{"9999-12-31T23:59:59Z", 253402300799},
	};
	static const char *const bad[] = {
		"",
		"2027-01-31",
		"2027-01-31T00:00:00",
		"2027-02-29T00:00:00Z",
		"2027-13-01T00:00:00Z",
		"2027-00-01T00:00:00Z",
		"2027-01-32T00:00:00Z",
		"2027-01-31T24:00:00Z",
		"2027-01-31T00:60:00Z",
		"2027-01-31T00:00:61Z",
		"2027-01-31T00:00:00.Z",
		"2027-01-31T00:00:00+1:00",
		"2027-01-31T00:00:00+01:60",
		"2027-01-31T00:00:00Zx",
		"27-01-31T00:00:00Z",
		"2027-1-31T00:00:00Z",
		"soon",
	};
	int64_t v;

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		assert_int_equal(bh_time_parse(rows[i].in, &v), 0);
		assert_int_equal(v, rows[i].want);
	}
	for (size_t i = 0; i < BH_ARRAY_SIZE(bad); i++) {
		if (!bh_time_parse(bad[i], &v))
			fail_msg("'%s' is taken for a time", bad[i]);
	}
}

static struct bh_yaml_doc *doc_of(const char *text)
{
	struct bh_yaml_stream s;
	struct bh_yaml_slice slice;
	struct bh_yaml_doc *d = NULL;
	struct bh_yaml_err e;

	assert_int_equal(bh_yaml_open(&s, text, strlen(text), &e), 0);
	assert_true(bh_yaml_next(&s, &slice));
	bh_assert_ok(&e.err, bh_yaml_parse(&s, &slice, &d, &e));
	return d;
}

static void test_places(void **state)
{
	struct bh_yaml_doc *d =
		doc_of("# c\n---\na: 1\nb:\n- \xc3\xa4: x\n- [2,\n   3]\nc: &x 4\nd: *x\n");
	const struct bh_yaml *root = bh_yaml_root(d), *b = bh_yaml_find(root, "b");

	(void)state;
	assert_int_equal(root->line, 3);
	assert_int_equal(root->col, 1);
	assert_int_equal(b->line, 5);
	assert_int_equal(b->col, 1);
	/* Columns count characters, not bytes. */
	assert_int_equal(b->items[0]->pairs[0].value->line, 5);
	assert_int_equal(b->items[0]->pairs[0].value->col, 6);
	assert_int_equal(b->items[1]->items[1]->line, 7);
	assert_int_equal(b->items[1]->items[1]->col, 4);
	/* An alias is where its anchor is. */
	assert_ptr_equal(bh_yaml_find(root, "d"), bh_yaml_find(root, "c"));
	assert_int_equal(bh_yaml_find(root, "d")->line, 8);
	bh_yaml_doc_free(d);
}

#define assert_getter_fails(call, want_line, want_col, want_text)                                  \
	do {                                                                                       \
		assert_int_equal((call), -EINVAL);                                                 \
		assert_string_equal(e.err.text, want_text);                                        \
		assert_int_equal(e.line, want_line);                                               \
		assert_int_equal(e.col, want_col);                                                 \
	} while (0)

static void test_getters(void **state)
{
	struct bh_yaml_doc *d =
		doc_of("s: text\ni: 80\nb: yes\nn: null\nl: [1]\nm: {x: 1}\n"
		       "t: 2027-01-31T00:00:00Z\nf: 1.5\nbig: 99999999999999999999\n"
		       "off: Off\n");
	const struct bh_yaml *root = bh_yaml_root(d), *n = NULL;
	struct bh_yaml_range range = {1, 65535};
	struct bh_yaml_err e = {0};
	const char *s = "before";
	int64_t i = -7;
	bool b = false;

	(void)state;
	assert_int_equal(bh_yaml_get_str(root, "s", true, &s, &e), 0);
	assert_string_equal(s, "text");
	assert_int_equal(bh_yaml_get_int(root, "i", true, range, &i, &e), 0);
	assert_int_equal(i, 80);
	assert_int_equal(bh_yaml_get_bool(root, "b", true, &b, &e), 0);
	assert_true(b);
	assert_int_equal(bh_yaml_get_bool(root, "off", true, &b, &e), 0);
	assert_false(b);
	assert_int_equal(bh_yaml_get_list(root, "l", true, &n, &e), 0);
	assert_int_equal(n->n, 1);
	assert_int_equal(bh_yaml_get_map(root, "m", true, &n, &e), 0);
	assert_int_equal(n->n, 1);
	assert_int_equal(bh_yaml_get_time(root, "t", true, &i, &e), 0);
	assert_int_equal(i, 1801353600);
	/* Absent and null leave the value as it was. */
	assert_int_equal(bh_yaml_get_str(root, "n", false, &s, &e), 0);
	assert_int_equal(bh_yaml_get_str(root, "none", false, &s, &e), 0);
	assert_string_equal(s, "text");

	assert_getter_fails(bh_yaml_get_str(root, "n", true, &s, &e), 1, 1, "'n' is missing");
	assert_getter_fails(bh_yaml_get_str(root, "b", true, &s, &e), 3, 4,
			    "'b': expected a string, found a boolean; quote it");
	assert_getter_fails(bh_yaml_get_str(root, "f", true, &s, &e), 8, 4,
			    "'f': expected a string, found a number; quote it");
	assert_getter_fails(bh_yaml_get_str(root, "l", true, &s, &e), 5, 4,
			    "'l': expected a string, found a list");
	assert_getter_fails(bh_yaml_get_int(root, "s", true, range, &i, &e), 1, 4,
			    "'s': expected a number, found a string");
	assert_getter_fails(bh_yaml_get_int(root, "big", true, range, &i, &e), 9, 6,
			    "'big': 99999999999999999999 is not 1-65535");
	range.max = 79;
	assert_getter_fails(bh_yaml_get_int(root, "i", true, range, &i, &e), 2, 4,
			    "'i': 80 is not 1-79");
	assert_getter_fails(bh_yaml_get_list(root, "m", true, &n, &e), 6, 4,
			    "'m': expected a list, found a map");
	assert_getter_fails(bh_yaml_get_map(root, "s", true, &n, &e), 1, 4,
			    "'s': expected a map, found a string");
	assert_getter_fails(bh_yaml_get_bool(root, "i", true, &b, &e), 2, 4,
			    "'i': expected a boolean, found a number");
	assert_getter_fails(bh_yaml_get_time(root, "s", true, &i, &e), 1, 4,
			    "'s': 'text' is not a time like 2027-01-31T00:00:00Z");
	bh_yaml_doc_free(d);
}

static void test_unknown_keys(void **state)
{
	static const char *const keys[] = {"a", "b", NULL};
	struct bh_yaml_doc *d = doc_of("a: 1\n  \nc: 2\n");
	struct bh_yaml_err e = {0};
	struct bh_err err;

	(void)state;
	assert_getter_fails(bh_yaml_check_keys(bh_yaml_root(d), keys, &e), 3, 1,
			    "unknown field 'c'");
	assert_int_equal(bh_yaml_report(&e, "x.yaml", &err), -EINVAL);
	assert_string_equal(err.text, "x.yaml:3:1: unknown field 'c'");
	bh_yaml_doc_free(d);
}

static char *repeat(const char *text, size_t n, const char *end)
{
	struct bh_str b = {0};

	while (n--)
		bh_str_add(&b, text);
	bh_str_add(&b, end);
	return bh_str_take(&b);
}

static void assert_repeated(const char *text, size_t n, const char *end, const char *want)
{
	char *in = repeat(text, n, end), *got = show(in, strlen(in));

	assert_string_equal(got, want);
	free(in);
	free(got);
}

static void test_limits(void **state)
{
	char *got;

	(void)state;
	got = repeat("[", 64, "");
	free(got);
	assert_repeated("[", 65, "", "1:65: nesting is deeper than 64");
	assert_repeated("- ", 100000, "", "1:129: nesting is deeper than 64");
	assert_repeated("{a: ", 100000, "", "1:257: nesting is deeper than 64");
	assert_repeated("x", BH_YAML_MAX_BYTES + 1, "", "0:0: the file is larger than 4 MiB");
	assert_repeated("- a\n", 1000001, "", "1000000:3: the file has more than 1000000 nodes");
	/* Below an alias the nesting goes on. */
	assert_shows(
		"- &a "
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"
		"\n"
		"- [[[[[[[[[[[[[[[[[[[[[[[[*a]]]]]]]]]]]]]]]]]]]]]]]]\n",
		"2:27: nesting is deeper than 64");
}

static void test_nesting_allowed(void **state)
{
	struct bh_str in = {0};
	char *got;

	(void)state;
	for (int i = 0; i < 64; i++)
		bh_str_add(&in, "[");
	for (int i = 0; i < 64; i++)
		bh_str_add(&in, "]");
	got = show(bh_str_text(&in), in.n);
	assert_string_equal(got, bh_str_text(&in));
	free(got);
	bh_str_done(&in);
}

static void test_laughs(void **state)
{
	struct bh_str in = {0};
	char *got;

	(void)state;
	bh_str_add(&in, "a: &a [x,x,x,x,x,x,x,x,x,x]\n");
	for (char c = 'b'; c < 'k'; c++) {
		bh_str_fmt(&in, "%c: &%c [", c, c);
		for (int i = 0; i < 10; i++)
			bh_str_fmt(&in, "%s*%c", i ? "," : "", c - 1);
		bh_str_add(&in, "]\n");
	}
	got = show(bh_str_text(&in), in.n);
	assert_non_null(strstr(got, ": the aliases expand to more than 1000000 nodes"));
	free(got);
	bh_str_done(&in);
	/* The limit is the file's: many documents cannot have a million each. */
	bh_str_add(&in, "- &a [x,x,x,x,x,x,x,x,x,x]\n- &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n");
	for (int i = 0; i < 9100; i++)
		bh_str_add(&in, "- *b\n");
	got = show(bh_str_text(&in), in.n);
	assert_string_equal(got, "9010:3: the aliases expand to more than 1000000 nodes");
	free(got);
	bh_str_done(&in);
}

static void test_many_keys(void **state)
{
	struct bh_str in = {0};
	char *got;

	(void)state;
	for (int i = 0; i < 1000; i++)
		bh_str_fmt(&in, "k%d: %d\n", i, i);
	bh_str_add(&in, "k17: again\n");
	got = show(bh_str_text(&in), in.n);
	assert_string_equal(got, "1001:1: key 'k17' appears twice");
	free(got);
	bh_str_done(&in);
}

/* What is dumped reads back the same, whatever the text. */
static void test_dump(void **state)
{
	struct bh_yaml_doc *d =
		doc_of("a: \"q\\\" b\\\\ n\\n t\\t e\\e nel\\N ls\\L ps\\P bom\\uFEFF \\x80\"\n"
		       "b: [1, 0x10, true, ~, 1.5, '80', 'yes', '']\n"
		       "\xc3\xa4: \xf0\x9f\x98\x80\n");
	struct bh_yaml_doc *again;
	struct bh_str out = {0};

	(void)state;
	bh_yaml_dump(bh_yaml_root(d), &out);
	again = doc_of(bh_str_text(&out));
	assert_int_equal(bh_yaml_hash(bh_yaml_root(d), false),
			 bh_yaml_hash(bh_yaml_root(again), false));
	assert_int_not_equal(bh_yaml_hash(bh_yaml_root(d), true),
			     bh_yaml_hash(bh_yaml_root(again), true));
	bh_str_done(&out);
	bh_yaml_doc_free(again);
	bh_yaml_doc_free(d);
}

static void test_dump_long_key(void **state)
{
	struct bh_str in = {0}, out = {0};
	struct bh_yaml_doc *d;

	(void)state;
	bh_str_add(&in, "? ");
	for (int i = 0; i < 3000; i++)
		bh_str_add(&in, "k");
	bh_str_add(&in, "\n: 1\n");
	d = doc_of(bh_str_text(&in));
	bh_yaml_dump(bh_yaml_root(d), &out);
	bh_yaml_doc_free(d);
	d = doc_of(bh_str_text(&out));
	assert_int_equal(bh_yaml_root(d)->pairs[0].key->n, 3000);
	bh_yaml_doc_free(d);
	bh_str_done(&in);
	bh_str_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trees),
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_nul_byte),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_plain_types),
		cmocka_unit_test(test_ints),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_getters),
		cmocka_unit_test(test_unknown_keys),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_nesting_allowed),
		cmocka_unit_test(test_laughs),
		cmocka_unit_test(test_many_keys),
		cmocka_unit_test(test_dump),
		cmocka_unit_test(test_dump_long_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
