#include "eval/sets.h"

#include <ctype.h>
#include <errno.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/map.h"
#include "base/own.h"
#include "base/str.h"

/* One file: what it is for, and whose it is: by what is above its part's name, and below it, and by
 * all names of its path that say nothing else, without and with its own. */
struct entry {
	enum bh_part part;
	char *set, *below, *dirs, *whole;
	const char *path; /* borrowed */
};
BH_VEC_TYPE(entries, struct entry);

/* ---- files ---- */

static struct bh_paths *walk_out;

static int on_entry(const char *path, const struct stat *st, int type, struct FTW *where)
{
	char *copy;

	(void)st;
	if (where->level && path[where->base] == '.')
		return type == FTW_D ? FTW_SKIP_SUBTREE : FTW_CONTINUE;
	if (type != FTW_F)
		return FTW_CONTINUE;
	copy = strdup(path);
	return copy && bh_vec_push(walk_out, copy) == 0 ? FTW_CONTINUE : FTW_STOP;
}

static int path_cmp(const void *pa, const void *pb)
{
	return strverscmp(*(char *const *)pa, *(char *const *)pb);
}

int bh_paths_below(const char *dir, struct bh_paths *out)
{
	size_t from = out->n;

	walk_out = out;
	if (nftw(dir, on_entry, 32, FTW_ACTIONRETVAL))
		return -EIO;
	if (out->n > from)
		qsort(out->v + from, out->n - from, sizeof(*out->v), path_cmp);
	return 0;
}

/* ---- names ---- */

static const char *const said[BH_PARTS][9] = {
	[BH_TRAIN] = {"train", NULL},
	[BH_NORMAL] = {"normal", "benign", "valid", "clean", "baseline", "legit", NULL},
	[BH_ATTACK] = {"attack", "malicious", "malware", "anomal", "abnormal", "intrusion",
		       "exploit", "infected", NULL},
};

/* Where a component says that it is this part, or NULL. */
static const char *says(const char *component, enum bh_part part)
{
	for (int i = 0; said[part][i]; i++) {
		const char *at = strcasestr(component, said[part][i]);

		/* "abnormal" is not normal */
		if (at &&
		    !(part == BH_NORMAL && at - component >= 2 && !strncasecmp(at - 2, "ab", 2)))
			return at;
	}
	return NULL;
}

/* Of many components the one that says most decides: an attack is one wherever it is, and what is
 * for training is normal. A name that says both ("normal_vs_attack") says nothing. */
static bool classify(char *const *c, size_t n, enum bh_part *ret, size_t *ret_which)
{
	static const enum bh_part order[] = {BH_ATTACK, BH_TRAIN, BH_NORMAL};

	for (size_t k = 0; k < 3; k++) {
		for (size_t i = 0; i < n; i++) {
			bool is_both = says(c[i], BH_ATTACK) &&
				       (says(c[i], BH_NORMAL) || says(c[i], BH_TRAIN));

			if (!says(c[i], order[k]) || is_both)
				continue;
			*ret = order[k];
			*ret_which = i;
			return true;
		}
	}
	for (size_t i = 0; i < n; i++) { /* test data without a further word are normal */
		if (!strncasecmp(c[i], "test", 4)) {
			*ret = BH_NORMAL;
			*ret_which = i;
			return true;
		}
	}
	return false;
}

/* Words that name no set. */
static bool is_plain(const char *word)
{
	static const char *const plain[] = {
		"data",	    "dataset", "master", "set",	  "test", "testing", "train",
		"training", "trace",   "traces", "log",	  "logs", "syscall", "syscalls",
		"call",	    "calls",   "file",	 "files", "all",  "part",    "seq"};

	for (size_t i = 0; i < BH_ARRAY_SIZE(plain); i++) {
		if (!strcasecmp(word, plain[i]))
			return true;
	}
	return false;
}

/* Adds what text says of a set: its words, without numbers, an extension and plain ones. */
static void add_words(struct bh_str *out, const char *text, size_t n, const char *between)
{
	BH_CLEANUP(bh_freep) char *copy = strndup(text, n);
	char *save = NULL, *word = copy ? strtok_r(copy, "_- +=()0123456789", &save) : NULL;

	out->failed |= !copy;
	for (; word; word = strtok_r(NULL, "_- +=()0123456789", &save)) {
		if (*word == '.' || is_plain(word))
			continue;
		bh_str_fmt(out, "%s%.*s", out->n ? between : "", (int)strcspn(word, "."), word);
		between = "-";
	}
}

/* "redis_normal_2.txt" is of redis by what comes before the word; "normal-redis" may be by what
 * comes after it, or "attack-bruteforce" be a kind of attack. */
