/* verify_pki.h - a small sigstore for tests: certificate authority, certificate log, transparency
 * logs of both versions, timestamp authority; and bundles made with them. Every part can be bent.
 */
#pragma once

#include "verify_world.h"

#include <openssl/ct.h>
#include <openssl/ts.h>
#include <openssl/x509v3.h>

#define SIGNED_S 1795800000 /* when things were signed, some days before NOW_S */
#define SUBJECT	 "https://ci.test/acme/app@refs/heads/main"
#define ISSUER	 "https://issuer.test"
#define FULCIO	 "1.3.6.1.4.1.57264.1."

struct pki {
	EVP_PKEY *ca_key, *ct_key, *log_key, *log2_key, *tsa_key, *tsa_ca_key, *leaf_key;
	X509 *ca, *tsa_ca, *tsa;
};

/* How a leaf certificate deviates from a good one. */
struct leaf_knobs {
	const char *san;      /* in the form of OpenSSL's configuration; NULL: SUBJECT */
	const char *issuer;   /* .1.8; NULL: ISSUER; "": none */
	const char *issuer_1; /* .1.1; NULL: none */
	const char *eku;      /* NULL: codeSigning; "": none */
	const char *usage;    /* NULL: digitalSignature */
	const char *basic;    /* NULL: CA:FALSE */
	int64_t start_s;      /* 0: SIGNED_S - 60; it lives 600 s */
	EVP_PKEY *ct_key;     /* NULL: the pki's */
	bool has_no_sct;
	bool has_bad_sct;
	X509 *by; /* NULL: the pki's authority */
	EVP_PKEY *by_key;
};

static inline void add_ext(X509 *cert, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	if (!*value)
		return;
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(ext);
	X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
}

static inline void add_aki(X509 *cert, X509 *by)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&ctx, by, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid:always");
	assert_non_null(ext);
	X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
}

static inline void add_bytes_ext(X509 *cert, const char *oid, const void *bytes, size_t n)
{
	ASN1_OBJECT *obj = OBJ_txt2obj(oid, 1);
	ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
	X509_EXTENSION *ext;

	ASN1_OCTET_STRING_set(octets, bytes, (int)n);
	ext = X509_EXTENSION_create_by_OBJ(NULL, obj, 0, octets);
	X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
	ASN1_OCTET_STRING_free(octets);
	ASN1_OBJECT_free(obj);
}

/* A short DER UTF8String. */
static inline void add_utf8_ext(X509 *cert, const char *oid, const char *text)
{
	unsigned char der[130] = {0x0c, (unsigned char)strlen(text)};

	assert_true(strlen(text) < 128);
	memcpy(der + 2, text, strlen(text));
	add_bytes_ext(cert, oid, der, strlen(text) + 2);
}

static inline X509 *new_cert(const char *name, EVP_PKEY *key, int64_t start_s, int64_t end_s)
{
	static long serial = 1000;
	X509 *cert = X509_new();

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
	ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)start_s);
	ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)end_s);
	X509_set_pubkey(cert, key);
	if (*name)
		X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
					   (const unsigned char *)name, -1, -1, 0);
	return cert;
}

static inline X509 *new_root(const char *name, EVP_PKEY *key)
{
	X509 *cert = new_cert(name, key, SIGNED_S - 86400 * 30, SIGNED_S + 86400 * 3000);

	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	add_ext(cert, NID_basic_constraints, "critical,CA:TRUE");
	add_ext(cert, NID_key_usage, "critical,keyCertSign,cRLSign");
	add_ext(cert, NID_subject_key_identifier, "hash");
	add_aki(cert, cert);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	return cert;
}

/* ---- SCT ---- */

static inline void put_number(struct bh_str *b, uint64_t v, int n)
{
	while (n--) {
		unsigned char c = (unsigned char)(v >> 8 * n);

		bh_str_addn(b, &c, 1);
	}
}

static inline void spki_hash(EVP_PKEY *key, unsigned char *ret)
{
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(key, &der);

	bh_sha256(der, (size_t)n, ret);
	OPENSSL_free(der);
}

static inline void add_sct(X509 *leaf, EVP_PKEY *by_key, EVP_PKEY *ct_key, bool is_bad)
{
	unsigned char id[BH_HASH_MAX], *tbs = NULL, sig[256];
	size_t n_sig = sizeof(sig);
	int n = i2d_re_X509_tbs(leaf, &tbs);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	STACK_OF(SCT) *list = sk_SCT_new_null();
	struct bh_str b = {0};
	SCT *sct = SCT_new();

	spki_hash(by_key, id);
	put_number(&b, 0, 2);
	put_number(&b, (uint64_t)SIGNED_S * 1000, 8);
	put_number(&b, 1, 2);
	bh_str_addn(&b, id, BH_SHA256_LEN);
	put_number(&b, (uint64_t)n, 3);
	bh_str_addn(&b, tbs, (size_t)n);
	put_number(&b, is_bad ? 1 : 0, 2);
	assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, ct_key), 1);
	assert_int_equal(EVP_DigestSign(ctx, sig, &n_sig, (unsigned char *)b.s, b.n), 1);
	spki_hash(ct_key, id);
	SCT_set_version(sct, SCT_VERSION_V1);
	SCT_set1_log_id(sct, id, BH_SHA256_LEN);
	SCT_set_timestamp(sct, (uint64_t)SIGNED_S * 1000);
	SCT_set_signature_nid(sct, NID_ecdsa_with_SHA256);
	SCT_set1_signature(sct, sig, n_sig);
	sk_SCT_push(list, sct);
	assert_int_equal(X509_add1_ext_i2d(leaf, NID_ct_precert_scts, list, 0, 0), 1);
	SCT_LIST_free(list);
	EVP_MD_CTX_free(ctx);
	OPENSSL_free(tbs);
	bh_str_done(&b);
}

