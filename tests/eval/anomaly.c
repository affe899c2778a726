/* anomaly.c - how well the daemon's sequence model tells attacks from normal traces of system
 * calls.
 *
 * Reads two shapes of public data sets: files of numbers (ADFA-LD: one trace per file) and files of
 * names, one call per line (per-service traces). Trains, scores and prints with the very code the
 * daemon links. See README.md beside this file. */
#include <ctype.h>
#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/map.h"
#include "base/str.h"
#include "base/vec.h"
#include "detect/seq.h"
#include "policy/syscalls.h"

#define MAX_FILE (256u << 20)
#define NAMED	 400 /* names that this machine does not know get numbers from here on */

BH_VEC_TYPE(traces, struct bh_trace);
BH_VEC_TYPE(paths, char *);
BH_VEC_TYPE(calls, uint16_t);

struct options {
	unsigned order;
	size_t window; /* cut traces to this many calls; 0: whole files */
	bool is_verbose;
	const char *name;
	struct paths train, normal, attack;
};

struct numbers {
	double *v;
	size_t n;
};

static struct bh_map names;

static void traces_done(struct traces *t)
{
	bh_vec_each (x, t)
		free((void *)(uintptr_t)x->calls);
	bh_vec_done(t);
}

static void paths_done(struct paths *p)
{
	bh_vec_each (x, p)
		free(*x);
	bh_vec_done(p);
}

static uint16_t number_of(const char *word)
{
	uintptr_t known = (uintptr_t)bh_map_get_s(&names, word);
	char *end;
	long n;

	if (known)
		return (uint16_t)(known - 1);
	n = strtol(word, &end, 10);
	if (*end)
		n = bh_syscall_number(word);
	if (n < 0)
		n = NAMED + (long)(names.count % (BH_SEQ_CALLS - NAMED));
	if (n >= BH_SEQ_CALLS)
		n = BH_SEQ_CALLS - 1;
	bh_map_set_s(&names, word, (void *)(uintptr_t)(n + 1));
	return (uint16_t)n;
}

static int add_trace(struct traces *out, const struct calls *c, size_t from, size_t n)
{
	uint16_t *copy = malloc(n * sizeof(*copy) + 1);
	struct bh_trace t = {.calls = copy, .n = n};

	if (!copy)
		return -ENOMEM;
	memcpy(copy, c->v + from, n * sizeof(*copy));
	return bh_vec_push(out, t);
}

/* The last piece of a cut trace counts when it is at least half as long as the others. */
static int cut(struct traces *out, const struct calls *c, size_t window)
{
	size_t from = 0;
	int r = 0;

	if (!c->n)
		return 0;
	if (!window || c->n <= window)
		return add_trace(out, c, 0, c->n);
	for (; !r && c->n - from >= window; from += window)
		r = add_trace(out, c, from, window);
	if (!r && c->n - from >= window / 2)
		r = add_trace(out, c, from, c->n - from);
	return r;
}

/* Words of numbers; else the first word of each line ("openat(..." is openat). */
static int parse(const char *text, struct calls *out)
{
	const char *at = text;
	char word[64];
	bool is_numbers = isdigit((unsigned char)text[strspn(text, " \t\r\n")]);
	int r = 0;

	while (!r && *(at += strspn(at, " \t\r\n"))) {
		size_t n = strcspn(at, is_numbers ? " \t\r\n" : " \t\r\n(");

		snprintf(word, sizeof(word), "%.*s", (int)n, at);
		r = bh_vec_push(out, number_of(word));
		at += is_numbers ? n : strcspn(at, "\n");
	}
	return r;
}

static int read_file(const char *path, size_t window, struct traces *out)
{
	struct calls c = {0};
	struct bh_err err;
	char *text = NULL;
	size_t len;
	int r = bh_fs_read(path, MAX_FILE, &text, &len, &err);

	if (r) {
		fprintf(stderr, "anomaly: %s\n", err.text);
		return r;
	}
	r = parse(text, &c);
	if (!r)
		r = cut(out, &c, window);
	bh_vec_done(&c);
	free(text);
	return r;
}

static struct traces *walk_out;
static size_t walk_window;

static int on_entry(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	if (type != FTW_F || path[where->base] == '.')
		return 0;
	return read_file(path, walk_window, walk_out);
}

static int read_all(const struct paths *p, size_t window, struct traces *out)
{
	size_t i;

	walk_out = out;
	walk_window = window;
	for (i = 0; i < p->n; i++) {
		if (nftw(p->v[i], on_entry, 16, FTW_PHYS)) {
			fprintf(stderr, "anomaly: cannot read %s\n", p->v[i]);
			return -EIO;
		}
	}
	return 0;
}

/* ---- figures ---- */

static int number_cmp(const void *pa, const void *pb)
{
	double a = *(const double *)pa, b = *(const double *)pb;

	return (a > b) - (a < b);
}

/* The chance that an attack scores above a normal trace; equal scores count half. Both are sorted.
 */
static double auc(const struct numbers *normal, const struct numbers *attack)
{
	size_t below = 0, upto = 0, i;
	double sum = 0;

	for (i = 0; i < attack->n; i++) {
		while (below < normal->n && normal->v[below] < attack->v[i])
			below++;
		while (upto < normal->n && normal->v[upto] <= attack->v[i])
			upto++;
		sum += (double)below + (double)(upto - below) / 2;
	}
	return sum / (double)normal->n / (double)attack->n;
}

/* Share of attacks above the score that at most `share` of the normal traces exceed. */
static double detected(const struct numbers *normal, const struct numbers *attack, double share)
{
	size_t above = (size_t)(share * (double)normal->n), n = 0, i;
	double limit = normal->v[normal->n - 1 - above];

	for (i = 0; i < attack->n; i++)
		n += attack->v[i] > limit;
	return (double)n / (double)attack->n;
}