static void add_stem(struct bh_str *set, struct bh_str *below, const char *component,
		     enum bh_part part)
{
	const char *at = says(component, part);

	if (!at)
		return;
	add_words(set, component, (size_t)(at - component), "/");
	while (isalpha((unsigned char)*at))
		at++;
	add_words(below, at, strlen(at), "-");
}

static bool says_any(const char *word)
{
	return says(word, BH_TRAIN) || says(word, BH_NORMAL) || says(word, BH_ATTACK) ||
	       !strncasecmp(word, "test", 4) || is_plain(word);
}

/* What is left of a component without all that says what it is for. A directory that says nothing
 * of that is whole, numbers and all. */
static void add_rest(struct bh_str *out, const char *component, bool is_file)
{
	BH_CLEANUP(bh_freep) char *copy = strdup(component);
	const char *between = out->n ? "/" : "";
	char *save = NULL, *word;

	if (copy && !is_file && !says_any(copy)) {
		bh_str_fmt(out, "%s%s", between, copy);
		return;
	}
	if (copy && is_file)
		copy[strcspn(copy, ".")] = '\0';
	word = copy ? strtok_r(copy, "_- +=().0123456789", &save) : NULL;
	out->failed |= !copy;
	for (; word; word = strtok_r(NULL, "_- +=().0123456789", &save)) {
		if (says_any(word))
			continue;
		bh_str_fmt(out, "%s%s", between, word);
		between = "-";
	}
}

static int note(struct entries *out, const char *dir, const char *path)
{
	BH_CLEANUP(bh_str_done) struct bh_str set = {0}, below = {0}, rest = {0};
	BH_CLEANUP(bh_freep) char *copy = strdup(path + strlen(dir));
	char *c[64], *at = copy, *save = NULL, *word;
	struct entry e = {.path = path};
	size_t n = 0, which = 0, i;

	while (n < 64 && (word = strtok_r(at, "/", &save))) {
		c[n++] = word;
		at = NULL;
	}
	if (!n || !classify(c, n, &e.part, &which))
		return 0;
	for (i = 0; i < which; i++)
		bh_str_fmt(&set, "%s%s", i ? "/" : "", c[i]);
	add_stem(&set, &below, c[which], e.part);
	if (!below.n && which + 2 < n)
		bh_str_add(&below, c[which + 1]);
	for (i = 0; i + 1 < n; i++)
		add_rest(&rest, c[i], false);
	e.set = strdup(bh_str_text(&set));
	e.below = strdup(bh_str_text(&below));
	e.dirs = says_any(c[n - 1]) ? NULL : strdup(bh_str_text(&rest));
	add_rest(&rest, c[n - 1], true);
	e.whole = strdup(bh_str_text(&rest));
	if (!e.dirs && e.whole)
		e.dirs = strdup(e.whole);
	return !e.set || !e.below || !e.dirs || !e.whole ? -ENOMEM : bh_vec_push(out, e);
}

/* ---- sets ---- */

static bool has(const struct entries *all, const struct entry *like, enum bh_part part)
{
	bh_vec_each (e, all) {
		if (e->part == part && !strcmp(e->set, like->set) && !strcmp(e->below, like->below))
			return true;
	}
	return false;
}

/* Directories below a part are sets when what is normal and what is an attack have the same ones;
 * else they are kinds of attacks. */
static bool below_is_set(const struct entries *all, const struct entry *one)
{
	bool is_any = false;
	const char *last = NULL;

	bh_vec_each (e, all) {
		if (e->part == BH_ATTACK || strcmp(e->set, one->set) ||
		    (last && !strcmp(last, e->below)))
			continue;
		last = e->below;
		if (!*e->below || !has(all, e, BH_ATTACK))
			return false;
		is_any = true;
	}
	return is_any;
}

static const char *name_by(const struct entry *e, bool is_whole)
{
	return is_whole ? e->whole : e->dirs;
}

/* Do the names make sets that all have attacks and something normal? */
static bool fits(const struct entries *all, bool is_whole)
{
	const char *last = "/";

	bh_vec_each (e, all) {
		bool has[2] = {false, false};

		if (!strcasecmp(last, name_by(e, is_whole)))
			continue;
		last = name_by(e, is_whole);
		bh_vec_each (x, all)
			has[x->part == BH_ATTACK] |= !strcasecmp(last, name_by(x, is_whole));
		if (!has[0] || !has[1])
			return false;
	}
	return all->n > 0;
}

static struct bh_set *set_of(struct bh_sets *sets, const char *name)
{
	struct bh_set new = {0};

