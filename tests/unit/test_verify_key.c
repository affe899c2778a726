/* Keys, signatures and PEM, with keys made here: one algorithm per key and form, nothing else. */
#include "bh_test.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/own.h"
#include "base/str.h"
#include "verify/key.h"
#include "verify/pem.h"

static const struct bh_blob message = {(unsigned char *)"to be signed", 12};

static EVP_PKEY *make(const char *type, const char *group, size_t bits)
{
	EVP_PKEY *key = group  ? EVP_EC_gen(group)
			: bits ? EVP_PKEY_Q_keygen(NULL, NULL, type, bits)
			       : EVP_PKEY_Q_keygen(NULL, NULL, type);

	assert_non_null(key);
	return key;
}

static void sign(EVP_PKEY *key, const EVP_MD *md, int padding, struct bh_blob *ret)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx;

	assert_int_equal(EVP_DigestSignInit(ctx, &pctx, md, NULL, key), 1);
	if (padding)
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx, padding), 1);
	assert_int_equal(EVP_DigestSign(ctx, NULL, &ret->n, message.v, message.n), 1);
	ret->v = malloc(ret->n + 1);
	assert_int_equal(EVP_DigestSign(ctx, ret->v, &ret->n, message.v, message.n), 1);
	EVP_MD_CTX_free(ctx);
}

static enum bh_image_word verdict(const struct bh_key *k, enum bh_sig_form form,
				  const struct bh_blob *sig)
{
	struct bh_flaw flaw = {.word = BH_WORD_OK};

	bh_key_verify(k, form, &message, sig, &flaw);
	return flaw.word;
}

static void check(EVP_PKEY *key, const EVP_MD *md, enum bh_sig_form form, enum bh_image_word want)
{
	struct bh_blob sig = {0};
	struct bh_flaw flaw;
	struct bh_key k;

	EVP_PKEY_up_ref(key);
	assert_int_equal(bh_key_init(&k, key, &flaw), 0);
	sign(key, md, 0, &sig);
	assert_int_equal(verdict(&k, form, &sig), want);
	bh_blob_done(&sig);
	bh_key_done(&k);
}

#define BAD BH_WORD_SIGNATURE_INVALID

static void test_hashes(void **state)
{
	EVP_PKEY *p256 = make("EC", "P-256", 0), *p384 = make("EC", "P-384", 0);
	EVP_PKEY *p521 = make("EC", "P-521", 0), *rsa = make("RSA", NULL, 2048);
	EVP_PKEY *ed = make("ED25519", NULL, 0);

	(void)state;
	check(p256, EVP_sha256(), BH_SIG_CLASSIC, BH_WORD_OK);
	check(p256, EVP_sha512(), BH_SIG_CLASSIC, BAD);
	check(p384, EVP_sha256(), BH_SIG_CLASSIC, BH_WORD_OK);
	check(p384, EVP_sha384(), BH_SIG_CLASSIC, BAD);
	check(p256, EVP_sha256(), BH_SIG_BUNDLE, BH_WORD_OK);
	check(p256, EVP_sha384(), BH_SIG_BUNDLE, BAD);
	check(p384, EVP_sha384(), BH_SIG_BUNDLE, BH_WORD_OK);
	check(p384, EVP_sha256(), BH_SIG_BUNDLE, BH_WORD_OK);
	check(p521, EVP_sha512(), BH_SIG_BUNDLE, BH_WORD_OK);
	check(p521, EVP_sha384(), BH_SIG_BUNDLE, BAD);
	check(rsa, EVP_sha256(), BH_SIG_BUNDLE, BH_WORD_OK);
	check(rsa, EVP_sha1(), BH_SIG_CLASSIC, BAD);
	check(rsa, EVP_sha512(), BH_SIG_LOG, BAD);
	check(p384, EVP_sha384(), BH_SIG_LOG, BH_WORD_OK);
	check(p384, EVP_sha256(), BH_SIG_LOG, BH_WORD_OK);
	check(p256, EVP_sha384(), BH_SIG_LOG, BAD);
	check(ed, NULL, BH_SIG_CLASSIC, BH_WORD_OK);
	check(ed, NULL, BH_SIG_LOG, BH_WORD_OK);
	EVP_PKEY_free(p256);
	EVP_PKEY_free(p384);
	EVP_PKEY_free(p521);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ed);
}

