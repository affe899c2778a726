/* anomaly.c - how well the daemon's sequence model tells attacks from normal traces of system
 * calls.
 *
 * Reads public data sets of two shapes (calls.h) wherever they lie (sets.h). Trains and scores with
 * the very code the daemon links, beside STIDE and a 6-gram model on the same traces. See README.md
 * beside this file. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "detect/seq.h"
#include "eval/compare.h"
#include "eval/data.h"
#include "eval/figures.h"
#include "eval/live.h"
#include "eval/sets.h"

#define MAX_NODES (8u << 20)

enum { OURS, STIDE, NGRAM, MEASURES, SCORES = MEASURES + BH_SEQ_MEASURES };

struct options {
	unsigned order;
	long window; /* cut traces to this many calls; 0: whole files; -1: as it fits */
	bool is_verbose, is_json, is_help;
	const char *name;
	struct bh_set named;	  /* by --train and its like */
	struct bh_paths searched; /* directories to search for sets */
	json_t *all;		  /* with is_json: what is to be printed at the end */
};

/* All scores of all traces of a part. */
struct scores {
	double *v[SCORES];
	size_t n;
};

struct models {
	struct bh_seq *ours;
	struct bh_compare others;
};

static void scores_done(struct scores *s)
{
	for (int i = 0; i < SCORES; i++)
		free(s->v[i]);
}

static int score(const struct models *m, const struct traces *t, struct scores *ret)
{
	ret->n = t->n;
	for (int i = 0; i < SCORES; i++) {
		ret->v[i] = malloc((t->n + 1) * sizeof(*ret->v[i]));
		if (!ret->v[i])
			return -ENOMEM;
	}
	for (size_t i = 0; i < t->n; i++) {
		struct bh_seq_score s;

		bh_seq_score(m->ours, &t->v[i], &s);
		ret->v[OURS][i] = s.total;
		ret->v[STIDE][i] = bh_compare_stide(&m->others, &t->v[i]);
		ret->v[NGRAM][i] = bh_compare_ngram(&m->others, &t->v[i]);
		for (int k = 0; k < BH_SEQ_MEASURES; k++)
			ret->v[MEASURES + k][i] = s.z[k];
	}
	return 0;
}

/* Share of a part's traces of which the running daemon would have said something. */
static double live(const struct bh_seq *m, const struct bh_data *d, enum bh_part part)
{
	double limit = bh_seq_threshold(m, 0.01);
	uint64_t filter[BH_SEQ_WORDS] = {0};
	size_t above = 0;

	bh_live_filter(d->part[BH_TRAIN].v, d->part[BH_TRAIN].n, filter);
	bh_vec_each (t, &d->part[part])
		above += bh_live_score(m, filter, t) > limit;
	return (double)above / (double)d->part[part].n;
}

/* ---- output ---- */

static const char *score_name(int which, const char *set)
{
	static const char *const names[] = {
		[STIDE] = "  STIDE, 7 calls", [NGRAM] = "  6-gram model"};

	if (which == OURS)
		return set;
	return which < MEASURES ? names[which]
				: bh_seq_measure_name((enum bh_seq_measure)(which - MEASURES));
}

/* Sorts the scores. */
static struct bh_figures figures(struct scores part[BH_PARTS], int which, const char *set)
{
	struct scores *normal = &part[BH_NORMAL], *attack = &part[BH_ATTACK];

	return bh_figures_of(score_name(which, set), normal->v[which], normal->n, attack->v[which],
			     attack->n);
}

