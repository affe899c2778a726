/* objects_index.c - all claims of all files in order, and who wins. */
#include "policy/objects_set.h"

#include <errno.h>
#include <string.h>

static size_t lower(const struct bh_index *x, const struct bh_claim *c,
		    int (*cmp)(const struct bh_claim *, const struct bh_claim *))
{
	size_t lo = 0, hi = x->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (cmp(x->v[mid], c) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

size_t bh_index_lower(const struct bh_index *x, const struct bh_claim *c)
{
	return lower(x, c, bh_claim_cmp_key);
}

struct bh_claim *bh_index_winner(const struct bh_index *x, size_t i, size_t *ret_next)
{
	struct bh_claim *winner = NULL;
	size_t k;

	for (k = i; k < x->n && (k == i || !bh_claim_cmp_key(x->v[i], x->v[k])); k++) {
		if (!winner && x->v[k]->obj)
			winner = x->v[k];
	}
	*ret_next = k;
	return winner;
}

size_t bh_index_mark(struct bh_index *x, size_t i)
{
	size_t next;
	struct bh_claim *winner = bh_index_winner(x, i, &next);

	for (; i < next; i++) {
		x->v[i]->wins = x->v[i] == winner;
		x->v[i]->is_saved &= x->v[i]->wins;
	}
	return next;
}

/* Copies whole stretches between the edits: one file's few claims among a hundred thousand cost a
 * few look-ups and one pass of memcpy. */
int bh_index_change(const struct bh_index *x, const struct bh_claims *gone,
		    const struct bh_claims *added, struct bh_index *ret)
{
	size_t at = 0, g = 0, a = 0, n = 0;
	struct bh_claim **v = malloc((x->n + added->n + 1) * sizeof(struct bh_claim *));

	if (!v)
		return -ENOMEM;
	while (g < gone->n || a < added->n) {
		size_t at_gone = g < gone->n ? lower(x, &gone->v[g], bh_claim_cmp) : x->n + 1;
		size_t at_added = a < added->n ? lower(x, &added->v[a], bh_claim_cmp) : x->n + 1;
		size_t next = at_gone < at_added ? at_gone : at_added;

		if (next > at)
			memcpy(v + n, x->v + at, (next - at) * sizeof(*v));
		n += next - at;
		at = next;
		if (at_added <= at_gone) {
			v[n++] = &added->v[a++];
		} else {
			at++;
			g++;
		}
	}
	if (x->n > at)
		memcpy(v + n, x->v + at, (x->n - at) * sizeof(*v));
	*ret = (struct bh_index){.v = v, .n = n + x->n - at};
	return 0;
}

static int pointer_cmp(const void *a, const void *b)
{
	return bh_claim_cmp(*(struct bh_claim *const *)a, *(struct bh_claim *const *)b);
}

int bh_index_ready(const struct bh_objects *o)
{
	struct bh_index *x = o->index;
	struct bh_claim **v;
	size_t i, k, n = 0;

	if (!x->is_stale)
		return 0;
	for (i = 0; i < o->n_files; i++)
		n += o->files[i]->claims.n;
	v = malloc((n + 1) * sizeof(struct bh_claim *));
	if (!v)
		return -ENOMEM;
	for (i = 0, n = 0; i < o->n_files; i++) {
		for (k = 0; k < o->files[i]->claims.n; k++)
			v[n++] = &o->files[i]->claims.v[k];
	}
	if (n)
		qsort(v, n, sizeof(*v), pointer_cmp);
	free(x->v);
	*x = (struct bh_index){.v = v, .n = n};
	bh_changes_lose(o->changes);
	for (i = 0; i < n;)
		i = bh_index_mark(x, i);
	return 0;
}

struct bh_claim *bh_objects_find(const struct bh_objects *o, enum bh_kind kind, const char *ns,
				 const char *name)
{
	struct bh_claim_more more = {.ns = (char *)ns, .name = (char *)name};
	struct bh_claim key = {.more = &more, .kind = (uint8_t)kind};
	size_t i, next;

	if (bh_index_ready(o))
		return NULL;
	i = bh_index_lower(o->index, &key);
	if (i == o->index->n || bh_claim_cmp_key(o->index->v[i], &key))
		return NULL;
	return bh_index_winner(o->index, i, &next);
}
