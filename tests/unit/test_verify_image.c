/* The verdict: which signatures count, what is undecided, and when asking ends. */
#include "verify_world.h"

struct rig {
	struct world w;
	EVP_PKEY *key, *other;
	struct bh_image_policy *p; /* trusts key */
};

static int make_rig(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	world_open(&r->w);
	r->key = new_key();
	r->other = new_key();
	r->p = key_policy(r->key);
	*state = r;
	return 0;
}

static int drop_rig(void **state)
{
	struct rig *r = *state;

	world_close(&r->w);
	bh_image_policy_free(r->p);
	EVP_PKEY_free(r->key);
	EVP_PKEY_free(r->other);
	free(r);
	return 0;
}

/* n layers, all by `other` but the one at `good`. */
static void put_classic(struct rig *r, size_t n, size_t good)
{
	json_t *layers = json_array();

	for (size_t i = 0; i < n; i++)
		add_classic(&r->w, layers, i == good ? r->key : r->other);
	put_layers(&r->w, r->w.sig_tag, layers);
}

static void fail_with(struct rig *r, const char *on, enum bh_fetch f, enum bh_image_word word)
{
	r->w.fail_on = on;
	r->w.failure = f;
	r->w.word = word;
}

static void test_accept(void **state)
{
	struct rig *r = *state;
	struct bh_image_verdict v;

	put_classic(r, 1, 0);
	r->p->signers.v[0].keys.v[0].not_after_s = NOW_S + 100;
	world_judge(&r->w, r->p, &v);
	assert_int_equal(v.answer, BH_IMAGE_ACCEPT);
	assert_string_equal(v.signer, "one (key one.pub)");
	assert_string_equal(v.digest, r->w.digest);
	assert_int_equal(v.until_s, NOW_S + 100);
	assert_true(v.checks.n >= 2);
	bh_image_verdict_done(&v);
}

static void test_unsigned(void **state)
{
	struct rig *r = *state;

	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_NO_SIGNATURE);
	put_classic(r, 1, 9);
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_SIGNATURE_INVALID);
}

static void test_windows(void **state)
{
	struct rig *r = *state;
	struct bh_image_key *key = &r->p->signers.v[0].keys.v[0];

	put_classic(r, 1, 0);
	key->not_after_s = NOW_S;
	key->not_before_s = NOW_S;
	world_expect(&r->w, r->p, BH_IMAGE_ACCEPT, BH_WORD_OK);
	key->not_before_s = BH_TIME_MIN;
	key->not_after_s = NOW_S - 1;
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_KEY_EXPIRED);
	key->not_after_s = BH_TIME_MAX;
	key->not_before_s = NOW_S + 1;
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_KEY_NOT_YET);
}

/* 64 layers are tried. */
static void test_many_layers(void **state)
{
	struct rig *r = *state;

	put_classic(r, 64, 63);
	world_expect(&r->w, r->p, BH_IMAGE_ACCEPT, BH_WORD_OK);
	put_classic(r, 65, 64);
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_SIGNATURE_INVALID);
	assert_true(r->w.n_asked < 70);
}

/* ---- faults ---- */

static void test_fault_is_undecided(void **state)
{
	struct rig *r = *state;

	put_classic(r, 1, 0);
	fail_with(r, ".sig", BH_FETCH_FAULT, BH_WORD_REGISTRY);
	world_expect(&r->w, r->p, BH_IMAGE_UNDECIDED, BH_WORD_REGISTRY);
	fail_with(r, r->w.digest, BH_FETCH_FAULT, BH_WORD_AUTH);
	world_expect(&r->w, r->p, BH_IMAGE_UNDECIDED, BH_WORD_AUTH);
	fail_with(r, "referrers", BH_FETCH_FAULT, BH_WORD_REGISTRY);
	world_expect(&r->w, r->p, BH_IMAGE_ACCEPT, BH_WORD_OK);
	put_classic(r, 1, 9);
	world_expect(&r->w, r->p, BH_IMAGE_UNDECIDED, BH_WORD_REGISTRY);
}

static void test_fault_beside_good(void **state)
{
	struct rig *r = *state;

	add_bundle(&r->w, r->key, T_SIGN, json_object());
	fail_with(r, ".sig", BH_FETCH_FAULT, BH_WORD_REGISTRY);
	world_expect(&r->w, r->p, BH_IMAGE_ACCEPT, BH_WORD_OK);
}

