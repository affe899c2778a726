/* duration.h - lengths of time as people write them: "500ms", "10s", "2h", "1h30m", "7d". */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* Units ms, s, m, h, d, w; several may follow each other, largest first; a bare number is seconds.
 * Result in milliseconds, at most 100 years. -EINVAL with a sentence for anything else. */
int bh_duration_parse(const char *text, uint64_t *ret_ms, struct bh_err *err);
