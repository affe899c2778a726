/* seq_score.c - measures of a trace, and what they are for normal traces. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "detect/seq_model.h"

#define TAIL_SHARE 0.05
#define BURST	   24
#define NEAR_MIX   0.02 /* mixes nearer than this are one */
#define LEAST	   1.5	/* threshold: one unknown call moves every measure by one at most */
#define LOWEST	   -5.0
#define HIGHEST	   20.0
#define SOFT	   4.0 /* of the soft maximum: the less, the more the highest says alone */
#define NOBODY	   SIZE_MAX

static const char *const names[BH_SEQ_MEASURES] = {"mean", "new", "tail", "burst", "mix", "set"};
/* Which calls are made at all tells most, and depends least on how normal life goes on after the
 * training. Of the others the mean and the worst moment say least: a longer transfer than usual
 * moves the one, and normal traces vary a lot in the other. */
static const double weights[BH_SEQ_MEASURES] = {1, 2, 2, 1, 2, 6};

const char *bh_seq_measure_name(enum bh_seq_measure m)
{
	return names[m];
}

static int number_cmp(const void *pa, const void *pb)
{
	double a = *(const double *)pa, b = *(const double *)pb;

	return (a > b) - (a < b);
}

/* ---- mixes ---- */

void bh_seq_mix_of(const struct bh_trace *t, float root[BH_SEQ_CALLS])
{
	size_t i;

	memset(root, 0, BH_SEQ_CALLS * sizeof(*root));
	for (i = 0; i < t->n; i++)
		root[t->calls[i] < BH_SEQ_CALLS ? t->calls[i] : BH_SEQ_CALLS - 1] += 1;
	for (i = 0; i < BH_SEQ_CALLS; i++)
		root[i] = sqrtf(root[i] / (float)t->n);
}

struct near {
	double mix; /* Hellinger's distance, 0 to 1 */
	double set; /* Jaccard's: of the calls that either makes, the share that only one makes */
};

/* To the nearest of the known ones, each distance for itself. */
static struct near nearest(const struct bh_seq *m, const float root[BH_SEQ_CALLS], size_t without)
{
	struct near best = {1, 1};
	size_t i, k;

	for (i = 0; i < m->n_mixes; i++) {
		const float *other = m->mixes[i].root;
		size_t both = 0, either = 0;
		double same = 0;

		if (m->mixes[i].trace == without)
			continue;
		for (k = 0; k < BH_SEQ_CALLS; k++) {
			same += (double)root[k] * (double)other[k];
			both += root[k] > 0 && other[k] > 0;
			either += root[k] > 0 || other[k] > 0;
		}
		best.mix = fmin(best.mix, sqrt(fmax(0, 1 - same)));
		best.set = fmin(best.set, 1 - (double)both / (double)either);
	}
	return best;
}

/* With half of the room used, only mixes that are unlike all others find a place. */
static void add_mix(struct bh_seq *m, const struct bh_trace *t, size_t trace)
{
	struct bh_seq_mix *mix = &m->mixes[m->n_mixes];
	struct near known;

	if (m->n_mixes == BH_SEQ_MIXES || !t->n)
		return;
	bh_seq_mix_of(t, mix->root);
	known = nearest(m, mix->root, NOBODY);
	if (m->n_mixes >= BH_SEQ_MIXES / 2 && known.mix < NEAR_MIX && known.set <= 0)
		return;
	mix->trace = trace;
	m->n_mixes++;
}

/* ---- measures ---- */

static double top_mean(double *bits, size_t n)
{
	size_t top = (size_t)ceil((double)n * TAIL_SHARE), i;
	double sum = 0;

	qsort(bits, n, sizeof(*bits), number_cmp);
	for (i = n - top; i < n; i++)
		sum += bits[i];
	return sum / (double)top;
}

static int gram_cmp(const void *pa, const void *pb)
{
	uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;

	return (a > b) - (a < b);
}

/* Of the different ones (which get sorted): what a loop repeats, known or not, counts once. */
static double share_unknown(const struct bh_seq *m, uint64_t *grams, size_t n, size_t *different)
{
	size_t unknown = 0, i;

	qsort(grams, n, sizeof(*grams), gram_cmp);
	*different = 0;
	for (i = 0; i < n; i++) {
		if (i && grams[i] == grams[i - 1])
			continue;
		++*different;
		unknown += !bh_seq_knows(m, grams[i]);
	}
	return (double)unknown / (double)*different;
}