/* One byte more, one less, none, zeros: all must be refused, none may crash. */
static void test_der(void **state)
{
	static unsigned char zero[] = {0x30, 6, 2, 1, 0, 2, 1, 0};
	EVP_PKEY *key = make("EC", "P-256", 0);
	struct bh_blob sig = {0}, cut;
	struct bh_flaw flaw;
	struct bh_key k;

	(void)state;
	EVP_PKEY_up_ref(key);
	assert_int_equal(bh_key_init(&k, key, &flaw), 0);
	sign(key, EVP_sha256(), 0, &sig);
	sig.v[sig.n] = 0;
	assert_int_equal(verdict(&k, BH_SIG_CLASSIC, &sig), BH_WORD_OK);
	for (size_t n = 0; n <= sig.n + 1; n++) {
		cut = (struct bh_blob){sig.v, n};
		if (n != sig.n)
			assert_int_equal(verdict(&k, BH_SIG_CLASSIC, &cut), BAD);
	}
	for (size_t i = 0; i < sig.n; i++) {
		sig.v[i] ^= 1;
		assert_int_equal(verdict(&k, BH_SIG_CLASSIC, &sig), BAD);
		sig.v[i] ^= 1;
	}
	cut = (struct bh_blob){zero, sizeof(zero)};
	assert_int_equal(verdict(&k, BH_SIG_CLASSIC, &cut), BAD);
	bh_blob_done(&sig);
	bh_key_done(&k);
	EVP_PKEY_free(key);
}

static void test_rsa(void **state)
{
	EVP_PKEY *key = make("RSA", NULL, 2048), *weak = make("RSA", NULL, 1024);
	struct bh_blob sig = {0};
	struct bh_flaw flaw;
	struct bh_key k;

	(void)state;
	sign(key, EVP_sha256(), RSA_PKCS1_PSS_PADDING, &sig);
	assert_int_equal(bh_key_init(&k, key, &flaw), 0);
	assert_int_equal(verdict(&k, BH_SIG_CLASSIC, &sig), BAD);
	bh_key_done(&k);
	bh_blob_done(&sig);
	sign(weak, EVP_sha256(), 0, &sig);
	assert_int_equal(bh_key_init(&k, weak, &flaw), 0);
	assert_true(k.is_weak);
	assert_int_equal(verdict(&k, BH_SIG_CLASSIC, &sig), BH_WORD_KEY_WEAK);
	bh_key_done(&k);
	bh_blob_done(&sig);
}

static void test_kinds(void **state)
{
	struct bh_flaw flaw = {.word = BH_WORD_OK};
	struct bh_key k;

	(void)state;
	assert_int_not_equal(bh_key_init(&k, make("EC", "secp256k1", 0), &flaw), 0);
	assert_int_equal(flaw.word, BH_WORD_UNSUPPORTED);
	assert_int_not_equal(bh_key_init(&k, make("X25519", NULL, 0), &flaw), 0);
}

static char *pem_of(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text, *ret;
	long n;

	assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
	n = BIO_get_mem_data(bio, &text);
	ret = strndup(text, (size_t)n);
	BIO_free(bio);
	return ret;
}

static bool reads(const char *before, const char *pem, const char *after)
{
	char text[4096];
	EVP_PKEY *key;
	int n = snprintf(text, sizeof(text), "%s%s%s", before, pem, after);

	key = bh_pem_public_key(text, (size_t)n);
	EVP_PKEY_free(key);
	return key;
}

static void test_pem(void **state)
{
	EVP_PKEY *key = make("EC", "P-256", 0);
	char *pem = pem_of(key);

	(void)state;
	assert_true(reads("", pem, ""));
	assert_true(reads("\n \n", pem, "\n\n"));
	assert_false(reads("", pem, pem));
	assert_false(reads("# comment\n", pem, ""));
	assert_false(reads("", pem, "x"));
	assert_false(reads("", "", ""));
	assert_false(reads("", "-----BEGIN PUBLIC KEY-----\n", ""));
	assert_false(reads("",
			   "-----BEGIN PUBLIC KEY-----\nProc-Type: 4,ENCRYPTED\n"
			   "DEK-Info: AES-128-CBC,00000000000000000000000000000000\n\nAAAA\n"
			   "-----END PUBLIC KEY-----\n",
			   ""));
	free(pem);
	EVP_PKEY_free(key);
}

/* ---- files of the operator ---- */

