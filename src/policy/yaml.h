/* yaml.h - YAML and JSON text > a tree whose every node knows its line and column.
 *
 * Made for hostile text: at most 4 MiB per file, nesting to 64, a million nodes per file counted
 * after alias expansion. Duplicate keys, merge keys, tags beyond the core ones, control characters
 * and invalid UTF-8 are refused. Plain scalars are typed as Kubernetes tooling types them
 * (YAML 1.1: `yes` is a boolean; y and n alone are text, as most writers leave them unquoted). JSON is read by the same parser; what JSON has and YAML 1.1 has
 * not (surrogate pairs, tabs before the first brace) is rewritten first in documents that begin
 * with a brace or bracket.
 *
 * Documents are cut apart at their markers before any is parsed, so that one broken document does
 * not take the others of its file with it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define BH_YAML_MAX_BYTES (4u << 20)
#define BH_YAML_MAX_DEPTH 64
#define BH_YAML_MAX_NODES 1000000u

enum bh_yaml_type {
	BH_YAML_NULL,
	BH_YAML_BOOL,
	BH_YAML_INT,
	BH_YAML_FLOAT,
	BH_YAML_STRING,
	BH_YAML_LIST,
	BH_YAML_MAP,
};

struct bh_yaml_pair {
	const struct bh_yaml *key; /* always a scalar */
	const struct bh_yaml *value;
};

/* Immutable; lives as long as its document. Aliases share nodes. */
struct bh_yaml {
	uint8_t type;	/* enum bh_yaml_type */
	uint8_t height; /* scalars 0, containers one more than their highest child */
	bool is_open;	/* while parsing: its end has not been seen */
	uint32_t line, col;
	uint32_t weight; /* nodes in it after alias expansion, itself included */
	uint32_t n;	 /* items, pairs, or bytes of text */
	union {
		const char *text; /* scalars: unescaped, NUL-terminated, no NUL inside */
		const struct bh_yaml **items;
		struct bh_yaml_pair *pairs;
	};
};

/* A failure and where it is. line 0: not at a place. */
struct bh_yaml_err {
	struct bh_err err;
	unsigned line, col;
};

/* ---- documents ---- */

struct bh_yaml_stream {
	const char *at, *end;
	unsigned line;	/* of at, from 1 */
	uint32_t nodes; /* of all documents parsed so far */
};

struct bh_yaml_slice { /* the text of one document */
	const char *s;
	size_t n;
	unsigned line; /* its first line in the file */
};

struct bh_yaml_doc;

/* Checks size and characters of a whole file and starts to walk it. text is borrowed until the end
 * of the walk. */
int bh_yaml_open(struct bh_yaml_stream *s, const char *text, size_t len, struct bh_yaml_err *err);
/* Cuts off the next document; false at the end. Comments alone are no document. */
bool bh_yaml_next(struct bh_yaml_stream *s, struct bh_yaml_slice *ret);
/* Parses one document. The caller owns *ret. -EINVAL, or -ENOMEM. */
int bh_yaml_parse(struct bh_yaml_stream *s, const struct bh_yaml_slice *slice,
		  struct bh_yaml_doc **ret, struct bh_yaml_err *err);
void bh_yaml_doc_free(struct bh_yaml_doc *d);
void bh_yaml_doc_freep(struct bh_yaml_doc **d);
/* Never NULL; an empty document is a BH_YAML_NULL. */
const struct bh_yaml *bh_yaml_root(const struct bh_yaml_doc *d);

/* ---- reading a tree ---- */

/* Writes the sentence and the place of `at`; returns -EINVAL. */
int bh_yaml_fail(struct bh_yaml_err *err, const struct bh_yaml *at, const char *fmt, ...)
	BH_PRINTF(3, 4);
/* "file:line:col: sentence" for callers who keep no places. Returns err's code. */
int bh_yaml_report(const struct bh_yaml_err *err, const char *file, struct bh_err *ret_err);

/* "a string", "a boolean" ... as messages say it; null is "nothing". */
const char *bh_yaml_type_text(enum bh_yaml_type type);
/* The value of a key; NULL when map is no map, the key is absent, or its value is null. */
const struct bh_yaml *bh_yaml_find(const struct bh_yaml *map, const char *key);
/* Fails at the first key of a map that is not in keys (NULL-terminated): "unknown field 'x'". */
int bh_yaml_check_keys(const struct bh_yaml *map, const char *const *keys, struct bh_yaml_err *err);
/* Fails unless n has this type: "<what>: expected a list, found a string". what NULL: no prefix. */
int bh_yaml_expect(const struct bh_yaml *n, enum bh_yaml_type type, const char *what,
		   struct bh_yaml_err *err);

/* Members of a map. Absent (or null): *ret is left as it is and 0 is returned unless `required`:
 * then "'key' is missing". Wrong type: "'key': expected a string, found a boolean; quote it". */
int bh_yaml_get_str(const struct bh_yaml *map, const char *key, bool required, const char **ret,
		    struct bh_yaml_err *err);
int bh_yaml_get_bool(const struct bh_yaml *map, const char *key, bool required, bool *ret,
		     struct bh_yaml_err *err);
int bh_yaml_get_list(const struct bh_yaml *map, const char *key, bool required,
		     const struct bh_yaml **ret, struct bh_yaml_err *err);
int bh_yaml_get_map(const struct bh_yaml *map, const char *key, bool required,
		    const struct bh_yaml **ret, struct bh_yaml_err *err);
struct bh_yaml_range {
	int64_t min, max;
};
/* Also fails outside of the range: "'key': 70000 is not 1-65535". */
int bh_yaml_get_int(const struct bh_yaml *map, const char *key, bool required,
		    struct bh_yaml_range range, int64_t *ret, struct bh_yaml_err *err);
/* RFC 3339 date and time, quoted or not > Unix seconds; a fraction is dropped. */
int bh_yaml_get_time(const struct bh_yaml *map, const char *key, bool required, int64_t *ret,
		     struct bh_yaml_err *err);

/* The number of a BH_YAML_INT (decimal, 0x, 0o, 0b, leading 0: octal). -ERANGE beyond 64 bits. */
int bh_yaml_int(const struct bh_yaml *n, int64_t *ret);
/* What a plain (unquoted) scalar is. */
enum bh_yaml_type bh_yaml_plain_type(const char *s, size_t n);
/* RFC 3339 > Unix seconds; -EINVAL. */
int bh_time_parse(const char *s, int64_t *ret_s);

/* 64-bit hash of a tree's content; with_places: lines and columns count too. */
uint64_t bh_yaml_hash(const struct bh_yaml *n, bool with_places);
/* Appends the tree as one line of JSON that this parser reads back alike. */
void bh_yaml_dump(const struct bh_yaml *n, struct bh_str *out);
/* Appends s as a JSON string with its quotes. */
void bh_yaml_dump_string(const char *s, struct bh_str *out);