static void print_head(const char *name, const struct bh_data *d, const struct bh_seq *m)
{
	const struct traces *part = d->part;
	struct bh_map_entry *e;
	struct bh_seq_stats stats;
	size_t pos = 0, n = 0;

	bh_seq_stats(m, &stats);
	printf("# %s: %zu training, %zu normal, %zu attack traces", name, part[BH_TRAIN].n,
	       part[BH_NORMAL].n, part[BH_ATTACK].n);
	if (d->window)
		printf(" (windows of %zu calls)", d->window);
	printf(", %zu calls, %zu different ones; model of %zu nodes, %.1f MB\n", d->calls,
	       d->words.numbers.count, stats.nodes, (double)stats.bytes / 1e6);
	if (stats.refused)
		printf("# %s: %llu contexts found no room in the model\n", name,
		       (unsigned long long)stats.refused);
	if (d->words.beyond)
		printf("# %s: more than %d different calls, %zu calls are one; is each number or "
		       "word of these files a call?\n",
		       name, BH_SEQ_CALLS - 2, d->words.beyond);
	if (d->empty || d->left_out)
		printf("# %s: %zu files without a call, %zu that could not be read\n", name,
		       d->empty, d->left_out);
	if (!d->words.odd.count)
		return;
	printf("# %s: %zu names that no system call has:", name, d->words.odd.count);
	while ((e = bh_map_next(&d->words.odd, &pos)) && n++ < 8)
		printf(" %s", (const char *)e->key);
	printf("%s\n", e ? " ..." : "");
}

static void print_text(const struct options *o, const char *name, const struct bh_data *d,
		       const struct bh_seq *m, struct scores part[BH_PARTS])
{
	double own = bh_seq_threshold(m, 0.01);

	print_head(name, d, m);
	for (int i = 0; i < (o->is_verbose ? SCORES : MEASURES); i++) {
		struct bh_figures f = figures(part, i, name);

		bh_figures_print(stdout, &f);
		if (i == OURS)
			printf("     %6.3f  %6.3f",
			       bh_figures_above(part[BH_NORMAL].v[i], part[BH_NORMAL].n, own),
			       bh_figures_above(part[BH_ATTACK].v[i], part[BH_ATTACK].n, own));
		printf("\n");
	}
	if (o->is_verbose)
		printf("%-18s %35s     %6.3f  %6.3f\n", "live", "", live(m, d, BH_NORMAL),
		       live(m, d, BH_ATTACK));
	fflush(stdout);
}

static int add_json(const struct options *o, const char *name, const struct bh_data *d,
		    const struct bh_seq *m, struct scores part[BH_PARTS])
{
	static const char *const keys[] = {"bulkhead", "stide_7", "6_gram"};
	double own = bh_seq_threshold(m, 0.01);
	json_t *set = json_pack(
		"{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:{s:f, s:f}}", "set", name, "training",
		(json_int_t)d->part[BH_TRAIN].n, "normal", (json_int_t)part[BH_NORMAL].n, "attacks",
		(json_int_t)part[BH_ATTACK].n, "window", (json_int_t)d->window, "calls",
		(json_int_t)d->calls, "files_left_out", (json_int_t)(d->empty + d->left_out),
		"own_threshold", "false_positives",
		bh_figures_above(part[BH_NORMAL].v[OURS], part[BH_NORMAL].n, own), "detected",
		bh_figures_above(part[BH_ATTACK].v[OURS], part[BH_ATTACK].n, own));
	json_t *measures = o->is_verbose ? json_object() : NULL;
	int r = 0;

	for (int i = 0; !r && i < (o->is_verbose ? SCORES : MEASURES); i++) {
		struct bh_figures f = figures(part, i, "");

		r = json_object_set_new(i < MEASURES ? set : measures,
					i < MEASURES ? keys[i] : f.name, bh_figures_json(&f));
	}
	if (!r && o->is_verbose)
		r = json_object_set(set, "measures", measures) ||
		    json_object_set_new(set, "live",
					json_pack("{s:f, s:f}", "false_positives",
						  live(m, d, BH_NORMAL), "detected",
						  live(m, d, BH_ATTACK)));
	json_decref(measures);
	if (!r)
		return json_array_append_new(o->all, set);
	json_decref(set);
	return r;
}

/* ---- sets ---- */

static int run_data(const struct options *o, const char *name, const struct bh_data *d,
		    struct models *m, struct bh_err *err)
{
	const struct bh_seq_options opt = {.order = o->order, .max_nodes = MAX_NODES};
	const struct traces *train = &d->part[BH_TRAIN];
	struct scores part[BH_PARTS] = {0};
	int r = bh_seq_new(&opt, &m->ours, err);

