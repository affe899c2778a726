#include "verify/key.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>

#include "verify/pem.h"

static void md_ctx_freep(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
	*ctx = NULL;
}

static bool kind_of_curve(const EVP_PKEY *pkey, enum bh_key_kind *ret)
{
	static const struct {
		const char *name;
		enum bh_key_kind kind;
	} curves[] = {
		{"prime256v1", BH_KEY_P256},
		{"secp384r1", BH_KEY_P384},
		{"secp521r1", BH_KEY_P521},
	};
	char name[64];

	if (EVP_PKEY_get_group_name(pkey, name, sizeof(name), NULL) != 1)
		return false;
	for (size_t i = 0; i < BH_ARRAY_SIZE(curves); i++) {
		if (!strcmp(name, curves[i].name)) {
			*ret = curves[i].kind;
			return true;
		}
	}
	return false;
}

static bool kind_of(const EVP_PKEY *pkey, enum bh_key_kind *ret)
{
	switch (EVP_PKEY_get_base_id(pkey)) {
	case EVP_PKEY_EC:
		return kind_of_curve(pkey, ret);
	case EVP_PKEY_RSA:
		*ret = BH_KEY_RSA;
		return true;
	case EVP_PKEY_ED25519:
		*ret = BH_KEY_ED25519;
		return true;
	default:
		return false;
	}
}

/* The points of order 1, 2, 4 and 8, in every form they can be written in: with such a "key"
 * anybody can sign. Without the sign bit. */
