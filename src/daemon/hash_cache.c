#include "daemon/hash_cache.h"

#include <stdlib.h>
#include <string.h>

#define SETS 512 /* of each table */
#define WAYS 8

struct file_row {
	struct bh_exefile_id id;
	uint8_t digest[BH_HASH_LEN];
	uint64_t used; /* 0: empty */
};

struct exec_row {
	uint64_t id;
	uint8_t digest[BH_HASH_LEN];
	uint64_t used;
};

/* Memory that was never written costs nothing: rows are found by hash, not in order. */
struct bh_hash_cache {
	struct file_row files[SETS][WAYS];
	struct exec_row execs[SETS][WAYS];
	uint64_t clock;
};

struct bh_hash_cache *bh_hash_cache_new(void)
{
	return calloc(1, sizeof(struct bh_hash_cache));
}

void bh_hash_cache_free(struct bh_hash_cache *c)
{
	free(c);
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0x9e3779b97f4a7c15ull;
	return x ^ x >> 29;
}

static struct file_row *files_of(struct bh_hash_cache *c, const struct bh_exefile_id *id)
{
	return c->files[mix(mix(id->dev) ^ id->ino) % SETS];
}

const uint8_t *bh_hash_cache_file(struct bh_hash_cache *c, const struct bh_exefile_id *id)
{
	struct file_row *set = files_of(c, id);

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].used && bh_exefile_same(&set[i].id, id)) {
			set[i].used = ++c->clock;
			return set[i].digest;
		}
	}
	return NULL;
}

void bh_hash_cache_put_file(struct bh_hash_cache *c, const struct bh_exefile_id *id,
			    const uint8_t digest[BH_HASH_LEN])
{
	struct file_row *set = files_of(c, id), *row = set;

	/* a former state of the file goes first */
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].used && set[i].id.dev == id->dev && set[i].id.ino == id->ino &&
		    set[i].id.stat_dev == id->stat_dev) {
			row = &set[i];
			break;
		}
		if (set[i].used < row->used)
			row = &set[i];
	}
	row->id = *id;
	memcpy(row->digest, digest, BH_HASH_LEN);
	row->used = ++c->clock;
}

const uint8_t *bh_hash_cache_exec(struct bh_hash_cache *c, uint64_t exec_id)
{
	struct exec_row *set = c->execs[mix(exec_id) % SETS];

	for (size_t i = 0; exec_id && i < WAYS; i++) {
		if (set[i].used && set[i].id == exec_id) {
			set[i].used = ++c->clock;
			return set[i].digest;
		}
	}
	return NULL;
}

void bh_hash_cache_put_exec(struct bh_hash_cache *c, uint64_t exec_id,
			    const uint8_t digest[BH_HASH_LEN])
{
	struct exec_row *set = c->execs[mix(exec_id) % SETS], *row = set;

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].used && set[i].id == exec_id) {
			row = &set[i];
			break;
		}
		if (set[i].used < row->used)
			row = &set[i];
	}
	row->id = exec_id;
	memcpy(row->digest, digest, BH_HASH_LEN);
	row->used = ++c->clock;
}
