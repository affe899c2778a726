/* Keyless signatures against a small sigstore of the test's own: each thing that must be there is
 * taken away or bent, one at a time. */
#include "verify_bundle.h"

#include "verify/cert.h"

/* Member of the first log entry. */
static json_t *entry_of(struct rig *r)
{
	return json_array_get(
		json_object_get(json_object_get(r->bundle, "verificationMaterial"), "tlogEntries"),
		0);
}

/* ---- the good ones ---- */

static void good(struct rig *r, const char *kind, bool is_v2)
{
	r->kind = kind;
	r->is_v2 = is_v2;
	r->stamps_s[0] = is_v2 ? SIGNED_S : 0;
	expect(r, BH_WORD_OK);
}

static void test_dsse1(void **state)
{
	good(*state, "dsse", false);
}

static void test_intoto(void **state)
{
	good(*state, "intoto", false);
}

static void test_hashedrekord1(void **state)
{
	good(*state, "hashedrekord", false);
}

static void test_hashedrekord2(void **state)
{
	good(*state, "hashedrekord", true);
}

static void test_dsse2(void **state)
{
	good(*state, "dsse", true);
}

/* The same kinds, but the entry is about the certificate of another signature. */
static void test_entry_of_other(void **state)
{
	static const struct {
		const char *kind;
		bool is_v2;
	} rows[] = {{"dsse", false},
		    {"intoto", false},
		    {"hashedrekord", false},
		    {"hashedrekord", true},
		    {"dsse", true}};

	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct rig *r;

		drop_rig(state);
		make_rig(state);
		r = *state;
		r->kind = rows[i].kind;
		r->is_v2 = rows[i].is_v2;
		r->stamps_s[0] = SIGNED_S;
		r->entry_leaf = new_leaf(&r->pki, &r->leaf);
		expect(r, BH_WORD_TLOG_BODY);
		X509_free(r->entry_leaf);
	}
}

static void test_two_times(void **state)
{
	struct rig *r = *state;

	r->stamps_s[0] = SIGNED_S;
	r->stamps_s[1] = SIGNED_S + 100;
	expect(r, BH_WORD_OK);
}

/* Every trusted time must lie in the certificate's life, not only one. */
static void test_one_time_outside(void **state)
{
	struct rig *r = *state;

	r->stamps_s[0] = SIGNED_S;
	r->stamps_s[1] = SIGNED_S + 3600;
	expect(r, BH_WORD_CERT_TIME);
}

/* ---- the log ---- */

static void test_no_entry(void **state)
{
	struct rig *r = *state;

	r->kind = NULL;
	r->stamps_s[0] = SIGNED_S;
	expect(r, BH_WORD_TLOG_MISSING);
	r->p->signers.v[0].require.tlog = false;
	world_expect(&r->w, r->p, BH_IMAGE_ACCEPT, BH_WORD_OK);
}

static void test_logged_late(void **state)
{
	struct rig *r = *state;

	r->logged_s = SIGNED_S + 3600;
	expect(r, BH_WORD_CERT_TIME);
}

static void test_logged_in_future(void **state)
{
	struct rig *r = *state;

	r->logged_s = NOW_S + 61;
	expect(r, BH_WORD_TLOG_SET);
}

static void test_v2_gives_no_time(void **state)
{
	struct rig *r = *state;

	r->is_v2 = true;
	sign_bundle(r);
	json_object_set_new(entry_of(r), "integratedTime", json_string("1795800000"));
	attach(r);
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_TIMESTAMP_MISSING);
}

static void test_no_promise(void **state)
{
	struct rig *r = *state;

	sign_bundle(r);
	json_object_del(entry_of(r), "inclusionPromise");
	attach(r);
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_TIMESTAMP_MISSING);
}

static void test_no_proof(void **state)
{
	struct rig *r = *state;

	sign_bundle(r);
	json_object_del(entry_of(r), "inclusionProof");
	attach(r);
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_TLOG_PROOF);
	/* version 0.1 had none */
	json_object_set_new(r->bundle, "mediaType",
			    json_string("application/vnd.dev.sigstore.bundle+json;version=0.1"));
	attach(r);
	world_expect(&r->w, r->p, BH_IMAGE_ACCEPT, BH_WORD_OK);
}

