/* seq_model.h - inside of the sequence model. Inside detect/ only. */
#pragma once

#include <stdbool.h>

#include "detect/seq.h"

/* One string of calls: how often it was seen, and what followed it. */
struct bh_seq_node {
	uint64_t key; /* the string itself, see key_of; 0: free */
	uint32_t seen, followed, distinct;
};

struct bh_seq_mix { /* square roots of frequencies */
	float root[BH_SEQ_CALLS];
	size_t trace; /* it was made from */
};

struct bh_seq_scale {
	double middle, spread;
};

struct bh_seq {
	struct bh_seq_options opt;
	struct bh_seq_node *nodes; /* open addressing, cap is a power of two */
	size_t cap, n_nodes;
	struct bh_seq_mix *mixes;
	size_t n_mixes;
	struct bh_seq_scale scales[BH_SEQ_MEASURES];
	double *totals; /* of the training traces left out, sorted */
	size_t n_totals;
	uint64_t calls, refused;
};

/* Adds what a gram says. 0 or -ENOMEM. */
int bh_seq_count(struct bh_seq *m, uint64_t gram, uint32_t count);
/* Takes back (sign -1) or adds again (1) those grams of the trace that the model has. */
void bh_seq_shift(struct bh_seq *m, const struct bh_trace *t, int sign);
/* Was this string of calls, as long as the order allows, seen? */
bool bh_seq_knows(const struct bh_seq *m, uint64_t gram);
/* Measures of a trace (not joined), without the mix made from trace number `without`. An empty one,
 * or without memory: all 0. */
void bh_seq_measure(const struct bh_seq *m, const struct bh_trace *t, size_t without,
		    struct bh_seq_score *ret);
void bh_seq_mix_of(const struct bh_trace *t, float root[BH_SEQ_CALLS]);
