/* compile_mem.h - the compiler's small containers: arena, number map, id table, content hash.
 *
 * Nothing here knows policy. Numbers are uint32_t everywhere and BH_CM_NONE stands for "no such".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "policy/tables.h"

#define BH_CM_NONE UINT32_MAX

/* qsort order of uint32_t. */
int bh_cm_by_number(const void *a, const void *b);

/* ---- arena: memory that goes all at once; zeroed is empty ---- */
struct bh_arena {
	struct bh_arena_chunk *head;
	size_t bytes; /* handed out so far */
};
/* Zeroed memory, aligned for anything; NULL without memory. n 0 gives a valid pointer. */
void *bh_arena_alloc(struct bh_arena *a, size_t n);
void *bh_arena_copy(struct bh_arena *a, const void *bytes, size_t n);
void bh_arena_done(struct bh_arena *a);

/* ---- number map: uint64_t > uint32_t; zeroed is empty ---- */
struct bh_nummap {
	uint64_t *key;
	uint32_t *value; /* BH_CM_NONE: slot is free */
	size_t n, cap;	 /* cap is a power of two */
};
uint32_t bh_nummap_get(const struct bh_nummap *m, uint64_t key);
/* value must not be BH_CM_NONE. Returns 0 or -ENOMEM. */
int bh_nummap_set(struct bh_nummap *m, uint64_t key, uint32_t value);
void bh_nummap_del(struct bh_nummap *m, uint64_t key);
/* Forgets everything, keeps the memory. */
void bh_nummap_clear(struct bh_nummap *m);
void bh_nummap_done(struct bh_nummap *m);

/* ---- id table: byte strings > numbers given by the caller ---- */
static inline uint32_t bh_idmap_get(const struct bh_map *m, const void *key, size_t n)
{
	void *v = bh_map_get(m, key, n);

	return v ? (uint32_t)((uintptr_t)v - 1) : BH_CM_NONE;
}
static inline int bh_idmap_set(struct bh_map *m, const void *key, size_t n, uint32_t id)
{
	return bh_map_set(m, key, n, (void *)((uintptr_t)id + 1));
}

/* ---- content hash: the first 128 bits of SHA-256 ---- */
struct bh_hasher {
	void *ctx; /* EVP_MD_CTX */
	void *md;  /* EVP_MD */
	bool failed;
};
int bh_hasher_init(struct bh_hasher *h);
void bh_hasher_done(struct bh_hasher *h);
/* begin, any number of adds, end. Failures of the library surface in end as -EIO. tag keeps the
 * kinds of content apart. */
void bh_hasher_begin(struct bh_hasher *h, const char *tag);
void bh_hasher_add(struct bh_hasher *h, const void *bytes, size_t n);
void bh_hasher_add_s(struct bh_hasher *h, const char *s); /* with its length; NULL is not "" */
void bh_hasher_add_u64(struct bh_hasher *h, uint64_t v);
int bh_hasher_end(struct bh_hasher *h, struct bh_content *ret);

static inline int bh_content_cmp(const struct bh_content *a, const struct bh_content *b)
{
	return __builtin_memcmp(a->b, b->b, sizeof(a->b));
}
