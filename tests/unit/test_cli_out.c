/* Tables and text of the command line. */
#include "bh_test.h"

#include "cli/out.h"

struct page {
	char *text;
	size_t n;
	struct bh_out out;
};

static void page_open(struct page *p, unsigned width)
{
	*p = (struct page){.out.width = width};
	p->out.f = open_memstream(&p->text, &p->n);
	assert_non_null(p->out.f);
}

static void page_is(struct page *p, const char *want)
{
	fclose(p->out.f);
	assert_string_equal(p->text, want);
	free(p->text);
}

static void test_columns_line_up(void **state)
{
	static const struct bh_column columns[] = {
		{"NAME", false, 0}, {"N", true, 0}, {"TEXT", false, 5}};
	struct bh_table *t = bh_table_new(columns, 3);
	struct page p;

	(void)state;
	bh_table_add(t, BH_GOOD, "h\xc3\xa4lt");
	bh_table_fmt(t, BH_PLAIN, "%d", 1000);
	bh_table_add(t, BH_PLAIN, NULL);
	bh_table_add(t, BH_PLAIN, "b");
	bh_table_fmt(t, BH_PLAIN, "%d", 7);
	bh_table_add(t, BH_PLAIN, "x");
	page_open(&p, 100);
	assert_int_equal(bh_table_print(t, &p.out), 0);
	page_is(&p,
		"NAME     N  TEXT\n"
		"h\xc3\xa4lt  1000  -\n"
		"b        7  x\n");
	bh_table_free(t);
}

static void test_breaks_what_is_too_wide(void **state)
{
	static const struct bh_column columns[] = {{"A", false, 0}, {"B", false, 8}};
	struct bh_table *t = bh_table_new(columns, 2);
	struct page p;

	(void)state;
	bh_table_add(t, BH_PLAIN, "name");
	bh_table_add(t, BH_PLAIN, "one two three abcdefghijklmnop");
	bh_table_add(t, BH_PLAIN, "more");
	bh_table_add(t, BH_PLAIN, "z");
	page_open(&p, 16);
	assert_int_equal(bh_table_print(t, &p.out), 0);
	page_is(&p,
		"A     B\n"
		"name  one two\n"
		"      three\n"
		"      abcdefghij\n"
		"      klmnop\n"
		"more  z\n");
	bh_table_free(t);
}

static void test_nothing_escapes(void **state)
{
	char *safe = bh_out_safe("a\033[31m\n\x7f\xc2\x9bz\xff\xc3\xa4");
	struct page p;

	(void)state;
	assert_string_equal(safe, "a?[31m???z?\xc3\xa4");
	free(safe);
	page_open(&p, 100);
	bh_out_line(&p.out, BH_BAD, "%s", "x\033]0;t\a");
	page_is(&p, "x?]0;t?\n");
}

static void test_colours(void **state)
{
	struct page p;

	(void)state;
	page_open(&p, 100);
	p.out.has_colour = true;
	bh_out_line(&p.out, BH_BAD, "no");
	bh_out_line(&p.out, BH_PLAIN, "plain");
	page_is(&p, "\033[31mno\033[0m\nplain\n");
	assert_false(bh_out_wants_colour(stdin));
}

static void test_wrap(void **state)
{
	struct page p;

	(void)state;
	page_open(&p, 12);
	bh_out_wrap(&p.out, 2, "one two three four");
	page_is(&p, "  one two\n  three four\n");
}

static void test_hang(void **state)
{
	struct page p;

	(void)state;
	page_open(&p, 12);
	bh_out_hang(&p.out, BH_PLAIN, 4, "%s three/four \033[0m", "one two");
	page_is(&p, "one two\n    three/\n    four\n    ?[0m\n");
	page_open(&p, 8);
	p.out.has_colour = true;
	bh_out_hang(&p.out, BH_BAD, 2, "abcdefghijklm");
	page_is(&p, "\033[31mabcdefgh\033[0m\n  \033[31mijklm\033[0m\n");
}

static void test_members(void **state)
{
	json_t *o = json_pack("{s:s s:i s:[s,s] s:n s:f}", "a", "x", "n", 7, "l", "p", "q", "z",
			      "f", 2.5);
	char bytes[16];
	char *l = bh_show_list(o, "l"), *none = bh_show_list(o, "absent");

	(void)state;
	assert_string_equal(bh_show_str(o, "a"), "x");
	assert_string_equal(bh_show_str(o, "z"), "-");
	assert_string_equal(bh_show_str(o, "n"), "-");
	assert_string_equal(bh_show_str(NULL, "n"), "-");
	assert_int_equal(bh_show_int(o, "n"), 7);
	assert_int_equal(bh_show_int(o, "f"), 2);
	assert_int_equal(bh_show_int(o, "a"), 0);
	assert_string_equal(l, "p, q");
	assert_string_equal(none, "-");
	assert_string_equal(bh_show_bytes(0, bytes), "0B");
	assert_string_equal(bh_show_bytes(1536, bytes), "1.5K");
	assert_string_equal(bh_show_bytes(5ull << 40, bytes), "5.0T");
	free(l);
	free(none);
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns_line_up),
		cmocka_unit_test(test_breaks_what_is_too_wide),
		cmocka_unit_test(test_nothing_escapes),
		cmocka_unit_test(test_colours),
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_hang),
		cmocka_unit_test(test_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