/* What each call is worth in bits, the worst stretch of them, and the strings they end. */
static double walk(const struct bh_seq *m, const struct bh_trace *t, double *bits, uint64_t *grams,
		   double *burst)
{
	size_t i, width = t->n < BURST ? t->n : BURST;
	double sum = 0, window = 0;
	uint64_t gram = 0;

	*burst = 0;
	for (i = 0; i < t->n; i++) {
		grams[i] = gram = bh_gram_push(gram, t->calls[i]);
		bits[i] = bh_seq_bits_of(m, gram);
		sum += bits[i];
		window += bits[i] - (i >= width ? bits[i - width] : 0);
		if (i + 1 >= width)
			*burst = fmax(*burst, window / (double)width);
	}
	return sum;
}

void bh_seq_measure(const struct bh_seq *m, const struct bh_trace *t, size_t without,
		    struct bh_seq_score *ret)
{
	BH_CLEANUP(bh_freep) double *bits = malloc((t->n + 1) * sizeof(*bits));
	BH_CLEANUP(bh_freep) uint64_t *grams = malloc((t->n + 1) * sizeof(*grams));
	double *raw = ret->raw;
	float root[BH_SEQ_CALLS];
	struct near known;
	size_t i;

	memset(ret, 0, sizeof(*ret));
	if (!t->n || !bits || !grams)
		return;
	raw[BH_SEQ_MEAN] = walk(m, t, bits, grams, &raw[BH_SEQ_BURST]) / (double)t->n;
	i = t->n > m->opt.order ? m->opt.order : t->n - 1; /* where the first whole string ends */
	raw[BH_SEQ_NEW] = share_unknown(m, grams + i, t->n - i, &ret->strings);
	raw[BH_SEQ_TAIL] = top_mean(bits, t->n);
	bh_seq_mix_of(t, root);
	known = nearest(m, root, without);
	raw[BH_SEQ_MIX] = known.mix;
	raw[BH_SEQ_SET] = known.set;
	for (i = 0; i < BH_SEQ_CALLS; i++)
		ret->calls += root[i] > 0;
}

/* What one call that was never seen moves a measure by. No spread is less, so that a single new
 * pair of calls never condemns a trace, however regular the others are. */
static double one_call(enum bh_seq_measure measure, size_t n, const struct bh_seq_score *s)
{
	static const double bits = 20; /* and what follows is less sure too */

	switch (measure) {
	case BH_SEQ_MEAN:
		return bits / (double)n;
	case BH_SEQ_NEW:
		return BH_GRAM_LEN / (double)s->strings;
	case BH_SEQ_TAIL:
		return bits / ceil((double)n * TAIL_SHARE);
	case BH_SEQ_BURST:
		return bits / (double)(n < BURST ? n : BURST);
	case BH_SEQ_SET:
		return 1 / ((double)s->calls + 1);
	default:
		return sqrt(1 - sqrt(1 - 1 / ((double)n + 1)));
	}
}

/* A soft maximum by weights, between the highest and the mean: one measure alone may condemn,
 * though not without limit; what the others agree on adds to it, and what they deny takes away a
 * little, so that traces which no measure finds odd have an order too. */
static void join(const struct bh_seq *m, const struct bh_trace *t, struct bh_seq_score *s)
{
	double sum = 0, weight = 0;
	int i;

	for (i = 0; i < BH_SEQ_MEASURES; i++) {
		const struct bh_seq_scale *scale = &m->scales[i];
		double least = one_call((enum bh_seq_measure)i, t->n, s);

		s->z[i] = (s->raw[i] - scale->middle) / fmax(scale->spread, least);
		sum += weights[i] * exp(fmax(LOWEST, fmin(HIGHEST, s->z[i])) / SOFT);
		weight += weights[i];
	}
	s->total = SOFT * log(sum / weight);
}

void bh_seq_score(const struct bh_seq *m, const struct bh_trace *t, struct bh_seq_score *ret)
{
	bh_seq_measure(m, t, NOBODY, ret);
	if (ret->strings)
		join(m, t, ret);
}

/* ---- what is normal ---- */

/* Median and spread of the values (which get sorted). The spread is the largest of three robust
 * ones, by the quartiles, the highest twentieth and the highest hundredth: a set of equal traces
 * does not make everything else infinitely far, and a measure that normal traces often drive high
 * counts for less. */
