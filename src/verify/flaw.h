/* flaw.h - what is wrong with one signature: a word for machines and a sentence for people. It is
 * the bh_err of this folder; a flaw ends one candidate, not the whole verification. */
#pragma once

#include "base/err.h"
#include "verify/word.h"

struct bh_flaw {
	enum bh_image_word word; /* OK while nothing is wrong */
	struct bh_err err;
};

/* Records and returns -EBADMSG. */
int bh_flaw(struct bh_flaw *f, enum bh_image_word word, const char *fmt, ...) BH_PRINTF(3, 4);

/* Puts context before the sentence of a flaw on its way up; returns r. */
int bh_flaw_note(struct bh_flaw *f, int r, const char *what);

/* Keeps in *best the flaw that got further, see word.h. */
void bh_flaw_keep(struct bh_flaw *best, const struct bh_flaw *f);
