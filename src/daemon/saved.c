#include "daemon/saved.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "base/vec.h"
#include "daemon/daemon.h"
#include "daemon/memory.h"

#define DELAY_MS 50
#define MANY	 1000 /* objects: so much was read that memory is given back */

/* What the database has of one object; small, for there may be a hundred thousand. */
struct kept {
	uint64_t id, version;
};

/* Versions that are none. */
#define STALE  0 /* what the database has is to be replaced */
#define UNREAD 1 /* must be restored */

BH_VEC_TYPE(kept_list, struct kept);

struct bh_keeper {
	struct bh_daemon *d;
	struct bh_source *timer;
	struct kept_list kept; /* sorted by id */
	size_t n_unread;       /* at the start: rows to be restored */
	bool is_due, has_failed, is_start;
};

struct saving {
	struct bh_keeper *k;
	struct kept_list now;
	size_t n_found, n_written; /* of k->kept; rows */
	struct bh_err err;
};

static int kept_cmp(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static const struct kept *kept_find(const struct kept_list *l, uint64_t id)
{
	const struct kept key = {.id = id};

	return l->n ? bsearch(&key, l->v, l->n, sizeof(*l->v), kept_cmp) : NULL;
}

/* file and text of a row; borrowed from *ret_j, which the caller owns. */
static int read_row(const char *json, json_t **ret_j, struct bh_row_text *row, struct bh_err *err)
{
	int r = bh_json_parse(json, strlen(json), SIZE_MAX, ret_j, err);

	if (!r)
		r = bh_json_get_str(*ret_j, "file", true, &row->file, err);
	if (!r)
		r = bh_json_get_str(*ret_j, "text", true, &row->text, err);
	return r;
}

static int write_row(struct saving *s, const struct bh_row_text *row)
{
	BH_CLEANUP(bh_json_decrefp)
	json_t *j = json_pack("{ss ss}", "file", row->file, "text", row->text);
	BH_CLEANUP(bh_freep) char *json = j ? json_dumps(j, JSON_COMPACT) : NULL;

	return json ? bh_store_put(s->k->d->store, "object", row->key, json, &s->err)
		    : bh_fail(&s->err, ENOMEM, "object '%s'", row->key);
}

/* text NULL: the words are those that the database has, only the file is another. */
static int put_object(const char *key, const char *file, const char *text, void *arg)
{
	struct saving *s = arg;
	BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
	BH_CLEANUP(bh_freep) char *json = NULL;
	struct bh_row_text row = {.key = key, .file = file, .text = text}, old = {0};
	int r = text ? 0 : bh_store_get(s->k->d->store, "object", key, &json, &s->err);

	if (r)
		return r;
	if (!text) {
		if (!json || read_row(json, &j, &old, &s->err))
			return bh_fail(&s->err, ENOENT, "object '%s' is not there any more", key);
		row.text = old.text;
	}
	return write_row(s, &row);
}

static int save_changed(const struct bh_saved *o, void *arg)
{
	struct saving *s = arg;
	const struct kept *old = kept_find(&s->k->kept, o->id);

	if (bh_vec_push(&s->now, ((struct kept){o->id, o->version})))
		return bh_fail(&s->err, ENOMEM, "objects");
	s->n_found += old != NULL;
	if (old && old->version == o->version)
		return 0;
	s->n_written++;
	return bh_objects_saved_read(o, put_object, s);
}

struct gone {
	const struct saving *s;
	BH_VEC(char *) keys;
};

static int note_gone(const char *key, const char *json, void *arg)
{
	struct gone *g = arg;
	char *copy;

	(void)json;
	if (kept_find(&g->s->now, bh_objects_saved_id(key)))
		return 0;
	copy = bh_strf("%s", key);
	return copy ? bh_vec_push(&g->keys, copy) : -ENOMEM;
}

static int delete_gone(struct saving *s)
{
	struct gone g = {.s = s};
	int r = bh_store_each(s->k->d->store, "object", note_gone, &g, &s->err);

	bh_vec_each (key, &g.keys) {
		if (!r)
			r = bh_store_del(s->k->d->store, "object", *key, &s->err);
		free(*key);
	}
	bh_vec_done(&g.keys);
	return r;
}

static int save_all(struct saving *s)
{
	int r = bh_objects_saved_each(s->k->d->objects, save_changed, s);

	if (r < 0)
		return r;
	if (s->now.n)
		qsort(s->now.v, s->now.n, sizeof(*s->now.v), kept_cmp);
	return s->n_found < s->k->kept.n ? delete_gone(s) : 0;
}

static void shrink(struct kept_list *l)
{
	struct kept *v = l->n ? realloc(l->v, l->n * sizeof(*v)) : NULL;

	if (!v)
		return;
	l->v = v;
	l->cap = l->n;
}

/* All or nothing: what failed is tried again with the next change. */
static void save(struct bh_keeper *k)
{
	struct saving s = {.k = k};
	int r = bh_store_begin(k->d->store, &s.err);

	k->is_due = false;
	k->has_failed = true;
	if (!r) {
		r = save_all(&s);
		if (r < 0)
			bh_store_rollback(k->d->store);
		else
			r = bh_store_commit(k->d->store, &s.err);
	}
	if (r < 0) {
		bh_error("objects are not kept: %s", s.err.text);
		snprintf(k->d->store_trouble, sizeof(k->d->store_trouble), "%.127s", s.err.text);
		bh_vec_done(&s.now);
		return;
	}
	bh_vec_done(&k->kept);
	k->kept = s.now;
	shrink(&k->kept);
	k->has_failed = false;
	bh_objects_saved_done(k->d->objects);
	if (s.n_written > MANY || k->is_start)
		bh_memory_trim();
	else
		bh_memory_trim_heap();
	k->is_start = false;
}

static void timer_fn(void *arg)
{
	save(arg);
}

void bh_keeper_changed(struct bh_keeper *k)
{
	if (k->is_due)
		return;
	k->is_due = true;
	bh_source_after(k->timer, DELAY_MS);
}

void bh_keeper_flush(struct bh_keeper *k)
{
	if (k->is_due)
		save(k);
}

/* ---- at the start ---- */

static int check_row(const char *key, const char *json, void *arg)
{
	struct bh_keeper *k = arg;
	BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
	struct bh_row_text row = {.key = key};
	struct kept now = {bh_objects_saved_id(key), STALE};
	struct bh_err err = {0};

	if (read_row(json, &j, &row, &err) < 0)
		bh_warn("kept object '%s' is unreadable: %s", key, err.text);
	else if (bh_objects_row_state(k->d->objects, &row, &now.version) == BH_ROW_NEEDED)
		now.version = UNREAD;
	k->n_unread += now.version == UNREAD;
	return bh_vec_push(&k->kept, now);
}

static int restore_row(const char *key, const char *json, void *arg)
{
	struct bh_keeper *k = arg;
	struct kept *known = (struct kept *)kept_find(&k->kept, bh_objects_saved_id(key));
	BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
	struct bh_row_text row = {.key = key};
	struct bh_err err = {0};
	int r;

	if (!known || known->version != UNREAD)
		return 0;
	known->version = STALE;
	r = read_row(json, &j, &row, &err);
	if (!r)
		r = bh_objects_restore_row(k->d->objects, &row, &known->version, &err);
	if (r < 0)
		bh_warn("kept object '%s' is unreadable: %s", key, err.text);
	return 0;
}

/* Most rows say what a manifest still says, and parsing a hundred thousand of them takes seconds.
 */
int bh_keeper_restore(struct bh_keeper *k, struct bh_err *err)
{
	int r = bh_store_each(k->d->store, "object", check_row, k, err);

	if (r == -ENOMEM)
		return bh_fail(err, ENOMEM, "kept objects");
	if (r < 0)
		return r;
	if (k->kept.n)
		qsort(k->kept.v, k->kept.n, sizeof(*k->kept.v), kept_cmp);
	shrink(&k->kept);
	k->is_start = true;
	bh_keeper_changed(k);
	return k->n_unread ? bh_store_each(k->d->store, "object", restore_row, k, err) : 0;
}

/* ---- telling ---- */

struct telling {
	bh_document_fn *fn;
	void *arg;
	struct bh_err *err;
};

static int tell_row(const char *key, const char *json, void *arg)
{
	struct telling *t = arg;
	BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
	struct bh_row_text row = {.key = key};
	int r = read_row(json, &j, &row, t->err);

	if (r < 0)
		return r;
	return t->fn(row.text, t->arg) ? bh_fail(t->err, ENOMEM, "object '%s'", key) : 0;
}

int bh_keeper_documents(struct bh_keeper *k, bh_document_fn *fn, void *arg, struct bh_err *err)
{
	struct telling t = {fn, arg, err};

	bh_keeper_flush(k);
	if (k->has_failed)
		return bh_fail(err, EIO, "the objects are not kept: %s", k->d->store_trouble);
	return bh_store_each(k->d->store, "object", tell_row, &t, err);
}

int bh_keeper_open(struct bh_daemon *d, struct bh_keeper **ret, struct bh_err *err)
{
	struct bh_keeper *k = calloc(1, sizeof(*k));
	int r;

	if (!k)
		return bh_fail(err, ENOMEM, "kept objects");
	k->d = d;
	r = bh_loop_timer(d->loop, UINT32_MAX, 0, timer_fn, k, &k->timer, err);
	if (r < 0) {
		free(k);
		return r;
	}
	*ret = k;
	return 0;
}

void bh_keeper_close(struct bh_keeper *k)
{
	if (!k)
		return;
	bh_keeper_flush(k);
	bh_source_free(k->timer);
	bh_vec_done(&k->kept);
	free(k);
}
