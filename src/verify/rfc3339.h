/* rfc3339.h - times in JSON: "2026-11-22T04:07:53Z", fractions, offsets. Leap seconds are no. */
#pragma once

#include <stdint.h>

/* Seconds since 1970, fractions cut off. -EINVAL for anything else. */
int bh_rfc3339_parse(const char *text, int64_t *ret_s);

#define BH_RFC3339_TEXT 32

/* "2026-11-22T04:07:53Z"; out has BH_RFC3339_TEXT bytes, "?" for a year nobody writes. */
void bh_rfc3339_print(int64_t at_s, char *out);
