/* anomaly.c - how well the daemon's sequence model tells attacks from normal traces of system
 * calls.
 *
 * Reads public data sets of two shapes (calls.h) wherever they lie (sets.h). Trains, scores and
 * prints with the very code the daemon links. See README.md beside this file. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"
#include "detect/seq.h"
#include "eval/calls.h"
#include "eval/live.h"
#include "eval/sets.h"

#define MAX_FILE    (1u << 30)
#define MAX_NODES   (8u << 20)
#define FEW_TRACES  100 /* fewer long traces than that are cut into windows */
#define LONG_TRACE  1000
#define WANTED	    300 /* windows to train with */
#define LEAST_CALLS 100 /* of a window */
#define MOST_CALLS  1000
#define TRAIN_SHARE 0.6 /* of what is normal, where nothing says what to train with */

BH_VEC_TYPE(traces, struct bh_trace);

struct options {
	unsigned order;
	long window; /* cut traces to this many calls; 0: whole files; -1: as it fits */
	bool is_verbose;
	const char *name;
	struct bh_set named;	  /* by --train and its like */
	struct bh_paths searched; /* directories to search for sets */
};

struct data {
	struct bh_words words;
	struct traces part[BH_PARTS];
	size_t window; /* 0: whole traces */
};

struct numbers {
	double *v;
	size_t n;
};

static void traces_done(struct traces *t)
{
	bh_vec_each (x, t)
		free((void *)(uintptr_t)x->calls);
	bh_vec_done(t);
}

static void data_done(struct data *d)
{
	for (int i = 0; i < BH_PARTS; i++)
		traces_done(&d->part[i]);
	bh_words_done(&d->words);
}

/* ---- reading ---- */

static int add_trace(struct traces *out, const uint16_t *calls, size_t n)
{
	uint16_t *copy = malloc(n * sizeof(*copy) + 1);
	struct bh_trace t = {.calls = copy, .n = n};

	if (!copy)
		return -ENOMEM;
	memcpy(copy, calls, n * sizeof(*copy));
	return bh_vec_push(out, t);
}

static int read_file(const char *path, struct bh_words *words, struct traces *out)
{
	struct bh_calls c = {0};
	struct bh_err err;
	char *text = NULL;
	size_t len;
	int r = bh_fs_read(path, MAX_FILE, &text, &len, &err);

	if (r) {
		fprintf(stderr, "anomaly: %s\n", err.text);
		return r;
	}
	r = bh_calls_parse(text, len, words, &c);
	free(text);
	if (!r && c.n)
		r = add_trace(out, c.v, c.n);
	bh_vec_done(&c);
	return r;
}

static int read_part(const struct bh_paths *given, struct bh_words *words, struct traces *out)
{
	struct bh_paths files = {0};
	int r = 0;

	for (size_t i = 0; !r && i < given->n; i++) {
		r = bh_paths_below(given->v[i], &files);
		if (r)
			fprintf(stderr, "anomaly: cannot read %s\n", given->v[i]);
	}
	for (size_t i = 0; !r && i < files.n; i++)
		r = read_file(files.v[i], words, out);
	bh_vec_each (x, &files)
		free(*x);
	bh_vec_done(&files);
	return r;
}

/* The last piece of a cut trace counts when it is at least half as long as the others. */
static int cut(struct traces *t, size_t window)
{
	struct traces out = {0};
	int r = 0;

	bh_vec_each (x, t) {
		size_t from = 0, n = x->n;

		for (; !r && n > window && n - from >= window; from += window)
			r = add_trace(&out, x->calls + from, window);
		if (!r && (n <= window || n - from >= window / 2))
			r = add_trace(&out, x->calls + from, n - from);
	}
	traces_done(t);
	*t = out;
	return r;
}

static size_t calls_in(const struct traces *t)
{
	size_t n = 0;

	bh_vec_each (x, t)
		n += x->n;
	return n;
}

/* A few long recordings say as little as one throw of a die each: cut, they are a distribution. */
static size_t window_for(const struct data *d)
{
	const struct traces *normal =
		d->part[BH_TRAIN].n ? &d->part[BH_TRAIN] : &d->part[BH_NORMAL];
	size_t calls = calls_in(normal), least = normal->n, fits;

	if (d->part[BH_NORMAL].n && d->part[BH_NORMAL].n < least)
		least = d->part[BH_NORMAL].n;
	if (least >= FEW_TRACES || calls / normal->n < LONG_TRACE)
		return 0;
	fits = calls / WANTED;
	return fits < LEAST_CALLS ? LEAST_CALLS : fits > MOST_CALLS ? MOST_CALLS : fits;
}

