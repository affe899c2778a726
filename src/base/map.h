/* map.h - hash map from byte-string keys to pointers; keys are copied, values are borrowed or owned
 * by the free function given at init. Open addressing; iteration order is insertion order until
 * the first removal, unspecified afterwards. A zeroed map with no free function is valid. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct bh_map_entry {
	uint64_t hash;
	void *key;
	size_t key_len;
	void *value;
};

struct bh_map {
	struct bh_map_entry *e; /* entries, dense, insertion order; key NULL marks a removed one */
	size_t n_e, cap_e;
	uint32_t *index; /* open-addressing table of entry number + 1 */
	size_t index_cap;
	size_t count;
	void (*free_value)(void *value);
};

void bh_map_init(struct bh_map *m, void (*free_value)(void *value));
void bh_map_done(struct bh_map *m);
/* Sets key to value; the old value is freed. Returns 0 or -ENOMEM (then nothing changed and the
 * caller still owns value). */
int bh_map_set(struct bh_map *m, const void *key, size_t key_len, void *value);
void *bh_map_get(const struct bh_map *m, const void *key, size_t key_len);
/* Removes and frees; returns 0, or -ENOENT. */
int bh_map_del(struct bh_map *m, const void *key, size_t key_len);
/* Removes without freeing; NULL when absent. The caller owns the result. */
void *bh_map_steal(struct bh_map *m, const void *key, size_t key_len);
/* Walks: start with *pos = 0; NULL at the end. Deleting the current entry while walking is fine. */
struct bh_map_entry *bh_map_next(const struct bh_map *m, size_t *pos);

/* The same with NUL-terminated keys. */
int bh_map_set_s(struct bh_map *m, const char *key, void *value);
void *bh_map_get_s(const struct bh_map *m, const char *key);
int bh_map_del_s(struct bh_map *m, const char *key);

/* 64-bit hash of bytes (wyhash-like mixing); stable within a process only. */
uint64_t bh_hash(const void *bytes, size_t n, uint64_t seed);
