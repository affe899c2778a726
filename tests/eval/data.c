#include "eval/data.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/own.h"

#define MAX_FILE    (1u << 30)
#define FEW_TRACES  100 /* fewer long traces than that are cut into windows */
#define LONG_TRACE  1000
#define WANTED	    300 /* windows to train with */
#define LEAST_CALLS 100 /* of a window */
#define MOST_CALLS  1000
#define TRAIN_SHARE 0.6 /* of what is normal, where nothing says what to train with */

static void traces_done(struct traces *t)
{
	bh_vec_each (x, t)
		free((void *)(uintptr_t)x->calls);
	bh_vec_done(t);
}

void bh_data_done(struct bh_data *d)
{
	for (int i = 0; i < BH_PARTS; i++)
		traces_done(&d->part[i]);
	bh_words_done(&d->words);
}

/* ---- files ---- */

static int add_trace(struct traces *out, const uint16_t *calls, size_t n)
{
	uint16_t *copy = malloc(n * sizeof(*copy) + 1);
	struct bh_trace t = {.calls = copy, .n = n};

	if (!copy)
		return -ENOMEM;
	memcpy(copy, calls, n * sizeof(*copy));
	if (bh_vec_push(out, t)) {
		free(copy);
		return -ENOMEM;
	}
	return 0;
}

/* What else than text a file is, by how it begins; NULL for text. */
static const char *packed(const char *text, size_t len)
{
	static const struct {
		const char *bytes, *what;
	} kinds[] = {{"\x1f\x8b", "packed with gzip"},
		     {"BZh", "packed with bzip2"},
		     {"\xfd"
		      "7zXZ",
		      "packed with xz"},
		     {"\x28\xb5\x2f\xfd", "packed with zstd"},
		     {"PK\x03\x04", "a zip archive"},
		     {"PAR1", "a Parquet file"},
		     {"\xff\xfe", "UTF-16 text"},
		     {"\x7f"
		      "ELF",
		      "a program"}};

	for (size_t i = 0; i < BH_ARRAY_SIZE(kinds); i++) {
		size_t n = strlen(kinds[i].bytes);

		if (len >= n && !memcmp(text, kinds[i].bytes, n))
			return kinds[i].what;
	}
	return memchr(text, 0, len < 4096 ? len : 4096) ? "not text" : NULL;
}

static int read_file(const char *path, struct bh_data *d, struct traces *out)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_calls c = {0};
	struct bh_err err;
	const char *what;
	size_t len;
	int r;

	if (bh_fs_read(path, MAX_FILE, &text, &len, &err)) {
		fprintf(stderr, "anomaly: left out: %s\n", err.text);
		d->left_out++;
		return 0;
	}
	what = packed(text, len);
	if (what) {
		fprintf(stderr, "anomaly: left out: %s: it is %s, not a list of calls\n", path,
			what);
		d->left_out++;
		return 0;
	}
	r = bh_calls_parse(text, len, &d->words, &c);
	if (!r && c.n)
		r = add_trace(out, c.v, c.n);
	d->empty += !c.n;
	d->calls += c.n;
	bh_vec_done(&c);
	return r;
}

static int read_part(const struct bh_paths *given, struct bh_data *d, struct traces *out)
{
	struct bh_paths files = {0};
	int r = 0;

	for (size_t i = 0; !r && i < given->n; i++) {
		if (bh_paths_below(given->v[i], &files)) {
			fprintf(stderr, "anomaly: left out: %s: %s\n", given->v[i],
				strerror(errno));
			d->left_out++;
		}
	}
	for (size_t i = 0; !r && i < files.n; i++)
		r = read_file(files.v[i], d, out);
	bh_vec_each (x, &files)
		free(*x);
	bh_vec_done(&files);
	return r;
}

/* ---- windows ---- */

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

static size_t window_for(const struct bh_data *d)
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
static int keep_some(struct traces *from, struct traces *to)
{
	size_t keep = (size_t)(TRAIN_SHARE * (double)from->n);

	while (from->n > keep) {
		if (bh_vec_push(to, from->v[from->n - 1]))
			return -ENOMEM;
		from->n--;
	}
	return 0;
}

static int prepare(struct bh_data *d)
{
	struct traces *train = &d->part[BH_TRAIN], *normal = &d->part[BH_NORMAL], swap;
	int r = 0;

	for (int i = 0; !r && d->window && i < BH_PARTS; i++)
		r = cut(&d->part[i], d->window);
	if (!r && !train->n) {
		swap = *train;
		*train = *normal;
		*normal = swap;
	}
	return !r && !normal->n ? keep_some(train, normal) : r;
}

int bh_data_read(const struct bh_set *s, long window, struct bh_data *d, struct bh_err *err)
{
	struct traces *train = &d->part[BH_TRAIN], *normal = &d->part[BH_NORMAL];
	int r = 0;

	for (int i = 0; !r && i < BH_PARTS; i++)
		r = read_part(&s->part[i], d, &d->part[i]);
	if (r)
		return bh_fail(err, ENOMEM, "traces");
	if ((!train->n && !normal->n) || !d->part[BH_ATTACK].n)
		return bh_fail(err, ENODATA,
			       "%zu training, %zu normal and %zu attack traces found in %zu files "
			       "(%zu of them without a call)",
			       train->n, normal->n, d->part[BH_ATTACK].n,
			       s->part[0].n + s->part[1].n + s->part[2].n, d->empty);
	d->window = window < 0 ? window_for(d) : (size_t)window;
	if (prepare(d))
		return bh_fail(err, ENOMEM, "traces");
	if (!train->n || !normal->n)
		return bh_fail(err, ENODATA, "one normal trace is too few");
	return 0;
}
