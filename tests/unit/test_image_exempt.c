/* ImageExceptions: what is refused, what exactly is signed, and what an exception is about. */
#include "verify_world.h"

#include "policy/image_exempt.h"

#define HEX(c) c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define D(c)   "sha256:" HEX(c) HEX(c)
#define HEAD                                                                                       \
	"apiVersion: bulkhead.io/v1alpha1\nkind: ImageException\nmetadata: {name: one}\nspec:\n"
#define REST  "  why: an incident\n  until: 2027-01-31T00:00:00Z\n"
#define IMAGE "  images: [r.example/app@" D("1") "]\n"

static size_t read_text(const char *text, struct bh_image_exempts *ret, char *why, size_t n)
{
	struct bh_problems problems = {0};

	assert_int_equal(bh_image_exempts_read("x.yaml", text, strlen(text), ret, &problems), 0);
	why[0] = '\0';
	if (problems.n)
		snprintf(why, n, "%s", problems.v[0].text);
	bh_problems_done(&problems);
	return ret->n;
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{HEAD REST, "names nothing"},
		{HEAD REST "  images: []\n", "names nothing"},
		{HEAD REST "  images: [\"r.example/app:v1\"]\n", "a tag moves"},
		{HEAD REST "  images: [\"r.example/*\"]\n", "images"},
		{HEAD REST "  images: [\"**\"]\n", "images"},
		{HEAD IMAGE "  why: x\n", "until"},
		{HEAD IMAGE "  until: 2027-01-31T00:00:00Z\n", "why"},
		{HEAD IMAGE "  why: x\n  until: tomorrow\n", "is not a time"},
		{HEAD IMAGE "  why: \"x\\nimage y\"\n  until: 2027-01-31T00:00:00Z\n", "one line"},
		{HEAD IMAGE REST "  owner: \"a\\nb\"\n", "one line"},
		{HEAD IMAGE REST "  namespaces: [\"pay-*\"]\n", "no name of a namespace"},
		{HEAD IMAGE REST "  signature: \"?\"\n", "base64"},
		{HEAD IMAGE REST "  mode: audit\n", "mode"},
		{"apiVersion: v1\nkind: ImageException\nmetadata: {name: x}\n", "apiVersion"},
	};
	char why[512];

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_image_exempts l = {0};

		if (read_text(rows[i].text, &l, why, sizeof(why)) || !strstr(why, rows[i].why))
			fail_msg("row %zu: %s", i, why);
		bh_image_exempts_done(&l);
	}
}

static void test_signed(void **state)
{
	const char *text = HEAD IMAGE REST "  owner: ops\n  namespaces: [prod, pay]\n";
	const char *want =
		"bulkhead.io/v1alpha1 ImageException\nname one\n"
		"until 2027-01-31T00:00:00Z\nwhy an incident\nowner ops\n"
		"namespace prod\nnamespace pay\nimage r.example/app@" D("1") "\n";
	EVP_PKEY *good = new_key(), *other = new_key();
	struct bh_key keys[2] = {0};
	struct bh_image_exempts l = {0};
	struct bh_image_exempt *e;
	struct bh_flaw flaw;
	char why[512], *got, *signature;

	(void)state;
	assert_int_equal(read_text(text, &l, why, sizeof(why)), 1);
	e = l.v[0];
	got = bh_image_exempt_text(e);
	assert_string_equal(got, want);
	EVP_PKEY_up_ref(good);
	EVP_PKEY_up_ref(other);
	assert_int_equal(bh_key_init(&keys[0], other, &flaw), 0);
	assert_int_equal(bh_key_init(&keys[1], good, &flaw), 0);
	assert_false(bh_image_exempt_is_signed(e, keys, 2));
	signature = sign_b64(good, got, strlen(got));
	assert_int_equal(bh_b64_decode(signature, strlen(signature), &e->signature), 0);
	free(signature);
	assert_true(bh_image_exempt_is_signed(e, keys, 2));
	assert_false(bh_image_exempt_is_signed(e, keys, 1));
	assert_false(bh_image_exempt_is_signed(e, keys, 0));
	/* not a word of it can be changed */
	e->until[0] = '9';
	assert_false(bh_image_exempt_is_signed(e, keys, 2));
	e->until[0] = '2';
	e->namespaces.n--;
	assert_false(bh_image_exempt_is_signed(e, keys, 2));
	e->namespaces.n++;
	assert_true(bh_image_exempt_is_signed(e, keys, 2));
	free(got);
	bh_image_exempts_done(&l);
	bh_key_done(&keys[0]);
	bh_key_done(&keys[1]);
	EVP_PKEY_free(good);
	EVP_PKEY_free(other);
}

static void test_covers(void **state)
{
	static const struct {
		const char *spec, *ns, *image, *digest;
		bool is_covered;
	} rows[] = {
		{IMAGE, "prod", "r.example/app@" D("1"), "", true},
		{IMAGE, NULL, "r.example/app@" D("1"), "", true},
		{IMAGE, "prod", "r.example/app@" D("2"), "", false},
		/* bytes are bytes, wherever they come from */
		{IMAGE, "prod", "mirror.example/x@" D("1"), "", true},
		{IMAGE, "prod", "r.example/app:v1", "", false},
		{IMAGE, "prod", "r.example/app:v1", D("1"), true},
		{IMAGE, "prod", "r.example/app:v1", D("2"), false},
		{"  images: [r.example/app]\n", "prod", "r.example/app:v1", "", true},
		{"  images: [r.example/app]\n", "prod", "r.example/app@" D("2"), "", true},
		{"  images: [r.example/app]\n", "prod", "r.example/app2:v1", "", false},
		{"  images: [r.example/app]\n", "prod", "r.example/app/x:v1", "", false},
		{"  images: [r.example/app]\n", "prod", "other.example/app:v1", "", false},
		{"  images: [nginx]\n", "prod", "docker.io/library/nginx:v1", "", true},
		{IMAGE "  namespaces: [prod]\n", "prod", "r.example/app@" D("1"), "", true},
		{IMAGE "  namespaces: [prod]\n", "prod2", "r.example/app@" D("1"), "", false},
		{IMAGE "  namespaces: [prod]\n", NULL, "r.example/app@" D("1"), "", false},
	};
	char why[512], text[1024];

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_image_exempts l = {0};
		struct bh_image_ref ref;
		struct bh_err err;

		snprintf(text, sizeof(text), HEAD REST "%s", rows[i].spec);
		assert_int_equal(read_text(text, &l, why, sizeof(why)), 1);
		assert_int_equal(bh_image_ref_parse(rows[i].image, &ref, &err), 0);
		if (bh_image_exempt_covers(l.v[0], rows[i].ns, &ref, rows[i].digest) !=
		    rows[i].is_covered)
			fail_msg("row %zu", i);
		bh_image_exempts_done(&l);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_signed),
		cmocka_unit_test(test_covers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
