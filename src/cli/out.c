#include "cli/out.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "base/vec.h"

static const char *const codes[] = {
	[BH_PLAIN] = "",	[BH_GOOD] = "\033[32m", [BH_BAD] = "\033[31m",
	[BH_WARN] = "\033[33m", [BH_FAINT] = "\033[2m", [BH_BOLD] = "\033[1m",
};

bool bh_out_wants_colour(FILE *f)
{
	const char *no = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return isatty(fileno(f)) && !(no && *no) && term && strcmp(term, "dumb");
}

const char *bh_out_on(const struct bh_out *o, enum bh_paint p)
{
	return o->has_colour ? codes[p] : "";
}

const char *bh_out_off(const struct bh_out *o, enum bh_paint p)
{
	return o->has_colour && p != BH_PLAIN ? "\033[0m" : "";
}

/* ---- text ---- */

/* Whether the character of n bytes may be shown: no controls (C0, DEL, C1). n 0: a bad byte. */
static bool is_shown(const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s;

	if (n == 1)
		return u[0] >= 0x20 && u[0] != 0x7f;
	if (n == 2)
		return u[0] != 0xc2 || u[1] >= 0xa0;
	return n;
}

char *bh_out_safe(const char *text)
{
	BH_CLEANUP(bh_str_done) struct bh_str s = {0};
	size_t left = strlen(text);

	if (!left)
		return bh_strf("%s", "");
	while (left) {
		size_t n = bh_utf8_len(text, left);
		bool shows = is_shown(text, n);

		bh_str_addn(&s, shows ? text : "?", shows ? n : 1);
		n = n ? n : 1;
		text += n;
		left -= n;
	}
	return bh_str_take(&s);
}

size_t bh_out_columns(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* The caller's; NULL: no memory. */
static char *BH_PRINTF(1, 0) safe_format(const char *fmt, va_list ap)
{
	BH_CLEANUP(bh_freep) char *text = NULL;

	if (vasprintf(&text, fmt, ap) >= 0)
		return bh_out_safe(text);
	text = NULL;
	return NULL;
}

void bh_out_line(const struct bh_out *o, enum bh_paint p, const char *fmt, ...)
{
	BH_CLEANUP(bh_freep) char *safe = NULL;
	va_list ap;

	va_start(ap, fmt);
	safe = safe_format(fmt, ap);
	va_end(ap);
	if (safe)
		fprintf(o->f, "%s%s%s\n", bh_out_on(o, p), safe, bh_out_off(o, p));
}

/* Bytes of the next line of at most `room` columns: up to a break after a blank, '/' or ',' if
 * there is one in the line's second half, else cut. */
static size_t line_len(const char *text, size_t room)
{
	size_t columns = 0, good = 0, i = 0;

	while (text[i] && columns < room) {
		bool is_break;

		is_break = text[i] == ' ' || text[i] == ',' || text[i] == '/';
		do
			i++;
		while (((unsigned char)text[i] & 0xc0) == 0x80);
		columns++;
		if (is_break)
			good = i;
	}
	if (!text[i] || text[i] == ' ')
		return i;
	return good > i / 2 ? good : i;
}

/* Length without trailing blanks. */
static size_t trimmed(const char *text, size_t n)
{
	while (n && text[n - 1] == ' ')
		n--;
	return n;
}

void bh_out_wrap(const struct bh_out *o, unsigned indent, const char *text)
{
	BH_CLEANUP(bh_freep) char *safe = bh_out_safe(text);
	const char *s = safe;

	while (s && *s) {
		size_t n = line_len(s, o->width - indent);

		fprintf(o->f, "%*s%.*s\n", (int)indent, "", (int)trimmed(s, n), s);
		for (s += n; *s == ' '; s++)
			;
	}
}

void bh_out_hang(const struct bh_out *o, enum bh_paint p, unsigned indent, const char *fmt, ...)
{
	BH_CLEANUP(bh_freep) char *safe = NULL;
	unsigned blanks = 0;
	const char *s;
	va_list ap;

	va_start(ap, fmt);
	safe = safe_format(fmt, ap);
	va_end(ap);
	for (s = safe; s && *s; blanks = indent) {
		size_t len = line_len(s, o->width - blanks);

		fprintf(o->f, "%*s%s%.*s%s\n", (int)blanks, "", bh_out_on(o, p),
			(int)trimmed(s, len), s, bh_out_off(o, p));
		for (s += len; *s == ' '; s++)
			;
	}
}

void bh_out_json(const struct bh_out *o, const json_t *j, bool is_compact)
{
	json_dumpf(j, o->f, JSON_ENCODE_ANY | (is_compact ? JSON_COMPACT : JSON_INDENT(2)));
	fputc('\n', o->f);
}

/* ---- tables ---- */

struct cell {
	char *text;
	enum bh_paint paint;
};

struct bh_table {
	const struct bh_column *columns;
	size_t n_columns;
	struct cell *cells;
	size_t n, cap;
	bool failed;
};

struct bh_table *bh_table_new(const struct bh_column *columns, size_t n)
{
	struct bh_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->columns = columns;
	t->n_columns = n;
	return t;
}

void bh_table_free(struct bh_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		free(t->cells[i].text);
	free(t->cells);
	free(t);
}

void bh_table_freep(struct bh_table **t)
{
	bh_table_free(*t);
	*t = NULL;
}

void bh_table_add(struct bh_table *t, enum bh_paint p, const char *text)
{
	char *safe;

	if (!t || t->failed)
		return;
	safe = bh_out_safe(text ? text : "-");
	if (!safe || bh_vec_reserve_((void **)&t->cells, &t->cap, t->n + 1, sizeof(*t->cells))) {
		free(safe);
		t->failed = true;
		return;
	}
	t->cells[t->n++] = (struct cell){safe, p};
}

void bh_table_fmt(struct bh_table *t, enum bh_paint p, const char *fmt, ...)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	if (t && !text)
		t->failed = true;
	bh_table_add(t, p, text);
}

