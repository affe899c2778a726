/* merkle.h - inclusion proofs of RFC 6962. */
#pragma once

#include "verify/bytes.h"
#include "verify/flaw.h"

#define BH_MAX_PROOF 64

struct bh_inclusion {
	int64_t index, size; /* of the leaf in the tree, and of the tree */
	unsigned char hashes[BH_MAX_PROOF][BH_SHA256_LEN];
	size_t n;
};

/* Root hash that the proof leads to from a leaf's bytes; TLOG_PROOF when it has too few or too many
 * hashes or the index is outside of the tree. */
int bh_merkle_root(const struct bh_inclusion *proof, const struct bh_blob *leaf,
		   unsigned char *ret_root, struct bh_flaw *flaw);
