#include "verify/bundle.h"

#include <string.h>

#include "verify/envelope.h"
#include "verify/pem.h"
#include "verify/verify.h"
#include "verify/vjson.h"

#define MAX_CERT 65536
#define MAX_BODY (4u << 20)

static int bad(struct bh_flaw *flaw, const char *what)
{
	return bh_flaw(flaw, BH_WORD_MALFORMED, "bundle: %s", what);
}

/* 1, 2 or 3 for 0.1 to 0.3; 0 for anything else. */
static int version_of(const json_t *root)
{
	static const struct {
		const char *type;
		int version;
	} types[] = {
		{"application/vnd.dev.sigstore.bundle.v0.3+json", 3},
		{"application/vnd.dev.sigstore.bundle+json;version=0.3", 3},
		{"application/vnd.dev.sigstore.bundle+json;version=0.2", 2},
		{"application/vnd.dev.sigstore.bundle+json;version=0.1", 1},
	};

	for (size_t i = 0; i < BH_ARRAY_SIZE(types); i++)
		if (bh_vjson_is(root, "mediaType", types[i].type))
			return types[i].version;
	return 0;
}

static int copy_text(const json_t *obj, const char *key, char **ret, struct bh_flaw *flaw)
{
	const char *text = bh_vjson_str(obj, key);

	if (!text)
		return bh_flaw(flaw, BH_WORD_MALFORMED, "bundle: '%s' is missing", key);
	*ret = strdup(text);
	return *ret ? 0 : bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
}

/* ---- the log entries ---- */

static int read_hashes(const json_t *list, struct bh_inclusion *proof, struct bh_flaw *flaw)
{
	size_t i;
	json_t *j;

	if (json_array_size(list) > BH_MAX_PROOF)
		return bh_flaw(flaw, BH_WORD_TLOG_PROOF, "more than %d hashes in the proof",
			       BH_MAX_PROOF);
	json_array_foreach(list, i, j)
	{
		struct bh_blob hash = {0};
		bool ok = json_is_string(j) &&
			  !bh_b64_decode(json_string_value(j), json_string_length(j), &hash) &&
			  hash.n == BH_SHA256_LEN;

		if (ok)
			memcpy(proof->hashes[i], hash.v, hash.n);
		bh_blob_done(&hash);
		if (!ok)
			return bh_flaw(flaw, BH_WORD_TLOG_PROOF, "a hash of the proof is none");
	}
	proof->n = json_array_size(list);
	return 0;
}

static int read_proof(const json_t *j, struct bh_tlog_entry *e, struct bh_flaw *flaw)
{
	const json_t *point = bh_vjson_obj(j, "checkpoint");
	struct bh_blob root = {0};
	int r;

	if (bh_vjson_i64(j, "logIndex", &e->proof.index) ||
	    bh_vjson_i64(j, "treeSize", &e->proof.size))
		return bh_flaw(flaw, BH_WORD_TLOG_PROOF, "index or size of the proof is none");
	if (bh_vjson_b64(j, "rootHash", BH_SHA256_LEN, &root, flaw) || root.n != sizeof(e->root)) {
		bh_blob_done(&root);
		return bh_flaw(flaw, BH_WORD_TLOG_PROOF, "the root hash is none");
	}
	memcpy(e->root, root.v, root.n);
	bh_blob_done(&root);
	r = read_hashes(bh_vjson_arr(j, "hashes"), &e->proof, flaw);
	if (!r && point)
		r = copy_text(point, "envelope", &e->checkpoint, flaw);
	e->has_proof = !r;
	return r;
}

static int read_entry(const json_t *j, struct bh_tlog_entry *e, struct bh_flaw *flaw)
{
	const json_t *kind = bh_vjson_obj(j, "kindVersion");
	const json_t *promise = bh_vjson_obj(j, "inclusionPromise");
	const json_t *proof = bh_vjson_obj(j, "inclusionProof");
	int r;

	if (bh_vjson_i64(j, "logIndex", &e->log_index) ||
	    bh_vjson_i64(j, "integratedTime", &e->integrated_s))
		return bad(flaw, "index or time of a log entry is no number");
	r = bh_vjson_b64(bh_vjson_obj(j, "logId"), "keyId", 128, &e->log_id, flaw);
	if (!r)
		r = copy_text(kind, "kind", &e->kind, flaw);
	if (!r)
		r = copy_text(kind, "version", &e->version, flaw);
	if (!r && promise)
		r = bh_vjson_b64(promise, "signedEntryTimestamp", 4096, &e->set, flaw);
	if (!r)
		r = bh_vjson_b64(j, "canonicalizedBody", MAX_BODY, &e->body, flaw);
	return !r && proof ? read_proof(proof, e, flaw) : r;
}

static int read_entries(const json_t *list, struct bh_evidence *ev, struct bh_flaw *flaw)
{
	size_t i;
	json_t *j;

	if (json_array_size(list) > BH_MAX_TLOG)
		return bad(flaw, "too many log entries");
	json_array_foreach(list, i, j)
	{
		int r = read_entry(j, &ev->tlog[ev->n_tlog++], flaw);

		if (r)
			return r;
	}
	return 0;
}

