/* parse_selector.c - LabelSelector of meta/v1. */
#include "policy/parse.h"

#include <string.h>

#include "policy/syntax.h"

static void match_label(struct bh_parse *p, const struct bh_yaml_pair *pair, struct bh_selector *s)
{
	struct bh_requirement *q = &s->v[s->n];

	q->op = BH_SEL_IN;
	q->key = bh_parse_strdup(p, pair->key->text);
	if (!q->key)
		return;
	s->n++;
	q->values = bh_parse_calloc(p, 1, sizeof(*q->values));
	if (!q->values)
		return;
	q->values[0] = bh_parse_strdup(p, pair->value->text);
	q->n_values = q->values[0] ? 1 : 0;
}

static bool parse_operator(struct bh_parse *p, const struct bh_yaml *n, enum bh_selector_op *ret)
{
	static const char *const names[] = {"In", "NotIn", "Exists", "DoesNotExist"};
	const char *text = bh_parse_str(p, n, "operator", true);
	int i;

	for (i = 0; text && i < 4; i++) {
		if (!strcmp(text, names[i])) {
			*ret = (enum bh_selector_op)i;
			return true;
		}
	}
	if (text)
		bh_parse_unknown(p, bh_yaml_find(n, "operator"), "unknown operator '%s'", text);
	return false;
}

static void parse_values(struct bh_parse *p, const struct bh_yaml *values, struct bh_requirement *q)
{
	size_t i;

	q->values = bh_parse_calloc(p, values->n, sizeof(*q->values));
	for (i = 0; q->values && i < values->n; i++) {
		const struct bh_yaml *v = values->items[i];

		if (!bh_parse_is(p, v, BH_YAML_STRING, "label value"))
			continue;
		if (!bh_is_label_value(v->text)) {
			bh_parse_refuse(p, v, "'%s' is not a valid label value", v->text);
			continue;
		}
		q->values[q->n_values] = bh_parse_strdup(p, v->text);
		if (q->values[q->n_values])
			q->n_values++;
	}
}

/* In and NotIn need values, Exists and DoesNotExist must have none. */
static void match_values(struct bh_parse *p, const struct bh_yaml *n, struct bh_requirement *q)
{
	const struct bh_yaml *values = bh_yaml_find(n, "values");
	bool takes_values = q->op == BH_SEL_IN || q->op == BH_SEL_NOT_IN;
	const char *op = bh_yaml_find(n, "operator")->text;

	if (values && !bh_parse_is(p, values, BH_YAML_LIST, "'values'"))
		return;
	if (takes_values && (!values || !values->n)) {
		bh_parse_refuse(p, values ? values : n, "operator '%s' needs values", op);
		return;
	}
	if (!takes_values && values && values->n) {
		bh_parse_refuse(p, values, "operator '%s' takes no values", op);
		return;
	}
	if (takes_values)
		parse_values(p, values, q);
}

static void match_expression(struct bh_parse *p, const struct bh_yaml *n, struct bh_selector *s)
{
	static const char *const keys[] = {"key", "operator", "values", NULL};
	struct bh_requirement *q = &s->v[s->n];
	const char *key;

	if (!bh_parse_is(p, n, BH_YAML_MAP, NULL))
		return;
	bh_parse_keys(p, n, keys);
	key = bh_parse_str(p, n, "key", true);
	if (key && !bh_is_label_key(key)) {
		bh_parse_refuse(p, bh_yaml_find(n, "key"), "'%s' is not a valid label key", key);
		key = NULL;
	}
	if (!parse_operator(p, n, &q->op) || !key)
		return;
	q->key = bh_parse_strdup(p, key);
	if (!q->key)
		return;
	s->n++;
	match_values(p, n, q);
}

void bh_parse_selector(struct bh_parse *p, const struct bh_yaml *n, struct bh_selector *ret)
{
	static const char *const keys[] = {"matchLabels", "matchExpressions", NULL};
	const struct bh_yaml *labels = NULL, *expressions = NULL;
	size_t i, count;

	if (n && bh_parse_is(p, n, BH_YAML_MAP, "selector")) {
		bh_parse_keys(p, n, keys);
		labels = bh_parse_map(p, n, "matchLabels");
		expressions = bh_parse_list(p, n, "matchExpressions");
	}
	count = (labels ? labels->n : 0) + (expressions ? expressions->n : 0);
	if (count > BH_PARSE_MAX_LABELS) {
		bh_parse_refuse(p, n, "more than %d requirements", BH_PARSE_MAX_LABELS);
		return;
	}
	ret->v = bh_parse_calloc(p, count, sizeof(*ret->v));
	if (ret->v) {
		for (i = 0; labels && i < labels->n; i++) {
			if (bh_parse_label(p, &labels->pairs[i]))
				match_label(p, &labels->pairs[i], ret);
		}
		for (i = 0; expressions && i < expressions->n; i++)
			match_expression(p, expressions->items[i], ret);
	}
	if (bh_selector_seal(ret))
		bh_parse_no_memory(p);
}
