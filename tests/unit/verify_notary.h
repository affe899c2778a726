/* verify_notary.h - envelopes of the Notary Project, signed with the test's own key: JWS and COSE.
 */
#pragma once

#include "verify_pki.h"

#define N_TYPE "application/vnd.cncf.notary.payload.v1+json"
#define N_KEY  "io.cncf.notary."

/* How an envelope deviates from a good one. */
struct notary_knobs {
	const char *alg;	    /* NULL: ES256 */
	const char *cty;	    /* NULL: N_TYPE */
	const char *scheme;	    /* NULL: notary.x509 */
	const char *crit;	    /* one more critical header; NULL: none */
	const char *digest;	    /* NULL: the image's */
	int64_t signed_s, expiry_s; /* 0: SIGNED_S, none */
	bool has_no_crit;
};

/* A self-signed certificate as `notation cert generate-test` makes them. */
static inline X509 *new_notary_cert(EVP_PKEY *key)
{
	X509 *cert = new_cert("acme.test", key, SIGNED_S - 60, SIGNED_S + 86400);
	X509_NAME *name = X509_get_subject_name(cert);

	X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"Acme", -1, -1,
				   0);
	X509_set_issuer_name(cert, name);
	add_ext(cert, NID_key_usage, "critical,digitalSignature");
	add_ext(cert, NID_ext_key_usage, "codeSigning");
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	return cert;
}

static inline char *b64url(const void *bytes, size_t n)
{
	char *text = bh_b64_encode(bytes, n);

	text[strcspn(text, "=")] = '\0';
	for (char *c = text; *c; c++)
		*c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c);
	return text;
}

/* r and s side by side. */
static inline void sign_raw(EVP_PKEY *key, const void *bytes, size_t n, unsigned char *ret)
{
	char *b64 = sign_b64(key, bytes, n);
	struct bh_blob der;
	const unsigned char *at;
	ECDSA_SIG *sig;

	assert_int_equal(bh_b64_decode(b64, strlen(b64), &der), 0);
	at = der.v;
	sig = d2i_ECDSA_SIG(NULL, &at, (long)der.n);
	BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret, 32);
	BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret + 32, 32);
	ECDSA_SIG_free(sig);
	bh_blob_done(&der);
	free(b64);
}

static inline char *notary_payload(const struct world *w, const struct notary_knobs *k)
{
	return bh_strf("{\"targetArtifact\":{\"mediaType\":\"m\",\"digest\":\"%s\",\"size\":31}}",
		       k->digest ? k->digest : w->digest);
}

static inline void set_time(json_t *head, const char *key, int64_t at_s)
{
	json_t *from = valid_from(at_s);

	json_object_set(head, key, json_object_get(from, "start"));
	json_decref(from);
}

static inline char *jws_head(const struct notary_knobs *k)
{
	json_t *crit = json_array(), *head;
	char *text, *ret;

	if (!k->has_no_crit)
		json_array_append_new(crit, json_string(N_KEY "signingScheme"));
	if (k->crit)
		json_array_append_new(crit, json_string(k->crit));
	head = json_pack("{s:s,s:s,s:o,s:s}", "alg", k->alg ? k->alg : "ES256", "cty",
			 k->cty ? k->cty : N_TYPE, "crit", crit, N_KEY "signingScheme",
			 k->scheme ? k->scheme : "notary.x509");
	set_time(head, N_KEY "signingTime", k->signed_s ? k->signed_s : SIGNED_S);
	if (k->expiry_s)
		set_time(head, N_KEY "expiry", k->expiry_s);
	text = json_dumps(head, 0);
	ret = b64url(text, strlen(text));
	free(text);
	json_decref(head);
	return ret;
}