static struct bh_seq_scale scale_of(double *v, size_t n)
{
	struct bh_seq_scale s;
	double range, high, far;

	qsort(v, n, sizeof(*v), number_cmp);
	s.middle = v[n / 2];
	range = (v[n - 1 - n / 4] - v[n / 4]) / 1.349;
	high = (v[n - 1 - n / 20] - s.middle) / 1.645;
	far = n < 100 ? 0 : (v[n - 1 - n / 100] - s.middle) / 2.326;
	s.spread = fmax(fmax(fmax(range, high), far), 0.02 * fabs(s.middle));
	return s;
}

/* One for traces of all lengths: the measures do not grow with it, and what is new at a length says
 * as much as at another. */
static void set_scales(struct bh_seq *m, size_t n, const struct bh_seq_score *left_out,
		       double *room)
{
	int measure;
	size_t i;

	for (measure = 0; measure < BH_SEQ_MEASURES; measure++) {
		for (i = 0; i < n; i++)
			room[i] = left_out[i].raw[measure];
		m->scales[measure] = scale_of(room, n);
	}
}

static void leave_out(struct bh_seq *m, const struct bh_trace *traces, size_t n,
		      struct bh_seq_score *ret)
{
	size_t i;

	for (i = 0; i < n; i++) {
		bh_seq_shift(m, &traces[i], -1);
		bh_seq_measure(m, &traces[i], i, &ret[i]);
		bh_seq_shift(m, &traces[i], 1);
	}
}

/* The grams are counted. */
static int learn_normal(struct bh_seq *m, const struct bh_trace *traces, size_t n,
			struct bh_err *err)
{
	BH_CLEANUP(bh_freep) struct bh_seq_score *left_out = calloc(n + 1, sizeof(*left_out));
	size_t i;

	m->mixes = calloc(n < BH_SEQ_MIXES ? n : BH_SEQ_MIXES, sizeof(*m->mixes));
	m->totals = calloc(n, sizeof(*m->totals));
	if (!left_out || !m->mixes || !m->totals)
		return bh_fail(err, ENOMEM, "sequence model");
	for (i = 0; i < n; i++)
		add_mix(m, &traces[i], i);
	leave_out(m, traces, n, left_out);
	set_scales(m, n, left_out, m->totals);
	for (i = 0; i < n; i++) {
		if (left_out[i].strings)
			join(m, &traces[i], &left_out[i]);
		m->totals[i] = left_out[i].total;
	}
	m->n_totals = n;
	qsort(m->totals, n, sizeof(*m->totals), number_cmp);
	return 0;
}

static int count_trace(struct bh_seq *m, const struct bh_trace *t)
{
	uint64_t gram = 0;
	size_t i;
	int r = 0;

	for (i = 0; !r && i < t->n; i++) {
		gram = bh_gram_push(gram, t->calls[i]);
		r = bh_seq_count(m, gram, 1);
	}
	m->calls += t->n;
	return r;
}

int bh_seq_train(struct bh_seq *m, const struct bh_trace *traces, size_t n, struct bh_err *err)
{
	size_t i;

	if (!n)
		return bh_fail(err, EINVAL, "there is nothing to learn from");
	for (i = 0; i < n; i++) {
		if (count_trace(m, &traces[i]))
			return bh_fail(err, ENOMEM, "sequence model");
	}
	return learn_normal(m, traces, n, err);
}

int bh_seq_train_grams(struct bh_seq *m, const struct bh_grams *g, const struct bh_trace *traces,
		       size_t n, struct bh_err *err)
{
	const struct bh_gram *e;
	size_t pos = 0;

	if (!n)
		return bh_fail(err, EINVAL, "there is nothing to learn from");
	while ((e = bh_grams_next(g, &pos))) {
		if (e->is_confirmed && bh_seq_count(m, e->gram, e->count))
			return bh_fail(err, ENOMEM, "sequence model");
	}
	m->calls += g->calls;
	return learn_normal(m, traces, n, err);
}

double bh_seq_threshold(const struct bh_seq *m, double share)
{
	size_t above = (size_t)(share * (double)m->n_totals);
	double highest;

	if (!m->n_totals)
		return INFINITY;
	highest = m->totals[m->n_totals - 1];
	if (!above)
		return fmax(LEAST, highest + 0.1 * fabs(highest));
	return fmax(LEAST, m->totals[m->n_totals - 1 - above]);
}
