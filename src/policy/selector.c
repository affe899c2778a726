/* selector.c - label selectors in canonical form. Matching is in model.c. */
#include "policy/model.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"

static void requirement_done(struct bh_requirement *q)
{
	size_t i;

	for (i = 0; i < q->n_values; i++)
		free(q->values[i]);
	free(q->values);
	free(q->key);
}

void bh_selector_done(struct bh_selector *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		requirement_done(&s->v[i]);
	free(s->v);
	free(s->text);
	*s = (struct bh_selector){0};
}

static int value_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_values(struct bh_requirement *q)
{
	size_t i, n = 0;

	if (!q->n_values)
		return;
	qsort(q->values, q->n_values, sizeof(*q->values), value_cmp);
	for (i = 0; i < q->n_values; i++) {
		if (n && !strcmp(q->values[n - 1], q->values[i]))
			free(q->values[i]);
		else
			q->values[n++] = q->values[i];
	}
	q->n_values = n;
}

static int requirement_cmp(const void *pa, const void *pb)
{
	const struct bh_requirement *a = pa, *b = pb;
	int r = strcmp(a->key, b->key);
	size_t i;

	if (!r)
		r = (int)a->op - (int)b->op;
	for (i = 0; !r && i < a->n_values && i < b->n_values; i++)
		r = strcmp(a->values[i], b->values[i]);
	if (!r)
		r = (a->n_values > b->n_values) - (a->n_values < b->n_values);
	return r;
}

static void add_text(struct bh_str *b, const struct bh_requirement *q)
{
	size_t i;

	if (b->n)
		bh_str_add(b, ",");
	if (q->op == BH_SEL_ABSENT)
		bh_str_add(b, "!");
	bh_str_add(b, q->key);
	if (q->op == BH_SEL_EXISTS || q->op == BH_SEL_ABSENT)
		return;
	bh_str_add(b, q->op == BH_SEL_IN ? " in (" : " notin (");
	for (i = 0; i < q->n_values; i++) {
		bh_str_add(b, i ? "," : "");
		bh_str_add(b, q->values[i]);
	}
	bh_str_add(b, ")");
}

int bh_selector_seal(struct bh_selector *s)
{
	struct bh_str text = {0};
	size_t i, n = 0;

	for (i = 0; i < s->n; i++)
		sort_values(&s->v[i]);
	if (s->n)
		qsort(s->v, s->n, sizeof(*s->v), requirement_cmp);
	for (i = 0; i < s->n; i++) {
		if (n && !requirement_cmp(&s->v[n - 1], &s->v[i]))
			requirement_done(&s->v[i]);
		else
			s->v[n++] = s->v[i];
	}
	s->n = n;
	for (i = 0; i < n; i++)
		add_text(&text, &s->v[i]);
	free(s->text);
	s->text = text.failed ? NULL : strdup(bh_str_text(&text));
	bh_str_done(&text);
	return s->text ? 0 : -ENOMEM;
}