static bool is_small_order(const EVP_PKEY *pkey)
{
	static const unsigned char points[][32] = {
		{0},
		{1},
		{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
		 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
		 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
		{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
		 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
		 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
		{0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		{0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		{0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
	};
	unsigned char point[32];
	size_t n = sizeof(point);

	if (EVP_PKEY_get_raw_public_key(pkey, point, &n) != 1 || n != sizeof(point))
		return true;
	point[31] &= 0x7f;
	for (size_t i = 0; i < BH_ARRAY_SIZE(points); i++)
		if (!memcmp(point, points[i], sizeof(point)))
			return true;
	return false;
}

static bool has_good_size(const EVP_PKEY *rsa)
{
	int bits = EVP_PKEY_get_bits(rsa);

	return bits >= 2048 && bits <= 8192;
}

/* To the power of 1 every padded message is its own signature. */
static bool has_good_exponent(const EVP_PKEY *rsa)
{
	BIGNUM *e = NULL;
	bool is_good = EVP_PKEY_get_bn_param(rsa, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_is_odd(e) &&
		       !BN_is_one(e);

	BN_free(e);
	return is_good;
}

static bool is_weak(const struct bh_key *k)
{
	if (k->kind == BH_KEY_RSA)
		return !has_good_size(k->pkey) || !has_good_exponent(k->pkey);
	return k->kind == BH_KEY_ED25519 && is_small_order(k->pkey);
}

int bh_key_init(struct bh_key *k, EVP_PKEY *take_pkey, struct bh_flaw *flaw)
{
	unsigned char *der = NULL;
	int n;

	*k = (struct bh_key){.pkey = take_pkey};
	n = kind_of(take_pkey, &k->kind) ? i2d_PUBKEY(take_pkey, &der) : -1;
	if (n <= 0) {
		ERR_clear_error();
		bh_key_done(k);
		return bh_flaw(flaw, BH_WORD_UNSUPPORTED,
			       "not an ECDSA P-256, P-384 or P-521, RSA or Ed25519 key");
	}
	k->der = der;
	k->n_der = (size_t)n;
	k->is_weak = is_weak(k);
	bh_sha256(der, (size_t)n, k->spki);
	return 0;
}

void bh_key_done(struct bh_key *k)
{
	EVP_PKEY_free(k->pkey);
	OPENSSL_free(k->der);
	*k = (struct bh_key){0};
}

int bh_key_of_cert(struct bh_key *k, const X509 *cert, struct bh_flaw *flaw)
{
	EVP_PKEY *pkey = X509_get_pubkey((X509 *)cert);

	if (!pkey) {
		ERR_clear_error();
		return bh_flaw(flaw, BH_WORD_UNSUPPORTED, "the certificate's key cannot be read");
	}
	return bh_key_init(k, pkey, flaw);
}

int bh_key_of_der(struct bh_key *k, const unsigned char *der, size_t n, struct bh_flaw *flaw)
{
	const unsigned char *at = der;
	EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)n);

	if (!pkey || at != der + n) {
		EVP_PKEY_free(pkey);
		ERR_clear_error();
		return bh_flaw(flaw, BH_WORD_MALFORMED, "no public key in DER");
	}
	return bh_key_init(k, pkey, flaw);
}

/* Decoded and encoded again it must be the same bytes: no trailing ones, no long forms. */
static bool ecdsa_is_der(const struct bh_blob *sig)
{
	const unsigned char *at = sig->v;
	ECDSA_SIG *parsed = sig->n < 256 ? d2i_ECDSA_SIG(NULL, &at, (long)sig->n) : NULL;
	unsigned char *again = NULL;
	int n = parsed ? i2d_ECDSA_SIG(parsed, &again) : -1;
	bool is_same = n > 0 && bh_blob_is(sig, again, (size_t)n);

	ECDSA_SIG_free(parsed);
	OPENSSL_free(again);
	return is_same;
}

static bool verifies(const struct bh_key *k, const EVP_MD *md, const struct bh_blob *message,
		     const struct bh_blob *sig)
{
	BH_CLEANUP(md_ctx_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, md, NULL, k->pkey) == 1 &&
		  EVP_DigestVerify(ctx, sig->v, sig->n, message->v, message->n) == 1;

	ERR_clear_error();
	return ok;
}

static const EVP_MD *hash_of(const struct bh_key *k, enum bh_sig_form form)
{
	if (k->kind == BH_KEY_ED25519)
		return NULL;
	if (form != BH_SIG_CLASSIC && k->kind == BH_KEY_P384)
		return EVP_sha384();
	if (form != BH_SIG_CLASSIC && k->kind == BH_KEY_P521)
		return EVP_sha512();
	return EVP_sha256();
}

static void pkey_ctx_freep(EVP_PKEY_CTX **ctx)
{
	EVP_PKEY_CTX_free(*ctx);
	*ctx = NULL;
}

static bool verifies_hash(const struct bh_key *k, const struct bh_blob *hash,
			  const struct bh_blob *sig)
{
	BH_CLEANUP(pkey_ctx_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(k->pkey, NULL);
	bool ok = ctx && EVP_PKEY_verify_init(ctx) == 1 &&
		  EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
		  EVP_PKEY_verify(ctx, sig->v, sig->n, hash->v, hash->n) == 1;

	ERR_clear_error();
	return ok;
}

static bool is_elliptic(const struct bh_key *k)
{
	return k->kind == BH_KEY_P256 || k->kind == BH_KEY_P384 || k->kind == BH_KEY_P521;
}

/* What is wrong before anything is computed; 0: nothing. */
static int check_form(const struct bh_key *k, const struct bh_blob *signature, struct bh_flaw *flaw)
{
	if (k->is_weak && k->kind == BH_KEY_RSA && !has_good_size(k->pkey))
		return bh_flaw(flaw, BH_WORD_KEY_WEAK, "the RSA key has %d bits, not 2048 to 8192",
			       EVP_PKEY_get_bits(k->pkey));
	if (k->is_weak)
		return bh_flaw(flaw, BH_WORD_KEY_WEAK, "anybody can sign with this key");
	if (is_elliptic(k) && !ecdsa_is_der(signature))
		return bh_flaw(flaw, BH_WORD_SIGNATURE_INVALID, "no ECDSA signature in DER");
	return 0;
}

int bh_key_verify_hash(const struct bh_key *k, const struct bh_blob *hash,
		       const struct bh_blob *signature, struct bh_flaw *flaw)
{
	int r = check_form(k, signature, flaw);

	if (r)
		return r;
	if (k->kind == BH_KEY_ED25519)
		return bh_flaw(flaw, BH_WORD_UNSUPPORTED,
			       "an Ed25519 key signs the message, and only its hash is known");
	return hash->n == BH_SHA256_LEN && verifies_hash(k, hash, signature)
		       ? 0
		       : bh_flaw(flaw, BH_WORD_SIGNATURE_INVALID, "the signature does not verify");
}

int bh_key_verify(const struct bh_key *k, enum bh_sig_form form, const struct bh_blob *message,
		  const struct bh_blob *signature, struct bh_flaw *flaw)
{
	int r = check_form(k, signature, flaw);

	if (r)
		return r;
	if (verifies(k, hash_of(k, form), message, signature) ||
	    (is_elliptic(k) && form != BH_SIG_CLASSIC &&
	     verifies(k, EVP_sha256(), message, signature)))
		return 0;
	/* sigstore prehashes here (Ed25519ph), which OpenSSL 3.0 cannot verify */
	if (k->kind == BH_KEY_ED25519 && form == BH_SIG_BUNDLE)
		return bh_flaw(flaw, BH_WORD_UNSUPPORTED,
			       "Ed25519ph, as sigstore bundles have it, is not supported");
	return bh_flaw(flaw, BH_WORD_SIGNATURE_INVALID, "the signature does not verify");
}
