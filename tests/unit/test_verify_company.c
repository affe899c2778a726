/* Certificates of a company's own authority, thresholds of identities, and timestamps of cosign's
 * first format. */
#include "verify_bundle.h"

/* The rig's authority as a company's, asked for one subject. */
static void use_company(struct rig *r, const char *subject, X509 *root)
{
	struct bh_image_signer *s = &r->p->signers.v[0];
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;

	bh_image_signer_done(s);
	*s = (struct bh_image_signer){
		.name = strdup("company"),
		.kind = BH_IMAGE_CERTIFICATES,
		.subject = strdup(subject),
	};
	assert_int_equal(PEM_write_bio_X509(bio, root), 1);
	n = BIO_get_mem_data(bio, &text);
	assert_int_equal(bh_blob_copy(text, (size_t)n, &s->roots), 0);
	BIO_free(bio);
	r->kind = NULL;
	r->leaf.start_s = NOW_S - 60;
	r->leaf.issuer = "";
	r->leaf.has_no_sct = true;
}

static void test_company(void **state)
{
	struct rig *r = *state;
	struct bh_image_verdict v;

	use_company(r, "build@acme.test", r->pki.ca);
	r->leaf.san = "email:other@acme.test,email:build@acme.test";
	expect(r, BH_WORD_OK);
	world_judge(&r->w, r->p, &v);
	/* no longer than the certificate */
	assert_int_equal(v.until_s, NOW_S - 60 + 600);
	bh_image_verdict_done(&v);
}

static void test_company_subject(void **state)
{
	struct rig *r = *state;

	use_company(r, "build@acme.test", r->pki.ca);
	r->leaf.san = "email:build@acme.test.evil.test";
	expect(r, BH_WORD_IDENTITY_MISMATCH);
}

static void test_company_uses(void **state)
{
	struct rig *r = *state;

	use_company(r, "build@acme.test", r->pki.ca);
	r->leaf.san = "email:build@acme.test";
	r->leaf.eku = "emailProtection";
	expect(r, BH_WORD_CERT_EKU);
}

static void test_company_other(void **state)
{
	struct rig *r = *state;

	use_company(r, "build@acme.test", r->pki.tsa_ca);
	r->leaf.san = "email:build@acme.test";
	expect(r, BH_WORD_CERT_CHAIN);
}

/* An expired certificate counts when a timestamp shows that it was used in time. */
static void test_company_expired(void **state)
{
	struct rig *r = *state;

	use_company(r, "build@acme.test", r->pki.ca);
	r->leaf.san = "email:build@acme.test";
	r->leaf.start_s = 0;
	expect(r, BH_WORD_TIMESTAMP_MISSING);
	json_decref(r->bundle);
	r->stamps_s[0] = SIGNED_S;
	expect(r, BH_WORD_OK);
}

/* ---- identities ---- */

/* Every signature has a key of its own; who signed is what the certificate says. */
static void test_same_identity_twice(void **state)
{
	struct rig *r = *state;

	r->p->threshold = 2;
	expect(r, BH_WORD_THRESHOLD);
	json_decref(r->bundle);
	EVP_PKEY_free(r->pki.leaf_key);
	r->pki.leaf_key = new_key();
	expect(r, BH_WORD_THRESHOLD);
}

static void test_two_identities(void **state)
{
	struct rig *r = *state;
	struct bh_image_identity *id = &r->p->signers.v[0].identities.v[0];

	free(id->subject);
	id->subject = NULL;
	id->subject_regex = strdup("https://ci[.]test/acme/app@refs/heads/(main|next)");
	r->p->threshold = 2;
	expect(r, BH_WORD_THRESHOLD);
	json_decref(r->bundle);
	EVP_PKEY_free(r->pki.leaf_key);
	r->pki.leaf_key = new_key();
	r->leaf.san = "critical,URI:https://ci.test/acme/app@refs/heads/next";
	expect(r, BH_WORD_OK);
}

/* ---- an attestation in a layer, with a timestamp ---- */

/* There the timestamp is over the envelope, for the layer has no signature of its own. */
static void put_att(struct rig *r, const char *envelope, json_t *take_stamp)
{
	json_t *token = json_pack("{s:o}", "SignedRFC3161Timestamp", take_stamp);
	char *text = json_dumps(token, 0), digest[BH_DIGEST_TEXT];

	world_add(&r->w, envelope, digest);
	put_layers(&r->w, r->w.att_tag,
		   json_pack("[{s:s,s:s,s:I,s:{s:s,s:s}}]", "mediaType", T_DSSE, "digest", digest,
			     "size", (json_int_t)strlen(envelope), "annotations",
			     "dev.cosignproject.cosign/signature", "",
			     "dev.sigstore.cosign/rfc3161timestamp", text));
	free(text);
	json_decref(token);
}

static void test_layer_timestamp(void **state)
{
	struct rig *r = *state;
	struct bh_image_attestation a = {.type = strdup("spdx")};
	json_t *envelope =
		new_envelope(&r->w, r->pki.leaf_key, "https://spdx.dev/Document", json_object());
	char *text = json_dumps(envelope, 0);

	bh_image_signer_done(&r->p->signers.v[0]);
	r->p->signers.n = 0;
	assert_int_equal(bh_vec_push(&a.signers, key_signer("att", r->pki.leaf_key)), 0);
	a.signers.v[0].require.timestamp = true;
	a.signers.v[0].keys.v[0].not_after_s = SIGNED_S;
	assert_int_equal(bh_vec_push(&r->p->attestations, a), 0);
	put_att(r, text, stamp(&r->pki, text, strlen(text), SIGNED_S));
	world_expect(&r->w, r->p, BH_IMAGE_ACCEPT, BH_WORD_OK);
	put_att(r, text, stamp(&r->pki, text, strlen(text) - 1, SIGNED_S));
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_ATT_MISSING);
	free(text);
	json_decref(envelope);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_rig, drop_rig)
	const struct CMUnitTest tests[] = {
		T(test_company),	T(test_company_subject), T(test_company_uses),
		T(test_company_other),	T(test_company_expired), T(test_same_identity_twice),
		T(test_two_identities), T(test_layer_timestamp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
