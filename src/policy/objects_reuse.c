/* objects_reuse.c - a file changed, but most of its documents did not: a policy whose document
 * stands at the same line, word for word, is the policy that was read from it. */
#include "policy/objects_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

/* Old claims that may be taken over, sorted by hash. */
struct bh_reuse {
	size_t n;
	const struct bh_claim *v[];
};

static bool is_live_policy(const struct bh_claim *c)
{
	return bh_kind_is_policy(c->kind) && c->state == BH_CLAIM_LIVE;
}

static int hash_cmp(const void *pa, const void *pb)
{
	uint64_t a = *bh_claim_text_hash(*(const struct bh_claim *const *)pa);
	uint64_t b = *bh_claim_text_hash(*(const struct bh_claim *const *)pb);

	return a < b ? -1 : a > b;
}

/* Nodes are counted over all documents of a file, also those that are not parsed again. That the
 * sum stays below its limit is known only of a file that cannot hold so many: no node without a
 * byte, but for aliases. */
static bool is_countable(const char *text, size_t len)
{
	return len <= BH_YAML_MAX_NODES && !memchr(text, '*', len);
}

int bh_reuse_new(const struct bh_reading *r, struct bh_reuse **ret)
{
	size_t i, n = r->old ? r->old->n : 0;
	struct bh_reuse *u;

	*ret = NULL;
	if (!is_countable(r->text, r->len))
		return 0;
	u = malloc(sizeof(*u) + n * sizeof(struct bh_claim *));
	if (!u)
		return -ENOMEM;
	u->n = 0;
	for (i = 0; i < n; i++) {
		if (is_live_policy(&r->old->v[i]) && *bh_claim_text_hash(&r->old->v[i]))
			u->v[u->n++] = &r->old->v[i];
	}
	if (u->n)
		qsort(u->v, u->n, sizeof(*u->v), hash_cmp);
	*ret = u;
	return 0;
}

uint64_t bh_reuse_hash(const struct bh_reading *r, const struct bh_yaml_slice *slice)
{
	uint64_t h = r->reuse ? bh_hash(slice->s, slice->n, slice->line) : 0;

	return r->reuse && !h ? 1 : h;
}

const struct bh_claim *bh_reuse_find(const struct bh_reading *r, uint64_t hash)
{
	const struct bh_reuse *u = r->reuse;
	size_t lo = 0, hi = u ? u->n : 0;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		uint64_t at = *bh_claim_text_hash(u->v[mid]);

		if (at == hash)
			return u->v[mid];
		if (at < hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}
