#include "eval/compare.h"

#include <errno.h>

/* Where the first whole sequence of a trace ends; of a shorter one, its end. */
static size_t first_end(const struct bh_trace *t)
{
	return t->n < BH_COMPARE_K ? t->n : BH_COMPARE_K;
}

static int count_grams(struct bh_grams *known, const struct bh_trace *t)
{
	uint64_t gram = 0;

	for (size_t i = 0; i < t->n; i++) {
		gram = bh_gram_push(gram, t->calls[i]);
		if (bh_grams_add(known, gram, 1, 3))
			return -ENOMEM;
	}
	return 0;
}

double bh_compare_stide(const struct bh_compare *c, const struct bh_trace *t)
{
	size_t unknown = 0, all = 0;
	uint64_t gram = 0;

	for (size_t i = 0; i < t->n; i++) {
		gram = bh_gram_push(gram, t->calls[i]);
		if (i + 1 < first_end(t))
			continue;
		all++;
		unknown += !bh_grams_get(&c->known, gram);
	}
	return all ? (double)unknown / (double)all : 0;
}

double bh_compare_ngram(const struct bh_compare *c, const struct bh_trace *t)
{
	double bits = 0;

	for (size_t i = 0; i < t->n; i++)
		bits += bh_seq_bits(c->model, t, i);
	return t->n ? bits / (double)t->n : 0;
}

int bh_compare_train(struct bh_compare *c, const struct bh_trace *t, size_t n, struct bh_err *err)
{
	const struct bh_seq_options opt = {.order = BH_COMPARE_NGRAM - 1, .max_nodes = SIZE_MAX};
	int r = bh_seq_new(&opt, &c->model, err);

	c->known = (struct bh_grams){.max = SIZE_MAX};
	for (size_t i = 0; !r && i < n; i++)
		r = count_grams(&c->known, &t[i]) ? bh_fail(err, ENOMEM, "STIDE") : 0;
	/* only the counts matter; what a trace scores when it is left out nobody asks */
	return r ? r : bh_seq_train_grams(c->model, &c->known, t, n ? 1 : 0, err);
}

void bh_compare_done(struct bh_compare *c)
{
	bh_grams_done(&c->known);
	bh_seq_free(c->model);
}
