#include "daemon/baselines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "daemon/baselines_parts.h"
#include "daemon/config_runtime.h"
#include "daemon/digest.h"
#include "detect/baseline_seq.h"
#include "policy/workload.h"
#include "store/store.h"

#define MAX_WORKLOADS 4096
#define MAX_TEXT      (8u << 20)
#define TABLE	      "baseline"
#define IMPORTS	      "meta" /* which files were imported; another table than the baselines' */
#define MAX_IMPORTS   64
#define RHYTHM_NS     (60 * 1000000000ull)

struct held {
	struct bh_baseline *b;
	bool is_changed; /* since it was saved */
};

struct bh_baselines {
	struct bh_store *store;
	struct bh_base_options opt;
	uint64_t now_ns;    /* when it was opened */
	struct bh_map held; /* workload number > struct held */
	bool is_on, is_full;
};

static void held_free(void *p)
{
	struct held *h = p;

	bh_baseline_free(h->b);
	free(h);
}

static char *name_of(const struct bh_baseline *b)
{
	return bh_strf("%s/%s", b->ns, b->owner);
}

static char *row_key(const struct bh_baseline *b)
{
	return bh_strf("%016llx", (unsigned long long)b->workload);
}

static int hold(struct bh_baselines *l, struct bh_baseline **take_b, struct held **ret)
{
	struct held *h = calloc(1, sizeof(*h));

	if (!h || bh_map_set(&l->held, &(*take_b)->workload, sizeof((*take_b)->workload), h)) {
		free(h);
		return -ENOMEM;
	}
	bh_baseline_set_options(*take_b, &l->opt);
	h->b = BH_TAKE(*take_b);
	*ret = h;
	return 0;
}

/* ---- the database ---- */

static int load_row(const char *key, const char *json, void *arg)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = NULL;
	struct bh_baselines *l = arg;
	struct bh_err err = {0};
	struct held *h;

	if (bh_baseline_read(json, strlen(json), &b, &err) < 0) {
		bh_warn("baseline '%s' cannot be read: %s", key, err.text);
		return 0;
	}
	if (hold(l, &b, &h))
		return -ENOMEM;
	bh_baseline_resume(h->b, l->now_ns);
	return 0;
}

static void save_one(struct bh_baselines *l, struct held *h)
{
	BH_CLEANUP(bh_str_done) struct bh_str text = {0};
	BH_CLEANUP(bh_freep) char *key = row_key(h->b);
	struct bh_err err = {0};

	if (!key || bh_baseline_write(h->b, &text))
		bh_error("a baseline is not saved: no memory");
	else if (bh_store_put(l->store, TABLE, key, bh_str_text(&text), &err) < 0)
		bh_error("a baseline is not saved: %s", err.text);
	else
		h->is_changed = false;
}

void bh_baselines_save(struct bh_baselines *l)
{
	struct bh_map_entry *e;
	size_t pos = 0;

	while ((e = bh_map_next(&l->held, &pos))) {
		struct held *h = e->value;

		if (h->is_changed)
			save_one(l, h);
	}
}

int bh_baselines_open(struct bh_store *store, const struct bh_learning_settings *settings,
		      uint64_t now_ns, struct bh_baselines **ret, struct bh_err *err)
{
	struct bh_baselines *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return bh_fail(err, ENOMEM, "baselines");
	l->store = store;
	l->now_ns = now_ns;
	l->opt = (struct bh_base_options){.unseen = settings->unseen,
					  .min_starts = settings->replicas,
					  .min_units = settings->slices,
					  .slice_ns = settings->slice_ns};
	l->held.free_value = held_free;
	r = bh_store_each(store, TABLE, load_row, l, err);
	if (r < 0) {
		bh_baselines_close(l);
		return r == -ENOMEM ? bh_fail(err, ENOMEM, "baselines") : r;
	}
	*ret = l;
	return 0;
}

void bh_baselines_close(struct bh_baselines *l)
{
	if (!l)
		return;
	bh_baselines_save(l);
	bh_map_done(&l->held);
	free(l);
}