/* Natural widths, then the widest shrinking column gives way until all fit. */
static void fit(const struct bh_table *t, unsigned width, size_t *w)
{
	size_t total = 2 * (t->n_columns - 1);

	for (size_t c = 0; c < t->n_columns; c++) {
		w[c] = bh_out_columns(t->columns[c].title);
		for (size_t i = c; i < t->n; i += t->n_columns) {
			size_t n = bh_out_columns(t->cells[i].text);

			w[c] = n > w[c] ? n : w[c];
		}
		total += w[c];
	}
	while (total > width) {
		size_t widest = t->n_columns;

		for (size_t c = 0; c < t->n_columns; c++) {
			if (!t->columns[c].shrinks || w[c] <= t->columns[c].shrinks)
				continue;
			if (widest == t->n_columns || w[c] > w[widest])
				widest = c;
		}
		if (widest == t->n_columns)
			return;
		w[widest]--;
		total--;
	}
}

struct piece {
	const char *text; /* what is left of the cell */
	enum bh_paint paint;
};

/* Prints one line of each piece; false when nothing was left. */
static bool print_line(const struct bh_table *t, const struct bh_out *o, struct piece *p,
		       const size_t *w)
{
	size_t last = t->n_columns, pad = 0;

	for (size_t c = 0; c < t->n_columns; c++)
		last = *p[c].text ? c : last;
	if (last == t->n_columns)
		return false;
	for (size_t c = 0; c <= last; c++) {
		size_t n = line_len(p[c].text, w[c]);
		size_t show = trimmed(p[c].text, n);
		size_t columns = 0;

		for (size_t i = 0; i < show; i++)
			columns += ((unsigned char)p[c].text[i] & 0xc0) != 0x80;
		pad += t->columns[c].is_right ? w[c] - columns : 0;
		fprintf(o->f, "%*s%s%.*s%s", (int)pad, "", bh_out_on(o, p[c].paint), (int)show,
			p[c].text, bh_out_off(o, p[c].paint));
		pad = 2 + (t->columns[c].is_right ? 0 : w[c] - columns);
		for (p[c].text += n; *p[c].text == ' '; p[c].text++)
			;
	}
	fputc('\n', o->f);
	return true;
}

int bh_table_print(const struct bh_table *t, const struct bh_out *o)
{
	BH_CLEANUP(bh_freep) struct piece *p = NULL;
	BH_CLEANUP(bh_freep) size_t *w = NULL;

	if (!t || t->failed)
		return -ENOMEM;
	p = calloc(t->n_columns, sizeof(*p));
	w = calloc(t->n_columns, sizeof(*w));
	if (!p || !w)
		return -ENOMEM;
	fit(t, o->width, w);
	for (size_t c = 0; c < t->n_columns; c++)
		p[c] = (struct piece){t->columns[c].title, BH_BOLD};
	while (print_line(t, o, p, w))
		;
	for (size_t row = 0; row + t->n_columns <= t->n; row += t->n_columns) {
		for (size_t c = 0; c < t->n_columns; c++)
			p[c] = (struct piece){t->cells[row + c].text, t->cells[row + c].paint};
		while (print_line(t, o, p, w))
			;
	}
	return 0;
}
