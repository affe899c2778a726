/* Rules that the public vectors leave open: what a signature brings along and nobody needs, limits
 * at their edge, old versions of bundles, keys of other kinds, digests of other sizes. */
#include "verify_bundle.h"

#include <ctype.h>

#include "verify/key.h"

/* ---- classic signatures with a plain key ---- */

/* One good layer with more annotations, which are taken. */
static void put_classic(struct rig *r, json_t *take_notes)
{
	json_t *layers = json_array();

	add_classic(&r->w, layers, r->pki.leaf_key);
	json_object_update(json_object_get(json_array_get(layers, 0), "annotations"), take_notes);
	json_decref(take_notes);
	put_layers(&r->w, r->w.sig_tag, layers);
}

static void trust_key(struct rig *r, EVP_PKEY *key)
{
	bh_image_signer_done(&r->p->signers.v[0]);
	r->p->signers.v[0] = key_signer("one", key);
}

/* The policy says which material counts; what it does not ask for cannot spoil a signature. */
static void test_needless(void **state)
{
	static const char *const names[] = {
		"dev.sigstore.cosign/certificate",
		"dev.sigstore.cosign/chain",
		"dev.sigstore.cosign/bundle",
		"dev.sigstore.cosign/rfc3161timestamp",
	};
	static const char *const garbage[] = {
		"x",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"{}",
		"{\"Payload\":{\"logID\":7}}",
		"{\"SignedRFC3161Timestamp\":\"AAAA\"}",
	};
	struct rig *r = *state;

	trust_key(r, r->pki.leaf_key);
	for (size_t i = 0; i < BH_ARRAY_SIZE(names); i++) {
		for (size_t k = 0; k < BH_ARRAY_SIZE(garbage); k++) {
			put_classic(r, json_pack("{s:s}", names[i], garbage[k]));
			world_expect(&r->w, r->p, BH_IMAGE_ACCEPT, BH_WORD_OK);
		}
	}
	r->p->signers.v[0].require.tlog = true;
	put_classic(r, json_pack("{s:s}", names[2], garbage[0]));
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_MALFORMED);
	put_classic(r, json_object());
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_TLOG_MISSING);
	r->p->signers.v[0].require = (struct bh_image_require){.timestamp = true};
	put_classic(r, json_pack("{s:s}", names[3], garbage[0]));
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_MALFORMED);
	put_classic(r, json_pack("{s:s}", names[3], garbage[4]));
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_TIMESTAMP_INVALID);
}

/* And where a certificate is asked for, a key that verifies is none. */
static void test_no_certificate(void **state)
{
	struct rig *r = *state;

	put_classic(r, json_object());
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_CERT_CHAIN);
	put_classic(r, json_pack("{s:s}", "dev.sigstore.cosign/certificate", "x"));
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_MALFORMED);
}

static void test_annotations(void **state)
{
	struct rig *r = *state;
	json_t *notes = json_object();
	char *large = malloc(256 * 1024 + 2);

	trust_key(r, r->pki.leaf_key);
	for (int i = 0; i < 31; i++) {
		char name[8];

		snprintf(name, sizeof(name), "n%d", i);
		json_object_set_new(notes, name, json_string(""));
	}
	put_classic(r, json_deep_copy(notes));
	world_expect(&r->w, r->p, BH_IMAGE_ACCEPT, BH_WORD_OK);
	json_object_set_new(notes, "more", json_string(""));
	put_classic(r, notes);
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_TOO_MANY);
	memset(large, 'a', 256 * 1024 + 1);
	large[256 * 1024 + 1] = '\0';
	put_classic(r, json_pack("{s:s}", "n", large + 1));
	world_expect(&r->w, r->p, BH_IMAGE_ACCEPT, BH_WORD_OK);
	put_classic(r, json_pack("{s:s}", "n", large));
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_TOO_LARGE);
	put_classic(r, json_pack("{s:i}", "n", 1));
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_MALFORMED);
	free(large);
}