	if (!r)
		r = bh_seq_train(m->ours, train->v, train->n, err);
	if (!r)
		r = bh_compare_train(&m->others, train->v, train->n, err);
	for (int i = BH_NORMAL; !r && i < BH_PARTS; i++)
		r = score(m, &d->part[i], &part[i]) ? bh_fail(err, ENOMEM, "%s", name) : 0;
	if (!r && o->is_json)
		r = add_json(o, name, d, m->ours, part) ? bh_fail(err, ENOMEM, "%s", name) : 0;
	else if (!r)
		print_text(o, name, d, m->ours, part);
	for (int i = 0; i < BH_PARTS; i++)
		scores_done(&part[i]);
	return r;
}

static int run_set(const struct options *o, const char *name, const struct bh_set *s)
{
	struct bh_data d = {0};
	struct models m = {0};
	struct bh_err err;
	int r = bh_data_read(s, o->window, &d, &err);

	if (!r)
		r = run_data(o, name, &d, &m, &err);
	if (r)
		fprintf(stderr, "anomaly: %s: %s\n", name, err.text);
	bh_seq_free(m.ours);
	bh_compare_done(&m.others);
	bh_data_done(&d);
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

static void usage(FILE *out)
{
	static const char text[] =
		"usage: anomaly [-v] [--json] [--order N] [--window N] DIRECTORY...\n"
		"       anomaly [-v] [--json] [--name NAME] [--order N] [--window N]\n"
		"               --train PATH... --normal PATH... --attack PATH...\n\n"
		"A DIRECTORY is searched for sets: files or directories whose names say train, "
		"normal\n(benign, valid...) and attack (malicious, exploit...). Both shapes of "
		"files are read:\nnumbers, one trace per file (ADFA-LD), and names, one call per "
		"line. Few long files\nare cut into windows; --window 0: never, --window N: into "
		"N calls. Without training\ndata, the first 60 % of what is normal is trained "
		"with. --order 1 to 6 (6). -v: each\nmeasure for itself, and what the live path "
		"would say. --json: one array of sets.\n";

	fputs(text, out);
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
		{"name", 1, NULL, 'N'},	 {"verbose", 0, NULL, 'v'}, {"json", 0, NULL, 'j'},
		{"help", 0, NULL, 'h'},	 {NULL, 0, NULL, 0}};
	struct bh_paths *into = &o->searched;
	long order = o->order;
	int c, r = 0;

	while (!r && (c = getopt_long(argc, argv, "-vjht:n:a:A:o:w:N:", longs, NULL)) != -1) {
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
		else if (c == 'v' || c == 'j' || c == 'h')
			*(c == 'v' ? &o->is_verbose : c == 'j' ? &o->is_json : &o->is_help) = true;
		else if (c != 'N')
			r = -EINVAL;
		if (c == 'A' || c == 'N')
			o->name = c == 'A' ? "ADFA-LD" : optarg;
	}
	o->order = (unsigned)order;
	return r;
}

static int run_all(struct options *o)
{
	int r = 0;

	o->named.name = bh_strf("%s", o->name ? o->name : "set");
	o->all = json_array();
	if (!o->is_json)
		printf("# set                 AUC     detected at 0.1 %%, 1 %%, 5 %% false "
		       "positives"
		       "; false positives and detected at its own threshold\n");
	if (o->named.part[BH_ATTACK].n)
		r = run_set(o, o->named.name, &o->named);
	bh_vec_each (dir, &o->searched)
		r |= run_dir(o, *dir);
	if (o->is_json && !json_dumpf(o->all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6)))
		printf("\n");
	json_decref(o->all);
	return r;
}

int main(int argc, char **argv)
{
	struct options o = {.order = BH_SEQ_MAX_ORDER, .window = -1};
	int r = parse_args(&o, argc, argv);
	bool is_named = o.named.part[BH_ATTACK].n;

	if (o.is_help) {
		usage(stdout);
		r = 0;
	} else if (r || (!is_named && !o.searched.n) ||
		   (is_named && !o.named.part[BH_TRAIN].n && !o.named.part[BH_NORMAL].n)) {
		usage(stderr);
		r = 2;
	} else {
		r = run_all(&o) ? 1 : 0;
	}
	bh_vec_each (dir, &o.searched)
		free(*dir);
	bh_vec_done(&o.searched);
	bh_set_done(&o.named);
	return r;
}
