/* yaml_get.c - reading a tree: typed members, sentences with places, and writing it out again. */
#include "policy/yaml.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"

int bh_yaml_fail(struct bh_yaml_err *err, const struct bh_yaml *at, const char *fmt, ...)
{
	char text[BH_ERR_TEXT +
		  8]; /* more than fits, so that bh_fail cuts where a character ends */
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err->line = at->line;
	err->col = at->col;
	return bh_fail(&err->err, EINVAL, "%s", text);
}

int bh_yaml_report(const struct bh_yaml_err *err, const char *file, struct bh_err *ret_err)
{
	if (err->line)
		return bh_fail(ret_err, -err->err.code, "%s:%u:%u: %s", file, err->line, err->col,
			       err->err.text);
	return bh_fail(ret_err, -err->err.code, "%s: %s", file, err->err.text);
}

const char *bh_yaml_type_text(enum bh_yaml_type type)
{
	static const char *const texts[] = {"nothing",	"a boolean", "a number", "a number",
					    "a string", "a list",    "a map"};

	return texts[type];
}

/* The key may be absent, the value null. */
static const struct bh_yaml *member(const struct bh_yaml *map, const char *key)
{
	size_t i;

	if (map->type != BH_YAML_MAP)
		return NULL;
	for (i = 0; i < map->n; i++) {
		if (!strcmp(map->pairs[i].key->text, key))
			return map->pairs[i].value;
	}
	return NULL;
}

const struct bh_yaml *bh_yaml_find(const struct bh_yaml *map, const char *key)
{
	const struct bh_yaml *n = member(map, key);

	return n && n->type != BH_YAML_NULL ? n : NULL;
}

int bh_yaml_check_keys(const struct bh_yaml *map, const char *const *keys, struct bh_yaml_err *err)
{
	size_t i, k;

	for (i = 0; map->type == BH_YAML_MAP && i < map->n; i++) {
		for (k = 0; keys[k] && strcmp(keys[k], map->pairs[i].key->text); k++)
			continue;
		if (!keys[k])
			return bh_yaml_fail(err, map->pairs[i].key, "unknown field '%s'",
					    map->pairs[i].key->text);
	}
	return 0;
}

int bh_yaml_expect(const struct bh_yaml *n, enum bh_yaml_type type, const char *what,
		   struct bh_yaml_err *err)
{
	bool is_quotable =
		type == BH_YAML_STRING && n->type > BH_YAML_NULL && n->type < BH_YAML_STRING;

	if (n->type == type)
		return 0;
	if (type == BH_YAML_INT && n->type == BH_YAML_FLOAT)
		return bh_yaml_fail(err, n, "%s%s%s is not a whole number", what ? what : "",
				    what ? ": " : "", n->text);
	return bh_yaml_fail(err, n, "%s%sexpected %s, found %s%s", what ? what : "",
			    what ? ": " : "", bh_yaml_type_text(type), bh_yaml_type_text(n->type),
			    is_quotable ? "; quote it" : "");
}

/* *ret: the member, or NULL when it is absent and may be. */
static int get(const struct bh_yaml *map, const char *key, bool required, enum bh_yaml_type type,
	       const struct bh_yaml **ret, struct bh_yaml_err *err)
{
	const struct bh_yaml *n = bh_yaml_find(map, key);
	char what[80];

	*ret = n;
	if (!n && required)
		return bh_yaml_fail(err, map, "'%s' is missing", key);
	if (!n)
		return 0;
	snprintf(what, sizeof(what), "'%s'", key);
	return bh_yaml_expect(n, type, what, err);
}

int bh_yaml_get_str(const struct bh_yaml *map, const char *key, bool required, const char **ret,
		    struct bh_yaml_err *err)
{
	const struct bh_yaml *n;
	int r = get(map, key, required, BH_YAML_STRING, &n, err);

	if (!r && n)
		*ret = n->text;
	return r;
}

int bh_yaml_get_bool(const struct bh_yaml *map, const char *key, bool required, bool *ret,
		     struct bh_yaml_err *err)
{
	const struct bh_yaml *n;
	int r = get(map, key, required, BH_YAML_BOOL, &n, err);

	/* The words for true are true, yes and on in three spellings each. */
	if (!r && n)
		*ret = strchr("tTyY", *n->text) || !strcmp(n->text, "on") ||
		       !strcmp(n->text, "On") || !strcmp(n->text, "ON");
	return r;
}

static int get_into(const struct bh_yaml *map, const char *key, bool required,
		    enum bh_yaml_type type, const struct bh_yaml **ret, struct bh_yaml_err *err)
{
	const struct bh_yaml *n;
	int r = get(map, key, required, type, &n, err);

	if (!r && n)
		*ret = n;
	return r;
}

int bh_yaml_get_list(const struct bh_yaml *map, const char *key, bool required,
		     const struct bh_yaml **ret, struct bh_yaml_err *err)
{
	return get_into(map, key, required, BH_YAML_LIST, ret, err);
}

