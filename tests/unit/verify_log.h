/* verify_log.h - entries of transparency logs for the small sigstore of verify_pki.h: a log with
 * one leaf, so that the leaf's hash is the root. */
#pragma once

#include "verify_pki.h"

/* What an entry is about. */
struct logged {
	const void *message, *payload; /* PAE and statement */
	size_t n_message, n_payload;
	const char *sig_b64;
	X509 *leaf;    /* or */
	EVP_PKEY *key; /* the verifier */
};

static inline char *verifier_pem_b64(const struct logged *l)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text, *ret;
	long n;

	assert_int_equal(
		l->leaf ? PEM_write_bio_X509(bio, l->leaf) : PEM_write_bio_PUBKEY(bio, l->key), 1);
	n = BIO_get_mem_data(bio, &text);
	ret = bh_b64_encode(text, (size_t)n);
	BIO_free(bio);
	return ret;
}

static inline json_t *hex_hash(const void *bytes, size_t n)
{
	unsigned char hash[BH_HASH_MAX];
	char hex[2 * BH_SHA256_LEN + 1];

	bh_sha256(bytes, n, hash);
	bh_hex(hash, BH_SHA256_LEN, hex);
	return json_pack("{s:s,s:s}", "algorithm", "sha256", "value", hex);
}

static inline json_t *b64_hash(const void *bytes, size_t n)
{
	unsigned char hash[BH_HASH_MAX];

	bh_sha256(bytes, n, hash);
	return json_pack("{s:s,s:o}", "algorithm", "SHA2_256", "digest",
			 b64_json(hash, BH_SHA256_LEN));
}

static inline json_t *verifier_json(const struct logged *l)
{
	unsigned char *der = NULL;
	json_t *j;
	int n;

	if (l->leaf)
		return json_pack("{s:o}", "x509Certificate", cert_json(l->leaf));
	n = i2d_PUBKEY(l->key, &der);
	j = json_pack("{s:{s:o}}", "publicKey", "rawBytes", b64_json(der, (size_t)n));
	OPENSSL_free(der);
	return j;
}

static inline json_t *spec_json(const char *kind, bool is_v2, const struct logged *l)
{
	char *pem = verifier_pem_b64(l), *twice = bh_b64_encode(l->sig_b64, strlen(l->sig_b64));
	json_t *spec = NULL;

	if (!strcmp(kind, "hashedrekord") && !is_v2)
		spec = json_pack("{s:{s:o},s:{s:s,s:{s:s}}}", "data", "hash",
				 hex_hash(l->message, l->n_message), "signature", "content",
				 l->sig_b64, "publicKey", "content", pem);
	else if (!strcmp(kind, "hashedrekord"))
		spec = json_pack("{s:{s:o,s:{s:s,s:o}}}", "hashedRekordV002", "data",
				 b64_hash(l->message, l->n_message), "signature", "content",
				 l->sig_b64, "verifier", verifier_json(l));
	else if (!strcmp(kind, "dsse") && !is_v2)
		spec = json_pack("{s:o,s:[{s:s,s:s}]}", "payloadHash",
				 hex_hash(l->payload, l->n_payload), "signatures", "signature",
				 l->sig_b64, "verifier", pem);
	else if (!strcmp(kind, "dsse"))
		spec = json_pack("{s:{s:o,s:[{s:s,s:o}]}}", "dsseV002", "payloadHash",
				 b64_hash(l->payload, l->n_payload), "signatures", "content",
				 l->sig_b64, "verifier", verifier_json(l));
	else
		spec = json_pack("{s:{s:{s:s,s:[{s:s,s:s}]},s:o}}", "content", "envelope",
				 "payloadType", "application/vnd.in-toto+json", "signatures",
				 "publicKey", pem, "sig", twice, "payloadHash",
				 hex_hash(l->payload, l->n_payload));
	free(pem);
	free(twice);
	assert_non_null(spec);
	return spec;
}

