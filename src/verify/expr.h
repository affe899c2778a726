/* expr.h - is this an expression that can be compiled and matched without harm? */
#pragma once

#include "base/err.h"

#define BH_MAX_REGEX 256

/* POSIX extended, of 1 to BH_MAX_REGEX characters. -EINVAL with a sentence for backreferences, for
 * escapes of other dialects, and for repetitions that multiply: the compiler of the C library
 * writes them out, so that a line of text can take all memory there is. */
int bh_expr_check(const char *regex, struct bh_err *err);