int bh_yaml_get_map(const struct bh_yaml *map, const char *key, bool required,
		    const struct bh_yaml **ret, struct bh_yaml_err *err)
{
	return get_into(map, key, required, BH_YAML_MAP, ret, err);
}

int bh_yaml_get_int(const struct bh_yaml *map, const char *key, bool required,
		    struct bh_yaml_range range, int64_t *ret, struct bh_yaml_err *err)
{
	const struct bh_yaml *n;
	int64_t v = 0;
	int r = get(map, key, required, BH_YAML_INT, &n, err);

	if (r || !n)
		return r;
	if (bh_yaml_int(n, &v) || v < range.min || v > range.max)
		return bh_yaml_fail(err, n, "'%s': %s is not %" PRId64 "-%" PRId64, key, n->text,
				    range.min, range.max);
	*ret = v;
	return 0;
}

int bh_yaml_get_time(const struct bh_yaml *map, const char *key, bool required, int64_t *ret,
		     struct bh_yaml_err *err)
{
	const struct bh_yaml *n;
	int64_t v = 0;
	int r = get(map, key, required, BH_YAML_STRING, &n, err);

	if (r || !n)
		return r;
	if (bh_time_parse(n->text, &v))
		return bh_yaml_fail(err, n, "'%s': '%s' is not a time like 2027-01-31T00:00:00Z",
				    key, n->text);
	*ret = v;
	return 0;
}

uint64_t bh_yaml_hash(const struct bh_yaml *n, bool with_places)
{
	/* null has many spellings. */
	uint64_t h = (uint64_t)n->type << 32 | (n->type == BH_YAML_NULL ? 0 : n->n);
	size_t i;

	if (with_places)
		h += ((uint64_t)n->line << 20 | n->col) * 0x9e3779b97f4a7c15u;
	if (n->type == BH_YAML_NULL)
		return h;
	if (n->type < BH_YAML_LIST)
		return bh_hash(n->text, n->n, h);
	for (i = 0; i < n->n; i++) {
		uint64_t kid[3] = {h};

		if (n->type == BH_YAML_LIST) {
			kid[1] = bh_yaml_hash(n->items[i], with_places);
		} else {
			kid[1] = bh_yaml_hash(n->pairs[i].key, with_places);
			kid[2] = bh_yaml_hash(n->pairs[i].value, with_places);
		}
		h = bh_hash(kid, sizeof(kid), h);
	}
	return h;
}

/* Two-byte forms (C1 controls) and the three-byte ones that text must not hold as they are. */
static bool needs_escape(const unsigned char *s)
{
	return (s[0] == 0xc2 && s[1] < 0xa0) ||
	       (s[0] == 0xe2 && s[1] == 0x80 && (s[2] == 0xa8 || s[2] == 0xa9)) ||
	       (s[0] == 0xef && s[1] == 0xbb && s[2] == 0xbf) ||
	       (s[0] == 0xef && s[1] == 0xbf && s[2] >= 0xbe);
}

void bh_yaml_dump_string(const char *text, struct bh_str *out)
{
	const unsigned char *s = (const unsigned char *)text;

	bh_str_add(out, "\"");
	for (; *s; s++) {
		if (*s == '"' || *s == '\\') {
			bh_str_fmt(out, "\\%c", *s);
		} else if (*s < 0x20 || *s == 0x7f) {
			bh_str_fmt(out, "\\u%04x", *s);
		} else if (needs_escape(s)) {
			bh_str_fmt(out, "\\u%04x",
				   *s < 0xe0 ? (*s & 0x1fu) << 6 | (s[1] & 0x3fu)
					     : (*s & 0x0fu) << 12 | (s[1] & 0x3fu) << 6 |
						       (s[2] & 0x3fu));
			s += *s < 0xe0 ? 1 : 2;
		} else {
			bh_str_addn(out, s, 1);
		}
	}
	bh_str_add(out, "\"");
}

static void dump_scalar(const struct bh_yaml *n, struct bh_str *out)
{
	if (n->type == BH_YAML_STRING)
		bh_yaml_dump_string(n->text, out);
	else
		bh_str_add(out, n->type == BH_YAML_NULL ? "null" : n->text);
}

/* Longer keys than 1024 characters are only understood behind a question mark. */
static void dump_key(const struct bh_yaml *key, struct bh_str *out)
{
	if (key->n > 100)
		bh_str_add(out, "? ");
	dump_scalar(key, out);
	bh_str_add(out, key->n > 100 ? " : " : ": ");
}

void bh_yaml_dump(const struct bh_yaml *n, struct bh_str *out)
{
	bool is_map = n->type == BH_YAML_MAP;
	size_t i;

	if (n->type < BH_YAML_LIST) {
		dump_scalar(n, out);
		return;
	}
	bh_str_add(out, is_map ? "{" : "[");
	for (i = 0; i < n->n; i++) {
		bh_str_add(out, i ? ", " : "");
		if (is_map) {
			dump_key(n->pairs[i].key, out);
			bh_yaml_dump(n->pairs[i].value, out);
		} else {
			bh_yaml_dump(n->items[i], out);
		}
	}
	bh_str_add(out, is_map ? "}" : "]");
}
