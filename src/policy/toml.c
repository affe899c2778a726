#include "policy/toml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "policy/toml_value.h"

#define MAX_NODES 4096

int bh_toml_fail(struct bh_toml *t, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return bh_fail(t->err, EINVAL, "line %u: %s", t->line, text);
}

int bh_toml_no_memory(struct bh_toml *t)
{
	return bh_fail(t->err, ENOMEM, "TOML");
}

int bh_toml_mark(struct bh_toml *t, const json_t *j, enum bh_toml_kind kind)
{
	bh_vec_each (n, &t->nodes) {
		if (n->j == j) {
			n->kind = kind;
			return 0;
		}
	}
	if (t->nodes.n >= MAX_NODES)
		return bh_toml_fail(t, "more than %d tables and lists", MAX_NODES);
	return bh_vec_push(&t->nodes, ((struct bh_toml_node){j, kind})) ? bh_toml_no_memory(t) : 0;
}

enum bh_toml_kind bh_toml_kind_of(const struct bh_toml *t, const json_t *j)
{
	for (size_t i = 0; i < t->nodes.n; i++) {
		if (t->nodes.v[i].j == j)
			return t->nodes.v[i].kind;
	}
	return BH_TOML_CLOSED;
}

/* ---- headers ---- */

static int add_table(struct bh_toml *t, json_t *parent, const char *key, enum bh_toml_kind kind,
		     json_t **ret)
{
	json_t *j = json_object();

	if (!j || (json_is_array(parent) ? json_array_append_new(parent, j)
					 : json_object_set_new(parent, key, j)))
		return bh_toml_no_memory(t);
	*ret = j;
	return bh_toml_mark(t, j, kind);
}

/* The table that all parts of a header but the last lead to. */
static int walk(struct bh_toml *t, json_t *root, const json_t *path, json_t **ret)
{
	json_t *at = root;

	for (size_t i = 0; i + 1 < json_array_size(path); i++) {
		const char *key = json_string_value(json_array_get(path, i));
		json_t *next = json_object_get(at, key);
		int r = 0;

		if (!next)
			r = add_table(t, at, key, BH_TOML_IMPLICIT, &next);
		else if (bh_toml_kind_of(t, next) == BH_TOML_LIST)
			next = json_array_get(next, json_array_size(next) - 1);
		else if (bh_toml_kind_of(t, next) == BH_TOML_CLOSED)
			r = bh_toml_fail(t, "'%.100s' is a value and takes no more keys", key);
		if (r)
			return r;
		at = next;
	}
	*ret = at;
	return 0;
}

static int open_table(struct bh_toml *t, json_t *parent, const char *key, json_t **ret)
{
	json_t *old = json_object_get(parent, key);

	if (!old)
		return add_table(t, parent, key, BH_TOML_HEADER, ret);
	if (bh_toml_kind_of(t, old) != BH_TOML_IMPLICIT)
		return bh_toml_fail(t, "'%.100s' is defined twice", key);
	*ret = old;
	return bh_toml_mark(t, old, BH_TOML_HEADER);
}

static int open_list(struct bh_toml *t, json_t *parent, const char *key, json_t **ret)
{
	json_t *list = json_object_get(parent, key);
	int r = 0;

	if (list && bh_toml_kind_of(t, list) != BH_TOML_LIST)
		return bh_toml_fail(t, "'%.100s' is defined twice", key);
	if (!list) {
		list = json_array();
		if (!list || json_object_set_new(parent, key, list))
			return bh_toml_no_memory(t);
		r = bh_toml_mark(t, list, BH_TOML_LIST);
	}
	return r ? r : add_table(t, list, NULL, BH_TOML_HEADER, ret);
}

/* "[a.b]" or "[[a.b]]" */
static int read_header(struct bh_toml *t, json_t *root, json_t **ret)
{
	BH_CLEANUP(bh_json_decrefp) json_t *path = NULL;
	bool is_list;
	json_t *parent = NULL;
	const char *last;
	int r;

	t->at++;
	is_list = bh_toml_take(t, '[');
	bh_toml_blanks(t);
	r = bh_toml_key(t, &path);
	if (r)
		return r;
	if (!bh_toml_take(t, ']') || (is_list && !bh_toml_take(t, ']')))
		return bh_toml_fail(t, "a table's name does not end with ']'");
	r = walk(t, root, path, &parent);
	if (r)
		return r;
	last = json_string_value(json_array_get(path, json_array_size(path) - 1));
	return is_list ? open_list(t, parent, last, ret) : open_table(t, parent, last, ret);
}

/* ---- the document ---- */

static int read_lines(struct bh_toml *t, json_t *root)
{
	json_t *table = root;
	int r = 0;

	while (!r && t->at < t->end) {
		bh_toml_blanks(t);
		if (t->at < t->end && *t->at == '[')
			r = read_header(t, root, &table);
		else if (t->at < t->end && !strchr("#\r\n", *t->at))
			r = bh_toml_pair(t, table);
		if (!r)
			r = bh_toml_line_end(t);
	}
	return r;
}

int bh_toml_parse(const char *text, size_t len, json_t **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *root = json_object();
	struct bh_toml t = {.at = text, .end = text + len, .line = 1, .err = err};
	int r;

	if (len > BH_TOML_MAX_BYTES)
		return bh_fail(err, EFBIG, "more than %u bytes", BH_TOML_MAX_BYTES);
	if (!root)
		return bh_fail(err, ENOMEM, "TOML");
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		t.at += 3;
	r = bh_toml_mark(&t, root, BH_TOML_HEADER);
	if (!r)
		r = read_lines(&t, root);
	bh_vec_done(&t.nodes);
	if (r)
		return r;
	*ret = BH_TAKE(root);
	return 0;
}
