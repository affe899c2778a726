#include "detect/seq.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/own.h"
#include "detect/seq_model.h"

#define ORDER	  6u
#define MAX_NODES (1u << 20)
#define FIRST_CAP 1024u
/* Every order that never saw a call makes it rarer by another factor; beyond this it only says
 * "new" louder, and one call would drown a trace. */
#define MOST_BITS 16.0

int bh_seq_new(const struct bh_seq_options *opt, struct bh_seq **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_seq_freep) struct bh_seq *m = calloc(1, sizeof(*m));

	if (!m)
		return bh_fail(err, ENOMEM, "sequence model");
	m->opt = *opt;
	if (!m->opt.order)
		m->opt.order = ORDER;
	if (m->opt.order > BH_SEQ_MAX_ORDER)
		return bh_fail(err, EINVAL, "order %u is above %d", m->opt.order, BH_SEQ_MAX_ORDER);
	if (!m->opt.max_nodes)
		m->opt.max_nodes = MAX_NODES;
	m->cap = FIRST_CAP;
	m->nodes = calloc(m->cap, sizeof(*m->nodes));
	if (!m->nodes)
		return bh_fail(err, ENOMEM, "sequence model");
	*ret = BH_TAKE(m);
	return 0;
}

void bh_seq_free(struct bh_seq *m)
{
	if (!m)
		return;
	free(m->nodes);
	free(m->mixes);
	free(m->totals);
	free(m);
}

void bh_seq_freep(struct bh_seq **m)
{
	bh_seq_free(*m);
	*m = NULL;
}

/* ---- strings of calls ---- */

/* The last n calls of a gram are their own name: no call is 0, so that strings of different lengths
 * differ. Of the empty one there is only one. */
static uint64_t key_of(uint64_t gram, size_t n)
{
	return n ? gram & ((1ull << (n * BH_GRAM_BITS)) - 1) : 1ull << 63;
}

static struct bh_seq_node *slot_of(struct bh_seq_node *nodes, size_t cap, uint64_t key)
{
	size_t i = (bh_gram_hash(key) >> 20) & (cap - 1);

	while (nodes[i].key && nodes[i].key != key)
		i = (i + 1) & (cap - 1);
	return &nodes[i];
}

static struct bh_seq_node *find(const struct bh_seq *m, uint64_t key)
{
	struct bh_seq_node *node = slot_of(m->nodes, m->cap, key);

	return node->key ? node : NULL;
}

static int grow(struct bh_seq *m)
{
	size_t cap = m->cap * 2, i;
	struct bh_seq_node *nodes = calloc(cap, sizeof(*nodes));

	if (!nodes)
		return -ENOMEM;
	for (i = 0; i < m->cap; i++) {
		if (m->nodes[i].key)
			*slot_of(nodes, cap, m->nodes[i].key) = m->nodes[i];
	}
	free(m->nodes);
	m->nodes = nodes;
	m->cap = cap;
	return 0;
}

/* NULL beyond the limit; the caller has made room for two. */
static struct bh_seq_node *get(struct bh_seq *m, uint64_t key)
{
	struct bh_seq_node *node = slot_of(m->nodes, m->cap, key);

	if (node->key)
		return node;
	if (m->n_nodes >= m->opt.max_nodes) {
		m->refused++;
		return NULL;
	}
	node->key = key;
	m->n_nodes++;
	return node;
}

/* Contexts of a gram: as many calls before the last as there are, and the order allows. */
static size_t longest(const struct bh_seq *m, uint64_t gram)
{
	size_t n = bh_gram_len(gram) - 1;

	return n < m->opt.order ? n : m->opt.order;
}

int bh_seq_count(struct bh_seq *m, uint64_t gram, uint32_t count)
{
	size_t k, n = longest(m, gram);

	for (k = 0; k <= n; k++) {
		struct bh_seq_node *context, *string;

		if ((m->n_nodes + 2) * 4 > m->cap * 3 && grow(m))
			return -ENOMEM;
		context = get(m, key_of(gram >> BH_GRAM_BITS, k));
		string = get(m, key_of(gram, k + 1));
		if (!context || !string)
			return 0;
		context->distinct += !string->seen;
		string->seen += count;
		context->followed += count;
	}
	return 0;
}

static void shift_one(struct bh_seq *m, uint64_t gram, int sign)
{
	size_t k, n = longest(m, gram);
	const struct bh_seq_node *whole = find(m, key_of(gram, n + 1));

	if (!whole || (sign < 0 && !whole->seen))
		return;
	for (k = 0; k <= n; k++) {
		struct bh_seq_node *context = find(m, key_of(gram >> BH_GRAM_BITS, k));
		struct bh_seq_node *string = find(m, key_of(gram, k + 1));

		if (!context || !string || (sign < 0 && !string->seen))
			return;
		context->distinct += sign > 0 && !string->seen;
		string->seen += (uint32_t)sign;
		context->followed += (uint32_t)sign;
		context->distinct -= sign < 0 && !string->seen;
	}
}

void bh_seq_shift(struct bh_seq *m, const struct bh_trace *t, int sign)
{
	uint64_t gram = 0;
	size_t i;

	for (i = 0; i < t->n; i++) {
		gram = bh_gram_push(gram, t->calls[i]);
		shift_one(m, gram, sign);
	}
}

bool bh_seq_knows(const struct bh_seq *m, uint64_t gram)
{
	const struct bh_seq_node *whole = find(m, key_of(gram, longest(m, gram) + 1));

	return whole && whole->seen;
}

double bh_seq_bits_of(const struct bh_seq *m, uint64_t gram)
{
	double p = 1.0 / BH_SEQ_CALLS;
	size_t k, n = longest(m, gram);

	for (k = 0; k <= n; k++) {
		const struct bh_seq_node *context = find(m, key_of(gram >> BH_GRAM_BITS, k));
		const struct bh_seq_node *string;

		/* a context that was never seen says nothing, and longer ones neither */
		if (!context || !context->followed)
			break;
		string = find(m, key_of(gram, k + 1));
		p = ((string ? string->seen : 0) + context->distinct * p) /
		    ((double)context->followed + context->distinct);
	}
	return fmin(-log2(p), MOST_BITS);
}

double bh_seq_bits(const struct bh_seq *m, const struct bh_trace *t, size_t at)
{
	size_t i = at < BH_GRAM_LEN ? 0 : at - BH_GRAM_LEN;
	uint64_t gram = 0;

	for (; i <= at; i++)
		gram = bh_gram_push(gram, t->calls[i]);
	return bh_seq_bits_of(m, gram);
}

void bh_seq_stats(const struct bh_seq *m, struct bh_seq_stats *ret)
{
	*ret = (struct bh_seq_stats){
		.nodes = m->n_nodes,
		.bytes = sizeof(*m) + m->cap * sizeof(*m->nodes) + m->n_mixes * sizeof(*m->mixes) +
			 m->n_totals * sizeof(*m->totals),
		.mixes = m->n_mixes,
		.calls = m->calls,
		.refused = m->refused,
	};
}
