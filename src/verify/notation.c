#include "verify/notation.h"

#include <string.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "base/str.h"
#include "verify/dn.h"
#include "verify/pem.h"
#include "verify/stamp.h"
#include "verify/verify.h"
#include "verify/vjson.h"

#define CONTENT_TYPE "application/vnd.cncf.notary.payload.v1+json"

void bh_notation_done(struct bh_notation *n)
{
	bh_blob_done(&n->message);
	bh_blob_done(&n->payload);
	bh_blob_done(&n->signature);
	bh_blob_done(&n->stamp);
	free(n->algorithm);
	free(n->content_type);
	free(n->scheme);
	X509_free(n->leaf);
	bh_certs_free(n->hints);
	*n = (struct bh_notation){0};
}

int bh_notation_take_cert(struct bh_notation *n, X509 *take_cert, struct bh_flaw *flaw)
{
	if (!n->leaf) {
		n->leaf = take_cert;
		return 0;
	}
	if (!n->hints || !sk_X509_push(n->hints, take_cert)) {
		X509_free(take_cert);
		return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	}
	return 0;
}

/* ---- the signature ---- */

/* The algorithm that goes with the key; the envelope must name exactly this one. */
static const char *algorithm_of(const struct bh_key *key, unsigned int *ret_bits)
{
	int bits = EVP_PKEY_get_bits(key->pkey);

	*ret_bits = 256;
	if (key->kind == BH_KEY_P256 || (key->kind == BH_KEY_RSA && bits == 2048))
		return key->kind == BH_KEY_RSA ? "PS256" : "ES256";
	*ret_bits = 384;
	if (key->kind == BH_KEY_P384 || (key->kind == BH_KEY_RSA && bits == 3072))
		return key->kind == BH_KEY_RSA ? "PS384" : "ES384";
	*ret_bits = 512;
	if (key->kind == BH_KEY_P521 || (key->kind == BH_KEY_RSA && bits == 4096))
		return key->kind == BH_KEY_RSA ? "PS512" : "ES512";
	return NULL;
}

static void md_ctx_freep(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
	*ctx = NULL;
}

