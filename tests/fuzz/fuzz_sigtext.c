/* What image verification reads as text: the first byte chooses the reader, the rest is its input.
 * Whatever a reader accepts goes on to the steps after it, with keys that verify nothing. */
#include <stdint.h>
#include <string.h>

#include "base/own.h"
#include "verify/bundle.h"
#include "verify/classic.h"
#include "verify/note.h"
#include "verify/notation.h"
#include "verify/predicate.h"
#include "verify/ref.h"
#include "verify/rfc3339.h"
#include "verify/tlog.h"
#include "verify/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DIGEST "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static struct bh_key key; /* of the test's own, made once */
static struct bh_log some_log;

static void make_key(void)
{
	struct bh_flaw flaw;
	char text[] = "log.test";

	if (key.pkey)
		return;
	if (bh_key_init(&key, EVP_EC_gen("P-256"), &flaw))
		abort();
	some_log.key = key;
	some_log.host = strdup(text);
	memcpy(some_log.id, key.spki, sizeof(some_log.id));
	memcpy(some_log.note_id, key.spki, sizeof(some_log.note_id));
}

static void must_explain(const struct bh_flaw *flaw)
{
	if (!flaw->word || flaw->word >= BH_N_IMAGE_WORDS || !*flaw->err.text)
		abort();
}

static void walk_entries(const struct bh_evidence *ev)
{
	for (size_t i = 0; i < ev->n_tlog; i++) {
		const struct bh_tlog_entry *e = &ev->tlog[i];
		struct bh_tlog_query q = {.ev = ev, .entry = e, .key = &key, .leaf = ev->leaf};
		unsigned char root[BH_SHA256_LEN];
		struct bh_checkpoint point;
		struct bh_flaw flaw;
		bool is_v2;

		if (bh_tlog_bind(&q, &is_v2, &flaw))
			must_explain(&flaw);
		if (e->has_proof && bh_merkle_root(&e->proof, &e->body, root, &flaw))
			must_explain(&flaw);
		if (e->checkpoint && bh_checkpoint_verify(e->checkpoint, &some_log, &point, &flaw))
			must_explain(&flaw);
	}
}

static void walk(const struct bh_evidence *ev)
{
	struct bh_image_signer signer = {.name = NULL};
	struct bh_statement s;
	struct bh_flaw flaw;

	walk_entries(ev);
	if (bh_key_verify(&key, ev->form, &ev->message, &ev->signature, &flaw))
		must_explain(&flaw);
	if (ev->content == BH_CONTENT_SIMPLE && bh_simple_check(ev, DIGEST, &signer, &flaw))
		must_explain(&flaw);
	if (ev->content != BH_CONTENT_DSSE)
		return;
	if (bh_statement_read(ev, DIGEST, &s, &flaw))
		must_explain(&flaw);
	else
		bh_statement_done(&s);
}

/* ---- the readers ---- */

static void read_bundle(const struct bh_blob *in)
{
	BH_CLEANUP(bh_evidence_freep) struct bh_evidence *ev = NULL;
	struct bh_flaw flaw;

	if (bh_bundle_read(in, in, &ev, &flaw))
		must_explain(&flaw);
	else
		walk(ev);
}

static void read_layer(const struct bh_blob *in)
{
	BH_CLEANUP(bh_evidence_freep) struct bh_evidence *ev = NULL;
	BH_CLEANUP(bh_json_decrefp) json_t *layer = NULL;
	struct bh_flaw flaw;

	if (bh_vjson_parse(in->v, in->n, BH_IMAGE_MAX_MANIFEST, &layer, &flaw) ||
	    bh_classic_read(layer, in, false, &ev, &flaw))
		must_explain(&flaw);
	else
		walk(ev);
}

static void read_envelope(const struct bh_blob *in)
{
	BH_CLEANUP(bh_evidence_freep) struct bh_evidence *ev = NULL;
	struct bh_flaw flaw;

	if (bh_classic_read(NULL, in, true, &ev, &flaw))
		must_explain(&flaw);
	else
		walk(ev);
}

static void read_jws(const struct bh_blob *in)
{
	struct bh_signer_rule rule = {.p = &(struct bh_image_signer){.kind = BH_IMAGE_NOTATION}};
	struct bh_notation n = {.algorithm = NULL};
	struct bh_signed_by by;
	struct bh_flaw flaw;

	if (bh_notation_read_jws(in, &n, &flaw) ||
	    bh_notation_judge(&n, DIGEST, &rule, 0, &by, &flaw))
		must_explain(&flaw);
	bh_notation_done(&n);
}

static void read_trust(const struct bh_blob *in)
{
	struct bh_trust trust;
	struct bh_flaw flaw;

	if (bh_trust_parse(in->v, in->n, &trust, &flaw))
		must_explain(&flaw);
	else
		bh_trust_done(&trust);
}

static void read_report(const struct bh_blob *in)
{
	struct bh_image_attestation p = {.fail_on = BH_SEVERITY_HIGH, .max_age_days = 30};
	struct bh_attestation_rule rule = {.p = &p, .kind = BH_PREDICATE_VULN};
	BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
	struct bh_predicate_facts facts;
	struct bh_flaw flaw;

	if (bh_vjson_parse(in->v, in->n, BH_IMAGE_MAX_ATTESTATION, &j, &flaw) ||
	    bh_predicate_check(j, &rule, 1796083200, &facts, &flaw))
		must_explain(&flaw);
}

/* Texts that end at a NUL. */
static void read_words(const struct bh_blob *in)
{
	BH_CLEANUP(bh_freep) char *text = strndup(in->n ? (char *)in->v : "", in->n);
	struct bh_checkpoint point;
	struct bh_image_ref ref;
	struct bh_flaw flaw;
	struct bh_err err;
	int64_t at_s;

	if (!text)
		return;
	if (!bh_image_ref_parse(text, &ref, &err) && *ref.digest && !bh_digest_ok(ref.digest))
		abort();
	bh_rfc3339_parse(text, &at_s);
	if (bh_checkpoint_verify(text, &some_log, &point, &flaw))
		must_explain(&flaw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const readers[])(const struct bh_blob *) = {
		read_bundle, read_layer,  read_envelope, read_jws,
		read_trust,  read_report, read_words,
	};
	struct bh_blob in;

	make_key();
	if (!size || data[0] < 'a' || data[0] >= 'a' + BH_ARRAY_SIZE(readers))
		return 0;
	if (bh_blob_copy(data + 1, size - 1, &in))
		return 0;
	readers[data[0] - 'a'](&in);
	bh_blob_done(&in);
	return 0;
}