static int read_stamps(const json_t *list, struct bh_evidence *ev, struct bh_flaw *flaw)
{
	size_t i;
	json_t *j;

	if (json_array_size(list) > BH_MAX_STAMPS)
		return bad(flaw, "too many timestamps");
	json_array_foreach(list, i, j)
	{
		int r = bh_vjson_b64(j, "signedTimestamp", 65536, &ev->stamps[ev->n_stamps++],
				     flaw);
		if (r)
			return r;
	}
	return 0;
}

/* ---- key material ---- */

static int read_cert(const json_t *j, X509 **ret, struct bh_flaw *flaw)
{
	struct bh_blob der = {0};
	int r = bh_vjson_b64(j, "rawBytes", MAX_CERT, &der, flaw);

	if (r)
		return r;
	*ret = bh_der_cert(der.v, der.n);
	bh_blob_done(&der);
	return *ret ? 0 : bad(flaw, "a certificate that cannot be read");
}

static int read_chain(const json_t *list, struct bh_evidence *ev, struct bh_flaw *flaw)
{
	size_t n = json_array_size(list);
	int r;

	if (!n || n > BH_MAX_CHAIN)
		return bad(flaw, "the certificate chain is empty or too long");
	r = read_cert(json_array_get(list, 0), &ev->leaf, flaw);
	ev->hints = sk_X509_new_null();
	for (size_t i = 1; !r && i < n; i++) {
		X509 *cert = NULL;

		r = read_cert(json_array_get(list, i), &cert, flaw);
		if (!r && (!ev->hints || !sk_X509_push(ev->hints, cert))) {
			X509_free(cert);
			r = bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
		}
	}
	return r;
}

static int read_material(const json_t *j, int version, struct bh_evidence *ev, struct bh_flaw *flaw)
{
	const json_t *key = bh_vjson_get(j, "publicKey");
	const json_t *cert = bh_vjson_get(j, "certificate");
	const json_t *chain = bh_vjson_get(j, "x509CertificateChain");
	const char *hint = bh_vjson_str(key, "hint");
	int r = 0;

	if (!!key + !!cert + !!chain != 1)
		return bad(flaw, "it needs one of publicKey and certificate");
	if (chain && version == 3)
		return bad(flaw, "version 0.3 has no certificate chain");
	if (cert)
		r = read_cert(cert, &ev->leaf, flaw);
	else if (chain)
		r = read_chain(bh_vjson_arr(chain, "certificates"), ev, flaw);
	else if (hint)
		ev->hint = strdup(hint);
	if (!r)
		r = read_entries(bh_vjson_arr(j, "tlogEntries"), ev, flaw);
	return r ? r
		 : read_stamps(bh_vjson_arr(bh_vjson_obj(j, "timestampVerificationData"),
					    "rfc3161Timestamps"),
			       ev, flaw);
}

/* {"algorithm": "SHA2_256", "digest": base64}: what counts is the artifact, but a claim about it
 * that is wrong is not what anybody meant to sign. Other hashes claim nothing. */
static int read_claim(const json_t *j, struct bh_evidence *ev, struct bh_flaw *flaw)
{
	static const struct {
		const char *name;
		unsigned int bits;
	} rows[] = {{"SHA2_256", 256}, {"SHA2_384", 384}, {"SHA2_512", 512}};

	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		if (!bh_vjson_is(j, "algorithm", rows[i].name))
			continue;
		ev->claimed_bits = rows[i].bits;
		return bh_vjson_b64(j, "digest", BH_HASH_MAX, &ev->claimed, flaw);
	}
	return 0;
}

static int read_message(const json_t *j, const struct bh_blob *artifact, struct bh_evidence *ev,
			struct bh_flaw *flaw)
{
	int r;

	if (!artifact)
		return bad(flaw, "a message signature, and nothing it could be about");
	ev->content = BH_CONTENT_MESSAGE;
	if (bh_blob_copy(artifact->v, artifact->n, &ev->message))
		return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	r = read_claim(bh_vjson_obj(j, "messageDigest"), ev, flaw);
	return r ? r : bh_vjson_b64(j, "signature", 65536, &ev->signature, flaw);
}

int bh_bundle_read(const struct bh_blob *json, const struct bh_blob *artifact,
		   struct bh_evidence **ret, struct bh_flaw *flaw)
{
	BH_CLEANUP(bh_json_decrefp) json_t *root = NULL;
	BH_CLEANUP(bh_evidence_freep) struct bh_evidence *ev = bh_evidence_new();
	const json_t *dsse, *message;
	int r = bh_vjson_parse(json->v, json->n, BH_IMAGE_MAX_ATTESTATION, &root, flaw), version;

	if (r)
		return r;
	if (!ev)
		return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	version = version_of(root);
	if (!version)
		return bad(flaw, "of no version we know");
	ev->form = BH_SIG_BUNDLE;
	ev->needs_proof = version > 1;
	dsse = bh_vjson_get(root, "dsseEnvelope");
	message = bh_vjson_get(root, "messageSignature");
	if (!dsse == !message)
		return bad(flaw, "it needs one of dsseEnvelope and messageSignature");
	r = read_material(bh_vjson_obj(root, "verificationMaterial"), version, ev, flaw);
	if (!r)
		r = dsse ? bh_envelope_read(dsse, ev, flaw)
			 : read_message(message, artifact, ev, flaw);
	if (r)
		return r;
	*ret = BH_TAKE(ev);
	return 0;
}
