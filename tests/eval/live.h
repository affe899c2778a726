/* live.h - what the daemon would have said of a trace: the kernel's filter and its windows, played
 * with the kernel's own arithmetic, judged by the model. */
#pragma once

#include "detect/seq.h"

/* Sets the bits of all grams of the traces. */
void bh_live_filter(const struct bh_trace *t, size_t n, uint64_t filter[BH_SEQ_WORDS]);
/* The highest score of a window that the kernel would have sent; 0 when it would have sent none. */
double bh_live_score(const struct bh_seq *m, const uint64_t filter[BH_SEQ_WORDS],
		     const struct bh_trace *t);
