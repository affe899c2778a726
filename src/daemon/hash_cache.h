/* hash_cache.h - what is known about the bytes of executables: one state of one file > digest, and
 * one exec > digest. Both are bounded; what is looked for least goes first. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bulkhead/hash.h"
#include "daemon/exefile.h"

struct bh_hash_cache;

/* NULL when memory ran out. */
struct bh_hash_cache *bh_hash_cache_new(void);
void bh_hash_cache_free(struct bh_hash_cache *c);

/* NULL: not known; borrowed until the next put. A file whose time of change, size or inode is
 * another one is another file. */
const uint8_t *bh_hash_cache_file(struct bh_hash_cache *c, const struct bh_exefile_id *id);
void bh_hash_cache_put_file(struct bh_hash_cache *c, const struct bh_exefile_id *id,
			    const uint8_t digest[BH_HASH_LEN]);
const uint8_t *bh_hash_cache_exec(struct bh_hash_cache *c, uint64_t exec_id);
void bh_hash_cache_put_exec(struct bh_hash_cache *c, uint64_t exec_id,
			    const uint8_t digest[BH_HASH_LEN]);
