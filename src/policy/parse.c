#include "policy/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/syntax.h"

struct bh_place bh_parse_place(const struct bh_parse *p, const struct bh_yaml *at)
{
	return (struct bh_place){.file = p->file, .line = at->line, .col = at->col};
}

void bh_parse_no_memory(struct bh_parse *p)
{
	p->has_no_memory = true;
	p->is_refused = true;
}

static void add(struct bh_parse *p, enum bh_problem_level level, const struct bh_place *place,
		const char *text)
{
	struct bh_about about = {.place = *place, .object = p->object}, file = {.place = *place};
	int r = 0;

	if (p->problems->n < BH_PARSE_MAX_PROBLEMS)
		r = bh_problems_add(p->problems, level, &about, "%s", text);
	else if (p->problems->n == BH_PARSE_MAX_PROBLEMS)
		r = bh_problems_add(p->problems, BH_PROBLEM_ERROR, &file,
				    "more than %d problems; the rest of the file's are not listed",
				    BH_PARSE_MAX_PROBLEMS);
	if (r)
		bh_parse_no_memory(p);
}

static void refuse(struct bh_parse *p, const struct bh_place *place, const char *text)
{
	add(p, BH_PROBLEM_ERROR, place, text);
	p->is_refused = true;
	if (p->why)
		return;
	p->why = bh_strf("%u:%u: %s", place->line, place->col, text);
	if (p->why)
		bh_problem_scrub(p->why);
	else
		bh_parse_no_memory(p);
}

void bh_parse_refuse(struct bh_parse *p, const struct bh_yaml *at, const char *fmt, ...)
{
	struct bh_place place = bh_parse_place(p, at);
	char text[BH_ERR_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	refuse(p, &place, text);
}

void bh_parse_fail(struct bh_parse *p, const struct bh_yaml_err *e)
{
	struct bh_place place = {.file = p->file, .line = e->line, .col = e->col};

	if (e->err.code == -ENOMEM)
		bh_parse_no_memory(p);
	else
		refuse(p, &place, e->err.text);
}

void bh_parse_unknown(struct bh_parse *p, const struct bh_yaml *at, const char *fmt, ...)
{
	struct bh_place place = bh_parse_place(p, at);
	char text[BH_ERR_TEXT], full[BH_ERR_TEXT + 64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!p->inert) {
		refuse(p, &place, text);
		return;
	}
	*p->inert = true;
	snprintf(full, sizeof(full), "%s; %s", text, p->inert_text);
	add(p, BH_PROBLEM_ERROR, &place, full);
}

void bh_parse_warn(struct bh_parse *p, const struct bh_yaml *at, const char *fmt, ...)
{
	struct bh_place place = bh_parse_place(p, at);
	char text[BH_ERR_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add(p, BH_PROBLEM_WARNING, &place, text);
}

void bh_parse_keys(struct bh_parse *p, const struct bh_yaml *map, const char *const *keys)
{
	size_t i, k;

	for (i = 0; map->type == BH_YAML_MAP && i < map->n; i++) {
		for (k = 0; keys[k] && strcmp(keys[k], map->pairs[i].key->text); k++)
			continue;
		if (!keys[k])
			bh_parse_unknown(p, map->pairs[i].key, "unknown field '%s'",
					 map->pairs[i].key->text);
	}
}

const char *bh_parse_str(struct bh_parse *p, const struct bh_yaml *map, const char *key,
			 bool required)
{
	const char *s = NULL;
	struct bh_yaml_err e;

	if (bh_yaml_get_str(map, key, required, &s, &e))
		bh_parse_fail(p, &e);
	return s;
}

const struct bh_yaml *bh_parse_list(struct bh_parse *p, const struct bh_yaml *map, const char *key)
{
	const struct bh_yaml *n = NULL;
	struct bh_yaml_err e;

	if (bh_yaml_get_list(map, key, false, &n, &e))
		bh_parse_fail(p, &e);
	return n;
}

const struct bh_yaml *bh_parse_map(struct bh_parse *p, const struct bh_yaml *map, const char *key)
{
	const struct bh_yaml *n = NULL;
	struct bh_yaml_err e;

	if (bh_yaml_get_map(map, key, false, &n, &e))
		bh_parse_fail(p, &e);
	return n;
}

bool bh_parse_is(struct bh_parse *p, const struct bh_yaml *n, enum bh_yaml_type type,
		 const char *what)
{
	struct bh_yaml_err e;

	if (!bh_yaml_expect(n, type, what, &e))
		return true;
	bh_parse_fail(p, &e);
	return false;
}

char *bh_parse_strdup(struct bh_parse *p, const char *s)
{
	char *copy = strdup(s);

	if (!copy)
		bh_parse_no_memory(p);
	return copy;
}

void *bh_parse_calloc(struct bh_parse *p, size_t n, size_t size)
{
	void *v = n ? calloc(n, size) : NULL;

	if (n && !v)
		bh_parse_no_memory(p);
	return v;
}

bool bh_parse_label(struct bh_parse *p, const struct bh_yaml_pair *pair)
{
	char what[BH_ERR_TEXT];

	snprintf(what, sizeof(what), "label '%s'", pair->key->text);
	if (!bh_parse_is(p, pair->key, BH_YAML_STRING, "label key") ||
	    !bh_parse_is(p, pair->value, BH_YAML_STRING, what))
		return false;
	if (!bh_is_label_key(pair->key->text)) {
		bh_parse_refuse(p, pair->key, "'%s' is not a valid label key", pair->key->text);
		return false;
	}
	if (!bh_is_label_value(pair->value->text)) {
		bh_parse_refuse(p, pair->value, "'%s' is not a valid label value",
				pair->value->text);
		return false;
	}
	return true;
}

void bh_parse_labels(struct bh_parse *p, const struct bh_yaml *metadata, struct bh_labels *ret)
{
	const struct bh_yaml *n = bh_parse_map(p, metadata, "labels");
	size_t i;

	*ret = (struct bh_labels){0};
	if (!n)
		return;
	if (n->n > BH_PARSE_MAX_LABELS) {
		bh_parse_refuse(p, n, "more than %d labels", BH_PARSE_MAX_LABELS);
		return;
	}
	ret->v = bh_parse_calloc(p, n->n, sizeof(*ret->v));
	for (i = 0; ret->v && i < n->n; i++) {
		if (bh_parse_label(p, &n->pairs[i]))
			ret->v[ret->n++] = (struct bh_label){.key = n->pairs[i].key->text,
							     .value = n->pairs[i].value->text};
	}
}