static void test_refused_is_reject(void **state)
{
	struct rig *r = *state;

	put_classic(r, 1, 0);
	fail_with(r, ".sig", BH_FETCH_REFUSED, BH_WORD_TOO_LARGE);
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_TOO_LARGE);
	fail_with(r, r->w.digest, BH_FETCH_REFUSED, BH_WORD_TOO_LARGE);
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_TOO_LARGE);
	fail_with(r, r->w.digest, BH_FETCH_ABSENT, BH_WORD_OK);
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_NOT_FOUND);
}

static void test_timeout_ends(void **state)
{
	struct rig *r = *state;

	put_classic(r, 30, 29);
	fail_with(r, "sha256:", BH_FETCH_FAULT, BH_WORD_TIMEOUT);
	r->w.fail_on = NULL;
	world_expect(&r->w, r->p, BH_IMAGE_ACCEPT, BH_WORD_OK);
	fail_with(r, r->w.sig_tag, BH_FETCH_FAULT, BH_WORD_TIMEOUT);
	world_expect(&r->w, r->p, BH_IMAGE_UNDECIDED, BH_WORD_TIMEOUT);
	assert_int_equal(r->w.n_asked, 2);
}

static void test_swapped_image(void **state)
{
	struct rig *r = *state;

	put_classic(r, 1, 0);
	world_put(&r->w, r->w.digest, "{}", 2);
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_DIGEST_MISMATCH);
}

/* ---- references ---- */

static void expect_ref(struct rig *r, const char *reference, enum bh_image_answer answer,
		       enum bh_image_word word)
{
	struct bh_image_query q = {
		.reference = reference,
		.image = &r->w.source,
		.now_s = NOW_S,
	};
	struct bh_image_rules *rules;
	struct bh_image_verdict v;
	struct bh_err err;

	bh_assert_ok(&err, bh_image_rules_new(r->p, &rules, &err));
	bh_image_verify(rules, &q, &v);
	assert_int_equal(v.answer, answer);
	assert_int_equal(v.word, word);
	bh_image_verdict_done(&v);
	bh_image_rules_free(rules);
}

static void test_references(void **state)
{
	struct rig *r = *state;

	put_classic(r, 1, 0);
	expect_ref(r, "r.test/a:v1", BH_IMAGE_ACCEPT, BH_WORD_OK);
	expect_ref(r, "r.test/a:v2", BH_IMAGE_REJECT, BH_WORD_NOT_FOUND);
	expect_ref(r, "r.test/A", BH_IMAGE_REJECT, BH_WORD_REFERENCE);
	r->p->require_digest = true;
	expect_ref(r, "r.test/a:v1", BH_IMAGE_REJECT, BH_WORD_REFERENCE);
	world_expect(&r->w, r->p, BH_IMAGE_ACCEPT, BH_WORD_OK);
}

/* ---- several signers ---- */

static void test_threshold(void **state)
{
	struct rig *r = *state;

	/* the same key under two names is one signer */
	assert_int_equal(bh_vec_push(&r->p->signers, key_signer("two", r->key)), 0);
	r->p->threshold = 2;
	put_classic(r, 2, 0);
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_THRESHOLD);
	add_bundle(&r->w, r->key, T_SIGN, json_object());
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_THRESHOLD);
	assert_int_equal(bh_vec_push(&r->p->signers, key_signer("three", r->other)), 0);
	world_expect(&r->w, r->p, BH_IMAGE_ACCEPT, BH_WORD_OK);
}

static void test_claims(void **state)
{
	struct rig *r = *state;
	struct bh_image_pair pair = {strdup("env"), strdup("prod")};

	assert_int_equal(bh_vec_push(&r->p->signers.v[0].annotations, pair), 0);
	put_classic(r, 1, 0);
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_ANNOTATION_MISMATCH);
	add_bundle(&r->w, r->key, T_SIGN, json_object());
	world_expect(&r->w, r->p, BH_IMAGE_ACCEPT, BH_WORD_OK);
	r->p->signers.v[0].signed_repository = strdup("r.test/a");
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_ANNOTATION_MISMATCH);
}

/* ---- referrers ---- */

static void test_pages(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 5; i++)
		add_bundle(&r->w, r->other, "urn:x", json_pack("{s:i}", "n", i));
	add_bundle(&r->w, r->key, T_SIGN, json_object());
	world_expect(&r->w, r->p, BH_IMAGE_ACCEPT, BH_WORD_OK);
}

