#include "policy/shelf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/vec.h"

#define CHUNK 128 /* objects at most */

struct bh_chunk {
	unsigned refs;
	size_t n;
	bool has_end; /* the first end behind asked_s is end_s */
	int64_t asked_s, end_s;
	void *v[];
};

/* ---- chunks ---- */

static struct bh_chunk *chunk_new(void *const *v, size_t n)
{
	struct bh_chunk *c = malloc(sizeof(*c) + n * sizeof(*v));

	if (!c)
		return NULL;
	*c = (struct bh_chunk){.refs = 1, .n = n};
	memcpy(c->v, v, n * sizeof(*v));
	return c;
}

static void chunk_unref(const struct bh_shelf_kind *kind, struct bh_chunk *c)
{
	if (--c->refs)
		return;
	for (size_t i = 0; i < c->n; i++)
		kind->unref(c->v[i]);
	free(c);
}

static int64_t chunk_next_end(const struct bh_shelf_kind *kind, struct bh_chunk *c, int64_t after_s)
{
	if (c->has_end && after_s >= c->asked_s && after_s < c->end_s)
		return c->end_s;
	c->has_end = true;
	c->asked_s = after_s;
	c->end_s = INT64_MAX;
	for (size_t i = 0; i < c->n; i++) {
		int64_t end_s = kind->next_end(c->v[i], after_s);

		if (end_s < c->end_s)
			c->end_s = end_s;
	}
	return c->end_s;
}

/* ---- shelves ---- */

static void shelf_unrefp(struct bh_shelf **s)
{
	bh_shelf_unref(*s);
}

static struct bh_shelf *shelf_alloc(const struct bh_shelf_kind *kind, size_t n)
{
	BH_CLEANUP(shelf_unrefp) struct bh_shelf *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->refs = 1;
	s->kind = kind;
	s->v = malloc((n + 1) * sizeof(*s->v));
	return s->v ? BH_TAKE(s) : NULL;
}

static int add_chunk(struct bh_shelf *s, struct bh_chunk *c)
{
	if (!c || bh_vec_reserve_((void **)&s->chunks, &s->cap_chunks, s->n_chunks + 1,
				  sizeof(*s->chunks)))
		return -ENOMEM;
	s->chunks[s->n_chunks++] = c;
	return 0;
}

/* As few as can be, of about the same size. References to the objects are the caller's affair. */
static int add_bare_chunks(struct bh_shelf *s, void *const *v, size_t n)
{
	size_t pieces = (n + CHUNK - 1) / CHUNK;

	for (size_t i = 0; i < pieces; i++) {
		size_t from = n * i / pieces, to = n * (i + 1) / pieces;
		struct bh_chunk *c = chunk_new(v + from, to - from);

		if (add_chunk(s, c)) {
			free(c);
			return -ENOMEM;
		}
	}
	return 0;
}

static void drop_bare_chunks(struct bh_shelf *s, size_t from)
{
	while (s->n_chunks > from)
		free(s->chunks[--s->n_chunks]);
}

static int add_chunks(struct bh_shelf *s, void *const *v, size_t n)
{
	size_t before = s->n_chunks;

	if (add_bare_chunks(s, v, n)) {
		drop_bare_chunks(s, before);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++)
		s->kind->ref(v[i]);
	return 0;
}

struct bh_shelf *bh_shelf_ref(struct bh_shelf *s)
{
	s->refs++;
	return s;
}

static void drop_chunks(struct bh_shelf *s)
{
	while (s->n_chunks)
		chunk_unref(s->kind, s->chunks[--s->n_chunks]);
}

void bh_shelf_unref(struct bh_shelf *s)
{
	if (!s || --s->refs)
		return;
	drop_chunks(s);
	free(s->chunks);
	free(s->v);
	free(s);
}

