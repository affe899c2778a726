/* seq.h - how surprising a trace of system calls is to a model of one workload's normal traces.
 *
 * A Markov model of variable order: the chance of a call after its last `order` ones, interpolated
 * with all shorter contexts (Witten and Bell). It is made of grams (grams.h), whether the kernel
 * counted them or the traces are at hand. A trace is a whole process's calls, or a window of them.
 * Its score joins six measures, each as robust distance from what the training traces score when
 * they are left out:
 *
 *   mean   bits per call                        another program
 *   new    of the different strings of calls, those never seen (STIDE, Forrest and Hofmeyr,
 *          counts each occurrence; a loop repeats one string, and says no more by it)
 *   tail   mean of the most surprising calls    a few odd deeds in a long trace
 *   burst  worst stretch of calls               odd deeds close together
 *   mix    distance to the nearest known mix of calls (Hellinger)
 *   set    distance to the nearest known set of calls (Jaccard): what is lacking counts as well
 *
 * so that none depends on the trace's length, and the threshold comes from held-out normal traces.
 * Pure; memory is bounded by max_nodes (24 bytes each) and BH_SEQ_MIXES. The daemon judges with it
 * what tests/eval/anomaly measures. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "detect/grams.h"

#define BH_SEQ_MAX_ORDER (BH_GRAM_LEN - 1)
#define BH_SEQ_CALLS	 BH_GRAM_CALLS /* the last number and those beyond are one */
#define BH_SEQ_MIXES	 1024

struct bh_trace {
	const uint16_t *calls;
	size_t n;
};

struct bh_seq_options {
	unsigned order;	  /* 1-6; 0: 6 */
	size_t max_nodes; /* 0: a million */
};

struct bh_seq;
int bh_seq_new(const struct bh_seq_options *opt, struct bh_seq **ret, struct bh_err *err);
void bh_seq_free(struct bh_seq *m);
void bh_seq_freep(struct bh_seq **m);

/* Learns all traces, then scores each as if it had been left out, which gives the scales and the
 * threshold. Once per model. -EINVAL without traces, -ENOMEM. */
int bh_seq_train(struct bh_seq *m, const struct bh_trace *traces, size_t n, struct bh_err *err);
/* The same where all calls were counted, and the traces are samples of them. Only confirmed grams
 * count. */
int bh_seq_train_grams(struct bh_seq *m, const struct bh_grams *g, const struct bh_trace *traces,
		       size_t n, struct bh_err *err);

enum bh_seq_measure {
	BH_SEQ_MEAN,
	BH_SEQ_NEW,
	BH_SEQ_TAIL,
	BH_SEQ_BURST,
	BH_SEQ_MIX,
	BH_SEQ_SET,
	BH_SEQ_MEASURES
};
const char *bh_seq_measure_name(enum bh_seq_measure m);

struct bh_seq_score {
	double raw[BH_SEQ_MEASURES];
	double z[BH_SEQ_MEASURES]; /* robust distance from the training traces' own */
	double total;
	size_t strings, calls; /* different ones in the trace */
};
/* An empty trace scores 0 everywhere. */
void bh_seq_score(const struct bh_seq *m, const struct bh_trace *t, struct bh_seq_score *ret);
/* The total that `share` of held-out normal traces exceed (0.01: one of a hundred). Below what the
 * number of training traces can tell, their highest, and a margin; never so low that a single call
 * that was not seen before exceeds it. */
double bh_seq_threshold(const struct bh_seq *m, double share);
/* Bits of surprise of one call after those before it in the trace, 16 at most. */
double bh_seq_bits(const struct bh_seq *m, const struct bh_trace *t, size_t at);
/* The same of a gram's last call. */
double bh_seq_bits_of(const struct bh_seq *m, uint64_t gram);

struct bh_seq_stats {
	size_t nodes, bytes, mixes;
	uint64_t calls, refused; /* contexts that found no room */
};
void bh_seq_stats(const struct bh_seq *m, struct bh_seq_stats *ret);
