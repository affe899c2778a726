/* baseline_seq_file.c - sequences of a baseline as text: GRAM:COUNT:REPLICAS in hexadecimal, with a
 * ! when it is confirmed, some of them to a line; a window is three hexadecimal digits per call. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/own.h"
#include "detect/baseline_seq.h"

#define PER_LINE 8

static void write_gram(const struct bh_gram *g, size_t i, struct bh_str *out)
{
	if (i % PER_LINE == 0)
		bh_str_add(out, i ? "\",\n   \"" : "\n   \"");
	else
		bh_str_add(out, " ");
	bh_str_fmt(out, "%" PRIx64 ":%x:%x%s", g->gram, g->count, g->seen_by,
		   g->is_confirmed ? "!" : "");
}

static void write_window(const struct bh_base_window *w, struct bh_str *out)
{
	size_t i;

	bh_str_add(out, "\"");
	for (i = 0; i < w->n; i++)
		bh_str_fmt(out, "%03x", w->call[i]);
	bh_str_add(out, "\"");
}

int bh_base_seq_write(const struct bh_baseline *b, struct bh_str *out)
{
	const struct bh_base_seq *q = b->seq;
	BH_CLEANUP(bh_freep) struct bh_gram *v = q ? bh_grams_sorted(&q->grams) : NULL;
	size_t i;

	if (!q)
		return 0;
	if (!v)
		return -ENOMEM;
	bh_str_fmt(out,
		   ",\n \"sequences\": {\"refused\": %" PRIu64 ", \"offered\": %" PRIu64
		   ",\n  \"grams\": [",
		   q->grams.refused, q->offered);
	for (i = 0; i < q->grams.n; i++)
		write_gram(&v[i], i, out);
	bh_str_add(out, i ? "\"],\n  \"windows\": [" : "],\n  \"windows\": [");
	for (i = 0; i < q->n_windows; i++) {
		bh_str_add(out, i ? ",\n   " : "\n   ");
		write_window(&q->windows[i], out);
	}
	bh_str_add(out, "]}");
	return 0;
}

/* Calls without a gap, from the newest on. */
static bool is_gram(uint64_t gram)
{
	if (!gram || gram > BH_GRAM_MASK)
		return false;
	for (; gram; gram >>= BH_GRAM_BITS) {
		if (!(gram & ((1u << BH_GRAM_BITS) - 1)))
			return false;
	}
	return true;
}

/* One of a line; *text: behind it. */
static int read_gram(struct bh_base_seq *q, const char **text, struct bh_err *err)
{
	unsigned count = 0, seen_by = 0;
	uint64_t gram = 0;
	bool is_confirmed;
	int used = 0;

	if (sscanf(*text, "%16" SCNx64 ":%8x:%2x%n", &gram, &count, &seen_by, &used) != 3 ||
	    !is_gram(gram) || !count)
		return bh_fail(err, EINVAL, "'grams' has '%.40s'", *text);
	is_confirmed = (*text)[used] == '!';
	used += is_confirmed;
	if ((*text)[used] && (*text)[used] != ' ')
		return bh_fail(err, EINVAL, "'grams' has '%.40s'", *text);
	if (bh_grams_get(&q->grams, gram))
		return bh_fail(err, EINVAL, "gram %" PRIx64 " is there twice", gram);
	if (q->grams.n >= q->grams.max)
		return bh_fail(err, E2BIG, "more than %zu grams", q->grams.max);
	if (bh_grams_add(&q->grams, gram, count, (uint8_t)seen_by))
		return bh_fail(err, ENOMEM, "baseline");
	bh_grams_get(&q->grams, gram)->is_confirmed |= is_confirmed;
	*text += used;
	return 0;
}

static int read_grams(struct bh_base_seq *q, const char *text, struct bh_err *err)
{
	int r = text ? 0 : bh_fail(err, EINVAL, "'grams' has something that is no text");

	while (!r && *text) {
		r = read_gram(q, &text, err);
		text += !r && *text == ' ';
	}
	return r;
}

static int read_window(struct bh_base_seq *q, const char *text, struct bh_err *err)
{
	struct bh_base_window *w = &q->windows[q->n_windows];
	size_t len = text ? strlen(text) : 0, i;

	if (!len || len % 3 || len > 3 * BH_SEQ_WINDOW || strspn(text, "0123456789abcdef") != len)
		return bh_fail(err, EINVAL, "'windows' has '%.20s'", text ? text : "");
	w->n = (uint16_t)(len / 3);
	for (i = 0; i < w->n; i++) {
		char digits[4] = {text[3 * i], text[3 * i + 1], text[3 * i + 2], 0};

		w->call[i] = (uint16_t)strtoul(digits, NULL, 16);
		if (w->call[i] >= BH_TRACE_CALLS)
			return bh_fail(err, EINVAL, "'windows' has call %s", digits);
	}
	q->n_windows++;
	return 0;
}

static int read_lists(struct bh_base_seq *q, const json_t *j, struct bh_err *err)
{
	json_t *grams = NULL, *windows = NULL;
	size_t i;
	int r = bh_json_get_arr(j, "grams", true, &grams, err);

	if (!r)
		r = bh_json_get_arr(j, "windows", true, &windows, err);
	if (!r && json_array_size(windows) > BH_BASE_WINDOWS)
		r = bh_fail(err, E2BIG, "more than %d windows", BH_BASE_WINDOWS);
	for (i = 0; !r && i < json_array_size(grams); i++)
		r = read_grams(q, json_string_value(json_array_get(grams, i)), err);
	for (i = 0; !r && i < json_array_size(windows); i++)
		r = read_window(q, json_string_value(json_array_get(windows, i)), err);
	return r;
}

int bh_base_seq_read(struct bh_baseline *b, const json_t *root, struct bh_err *err)
{
	int64_t refused = 0, offered = 0;
	struct bh_base_seq *q;
	json_t *j = NULL;
	int r = bh_json_get_obj(root, "sequences", false, &j, err);

	if (r || !j)
		return r;
	q = bh_base_seq_of(b);
	if (!q)
		return bh_fail(err, ENOMEM, "baseline");
	r = bh_json_get_int(j, "refused", true, 0, INT64_MAX, &refused, err);
	if (!r)
		r = bh_json_get_int(j, "offered", true, 0, INT64_MAX, &offered, err);
	if (!r)
		r = read_lists(q, j, err);
	q->grams.refused = (uint64_t)refused;
	q->offered = (uint64_t)offered;
	return r ? bh_note(err, r, "sequences") : 0;
}

/* How many grams only a has. */
static size_t only_in(const struct bh_base_seq *a, const struct bh_base_seq *b)
{
	const struct bh_gram *e;
	size_t pos = 0, n = 0;

	while (a && (e = bh_grams_next(&a->grams, &pos)))
		n += !b || !bh_grams_get(&b->grams, e->gram);
	return n;
}

size_t bh_base_seq_diff(const struct bh_baseline *a, const struct bh_baseline *b,
			struct bh_str *out)
{
	size_t less = only_in(a->seq, b->seq), more = only_in(b->seq, a->seq);

	if (less)
		bh_str_fmt(out, "- sequence %zu orders of seven calls\n", less);
	if (more)
		bh_str_fmt(out, "+ sequence %zu orders of seven calls\n", more);
	return (less > 0) + (more > 0);
}
