/* calls.h - texts of public data sets > traces of calls.
 *
 * A line of nothing but numbers is that many calls (ADFA-LD: all of a trace on one line), and so is
 * a line of nothing but names of calls. Of other lines one word is the call: that of the column in
 * which most lines have the name of a system call (libseccomp's list), else the line's first such
 * name, else its first word that begins like a name. So "openat", "openat(3, ...", "417 openat",
 * "sys_enter_openat", "12:00:01 417 redis-server openat", strace's, perf's and sysdig's lines, CSV
 * and JSON lines all say openat, and so does OPENAT. Where a file has a call's entry and its return
 * (sys_enter_ and sys_exit_, > and <), returns are left out, and so are strace's resumed calls and
 * its signals. Empty lines, lines that begin with #, a line of titles and a byte-order mark are
 * nothing. What a text holds besides is never an error.
 *
 * Every word gets a number of its own in the order of appearance: a model knows orders, not
 * meanings. Beyond 510 different words all further ones are one. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "base/vec.h"

BH_VEC_TYPE(bh_calls, uint16_t);

struct bh_words {
	struct bh_map numbers; /* word > number + 1 */
	struct bh_map odd;     /* names among them that no system call has */
	size_t beyond;	       /* calls that found no number of their own */
};

/* Appends the calls of a text. 0 or -ENOMEM. */
int bh_calls_parse(const char *text, size_t len, struct bh_words *w, struct bh_calls *out);
void bh_words_done(struct bh_words *w);
