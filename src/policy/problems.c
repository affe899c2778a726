#include "policy/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/vec.h"

static void problem_done(struct bh_problem *p)
{
	free(p->file);
	free(p->object);
	free(p->text);
}

/* What is quoted from a manifest goes to terminals and into JSON. */
void bh_problem_scrub(char *text)
{
	size_t left = strlen(text), n;

	for (; left; text += n, left -= n) {
		bool is_c1 =
			left > 1 && (unsigned char)text[0] == 0xc2 && (unsigned char)text[1] < 0xa0;

		n = bh_utf8_len(text, left);
		if (n == 1 && (unsigned char)*text >= 0x20 && *text != 0x7f)
			continue;
		if (n > 1 && !is_c1)
			continue;
		*text = '?';
		if (n > 1)
			text[1] = '?';
		n = n ? n : 1;
	}
}

int bh_problems_add(struct bh_problems *p, enum bh_problem_level level,
		    const struct bh_about *about, const char *fmt, ...)
{
	struct bh_problem x = {.level = level};
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&x.text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	bh_problem_scrub(x.text);
	x.line = about->place.line;
	x.col = about->place.col;
	x.file = about->place.file ? strdup(about->place.file) : NULL;
	x.object = about->object ? strdup(about->object) : NULL;
	if ((about->place.file && !x.file) || (about->object && !x.object) || bh_vec_push(p, x)) {
		problem_done(&x);
		return -ENOMEM;
	}
	return 0;
}

void bh_problems_done(struct bh_problems *p)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		problem_done(&p->v[i]);
	free(p->v);
	*p = (struct bh_problems){0};
}