static inline char *new_jws(const struct world *w, const struct pki *p, X509 *cert,
			    const struct notary_knobs *k)
{
	char *payload = notary_payload(w, k), *body = b64url(payload, strlen(payload));
	char *head = jws_head(k), *message = bh_strf("%s.%s", head, body), *sig_text, *ret;
	unsigned char sig[64], *der = NULL;
	json_t *root;
	int n = i2d_X509(cert, &der);

	sign_raw(p->leaf_key, message, strlen(message), sig);
	sig_text = b64url(sig, sizeof(sig));
	root = json_pack("{s:s,s:s,s:s,s:{s:[o]}}", "payload", body, "protected", head, "signature",
			 sig_text, "header", "x5c", b64_json(der, (size_t)n));
	ret = json_dumps(root, 0);
	json_decref(root);
	OPENSSL_free(der);
	free(sig_text);
	free(message);
	free(head);
	free(body);
	free(payload);
	return ret;
}

/* ---- CBOR by hand ---- */

static inline void cbor_head(struct bh_str *b, unsigned int major, uint64_t n)
{
	int width = n < 24 ? 0 : n < 256 ? 1 : n < 65536 ? 2 : 4;
	unsigned int info = !width ? (unsigned int)n : width == 1 ? 24 : width == 2 ? 25 : 26;

	put_number(b, major << 5 | info, 1);
	put_number(b, n, width);
}

static inline void cbor_text(struct bh_str *b, const char *text)
{
	cbor_head(b, 3, strlen(text));
	bh_str_add(b, text);
}

static inline void cbor_bytes(struct bh_str *b, const void *bytes, size_t n)
{
	cbor_head(b, 2, n);
	bh_str_addn(b, bytes, n);
}

static inline void cose_head(struct bh_str *b, const struct notary_knobs *k)
{
	cbor_head(b, 5, k->expiry_s ? 6 : 5);
	cbor_head(b, 0, 1);
	cbor_head(b, 1, k->alg ? 36 : 6); /* PS256 or ES256 */
	cbor_head(b, 0, 2);
	cbor_head(b, 4, (k->has_no_crit ? 0u : 1u) + (k->crit ? 1u : 0u));
	if (!k->has_no_crit)
		cbor_text(b, N_KEY "signingScheme");
	if (k->crit)
		cbor_text(b, k->crit);
	cbor_head(b, 0, 3);
	cbor_text(b, k->cty ? k->cty : N_TYPE);
	cbor_text(b, N_KEY "signingScheme");
	cbor_text(b, k->scheme ? k->scheme : "notary.x509");
	cbor_text(b, N_KEY "signingTime");
	cbor_head(b, 6, 1);
	cbor_head(b, 0, (uint64_t)(k->signed_s ? k->signed_s : SIGNED_S));
	if (!k->expiry_s)
		return;
	cbor_text(b, N_KEY "expiry");
	cbor_head(b, 6, 1);
	cbor_head(b, 0, (uint64_t)k->expiry_s);
}

/* The bytes in ret; the caller ends it. */
static inline void new_cose(const struct world *w, const struct pki *p, X509 *cert,
			    const struct notary_knobs *k, struct bh_str *ret)
{
	struct bh_str head = {0}, message = {0};
	char *payload = notary_payload(w, k);
	unsigned char sig[64], *der = NULL;
	int n = i2d_X509(cert, &der);

	cose_head(&head, k);
	cbor_head(&message, 4, 4);
	cbor_text(&message, "Signature1");
	cbor_bytes(&message, head.s, head.n);
	cbor_bytes(&message, "", 0);
	cbor_bytes(&message, payload, strlen(payload));
	sign_raw(p->leaf_key, message.s, message.n, sig);
	bh_str_add(ret, "\xd2\x84");
	cbor_bytes(ret, head.s, head.n);
	cbor_head(ret, 5, 1);
	cbor_head(ret, 0, 33); /* x5chain */
	cbor_head(ret, 4, 1);
	cbor_bytes(ret, der, (size_t)n);
	cbor_bytes(ret, payload, strlen(payload));
	cbor_bytes(ret, sig, sizeof(sig));
	OPENSSL_free(der);
	free(payload);
	bh_str_done(&head);
	bh_str_done(&message);
}
