/* trial.h - one image before its judges: what has been shown so far, and what is still missing.
 * Private to this folder. */
#pragma once

#include "verify/judge.h"
#include "verify/statement.h"
#include "verify/verify.h"

/* What the signatures seen so far say about one attestation that the policy demands. */
struct bh_attested {
	bool is_seen; /* somebody trusted attested this type about this image */
	bool is_good;
	int64_t made_s, until_s;
	char *who;	     /* owned */
	struct bh_flaw flaw; /* unless it is good */
};

struct bh_trial {
	const struct bh_image_rules *rules;
	int64_t now_s;
	const char *digest;	 /* of the image */
	struct bh_blob manifest; /* its manifest; empty while it has not been fetched */
	BH_VEC(struct bh_signed_by) signed_by; /* different ones only */
	struct bh_attested *attested;	       /* one per attestation rule */
	struct bh_flaw worst;		       /* of all signatures that did not count */
	bool has_fault;			       /* something could not be asked for */
	bool is_over;			       /* asking on is of no use: the time is up */
	struct bh_fetch_why fault;	       /* the first fault */
	struct bh_image_verdict *verdict;
};

/* What a candidate may be used for. */
enum bh_use { BH_USE_SIGNATURE = 1, BH_USE_ATTESTATION = 2 };

int bh_trial_init(struct bh_trial *t, const struct bh_image_rules *rules, const char *digest,
		  struct bh_image_verdict *verdict);
void bh_trial_done(struct bh_trial *t);

bool bh_trial_wants(const struct bh_trial *t, enum bh_use use);

/* true when nothing is missing any more. */
bool bh_trial_is_satisfied(const struct bh_trial *t);

/* Judges one signature and remembers what it shows. */
void bh_trial_offer(struct bh_trial *t, const struct bh_evidence *ev, unsigned int uses);

/* The same for a signature that a notation signer has found good. Takes `by`. */
void bh_trial_count(struct bh_trial *t, struct bh_signed_by *by, const char *where);

/* A candidate that did not even become evidence. */
void bh_trial_flaw(struct bh_trial *t, const char *where, const struct bh_flaw *flaw);

/* An answer of a source that was not FOUND. */
void bh_trial_miss(struct bh_trial *t, enum bh_fetch f, const char *where,
		   const struct bh_fetch_why *why);

/* Writes answer, word, signer and until_s of the verdict. */
void bh_trial_conclude(struct bh_trial *t);

/* Adds a check to a verdict; beyond BH_IMAGE_MAX_CHECKS it is dropped. */
void bh_verdict_check(struct bh_image_verdict *v, bool ok, const char *name, const char *fmt, ...)
	BH_PRINTF(4, 5);
