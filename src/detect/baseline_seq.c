#include "detect/baseline_seq.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"

void bh_base_seq_free(struct bh_base_seq *q)
{
	if (!q)
		return;
	bh_grams_done(&q->grams);
	free(q->windows);
	free(q);
}

struct bh_base_seq *bh_base_seq_of(struct bh_baseline *b)
{
	struct bh_base_seq *q = b->seq ? b->seq : calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->grams.max = BH_BASE_GRAMS;
	if (!q->windows)
		q->windows = calloc(BH_BASE_WINDOWS, sizeof(*q->windows));
	b->seq = q;
	return q->windows ? q : NULL;
}

/* ---- learning ---- */

int bh_baseline_see_grams(struct bh_baseline *b, const struct bh_gram *v, size_t n,
			  const struct bh_base_sighting *s)
{
	struct bh_base_seq *q;
	uint8_t seen_by;
	size_t i;

	if (b->is_closed || s->is_suspect)
		return 0;
	seen_by = (uint8_t)(1u << bh_baseline_replica(b, s));
	if (b->suspects & seen_by)
		return 0;
	q = bh_base_seq_of(b);
	if (!q)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		if (bh_grams_add(&q->grams, v[i].gram, v[i].count, seen_by) == -ENOMEM)
			return -ENOMEM;
	}
	q->version++;
	return 0;
}

/* A window's place, so that in the end each that came had the same chance: every k-th one, and the
 * place by a hash of how many there were. */
int bh_base_seq_keep(struct bh_base_seq *q, const struct bh_trace *t)
{
	uint64_t at = q->offered++;
	struct bh_base_window *w;

	if (at >= BH_BASE_WINDOWS)
		at = (bh_gram_hash(at) >> 16) % q->offered;
	if (at >= BH_BASE_WINDOWS || !t->n)
		return 0;
	w = &q->windows[at];
	if (at >= q->n_windows) {
		w = &q->windows[q->n_windows];
		q->n_windows++;
	}
	w->n = (uint16_t)(t->n < BH_SEQ_WINDOW ? t->n : BH_SEQ_WINDOW);
	memcpy(w->call, t->calls, w->n * sizeof(*w->call));
	q->version++;
	return 0;
}

int bh_baseline_see_window(struct bh_baseline *b, const struct bh_trace *t,
			   const struct bh_base_sighting *s)
{
	struct bh_base_seq *q;

	if (b->is_closed || s->is_suspect || b->suspects & (1u << bh_baseline_replica(b, s)))
		return 0;
	q = bh_base_seq_of(b);
	return q ? bh_base_seq_keep(q, t) : -ENOMEM;
}

/* What both nodes saw is confirmed. */
int bh_base_seq_merge(struct bh_baseline *b, const struct bh_base_seq *from)
{
	struct bh_base_seq *q = bh_base_seq_of(b);
	const struct bh_gram *e;
	size_t pos = 0, i;

	if (!q)
		return -ENOMEM;
	while ((e = bh_grams_next(&from->grams, &pos))) {
		bool is_both = bh_grams_get(&q->grams, e->gram);
		struct bh_gram *mine;

		if (bh_grams_add(&q->grams, e->gram, e->count, 0) == -ENOMEM)
			return -ENOMEM;
		mine = bh_grams_get(&q->grams, e->gram);
		if (mine)
			mine->is_confirmed |= is_both || e->is_confirmed;
	}
	for (i = 0; i < from->n_windows; i++) {
		const struct bh_trace t = {from->windows[i].call, from->windows[i].n};

		bh_base_seq_keep(q, &t);
	}
	q->grams.refused += from->grams.refused;
	q->version++;
	return 0;
}

/* ---- judging ---- */

const char *bh_baseline_seq_lacks(const struct bh_baseline *b)
{
	const struct bh_base_seq *q = b->seq;

	if (!b->is_closed)
		return "it is still being learnt";
	if (!q || q->n_windows < BH_BASE_LEAST_WINDOWS)
		return "too few windows of calls were seen";
	if (q->grams.refused)
		return "its calls come in too many orders";
	if (bh_grams_unseen(&q->grams) > b->opt.unseen)
		return "too many of its orders of calls are still to come";
	return NULL;
}

int bh_baseline_model(const struct bh_baseline *b, struct bh_seq **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_seq_freep) struct bh_seq *m = NULL;
	const char *lacks = bh_baseline_seq_lacks(b);
	struct bh_trace t[BH_BASE_WINDOWS];
	size_t i;
	int r;

	if (lacks)
		return bh_fail(err, ENODATA, "%s", lacks);
	for (i = 0; i < b->seq->n_windows; i++)
		t[i] = (struct bh_trace){b->seq->windows[i].call, b->seq->windows[i].n};
	r = bh_seq_new(&(struct bh_seq_options){0}, &m, err);
	if (!r)
		r = bh_seq_train_grams(m, &b->seq->grams, t, i, err);
	if (r)
		return r;
	*ret = BH_TAKE(m);
	return 0;
}
