/* The signature vectors, each against its OCI layout, without any registry. What a hostile registry
 * does on the wire (groups "fault") is not asked here; the registry's own tests do that. The data
 * is not part of this repository: BH_SIGNATURES names the directory, else it is looked for beside
 * the checkout. */
#include "verify_set.h"

static const char *const answers[] = {"accept", "reject", "error"};

static void explain(const struct bh_image_verdict *v)
{
	bh_vec_each (c, &v->checks)
		print_message("    %s %s: %s\n", c->ok ? "ok " : "BAD", c->name, c->detail);
}

static void judge(const json_t *vector, struct bh_image_verdict *ret)
{
	const char *by = json_string_value(json_object_get(vector, "by"));
	const char *ref = json_string_value(json_object_get(vector, "ref"));
	const char *digest = json_string_value(json_object_get(vector, "digest"));
	const char *name = json_string_value(json_object_get(vector, "layout"));
	const char *referrers = json_string_value(json_object_get(vector, "referrers"));
	struct bh_image_policy *p = kit_policy(set_dir, json_object_get(vector, "policy"));
	struct bh_image_query q = {.now_s = kit_time(vector, "now", 0)};
	struct bh_image_rules *rules;
	struct kit_layout layout;
	struct bh_err err;
	char *reference;

	kit_open(&layout, bh_strf("%s/layouts/%s", set_dir, name),
		 !referrers || strcmp(referrers, "off") != 0);
	reference = strcmp(by, "tag") ? bh_strf("r.test/%s@%s", name, digest)
				      : bh_strf("r.test/%s:%s", name, ref);
	q.reference = reference;
	q.image = &layout.source;
	bh_assert_ok(&err, bh_image_rules_new(p, &rules, &err));
	bh_image_verify(rules, &q, ret);
	bh_image_rules_free(rules);
	bh_image_policy_free(p);
	kit_close(&layout);
	free(reference);
}

/* The vector of that id must come out as it says; `any` only has to come out. */
static bool holds(const json_t *vector)
{
	const char *id = json_string_value(json_object_get(vector, "id"));
	const char *expect = json_string_value(json_object_get(vector, "expect"));
	struct bh_image_verdict v;
	bool ok;

	judge(vector, &v);
	ok = !strcmp(expect, "any") || !strcmp(expect, answers[v.answer]);
	if (!ok || getenv("VERBOSE"))
		print_message("%s: %s, want %s (%s): %s\n", id, answers[v.answer], expect,
			      json_string_value(json_object_get(vector, "reason")),
			      bh_image_word_text(v.word));
	if (!ok)
		explain(&v);
	bh_image_verdict_done(&v);
	return ok;
}

static bool is_on_the_wire(const json_t *vector)
{
	return !strcmp(json_string_value(json_object_get(vector, "group")), "fault");
}

static void test_all(void **state)
{
	const json_t *vectors = json_object_get(set, "vectors");
	size_t i, n = 0, n_bad = 0;
	json_t *v;

	(void)state;
	json_array_foreach(vectors, i, v)
	{
		const char *only = getenv("ONLY");
		const char *id = json_string_value(json_object_get(v, "id"));

		if (is_on_the_wire(v) || (only && !strstr(id, only)))
			continue;
		n++;
		n_bad += !holds(v);
	}
	print_message("%zu of %zu vectors\n", n - n_bad, n);
	assert_true(n > 0);
	assert_int_equal(n_bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
	};

	return cmocka_run_group_tests(tests, load_set, drop_set);
}
