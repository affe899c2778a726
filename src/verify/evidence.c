#include "verify/evidence.h"

#include <string.h>

#include "verify/pem.h"

struct bh_evidence *bh_evidence_new(void)
{
	return calloc(1, sizeof(struct bh_evidence));
}

static void entry_done(struct bh_tlog_entry *e)
{
	bh_blob_done(&e->log_id);
	bh_blob_done(&e->set);
	bh_blob_done(&e->body);
	free(e->kind);
	free(e->version);
	free(e->checkpoint);
}

void bh_evidence_free(struct bh_evidence *ev)
{
	if (!ev)
		return;
	free(ev->where);
	bh_blob_done(&ev->message);
	bh_blob_done(&ev->claimed);
	bh_blob_done(&ev->payload);
	free(ev->payload_type);
	bh_blob_done(&ev->signature);
	for (size_t i = 0; i < BH_MAX_OTHERS; i++)
		bh_blob_done(&ev->others[i]);
	bh_blob_done(&ev->stamped);
	X509_free(ev->leaf);
	bh_certs_free(ev->hints);
	free(ev->hint);
	for (size_t i = 0; i < BH_MAX_TLOG; i++)
		entry_done(&ev->tlog[i]);
	for (size_t i = 0; i < BH_MAX_STAMPS; i++)
		bh_blob_done(&ev->stamps[i]);
	free(ev);
}

void bh_evidence_freep(struct bh_evidence **ev)
{
	bh_evidence_free(*ev);
	*ev = NULL;
}

bool bh_evidence_next(struct bh_evidence *ev)
{
	struct bh_blob *next;

	if (!ev->n_others)
		return false;
	next = &ev->others[--ev->n_others];
	bh_blob_done(&ev->signature);
	ev->signature = *next;
	*next = (struct bh_blob){0};
	return true;
}

size_t bh_evidence_hash(const struct bh_evidence *ev, unsigned int bits, unsigned char *out)
{
	if (!ev->is_hash)
		return bh_sha2(bits, ev->message.v, ev->message.n, out);
	if (bits != 256 || ev->message.n != BH_SHA256_LEN)
		return 0;
	memcpy(out, ev->message.v, BH_SHA256_LEN);
	return BH_SHA256_LEN;
}

int bh_evidence_verify(const struct bh_evidence *ev, const struct bh_key *key, struct bh_flaw *flaw)
{
	return ev->is_hash ? bh_key_verify_hash(key, &ev->message, &ev->signature, flaw)
			   : bh_key_verify(key, ev->form, &ev->message, &ev->signature, flaw);
}