static double above(const struct numbers *scores, double limit)
{
	size_t n = 0, i;

	for (i = 0; i < scores->n; i++)
		n += scores->v[i] > limit;
	return (double)n / (double)scores->n;
}

/* which < 0: the total. */
static int score_all(const struct bh_seq *m, const struct traces *t, int which, struct numbers *ret)
{
	size_t i;

	ret->v = malloc((t->n + 1) * sizeof(*ret->v));
	ret->n = t->n;
	if (!ret->v)
		return -ENOMEM;
	for (i = 0; i < t->n; i++) {
		struct bh_seq_score s;

		bh_seq_score(m, &t->v[i], &s);
		ret->v[i] = which < 0 ? s.total : s.z[which];
	}
	qsort(ret->v, ret->n, sizeof(*ret->v), number_cmp);
	return 0;
}

static int print_row(const char *name, const struct bh_seq *m, const struct traces sets[2],
		     int which)
{
	struct numbers normal = {0}, attack = {0};
	double own = bh_seq_threshold(m, 0.01);
	int r = score_all(m, &sets[0], which, &normal);

	if (!r)
		r = score_all(m, &sets[1], which, &attack);
	if (!r) {
		printf("%-16s %6.3f   %6.3f %6.3f %6.3f", name, auc(&normal, &attack),
		       detected(&normal, &attack, 0.001), detected(&normal, &attack, 0.01),
		       detected(&normal, &attack, 0.05));
		if (which < 0)
			printf("   %6.3f %6.3f", above(&normal, own), above(&attack, own));
		printf("\n");
	}
	free(normal.v);
	free(attack.v);
	return r;
}

static int run(const struct options *o)
{
	struct bh_seq_options opt = {.order = o->order};
	BH_CLEANUP(bh_seq_freep) struct bh_seq *m = NULL;
	struct traces train = {0}, sets[2] = {{0}};
	struct bh_seq_stats stats;
	struct bh_err err;
	int i;

	if (read_all(&o->train, o->window, &train) || read_all(&o->normal, o->window, &sets[0]) ||
	    read_all(&o->attack, o->window, &sets[1]))
		return 1;
	if (!train.n || !sets[0].n || !sets[1].n) {
		fprintf(stderr, "anomaly: %zu training, %zu normal and %zu attack traces found\n",
			train.n, sets[0].n, sets[1].n);
		return 1;
	}
	if (bh_seq_new(&opt, &m, &err) || bh_seq_train(m, train.v, train.n, &err)) {
		fprintf(stderr, "anomaly: %s\n", err.text);
		return 1;
	}
	bh_seq_stats(m, &stats);
	printf("# %s: %zu training, %zu normal, %zu attack traces; order %u, %zu nodes, %.1f MB\n",
	       o->name, train.n, sets[0].n, sets[1].n, o->order, stats.nodes,
	       (double)stats.bytes / 1e6);
	printf("# set               AUC   DR at 0.1 %%   1 %%    5 %%   FP and DR at own "
	       "threshold\n");
	if (print_row(o->name, m, sets, -1))
		return 1;
	for (i = 0; o->is_verbose && i < BH_SEQ_MEASURES; i++) {
		if (print_row(bh_seq_measure_name((enum bh_seq_measure)i), m, sets, i))
			return 1;
	}
	for (i = 0; i < 2; i++)
		traces_done(&sets[i]);
	traces_done(&train);
	return 0;
}

static int usage(void)
{
	fputs("usage: anomaly [-v] [--name NAME] [--order N] [--window N]\n"
	      "               --train PATH... --normal PATH... --attack PATH...\n"
	      "       anomaly [-v] [--order N] --adfa DIRECTORY\n",
	      stderr);
	return 2;
}

static void add_adfa(struct options *o, const char *dir)
{
	static const char *const parts[] = {"Training_Data_Master", "Validation_Data_Master",
					    "Attack_Data_Master"};
	struct paths *into[] = {&o->train, &o->normal, &o->attack};
	int i;

	for (i = 0; i < 3; i++)
		bh_vec_push(into[i], bh_strf("%s/%s", dir, parts[i]));
	o->name = "ADFA-LD";
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"train", 1, NULL, 't'}, {"normal", 1, NULL, 'n'},  {"attack", 1, NULL, 'a'},
		{"adfa", 1, NULL, 'A'},	 {"order", 1, NULL, 'o'},   {"window", 1, NULL, 'w'},
		{"name", 1, NULL, 'N'},	 {"verbose", 0, NULL, 'v'}, {NULL, 0, NULL, 0}};
	struct options o = {.order = 6, .name = "set"};
	struct paths *into = NULL;
	int c, r;

	bh_map_init(&names, NULL);
	while ((c = getopt_long(argc, argv, "-vt:n:a:A:o:w:N:", longs, NULL)) != -1) {
		if (c == 't' || c == 'n' || c == 'a')
			into = c == 't' ? &o.train : c == 'n' ? &o.normal : &o.attack;
		if (c == 't' || c == 'n' || c == 'a' || (c == 1 && into))
			bh_vec_push(into, bh_strf("%s", optarg));
		else if (c == 'A')
			add_adfa(&o, optarg);
		else if (c == 'o')
			o.order = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'w')
			o.window = strtoul(optarg, NULL, 10);
		else if (c == 'N')
			o.name = optarg;
		else if (c == 'v')
			o.is_verbose = true;
		else
			return usage();
	}
	if (!o.train.n || !o.normal.n || !o.attack.n)
		return usage();
	r = run(&o);
	paths_done(&o.train);
	paths_done(&o.normal);
	paths_done(&o.attack);
	bh_map_done(&names);
	return r;
}