static bool verifies_pss(const struct bh_key *key, const EVP_MD *md, const struct bh_notation *n)
{
	BH_CLEANUP(md_ctx_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx;
	bool ok = ctx && EVP_DigestVerifyInit(ctx, &pctx, md, NULL, key->pkey) == 1 &&
		  EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
		  EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1 &&
		  EVP_DigestVerify(ctx, n->signature.v, n->signature.n, n->message.v,
				   n->message.n) == 1;

	ERR_clear_error();
	return ok;
}

/* r and s side by side, each as long as the curve's order. */
static ECDSA_SIG *split_ecdsa(const struct bh_key *key, const struct bh_blob *sig)
{
	size_t half = ((size_t)EVP_PKEY_get_bits(key->pkey) + 7) / 8;
	ECDSA_SIG *ret = sig->n == 2 * half ? ECDSA_SIG_new() : NULL;
	BIGNUM *r = ret ? BN_bin2bn(sig->v, (int)half, NULL) : NULL;
	BIGNUM *s = ret ? BN_bin2bn(sig->v + half, (int)half, NULL) : NULL;

	if (r && s && ECDSA_SIG_set0(ret, r, s) == 1)
		return ret;
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(ret);
	return NULL;
}

static bool verifies_ecdsa(const struct bh_key *key, const EVP_MD *md, const struct bh_notation *n)
{
	BH_CLEANUP(md_ctx_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	ECDSA_SIG *sig = split_ecdsa(key, &n->signature);
	unsigned char *der = NULL;
	int len = sig ? i2d_ECDSA_SIG(sig, &der) : -1;
	bool ok = ctx && len > 0 && EVP_DigestVerifyInit(ctx, NULL, md, NULL, key->pkey) == 1 &&
		  EVP_DigestVerify(ctx, der, (size_t)len, n->message.v, n->message.n) == 1;

	ECDSA_SIG_free(sig);
	OPENSSL_free(der);
	ERR_clear_error();
	return ok;
}

static int verify_signature(const struct bh_notation *n, const struct bh_key *key,
			    struct bh_flaw *flaw)
{
	unsigned int bits;
	const char *algorithm = algorithm_of(key, &bits);
	const EVP_MD *md = bits == 256 ? EVP_sha256() : bits == 384 ? EVP_sha384() : EVP_sha512();

	if (key->is_weak || !algorithm)
		return bh_flaw(flaw, BH_WORD_KEY_WEAK,
			       "the certificate's key is of no size that "
			       "notation knows");
	if (strcmp(n->algorithm, algorithm) != 0)
		return bh_flaw(flaw, BH_WORD_ALGORITHM, "the algorithm is '%s', the key's is %s",
			       n->algorithm, algorithm);
	if (key->kind == BH_KEY_RSA ? !verifies_pss(key, md, n) : !verifies_ecdsa(key, md, n))
		return bh_flaw(flaw, BH_WORD_SIGNATURE_INVALID, "the signature does not verify");
	return 0;
}

/* ---- the certificate ---- */

/* Notation allows a leaf without uses; one with uses must say codeSigning and no other. */
static int check_uses(X509 *leaf, struct bh_flaw *flaw)
{
	uint32_t flags = X509_get_extension_flags(leaf);

	if ((flags & EXFLAG_XKUSAGE) && X509_get_extended_key_usage(leaf) != XKU_CODE_SIGN)
		return bh_flaw(flaw, BH_WORD_CERT_EKU, "the certificate is not for signing code");
	if (!(flags & EXFLAG_KUSAGE) || !(X509_get_key_usage(leaf) & KU_DIGITAL_SIGNATURE))
		return bh_flaw(flaw, BH_WORD_CERT_EKU, "the certificate's key may not sign");
	if (flags & EXFLAG_CA)
		return bh_flaw(flaw, BH_WORD_CERT_CHAIN, "the certificate is an authority's");
	return 0;
}

static int check_roots(const struct bh_notation *n, const struct bh_signer_rule *signer,
		       int64_t at_s, struct bh_flaw *flaw)
{
	struct bh_path_query q = {.leaf = n->leaf, .hints = n->hints, .at_s = at_s};
	struct bh_flaw worst = {.word = BH_WORD_OK};

	bh_vec_each (ca, &signer->roots) {
		struct bh_flaw one;

		if (!bh_cert_path(ca, &q, NULL, &one))
			return check_uses(n->leaf, flaw);
		bh_flaw_keep(&worst, &one);
	}
	*flaw = worst;
	return -1;
}

/* ---- when ---- */

/* A timestamp by a trusted authority, else what the signer says: notation's scheme notary.x509
 * judges certificates at the signing time that was signed. */
static int find_time(const struct bh_notation *n, const struct bh_signer_rule *signer,
		     int64_t now_s, int64_t *ret_s, struct bh_flaw *flaw)
{
	struct bh_stamp_query q = {
		.der = &n->stamp,
		.message = &n->signature,
		.trusts = {signer->trusts, signer->n_trusts},
		.now_s = now_s,
		.is_token = true,
	};
	bool needs = signer->p->require.timestamp;

	*ret_s = n->signed_s;
	if (n->stamp.n && signer->n_trusts) {
		int r = bh_stamp_verify(&q, ret_s, flaw);

		if (!r || needs)
			return r;
	}
	if (needs)
		return bh_flaw(flaw, BH_WORD_TIMESTAMP_MISSING, "it has no timestamp");
	if (n->signed_s > now_s + BH_SKEW_S)
		return bh_flaw(flaw, BH_WORD_CERT_TIME, "it says it was signed in the future");
	return 0;
}

/* ---- what and who ---- */

static int check_payload(const struct bh_notation *n, const char *digest, struct bh_flaw *flaw)
{
	BH_CLEANUP(bh_json_decrefp) json_t *root = NULL;
	int r;

	if (!n->content_type || strcmp(n->content_type, CONTENT_TYPE) != 0)
		return bh_flaw(flaw, BH_WORD_PAYLOAD_TYPE, "the envelope is no image signature");
	r = bh_vjson_parse(n->payload.v, n->payload.n, BH_IMAGE_MAX_BLOB, &root, flaw);
	if (r)
		return r;
	if (!bh_vjson_is(bh_vjson_obj(root, "targetArtifact"), "digest", digest))
		return bh_flaw(flaw, BH_WORD_DIGEST_MISMATCH, "it is about another image");
	return 0;
}

static int check_identity(const struct bh_notation *n, const struct bh_signer_rule *signer,
			  struct bh_signed_by *ret, struct bh_flaw *flaw)
{
	X509_NAME *subject = X509_get_subject_name(n->leaf);
	char text[512] = "";

	X509_NAME_oneline(subject, text, sizeof(text));
	bh_vec_each (want, &signer->p->trusted_identities) {
		if (!bh_dn_matches(*want, subject))
			continue;
		ret->who = bh_strf("%s (notation)", text);
		if (!ret->who)
			return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
		bh_sha256(text, strlen(text), ret->identity);
		return 0;
	}
	return bh_flaw(flaw, BH_WORD_IDENTITY_MISMATCH, "it was signed by '%s'", text);
}

static int check_scheme(const struct bh_notation *n, const struct bh_signer_rule *signer,
			int64_t now_s, struct bh_flaw *flaw)
{
	if (!n->scheme || strcmp(n->scheme, "notary.x509") != 0)
		return bh_flaw(flaw, BH_WORD_UNSUPPORTED, "only the scheme notary.x509 is known");
	if (signer->p->level == BH_NOTATION_STRICT && now_s >= n->expiry_s)
		return bh_flaw(flaw, BH_WORD_SIGNATURE_EXPIRED, "the signature has expired");
	return 0;
}

int bh_notation_judge(const struct bh_notation *n, const char *digest,
		      const struct bh_signer_rule *signer, int64_t now_s, struct bh_signed_by *ret,
		      struct bh_flaw *flaw)
{
	struct bh_signed_by by = {.until_s = n->expiry_s, .vouched = {.at_s = BH_TIME_MIN}};
	struct bh_key key;
	int64_t at_s;
	int r = bh_key_of_cert(&key, n->leaf, flaw);

	if (r)
		return r;
	memcpy(by.spki, key.spki, sizeof(key.spki));
	r = verify_signature(n, &key, flaw);
	bh_key_done(&key);
	if (!r)
		r = check_scheme(n, signer, now_s, flaw);
	if (!r)
		r = find_time(n, signer, now_s, &at_s, flaw);
	if (!r)
		r = check_roots(n, signer, at_s, flaw);
	if (!r)
		r = check_payload(n, digest, flaw);
	if (!r)
		r = check_identity(n, signer, &by, flaw);
	if (!r)
		*ret = by;
	return r;
}
