#include "detect/seq.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/map.h"
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

static uint64_t key_of(const uint16_t *calls, size_t n)
{
	uint64_t key = bh_hash(calls, n * sizeof(*calls), n + 1);

	return key ? key : 1;
}

static struct bh_seq_node *slot_of(struct bh_seq_node *nodes, size_t cap, uint64_t key)
{
	size_t i = key & (cap - 1);

	while (nodes[i].key && nodes[i].key != key)
		i = (i + 1) & (cap - 1);
	return &nodes[i];
}

static const struct bh_seq_node *find(const struct bh_seq *m, const uint16_t *calls, size_t n)
{
	const struct bh_seq_node *node = slot_of(m->nodes, m->cap, key_of(calls, n));

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
static struct bh_seq_node *get(struct bh_seq *m, const uint16_t *calls, size_t n)
{
	uint64_t key = key_of(calls, n);
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

/* A call after a context of k calls. */
static int count_one(struct bh_seq *m, const uint16_t *at, size_t k, int sign)
{
	struct bh_seq_node *context, *string;

	if ((m->n_nodes + 2) * 4 > m->cap * 3 && grow(m))
		return -ENOMEM;
	context = get(m, at - k, k);
	string = get(m, at - k, k + 1);
	if (!context || !string)
		return 0;
	if (sign > 0) {
		context->distinct += !string->seen;
		string->seen++;
		context->followed++;
	} else if (string->seen) {
		string->seen--;
		context->followed--;
		context->distinct -= !string->seen;
	}
	return 0;
}

int bh_seq_count(struct bh_seq *m, const struct bh_trace *t, int sign)
{
	size_t i, k;
	int r = 0;

	for (i = 0; !r && i < t->n; i++) {
		for (k = 0; !r && k <= m->opt.order && k <= i; k++)
			r = count_one(m, t->calls + i, k, sign);
	}
	return r;
}

double bh_seq_bits(const struct bh_seq *m, const struct bh_trace *t, size_t at)
{
	double p = 1.0 / BH_SEQ_CALLS;
	size_t k;

	for (k = 0; k <= m->opt.order && k <= at; k++) {
		const struct bh_seq_node *context = find(m, t->calls + at - k, k), *string;

		/* a context that was never seen says nothing, and longer ones neither */
		if (!context || !context->followed)
			break;
		string = find(m, t->calls + at - k, k + 1);
		p = ((string ? string->seen : 0) + context->distinct * p) /
		    ((double)context->followed + context->distinct);
	}
	return fmin(-log2(p), MOST_BITS);
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
