/* out.h - every answer as text or as JSON: tables that fit the width, colours, safe text.
 *
 * Whatever reaches a terminal may come from a pod (labels, process names, paths), so control
 * characters and bytes that are not UTF-8 are shown as '?'. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/own.h"

#define BH_OUT_WIDTH 100

enum bh_paint { BH_PLAIN, BH_GOOD, BH_BAD, BH_WARN, BH_FAINT, BH_BOLD };

struct bh_out {
	FILE *f;
	bool has_colour;
	unsigned width; /* columns; BH_OUT_WIDTH */
};

/* true when f is a terminal and neither NO_COLOR nor TERM=dumb forbids colours. */
bool bh_out_wants_colour(FILE *f);
/* Escape sequences; "" without colours. */
const char *bh_out_on(const struct bh_out *o, enum bh_paint p);
const char *bh_out_off(const struct bh_out *o, enum bh_paint p);
/* Prints one line of text, made safe. */
void bh_out_line(const struct bh_out *o, enum bh_paint p, const char *fmt, ...) BH_PRINTF(3, 4);
/* Prints text broken at blanks to the width; every line starts with `indent` blanks. */
void bh_out_wrap(const struct bh_out *o, unsigned indent, const char *text);
/* Prints text broken likewise, and made safe; every line but the first starts with `indent` blanks.
 */
void bh_out_hang(const struct bh_out *o, enum bh_paint p, unsigned indent, const char *fmt, ...)
	BH_PRINTF(4, 5);
/* Indented JSON with a newline; one line when is_compact. */
void bh_out_json(const struct bh_out *o, const json_t *j, bool is_compact);
/* Copy of text without control characters and bad bytes; the caller frees. NULL: no memory. */
char *bh_out_safe(const char *text);
/* Terminal columns of valid UTF-8 text, one per character. */
size_t bh_out_columns(const char *text);

struct bh_column {
	const char *title;
	bool is_right;	  /* numbers */
	unsigned shrinks; /* may be broken into lines, but not narrower than this; 0: never */
};

struct bh_table;
/* columns are borrowed until the table is freed. NULL: no memory. */
struct bh_table *bh_table_new(const struct bh_column *columns, size_t n);
void bh_table_free(struct bh_table *t);
void bh_table_freep(struct bh_table **t);
/* Adds the next cell, row by row from the left; NULL text is shown as "-". */
void bh_table_add(struct bh_table *t, enum bh_paint p, const char *text);
void bh_table_fmt(struct bh_table *t, enum bh_paint p, const char *fmt, ...) BH_PRINTF(3, 4);
/* Prints titles and rows. Returns 0 or -ENOMEM. */
int bh_table_print(const struct bh_table *t, const struct bh_out *o);

/* Members of an answer for showing: "-" and 0 when absent, null or of another type. */
const char *bh_show_str(const json_t *obj, const char *key);
long long bh_show_int(const json_t *obj, const char *key);
bool bh_show_bool(const json_t *obj, const char *key);
/* "a, b, c" of an array of strings, "-" when empty; the caller frees. */
char *bh_show_list(const json_t *obj, const char *key);
/* "1.5M" style of a byte count into out. */
const char *bh_show_bytes(unsigned long long n, char out[16]);
/* Paint of a verdict or a state. */
enum bh_paint bh_show_paint(const char *verdict);