/* Moves what is behind the share of `from` to the empty `to`. */
static int split(struct traces *from, struct traces *to)
{
	size_t keep = (size_t)(TRAIN_SHARE * (double)from->n);

	while (from->n > keep) {
		if (bh_vec_push(to, from->v[from->n - 1]))
			return -ENOMEM;
		from->n--;
	}
	return 0;
}

static int read_set(const struct options *o, const struct bh_set *s, struct data *d)
{
	struct traces *train = &d->part[BH_TRAIN], *normal = &d->part[BH_NORMAL], swap;
	int r = 0;

	for (int i = 0; !r && i < BH_PARTS; i++)
		r = read_part(&s->part[i], &d->words, &d->part[i]);
	if (r)
		return r;
	if ((!train->n && !normal->n) || !d->part[BH_ATTACK].n) {
		fprintf(stderr,
			"anomaly: %s: %zu training, %zu normal and %zu attack traces found\n",
			s->name, train->n, normal->n, d->part[BH_ATTACK].n);
		return -ENODATA;
	}
	d->window = o->window < 0 ? window_for(d) : (size_t)o->window;
	for (int i = 0; !r && d->window && i < BH_PARTS; i++)
		r = cut(&d->part[i], d->window);
	if (!r && !train->n) {
		swap = *train;
		*train = *normal;
		*normal = swap;
	}
	if (!r && !normal->n)
		r = split(train, normal);
	if (!r && (!train->n || !normal->n)) {
		fprintf(stderr, "anomaly: %s: one normal trace is too few\n", s->name);
		return -ENODATA;
	}
	return r;
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

static int print_live(const char *name, const struct bh_seq *m, const struct data *d)
{
	double limit = bh_seq_threshold(m, 0.01);
	uint64_t filter[BH_SEQ_WORDS] = {0};
	size_t above[BH_PARTS] = {0};

	bh_live_filter(d->part[BH_TRAIN].v, d->part[BH_TRAIN].n, filter);
	for (int i = BH_NORMAL; i < BH_PARTS; i++) {
		bh_vec_each (t, &d->part[i])
			above[i] += bh_live_score(m, filter, t) > limit;
	}
	printf("%-16s %34s %6.3f %6.3f\n", name, "live",
	       (double)above[BH_NORMAL] / (double)d->part[BH_NORMAL].n,
	       (double)above[BH_ATTACK] / (double)d->part[BH_ATTACK].n);
	return 0;
}

static int run_data(const struct options *o, const char *name, const struct data *d)
{
	struct bh_seq_options opt = {.order = o->order, .max_nodes = MAX_NODES};
	BH_CLEANUP(bh_seq_freep) struct bh_seq *m = NULL;
	const struct traces *train = &d->part[BH_TRAIN];
	struct bh_seq_stats stats;
	struct bh_err err;
	int i, r = bh_seq_new(&opt, &m, &err);

	if (!r)
		r = bh_seq_train(m, train->v, train->n, &err);
	if (r) {
		fprintf(stderr, "anomaly: %s\n", err.text);
		return r;
	}
	bh_seq_stats(m, &stats);
	printf("# %s: %zu training, %zu normal, %zu attack traces", name, train->n,
	       d->part[BH_NORMAL].n, d->part[BH_ATTACK].n);
	if (d->window)
		printf(", windows of %zu calls", d->window);
	printf("; %zu different calls; order %u, %zu nodes, %.1f MB\n", d->words.numbers.count,
	       o->order, stats.nodes, (double)stats.bytes / 1e6);
	if (stats.refused)
		printf("# %s: %llu contexts found no room\n", name,
		       (unsigned long long)stats.refused);
	r = print_row(name, m, &d->part[BH_NORMAL], -1);
	for (i = 0; !r && o->is_verbose && i < BH_SEQ_MEASURES; i++)
		r = print_row(bh_seq_measure_name((enum bh_seq_measure)i), m, &d->part[BH_NORMAL],
			      i);
	return r || !o->is_verbose ? r : print_live(name, m, d);
}

static int run_set(const struct options *o, const char *name, const struct bh_set *s)
{
	struct data d = {0};
	int r = read_set(o, s, &d);

	if (!r)
		r = run_data(o, name, &d);
	data_done(&d);
	fflush(stdout);
	return r;
}

/* The directory's own name, and the set's within it. */
static char *title(const struct options *o, const char *dir, const struct bh_set *s)
{
	size_t n = strlen(dir), from;

	while (n > 1 && dir[n - 1] == '/')
		n--;
	for (from = n; from && dir[from - 1] != '/'; from--)
		;
	if (!*s->name)
		return o->name ? strdup(o->name) : bh_strf("%.*s", (int)(n - from), dir + from);
	return o->name ? bh_strf("%s/%s", o->name, s->name) : strdup(s->name);
}

static int run_dir(const struct options *o, const char *dir)
{
	struct bh_sets sets = {0};
	struct bh_err err;
	int r = bh_sets_find(dir, &sets, &err);

	if (r)
		fprintf(stderr, "anomaly: %s\n", err.text);
	bh_vec_each (s, &sets) {
		char *name = title(o, dir, s);

		r |= run_set(o, name ? name : "", s);
		free(name);
	}
	bh_sets_done(&sets);
	return r;
}

static int usage(void)
{
	fputs("usage: anomaly [-v] [--order N] [--window N] DIRECTORY...\n"
	      "       anomaly [-v] [--name NAME] [--order N] [--window N]\n"
	      "               --train PATH... --normal PATH... --attack PATH...\n"
	      "\n"
	      "A DIRECTORY is searched for sets: files or directories whose names say train, "
	      "normal\n"
	      "(benign, valid...) and attack (malicious, exploit...). Both shapes of files are "
	      "read:\n"
	      "numbers, one trace per file (ADFA-LD), and names, one call per line. Few long "
	      "files\n"
	      "are cut into windows; --window 0: never, --window N: into N calls. Without "
	      "training\n"
	      "data, the first 60 % of what is normal is trained with. --order 1 to 6 (6). -v: "
	      "each\n"
	      "measure for itself, and what the live path would say.\n",
	      stderr);
	return 2;
}

static int parse_number(const char *text, long least, long most, long *ret)
{
	char *end;

	*ret = strtol(text, &end, 10);
	if (end == text || *end || *ret < least || *ret > most) {
		fprintf(stderr, "anomaly: '%s' is not a number from %ld to %ld\n", text, least,
			most);
		return -EINVAL;
	}
	return 0;
}

static int parse_args(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{"train", 1, NULL, 't'}, {"normal", 1, NULL, 'n'},  {"attack", 1, NULL, 'a'},
		{"adfa", 1, NULL, 'A'},	 {"order", 1, NULL, 'o'},   {"window", 1, NULL, 'w'},
		{"name", 1, NULL, 'N'},	 {"verbose", 0, NULL, 'v'}, {NULL, 0, NULL, 0}};
	struct bh_paths *into = &o->searched;
	long order = o->order;
	int c, r = 0;

	while (!r && (c = getopt_long(argc, argv, "-vt:n:a:A:o:w:N:", longs, NULL)) != -1) {
		if (c == 't' || c == 'n' || c == 'a')
			into = &o->named.part[c == 't'	 ? BH_TRAIN
					      : c == 'n' ? BH_NORMAL
							 : BH_ATTACK];
		if (c == 't' || c == 'n' || c == 'a' || c == 1)
			r = bh_vec_push(into, bh_strf("%s", optarg));
		else if (c == 'A')
			r = bh_vec_push(&o->searched, bh_strf("%s", optarg));
		else if (c == 'o')
			r = parse_number(optarg, 1, BH_SEQ_MAX_ORDER, &order);
		else if (c == 'w')
			r = parse_number(optarg, 0, 1000000000, &o->window);
		else if (c == 'v')
			o->is_verbose = true;
		else if (c != 'N')
			r = -EINVAL;
		if (c == 'A' || c == 'N')
			o->name = c == 'A' ? "ADFA-LD" : optarg;
	}
	o->order = (unsigned)order;
	return r;
}

int main(int argc, char **argv)
{
	struct options o = {.order = BH_SEQ_MAX_ORDER, .window = -1};
	int r = parse_args(&o, argc, argv);
	bool is_named = o.named.part[BH_ATTACK].n;

	if (r || (!is_named && !o.searched.n) ||
	    (is_named && !o.named.part[BH_TRAIN].n && !o.named.part[BH_NORMAL].n))
		return usage();
	printf("# set               AUC   DR at 0.1 %%   1 %%    5 %%   FP and DR at own "
	       "threshold\n");
	o.named.name = bh_strf("%s", o.name ? o.name : "set");
	if (is_named)
		r = run_set(&o, o.named.name, &o.named);
	bh_vec_each (dir, &o.searched) {
		r |= run_dir(&o, *dir);
		free(*dir);
	}
	bh_vec_done(&o.searched);
	bh_set_done(&o.named);
	return r ? 1 : 0;
}
