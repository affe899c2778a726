/* base64, digests, references, times and JSON of image verification: what is refused. */
#include "bh_test.h"

#include <errno.h>

#include "base/own.h"
#include "base/str.h"
#include "verify/bytes.h"
#include "verify/ref.h"
#include "verify/rfc3339.h"
#include "verify/vjson.h"

static void test_base64(void **state)
{
	static const struct {
		const char *text, *want; /* want NULL: refused */
	} rows[] = {
		{"", ""},	    {"YQ==", "a"},	  {"YWI=", "ab"},
		{"YWJj", "abc"},    {"YQ", NULL},	  {"YQ=", NULL},
		{"YQ===", NULL},    {"YR==", NULL},	  {"YWJ=", NULL},
		{"YW I=", NULL},    {"YWJj\n", NULL},	  {"\nYWJj", NULL},
		{"YW-_", NULL},	    {"=", NULL},	  {"====", NULL},
		{"YQ==YQ==", NULL}, {"YWJjYQ==", "abca"}, {"Y===", NULL},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_blob b = {0};
		int r = bh_b64_decode(rows[i].text, strlen(rows[i].text), &b);

		assert_int_equal(r, rows[i].want ? 0 : -EINVAL);
		if (!r)
			assert_true(bh_blob_is(&b, rows[i].want, strlen(rows[i].want)));
		bh_blob_done(&b);
	}
}

/* A text with a NUL inside has another length than strlen says. */
static void test_base64_nul(void **state)
{
	struct bh_blob b = {0};

	(void)state;
	assert_int_equal(bh_b64_decode("YWJj\0YWJ", 8, &b), -EINVAL);
}

static void test_base64url(void **state)
{
	static const struct {
		const char *text;
		bool ok;
	} rows[] = {
		{"-_-_", true}, {"YQ", true},	 {"YWI", true}, {"YQ==", false},
		{"YR", false},	{"+/+/", false}, {"Y", false},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_blob b = {0};

		assert_int_equal(!bh_b64url_decode(rows[i].text, strlen(rows[i].text), &b),
				 rows[i].ok);
		bh_blob_done(&b);
	}
}

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_digest(void **state)
{
	(void)state;
	assert_true(bh_digest_ok("sha256:" HEX64));
	assert_true(bh_digest_ok("sha512:" HEX64 HEX64));
	assert_false(bh_digest_ok("sha256:" HEX64 "0"));
	assert_false(bh_digest_ok("sha256:" HEX64 HEX64));
	assert_false(bh_digest_ok("sha512:" HEX64));
	assert_false(bh_digest_ok("sha256:../../../../etc/passwd"));
	assert_false(
		bh_digest_ok("sha256:"
			     "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"));
	assert_false(bh_digest_ok("SHA256:" HEX64));
	assert_false(bh_digest_ok("md5:d41d8cd98f00b204e9800998ecf8427e"));
	assert_true(bh_digest_is_of(
		"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "abc",
		3));
	assert_false(bh_digest_is_of(
		"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ae", "abc",
		3));
}

static void test_reference(void **state)
{
	static const struct {
		const char *text, *registry, *repository, *tag; /* registry NULL: refused */
		bool has_digest;
	} rows[] = {
		{"nginx", "docker.io", "library/nginx", "latest", false},
		{"nginx:1.25", "docker.io", "library/nginx", "1.25", false},
		{"acme/app", "docker.io", "acme/app", "latest", false},
		{"docker.io/nginx", "docker.io", "library/nginx", "latest", false},
		{"index.docker.io/acme/app", "docker.io", "acme/app", "latest", false},
		{"localhost/app", "localhost", "app", "latest", false},
		{"127.0.0.1:5000/a/b-c:v1", "127.0.0.1:5000", "a/b-c", "v1", false},
		{"[::1]:5000/app:v1", "[::1]:5000", "app", "v1", false},
		{"r.test/app@sha256:" HEX64, "r.test", "app", "", true},
		{"r.test/app:v1@sha256:" HEX64, "r.test", "app", "v1", true},
		{"", NULL, NULL, NULL, false},
		{"r.test/app@sha256:abc", NULL, NULL, NULL, false},
		{"r.test/App", NULL, NULL, NULL, false},
		{"r.test/../etc", NULL, NULL, NULL, false},
		{"r.test/a//b", NULL, NULL, NULL, false},
		{"r.test/a/", NULL, NULL, NULL, false},
		{"r.test/app:", NULL, NULL, NULL, false},
		{"r.test/app:-x", NULL, NULL, NULL, false},
		{"r.test:port/app", NULL, NULL, NULL, false},
		{"r.test/app?x=1", NULL, NULL, NULL, false},
		{"user@r.test/app", NULL, NULL, NULL, false},
		{"r.test/a%2fb", NULL, NULL, NULL, false},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_image_ref ref;
		struct bh_err err;
		int r = bh_image_ref_parse(rows[i].text, &ref, &err);

		if (!rows[i].registry != (r != 0))
			fail_msg("'%s': %d", rows[i].text, r);
		if (r)
			continue;
		assert_string_equal(ref.registry, rows[i].registry);
		assert_string_equal(ref.repository, rows[i].repository);
		assert_string_equal(ref.tag, rows[i].tag);
		assert_int_equal(*ref.digest != '\0', rows[i].has_digest);
	}
}

