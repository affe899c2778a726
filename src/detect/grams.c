#include "detect/grams.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_CAP 64u

void bh_grams_done(struct bh_grams *g)
{
	free(g->v);
	g->v = NULL;
	g->n = g->cap = 0;
}

static struct bh_gram *place(struct bh_gram *v, size_t cap, uint64_t gram)
{
	size_t i = (bh_gram_hash(gram) >> 20) & (cap - 1);

	while (v[i].gram && v[i].gram != gram)
		i = (i + 1) & (cap - 1);
	return &v[i];
}

struct bh_gram *bh_grams_get(const struct bh_grams *g, uint64_t gram)
{
	struct bh_gram *e = g->cap ? place(g->v, g->cap, gram) : NULL;

	return e && e->gram ? e : NULL;
}

static int grow(struct bh_grams *g)
{
	size_t cap = g->cap ? g->cap * 2 : FIRST_CAP, i;
	struct bh_gram *v = calloc(cap, sizeof(*v));

	if (!v)
		return -ENOMEM;
	for (i = 0; i < g->cap; i++) {
		if (g->v[i].gram)
			*place(v, cap, g->v[i].gram) = g->v[i];
	}
	free(g->v);
	g->v = v;
	g->cap = cap;
	return 0;
}

int bh_grams_add(struct bh_grams *g, uint64_t gram, uint32_t count, uint8_t seen_by)
{
	struct bh_gram *e = bh_grams_get(g, gram);

	if (!gram)
		return 0;
	if (!e && g->n >= g->max) {
		g->refused += count;
		return -ENOSPC;
	}
	if (!e && (g->n + 1) * 4 > g->cap * 3 && grow(g))
		return -ENOMEM;
	if (!e) {
		e = place(g->v, g->cap, gram);
		e->gram = gram;
		g->n++;
	}
	e->count = count > UINT32_MAX - e->count ? UINT32_MAX : e->count + count;
	e->seen_by |= seen_by;
	e->is_confirmed |= __builtin_popcount(e->seen_by) > 1;
	g->calls += count;
	return 0;
}

struct bh_gram *bh_grams_next(const struct bh_grams *g, size_t *pos)
{
	while (*pos < g->cap) {
		struct bh_gram *e = &g->v[(*pos)++];

		if (e->gram)
			return e;
	}
	return NULL;
}

static int gram_cmp(const void *pa, const void *pb)
{
	uint64_t a = ((const struct bh_gram *)pa)->gram, b = ((const struct bh_gram *)pb)->gram;

	return (a > b) - (a < b);
}

struct bh_gram *bh_grams_sorted(const struct bh_grams *g)
{
	struct bh_gram *out = calloc(g->n + 1, sizeof(*out)), *e;
	size_t pos = 0, n = 0;

	while (out && (e = bh_grams_next(g, &pos)))
		out[n++] = *e;
	if (n)
		qsort(out, n, sizeof(*out), gram_cmp);
	return out;
}

double bh_grams_unseen(const struct bh_grams *g)
{
	const struct bh_gram *e;
	double once = 0;
	size_t pos = 0;

	while ((e = bh_grams_next(g, &pos)))
		once += e->count == 1;
	return g->calls ? once / (double)g->calls : 1;
}

void bh_grams_filter(const struct bh_grams *g, uint64_t word[BH_SEQ_WORDS])
{
	const struct bh_gram *e;
	size_t pos = 0;

	while ((e = bh_grams_next(g, &pos))) {
		uint64_t hash = bh_gram_hash(e->gram);

		if (e->is_confirmed)
			word[bh_gram_word(hash)] |= bh_gram_bits(hash);
	}
}
