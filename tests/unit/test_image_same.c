/* Is what runs what was judged? Rows of {what the manifest said, what the runtime says, same}. */
#include "bh_test.h"

#include "base/json.h"
#include "base/str.h"
#include "daemon/image_same.h"
#include "verify/contents.h"

#define HEX(c) c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define D(c)   "sha256:" HEX(c) HEX(c)

static json_t *row_of(const char *digest, const char *manifest)
{
	struct bh_blob b = {.v = (unsigned char *)(uintptr_t)manifest, .n = strlen(manifest)};
	json_t *contents = bh_manifest_contents(&b);

	return json_pack("{s:s, s:o?}", "digest", digest, "contents", contents);
}

#define IMAGE	"{\"config\":{\"digest\":\"" D("c") "\"},\"layers\":[]}"
#define INDEX	"{\"manifests\":[{\"digest\":\"" D("1") "\"},{\"digest\":\"" D("2") "\"}]}"
#define NOTHING "{}"
#define BY(c)	"r.example/app@" D(c)

static const struct {
	const char *manifest, *id, *digests[2];
	bool is_same;
} rows[] = {
	{IMAGE, D("c"), {BY("a")}, true},
	{IMAGE, D("c"), {NULL}, true},
	/* another name for the same bytes */
	{IMAGE, D("c"), {BY("b")}, true},
	/* the name, but other bytes */
	{IMAGE, D("d"), {BY("a")}, false},
	{IMAGE, HEX("c") HEX("c"), {NULL}, true}, /* CRI-O */
	{IMAGE, HEX("d") HEX("d"), {BY("a")}, false},
	/* a runtime that names images by their manifest */
	{IMAGE, D("a"), {NULL}, true},
	{IMAGE, "", {BY("a")}, true},
	{IMAGE, "", {BY("b"), BY("a")}, true},
	{IMAGE, "", {BY("b")}, false},
	{IMAGE, "", {NULL}, false},
	{IMAGE, "r.example/app:v1", {"r.example/app:v1"}, false},
	{INDEX, D("c"), {BY("1")}, true},
	{INDEX, D("c"), {BY("2")}, true},
	{INDEX, D("c"), {BY("a")}, true},
	{INDEX, D("c"), {BY("3")}, false},
	{INDEX, D("2"), {NULL}, true},
	{INDEX, D("c"), {NULL}, false},
	{NOTHING, D("c"), {BY("a")}, true},
	{NOTHING, D("c"), {BY("b")}, false},
	{"no json", "", {BY("a")}, true},
	{IMAGE, "", {"r.example/app@sha256:short"}, false},
};

static void test_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		BH_CLEANUP(bh_json_decrefp) json_t *row = row_of(D("a"), rows[i].manifest);
		BH_CLEANUP(bh_json_decrefp) json_t *digests = json_array();
		struct bh_image_real real = {.image = "", .id = rows[i].id, .digests = digests};

		for (size_t k = 0; k < 2 && rows[i].digests[k]; k++)
			json_array_append_new(digests, json_string(rows[i].digests[k]));
		if (bh_image_is_same(row, &real) != rows[i].is_same)
			fail_msg("row %zu", i);
	}
}

static void test_contents(void **state)
{
	static const struct {
		const char *manifest, *want;
	} cases[] = {
		{IMAGE, "{\"platforms\":[],\"configs\":[\"" D("c") "\"]}"},
		{INDEX, "{\"platforms\":[\"" D("1") "\",\"" D("2") "\"],\"configs\":[]}"},
		/* both: an index, whatever else it says it is */
		{"{\"manifests\":[],\"config\":{\"digest\":\"" D("c") "\"}}",
		 "{\"platforms\":[],\"configs\":[]}"},
		{"{\"config\":{\"digest\":\"../../etc\"}}", "{\"platforms\":[],\"configs\":[]}"},
		{"{\"config\":[]}", "{\"platforms\":[],\"configs\":[]}"},
		{"[]", NULL},
		{"{\"config\":{},\"config\":{}}", NULL},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(cases); i++) {
		BH_CLEANUP(bh_json_decrefp) json_t *row = row_of("", cases[i].manifest);
		json_t *contents = json_object_get(row, "contents");
		BH_CLEANUP(bh_freep)
		char *text = json_is_object(contents) ? json_dumps(contents, JSON_COMPACT) : NULL;

		if (!bh_streq(text, cases[i].want))
			fail_msg("case %zu: %s", i, text ? text : "nothing");
	}
}

static void test_reference(void **state)
{
	static const struct {
		const char *image, *digests[2], *want;
	} cases[] = {
		{"r.example/app:v1", {BY("1")}, BY("1")},
		{"r.example/app:v1", {"other.example/app@" D("2"), BY("1")}, BY("1")},
		{"nginx",
		 {BY("1"), "docker.io/library/nginx@" D("2")},
		 "docker.io/library/nginx@" D("2")},
		{"r.example/app:v1", {"other.example/app@" D("2")}, "other.example/app@" D("2")},
		{"", {BY("1")}, BY("1")},
		{"r.example/app:v1", {NULL}, NULL},
		{"r.example/app:v1", {"r.example/app:v1", "no reference at all@"}, NULL},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(cases); i++) {
		BH_CLEANUP(bh_json_decrefp) json_t *digests = json_array();
		struct bh_image_real real = {.image = cases[i].image, .id = "", .digests = digests};
		BH_CLEANUP(bh_freep) char *got = NULL;

		for (size_t k = 0; k < 2 && cases[i].digests[k]; k++)
			json_array_append_new(digests, json_string(cases[i].digests[k]));
		got = bh_image_real_reference(&real);
		if (!bh_streq(got, cases[i].want))
			fail_msg("case %zu: %s", i, got ? got : "nothing");
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_contents),
		cmocka_unit_test(test_reference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
