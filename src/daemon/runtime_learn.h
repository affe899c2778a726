/* runtime_learn.h - what pods ask of the kernel: in learn mode which calls are new, and in watch
 * mode too in which order they come (runtime_seq.h), for the detectors and baselines. */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct bh_baselines;
struct bh_daemon;
struct bh_detection;
struct bh_learning;
struct bh_trace;

struct bh_learning_options { /* all borrowed */
	struct bh_daemon *d;
	struct bh_trace *trace;
	struct bh_detection *detection;
	struct bh_baselines *baselines;
};
int bh_learning_open(const struct bh_learning_options *opt, struct bh_learning **ret,
		     struct bh_err *err);
void bh_learning_close(struct bh_learning *l);
/* Pods have come, perhaps: what their first processes do counts too. Cheap when none has. */
void bh_learning_begin(struct bh_learning *l);
/* Several times a second, whatever the mode. */
void bh_learning_read(struct bh_learning *l);
/* Reads every pod's sets and feeds what is new since the last time. */
void bh_learning_tick(struct bh_learning *l);
/* Feeds what is still done, for the baselines alone. */
void bh_learning_again(struct bh_learning *l);
/* The slot's tenant goes. */
void bh_learning_forget(struct bh_learning *l, uint32_t slot);