/* ---- bundles ---- */

static json_t *material(struct rig *r)
{
	return json_object_get(r->bundle, "verificationMaterial");
}

/* Signs anew, has fn bend the bundle, and judges. */
static void expect_bent(struct rig *r, void (*fn)(struct rig *), enum bh_image_word word)
{
	json_array_clear(r->w.referrers);
	json_decref(r->bundle);
	r->bundle = NULL;
	sign_bundle(r);
	fn(r);
	attach(r);
	world_expect(&r->w, r->p, word ? BH_IMAGE_REJECT : BH_IMAGE_ACCEPT, word);
}

static json_t *entry(struct rig *r)
{
	return json_array_get(json_object_get(material(r), "tlogEntries"), 0);
}

static void four_entries(struct rig *r)
{
	for (int i = 0; i < 3; i++)
		json_array_append(json_object_get(material(r), "tlogEntries"), entry(r));
}

static void five_entries(struct rig *r)
{
	four_entries(r);
	json_array_append(json_object_get(material(r), "tlogEntries"), entry(r));
}

static void five_stamps(struct rig *r)
{
	json_t *list = json_object_get(json_object_get(material(r), "timestampVerificationData"),
				       "rfc3161Timestamps");

	for (int i = 0; i < 5; i++)
		json_array_append_new(list, json_pack("{s:s}", "signedTimestamp", "AAAA"));
}

static void set_type(struct rig *r, const char *type)
{
	json_object_set_new(r->bundle, "mediaType", json_string(type));
}

/* The leaf and the root, as clients of 0.1 and 0.2 wrote it. */
static void to_chain(struct rig *r, size_t n_more)
{
	json_t *cert = json_incref(json_object_get(material(r), "certificate"));
	json_t *list = json_array();

	json_array_append(list, cert);
	for (size_t i = 0; i < n_more; i++)
		json_array_append(list, cert);
	json_object_del(material(r), "certificate");
	json_object_set_new(material(r), "x509CertificateChain",
			    json_pack("{s:o}", "certificates", list));
	json_decref(cert);
}

static void version_1(struct rig *r)
{
	set_type(r, "application/vnd.dev.sigstore.bundle+json;version=0.1");
	to_chain(r, 1);
	json_object_del(entry(r), "inclusionProof");
}

static void version_2(struct rig *r)
{
	set_type(r, "application/vnd.dev.sigstore.bundle+json;version=0.2");
	to_chain(r, 7);
}

static void version_2_unproven(struct rig *r)
{
	version_2(r);
	json_object_del(entry(r), "inclusionProof");
}

static void version_2_nine(struct rig *r)
{
	version_2(r);
	json_array_append_new(json_object_get(json_object_get(material(r), "x509CertificateChain"),
					      "certificates"),
			      json_object());
}

static void version_3_chain(struct rig *r)
{
	to_chain(r, 0);
}

static void version_3_old_name(struct rig *r)
{
	set_type(r, "application/vnd.dev.sigstore.bundle+json;version=0.3");
}

static void version_4(struct rig *r)
{
	set_type(r, "application/vnd.dev.sigstore.bundle+json;version=0.4");
}

static void two_materials(struct rig *r)
{
	json_object_set_new(material(r), "publicKey", json_object());
}

static void negative_index(struct rig *r)
{
	json_object_set_new(entry(r), "logIndex", json_string("-9"));
}

static void huge_index(struct rig *r)
{
	json_object_set_new(entry(r), "logIndex", json_string("99999999999999999999"));
}

static void no_kind(struct rig *r)
{
	json_object_del(entry(r), "kindVersion");
}

static void keyed(struct rig *r)
{
	json_object_set_new(
		json_array_get(
			json_object_get(json_object_get(r->bundle, "dsseEnvelope"), "signatures"),
			0),
		"keyid", json_string("whatever"));
}