/* ---- learning ---- */

void bh_baselines_set(struct bh_baselines *l, bool is_on)
{
	l->is_on = is_on;
}

struct bh_baseline *bh_baselines_find(const struct bh_baselines *l, const struct bh_subject *s)
{
	struct held *h = bh_map_get(&l->held, &s->workload, sizeof(s->workload));

	return h ? h->b : NULL;
}

static struct held *held_for(struct bh_baselines *l, const struct bh_subject *s)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = NULL;
	struct held *h = bh_map_get(&l->held, &s->workload, sizeof(s->workload));
	struct bh_err err;

	if (h)
		return h;
	if (l->held.count >= MAX_WORKLOADS) {
		if (!l->is_full)
			bh_warn("more than %d workloads: the others are not learnt", MAX_WORKLOADS);
		l->is_full = true;
		return NULL;
	}
	if (bh_baseline_new(s, NULL, &b, &err) < 0 || hold(l, &b, &h))
		return NULL;
	return h;
}

/* What must not be lost is written at once: that it is known well enough, and who is suspect. */
static void learnt(struct bh_baselines *l, struct held *h, unsigned suspects)
{
	h->is_changed = true;
	if (h->b->is_closed || h->b->suspects != suspects)
		save_one(l, h);
	if (h->b->is_closed)
		bh_info("baseline of %s/%s is closed: starts=%u slices=%u", h->b->ns, h->b->owner,
			h->b->starts, h->b->units);
}

void bh_baselines_feed(struct bh_baselines *l, const struct bh_activity *a,
		       const struct bh_base_sighting *s)
{
	struct held *h = l->is_on ? held_for(l, a->subject) : NULL;
	unsigned suspects;

	if (!h || h->b->is_closed)
		return;
	suspects = h->b->suspects;
	if (bh_baseline_observe(h->b, a, s) < 0)
		h->b->overflow++; /* it will not close over what it could not keep */
	learnt(l, h, suspects);
}

void bh_baselines_live(struct bh_baselines *l, const struct bh_subject *subject,
		       const struct bh_base_sighting *s)
{
	struct held *h = bh_map_get(&l->held, &subject->workload, sizeof(subject->workload));
	unsigned suspects;

	if (!h || h->b->is_closed || !l->is_on)
		return;
	suspects = h->b->suspects;
	bh_baseline_live(h->b, s);
	learnt(l, h, suspects);
}

uint64_t bh_baselines_rhythm_ns(const struct bh_baselines *l)
{
	return l->opt.slice_ns / 2 < RHYTHM_NS ? l->opt.slice_ns / 2 : RHYTHM_NS;
}

bool bh_baselines_is_on(const struct bh_baselines *l)
{
	return l->is_on;
}

void bh_baselines_see_grams(struct bh_baselines *l, const struct bh_subject *subject,
			    const struct bh_gram *v, size_t n, const struct bh_base_sighting *s)
{
	struct held *h = l->is_on ? held_for(l, subject) : NULL;

	if (!h || h->b->is_closed)
		return;
	if (bh_baseline_see_grams(h->b, v, n, s) < 0)
		h->b->overflow++;
	h->is_changed = true;
}

void bh_baselines_see_window(struct bh_baselines *l, const struct bh_subject *subject,
			     const struct bh_trace *t, const struct bh_base_sighting *s)
{
	struct held *h = l->is_on ? held_for(l, subject) : NULL;

	if (h && !h->b->is_closed && bh_baseline_see_window(h->b, t, s) == 0)
		h->is_changed = true;
}

/* ---- by name ---- */

/* "ns/owner", or "ns/pod" of one of its pods. */
static struct held *find(const struct bh_baselines *l, const char *workload)
{
	const char *slash = strchr(workload, '/');
	struct bh_map_entry *e;
	struct bh_workload guess;
	size_t pos = 0;

