/* grams.h - a counted set of grams (bulkhead/trace.h): the last seven calls of a task and how often
 * they came. What the kernel counts, what a baseline keeps, what a model is made of. Bounded:
 * beyond `max` nothing new is taken, and that is counted. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bulkhead/trace.h"

struct bh_gram {
	uint64_t gram; /* 0: free */
	uint32_t count;
	uint8_t seen_by; /* one bit per replica, as in bh_base_fact.sound */
	bool is_confirmed;
};

struct bh_grams {
	struct bh_gram *v; /* open addressing; cap is a power of two */
	size_t n, cap, max;
	uint64_t calls;	  /* sum of the counts */
	uint64_t refused; /* calls that found no room */
};

/* A zeroed set with max set is empty. */
void bh_grams_done(struct bh_grams *g);
/* NULL when it is not there. */
struct bh_gram *bh_grams_get(const struct bh_grams *g, uint64_t gram);
/* Adds to the count; seen_by: bits to add. Seen by two it is confirmed. 0, -ENOMEM, or -ENOSPC when
 * the set is full, which is counted. */
int bh_grams_add(struct bh_grams *g, uint64_t gram, uint32_t count, uint8_t seen_by);
/* Walks: start with *pos = 0; NULL at the end. */
struct bh_gram *bh_grams_next(const struct bh_grams *g, size_t *pos);
/* Sorted by gram, in new memory of the caller; NULL without memory. */
struct bh_gram *bh_grams_sorted(const struct bh_grams *g);
/* How many calls it has: fewer than seven at a task's start. */
static inline size_t bh_gram_len(uint64_t gram)
{
	return gram ? (size_t)(63 - __builtin_clzll(gram)) / BH_GRAM_BITS + 1 : 0;
}

/* Estimated share of calls to come whose gram is not in the set (Good and Turing); 1 while it is
 * empty. */
double bh_grams_unseen(const struct bh_grams *g);
/* Sets the filter's bits of all confirmed grams. */
void bh_grams_filter(const struct bh_grams *g, uint64_t word[BH_SEQ_WORDS]);
/* true when the filter has all bits of the gram. */
static inline bool bh_filter_has(const uint64_t word[BH_SEQ_WORDS], uint64_t gram)
{
	uint64_t hash = bh_gram_hash(gram), bits = bh_gram_bits(hash);

	return (word[bh_gram_word(hash)] & bits) == bits;
}