static void test_bundles(void **state)
{
	static const struct {
		void (*bend)(struct rig *r);
		enum bh_image_word word;
	} rows[] = {
		{four_entries, BH_WORD_OK},
		{five_entries, BH_WORD_MALFORMED},
		{five_stamps, BH_WORD_MALFORMED},
		{version_1, BH_WORD_OK},
		{version_2, BH_WORD_OK},
		{version_2_unproven, BH_WORD_TLOG_PROOF},
		{version_2_nine, BH_WORD_MALFORMED},
		{version_3_chain, BH_WORD_MALFORMED},
		{version_3_old_name, BH_WORD_OK},
		{version_4, BH_WORD_MALFORMED},
		{two_materials, BH_WORD_MALFORMED},
		{negative_index, BH_WORD_MALFORMED},
		{huge_index, BH_WORD_MALFORMED},
		{no_kind, BH_WORD_MALFORMED},
		{keyed, BH_WORD_OK},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++)
		expect_bent(r, rows[i].bend, rows[i].word);
}

/* ---- statements ---- */

/* A bundle whose statement has these subjects, signed by a key that the policy names. */
static void expect_subjects(struct rig *r, json_t *take_subjects, enum bh_image_word word)
{
	json_t *statement =
		json_pack("{s:s,s:o,s:s,s:{}}", "_type", "https://in-toto.io/Statement/v1",
			  "subject", take_subjects, "predicateType", T_SIGN, "predicate");
	char *text = json_dumps(statement, JSON_COMPACT), *b64 = bh_b64_encode(text, strlen(text));
	char *pae = bh_strf("DSSEv1 28 application/vnd.in-toto+json %zu %s", strlen(text), text);
	char *sig = sign_b64(r->pki.leaf_key, pae, strlen(pae));

	json_array_clear(r->w.referrers);
	json_decref(r->bundle);
	r->bundle =
		json_pack("{s:s,s:{s:{}},s:{s:s,s:s,s:[{s:s}]}}", "mediaType", T_BUNDLE,
			  "verificationMaterial", "publicKey", "dsseEnvelope", "payloadType",
			  "application/vnd.in-toto+json", "payload", b64, "signatures", "sig", sig);
	attach(r);
	world_expect(&r->w, r->p, word ? BH_IMAGE_REJECT : BH_IMAGE_ACCEPT, word);
	json_decref(statement);
	free(text);
	free(b64);
	free(pae);
	free(sig);
}

static json_t *subject(const char *name, const char *hex)
{
	return json_pack("{s:{s:s}}", "digest", name, hex);
}

static void test_many_subjects(void **state)
{
	struct rig *r = *state;
	const char *hex = r->w.digest + 7;
	char upper[65];
	json_t *list = json_array(), *digests = json_object();

	trust_key(r, r->pki.leaf_key);
	for (int i = 0; i < 1023; i++)
		json_array_append_new(list, subject("sha256", "00"));
	json_array_append_new(list, subject("sha256", hex));
	expect_subjects(r, json_deep_copy(list), BH_WORD_OK);
	json_array_append_new(list, subject("sha1", "00"));
	expect_subjects(r, list, BH_WORD_TOO_MANY);
	for (int i = 0; i < 31; i++) {
		char name[8];

		snprintf(name, sizeof(name), "h%d", i);
		json_object_set_new(digests, name, json_string("00"));
	}
	json_object_set_new(digests, "sha256", json_string(hex));
	expect_subjects(r, json_pack("[{s:O}]", "digest", digests), BH_WORD_OK);
	json_object_set_new(digests, "more", json_string("00"));
	expect_subjects(r, json_pack("[{s:o}]", "digest", digests), BH_WORD_DIGEST_MISMATCH);
	for (int i = 0; i < 65; i++)
		upper[i] = (char)toupper((unsigned char)hex[i]);
	expect_subjects(r, json_pack("[o]", subject("sha256", upper)), BH_WORD_DIGEST_MISMATCH);
	expect_subjects(r, json_pack("[o]", subject("sha512", hex)), BH_WORD_DIGEST_MISMATCH);
	expect_subjects(r, json_pack("[o]", subject("gitCommit", hex)), BH_WORD_DIGEST_MISMATCH);
	expect_subjects(r, json_pack("[s]", r->w.digest), BH_WORD_DIGEST_MISMATCH);
	expect_subjects(r, json_pack("{s:o}", "0", subject("sha256", hex)),
			BH_WORD_DIGEST_MISMATCH);
}

