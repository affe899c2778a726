/* figures.h - scores of normal traces and of attacks > area under the curve and shares detected. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

/* What one score says of all traces. */
struct bh_figures {
	const char *name; /* borrowed */
	double auc;   /* chance that an attack scores above a normal trace; equal ones count half */
	double at[3]; /* share of attacks above the score that 0.1, 1, 5 % of the normal exceed */
};

/* Sorts both. There is at least one of each. */
struct bh_figures bh_figures_of(const char *name, double *normal, size_t n_normal, double *attack,
				size_t n_attack);
/* Share of the scores above the limit. */
double bh_figures_above(const double *scores, size_t n, double limit);
void bh_figures_print(FILE *out, const struct bh_figures *f);
/* A new object of the caller, or NULL. */
json_t *bh_figures_json(const struct bh_figures *f);
