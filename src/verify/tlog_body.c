#include <string.h>

#include "verify/pem.h"
#include "verify/tlog.h"
#include "verify/vjson.h"

#define MAX_BODY (4u << 20)

static int other(struct bh_flaw *flaw, const char *what)
{
	return bh_flaw(flaw, BH_WORD_TLOG_BODY, "the log entry is about another %s", what);
}

static bool is_cert(const struct bh_tlog_query *q, X509 *cert)
{
	struct bh_flaw flaw;
	struct bh_key key;
	bool is_same;

	if (q->leaf)
		return !X509_cmp(q->leaf, cert);
	if (bh_key_of_cert(&key, cert, &flaw))
		return false;
	is_same = !memcmp(key.spki, q->key->spki, sizeof(key.spki));
	bh_key_done(&key);
	return is_same;
}

/* What verified the signature, as PEM: the certificate, or the key when a key was asked for. */
static bool is_verifier_pem(const struct bh_tlog_query *q, const struct bh_blob *pem)
{
	BH_CLEANUP(bh_certs_freep) STACK_OF(X509) *certs = NULL;
	EVP_PKEY *pkey = q->leaf ? NULL : bh_pem_public_key(pem->v, pem->n);
	struct bh_flaw flaw;
	struct bh_key key;
	bool is_same;

	if (!pkey)
		return !bh_pem_certs(pem->v, pem->n, 1, &certs, &flaw) &&
		       is_cert(q, sk_X509_value(certs, 0));
	if (bh_key_init(&key, pkey, &flaw))
		return false;
	is_same = !memcmp(key.spki, q->key->spki, sizeof(key.spki));
	bh_key_done(&key);
	return is_same;
}

static bool pem_member(const struct bh_tlog_query *q, const json_t *obj, const char *key)
{
	struct bh_blob pem = {0};
	struct bh_flaw flaw;
	bool ok = !bh_vjson_b64(obj, key, MAX_BODY, &pem, &flaw) && is_verifier_pem(q, &pem);

	bh_blob_done(&pem);
	return ok;
}

/* Of the message or of the payload of a DSSE envelope. */
static size_t hash_of(const struct bh_evidence *ev, bool is_payload, unsigned int bits,
		      unsigned char *out)
{
	return is_payload ? bh_sha2(bits, ev->payload.v, ev->payload.n, out)
			  : bh_evidence_hash(ev, bits, out);
}

/* {"algorithm": "sha256", "value": hex} */
static bool is_hex_hash(const json_t *obj, const struct bh_evidence *ev, bool is_payload)
{
	const char *name = bh_vjson_str(obj, "algorithm"), *hex = bh_vjson_str(obj, "value");
	unsigned char want[BH_HASH_MAX], got[BH_HASH_MAX];
	unsigned int bits;
	size_t n;

	if (!name || !hex || strncmp(name, "sha", 3))
		return false;
	bits = !strcmp(name, "sha256") ? 256 : !strcmp(name, "sha384") ? 384 : 512;
	if (bits == 512 && strcmp(name, "sha512"))
		return false;
	n = hash_of(ev, is_payload, bits, got);
	return n && !bh_hex_decode(hex, n, want) && !memcmp(want, got, n);
}

/* {"algorithm": "SHA2_256", "digest": base64} */
static bool is_b64_hash(const json_t *obj, const struct bh_evidence *ev, bool is_payload)
{
	const char *name = bh_vjson_str(obj, "algorithm");
	unsigned char got[BH_HASH_MAX];
	struct bh_blob want = {0};
	struct bh_flaw flaw;
	unsigned int bits;
	size_t n;
	bool ok;

	if (!name)
		return false;
	bits = !strcmp(name, "SHA2_256") ? 256 : !strcmp(name, "SHA2_384") ? 384 : 512;
	if (bits == 512 && strcmp(name, "SHA2_512"))
		return false;
	n = hash_of(ev, is_payload, bits, got);
	ok = n && !bh_vjson_b64(obj, "digest", BH_HASH_MAX, &want, &flaw) &&
	     bh_blob_is(&want, got, n);
	bh_blob_done(&want);
	return ok;
}

static bool b64_is(const json_t *obj, const char *key, const struct bh_blob *want)
{
	struct bh_blob got = {0};
	struct bh_flaw flaw;
	bool ok = !bh_vjson_b64(obj, key, MAX_BODY, &got, &flaw) &&
		  bh_blob_is(&got, want->v, want->n);

	bh_blob_done(&got);
	return ok;
}

static int bind_hashedrekord1(const struct bh_tlog_query *q, const json_t *spec,
			      struct bh_flaw *flaw)
{
	const json_t *data = bh_vjson_obj(spec, "data"), *sig = bh_vjson_obj(spec, "signature");

	if (!is_hex_hash(bh_vjson_obj(data, "hash"), q->ev, false))
		return other(flaw, "message");
	if (!b64_is(sig, "content", &q->ev->signature))
		return other(flaw, "signature");
	if (!pem_member(q, bh_vjson_obj(sig, "publicKey"), "content"))
		return other(flaw, "key");
	return 0;
}

static int bind_dsse1(const struct bh_tlog_query *q, const json_t *spec, struct bh_flaw *flaw)
{
	const json_t *sigs = bh_vjson_arr(spec, "signatures");
	const json_t *sig = json_array_get(sigs, 0);

	if (q->ev->content != BH_CONTENT_DSSE ||
	    !is_hex_hash(bh_vjson_obj(spec, "payloadHash"), q->ev, true))
		return other(flaw, "message");
	if (json_array_size(sigs) != 1 || !b64_is(sig, "signature", &q->ev->signature))
		return other(flaw, "signature");
	if (!pem_member(q, sig, "verifier"))
		return other(flaw, "key");
	return 0;
}

