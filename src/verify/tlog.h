/* tlog.h - entries of Rekor, version 1 and 2: is this very signature in a log we trust, and when
 * did the log see it? */
#pragma once

#include "verify/evidence.h"
#include "verify/trust.h"

struct bh_tlog_query {
	const struct bh_evidence *ev;
	const struct bh_tlog_entry *entry;
	const struct bh_key *key; /* that verified the signature */
	X509 *leaf;		  /* when it was a certificate's; the entry must hold it then */
	struct bh_trusts trusts;
	int64_t now_s;
	int64_t seen_s; /* when somebody else has seen the signature; now, if nobody has */
};

/* Verifies the entry. *ret_has_time: a SET vouches for *ret_s; only version 1 has them. TLOG_*. */
int bh_tlog_verify(const struct bh_tlog_query *q, bool *ret_has_time, int64_t *ret_s,
		   struct bh_flaw *flaw);

/* The part that is forgotten most: the entry's body is about this message, this signature and this
 * key. *ret_is_v2: it is an entry of Rekor 2, which vouches for no time. TLOG_BODY. */
int bh_tlog_bind(const struct bh_tlog_query *q, bool *ret_is_v2, struct bh_flaw *flaw);