static void test_no_checkpoint(void **state)
{
	struct rig *r = *state;

	sign_bundle(r);
	json_object_del(json_object_get(entry_of(r), "inclusionProof"), "checkpoint");
	attach(r);
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_TLOG_CHECKPOINT);
}

static void test_kind_differs(void **state)
{
	struct rig *r = *state;

	sign_bundle(r);
	json_object_set_new(json_object_get(entry_of(r), "kindVersion"), "version",
			    json_string("0.0.2"));
	attach(r);
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_TLOG_BODY);
}

/* ---- when a log counted ---- */

/* Lists the logs of `kind` for another span of time; with `beside` they stay for all of it too. */
static void relist(struct rig *r, const char *kind, const char *start, const char *end, bool beside)
{
	struct bh_blob *text = &r->p->trust_roots.v[0].json;
	json_t *root = json_loadb((char *)text->v, text->n, 0, NULL);
	json_t *list = json_object_get(root, kind), *old = json_deep_copy(list), *log;
	size_t i;

	json_array_foreach(list, i, log)
	{
		json_object_set_new(json_object_get(log, "publicKey"), "validFor",
				    json_pack("{s:s,s:s}", "start", start, "end", end));
	}
	if (beside)
		json_array_extend(list, old);
	bh_blob_done(text);
	text->v = (unsigned char *)json_dumps(root, 0);
	text->n = strlen((char *)text->v);
	json_decref(old);
	json_decref(root);
}

/* SIGNED_S is 2026-11-27T17:20:00Z. A version 2 entry has the time of the timestamp. */
static void test_log_windows(void **state)
{
	static const struct {
		const char *start, *end;
		enum bh_image_word word;
	} rows[] = {
		{"2026-11-27T17:20:00Z", "2026-11-27T17:20:00Z", BH_WORD_OK},
		{"2026-01-01T00:00:00Z", "2026-11-27T17:19:59Z", BH_WORD_TLOG_UNKNOWN},
		{"2026-11-27T17:20:01Z", "2026-12-31T00:00:00Z", BH_WORD_TLOG_UNKNOWN},
	};

	for (size_t i = 0; i < 2 * BH_ARRAY_SIZE(rows); i++) {
		struct rig *r;

		drop_rig(state);
		make_rig(state);
		r = *state;
		r->is_v2 = i % 2;
		r->stamps_s[0] = r->is_v2 ? SIGNED_S : 0;
		relist(r, "tlogs", rows[i / 2].start, rows[i / 2].end, false);
		expect(r, rows[i / 2].word);
	}
}

/* A log that was taken out of use and put into it again is listed twice. */
static void test_log_listed_twice(void **state)
{
	static const char *const kinds[] = {"tlogs", "ctlogs"};

	for (size_t i = 0; i < BH_ARRAY_SIZE(kinds); i++) {
		struct rig *r;

		drop_rig(state);
		make_rig(state);
		r = *state;
		relist(r, kinds[i], "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", true);
		expect(r, BH_WORD_OK);
	}
}

/* A retired log vouches for nothing that may have been made since. */
static void test_log_retired_no_time(void **state)
{
	struct rig *r = *state;
	struct bh_image_signer signer = key_signer("key", r->pki.leaf_key);

	bh_image_signer_done(&r->p->signers.v[0]);
	signer.require.tlog = true;
	r->p->signers.v[0] = signer;
	r->has_key = r->is_v2 = true;
	expect(r, BH_WORD_OK);
	relist(r, "tlogs", "2026-01-01T00:00:00Z", "2026-11-30T00:00:00Z", false);
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_TLOG_UNKNOWN);
}

/* ---- timestamps ---- */

static void test_stamp_of_other(void **state)
{
	struct rig *r = *state;

	r->p->signers.v[0].require.timestamp = true;
	r->stamps_s[0] = SIGNED_S;
	r->stamps_payload = true;
	expect(r, BH_WORD_TIMESTAMP_INVALID);
}