static inline X509 *new_leaf(const struct pki *p, const struct leaf_knobs *k)
{
	int64_t start_s = k->start_s ? k->start_s : SIGNED_S - 60;
	X509 *by = k->by ? k->by : p->ca, *leaf = new_cert("", p->leaf_key, start_s, start_s + 600);
	EVP_PKEY *by_key = k->by_key ? k->by_key : p->ca_key;

	X509_set_issuer_name(leaf, X509_get_subject_name(by));
	add_ext(leaf, NID_key_usage, k->usage ? k->usage : "critical,digitalSignature");
	add_ext(leaf, NID_ext_key_usage, k->eku ? k->eku : "codeSigning");
	add_ext(leaf, NID_basic_constraints, k->basic ? k->basic : "critical,CA:FALSE");
	add_ext(leaf, NID_subject_key_identifier, "hash");
	add_aki(leaf, by);
	add_ext(leaf, NID_subject_alt_name, k->san ? k->san : "critical,URI:" SUBJECT);
	if (k->issuer_1)
		add_bytes_ext(leaf, FULCIO "1", k->issuer_1, strlen(k->issuer_1));
	if (!k->issuer || *k->issuer)
		add_utf8_ext(leaf, FULCIO "8", k->issuer ? k->issuer : ISSUER);
	add_utf8_ext(leaf, FULCIO "11", "self-hosted");
	assert_true(X509_sign(leaf, by_key, EVP_sha256()) > 0);
	if (!k->has_no_sct)
		add_sct(leaf, by_key, k->ct_key ? k->ct_key : p->ct_key, k->has_bad_sct);
	assert_true(X509_sign(leaf, by_key, EVP_sha256()) > 0);
	return leaf;
}

static inline void pki_open(struct pki *p)
{
	*p = (struct pki){
		.ca_key = new_key(),
		.ct_key = new_key(),
		.log_key = new_key(),
		.tsa_key = new_key(),
		.tsa_ca_key = new_key(),
		.leaf_key = new_key(),
		.log2_key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"),
	};
	p->ca = new_root("ca", p->ca_key);
	p->tsa_ca = new_root("tsa ca", p->tsa_ca_key);
	p->tsa = new_cert("tsa", p->tsa_key, SIGNED_S - 86400, SIGNED_S + 86400);
	X509_set_issuer_name(p->tsa, X509_get_subject_name(p->tsa_ca));
	add_ext(p->tsa, NID_basic_constraints, "critical,CA:FALSE");
	add_ext(p->tsa, NID_key_usage, "critical,digitalSignature");
	add_ext(p->tsa, NID_ext_key_usage, "critical,timeStamping");
	add_aki(p->tsa, p->tsa_ca);
	assert_true(X509_sign(p->tsa, p->tsa_ca_key, EVP_sha256()) > 0);
}

static inline void pki_close(struct pki *p)
{
	EVP_PKEY *keys[] = {p->ca_key,	p->ct_key,     p->log_key, p->log2_key,
			    p->tsa_key, p->tsa_ca_key, p->leaf_key};

	for (size_t i = 0; i < BH_ARRAY_SIZE(keys); i++)
		EVP_PKEY_free(keys[i]);
	X509_free(p->ca);
	X509_free(p->tsa_ca);
	X509_free(p->tsa);
}

/* ---- the trust root ---- */

static inline json_t *b64_json(const void *bytes, size_t n)
{
	char *text = bh_b64_encode(bytes, n);
	json_t *j = json_string(text);

	free(text);
	return j;
}

static inline json_t *cert_json(X509 *cert)
{
	unsigned char *der = NULL;
	int n = i2d_X509(cert, &der);
	json_t *j = json_pack("{s:o}", "rawBytes", b64_json(der, (size_t)n));

	OPENSSL_free(der);
	return j;
}

/* Log ids: the hash of the key, for version 2 of name, newline, 1 and the bare key. */
static inline void log_id(EVP_PKEY *key, const char *name, bool is_v2, unsigned char *ret)
{
	unsigned char bytes[128];
	size_t n = strlen(name), n_raw = 32;

	if (!is_v2) {
		spki_hash(key, ret);
		return;
	}
	memcpy(bytes, name, n);
	bytes[n++] = '\n';
	bytes[n++] = 1;
	assert_int_equal(EVP_PKEY_get_raw_public_key(key, bytes + n, &n_raw), 1);
	bh_sha256(bytes, n + n_raw, ret);
}

