/* baselines_parts.h - shared by baselines.c and suggest.c. */
#pragma once

#include "daemon/baselines.h"
#include "detect/baseline.h"

/* As bh_baselines_make, for any baseline. */
int bh_make(const struct bh_baseline *b, enum bh_made what, const struct bh_world *w, json_t **ret,
	    struct bh_err *err);
