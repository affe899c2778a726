/* Keyless signatures against a small sigstore of the test's own: each thing that must be there is
 * taken away or bent, one at a time. */
#include "verify_log.h"

#include "verify/flaw.h"

struct rig {
	struct world w;
	struct pki pki;
	struct bh_image_policy *p;
	struct leaf_knobs leaf;
	const char *kind; /* of the log entry; NULL: none */
	bool is_v2;
	int64_t logged_s;
	int64_t stamps_s[2]; /* 0: none */
	bool stamps_payload; /* over the wrong bytes */
	X509 *entry_leaf;    /* the certificate in the entry, when it is another */
	bool has_key;	     /* signed with a plain key that the policy names */
	json_t *bundle;
};

static struct bh_image_signer keyless_signer(void)
{
	struct bh_image_signer s = {
		.name = strdup("ci"),
		.kind = BH_IMAGE_KEYLESS,
		.trust_root = strdup("test"),
		.require = {.tlog = true, .sct = true},
	};
	struct bh_image_identity id = {.issuer = strdup(ISSUER), .subject = strdup(SUBJECT)};

	assert_int_equal(bh_vec_push(&s.identities, id), 0);
	return s;
}

static int make_rig(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct bh_image_trust_root root = {strdup("test"), strdup("test.json"), {0}};

	world_open(&r->w);
	pki_open(&r->pki);
	r->p = bh_image_policy_new();
	root.json.v = (unsigned char *)trusted_root(&r->pki);
	root.json.n = strlen((char *)root.json.v);
	assert_int_equal(bh_vec_push(&r->p->trust_roots, root), 0);
	assert_int_equal(bh_vec_push(&r->p->signers, keyless_signer()), 0);
	r->kind = "dsse";
	r->logged_s = SIGNED_S;
	*state = r;
	return 0;
}

static int drop_rig(void **state)
{
	struct rig *r = *state;

	world_close(&r->w);
	pki_close(&r->pki);
	bh_image_policy_free(r->p);
	json_decref(r->bundle);
	free(r);
	return 0;
}

/* ---- one signature, bent as the rig says ---- */

static json_t *make_stamps(struct rig *r, const char *sig_b64, const char *payload)
{
	json_t *list = json_array();
	struct bh_blob sig;

	assert_int_equal(bh_b64_decode(sig_b64, strlen(sig_b64), &sig), 0);
	for (int i = 0; i < 2; i++) {
		json_t *der;

		if (!r->stamps_s[i])
			continue;
		der = r->stamps_payload ? stamp(&r->pki, payload, strlen(payload), r->stamps_s[i])
					: stamp(&r->pki, sig.v, sig.n, r->stamps_s[i]);
		json_array_append_new(list, json_pack("{s:o}", "signedTimestamp", der));
	}
	bh_blob_done(&sig);
	return json_pack("{s:o}", "rfc3161Timestamps", list);
}

static json_t *make_entries(struct rig *r, const struct logged *l)
{
	json_t *list = json_array();

	if (r->kind)
		json_array_append_new(list, entry_json(&r->pki, r->kind, r->is_v2, l, r->logged_s));
	return list;
}

/* The bundle in r->bundle, not yet attached. */
static void sign_bundle(struct rig *r)
{
	X509 *leaf = new_leaf(&r->pki, &r->leaf);
	json_t *envelope = new_envelope(&r->w, r->pki.leaf_key, T_SIGN, json_object());
	const char *b64 = json_string_value(json_object_get(envelope, "payload"));
	const char *sig = json_string_value(
		json_object_get(json_array_get(json_object_get(envelope, "signatures"), 0), "sig"));
	struct bh_blob payload;
	struct logged l = {.sig_b64 = sig};
	char *pae, *text;
	json_t *material;

	assert_int_equal(bh_b64_decode(b64, strlen(b64), &payload), 0);
	text = strndup((char *)payload.v, payload.n);
	pae = bh_strf("DSSEv1 28 application/vnd.in-toto+json %zu %s", payload.n, text);
	l.message = pae;
	l.n_message = strlen(pae);
	l.payload = payload.v;
	l.n_payload = payload.n;
	l.leaf = r->has_key ? NULL : r->entry_leaf ? r->entry_leaf : leaf;
	l.key = r->pki.leaf_key;
	material = json_pack("{s:o,s:o}", "tlogEntries", make_entries(r, &l),
			     "timestampVerificationData", make_stamps(r, sig, text));
	if (r->has_key)
		json_object_set_new(material, "publicKey", json_object());
	else
		json_object_set_new(material, "certificate", cert_json(leaf));
	r->bundle = json_pack("{s:s,s:o,s:o}", "mediaType", T_BUNDLE, "verificationMaterial",
			      material, "dsseEnvelope", envelope);
	free(pae);
	free(text);
	bh_blob_done(&payload);
	X509_free(leaf);
}

static void attach(struct rig *r)
{
	char *text = json_dumps(r->bundle, JSON_COMPACT), digest[BH_DIGEST_TEXT], *manifest;

	world_add(&r->w, text, digest);
	manifest = bh_strf("{\"layers\":[{\"mediaType\":\"" T_BUNDLE
			   "\",\"digest\":\"%s\",\"size\":%zu}]}",
			   digest, strlen(text));
	world_add(&r->w, manifest, digest);
	json_array_append_new(r->w.referrers, json_string(digest));
	free(manifest);
	free(text);
}

static void expect(struct rig *r, enum bh_image_word word)
{
	sign_bundle(r);
	attach(r);
	world_expect(&r->w, r->p, word ? BH_IMAGE_REJECT : BH_IMAGE_ACCEPT, word);
}

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
		T(test_stamp_of_other),
		T(test_stamp_missing),
		T(test_stamp_outside_authority),
		T(test_names),
		T(test_issuers),
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