/* The signature of an intoto entry is base64 of base64. */
static bool b64_twice_is(const json_t *obj, const char *key, const struct bh_blob *want)
{
	BH_CLEANUP(bh_freep) char *text = bh_b64_encode(want->v, want->n);
	struct bh_blob once = {(unsigned char *)text, text ? strlen(text) : 0};

	return text && b64_is(obj, key, &once);
}

static int bind_intoto2(const struct bh_tlog_query *q, const json_t *spec, struct bh_flaw *flaw)
{
	const json_t *content = bh_vjson_obj(spec, "content");
	const json_t *envelope = bh_vjson_obj(content, "envelope");
	const json_t *sigs = bh_vjson_arr(envelope, "signatures");
	const json_t *sig = json_array_get(sigs, 0);

	if (q->ev->content != BH_CONTENT_DSSE ||
	    !is_hex_hash(bh_vjson_obj(content, "payloadHash"), q->ev, true) ||
	    !bh_vjson_is(envelope, "payloadType", "application/vnd.in-toto+json"))
		return other(flaw, "message");
	if (json_array_size(sigs) != 1 || !b64_twice_is(sig, "sig", &q->ev->signature))
		return other(flaw, "signature");
	if (!pem_member(q, sig, "publicKey"))
		return other(flaw, "key");
	return 0;
}

/* {"x509Certificate": {"rawBytes"}} or {"publicKey": {"rawBytes"}}, DER in base64 */
static bool is_verifier_der(const struct bh_tlog_query *q, const json_t *verifier)
{
	const json_t *cert = bh_vjson_obj(verifier, "x509Certificate");
	const json_t *key = bh_vjson_obj(verifier, "publicKey");
	struct bh_blob der = {0};
	struct bh_flaw flaw;
	X509 *x509;
	bool ok;

	if (!cert == !key || (key && q->leaf) ||
	    bh_vjson_b64(cert ? cert : key, "rawBytes", MAX_BODY, &der, &flaw))
		return false;
	if (key) {
		ok = bh_blob_is(&der, q->key->der, q->key->n_der);
	} else {
		x509 = bh_der_cert(der.v, der.n);
		ok = x509 && is_cert(q, x509);
		X509_free(x509);
	}
	bh_blob_done(&der);
	return ok;
}

static int bind_hashedrekord2(const struct bh_tlog_query *q, const json_t *spec,
			      struct bh_flaw *flaw)
{
	const json_t *entry = bh_vjson_obj(spec, "hashedRekordV002");
	const json_t *sig = bh_vjson_obj(entry, "signature");

	if (!is_b64_hash(bh_vjson_obj(entry, "data"), q->ev, false))
		return other(flaw, "message");
	if (!b64_is(sig, "content", &q->ev->signature))
		return other(flaw, "signature");
	if (!is_verifier_der(q, bh_vjson_obj(sig, "verifier")))
		return other(flaw, "key");
	return 0;
}

static int bind_dsse2(const struct bh_tlog_query *q, const json_t *spec, struct bh_flaw *flaw)
{
	const json_t *entry = bh_vjson_obj(spec, "dsseV002");
	const json_t *sigs = bh_vjson_arr(entry, "signatures");
	const json_t *sig = json_array_get(sigs, 0);

	if (q->ev->content != BH_CONTENT_DSSE ||
	    !is_b64_hash(bh_vjson_obj(entry, "payloadHash"), q->ev, true))
		return other(flaw, "message");
	if (json_array_size(sigs) != 1 || !b64_is(sig, "content", &q->ev->signature))
		return other(flaw, "signature");
	if (!is_verifier_der(q, bh_vjson_obj(sig, "verifier")))
		return other(flaw, "key");
	return 0;
}

static const struct binder {
	const char *kind, *version;
	bool is_v2;
	int (*bind)(const struct bh_tlog_query *q, const json_t *spec, struct bh_flaw *flaw);
} binders[] = {
	{"hashedrekord", "0.0.1", false, bind_hashedrekord1},
	{"dsse", "0.0.1", false, bind_dsse1},
	{"intoto", "0.0.2", false, bind_intoto2},
	{"hashedrekord", "0.0.2", true, bind_hashedrekord2},
	{"dsse", "0.0.2", true, bind_dsse2},
};

static const struct binder *binder_of(const json_t *body, const struct bh_tlog_entry *e)
{
	for (size_t i = 0; i < BH_ARRAY_SIZE(binders); i++) {
		const struct binder *b = &binders[i];

		if (!bh_vjson_is(body, "kind", b->kind) ||
		    !bh_vjson_is(body, "apiVersion", b->version))
			continue;
		/* classic signatures have no second place that names the kind */
		if (!e->kind && !e->version)
			return b;
		return e->kind && e->version && !strcmp(e->kind, b->kind) &&
				       !strcmp(e->version, b->version)
			       ? b
			       : NULL;
	}
	return NULL;
}

int bh_tlog_bind(const struct bh_tlog_query *q, bool *ret_is_v2, struct bh_flaw *flaw)
{
	BH_CLEANUP(bh_json_decrefp) json_t *body = NULL;
	const struct binder *b;

	if (bh_vjson_parse(q->entry->body.v, q->entry->body.n, MAX_BODY, &body, flaw))
		return bh_flaw(flaw, BH_WORD_TLOG_BODY, "the log entry cannot be read");
	b = binder_of(body, q->entry);
	if (!b)
		return bh_flaw(flaw, BH_WORD_TLOG_BODY, "the log entry is of an unknown kind");
	*ret_is_v2 = b->is_v2;
	return b->bind(q, bh_vjson_obj(body, "spec"), flaw);
}
