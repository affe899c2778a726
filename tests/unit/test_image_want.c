/* What an answer about an image means for its pod, and the row that is kept of it. */
#include "bh_test.h"

#include "base/json.h"
#include "base/str.h"
#include "daemon/image_want.h"

/* An accepted image with one check that failed: `lead`, then many two-byte characters. */
static json_t *answer_with(const char *lead, const char *name)
{
	struct bh_str detail = {0};
	json_t *answer;

	bh_str_add(&detail, lead);
	for (int i = 0; i < 200; i++)
		bh_str_add(&detail, "\xc3\xa4");
	answer = json_pack("{s:s, s:s, s:[{s:s, s:b, s:s}]}", "verdict", "accept", "digest",
			   "sha256:0", "checks", "name", name, "ok", 0, "detail",
			   bh_str_text(&detail));
	assert_non_null(answer);
	bh_str_done(&detail);
	return answer;
}

static void test_row_of_a_long_detail(void **state)
{
	static const struct {
		const char *lead, *name;
	} rows[] = {{"", "image"}, {"x", "image"}, {"", "sbom xx"}, {"x", "sbom xx"}};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_image_want w = {.reference = (char[]){"r.example/app:1"},
					  .answer = answer_with(rows[i].lead, rows[i].name)};
		BH_CLEANUP(bh_json_decrefp) json_t *row = bh_image_want_row(&w);
		const char *detail;

		assert_non_null(row);
		detail = bh_image_text(row, "detail");
		assert_in_range(strlen(detail), 250, 300);
		assert_string_equal(bh_image_text(row, "verdict"), "accept");
		json_decref(w.answer);
	}
}

static void test_last_failed_check_counts(void **state)
{
	struct bh_image_want w = {.reference = (char[]){"r.example/app:1"}};
	BH_CLEANUP(bh_json_decrefp) json_t *row = NULL;

	(void)state;
	w.answer =
		json_pack("{s:s, s:[{s:s, s:b, s:s}, {s:s, s:b, s:s}, {s:s, s:b, s:s}]}", "verdict",
			  "reject", "checks", "name", "a", "ok", 0, "detail", "first", "name", "b",
			  "ok", 0, "detail", "second", "name", "c", "ok", 1, "detail", "third");
	row = bh_image_want_row(&w);
	assert_string_equal(bh_image_text(row, "detail"), "second");
	json_decref(w.answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_row_of_a_long_detail),
		cmocka_unit_test(test_last_failed_check_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
