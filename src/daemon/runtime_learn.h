/* runtime_learn.h - in learn mode: what each pod newly asked of the kernel, for the detectors and
 * baselines. */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct bh_daemon;
struct bh_detection;
struct bh_learning;
struct bh_trace;

/* Borrows all three. */
int bh_learning_open(struct bh_daemon *d, struct bh_trace *t, struct bh_detection *x,
		     struct bh_learning **ret, struct bh_err *err);
void bh_learning_close(struct bh_learning *l);
/* Reads every pod's sets and feeds what is new since the last time. */
void bh_learning_tick(struct bh_learning *l);
/* The slot's tenant goes. */
void bh_learning_forget(struct bh_learning *l, uint32_t slot);
