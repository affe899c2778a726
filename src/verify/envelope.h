/* envelope.h - DSSE: a payload, its type, and signatures over both. */
#pragma once

#include "verify/evidence.h"
#include "verify/vjson.h"

/* Fills in content, message (the PAE), payload, payload_type and the signatures of `ev`, whose form
 * decides how many there may be: a bundle has exactly one. MALFORMED otherwise. */
int bh_envelope_read(const json_t *envelope, struct bh_evidence *ev, struct bh_flaw *flaw);
