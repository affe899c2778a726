#include "policy/objects_set.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/vec.h"

int bh_objects_new(const struct bh_objects_options *opt, struct bh_objects **ret,
		   struct bh_err *err)
{
	BH_CLEANUP(bh_objects_freep) struct bh_objects *o = calloc(1, sizeof(*o));

	if (!o)
		return bh_fail(err, ENOMEM, "object set: no memory");
	o->opt = *opt;
	o->index = calloc(1, sizeof(*o->index));
	o->names = calloc(1, sizeof(*o->names));
	o->changes = bh_changes_new();
	if (!o->index || !o->names || !o->changes)
		return bh_fail(err, ENOMEM, "object set: no memory");
	*ret = BH_TAKE(o);
	return 0;
}

static void file_free(struct bh_file *f)
{
	bh_claims_done(&f->claims);
	bh_problems_done(&f->problems);
	free(f->unseen);
	free(f->name);
	free(f);
}

void bh_objects_free(struct bh_objects *o)
{
	size_t i;

	if (!o)
		return;
	for (i = 0; i < o->n_files; i++)
		file_free(o->files[i]);
	if (o->index)
		free(o->index->v);
	free(o->index);
	bh_changes_free(o->changes);
	free(o->files);
	free(o->names);
	bh_objects_forget_gone(o);
	free(o);
}

void bh_objects_freep(struct bh_objects **o)
{
	bh_objects_free(*o);
	*o = NULL;
}

void bh_objects_set_time(struct bh_objects *o, int64_t now_s)
{
	o->now_s = now_s;
}

/* ---- files ---- */