/* The sentence about what is wrong with the file; "" when it is good. The caller frees it. */
static char *file_flaw(const char *before, const char *pem, const char *after)
{
	char *text = bh_strf("%s%s%s", before, pem, after);
	EVP_PKEY *key = NULL;
	struct bh_flaw flaw;
	int r = bh_pem_key_file(text, strlen(text), &key, &flaw);

	free(text);
	EVP_PKEY_free(key);
	return strdup(r ? flaw.err.text : "");
}

static void file_is(const char *before, const char *pem, const char *after, const char *want)
{
	char *got = file_flaw(before, pem, after);

	assert_string_equal(got, want);
	free(got);
}

static void test_key_file(void **state)
{
	static const char several[] = "holds more than one block; a key has a file of its own";
	EVP_PKEY *key = make("EC", "P-256", 0), *rsa = make("RSA", NULL, 2048);
	char *pem = pem_of(key), *crlf = strdup(""), *text;
	BIO *bio = BIO_new(BIO_s_mem());
	unsigned char *der = NULL;
	const char *at;
	int n;

	(void)state;
	for (at = pem; *at; at++) {
		text = bh_strf("%s%s%c", crlf, *at == '\n' ? "\r" : "", *at);
		free(crlf);
		crlf = text;
	}
	file_is("", pem, "", "");
	file_is("", crlf, "", "");
	file_is("release key of 2026\n# of acme\n\n", pem, "the end\n", "");
	file_is("", pem, pem, several);
	file_is("", "", "", "holds no public key in PEM");
	file_is("indented ", pem, "", "holds no public key in PEM");
	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	BIO_write(bio, "", 1);
	BIO_get_mem_data(bio, &text);
	file_is("", text, "", "holds a 'PRIVATE KEY', not a public key in PEM");
	(void)BIO_reset(bio);
	n = i2d_PublicKey(rsa, &der);
	assert_true(PEM_write_bio(bio, "RSA PUBLIC KEY", "", der, n) > 0);
	OPENSSL_free(der);
	BIO_write(bio, "", 1);
	BIO_get_mem_data(bio, &text);
	file_is("", text, "", "");
	BIO_free(bio);
	free(crlf);
	free(pem);
	EVP_PKEY_free(key);
	EVP_PKEY_free(rsa);
}

static EVP_PKEY *with_exponent(EVP_PKEY *rsa, unsigned long e)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BIGNUM *n = NULL, *exponent = BN_new();
	EVP_PKEY *key = NULL;
	OSSL_PARAM *params;

	BN_set_word(exponent, e);
	assert_int_equal(EVP_PKEY_get_bn_param(rsa, OSSL_PKEY_PARAM_RSA_N, &n), 1);
	OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n);
	OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent);
	params = OSSL_PARAM_BLD_to_param(build);
	assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
	assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	BN_free(n);
	BN_free(exponent);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

/* To the power of 1, the padded hash is the signature. */
static void test_exponent(void **state)
{
	static const struct {
		unsigned long e;
		bool is_weak;
	} rows[] = {{1, true}, {2, true}, {3, false}, {65537, false}};
	EVP_PKEY *rsa = make("RSA", NULL, 2048);

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_flaw flaw;
		struct bh_key k;

		assert_int_equal(bh_key_init(&k, with_exponent(rsa, rows[i].e), &flaw), 0);
		assert_int_equal(k.is_weak, rows[i].is_weak);
		bh_key_done(&k);
	}
	EVP_PKEY_free(rsa);
}

/* With the neutral point as "key", R neutral and S zero is a signature of every message. */
static void test_small_order(void **state)
{
	unsigned char point[32] = {1}, sig[64] = {1};
	struct bh_blob m = {(unsigned char *)"m", 1}, signature = {sig, sizeof(sig)};
	struct bh_flaw flaw;
	struct bh_key k;

	(void)state;
	for (int sign = 0; sign < 2; sign++) {
		point[31] = (unsigned char)(sign << 7);
		assert_int_equal(bh_key_init(&k,
					     EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL,
									 point, sizeof(point)),
					     &flaw),
				 0);
		assert_true(k.is_weak);
		assert_int_not_equal(bh_key_verify(&k, BH_SIG_CLASSIC, &m, &signature, &flaw), 0);
		assert_int_equal(flaw.word, BH_WORD_KEY_WEAK);
		bh_key_done(&k);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hashes),	    cmocka_unit_test(test_der),
		cmocka_unit_test(test_rsa),	    cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_pem),	    cmocka_unit_test(test_key_file),
		cmocka_unit_test(test_small_order), cmocka_unit_test(test_exponent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
