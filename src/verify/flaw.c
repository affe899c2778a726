#include "verify/flaw.h"

#include <errno.h>
#include <stdio.h>

int bh_flaw(struct bh_flaw *f, enum bh_image_word word, const char *fmt, ...)
{
	char text[BH_ERR_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	f->word = word;
	return bh_fail(&f->err, EBADMSG, "%s", text);
}

int bh_flaw_note(struct bh_flaw *f, int r, const char *what)
{
	return bh_note(&f->err, r, "%s", what);
}

void bh_flaw_keep(struct bh_flaw *best, const struct bh_flaw *f)
{
	if (f->word > best->word)
		*best = *f;
}
