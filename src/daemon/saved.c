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

struct bh_keeper {
	struct bh_daemon *d;
	struct bh_source *timer;
	bool is_due, has_failed, is_start;
};

struct saving {
	struct bh_keeper *k;
	size_t n_written;
	struct bh_err err;
};

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

static int put_object(const struct bh_unsaved *u, void *arg)
{
	struct saving *s = arg;
	BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
	BH_CLEANUP(bh_freep) char *json = NULL;
	struct bh_row_text row = {.key = u->key, .file = u->file, .text = u->text}, old = {0};
	bool needs_old = !u->text || u->displaced;
	int r = needs_old ? bh_store_get(s->k->d->store, "object", u->key, &json, &s->err) : 0;

	s->n_written++;
	if (r)
		return r;
	if (json && read_row(json, &j, &old, &s->err))
		old.text = NULL;
	if (!u->text && !old.text) {
		bh_warn("object '%s' is not kept: its text is lost", u->key);
		return 0;
	}
	if (u->displaced && old.text && bh_objects_keep_words(u->displaced, old.text))
		return bh_fail(&s->err, ENOMEM, "object '%s'", u->key);
	if (!u->text)
		row.text = old.text;
	return write_row(s, &row);
}

static int delete_object(const char *key, void *arg)
{
	struct saving *s = arg;

	return bh_store_del(s->k->d->store, "object", key, &s->err);
}

/* Without memory for a sentence they leave none. */
static int save_all(struct saving *s)
{
	int r;

	bh_fail(&s->err, ENOMEM, "objects");
	r = bh_objects_unsaved_gone(s->k->d->objects, delete_object, s);
	return r ? r : bh_objects_unsaved(s->k->d->objects, put_object, s);
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
		return;
	}
	k->has_failed = false;
	bh_objects_saved_done(k->d->objects);
	if (s.n_written > MANY || k->is_start) {
		bh_store_trim(k->d->store);
		bh_memory_trim();
	}
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

struct restoring {
	struct bh_keeper *k;
	BH_VEC(char *) keys; /* of the rows that must be read, in order */
	size_t at;
};

static int check_row(const char *key, const char *json, void *arg)
{
	struct restoring *r = arg;
	BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
	BH_CLEANUP(bh_freep) char *copy = NULL;
	struct bh_row_text row = {.key = key, .file = "", .text = ""};
	struct bh_err err = {0};

	if (!read_row(json, &j, &row, &err) &&
	    bh_objects_row_state(r->k->d->objects, &row) != BH_ROW_NEEDED)
		return 0;
	copy = bh_strf("%s", key);
	if (!copy || bh_vec_push(&r->keys, copy))
		return -ENOMEM;
	(void)BH_TAKE(copy);
	return 0;
}

static int restore_row(const char *key, const char *json, void *arg)
{
	struct restoring *r = arg;
	BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
	struct bh_row_text row = {.key = key, .file = "", .text = ""};
	struct bh_err err = {0};

	if (r->at == r->keys.n || strcmp(r->keys.v[r->at], key))
		return 0;
	r->at++;
	if (read_row(json, &j, &row, &err))
		row.file = row.text = "";
	if (bh_objects_restore_row(r->k->d->objects, &row, &err) < 0)
		bh_warn("kept object '%s' is unreadable: %s", key, err.text);
	return 0;
}

static void restoring_done(struct restoring *r)
{
	bh_vec_each (key, &r->keys)
		free(*key);
	bh_vec_done(&r->keys);
}

/* Most rows say what a manifest still says, and parsing a hundred thousand of them takes seconds.
 */
int bh_keeper_restore(struct bh_keeper *k, struct bh_err *err)
{
	BH_CLEANUP(restoring_done) struct restoring r = {.k = k};
	int ret = bh_store_each(k->d->store, "object", check_row, &r, err);

	if (ret == -ENOMEM)
		return bh_fail(err, ENOMEM, "kept objects");
	if (ret < 0)
		return ret;
	k->is_start = true;
	bh_keeper_changed(k);
	return r.keys.n ? bh_store_each(k->d->store, "object", restore_row, &r, err) : 0;
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
	free(k);
}
