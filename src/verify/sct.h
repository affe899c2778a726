/* sct.h - signed certificate timestamps (RFC 6962) in a certificate: a log has seen it. */
#pragma once

#include "verify/trust.h"

#define BH_MAX_SCTS 8

/* One SCT of a trusted log is enough. SCT_MISSING when there is none at all, else SCT_INVALID. */
int bh_sct_verify(X509 *leaf, X509 *issuer, const struct bh_trust *trust, struct bh_flaw *flaw);
