#include "verify/classic.h"

#include <string.h>

#include "verify/envelope.h"
#include "verify/pem.h"
#include "verify/verify.h"

#define MAX_ANNOTATIONS 32
#define MAX_ANNOTATION	(256u << 10)

static int bad(struct bh_flaw *flaw, const char *what)
{
	return bh_flaw(flaw, BH_WORD_MALFORMED, "signature layer: %s", what);
}

static int check_annotations(const json_t *notes, struct bh_flaw *flaw)
{
	const char *key;
	json_t *j;

	if (json_object_size(notes) > MAX_ANNOTATIONS)
		return bh_flaw(flaw, BH_WORD_TOO_MANY, "more than %d annotations", MAX_ANNOTATIONS);
	json_object_foreach((json_t *)notes, key, j)
	{
		if (!json_is_string(j))
			return bad(flaw, "an annotation that is no text");
		if (json_string_length(j) > MAX_ANNOTATION)
			return bh_flaw(flaw, BH_WORD_TOO_LARGE, "an annotation is too large");
	}
	return 0;
}

static int read_certs(const json_t *notes, struct bh_evidence *ev, struct bh_flaw *flaw)
{
	const char *cert = bh_vjson_str(notes, "dev.sigstore.cosign/certificate");
	const char *chain = bh_vjson_str(notes, "dev.sigstore.cosign/chain");
	BH_CLEANUP(bh_certs_freep) STACK_OF(X509) *one = NULL;
	int r;

	if (cert && *cert) {
		r = bh_pem_certs(cert, strlen(cert), 1, &one, flaw);
		if (r)
			return r;
		ev->leaf = sk_X509_pop(one);
	}
	if (chain && *chain)
		return bh_pem_certs(chain, strlen(chain), BH_MAX_CHAIN, &ev->hints, flaw);
	return 0;
}

/* {"SignedEntryTimestamp", "Payload": {"body", "integratedTime", "logIndex", "logID"}} */
static int read_bundle(const char *text, struct bh_evidence *ev, struct bh_flaw *flaw)
{
	BH_CLEANUP(bh_json_decrefp) json_t *root = NULL;
	struct bh_tlog_entry *e = &ev->tlog[0];
	const json_t *payload;
	const char *id;
	int r = bh_vjson_parse(text, strlen(text), MAX_ANNOTATION, &root, flaw);

	if (r)
		return r;
	payload = bh_vjson_obj(root, "Payload");
	id = bh_vjson_str(payload, "logID");
	if (!id || bh_vjson_i64(payload, "integratedTime", &e->integrated_s) ||
	    bh_vjson_i64(payload, "logIndex", &e->log_index))
		return bad(flaw, "the log entry has no log, time or index");
	e->log_id.v = malloc(BH_SHA256_LEN);
	if (!e->log_id.v)
		return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	e->log_id.n = BH_SHA256_LEN;
	if (bh_hex_decode(id, BH_SHA256_LEN, e->log_id.v))
		return bad(flaw, "the log's id is no hash");
	r = bh_vjson_b64(root, "SignedEntryTimestamp", 4096, &e->set, flaw);
	if (!r)
		r = bh_vjson_b64(payload, "body", MAX_ANNOTATION, &e->body, flaw);
	ev->n_tlog = 1;
	return r;
}

static int read_stamp(const char *text, struct bh_evidence *ev, struct bh_flaw *flaw)
{
	BH_CLEANUP(bh_json_decrefp) json_t *root = NULL;
	int r = bh_vjson_parse(text, strlen(text), MAX_ANNOTATION, &root, flaw);

	if (r)
		return r;
	ev->n_stamps = 1;
	return bh_vjson_b64(root, "SignedRFC3161Timestamp", 65536, &ev->stamps[0], flaw);
}

/* A key signature needs none of these: what cannot be read is as if it were not there. */
static void read_companions(const json_t *notes, struct bh_evidence *ev)
{
	const char *bundle = bh_vjson_str(notes, "dev.sigstore.cosign/bundle");
	const char *stamp = bh_vjson_str(notes, "dev.sigstore.cosign/rfc3161timestamp");

	if (read_certs(notes, ev, &ev->leaf_flaw)) {
		X509_free(ev->leaf);
		ev->leaf = NULL;
	}
	if (bundle && *bundle && read_bundle(bundle, ev, &ev->tlog_flaw))
		ev->n_tlog = 0;
	if (stamp && *stamp && read_stamp(stamp, ev, &ev->stamp_flaw))
		ev->n_stamps = 0;
}

static int read_envelope(const struct bh_blob *blob, struct bh_evidence *ev, struct bh_flaw *flaw)
{
	BH_CLEANUP(bh_json_decrefp) json_t *root = NULL;
	int r = bh_vjson_parse(blob->v, blob->n, BH_IMAGE_MAX_ATTESTATION, &root, flaw);

	if (!r)
		r = bh_envelope_read(root, ev, flaw);
	/* there is no annotation with the signature, so cosign stamps the envelope */
	if (!r && ev->n_stamps && bh_blob_copy(blob->v, blob->n, &ev->stamped))
		r = bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	return r;
}

static int read_simple(const json_t *notes, const struct bh_blob *blob, struct bh_evidence *ev,
		       struct bh_flaw *flaw)
{
	if (bh_blob_copy(blob->v, blob->n, &ev->message))
		return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	return bh_vjson_b64(notes, "dev.cosignproject.cosign/signature", 65536, &ev->signature,
			    flaw);
}

int bh_classic_read(const json_t *layer, const struct bh_blob *blob, bool is_attestation,
		    struct bh_evidence **ret, struct bh_flaw *flaw)
{
	const json_t *notes = bh_vjson_obj(layer, "annotations");
	BH_CLEANUP(bh_evidence_freep) struct bh_evidence *ev = bh_evidence_new();
	int r;

	if (!ev)
		return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	ev->form = BH_SIG_CLASSIC;
	r = check_annotations(notes, flaw);
	if (r)
		return r;
	read_companions(notes, ev);
	r = is_attestation ? read_envelope(blob, ev, flaw) : read_simple(notes, blob, ev, flaw);
	if (r)
		return r;
	*ret = BH_TAKE(ev);
	return 0;
}
