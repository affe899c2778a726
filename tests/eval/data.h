/* data.h - the traces of a set: files read, long recordings cut, something kept to train with. */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/vec.h"
#include "detect/seq.h"
#include "eval/calls.h"
#include "eval/sets.h"

BH_VEC_TYPE(traces, struct bh_trace);

struct bh_data {
	struct bh_words words;
	struct traces part[BH_PARTS]; /* each owns its traces' calls */
	size_t window;		      /* calls of each piece; 0: whole traces */
	size_t calls;		      /* in all files */
	size_t empty, left_out;	      /* files without a call; files that could not be read */
};

/* Reads and prepares a set. window: calls of each piece that traces are cut to; 0 never, -1 as it
 * fits: a few long recordings say as little as one throw of a die each, cut they are a
 * distribution. Where nothing is for training, the first 60 % of what is normal is. A file that
 * cannot be read, or is packed, is left out with a sentence on stderr. -ENODATA without traces for
 * training, normal ones or attacks; -ENOMEM. */
int bh_data_read(const struct bh_set *s, long window, struct bh_data *d, struct bh_err *err);
void bh_data_done(struct bh_data *d);
