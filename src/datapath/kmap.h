/* kmap.h - access to kernel maps: one by one or in batches, with read-back and fault injection.
 *
 * Writes count against BULKHEAD_FAULT="<map>:<nth>:<errno name>" and reads that verify against
 * "<map>-readback:<nth>:<errno name>"; counting restarts with every bh_fault_arm. Tests only: the
 * variable is read from the environment and has no other effect. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define BH_KMAP_CHUNK 2048 /* elements per batch call */

struct bh_kmap {
	const char *name;
	int fd; /* -1: absent */
	uint32_t type, max, key_size, value_size;
	bool has_no_batch; /* the kernel refused a batch call on it */
};

struct bh_fault {
	char where[40]; /* map name, or name-readback; empty: none */
	unsigned nth, seen;
	int errnum;
};

struct bh_datapath;

/* Reads the environment again and restarts the count. */
void bh_fault_arm(struct bh_fault *f);
/* Takes note of n operations on `where` that are about to happen. Returns how many of them may
 * happen before one fails with f->errnum; n when none fails. */
uint32_t bh_fault_room(struct bh_fault *f, const char *where, uint32_t n);

/* A run of elements, keys and values packed. */
struct bh_kbatch {
	const void *keys, *values;
	uint32_t n;
};

/* Writes all of b (BPF_ANY). -errno with a sentence that names the map. */
int bh_kmap_write(struct bh_fault *f, struct bh_kmap *m, const struct bh_kbatch *b,
		  struct bh_err *err);
/* Looks every key of b up and compares with its value; -EIO when the kernel holds something else.
 */
int bh_kmap_verify(struct bh_fault *f, struct bh_kmap *m, const struct bh_kbatch *b,
		   struct bh_err *err);
/* Deletes b's keys; absent ones are no error. values is not used. */
int bh_kmap_delete(struct bh_kmap *m, const struct bh_kbatch *b, struct bh_err *err);
typedef int bh_kmap_fn(const void *key, const void *value, void *arg);
/* Calls fn for every element of a hash or LPM map; a nonzero return ends the walk and is returned.
 * Elements that come and go meanwhile may or may not be seen. */
int bh_kmap_each(struct bh_kmap *m, bh_kmap_fn *fn, void *arg, struct bh_err *err);
/* How many elements a hash or LPM map holds. */
int bh_kmap_count(struct bh_kmap *m, uint64_t *ret, struct bh_err *err);
/* 0, or -errno (-ENOENT: absent). */
int bh_kmap_get(const struct bh_kmap *m, const void *key, void *ret_value);
