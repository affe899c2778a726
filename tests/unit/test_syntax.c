#include "bh_test.h"

#include "policy/syntax.h"

#define A61 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A63 A61 "aa"

struct row {
	const char *text;
	bool want;
};

static void check(const char *name, bool (*is)(const char *), const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (is(rows[i].text) != rows[i].want)
			fail_msg("%s: '%s' is%s valid", name, rows[i].text,
				 rows[i].want ? " not" : "");
	}
}

#define CHECK(is, rows) check(#is, is, rows, sizeof(rows) / sizeof((rows)[0]))

static void test_names(void **state)
{
	static const struct row labels[] = {
		{"a", true},	     {"web-1", true}, {"1", true},    {A63, true},
		{A63 "a", false},    {"", false},     {"-a", false},  {"a-", false},
		{"A", false},	     {"a.b", false},  {"a_b", false}, {"a b", false},
		{"\xc3\xa4", false},
	};
	static const struct row subdomains[] = {
		{"a", true},
		{"a.b-c.1", true},
		{A63 "." A63 "." A63 "." A61, true},
		{A63 "." A63 "." A63 "." A63, false},
		{"a..b", false},
		{".a", false},
		{"a.", false},
		{"a.B", false},
		{"", false},
		/* Only the whole is limited. */ {A63 A63 A63 A63, true},
		{"../etc", false},
	};

	(void)state;
	CHECK(bh_is_dns_label, labels);
	CHECK(bh_is_dns_subdomain, subdomains);
}

static void test_labels(void **state)
{
	static const struct row keys[] = {
		{"app", true},	   {"a/b", true},  {"kubernetes.io/metadata.name", true},
		{"A_b.c-1", true}, {A63, true},	   {A63 "a", false},
		{"", false},	   {"/a", false},  {"a/", false},
		{"a/b/c", false},  {"-a", false},  {"a-", false},
		{"A.io/x", false}, {"a b", false}, {"a=b", false},
	};
	static const struct row values[] = {
		{"", true},    {"a", true},   {"A_b.c-1", true}, {A63, true},  {A63 "a", false},
		{"-a", false}, {"a-", false}, {"a/b", false},	 {" ", false}, {"a,b", false},
	};

	(void)state;
	CHECK(bh_is_label_key, keys);
	CHECK(bh_is_label_value, values);
}

static void test_ports(void **state)
{
	static const struct row rows[] = {
		{"http", true},
		{"h", true},
		{"a-1", true},
		{"1a", true},
		{"abcdefghijklmno", true},
		{"abcdefghijklmnop", false},
		{"", false},
		{"80", false},
		{"8-0", false},
		{"-a", false},
		{"a-", false},
		{"a--b", false},
		{"Http", false},
		{"a_b", false},
		{"a.b", false},
	};

	(void)state;
	CHECK(bh_is_port_name, rows);
}

static void test_paths(void **state)
{
	char longest[300] = "/";
	static const struct row rows[] = {
		{"/usr/bin/pg_dump", true},
		{"/a", true},
		{"/a/...", true},
		{"/a/.hidden", true},
		{"/with space", true},
		{"/", false},
		{"", false},
		{"usr/bin", false},
		{"/a/", false},
		{"//a", false},
		{"/a//b", false},
		{"/a/./b", false},
		{"/a/../b", false},
		{"/a/..", false},
		{"/.", false},
	};

	(void)state;
	CHECK(bh_is_exe_path, rows);
	memset(longest + 1, 'x', 254);
	assert_true(bh_is_exe_path(longest));
	longest[255] = 'x';
	assert_false(bh_is_exe_path(longest));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