	bh_vec_each (s, sets) {
		if (!strcasecmp(s->name, name))
			return s;
	}
	new.name = strdup(name);
	if (!new.name || bh_vec_push(sets, new)) {
		free(new.name);
		return NULL;
	}
	return &sets->v[sets->n - 1];
}

static int assign(const struct entries *all, struct bh_sets *ret)
{
	bool is_whole = fits(all, true), is_dirs = !is_whole && fits(all, false), is_below = false;
	const char *known = NULL;

	bh_vec_each (e, all) {
		BH_CLEANUP(bh_freep) char *name = NULL;
		struct bh_set *s;
		char *path;

		if (!known || strcmp(known, e->set))
			is_below = below_is_set(all, e);
		known = e->set;
		if (is_whole || is_dirs)
			name = strdup(name_by(e, is_whole));
		else
			name = is_below ? bh_strf("%s%s%s", e->set, *e->set ? "/" : "", e->below)
					: strdup(e->set);
		s = name ? set_of(ret, name) : NULL;
		path = strdup(e->path);
		if (!s || !path || bh_vec_push(&s->part[e->part], path)) {
			free(path);
			return -ENOMEM;
		}
	}
	return 0;
}

static void entries_done(struct entries *all)
{
	bh_vec_each (e, all) {
		free(e->set);
		free(e->below);
		free(e->dirs);
		free(e->whole);
	}
	bh_vec_done(all);
}

static void paths_done(struct bh_paths *p)
{
	bh_vec_each (x, p)
		free(*x);
	bh_vec_done(p);
}

void bh_set_done(struct bh_set *s)
{
	free(s->name);
	for (int i = 0; i < BH_PARTS; i++)
		paths_done(&s->part[i]);
}

void bh_sets_done(struct bh_sets *s)
{
	bh_vec_each (x, s)
		bh_set_done(x);
	bh_vec_done(s);
}

static bool has_normal(const struct bh_set *s)
{
	return s->part[BH_TRAIN].n || s->part[BH_NORMAL].n;
}

/* "ssh-bruteforce-attack" beside "ssh-normal": the longest name of a set with something normal
 * that the name goes on from. NULL: there is none. */
static struct bh_set *whole_of(struct bh_sets *s, const struct bh_set *kind)
{
	struct bh_set *best = NULL;

	bh_vec_each (x, s) {
		size_t n = strlen(x->name);

		if (x == kind || !has_normal(x) || strncmp(kind->name, x->name, n) ||
		    (n && !strchr("/-", kind->name[n])))
			continue;
		if (!best || n > strlen(best->name))
			best = x;
	}
	return best;
}

static int join_kinds(struct bh_sets *s)
{
	bh_vec_each (x, s) {
		struct bh_set *whole =
			x->part[BH_ATTACK].n && !has_normal(x) ? whole_of(s, x) : NULL;

		for (size_t i = 0; whole && i < x->part[BH_ATTACK].n; i++) {
			if (bh_vec_push(&whole->part[BH_ATTACK], x->part[BH_ATTACK].v[i]))
				return -ENOMEM;
			x->part[BH_ATTACK].v[i] = NULL;
		}
		if (whole)
			x->part[BH_ATTACK].n = 0;
	}
	return 0;
}

static void keep_whole(struct bh_sets *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		struct bh_set *x = &s->v[i];

		if (x->part[BH_ATTACK].n && has_normal(x)) {
			s->v[n++] = *x;
			continue;
		}
		if (x->part[BH_ATTACK].n || has_normal(x))
			fprintf(stderr, "anomaly: left out: %s has %s\n",
				*x->name ? x->name : "what lies here",
				has_normal(x) ? "no attacks" : "nothing normal");
		bh_set_done(x);
	}
	s->n = n;
}

int bh_sets_find(const char *dir, struct bh_sets *ret, struct bh_err *err)
{
	BH_CLEANUP(entries_done) struct entries all = {0};
	BH_CLEANUP(paths_done) struct bh_paths files = {0};
	int r = bh_paths_below(dir, &files);

	if (r)
		return bh_fail(err, EIO, "cannot read %s", dir);
	for (size_t i = 0; !r && i < files.n; i++)
		r = note(&all, dir, files.v[i]);
	if (!r)
		r = assign(&all, ret);
	if (!r)
		r = join_kinds(ret);
	if (r)
		return bh_fail(err, ENOMEM, "%s", dir);
	keep_whole(ret);
	if (!ret->n)
		return bh_fail(
			err, ENODATA,
			"%s: of %zu files none is by its name, or its directories', an attack "
			"with something normal beside it; name them with --train, --normal and "
			"--attack",
			dir, files.n);
	return 0;
}
