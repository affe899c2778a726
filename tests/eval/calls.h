/* calls.h - texts of public data sets > traces of calls.
 *
 * A line of nothing but numbers is that many calls (ADFA-LD: all of a trace on one line); of any
 * other line the first word that begins like a name is one call ("openat(3, ..." and "417 openat"
 * are openat). Empty lines, lines that begin with # and a byte-order mark are nothing. Commas and
 * semicolons separate like spaces; what a text holds besides is never an error.
 *
 * Every word gets a number of its own in the order of appearance, whatever it says: a model knows
 * orders, not meanings. Beyond 510 different words all further ones are one. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "base/vec.h"

BH_VEC_TYPE(bh_calls, uint16_t);

struct bh_words {
	struct bh_map numbers; /* word > number + 1 */
};

/* Appends the calls of a text. 0 or -ENOMEM. */
int bh_calls_parse(const char *text, size_t len, struct bh_words *w, struct bh_calls *out);
void bh_words_done(struct bh_words *w);
