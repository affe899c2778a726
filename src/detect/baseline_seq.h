/* baseline_seq.h - the order of a workload's system calls, as part of its baseline: every gram that
 * the kernel counted in its replicas, and a fair sample of windows of their tasks' calls. From both
 * comes the model (seq.h) that judges windows later, and from the grams the kernel's filter.
 *
 * Bounded: BH_BASE_GRAMS and BH_BASE_WINDOWS; a workload whose calls come in more orders than that
 * is too varied to be judged by them, and is not. */
#pragma once

#include <jansson.h>

#include "detect/baseline.h"
#include "detect/seq.h"

#define BH_BASE_GRAMS	6144 /* a file has to fit into one request */
#define BH_BASE_WINDOWS 48
/* Fewer windows say too little about what is normal. */
#define BH_BASE_LEAST_WINDOWS 8

struct bh_base_window {
	uint16_t n;
	uint16_t call[BH_SEQ_WINDOW];
};

struct bh_base_seq {
	struct bh_grams grams;
	struct bh_base_window *windows; /* BH_BASE_WINDOWS of them, n_windows in use */
	uint32_t n_windows;
	uint64_t offered; /* windows that came; each had the same chance to be kept */
	uint32_t version; /* changes with everything above */
};

/* Learns from grams that a replica counted; a closed baseline learns nothing, and from a suspect
 * replica nothing is learnt. seen_by and is_confirmed of v mean nothing. 0 or -ENOMEM. */
int bh_baseline_see_grams(struct bh_baseline *b, const struct bh_gram *v, size_t n,
			  const struct bh_base_sighting *s);
int bh_baseline_see_window(struct bh_baseline *b, const struct bh_trace *t,
			   const struct bh_base_sighting *s);

/* Why its sequences cannot be judged, or NULL when they can. Static text. */
const char *bh_baseline_seq_lacks(const struct bh_baseline *b);
/* The trained model, the caller's. -ENODATA when bh_baseline_seq_lacks something, -ENOMEM. */
int bh_baseline_model(const struct bh_baseline *b, struct bh_seq **ret, struct bh_err *err);

/* ---- inside of detect/ ---- */

void bh_base_seq_free(struct bh_base_seq *q);
/* Makes it where there is none; NULL without memory. */
struct bh_base_seq *bh_base_seq_of(struct bh_baseline *b);
int bh_base_seq_keep(struct bh_base_seq *q, const struct bh_trace *t);
int bh_base_seq_merge(struct bh_baseline *b, const struct bh_base_seq *from);
/* ,\n "sequences": {...} or nothing. */
int bh_base_seq_write(const struct bh_baseline *b, struct bh_str *out);
int bh_base_seq_read(struct bh_baseline *b, const json_t *root, struct bh_err *err);
/* A line for each side that has grams of its own; returns how many lines. */
size_t bh_base_seq_diff(const struct bh_baseline *a, const struct bh_baseline *b,
			struct bh_str *out);
