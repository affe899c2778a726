/* judge.h - does this one signature count, under one of the signers a policy names? */
#pragma once

#include "verify/evidence.h"
#include "verify/rules.h"

/* What came along with a signature and was found good. */
struct bh_vouched {
	size_t n_logs, n_stamps; /* log entries, timestamps */
	bool has_sct;
	int64_t at_s; /* the earliest trusted time; BH_TIME_MIN: there is none */
};

/* Who signed, for counting different signers and for people. */
struct bh_signed_by {
	char *who;			       /* owned */
	unsigned char identity[BH_SHA256_LEN]; /* of the key, or of issuer and subject */
	unsigned char spki[BH_SHA256_LEN];     /* of the key that verified */
	struct bh_vouched vouched;
	int64_t until_s; /* the verdict holds until then; BH_TIME_MAX */
};

void bh_signed_by_done(struct bh_signed_by *s);

/* Everything but the content: signature, log, timestamps, certificate, identity, key window. For
 * signers of kind keys, keyless and certificates. The flaw is the one that got furthest. */
int bh_judge(const struct bh_evidence *ev, const struct bh_signer_rule *signer, int64_t now_s,
	     struct bh_signed_by *ret, struct bh_flaw *flaw);

/* ---- between judge.c and judge_cert.c ---- */

#define BH_MAX_TIMES (BH_MAX_TLOG + BH_MAX_STAMPS)

/* The moments at which somebody trusted has seen the signature. */
struct bh_times {
	int64_t v[BH_MAX_TIMES];
	size_t n;
	size_t n_logs, n_stamps; /* entries and timestamps that were good */
};

/* For the list of checks. */
struct bh_vouched bh_times_vouch(const struct bh_times *times);

struct bh_judging {
	const struct bh_evidence *ev;
	const struct bh_signer_rule *signer;
	int64_t now_s;
};

/* Collects the times and holds them against what the signer must bring. `key` verified the
 * signature; leaf: through this certificate, or NULL. */
int bh_judge_times(const struct bh_judging *j, const struct bh_key *key, X509 *leaf,
		   struct bh_times *ret, struct bh_flaw *flaw);

int bh_judge_cert(const struct bh_judging *j, struct bh_signed_by *ret, struct bh_flaw *flaw);
