/* compare.h - what others say of the same traces, so that a figure has something to stand beside.
 *
 * STIDE (Forrest, Hofmeyr): the share of a trace's sequences of seven calls that training never
 * had. 6-gram: bits per call of a language model that knows the five calls before, interpolated
 * with shorter contexts (Witten and Bell). Neither is used by the daemon. */
#pragma once

#include "base/err.h"
#include "detect/grams.h"
#include "detect/seq.h"

#define BH_COMPARE_K	 7
#define BH_COMPARE_NGRAM 6

struct bh_compare {
	struct bh_grams known;
	struct bh_seq *model;
};

int bh_compare_train(struct bh_compare *c, const struct bh_trace *t, size_t n, struct bh_err *err);
void bh_compare_done(struct bh_compare *c);
double bh_compare_stide(const struct bh_compare *c, const struct bh_trace *t);
double bh_compare_ngram(const struct bh_compare *c, const struct bh_trace *t);
