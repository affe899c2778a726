/* runtime_seq.h - the order of pods' system calls: what the kernel counts goes into the workloads'
 * baselines; what a closed baseline knows goes into the kernel as a filter; windows of calls that
 * the filter does not know are judged by the baseline's model (detect/seq.h), and what is odd is
 * fed to the detectors. Apart from the rest of the daemon, as runtime_detect.h is. */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct bh_baselines;
struct bh_detection;
struct bh_endpoint_table;
struct bh_sequences;
struct bh_trace;

struct bh_sequences_options { /* all borrowed */
	struct bh_trace *trace;
	struct bh_detection *detection;
	struct bh_baselines *baselines;
	const struct bh_endpoint_table *endpoints;
};
int bh_sequences_open(const struct bh_sequences_options *opt, struct bh_sequences **ret,
		      struct bh_err *err);
void bh_sequences_close(struct bh_sequences *q);

struct bh_moment { /* the same moment in both clocks */
	uint64_t ts_ns;
	int64_t wall_ms;
};
/* Once in a few seconds: fetches what was counted, and tells the kernel about whom it wants to
 * know. */
void bh_sequences_tick(struct bh_sequences *q, struct bh_moment now);
/* The same for those pods that are new: before their first process begins. */
void bh_sequences_begin(struct bh_sequences *q, struct bh_moment now);
/* Several times a second: judges, or learns from, the windows that came. */
void bh_sequences_read(struct bh_sequences *q, struct bh_moment now);
/* The slot's tenant goes; what it did is read first. */
void bh_sequences_forget(struct bh_sequences *q, uint32_t slot, struct bh_moment now);