static inline json_t *valid_from(int64_t start_s)
{
	char text[32];
	time_t at = (time_t)start_s;
	struct tm tm;

	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&at, &tm));
	return json_pack("{s:s}", "start", text);
}

static inline json_t *log_json(EVP_PKEY *key, const char *name, bool is_v2)
{
	unsigned char *der = NULL, id[BH_HASH_MAX];
	int n = i2d_PUBKEY(key, &der);
	char *url = bh_strf("https://%s", name);
	json_t *j;

	log_id(key, name, is_v2, id);
	j = json_pack("{s:s,s:{s:o,s:o},s:{s:o}}", "baseUrl", url, "publicKey", "rawBytes",
		      b64_json(der, (size_t)n), "validFor", valid_from(SIGNED_S - 1000), "logId",
		      "keyId", b64_json(id, BH_SHA256_LEN));
	OPENSSL_free(der);
	free(url);
	return j;
}

static inline char *trusted_root(const struct pki *p)
{
	json_t *root = json_pack(
		"{s:s,s:[o,o],s:[o],s:[{s:o,s:{s:[o]}}],s:[{s:o,s:{s:[o,o]}}]}", "mediaType",
		"application/vnd.dev.sigstore.trustedroot+json;version=0.1", "tlogs",
		log_json(p->log_key, "log.test", false), log_json(p->log2_key, "log2.test", true),
		"ctlogs", log_json(p->ct_key, "ct.test", false), "certificateAuthorities",
		"validFor", valid_from(SIGNED_S - 1000), "certChain", "certificates",
		cert_json(p->ca), "timestampAuthorities", "validFor", valid_from(SIGNED_S - 1000),
		"certChain", "certificates", cert_json(p->tsa), cert_json(p->tsa_ca));
	char *text = json_dumps(root, 0);

	json_decref(root);
	return text;
}

/* ---- timestamps ---- */

static inline ASN1_INTEGER *stamp_serial(TS_RESP_CTX *ctx, void *data)
{
	ASN1_INTEGER *n = ASN1_INTEGER_new();

	(void)ctx;
	(void)data;
	ASN1_INTEGER_set(n, 7);
	return n;
}

static inline int stamp_time(TS_RESP_CTX *ctx, void *data, long *sec, long *usec)
{
	(void)ctx;
	*sec = (long)*(int64_t *)data;
	*usec = 0;
	return 1;
}

static inline BIO *stamp_request(const void *bytes, size_t n)
{
	unsigned char hash[BH_HASH_MAX];
	TS_REQ *req = TS_REQ_new();
	TS_MSG_IMPRINT *imprint = TS_MSG_IMPRINT_new();
	X509_ALGOR *algo = X509_ALGOR_new();
	BIO *bio = BIO_new(BIO_s_mem());

	bh_sha256(bytes, n, hash);
	X509_ALGOR_set0(algo, OBJ_nid2obj(NID_sha256), V_ASN1_NULL, NULL);
	TS_MSG_IMPRINT_set_algo(imprint, algo);
	TS_MSG_IMPRINT_set_msg(imprint, hash, BH_SHA256_LEN);
	TS_REQ_set_version(req, 1);
	TS_REQ_set_msg_imprint(req, imprint);
	assert_int_equal(i2d_TS_REQ_bio(bio, req), 1);
	TS_MSG_IMPRINT_free(imprint);
	X509_ALGOR_free(algo);
	TS_REQ_free(req);
	return bio;
}

/* TimeStampResp over the bytes, said to be made at at_s. */
static inline json_t *stamp(const struct pki *p, const void *bytes, size_t n, int64_t at_s)
{
	TS_RESP_CTX *ctx = TS_RESP_CTX_new();
	ASN1_OBJECT *policy = OBJ_txt2obj("1.2.3.4.1", 1);
	BIO *req = stamp_request(bytes, n);
	unsigned char *der = NULL;
	TS_RESP *resp;
	json_t *j;
	int len;

	TS_RESP_CTX_set_serial_cb(ctx, stamp_serial, NULL);
	TS_RESP_CTX_set_time_cb(ctx, stamp_time, &at_s);
	assert_int_equal(TS_RESP_CTX_set_signer_cert(ctx, p->tsa), 1);
	assert_int_equal(TS_RESP_CTX_set_signer_key(ctx, p->tsa_key), 1);
	assert_int_equal(TS_RESP_CTX_set_signer_digest(ctx, EVP_sha256()), 1);
	assert_int_equal(TS_RESP_CTX_set_def_policy(ctx, policy), 1);
	assert_int_equal(TS_RESP_CTX_add_md(ctx, EVP_sha256()), 1);
	resp = TS_RESP_create_response(ctx, req);
	len = i2d_TS_RESP(resp, &der);
	j = b64_json(der, (size_t)len);
	OPENSSL_free(der);
	TS_RESP_free(resp);
	TS_RESP_CTX_free(ctx);
	ASN1_OBJECT_free(policy);
	BIO_free(req);
	return j;
}