static void test_stamp_missing(void **state)
{
	struct rig *r = *state;

	r->p->signers.v[0].require.timestamp = true;
	expect(r, BH_WORD_TIMESTAMP_MISSING);
}

static void test_stamp_outside_authority(void **state)
{
	struct rig *r = *state;

	r->p->signers.v[0].require.timestamp = true;
	r->stamps_s[0] = SIGNED_S - 2000; /* before validFor begins */
	expect(r, BH_WORD_TIMESTAMP_INVALID);
}

/* ---- the certificate ---- */

static void bent(void **state, struct leaf_knobs leaf, enum bh_image_word word)
{
	struct rig *r;

	drop_rig(state);
	make_rig(state);
	r = *state;
	r->leaf = leaf;
	expect(r, word);
}

static void test_names(void **state)
{
	bent(state, (struct leaf_knobs){.san = "critical,URI:" SUBJECT "x"},
	     BH_WORD_IDENTITY_MISMATCH);
	bent(state, (struct leaf_knobs){.san = "critical,email:a@b.test"},
	     BH_WORD_IDENTITY_MISMATCH);
	bent(state, (struct leaf_knobs){.san = "critical,URI:" SUBJECT ",URI:" SUBJECT},
	     BH_WORD_IDENTITY_MISMATCH);
	bent(state, (struct leaf_knobs){.san = "critical,DNS:ci.test"}, BH_WORD_IDENTITY_MISMATCH);
	bent(state, (struct leaf_knobs){.san = ""}, BH_WORD_CERT_CHAIN);
}

/* The newer extension wins, also when the old one says what we want to hear. */
static void test_issuers(void **state)
{
	bent(state, (struct leaf_knobs){.issuer = "https://other.test"}, BH_WORD_ISSUER_MISMATCH);
	bent(state, (struct leaf_knobs){.issuer = ""}, BH_WORD_ISSUER_MISMATCH);
	bent(state, (struct leaf_knobs){.issuer = "", .issuer_1 = ISSUER}, BH_WORD_OK);
	bent(state, (struct leaf_knobs){.issuer = "https://o.test", .issuer_1 = ISSUER},
	     BH_WORD_ISSUER_MISMATCH);
}

/* The issuer's text has one form in DER. */
static void test_issuer_form(void **state)
{
	static const struct {
		const char *der;
		size_t n;
		bool is_text;
	} rows[] = {
		{"\x0c\x03"
		 "abc",
		 5, true},
		{"\x0c\x81\x03"
		 "abc",
		 6, false}, /* the length in a long form */
		{"\x0c\x03"
		 "abcd",
		 6, false},
		{"\x0c\x03"
		 "a\0c",
		 5, false},
		{"abc", 3, false},
	};
	EVP_PKEY *key = new_key();

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		X509 *cert = new_cert("x", key, SIGNED_S, NOW_S);
		struct bh_flaw flaw;
		char *text = NULL;

		add_bytes_ext(cert, FULCIO "8", rows[i].der, rows[i].n);
		assert_int_equal(!bh_cert_issuer(cert, &text, &flaw), rows[i].is_text);
		if (text)
			assert_string_equal(text, "abc");
		free(text);
		X509_free(cert);
	}
	EVP_PKEY_free(key);
}

static void test_uses(void **state)
{
	bent(state, (struct leaf_knobs){.eku = ""}, BH_WORD_CERT_EKU);
	bent(state, (struct leaf_knobs){.eku = "serverAuth"}, BH_WORD_CERT_EKU);
	bent(state, (struct leaf_knobs){.eku = "anyExtendedKeyUsage"}, BH_WORD_CERT_EKU);
	bent(state, (struct leaf_knobs){.usage = "critical,keyAgreement"}, BH_WORD_CERT_EKU);
	bent(state,
	     (struct leaf_knobs){.basic = "critical,CA:TRUE",
				 .usage = "critical,digitalSignature,keyCertSign",
				 .san = "critical,URI:" SUBJECT},
	     BH_WORD_CERT_CHAIN);
}

