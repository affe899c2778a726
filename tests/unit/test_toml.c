/* TOML as toml.io/en/v1.0.0 has it: what is read, and what is not. */
#include "bh_test.h"

#include <errno.h>

#include "base/json.h"
#include "base/str.h"
#include "policy/toml.h"

static void reads(void **state)
{
	static const struct {
		const char *toml, *want;
	} rows[] = {
		{"", "{}"},
		{"# only\n\n  \t# this\r\n", "{}"},
		{"a = 1", "{\"a\":1}"},
		{"a=-17\nb=+5\nc=0\nd=1_000\ne=0xDEAD_beef\nf=0o17\ng=0b101\n",
		 "{\"a\":-17,\"b\":5,\"c\":0,\"d\":1000,\"e\":3735928559,\"f\":15,\"g\":5}"},
		{"a = 0.5\nb = -1_0.25e+2 # x\nc = 1e3", "{\"a\":0.5,\"b\":-1025.0,\"c\":1000.0}"},
		{"a = true\nb = false # no", "{\"a\":true,\"b\":false}"},
		{"\"a b\" = 'c:\\d'\n'x.y' = \"\\t\\\"\\u00e4\\U0001F427\"",
		 "{\"a b\":\"c:\\\\d\",\"x.y\":\"\\t\\\"\xc3\xa4\xf0\x9f\x90\xa7\"}"},
		{"a = \"\"\"\nx\n y \\\n   \n  z\"\"\"", "{\"a\":\"x\\n y z\"}"},
		{"a = '''\nx\\n'y''''", "{\"a\":\"x\\\\n'y'\"}"},
		{"a = \"\"\"\"\"\"", "{\"a\":\"\"}"},
		{"a = []\nb = [ 1, 2, ]\nc = [[\"x\"],\n # y\n ['z']\n]",
		 "{\"a\":[],\"b\":[1,2],\"c\":[[\"x\"],[\"z\"]]}"},
		{"a = {}\nb = { c = 1, d.e = \"x\", f = [ { g = 2 } ] }",
		 "{\"a\":{},\"b\":{\"c\":1,\"d\":{\"e\":\"x\"},\"f\":[{\"g\":2}]}}"},
		{"a.b.c = 1\na . \"d\" = 2", "{\"a\":{\"b\":{\"c\":1},\"d\":2}}"},
		{"[a]\nb = 1\n[a.c]\nd = 2\n[x.y]\n[x]\nz = 3",
		 "{\"a\":{\"b\":1,\"c\":{\"d\":2}},\"x\":{\"y\":{},\"z\":3}}"},
		{"[[a]]\nb = 1\n[[a]]\nb = 2\n[[a.c]]\n[a.d]\ne = 3",
		 "{\"a\":[{\"b\":1},{\"b\":2,\"c\":[{}],\"d\":{\"e\":3}}]}"},
		{"[host.\"https://m.example:5000\"]\n  capabilities = [\"pull\"]\n",
		 "{\"host\":{\"https://m.example:5000\":{\"capabilities\":[\"pull\"]}}}"},
		{"\xef\xbb\xbf"
		 "a = 1\r\nb = 2\r\n",
		 "{\"a\":1,\"b\":2}"},
		{"[fruit]\napple.color = 'red'\n[fruit.apple.taste]\nsweet = true",
		 "{\"fruit\":{\"apple\":{\"color\":\"red\",\"taste\":{\"sweet\":true}}}}"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
		BH_CLEANUP(bh_freep) char *text = NULL;
		struct bh_err err;

		if (bh_toml_parse(rows[i].toml, strlen(rows[i].toml), &j, &err))
			fail_msg("%s: %s", rows[i].toml, err.text);
		text = json_dumps(j, JSON_COMPACT);
		assert_string_equal(text, rows[i].want);
	}
}

static void refuses(void **state)
{
	static const struct {
		const char *toml, *why;
	} rows[] = {
		{"a", "line 1: a key needs '='"},
		{"a =", "a value is missing"},
		{"\n\na = 1 b = 2", "line 3: there is more on the line"},
		{"= 1", "a key is missing"},
		{"a = 1\na = 2", "line 2: 'a' is defined twice"},
		{"a = 1\na.b = 2", "'a' is defined elsewhere"},
		{"[a]\n[a]", "'a' is defined twice"},
		{"a = 1\n[a]", "'a' is defined twice"},
		{"a = 1\n[a.b]", "is a value"},
		{"[a]\nb.c = 1\n[a.b]", "'b' is defined twice"},
		{"[a.b]\n[a]\nb.c = 1", "'b' is defined elsewhere"},
		{"a = {b = 1}\na.c = 2", "'a' is defined elsewhere"},
		{"a = {b.c = 1}\n[a.b.d]", "is a value"},
		{"a = [1]\n[[a]]", "'a' is defined twice"},
		{"[[a]]\n[a]", "'a' is defined twice"},
		{"[a]\n[[a]]", "'a' is defined twice"},
		{"a = 01", "'01' is no"},
		{"a = 1__0", "is no"},
		{"a = 1_", "is no"},
		{"a = 0x", "is no"},
		{"a = +0x1", "is no"},
		{"a = 9223372036854775808", "is no"},
		{"a = 1.", "'1.' is no"},
		{"a = .5", "is no"},
		{"a = 01.5", "is no"},
		{"a = 1._5", "is no"},
		{"a = 1.5e", "is no"},
		{"a = 1e+", "is no"},
		{"a = 1.5.5", "is no"},
		{"a = 1e999", "is no"},
		{"a = inf", "'inf' is no"},
		{"a = 1979-05-27", "is no"},
		{"a = True", "is no"},
		{"a = \"x", "does not end"},
		{"a = \"x\ny\"", "does not end on its line"},
		{"a = \"\\x41\"", "an escape"},
		{"a = \"\\u0000\"", "is no character"},
		{"a = \"\\ud800\"", "is no character"},
		{"a = \"\\u00\"", "hexadecimal"},
		{"a = '\x01'", "control character"},
		{"a = 1 # \x02", "a control character in a comment"},
		{"a = \"\xff\"", "no UTF-8"},
		{"a = [1 2]", "a list needs"},
		{"a = [1,", "a value is missing"},
		{"a = {b = 1,}", "a key is missing"},
		{"a = {b = 1\n}", "a table needs"},
		{"[a", "does not end with ']'"},
		{"[[a]", "does not end with ']'"},
		{"[]", "a key is missing"},
		{"a..b = 1", "a key is missing"},
		{"\"\"\"a\"\"\" = 1", "a key needs '='"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
		struct bh_err err;

		assert_int_equal(bh_toml_parse(rows[i].toml, strlen(rows[i].toml), &j, &err),
				 -EINVAL);
		if (!strstr(err.text, rows[i].why))
			fail_msg("%s: %s, not %s", rows[i].toml, err.text, rows[i].why);
	}
}

/* Depth, tables and bytes are bounded. */
static void is_bounded(void **state)
{
	BH_CLEANUP(bh_str_done) struct bh_str deep = {0}, wide = {0}, keys = {0};
	BH_CLEANUP(bh_freep) char *large = calloc(1, BH_TOML_MAX_BYTES + 1);
	json_t *j = NULL;
	struct bh_err err;

	(void)state;
	bh_str_add(&deep, "a = ");
	for (int i = 0; i < 100000; i++)
		bh_str_add(&deep, "[");
	assert_int_equal(bh_toml_parse(deep.s, deep.n, &j, &err), -EINVAL);
	for (int i = 0; i < 10000; i++)
		bh_str_add(&wide, "[[a]]\n");
	assert_int_equal(bh_toml_parse(wide.s, wide.n, &j, &err), -EINVAL);
	for (int i = 0; i < 100; i++)
		bh_str_add(&keys, "a.");
	bh_str_add(&keys, "a = 1");
	assert_int_equal(bh_toml_parse(keys.s, keys.n, &j, &err), -EINVAL);
	assert_non_null(large);
	assert_int_equal(bh_toml_parse(large, BH_TOML_MAX_BYTES + 1, &j, &err), -EFBIG);
	assert_int_equal(bh_toml_parse("a = 1\0", 6, &j, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(refuses),
		cmocka_unit_test(is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
