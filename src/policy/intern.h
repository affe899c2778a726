/* intern.h - what many objects share, kept once per process and counted: strings (label keys and
 * values, node and file names) and blocks of bytes (port lists, peers, whole rule lists). Only
 * policy/ uses it; everybody else sees plain strings and arrays. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An intrusive hash table: the caller's struct begins with a struct bh_link. Zeroed is empty; the
 * buckets go when the last element does. */
struct bh_link {
	struct bh_link *next;
	uint64_t hash;
};

struct bh_itab {
	struct bh_link **b;
	size_t cap, n; /* cap is a power of two or 0 */
};

/* First element that may have this hash; go on with ->next and compare ->hash. NULL: none. */
struct bh_link *bh_itab_first(const struct bh_itab *t, uint64_t hash);
/* Adds l, whose hash is set. Returns 0 or -ENOMEM. */
int bh_itab_add(struct bh_itab *t, struct bh_link *l);
/* Takes out l, which must be in t. */
void bh_itab_del(struct bh_itab *t, struct bh_link *l);

/* The one shared copy of s, with one more reference; NULL without memory. */
char *bh_intern(const char *s);
/* The shared copy if there is one, without a reference. */
const char *bh_intern_find(const char *s);
/* Gives one reference back; s came from bh_intern or is NULL. */
void bh_intern_unref(const char *s);

/* The one shared copy of n bytes (at most 4 GiB), with one more reference; NULL without memory. The
 * bytes may hold pointers to what is shared itself, for then equal content is equal bytes; padding
 * must be zero. *ret_is_new: no such block was there, so it now owns what the bytes refer to; if
 * not, the caller still owns that. */
void *bh_share(const void *bytes, size_t n, bool *ret_is_new);
/* Gives one reference back. NULL while there are others; else the block, which nobody will find any
 * more, and its size: the caller drops what it refers to and ends with bh_share_free. */
void *bh_share_unref(const void *block, size_t *ret_n);
void bh_share_free(void *block);
