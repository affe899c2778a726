/* toml_value.h - the parts of TOML below a line: blanks, keys, values. Inside toml*.c only. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/vec.h"

/* Tables remember how they came to be: that decides who may add to them. */
enum bh_toml_kind {
	BH_TOML_IMPLICIT, /* [a.b] made a */
	BH_TOML_HEADER,	  /* [a] */
	BH_TOML_DOTTED,	  /* a.b = 1 made a */
	BH_TOML_CLOSED,	  /* {...}, and arrays written as values */
	BH_TOML_LIST,	  /* [[a]] */
};

struct bh_toml_node {
	const json_t *j; /* compared, never followed */
	enum bh_toml_kind kind;
};

struct bh_toml {
	const char *at, *end;
	unsigned line, depth;
	BH_VEC(struct bh_toml_node) nodes;
	struct bh_err *err;
};

/* Fails with the line in front; returns -EINVAL. */
int bh_toml_fail(struct bh_toml *t, const char *fmt, ...) BH_PRINTF(2, 3);
int bh_toml_no_memory(struct bh_toml *t);

/* Remembers how j came to be. -EINVAL when there are too many. */
int bh_toml_mark(struct bh_toml *t, const json_t *j, enum bh_toml_kind kind);
/* Of tables and arrays; scalars are CLOSED. */
enum bh_toml_kind bh_toml_kind_of(const struct bh_toml *t, const json_t *j);

void bh_toml_blanks(struct bh_toml *t);	 /* spaces and tabs */
int bh_toml_line_end(struct bh_toml *t); /* blanks, a comment, then a line's end or the text's */
bool bh_toml_take(struct bh_toml *t, char c);

/* A dotted key as an array of strings. */
int bh_toml_key(struct bh_toml *t, json_t **ret);
/* "key = value" into table; dotted keys make tables. */
int bh_toml_pair(struct bh_toml *t, json_t *table);
