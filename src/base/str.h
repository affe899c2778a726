/* str.h - growable string and bounded formatting. A zero-initialised struct bh_str is empty.
 *
 * Appending never fails visibly: after ENOMEM the string is marked failed and bh_str_take returns
 * NULL, so one check at the end is enough. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/own.h"

struct bh_str {
	char *s; /* NUL-terminated; NULL while empty */
	size_t n, cap;
	bool failed;
};

void bh_str_add(struct bh_str *b, const char *text);
void bh_str_addn(struct bh_str *b, const void *bytes, size_t n);
void bh_str_fmt(struct bh_str *b, const char *fmt, ...) BH_PRINTF(2, 3);
/* The text gathered so far; "" when empty. Borrowed until the next append. */
const char *bh_str_text(const struct bh_str *b);
/* Gives the heap string to the caller (never NULL unless memory ran out) and empties b. */
char *bh_str_take(struct bh_str *b);
void bh_str_done(struct bh_str *b);

/* printf to a fresh heap string; NULL when memory ran out. */
char *bh_strf(const char *fmt, ...) BH_PRINTF(1, 2);
/* true when both are NULL or both are the same text. */
bool bh_streq(const char *a, const char *b);
/* Lower-case hex of n bytes into out[2n+1]. */
void bh_hex(const void *bytes, size_t n, char *out);
/* Length of the UTF-8 character at text (RFC 3629: no overlong forms, no surrogates, at most
 * U+10FFFF) out of `left` bytes; 0 when there is none. */
size_t bh_utf8_len(const void *text, size_t left);
/* Writes '?' over the bytes of text that are not UTF-8, such as those of a character that was cut.
 */
void bh_utf8_mend(char *text);
