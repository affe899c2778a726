#include "daemon/saved.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "base/vec.h"
#include "daemon/daemon.h"

#define DELAY_MS 300

/* What the database has of one object; small, for there may be a hundred thousand. */
struct kept {
	uint64_t id, version;
};

BH_VEC_TYPE(kept_list, struct kept);

struct bh_keeper {
	struct bh_daemon *d;
	struct bh_source *timer;
	struct kept_list kept; /* sorted by id */
	bool is_due;
};

struct saving {
	struct bh_keeper *k;
	struct kept_list now;
	size_t n_found; /* of k->kept */
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

static int put_object(const char *key, const char *file, const char *text, void *arg)
{
	struct saving *s = arg;
	BH_CLEANUP(bh_json_decrefp) json_t *j = json_pack("{ss? ss}", "file", file, "text", text);
	BH_CLEANUP(bh_freep) char *row = j ? json_dumps(j, JSON_COMPACT) : NULL;

	return row ? bh_store_put(s->k->d->store, "object", key, row, &s->err)
		   : bh_fail(&s->err, ENOMEM, "object '%s'", key);
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

/* All or nothing: what failed is tried again with the next change. */
static void save(struct bh_keeper *k)
{
	struct saving s = {.k = k};
	int r = bh_store_begin(k->d->store, &s.err);

	k->is_due = false;
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

static int restore_row(const char *key, const char *json, void *arg)
{
	struct bh_keeper *k = arg;
	BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
	const char *file = NULL, *text = NULL;
	struct bh_err err = {0};
	int r = bh_json_parse(json, strlen(json), SIZE_MAX, &j, &err);

	/* Its version is not known: it is written again with the first change. */
	if (bh_vec_push(&k->kept, ((struct kept){bh_objects_saved_id(key), 0})))
		return -ENOMEM;
	if (!r)
		r = bh_json_get_str(j, "file", false, &file, &err);
	if (!r)
		r = bh_json_get_str(j, "text", true, &text, &err);
	if (!r)
		r = bh_objects_restore(k->d->objects, key, file, text, &err);
	if (r < 0)
		bh_warn("kept object '%s' is unreadable: %s", key, err.text);
	return 0;
}

static int note_version(const struct bh_saved *o, void *arg)
{
	struct bh_keeper *k = arg;
	struct kept *known = (struct kept *)kept_find(&k->kept, o->id);

	if (known)
		known->version = o->version;
	return 0;
}

int bh_keeper_restore(struct bh_keeper *k, struct bh_err *err)
{
	int r = bh_store_each(k->d->store, "object", restore_row, k, err);

	if (r < 0)
		return r;
	if (k->kept.n)
		qsort(k->kept.v, k->kept.n, sizeof(*k->kept.v), kept_cmp);
	return bh_objects_saved_each(k->d->objects, note_version, k) < 0
		       ? bh_fail(err, ENOMEM, "kept objects")
		       : 0;
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
	if (k->is_due)
		save(k);
	bh_source_free(k->timer);
	bh_vec_done(&k->kept);
	free(k);
}