	if (!slash)
		return NULL;
	bh_workload_of(NULL, slash + 1, &guess);
	while ((e = bh_map_next(&l->held, &pos))) {
		struct held *h = e->value;

		if (strlen(h->b->ns) == (size_t)(slash - workload) &&
		    !strncmp(h->b->ns, workload, (size_t)(slash - workload)) &&
		    (!strcmp(h->b->owner, slash + 1) || !strcmp(h->b->owner, guess.name)))
			return h;
	}
	return NULL;
}

static struct held *find_or_fail(const struct bh_baselines *l, const char *workload,
				 struct bh_err *err)
{
	struct held *h = find(l, workload);

	if (!h)
		bh_fail(err, ENOENT,
			"there is no baseline of '%s'; `bulkhead baseline list` shows all, and "
			"mode "
			"learn makes them",
			workload);
	return h;
}

static json_t *kinds_json(const struct bh_baseline *b)
{
	json_t *all = json_object();

	for (int k = 0; k < BH_BASE_KINDS; k++) {
		struct bh_map_entry *e;
		int confirmed = 0;
		size_t pos = 0;

		while ((e = bh_map_next(&b->facts[k], &pos)))
			confirmed += ((const struct bh_base_fact *)e->value)->is_confirmed;
		json_object_set_new(all, bh_base_kind_name(k),
				    json_pack("{s:I, s:i, s:f}", "seen",
					      (json_int_t)b->facts[k].count, "confirmed", confirmed,
					      "unseen", bh_baseline_unseen(b, k)));
	}
	return all;
}

static json_t *sequences_json(const struct bh_baseline *b)
{
	const struct bh_base_seq *q = b->seq;

	return json_pack("{s:i, s:i, s:f, s:s?}", "seen", q ? (int)q->grams.n : 0, "windows",
			 q ? (int)q->n_windows : 0, "unseen", q ? bh_grams_unseen(&q->grams) : 1.0,
			 "notJudged", bh_baseline_seq_lacks(b));
}

int bh_baselines_list(const struct bh_baselines *l, json_t **ret, struct bh_err *err)
{
	json_t *rows = json_array();
	struct bh_map_entry *e;
	size_t pos = 0;

	while ((e = bh_map_next(&l->held, &pos))) {
		const struct bh_baseline *b = ((struct held *)e->value)->b;
		BH_CLEANUP(bh_freep) char *name = name_of(b);
		char wait[200];

		json_array_append_new(
			rows, json_pack("{s:s, s:s, s:b, s:s, s:s?, s:i, s:i, s:I, s:o, s:o}",
					"workload", name ? name : "", "ownerKind", b->owner_kind,
					"guessed", b->is_guessed, "state",
					b->is_closed ? "closed" : "learning", "waitsFor",
					b->is_closed ? NULL
						     : bh_baseline_waits_for(b, wait, sizeof(wait)),
					"starts", (int)b->starts, "units", (int)b->units,
					"overflow", (json_int_t)b->overflow, "keys", kinds_json(b),
					"sequences", sequences_json(b)));
	}
	if (json_array_size(rows) != l->held.count) {
		json_decref(rows);
		return bh_fail(err, ENOMEM, "baselines");
	}
	*ret = rows;
	return 0;
}

int bh_baselines_text(const struct bh_baselines *l, const char *workload, char **ret,
		      struct bh_err *err)
{
	struct held *h = find_or_fail(l, workload, err);
	struct bh_str text = {0};

	if (!h)
		return err->code;
	if (bh_baseline_write(h->b, &text)) {
		bh_str_done(&text);
		return bh_fail(err, ENOMEM, "baseline");
	}
	*ret = bh_str_take(&text);
	return *ret ? 0 : bh_fail(err, ENOMEM, "baseline");
}

/* ---- imports ---- */

/* Digests of the files that were imported for a workload, oldest first; the caller's. */
static json_t *imported(struct bh_baselines *l, const char *key)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	json_t *list = NULL;
	struct bh_err err;

	if (bh_store_get(l->store, IMPORTS, key, &text, &err) == 0 && text &&
	    bh_json_parse(text, strlen(text), MAX_TEXT, &list, &err) == 0 && json_is_array(list))
		return list;
	json_decref(list);
	return json_array();
}