static inline char *log_sign(EVP_PKEY *key, const char *text, size_t n, const unsigned char *id)
{
	unsigned char sig[4 + 256];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t len = 256, skip = id ? 4 : 0;
	const EVP_MD *md = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();

	if (id)
		memcpy(sig, id, 4);
	assert_int_equal(EVP_DigestSignInit(ctx, NULL, md, NULL, key), 1);
	assert_int_equal(EVP_DigestSign(ctx, sig + skip, &len, (const unsigned char *)text, n), 1);
	EVP_MD_CTX_free(ctx);
	return bh_b64_encode(sig, len + skip);
}

static inline json_t *proof_json(EVP_PKEY *key, const char *name, const unsigned char *id,
				 const char *body)
{
	unsigned char root[BH_HASH_MAX];
	char *leaf = malloc(strlen(body) + 1), *b64, *text, *sig, *note;
	json_t *j;

	leaf[0] = 0;
	memcpy(leaf + 1, body, strlen(body));
	bh_sha256(leaf, strlen(body) + 1, root);
	b64 = bh_b64_encode(root, BH_SHA256_LEN);
	text = bh_strf("%s\n1\n%s\n", name, b64);
	sig = log_sign(key, text, strlen(text), id);
	note = bh_strf("%s\n\xe2\x80\x94 %s %s\n", text, name, sig);
	j = json_pack("{s:s,s:s,s:[],s:{s:s}}", "treeSize", "1", "rootHash", b64, "hashes",
		      "checkpoint", "envelope", note);
	free(leaf);
	free(b64);
	free(text);
	free(sig);
	free(note);
	return j;
}

static inline json_t *promise_json(EVP_PKEY *key, const unsigned char *id, const char *body_b64,
				   int64_t at_s)
{
	char hex[2 * BH_SHA256_LEN + 1], *text, *sig;
	json_t *j;

	bh_hex(id, BH_SHA256_LEN, hex);
	text = bh_strf("{\"body\":\"%s\",\"integratedTime\":%lld,\"logID\":\"%s\",\"logIndex\":9}",
		       body_b64, (long long)at_s, hex);
	sig = log_sign(key, text, strlen(text), NULL);
	j = json_pack("{s:s}", "signedEntryTimestamp", sig);
	free(text);
	free(sig);
	return j;
}

/* A whole entry of kind "hashedrekord", "dsse" or "intoto"; version 1 has a promise at at_s. */
static inline json_t *entry_json(const struct pki *p, const char *kind, bool is_v2,
				 const struct logged *l, int64_t at_s)
{
	EVP_PKEY *key = is_v2 ? p->log2_key : p->log_key;
	const char *name = is_v2 ? "log2.test" : "log.test";
	const char *version = is_v2 || !strcmp(kind, "intoto") ? "0.0.2" : "0.0.1";
	json_t *body = json_pack("{s:s,s:s,s:o}", "apiVersion", version, "kind", kind, "spec",
				 spec_json(kind, is_v2, l)),
	       *entry;
	char *text = json_dumps(body, JSON_COMPACT), *b64 = bh_b64_encode(text, strlen(text));
	char *time_text = bh_strf("%lld", (long long)at_s);
	unsigned char id[BH_HASH_MAX];

	log_id(key, name, is_v2, id);
	entry = json_pack("{s:s,s:{s:o},s:{s:s,s:s},s:s,s:o}", "logIndex", "9", "logId", "keyId",
			  b64_json(id, BH_SHA256_LEN), "kindVersion", "kind", kind, "version",
			  version, "canonicalizedBody", b64, "inclusionProof",
			  proof_json(key, name, id, text));
	if (!is_v2) {
		json_object_set_new(entry, "integratedTime", json_string(time_text));
		json_object_set_new(entry, "inclusionPromise", promise_json(key, id, b64, at_s));
	}
	free(time_text);
	free(text);
	free(b64);
	json_decref(body);
	return entry;
}