static void test_many_referrers(void **state)
{
	struct rig *r = *state;

	r->w.per_page = 50;
	for (int i = 0; i < 64; i++)
		add_bundle(&r->w, r->other, "urn:x", json_pack("{s:i}", "n", i));
	add_bundle(&r->w, r->key, T_SIGN, json_object());
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_SIGNATURE_INVALID);
	assert_true(r->w.n_asked < 140);
}

static void test_fallback_tag(void **state)
{
	struct rig *r = *state;
	char *index;

	add_bundle(&r->w, r->key, T_SIGN, json_object());
	index = bh_strf("{\"manifests\":[{\"digest\":\"%s\"}]}",
			json_string_value(json_array_get(r->w.referrers, 0)));
	world_put(&r->w, r->w.list_tag, index, strlen(index));
	json_decref(r->w.referrers);
	r->w.referrers = NULL;
	world_expect(&r->w, r->p, BH_IMAGE_ACCEPT, BH_WORD_OK);
	free(index);
}

/* A signature over the manifest itself; protobuf's JSON may write null for what is not there. */
static void add_message(struct rig *r, const char *signed_text)
{
	char *sig = sign_b64(r->key, signed_text, strlen(signed_text)), *text, *manifest;
	char digest[BH_DIGEST_TEXT];

	text = bh_strf("{\"mediaType\":\"" T_BUNDLE
		       "\",\"verificationMaterial\":{\"publicKey\":"
		       "{},\"certificate\":null,\"tlogEntries\":null,"
		       "\"timestampVerificationData\":null},\"dsseEnvelope\":null,"
		       "\"messageSignature\":{\"messageDigest\":null,\"signature\":\"%s\"}}",
		       sig);
	world_add(&r->w, text, digest);
	manifest = bh_strf("{\"layers\":[{\"mediaType\":\"" T_BUNDLE
			   "\",\"digest\":\"%s\",\"size\":%zu}]}",
			   digest, strlen(text));
	world_add(&r->w, manifest, digest);
	json_array_append_new(r->w.referrers, json_string(digest));
	free(manifest);
	free(text);
	free(sig);
}

static void test_message(void **state)
{
	struct rig *r = *state;
	struct bh_image_pair pair = {strdup("env"), strdup("prod")};

	add_message(r, "{\"schemaVersion\":2,\"layers\":[{}]}");
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_SIGNATURE_INVALID);
	add_message(r, "{\"schemaVersion\":2,\"layers\":[]}");
	world_expect(&r->w, r->p, BH_IMAGE_ACCEPT, BH_WORD_OK);
	/* it carries no claims */
	assert_int_equal(bh_vec_push(&r->p->signers.v[0].annotations, pair), 0);
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_ANNOTATION_MISMATCH);
}

/* ---- stores ---- */

static void test_store_without_registry(void **state)
{
	struct rig *r = *state;
	struct world away;
	const struct bh_image_source *stores[] = {&r->w.source};
	char *reference = bh_strf("r.test/a@%s", r->w.digest);
	struct bh_image_query q = {.reference = reference,
				   .image = &away.source,
				   .stores = stores,
				   .n_stores = 1,
				   .now_s = NOW_S};
	struct bh_image_rules *rules;
	struct bh_image_verdict v;
	struct bh_err err;

	world_open(&away);
	away.fail_on = "";
	away.failure = BH_FETCH_FAULT;
	away.word = BH_WORD_REGISTRY;
	bh_assert_ok(&err, bh_image_rules_new(r->p, &rules, &err));
	put_classic(r, 1, 9);
	bh_image_verify(rules, &q, &v);
	assert_int_equal(v.answer, BH_IMAGE_UNDECIDED);
	/* what the store held is told too */
	assert_int_equal(v.checks.n, 2);
	bh_image_verdict_done(&v);
	put_classic(r, 1, 0);
	bh_image_verify(rules, &q, &v);
	assert_int_equal(v.answer, BH_IMAGE_ACCEPT);
	assert_string_equal(v.digest, r->w.digest);
	bh_image_verdict_done(&v);
	bh_image_rules_free(rules);
	world_close(&away);
	free(reference);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_rig, drop_rig)
	const struct CMUnitTest tests[] = {
		T(test_accept),
		T(test_unsigned),
		T(test_windows),
		T(test_many_layers),
		T(test_fault_is_undecided),
		T(test_fault_beside_good),
		T(test_refused_is_reject),
		T(test_timeout_ends),
		T(test_swapped_image),
		T(test_references),
		T(test_threshold),
		T(test_claims),
		T(test_pages),
		T(test_many_referrers),
		T(test_fallback_tag),
		T(test_store_without_registry),
		T(test_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
