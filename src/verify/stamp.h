/* stamp.h - RFC 3161 timestamps: a trusted authority saw these bytes at that time. */
#pragma once

#include "verify/trust.h"

/* How far ahead of our clock a trusted time may lie. */
#define BH_SKEW_S 60

struct bh_stamp_query {
	const struct bh_blob *der;     /* TimeStampResp; with is_token the bare token (CMS) */
	const struct bh_blob *message; /* the bytes it is about */
	struct bh_trusts trusts;
	int64_t now_s;
	bool is_token;
};

/* The time the token says, once an authority of the trust roots, valid then, has signed it over the
 * message. TIMESTAMP_INVALID otherwise. */
int bh_stamp_verify(const struct bh_stamp_query *q, int64_t *ret_s, struct bh_flaw *flaw);
