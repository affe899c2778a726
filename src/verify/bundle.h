/* bundle.h - sigstore bundles 0.1 to 0.3. */
#pragma once

#include "verify/evidence.h"

/* Reads a bundle. `artifact`: the bytes a messageSignature would be about; NULL: such a bundle is
 * MALFORMED. The caller owns *ret. */
int bh_bundle_read(const struct bh_blob *json, const struct bh_blob *artifact,
		   struct bh_evidence **ret, struct bh_flaw *flaw);