static void test_time(void **state)
{
	static const struct {
		const char *text;
		int64_t want; /* -1: refused */
	} rows[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2026-12-01T00:00:00Z", 1796083200},
		{"2024-02-29T12:30:45Z", 1709209845},
		{"2026-12-01T01:30:00+01:30", 1796083200},
		{"2026-11-30T23:00:00-01:00", 1796083200},
		{"2026-12-01T00:00:00.123456789Z", 1796083200},
		{"2000-03-01T00:00:00Z", 951868800},
		{"2023-02-29T00:00:00Z", -1},
		{"2026-13-01T00:00:00Z", -1},
		{"2026-12-01T24:00:00Z", -1},
		{"2026-12-01T00:00:00", -1},
		{"2026-12-01", -1},
		{"2026-12-01T00:00:00Zx", -1},
		{"2026-12-01T00:00:00.Z", -1},
		{"2026-1-01T00:00:00Z", -1},
		{"1969-12-31T23:59:59Z", -1},
		{"", -1},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		int64_t at_s = -1;
		int r = bh_rfc3339_parse(rows[i].text, &at_s);

		assert_int_equal(r, rows[i].want < 0 ? -EINVAL : 0);
		assert_int_equal(at_s, rows[i].want);
	}
}

static void test_time_printed(void **state)
{
	char text[BH_RFC3339_TEXT];

	(void)state;
	bh_rfc3339_print(1709209845, text);
	assert_string_equal(text, "2024-02-29T12:30:45Z");
	bh_rfc3339_print(INT64_MAX, text);
	assert_string_equal(text, "?");
}

static enum bh_image_word parse_word(const char *text, size_t n, size_t max)
{
	struct bh_flaw flaw = {.word = BH_WORD_OK};
	json_t *j = NULL;

	if (!bh_vjson_parse(text, n, max, &j, &flaw))
		json_decref(j);
	return flaw.word;
}

/* Every "{}" of three bytes would cost a quarter of a kilobyte. */
static void test_json_cost(void **state)
{
	size_t n = 1u << 20;
	char *text = malloc(n + 2);

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < n; i += 3)
		memcpy(text + i, i ? ",{}" : "[{}", 3);
	assert_int_equal(parse_word(text, n, n), BH_WORD_TOO_LARGE);
	assert_int_equal(parse_word("[{},{}]", 7, 100), BH_WORD_OK);
	assert_int_equal(parse_word("[{},{}]", 7, 6), BH_WORD_TOO_LARGE);
	free(text);
}

static void test_json_refused(void **state)
{
	static const char *const rows[] = {
		"{\"a\":1,\"a\":1}", "{} x", "",	 "{\"a\":\"\\u0000\"}",
		"{\"a\":\"\xff\"}",  "[1,]", "{\"a\":}", "nope",
		"{\"a\":1e999}",
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++)
		assert_int_equal(parse_word(rows[i], strlen(rows[i]), 1000), BH_WORD_MALFORMED);
}

static void test_json_numbers(void **state)
{
	static const struct {
		const char *text;
		int64_t want; /* -1: refused */
	} rows[] = {
		{"{}", 0},
		{"{\"n\":\"12\"}", 12},
		{"{\"n\":12}", 12},
		{"{\"n\":\"9223372036854775807\"}", INT64_MAX},
		{"{\"n\":\"18446744073709551615\"}", -1},
		{"{\"n\":\"-1\"}", -1},
		{"{\"n\":-1}", -1},
		{"{\"n\":\"012\"}", -1},
		{"{\"n\":\"\"}", -1},
		{"{\"n\":1.5}", -1},
		{"{\"n\":true}", -1},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		json_t *j = json_loads(rows[i].text, 0, NULL);
		int64_t n = -1;

		assert_int_equal(bh_vjson_i64(j, "n", &n), rows[i].want < 0 ? -EINVAL : 0);
		if (rows[i].want >= 0)
			assert_int_equal(n, rows[i].want);
		json_decref(j);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64),	     cmocka_unit_test(test_base64_nul),
		cmocka_unit_test(test_base64url),    cmocka_unit_test(test_digest),
		cmocka_unit_test(test_reference),    cmocka_unit_test(test_time),
		cmocka_unit_test(test_time_printed), cmocka_unit_test(test_json_cost),
		cmocka_unit_test(test_json_refused), cmocka_unit_test(test_json_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
