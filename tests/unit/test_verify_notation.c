/* Notation envelopes, JWS and COSE, made here: the same rules hold for both. */
#include "verify_notary.h"

struct rig {
	struct world w;
	struct pki pki;
	struct bh_image_policy *p;
	X509 *cert;
	struct bh_image_signer *signer;
};

static struct bh_image_signer notary_signer(X509 *root)
{
	struct bh_image_signer s = {.name = strdup("notary"), .kind = BH_IMAGE_NOTATION};
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;

	assert_int_equal(PEM_write_bio_X509(bio, root), 1);
	n = BIO_get_mem_data(bio, &text);
	assert_int_equal(bh_blob_copy(text, (size_t)n, &s.roots), 0);
	BIO_free(bio);
	assert_int_equal(bh_vec_push(&s.trusted_identities, strdup("x509.subject: O=Acme")), 0);
	return s;
}

static int make_rig(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	world_open(&r->w);
	pki_open(&r->pki);
	r->p = bh_image_policy_new();
	r->cert = new_notary_cert(r->pki.leaf_key);
	assert_int_equal(bh_vec_push(&r->p->signers, notary_signer(r->cert)), 0);
	r->signer = &r->p->signers.v[0];
	*state = r;
	return 0;
}

static int drop_rig(void **state)
{
	struct rig *r = *state;

	world_close(&r->w);
	pki_close(&r->pki);
	bh_image_policy_free(r->p);
	X509_free(r->cert);
	free(r);
	return 0;
}

static void attach(struct rig *r, const char *type, const void *bytes, size_t n)
{
	char digest[BH_DIGEST_TEXT], *manifest;

	assert_true(bh_digest_of(bytes, n, digest));
	world_put(&r->w, digest, bytes, n);
	manifest =
		bh_strf("{\"config\":{\"mediaType\":\"application/vnd.cncf.notary.signature\"},"
			"\"layers\":[{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu}]}",
			type, digest, n);
	world_add(&r->w, manifest, digest);
	json_array_clear(r->w.referrers);
	json_array_append_new(r->w.referrers, json_string(digest));
	free(manifest);
}

/* Both envelopes, bent the same way, must come out the same. */
static void expect(struct rig *r, struct notary_knobs k, enum bh_image_word word)
{
	enum bh_image_answer answer = word ? BH_IMAGE_REJECT : BH_IMAGE_ACCEPT;
	char *jws = new_jws(&r->w, &r->pki, r->cert, &k);
	struct bh_str cose = {0};

	attach(r, "application/jose+json", jws, strlen(jws));
	world_expect(&r->w, r->p, answer, word);
	new_cose(&r->w, &r->pki, r->cert, &k, &cose);
	attach(r, "application/cose", cose.s, cose.n);
	world_expect(&r->w, r->p, answer, word);
	bh_str_done(&cose);
	free(jws);
}

static void test_good(void **state)
{
	expect(*state, (struct notary_knobs){0}, BH_WORD_OK);
}

static void test_bent(void **state)
{
	static const struct {
		struct notary_knobs k;
		enum bh_image_word word;
	} rows[] = {
		{{.alg = "PS256"}, BH_WORD_ALGORITHM},
		{{.cty = "text/plain"}, BH_WORD_PAYLOAD_TYPE},
		{{.scheme = "notary.x509.signingAuthority"}, BH_WORD_UNSUPPORTED},
		{{.crit = "io.cncf.notary.verificationPlugin"}, BH_WORD_MALFORMED},
		{{.crit = N_KEY "expiry"}, BH_WORD_MALFORMED}, /* critical, but not there */
		{{.crit = N_KEY "expiry", .expiry_s = NOW_S + 1}, BH_WORD_OK},
		{{.has_no_crit = true}, BH_WORD_MALFORMED},
		{{.signed_s = SIGNED_S - 61}, BH_WORD_CERT_TIME},
		{{.signed_s = SIGNED_S + 86401}, BH_WORD_CERT_TIME},
		{{.signed_s = NOW_S + 3600}, BH_WORD_CERT_TIME},
		{{.expiry_s = NOW_S}, BH_WORD_SIGNATURE_EXPIRED},
		{{.expiry_s = NOW_S + 1}, BH_WORD_OK},
		{{.digest = "sha256:00"}, BH_WORD_DIGEST_MISMATCH},
	};

	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++)
		expect(*state, rows[i].k, rows[i].word);
}

static void test_permissive(void **state)
{
	struct rig *r = *state;

	r->signer->level = BH_NOTATION_PERMISSIVE;
	expect(r, (struct notary_knobs){.expiry_s = NOW_S - 1}, BH_WORD_OK);
}

static void test_identity(void **state)
{
	struct rig *r = *state;

	free(r->signer->trusted_identities.v[0]);
	r->signer->trusted_identities.v[0] = strdup("x509.subject: O=Other");
	expect(r, (struct notary_knobs){0}, BH_WORD_IDENTITY_MISMATCH);
	free(r->signer->trusted_identities.v[0]);
	r->signer->trusted_identities.v[0] = strdup("*");
	expect(r, (struct notary_knobs){0}, BH_WORD_OK);
}

/* The same name, another key. */
static void test_untrusted(void **state)
{
	struct rig *r = *state;
	EVP_PKEY *key = new_key();
	X509 *root = new_notary_cert(key);

	bh_image_signer_done(r->signer);
	*r->signer = notary_signer(root);
	expect(r, (struct notary_knobs){0}, BH_WORD_CERT_CHAIN);
	X509_free(root);
	EVP_PKEY_free(key);
}

/* Signatures of one kind are none of the other. */
static void test_other_kind(void **state)
{
	struct rig *r = *state;

	bh_image_signer_done(r->signer);
	*r->signer = key_signer("one", r->pki.leaf_key);
	expect(r, (struct notary_knobs){0}, BH_WORD_NO_SIGNATURE);
}

static void test_every_cut(void **state)
{
	struct rig *r = *state;
	struct notary_knobs k = {0};
	struct bh_str cose = {0};

	new_cose(&r->w, &r->pki, r->cert, &k, &cose);
	for (size_t n = 0; n < cose.n; n += 7) {
		attach(r, "application/cose", cose.s, n);
		world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_MALFORMED);
	}
	cose.s[cose.n - 1] ^= 1;
	attach(r, "application/cose", cose.s, cose.n);
	world_expect(&r->w, r->p, BH_IMAGE_REJECT, BH_WORD_SIGNATURE_INVALID);
	bh_str_done(&cose);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_rig, drop_rig)
	const struct CMUnitTest tests[] = {
		T(test_good),	   T(test_bent),       T(test_permissive), T(test_identity),
		T(test_untrusted), T(test_other_kind), T(test_every_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