static size_t file_position(const struct bh_objects *o, const char *name)
{
	size_t lo = 0, hi = o->n_files;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(o->files[mid]->name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct bh_file *bh_objects_find_file(const struct bh_objects *o, const char *name)
{
	size_t i = file_position(o, name);

	return i < o->n_files && !strcmp(o->files[i]->name, name) ? o->files[i] : NULL;
}

static int file_room(struct bh_objects *o)
{
	size_t cap = o->cap_files ? o->cap_files * 2 : 8;
	struct bh_file **files;
	const char **names;

	if (o->n_files < o->cap_files)
		return 0;
	files = realloc(o->files, cap * sizeof(struct bh_file *));
	if (files)
		o->files = files;
	names = realloc(o->names, (cap + 1) * sizeof(*names));
	if (names)
		o->names = names;
	if (!files || !names)
		return -ENOMEM;
	o->cap_files = cap;
	return 0;
}

struct bh_file *bh_objects_add_file(struct bh_objects *o, const char *name)
{
	struct bh_file *f = bh_objects_find_file(o, name);
	size_t i, n;

	if (f)
		return f;
	f = calloc(1, sizeof(*f));
	if (f)
		f->name = strdup(name);
	if (!f || !f->name || file_room(o)) {
		if (f)
			file_free(f);
		return NULL;
	}
	i = file_position(o, name);
	n = o->n_files++ - i;
	memmove(o->files + i + 1, o->files + i, n * sizeof(struct bh_file *));
	memmove(o->names + i + 1, o->names + i, (n + 1) * sizeof(*o->names));
	o->files[i] = f;
	o->names[i] = f->name;
	o->names[o->n_files] = NULL;
	return f;
}

static void remove_file(struct bh_objects *o, struct bh_file *f)
{
	size_t i = file_position(o, f->name), n = --o->n_files - i;

	memmove(o->files + i, o->files + i + 1, n * sizeof(struct bh_file *));
	memmove(o->names + i, o->names + i + 1, (n + 1) * sizeof(*o->names));
	file_free(f);
}

const char *const *bh_objects_files(const struct bh_objects *o)
{
	return o->names;
}

/* ---- last good versions ---- */

/* The first of the file's old claims to the same object that still holds one. */
static struct bh_claim *predecessor(struct bh_claims *old, size_t *at, const struct bh_claim *c)
{
	size_t i;

	while (*at < old->n && bh_claim_cmp_key(&old->v[*at], c) < 0)
		(*at)++;
	for (i = *at; i < old->n && !bh_claim_cmp_key(&old->v[i], c); i++) {
		if (old->v[i].obj)
			return &old->v[i];
	}
	return NULL;
}

/* What did not change keeps its object, so that a changed pointer means changed content. */
static void keep_object(struct bh_claim *c, struct bh_claim *old)
{
	struct bh_place *place;

	if (c->obj == old->obj || !bh_claim_same(c, old))
		return;
	place = bh_claim_object_place(old);
	/* A row tells the line. */
	c->is_saved = old->is_saved && place->line == bh_claim_object_place(c)->line;
	place->line = bh_claim_object_place(c)->line;
	place->col = bh_claim_object_place(c)->col;
	if (bh_kind_is_policy(c->kind)) {
		*bh_claim_text_hash(old) = *bh_claim_text_hash(c);
		if (c->is_saved)
			bh_claim_drop_words(c);
	}
	bh_kind_unref(c->kind, c->obj);
	c->obj = bh_kind_ref(old->kind, old->obj);
}

static int join_versions(struct bh_claims *now, struct bh_claims *old)
{
	size_t i, at = 0;
	int r = 0;

	for (i = 0; !r && i < now->n; i++) {
		struct bh_claim *c = &now->v[i], *from = predecessor(old, &at, c);

		if (from && c->obj)
			keep_object(c, from);
		else if (from)
			r = bh_claim_inherit(c, from);
	}
	return r;
}

static int keep_unseen(struct bh_claim *from, const char *why, struct bh_claims *now)
{
	struct bh_claim c = {
		.kind = from->kind, .state = from->state, .file = from->file, .pos = from->pos};

	if (bh_claim_inherit(&c, from) || !bh_claim_more(&c)) {
		bh_claim_done(&c);
		return -ENOMEM;
	}
	if (from->state == BH_CLAIM_REFUSED) {
		c.more->line = from->more->line;
		c.more->col = from->more->col;
		c.more->why = BH_TAKE(from->more->why);
	} else {
		c.state = BH_CLAIM_UNSEEN;
		c.more->why = strdup(why);
	}
	if (!c.more->why || bh_vec_push(now, c)) {
		bh_claim_done(&c);
		return -ENOMEM;
	}
	return 0;
}

/* A part of the file could not be read: what is not in the rest may be in that part. */
static int carry_unseen(struct bh_claims *now, struct bh_claims *old, const char *why)
{
	size_t i, at = 0, n = now->n;
	int r = 0;

	for (i = 0; !r && i < old->n; i++) {
		while (at < n && bh_claim_cmp_key(&now->v[at], &old->v[i]) < 0)
			at++;
		if (old->v[i].obj && (at == n || bh_claim_cmp_key(&now->v[at], &old->v[i])))
			r = keep_unseen(&old->v[i], why, now);
	}
	bh_claims_sort(now);
	return r;
}

/* An object that leaves this file while another one holds an invalid version of it was moved and
 * broken at once: its last good version goes there. */
static int hand_over(struct bh_index *x, struct bh_claims *gone)
{
	size_t i, at, next;
	int r = 0;

	for (i = 0; !r && i < gone->n; i++) {
		at = bh_index_lower(x, &gone->v[i]);
		if (!gone->v[i].obj || at == x->n || bh_claim_cmp_key(x->v[at], &gone->v[i]))
			continue;
		if (!bh_index_winner(x, at, &next))
			r = bh_claim_inherit(x->v[at], &gone->v[i]);
	}
	return r;
}

static bool is_held(const struct bh_index *x, const struct bh_claim *key)
{
	size_t i = bh_index_lower(x, key), next;

	return i < x->n && !bh_claim_cmp_key(x->v[i], key) && bh_index_winner(x, i, &next);
}

int bh_objects_note_gone(struct bh_objects *o, char *take_key)
{
	if (take_key && !bh_vec_push(&o->gone, take_key))
		return 0;
	free(take_key);
	return -ENOMEM;
}

static void mark_winners(struct bh_index *x, const struct bh_claims *keys)
{
	size_t i, at;

	for (i = 0; i < keys->n; i++) {
		at = bh_index_lower(x, &keys->v[i]);
		if (at < x->n && !bh_claim_cmp_key(x->v[at], &keys->v[i]))
			bh_index_mark(x, at);
	}
}

/* Rows of what nobody holds any more must go. */
static int note_gone(struct bh_objects *o, const struct bh_index *x, const struct bh_claims *old,
		     const struct bh_claims *now)
{
	size_t i, k = 0;
	int r = 0;

	for (i = 0; !r && i < old->n; i++) {
		const struct bh_claim *c = &old->v[i];

		while (k < now->n && bh_claim_cmp_key(&now->v[k], c) < 0)
			k++;
		if (!c->is_saved || (k < now->n && !bh_claim_cmp_key(&now->v[k], c)))
			continue;
		if (!is_held(x, c))
			r = bh_objects_note_gone(o, bh_claim_key(c));
	}
	return r;
}

static bool has_policy(const struct bh_claims *claims)
{
	bh_vec_each (c, claims) {
		if (bh_kind_is_policy(c->kind))
			return true;
	}
	return false;
}

/* Puts `now` in the place of the file's claims. On failure everything is as it was. */
static int replace_claims(struct bh_objects *o, struct bh_file *f, struct bh_claims *now,
			  bool *ret_changed)
{
	struct bh_index next;

	if (bh_index_change(o->index, &f->claims, now, &next))
		return -ENOMEM;
	if (hand_over(&next, &f->claims) || note_gone(o, &next, &f->claims, now)) {
		free(next.v);
		return -ENOMEM;
	}
	o->policy_revision += has_policy(&f->claims) || has_policy(now);
	*ret_changed = bh_changes_note(o, &next, &f->claims, now);
	mark_winners(&next, &f->claims);
	mark_winners(&next, now);
	free(o->index->v);
	*o->index = next;
	bh_claims_done(&f->claims);
	f->claims = *now;
	*now = (struct bh_claims){0};
	return 0;
}

/* Restored claims come in any order. All files are put in order at once, because each time costs a
 * new index. */
static void sort_restored(struct bh_objects *o)
{
	if (!o->has_unsorted)
		return;
	o->has_unsorted = false;
	for (size_t i = 0; i < o->n_files; i++) {
		if (!o->files[i]->is_unsorted)
			continue;
		bh_claims_sort(&o->files[i]->claims);
		o->files[i]->is_unsorted = false;
	}
	o->index->is_stale = true;
}

static int take_reading(struct bh_objects *o, struct bh_file *f, struct bh_reading *r,
			bool *ret_changed)
{
	int ret = join_versions(&r->claims, &f->claims);

	if (!ret && r->unseen)
		ret = carry_unseen(&r->claims, &f->claims, r->unseen);
	if (!ret)
		ret = replace_claims(o, f, &r->claims, ret_changed);
	if (ret)
		return ret;
	bh_problems_done(&f->problems);
	f->problems = r->problems;
	r->problems = (struct bh_problems){0};
	free(f->unseen);
	f->unseen = BH_TAKE(r->unseen);
	f->is_loaded = true;
	f->has_empty = false;
	bh_vec_each (c, &f->claims)
		f->has_empty |= !c->obj;
	return 0;
}

uint64_t bh_objects_revision(const struct bh_objects *o)
{
	return o->revision;
}

uint64_t bh_objects_policy_revision(const struct bh_objects *o)
{
	return o->policy_revision;
}

int bh_objects_load(struct bh_objects *o, const char *file, const char *text, size_t len,
		    bool *ret_changed, struct bh_err *err)
{
	uint64_t hash = bh_hash(text, len, 0);
	struct bh_file *f = bh_objects_add_file(o, file);
	BH_CLEANUP(bh_reading_done) struct bh_reading r = {.opt = &o->opt, .file = f};

	if (!f)
		return bh_fail(err, ENOMEM, "'%s': no memory", file);
	r.old = &f->claims;
	*ret_changed = false;
	if (f->is_loaded && f->text_hash == hash && f->text_len == len)
		return 0;
	o->revision++;
	sort_restored(o);
	if (bh_index_ready(o) || bh_reading_run(&r, text, len) ||
	    take_reading(o, f, &r, ret_changed))
		return bh_fail(err, ENOMEM, "'%s': no memory", file);
	f->text_hash = hash;
	f->text_len = len;
	return 0;
}

int bh_objects_unload(struct bh_objects *o, const char *file, bool *ret_changed)
{
	struct bh_file *f = bh_objects_find_file(o, file);
	struct bh_claims none = {0};
	int r;

	*ret_changed = false;
	if (!f)
		return 0;
	o->revision++;
	sort_restored(o);
	r = bh_index_ready(o);
	if (!r)
		r = replace_claims(o, f, &none, ret_changed);
	if (!r)
		remove_file(o, f);
	return r;
}