static char *import_key(const struct bh_baseline *b)
{
	return bh_strf("imported/%016llx", (unsigned long long)b->workload);
}

/* Whether that file is in it already: its own export, or one that was imported before. Counted
 * again it would pass for what another replica saw. */
static bool is_replay(struct bh_baselines *l, const struct bh_baseline *b, const char *text,
		      const char *digest)
{
	BH_CLEANUP(bh_str_done) struct bh_str own = {0};
	BH_CLEANUP(bh_freep) char *key = import_key(b);
	BH_CLEANUP(bh_json_decrefp) json_t *list = key ? imported(l, key) : NULL;
	const json_t *one;
	size_t i;

	if (!bh_baseline_write(b, &own) && !strcmp(bh_str_text(&own), text))
		return true;
	json_array_foreach(list, i, one)
	{
		if (!strcmp(json_string_value(one) ? json_string_value(one) : "", digest))
			return true;
	}
	return false;
}

static void note_import(struct bh_baselines *l, const struct bh_baseline *b, const char *digest)
{
	BH_CLEANUP(bh_freep) char *key = import_key(b), *text = NULL;
	BH_CLEANUP(bh_json_decrefp) json_t *list = key ? imported(l, key) : NULL;
	struct bh_err err = {0};

	while (json_array_size(list) >= MAX_IMPORTS)
		json_array_remove(list, 0);
	json_array_append_new(list, json_string(digest));
	text = list ? json_dumps(list, JSON_COMPACT) : NULL;
	if (!text || bh_store_put(l->store, IMPORTS, key, text, &err) < 0)
		bh_warn("an import of a baseline is not remembered: %s",
			text ? err.text : "no memory");
}

int bh_baselines_import(struct bh_baselines *l, const char *text, char **ret_workload,
			struct bh_err *err)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = NULL;
	char digest[BH_DIGEST_TEXT];
	struct held *h;
	int r = strlen(text) > MAX_TEXT ? bh_fail(err, EFBIG, "a baseline of more than 8 MiB")
					: bh_baseline_read(text, strlen(text), &b, err);

	if (!r)
		r = bh_digest_bytes(text, strlen(text), digest, err);
	if (r < 0)
		return r;
	bh_baseline_forget_replicas(b);
	h = bh_map_get(&l->held, &b->workload, sizeof(b->workload));
	if (h && is_replay(l, h->b, text, digest)) {
		*ret_workload = name_of(h->b);
		return *ret_workload ? 0 : bh_fail(err, ENOMEM, "baselines");
	}
	if (h)
		r = bh_baseline_merge(h->b, b, err);
	else if (hold(l, &b, &h))
		r = bh_fail(err, ENOMEM, "baselines");
	if (r < 0)
		return r;
	h->is_changed = true;
	save_one(l, h);
	note_import(l, h->b, digest);
	*ret_workload = name_of(h->b);
	return *ret_workload ? 0 : bh_fail(err, ENOMEM, "baselines");
}

int bh_baselines_reset(struct bh_baselines *l, const char *workload, struct bh_err *err)
{
	struct held *h = find_or_fail(l, workload, err);
	BH_CLEANUP(bh_freep) char *key = NULL, *imports = NULL;
	uint64_t number;
	int r;

	if (!h)
		return err->code;
	key = row_key(h->b);
	imports = import_key(h->b);
	r = key ? bh_store_del(l->store, TABLE, key, err) : bh_fail(err, ENOMEM, "baseline");
	if (r >= 0)
		r = imports ? bh_store_del(l->store, IMPORTS, imports, err)
			    : bh_fail(err, ENOMEM, "baseline");
	if (r < 0)
		return r;
	number = h->b->workload;
	bh_map_del(&l->held, &number, sizeof(number));
	return 0;
}

int bh_baselines_make(const struct bh_baselines *l, const char *workload, enum bh_made what,
		      const struct bh_world *w, json_t **ret, struct bh_err *err)
{
	struct held *h = find_or_fail(l, workload, err);

	return h ? bh_make(h->b, what, w, ret, err) : err->code;
}
