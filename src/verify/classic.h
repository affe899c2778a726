/* classic.h - cosign's first format: one layer per signature, everything else in annotations. */
#pragma once

#include "verify/evidence.h"
#include "verify/vjson.h"

#define BH_TYPE_SIMPLE_SIGNING "application/vnd.dev.cosign.simplesigning.v1+json"
#define BH_TYPE_DSSE_ENVELOPE  "application/vnd.dsse.envelope.v1+json"

/* A layer of media type BH_TYPE_SIMPLE_SIGNING and its blob, or (is_attestation) one of type
 * BH_TYPE_DSSE_ENVELOPE. The blob's hash was checked before. The caller owns *ret. */
int bh_classic_read(const json_t *layer, const struct bh_blob *blob, bool is_attestation,
		    struct bh_evidence **ret, struct bh_flaw *flaw);