/* ---- keys ---- */

static enum bh_image_word word_of(const struct bh_key *k, enum bh_sig_form form, const char *b64,
				  const char *text)
{
	struct bh_blob message = {(unsigned char *)(uintptr_t)text, strlen(text)}, sig;
	struct bh_flaw flaw = {.word = BH_WORD_OK};

	assert_int_equal(bh_b64_decode(b64, strlen(b64), &sig), 0);
	if (!bh_key_verify(k, form, &message, &sig, &flaw))
		flaw.word = BH_WORD_OK;
	bh_blob_done(&sig);
	return flaw.word;
}

/* An Ed25519 key in a bundle: signatures over the message verify, the prehashed ones that sigstore
 * makes are refused with a sentence that says so. */
static void test_ed25519(void **state)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	unsigned char sig[64], hash[64];
	size_t n = sizeof(sig);
	struct bh_flaw flaw;
	struct bh_key key;
	struct bh_blob text = {(unsigned char *)(uintptr_t) "text", 4}, given = {sig, 64};
	char *b64;

	(void)state;
	EVP_PKEY_up_ref(pkey);
	assert_int_equal(bh_key_init(&key, pkey, &flaw), 0);
	assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey), 1);
	assert_int_equal(EVP_DigestSign(ctx, sig, &n, (const unsigned char *)"text", 4), 1);
	b64 = bh_b64_encode(sig, n);
	assert_int_equal(word_of(&key, BH_SIG_CLASSIC, b64, "text"), BH_WORD_OK);
	assert_int_equal(word_of(&key, BH_SIG_BUNDLE, b64, "text"), BH_WORD_OK);
	free(b64);
	assert_int_equal(bh_sha2(512, "text", 4, hash), 64);
	n = sizeof(sig);
	assert_int_equal(EVP_DigestSign(ctx, sig, &n, hash, 64), 1);
	assert_int_not_equal(bh_key_verify(&key, BH_SIG_BUNDLE, &text, &given, &flaw), 0);
	assert_int_equal(flaw.word, BH_WORD_UNSUPPORTED);
	assert_non_null(strstr(flaw.err.text, "Ed25519ph"));
	assert_int_not_equal(bh_key_verify_hash(&key, &text, &given, &flaw), 0);
	assert_int_equal(flaw.word, BH_WORD_UNSUPPORTED);
	bh_key_done(&key);
	EVP_PKEY_free(pkey);
	EVP_MD_CTX_free(ctx);
}

/* Curves, sizes and kinds that are not on the list. */
static void test_other_keys(void **state)
{
	static const char *const curves[] = {"secp256k1", "P-224", "brainpoolP256r1"};
	struct bh_flaw flaw;
	struct bh_key key;
	EVP_PKEY *x = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(curves); i++) {
		EVP_PKEY *pkey = EVP_EC_gen(curves[i]);

		if (!pkey) /* left out of the library */
			continue;
		assert_int_not_equal(bh_key_init(&key, pkey, &flaw), 0);
		assert_int_equal(flaw.word, BH_WORD_UNSUPPORTED);
	}
	assert_int_not_equal(bh_key_init(&key, x, &flaw), 0);
	assert_int_equal(flaw.word, BH_WORD_UNSUPPORTED);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_rig, drop_rig)
	const struct CMUnitTest tests[] = {
		T(test_needless),
		T(test_no_certificate),
		T(test_annotations),
		T(test_bundles),
		T(test_many_subjects),
		cmocka_unit_test(test_ed25519),
		cmocka_unit_test(test_other_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
