#include "verify/merkle.h"

#include <string.h>

static void hash_pair(const unsigned char *left, const unsigned char *right, unsigned char *ret)
{
	unsigned char both[1 + 2 * BH_SHA256_LEN] = {1};

	memcpy(both + 1, left, BH_SHA256_LEN);
	memcpy(both + 1 + BH_SHA256_LEN, right, BH_SHA256_LEN);
	bh_sha256(both, sizeof(both), ret);
}

static bool hash_leaf(const struct bh_blob *leaf, unsigned char *ret)
{
	unsigned char *bytes = malloc(leaf->n + 1);
	bool ok = bytes;

	if (ok) {
		bytes[0] = 0;
		memcpy(bytes + 1, leaf->v, leaf->n);
		ok = bh_sha256(bytes, leaf->n + 1, ret);
	}
	free(bytes);
	return ok;
}

int bh_merkle_root(const struct bh_inclusion *proof, const struct bh_blob *leaf,
		   unsigned char *ret_root, struct bh_flaw *flaw)
{
	uint64_t at = (uint64_t)proof->index, last = (uint64_t)proof->size - 1;
	unsigned char hash[BH_HASH_MAX];

	if (proof->index < 0 || proof->size <= 0 || proof->index >= proof->size)
		return bh_flaw(flaw, BH_WORD_TLOG_PROOF, "the index is outside of the tree");
	if (!hash_leaf(leaf, hash))
		return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	for (size_t i = 0; i < proof->n; i++) {
		if (!last)
			return bh_flaw(flaw, BH_WORD_TLOG_PROOF, "the proof is too long");
		if ((at & 1) || at == last) {
			hash_pair(proof->hashes[i], hash, hash);
			/* a last node without a brother stands for its parent, too */
			while (!(at & 1) && at) {
				at >>= 1;
				last >>= 1;
			}
		} else {
			hash_pair(hash, proof->hashes[i], hash);
		}
		at >>= 1;
		last >>= 1;
	}
	if (last)
		return bh_flaw(flaw, BH_WORD_TLOG_PROOF, "the proof is too short");
	memcpy(ret_root, hash, BH_SHA256_LEN);
	return 0;
}
