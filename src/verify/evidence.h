/* evidence.h - one signature, whatever format it came in: what was signed, by which bytes, and what
 * came along to prove when and by whom. Nothing in it is trusted. */
#pragma once

#include <openssl/x509.h>

#include "verify/flaw.h"
#include "verify/key.h"
#include "verify/merkle.h"

#define BH_MAX_TLOG   4
#define BH_MAX_STAMPS 4
#define BH_MAX_OTHERS 7 /* signatures of one envelope beside the first */

struct bh_tlog_entry {
	int64_t log_index, integrated_s;
	struct bh_blob log_id;
	struct bh_blob set; /* signed entry timestamp; empty when there is none */
	struct bh_blob body;
	char *kind, *version; /* NULL in classic signatures, which have it in the body only */
	bool has_proof;
	struct bh_inclusion proof;
	unsigned char root[BH_SHA256_LEN];
	char *checkpoint; /* NULL when there is none */
};

enum bh_content {
	BH_CONTENT_SIMPLE,  /* simple signing payload */
	BH_CONTENT_DSSE,    /* in-toto statement in a DSSE envelope */
	BH_CONTENT_MESSAGE, /* the manifest itself */
};

struct bh_evidence {
	char *where; /* for sentences: "layer 2 of sha256-....sig" */
	enum bh_content content;
	enum bh_sig_form form;
	struct bh_blob message; /* the bytes under the signature: payload, PAE or manifest */
	bool is_hash;		/* message holds only its SHA-256 */
	struct bh_blob claimed; /* what a message signature says the message's hash is; empty */
	unsigned int claimed_bits;
	struct bh_blob payload; /* what the DSSE envelope holds */
	char *payload_type;	/* what the envelope says it is */
	struct bh_blob signature;
	struct bh_blob others[BH_MAX_OTHERS]; /* of the same envelope; bh_evidence_next() */
	size_t n_others;
	struct bh_blob stamped; /* the bytes timestamps are about; empty: the signature */
	/* What came along and cannot be read; it only matters to who asks for it. OK: nothing. */
	struct bh_flaw leaf_flaw, tlog_flaw, stamp_flaw;
	X509 *leaf;		/* NULL when it brought no certificate */
	STACK_OF(X509) * hints; /* its intermediates; never anchors */
	char *hint;		/* which key, says the bundle */
	struct bh_tlog_entry tlog[BH_MAX_TLOG];
	size_t n_tlog;
	bool needs_proof; /* bundles from 0.2 on */
	struct bh_blob stamps[BH_MAX_STAMPS];
	size_t n_stamps;
};

struct bh_evidence *bh_evidence_new(void);
void bh_evidence_free(struct bh_evidence *ev);
void bh_evidence_freep(struct bh_evidence **ev);

/* Goes on to the next signature of the envelope; false: that was the last. */
bool bh_evidence_next(struct bh_evidence *ev);

/* SHA-2 of the message, of 256, 384 or 512 bits; 0 when only another hash of it is known. */
size_t bh_evidence_hash(const struct bh_evidence *ev, unsigned int bits, unsigned char *out);
/* The signature over the message. */
int bh_evidence_verify(const struct bh_evidence *ev, const struct bh_key *key,
		       struct bh_flaw *flaw);
