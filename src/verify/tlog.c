#include "verify/tlog.h"

#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "verify/note.h"
#include "verify/stamp.h"

/* The log signs the entry as JSON with sorted keys and without blanks. */
static int verify_set(const struct bh_tlog_query *q, const struct bh_log *log, struct bh_flaw *flaw)
{
	const struct bh_tlog_entry *e = q->entry;
	BH_CLEANUP(bh_freep) char *body = bh_b64_encode(e->body.v, e->body.n);
	BH_CLEANUP(bh_freep) char *text = NULL;
	char id[2 * BH_SHA256_LEN + 1];
	struct bh_blob message;
	int r;

	bh_hex(log->id, sizeof(log->id), id);
	text = body ? bh_strf("{\"body\":\"%s\",\"integratedTime\":%" PRId64
			      ",\"logID\":\"%s\",\"logIndex\":%" PRId64 "}",
			      body, e->integrated_s, id, e->log_index)
		    : NULL;
	if (!text)
		return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	message = (struct bh_blob){(unsigned char *)text, strlen(text)};
	r = bh_key_verify(&log->key, BH_SIG_LOG, &message, &e->set, flaw);
	if (r)
		return bh_flaw(flaw, BH_WORD_TLOG_SET, "the log's promise does not verify");
	if (!e->integrated_s || e->integrated_s > q->now_s + BH_SKEW_S)
		return bh_flaw(flaw, BH_WORD_TLOG_SET, "the log's time is in the future");
	return 0;
}

static int verify_proof(const struct bh_tlog_entry *e, const struct bh_log *log,
			struct bh_flaw *flaw)
{
	unsigned char root[BH_SHA256_LEN];
	struct bh_checkpoint point;
	int r = bh_merkle_root(&e->proof, &e->body, root, flaw);

	if (r)
		return r;
	if (memcmp(root, e->root, sizeof(root)))
		return bh_flaw(flaw, BH_WORD_TLOG_PROOF, "the proof leads to another root");
	if (!e->checkpoint)
		return bh_flaw(flaw, BH_WORD_TLOG_CHECKPOINT, "there is no checkpoint");
	r = bh_checkpoint_verify(e->checkpoint, log, &point, flaw);
	if (r)
		return r;
	if (memcmp(root, point.root, sizeof(root)) || point.size != e->proof.size)
		return bh_flaw(flaw, BH_WORD_TLOG_PROOF, "the checkpoint is of another tree");
	return 0;
}

static int verify_with(const struct bh_tlog_query *q, const struct bh_log *log, bool has_set,
		       struct bh_flaw *flaw)
{
	const struct bh_tlog_entry *e = q->entry;
	bool needs_proof = q->ev->needs_proof || !has_set;
	int r = has_set ? verify_set(q, log, flaw) : 0;

	if (r)
		return r;
	/* without a time of its own an entry was made when the signature was */
	if (!bh_within(has_set ? e->integrated_s : q->seen_s, log->start_s, log->end_s))
		return bh_flaw(flaw, BH_WORD_TLOG_UNKNOWN, "the log did not count at that time");
	if (!e->has_proof && needs_proof)
		return bh_flaw(flaw, BH_WORD_TLOG_PROOF, "there is no inclusion proof");
	/* bundles 0.1 may bring a proof without a checkpoint: worth nothing, but no harm */
	return e->has_proof && (needs_proof || e->checkpoint) ? verify_proof(e, log, flaw) : 0;
}

/* By the log that the entry names, in whichever of its listings. */
static int verify_by_id(const struct bh_tlog_query *q, bool has_set, struct bh_flaw *flaw)
{
	const struct bh_blob *id = &q->entry->log_id;
	struct bh_flaw worst = {.word = BH_WORD_OK};

	for (size_t i = 0; i < q->trusts.n; i++) {
		bh_vec_each (log, &q->trusts.v[i]->tlogs) {
			struct bh_flaw one;

			if (!bh_log_is(log, id->v, id->n))
				continue;
			if (!verify_with(q, log, has_set, &one))
				return 0;
			bh_flaw_keep(&worst, &one);
		}
	}
	if (!worst.word)
		return bh_flaw(flaw, BH_WORD_TLOG_UNKNOWN, "the entry is of a log nobody trusts");
	*flaw = worst;
	return -1;
}

int bh_tlog_verify(const struct bh_tlog_query *q, bool *ret_has_time, int64_t *ret_s,
		   struct bh_flaw *flaw)
{
	bool is_v2;
	int r = bh_tlog_bind(q, &is_v2, flaw);

	if (r)
		return r;
	*ret_has_time = q->entry->set.n && !is_v2;
	*ret_s = q->entry->integrated_s;
	return verify_by_id(q, *ret_has_time, flaw);
}
