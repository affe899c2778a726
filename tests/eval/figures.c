#include "eval/figures.h"

#include <stdlib.h>

static const double shares[3] = {0.001, 0.01, 0.05};

static int number_cmp(const void *pa, const void *pb)
{
	double a = *(const double *)pa, b = *(const double *)pb;

	return (a > b) - (a < b);
}

struct bh_figures bh_figures_of(const char *name, double *normal, size_t n_normal, double *attack,
				size_t n_attack)
{
	struct bh_figures f = {.name = name};
	size_t below = 0, upto = 0, i;
	double sum = 0;

	qsort(normal, n_normal, sizeof(*normal), number_cmp);
	qsort(attack, n_attack, sizeof(*attack), number_cmp);
	for (i = 0; i < n_attack; i++) {
		while (below < n_normal && normal[below] < attack[i])
			below++;
		while (upto < n_normal && normal[upto] <= attack[i])
			upto++;
		sum += (double)below + (double)(upto - below) / 2;
	}
	f.auc = sum / (double)n_normal / (double)n_attack;
	for (i = 0; i < 3; i++) {
		size_t exceed = (size_t)(shares[i] * (double)n_normal);

		f.at[i] = bh_figures_above(attack, n_attack, normal[n_normal - 1 - exceed]);
	}
	return f;
}

double bh_figures_above(const double *scores, size_t n, double limit)
{
	size_t above = 0, i;

	for (i = 0; i < n; i++)
		above += scores[i] > limit;
	return (double)above / (double)n;
}

void bh_figures_print(FILE *out, const struct bh_figures *f)
{
	fprintf(out, "%-18s %6.3f     %6.3f  %6.3f  %6.3f", f->name, f->auc, f->at[0], f->at[1],
		f->at[2]);
}

json_t *bh_figures_json(const struct bh_figures *f)
{
	return json_pack("{s:f, s:f, s:f, s:f}", "auc", f->auc, "detected_at_0.1%", f->at[0],
			 "detected_at_1%", f->at[1], "detected_at_5%", f->at[2]);
}