int bh_shelf_new(const struct bh_shelf_kind *kind, void ***take_v, size_t n, struct bh_shelf **ret)
{
	BH_CLEANUP(shelf_unrefp) struct bh_shelf *s = shelf_alloc(kind, 0);

	if (!s)
		return -ENOMEM;
	if (add_bare_chunks(s, *take_v, n)) {
		drop_bare_chunks(s, 0);
		return -ENOMEM;
	}
	if (*take_v) {
		/* it grew by doubling and stays */
		void **v = n ? realloc(*take_v, n * sizeof(*v)) : NULL;

		free(s->v);
		s->v = v ? v : *take_v;
		*take_v = NULL;
	}
	s->n = n;
	*ret = BH_TAKE(s);
	return 0;
}

/* ---- change ---- */

struct change {
	const struct bh_shelf *old;
	struct bh_shelf *now;
	const struct bh_shelf_edit *edit, *end; /* those that remain */
};

static size_t new_size(const struct bh_shelf *s, const struct bh_shelf_edit *edits, size_t n_edits,
		       bool *ret_is_same)
{
	size_t n = s->n;

	*ret_is_same = true;
	for (size_t i = 0; i < n_edits; i++) {
		void *old = edits[i].has_old ? s->v[edits[i].at] : NULL;

		if (old != edits[i].now)
			*ret_is_same = false;
		n += edits[i].now ? 1 : 0;
		n -= old ? 1 : 0;
	}
	return n;
}

static void copy(struct change *c, size_t from, size_t to)
{
	memcpy(c->now->v + c->now->n, c->old->v + from, (to - from) * sizeof(*c->old->v));
	c->now->n += to - from;
}

/* Old objects [from, to) with the edits among them; with those at `to` when it is the end. */
static void merge(struct change *c, size_t from, size_t to)
{
	bool is_end = to == c->old->n;

	while (c->edit < c->end && (c->edit->at < to || is_end)) {
		copy(c, from, c->edit->at);
		from = c->edit->at + (c->edit->has_old ? 1 : 0);
		if (c->edit->now)
			c->now->v[c->now->n++] = c->edit->now;
		c->edit++;
	}
	copy(c, from, to);
}

static bool is_touched(const struct change *c, size_t to)
{
	return c->edit < c->end && (c->edit->at < to || to == c->old->n);
}

static int share(struct bh_shelf *s, struct bh_chunk *chunk)
{
	int r = add_chunk(s, chunk);

	if (!r)
		chunk->refs++;
	return r;
}

static int change_all(struct change *c)
{
	size_t from = 0;
	int r = 0;

	for (size_t i = 0; !r && i < c->old->n_chunks; i++) {
		struct bh_chunk *chunk = c->old->chunks[i];
		size_t to = from + chunk->n, at = c->now->n;
		bool has_edits = is_touched(c, to);

		merge(c, from, to);
		if (has_edits)
			r = add_chunks(c->now, c->now->v + at, c->now->n - at);
		else
			r = share(c->now, chunk);
		from = to;
	}
	if (!r && !c->old->n_chunks) {
		merge(c, 0, 0);
		r = add_chunks(c->now, c->now->v, c->now->n);
	}
	return r;
}

int bh_shelf_change(struct bh_shelf *s, const struct bh_shelf_edit *edits, size_t n_edits,
		    struct bh_shelf **ret)
{
	bool is_same;
	size_t n = new_size(s, edits, n_edits, &is_same);
	BH_CLEANUP(shelf_unrefp) struct bh_shelf *now = NULL;
	struct change c = {.old = s, .edit = edits, .end = edits + n_edits};

	if (is_same) {
		*ret = bh_shelf_ref(s);
		return 0;
	}
	c.now = now = shelf_alloc(s->kind, n);
	if (!now || change_all(&c))
		return -ENOMEM;
	/* many removals leave small chunks */
	if (now->n_chunks > 8 && now->n_chunks > 4 * (n / CHUNK)) {
		drop_chunks(now);
		if (add_chunks(now, now->v, n))
			return -ENOMEM;
	}
	*ret = BH_TAKE(now);
	return 0;
}

int64_t bh_shelf_next_end(const struct bh_shelf *s, int64_t after_s)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < s->n_chunks; i++) {
		int64_t end_s = chunk_next_end(s->kind, s->chunks[i], after_s);

		if (end_s < next)
			next = end_s;
	}
	return next;
}
