/* envelope.h - DSSE: a payload, its type, and one signature over both. */
#pragma once

#include "verify/evidence.h"
#include "verify/vjson.h"

/* Fills in content, message (the PAE), payload, payload_type and signature of `ev`. MALFORMED,
 * unless there is exactly one signature. */
int bh_envelope_read(const json_t *envelope, struct bh_evidence *ev, struct bh_flaw *flaw);