static void test_life(void **state)
{
	bent(state, (struct leaf_knobs){.start_s = SIGNED_S + 10}, BH_WORD_CERT_TIME);
	bent(state, (struct leaf_knobs){.start_s = SIGNED_S - 601}, BH_WORD_CERT_TIME);
	bent(state, (struct leaf_knobs){.start_s = SIGNED_S - 600}, BH_WORD_OK);
}

static void test_scts(void **state)
{
	EVP_PKEY *other = new_key();
	struct rig *r;

	bent(state, (struct leaf_knobs){.has_no_sct = true}, BH_WORD_SCT_MISSING);
	r = *state;
	r->p->signers.v[0].require.sct = false;
	world_expect(&r->w, r->p, BH_IMAGE_ACCEPT, BH_WORD_OK);
	bent(state, (struct leaf_knobs){.has_bad_sct = true}, BH_WORD_SCT_INVALID);
	bent(state, (struct leaf_knobs){.ct_key = other}, BH_WORD_SCT_INVALID);
	EVP_PKEY_free(other);
}

/* Another authority of the same name. */
static void test_other_authority(void **state)
{
	EVP_PKEY *key = new_key();
	X509 *ca = new_root("ca", key);

	bent(state, (struct leaf_knobs){.by = ca, .by_key = key}, BH_WORD_CERT_CHAIN);
	X509_free(ca);
	EVP_PKEY_free(key);
}

static void test_extensions(void **state)
{
	struct rig *r = *state;
	struct bh_image_pair pair = {strdup("Runner Environment"), strdup("self-hosted")};
	struct bh_image_identity *id = &r->p->signers.v[0].identities.v[0];

	assert_int_equal(bh_vec_push(&id->extensions, pair), 0);
	expect(r, BH_WORD_OK);
	id->extensions.v[0].value[0] = 'x';
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_IDENTITY_MISMATCH);
	free(id->extensions.v[0].key);
	id->extensions.v[0].key = strdup(FULCIO "20");
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_IDENTITY_MISMATCH);
}

/* ---- a key of the policy's own, with log and timestamp ---- */

static void use_key(struct rig *r)
{
	struct bh_image_signer *s = &r->p->signers.v[0];

	bh_image_signer_done(s);
	*s = key_signer("one", r->pki.leaf_key);
	s->require.tlog = true;
	r->has_key = true;
}

static void test_key(void **state)
{
	struct rig *r = *state;
	struct bh_image_key *key;

	use_key(r);
	expect(r, BH_WORD_OK);
	key = &r->p->signers.v[0].keys.v[0];
	/* what counts is when it was signed */
	key->not_after_s = SIGNED_S;
	world_expect(&r->w, r->p, BH_IMAGE_ACCEPT, BH_WORD_OK);
	key->not_after_s = SIGNED_S - 1;
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_KEY_EXPIRED);
	key->not_after_s = BH_TIME_MAX;
	key->not_before_s = SIGNED_S + 1;
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_KEY_NOT_YET);
}

static void test_key_v2(void **state)
{
	struct rig *r = *state;

	use_key(r);
	r->is_v2 = true;
	r->kind = "hashedrekord";
	expect(r, BH_WORD_OK);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_rig, drop_rig)
	const struct CMUnitTest tests[] = {
		T(test_dsse1),
		T(test_intoto),
		T(test_hashedrekord1),
		T(test_hashedrekord2),
		T(test_dsse2),
		T(test_entry_of_other),
		T(test_two_times),
		T(test_one_time_outside),
		T(test_no_entry),
		T(test_logged_late),
		T(test_logged_in_future),
		T(test_v2_gives_no_time),
		T(test_no_promise),
		T(test_no_proof),
		T(test_no_checkpoint),
		T(test_kind_differs),
		T(test_log_windows),
		T(test_log_listed_twice),
		T(test_log_retired_no_time),
		T(test_stamp_of_other),
		T(test_stamp_missing),
		T(test_stamp_outside_authority),
		T(test_names),
		T(test_issuers),
		T(test_issuer_form),
		T(test_uses),
		T(test_life),
		T(test_scts),
		T(test_other_authority),
		T(test_extensions),
		T(test_key),
		T(test_key_v2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
