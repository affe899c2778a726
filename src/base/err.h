/* err.h - one error idiom: a negative errno travels with a sentence in a caller-owned struct.
 *
 * Functions return 0 or -errno and write *err only on failure. Context is added on the way up and
 * reads outside in: "policy 'web': rule 2: port '70000' is not 1-65535". Nothing is allocated. */
#pragma once

#include <stdarg.h>

#include "base/own.h"

#define BH_ERR_TEXT 512

struct bh_err {
	int code;		/* negative errno of the failure; 0 while nothing failed */
	char text[BH_ERR_TEXT]; /* one sentence, cut at the end if it is too long, never empty;
				   valid UTF-8, control characters and bad bytes become '?' */
};

/* Records a failure. errnum: a positive errno. Returns -errnum. */
int bh_fail(struct bh_err *err, int errnum, const char *fmt, ...) BH_PRINTF(3, 4);

/* Like bh_fail, and appends ": " and the system's text for errnum. */
int bh_fail_sys(struct bh_err *err, int errnum, const char *fmt, ...) BH_PRINTF(3, 4);

/* Puts context before an existing sentence. r: the negative errno on its way up; returned as is. */
int bh_note(struct bh_err *err, int r, const char *fmt, ...) BH_PRINTF(3, 4);
