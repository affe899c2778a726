/* signed.c - DSSE 1.0 envelopes with one Ed25519 signature. */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "detect/baseline.h"

#define TYPE	 "application/vnd.bulkhead.baseline+json"
#define MAX_FILE (32u << 20)
#define SIG_LEN	 64

static void key_freep(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

static void ctx_freep(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
}

/* needs_private: to sign with. */
static int read_key(const char *pem, bool needs_private, EVP_PKEY **ret, struct bh_err *err)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"") : NULL;

	if (bio && !key && !needs_private) {
		BIO_free(bio);
		bio = BIO_new_mem_buf(pem, -1);
		key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
	}
	BIO_free(bio);
	if (!key)
		return bh_fail(err, EINVAL, "this is no %s key in PEM without a password",
			       needs_private ? "private" : "public");
	if (EVP_PKEY_get_id(key) != EVP_PKEY_ED25519) {
		EVP_PKEY_free(key);
		return bh_fail(err, EINVAL, "the key is not an Ed25519 key");
	}
	*ret = key;
	return 0;
}

/* SHA-256 of the public key's DER, in hexadecimal. */
static int key_id(EVP_PKEY *key, char out[2 * SHA256_DIGEST_LENGTH + 1])
{
	unsigned char digest[SHA256_DIGEST_LENGTH], *der = NULL;
	int n = i2d_PUBKEY(key, &der);

	if (n <= 0)
		return -ENOMEM;
	SHA256(der, (size_t)n, digest);
	OPENSSL_free(der);
	bh_hex(digest, sizeof(digest), out);
	return 0;
}

/* What is signed: type and payload with their lengths, so that neither can be taken for the other.
 */
static void authenticated(const char *payload, size_t n, struct bh_str *out)
{
	bh_str_fmt(out, "DSSEv1 %zu " TYPE " %zu ", strlen(TYPE), n);
	bh_str_addn(out, payload, n);
}

static char *base64(const void *bytes, size_t n)
{
	char *text = malloc(4 * ((n + 2) / 3) + 1);

	if (text)
		EVP_EncodeBlock((unsigned char *)text, bytes, (int)n);
	return text;
}

/* Only canonical text: it must come back the same. NULL otherwise; a NUL follows the bytes. */
static char *unbase64(const char *text, size_t *ret_n)
{
	size_t len = strlen(text), pad = len && text[len - 1] == '=';
	BH_CLEANUP(bh_freep) char *out = malloc(len / 4 * 3 + 1), *again = NULL;
	int n;

	pad += len > 1 && text[len - 2] == '=';
	if (!out || len % 4 || len > MAX_FILE)
		return NULL;
	n = EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)text, (int)len);
	if (n < 0 || (size_t)n < pad)
		return NULL;
	*ret_n = (size_t)n - pad;
	out[*ret_n] = '\0';
	again = base64(out, *ret_n);
	if (!again || strcmp(again, text))
		return NULL;
	return BH_TAKE(out);
}

int bh_signed_write(const char *payload, const char *key_pem, struct bh_str *out,
		    struct bh_err *err)
{
	BH_CLEANUP(key_freep) EVP_PKEY *key = NULL;
	BH_CLEANUP(ctx_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	BH_CLEANUP(bh_str_done) struct bh_str pae = {0};
	BH_CLEANUP(bh_freep) char *body = base64(payload, strlen(payload)), *sig64 = NULL;
	char id[2 * SHA256_DIGEST_LENGTH + 1];
	unsigned char sig[SIG_LEN];
	size_t n = sizeof(sig);
	int r = read_key(key_pem, true, &key, err);

	if (r)
		return r;
	authenticated(payload, strlen(payload), &pae);
	if (!ctx || !body || pae.failed || key_id(key, id))
		return bh_fail(err, ENOMEM, "signing");
	if (EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) != 1 ||
	    EVP_DigestSign(ctx, sig, &n, (const unsigned char *)pae.s, pae.n) != 1)
		return bh_fail(err, EIO, "signing failed");
	sig64 = base64(sig, n);
	if (!sig64)
		return bh_fail(err, ENOMEM, "signing");
	bh_str_fmt(out,
		   "{\"payloadType\": \"" TYPE
		   "\",\n \"signatures\": [{\"keyid\": \"%s\", \"sig\": "
		   "\"%s\"}],\n \"payload\": \"%s\"}\n",
		   id, sig64, body);
	return out->failed ? bh_fail(err, ENOMEM, "signing") : 0;
}

/* true when one of the signatures is the key's. */
static bool verifies(const json_t *signatures, EVP_PKEY *key, const struct bh_str *pae)
{
	size_t i;

	for (i = 0; i < json_array_size(signatures) && i < 16; i++) {
		const json_t *one = json_array_get(signatures, i);
		const char *text = json_string_value(json_object_get(one, "sig"));
		BH_CLEANUP(ctx_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
		size_t n = 0;
		BH_CLEANUP(bh_freep) char *sig = text ? unbase64(text, &n) : NULL;

		if (ctx && sig && n == SIG_LEN &&
		    EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
		    EVP_DigestVerify(ctx, (unsigned char *)sig, n, (const unsigned char *)pae->s,
				     pae->n) == 1)
			return true;
	}
	return false;
}

int bh_signed_read(const char *text, size_t len, const char *key_pem, char **ret_payload,
		   struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *root = NULL;
	BH_CLEANUP(key_freep) EVP_PKEY *key = NULL;
	BH_CLEANUP(bh_str_done) struct bh_str pae = {0};
	BH_CLEANUP(bh_freep) char *payload = NULL;
	const char *type = NULL, *body = NULL;
	json_t *signatures = NULL;
	size_t n = 0;
	int r = read_key(key_pem, false, &key, err);

	if (!r)
		r = bh_json_parse(text, len, MAX_FILE, &root, err);
	if (!r)
		r = bh_json_get_str(root, "payloadType", true, &type, err);
	if (!r && strcmp(type, TYPE))
		r = bh_fail(err, EINVAL, "the file holds '%s', not a baseline", type);
	if (!r)
		r = bh_json_get_str(root, "payload", true, &body, err);
	if (!r)
		r = bh_json_get_arr(root, "signatures", true, &signatures, err);
	if (r)
		return r;
	payload = unbase64(body, &n);
	if (!payload || strlen(payload) != n)
		return bh_fail(err, EINVAL, "'payload' is not base64 of text");
	authenticated(payload, n, &pae);
	if (pae.failed)
		return bh_fail(err, ENOMEM, "verifying");
	if (!verifies(signatures, key, &pae))
		return bh_fail(err, EKEYREJECTED, "the file is not signed by this key");
	*ret_payload = BH_TAKE(payload);
	return 0;
}
