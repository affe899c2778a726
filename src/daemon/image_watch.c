#include "daemon/image_watch.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "daemon/cri.h"
#include "daemon/daemon.h"
#include "daemon/image_thing.h"
#include "daemon/image_want.h"
#include "daemon/images.h"

#define TICK_MS	  500
#define LOOK_S	  10 /* between two looks when nothing happens */
#define EAGER_S	  30 /* after something did: a look a second */
#define REREAD_S  5  /* keys that policies name change without a notice */
#define MAX_FIRST 64 /* containers that are judged in one go: the loop has others to serve */

struct bh_image_watch {
	struct bh_image_things things;
	struct bh_cri_ear *ear;
	struct bh_source *timer;
	uint64_t round;
	int64_t looked_s, eager_until_s, read_s; /* on the clock of bh_uptime_s */
	bool is_changed, is_nudged;
};

/* ---- what runs ---- */

static const char *text_of(const json_t *row, const char *key)
{
	return bh_image_text(row, key);
}

static struct bh_image_thing *thing_new(struct bh_image_watch *w, const json_t *row,
					const json_t *image)
{
	struct bh_image_thing *t = calloc(1, sizeof(*t));
	const json_t *digests = json_object_get(image, "digests");

	if (!t)
		return NULL;
	t->all = &w->things;
	t->ns = strdup(text_of(row, "namespace"));
	t->pod = strdup(text_of(row, "pod"));
	t->container = strdup(text_of(row, "name"));
	t->image = strdup(text_of(image, "image"));
	t->id = strdup(text_of(image, "imageId"));
	t->uid = *text_of(row, "uid") ? strdup(text_of(row, "uid")) : NULL;
	t->digests = json_is_array(digests) ? json_deep_copy(digests) : json_array();
	t->round = w->round;
	if (t->ns && t->pod && t->container && t->image && t->id && t->digests)
		return t;
	bh_image_thing_free(t);
	return NULL;
}

static void add_thing(struct bh_image_watch *w, const char *key, struct bh_image_thing *t)
{
	if (!t || bh_image_thing_list(t) || bh_map_set_s(&w->things.by_key, key, t)) {
		bh_error("what runs is not compared: no memory");
		if (t)
			bh_image_thing_free(t);
	}
}

/* An ended container that this daemon never saw running is judged if it was started in its time. */
static bool is_past(const struct bh_image_watch *w, const json_t *row)
{
	return !strcmp(text_of(row, "state"), "exited") &&
	       json_integer_value(json_object_get(row, "createdMs")) / 1000 <
		       w->things.d->started_s;
}

static void take_container(struct bh_image_watch *w, const json_t *row)
{
	const json_t *volumes = json_object_get(row, "volumes"), *volume;
	const char *id = text_of(row, "id");
	size_t i;

	if (is_past(w, row))
		return;
	add_thing(w, id, thing_new(w, row, row));
	json_array_foreach(volumes, i, volume)
	{
		BH_CLEANUP(bh_freep) char *key = bh_strf("%s volume %zu", id, i);

		if (key)
			add_thing(w, key, thing_new(w, row, volume));
	}
}

/* Volumes of a container are listed with it. */
static void drop_gone(struct bh_image_watch *w)
{
	struct bh_map_entry *e;
	size_t pos = 0;

	while ((e = bh_map_next(&w->things.by_key, &pos))) {
		const char *key = e->key, *space = memchr(key, ' ', e->key_len);
		const struct bh_image_thing *t = e->value, *of = NULL;

		if (space)
			of = bh_map_get(&w->things.by_key, key, (size_t)(space - key));
		if ((of ? of : t)->round != w->round)
			bh_map_del(&w->things.by_key, e->key, e->key_len);
	}
}

static void judge_due(struct bh_image_watch *w);

static void on_look(const json_t *answer, bool is_first, void *arg)
{
	struct bh_image_watch *w = arg;
	const json_t *row;
	size_t i;

	(void)is_first;
	w->round++;
	json_array_foreach(json_object_get(answer, "containers"), i, row)
	{
		struct bh_image_thing *t = bh_map_get_s(&w->things.by_key, text_of(row, "id"));

		if (t) {
			t->round = w->round;
			t->has_run |= !strcmp(text_of(row, "state"), "exited");
		} else if (json_object_get(row, "pod")) {
			take_container(w, row);
		}
	}
	drop_gone(w);
	judge_due(w);
}

/* {"namespace","pod","name","image","imageId","digests"} as from the runtime: what the manifest
 * names, by the digest that it had when the pod was added. */
static json_t *guess(struct bh_image_watch *w, const struct bh_endpoint *ep, const char *image)
{
	const json_t *record = bh_images_record(w->things.im, ep->ns, ep->name), *row;
	json_t *digests = json_array();
	size_t i;

	json_array_foreach(json_object_get(record, "rows"), i, row)
	{
		BH_CLEANUP(bh_freep)
		char *pinned =
			bh_strf("%.*s@%s", (int)strcspn(image, "@"), image, text_of(row, "digest"));

		if (!strcmp(text_of(row, "image"), image) && *text_of(row, "digest") && pinned)
			json_array_append_new(digests, json_string(pinned));
	}
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "namespace", ep->ns, "pod", ep->name,
			 "name", "", "image", image, "imageId", "", "digests", digests);
}

static void take_guess(struct bh_image_watch *w, const struct bh_endpoint *ep, const char *image)
{
	BH_CLEANUP(bh_freep) char *key = bh_strf("%s/%s/%s", ep->ns, ep->name, image);
	BH_CLEANUP(bh_json_decrefp) json_t *as = guess(w, ep, image);
	struct bh_image_thing *t = key ? bh_map_get_s(&w->things.by_key, key) : NULL;

	if (t) {
		t->round = w->round;
	} else if (key && as) {
		t = thing_new(w, as, as);
		if (t)
			t->is_guess = true;
		add_thing(w, key, t);
	}
}

/* Without a runtime: the pods' manifests. A pod whose ADD was refused runs nothing. */
static void take_manifests(struct bh_image_watch *w)
{
	w->round++;
	bh_vec_each (it, &w->things.d->endpoints.eps) {
		const struct bh_endpoint *ep = *it;
		size_t n = 0;
		char *const *images = bh_images_pod_images(w->things.im, ep->ns, ep->name, &n);

		for (size_t i = 0; !ep->is_refused && ep->is_covered && i < n; i++)
			take_guess(w, ep, images[i]);
	}
	drop_gone(w);
}

/* ---- when ---- */

static bool is_due(const struct bh_image_thing *t, int64_t now_s)
{
	if (t->wait)
		return false;
	if (!t->version || (t->retry_s && now_s >= t->retry_s))
		return true;
	return !t->has_run && strcmp(t->version, t->all->version);
}

static void judge_due(struct bh_image_watch *w)
{
	int64_t now_s = bh_uptime_s();
	struct bh_map_entry *e;
	size_t pos = 0;
	int left = MAX_FIRST;

	if (!w->things.version)
		return;
	while (left && (e = bh_map_next(&w->things.by_key, &pos))) {
		if (is_due(e->value, now_s)) {
			bh_image_thing_judge(e->value);
			left--;
		}
	}
}

static void read_version(struct bh_image_watch *w, int64_t now_s)
{
	const char *version;

	if (w->things.version && !w->is_changed && now_s - w->read_s < REREAD_S)
		return;
	w->is_changed = false;
	w->read_s = now_s;
	version = bh_images_version(w->things.im);
	if (bh_streq(version, w->things.version))
		return;
	free(w->things.version);
	w->things.version = strdup(version);
}

static void on_tick(void *arg)
{
	struct bh_image_watch *w = arg;
	int64_t now_s = bh_uptime_s();
	int64_t pause_s = w->is_nudged || now_s < w->eager_until_s ? 1 : LOOK_S;

	read_version(w, now_s);
	if (now_s - w->looked_s >= pause_s) {
		w->looked_s = now_s;
		w->is_nudged = false;
		bh_cri_ear_look(w->ear);
		if (bh_cri_ear_is_absent(w->ear))
			take_manifests(w);
	}
	judge_due(w);
}

void bh_image_watch_changed(struct bh_image_watch *w)
{
	w->is_changed = true;
}

void bh_image_watch_nudge(struct bh_image_watch *w)
{
	w->is_nudged = true;
}

void bh_image_watch_expect(struct bh_image_watch *w)
{
	w->eager_until_s = bh_uptime_s() + EAGER_S;
}

/* ---- what is known ---- */

bool bh_image_watch_container(const struct bh_image_watch *w, const char *id,
			      struct bh_images_container *ret)
{
	const struct bh_image_thing *t = bh_map_get_s(&w->things.by_key, id);
	const char *digest = t ? json_string_value(json_array_get(t->digests, 0)) : NULL;
	const char *at = digest ? strrchr(digest, '@') : NULL;

	if (!t || t->is_guess)
		return false;
	*ret = (struct bh_images_container){.ns = t->ns,
					    .pod = t->pod,
					    .name = t->container,
					    .image = t->image,
					    .digest = at ? at + 1 : "",
					    .verdict = text_of(t->verdict, "verdict")};
	return true;
}

static bool is_of(const struct bh_image_thing *t, const char *ns, const char *pod)
{
	return !strcmp(t->ns, ns) && !strcmp(t->pod, pod);
}

bool bh_image_watch_each(const struct bh_image_watch *w, const char *ns, const char *name,
			 void (*fn)(const char *image, const json_t *verdict, void *arg), void *arg)
{
	bool has_any = false;

	for (const struct bh_image_thing *t = bh_image_things_of(&w->things, ns, name); t;
	     t = t->next) {
		if (!is_of(t, ns, name))
			continue;
		has_any = true;
		fn(t->image, t->verdict, arg);
	}
	return has_any;
}

json_t *bh_image_watch_pod(const struct bh_image_watch *w, const char *ns, const char *name)
{
	json_t *rows = json_array();

	for (const struct bh_image_thing *t = bh_image_things_of(&w->things, ns, name); t;
	     t = t->next) {
		json_t *row;

		if (!is_of(t, ns, name))
			continue;
		row = t->verdict ? json_copy(t->verdict) : json_pack("{s:s}", "verdict", "");
		json_object_set_new(row, "image", json_string(t->image));
		json_object_set_new(row, "container", json_string(t->container));
		json_object_set(row, "runs", t->digests);
		json_array_append_new(rows, row);
	}
	return rows;
}

json_t *bh_image_watch_status(const struct bh_image_watch *w)
{
	json_t *j = bh_cri_ear_status(w->ear);

	json_object_set_new(j, "containers", json_integer((json_int_t)w->things.by_key.count));
	return j;
}

void bh_image_watch_count(const struct bh_image_watch *w, struct bh_images_count *c)
{
	c->mismatches = w->things.mismatches;
	c->cut_pods = w->things.cut_pods;
	c->containers = w->things.by_key.count;
}

const char *bh_image_watch_trouble(const struct bh_image_watch *w)
{
	return bh_cri_ear_trouble(w->ear);
}

int bh_image_watch_open(struct bh_daemon *d, struct bh_images *im, struct bh_image_watch **ret,
			struct bh_err *err)
{
	struct bh_image_watch *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return bh_fail(err, ENOMEM, "what runs");
	w->things.d = d;
	w->things.im = im;
	w->looked_s = -LOOK_S;
	bh_map_init(&w->things.by_key, bh_image_thing_free);
	bh_map_init(&w->things.by_pod, NULL);
	r = bh_cri_ear_open(d->loop, d->cfg->images_runtime, on_look, w, &w->ear, err);
	if (!r)
		r = bh_loop_timer(d->loop, TICK_MS, TICK_MS, on_tick, w, &w->timer, err);
	if (r) {
		bh_image_watch_close(w);
		return r;
	}
	*ret = w;
	return 0;
}

void bh_image_watch_close(struct bh_image_watch *w)
{
	if (!w)
		return;
	bh_source_free(w->timer);
	bh_cri_ear_close(w->ear);
	bh_map_done(&w->things.by_key);
	bh_map_done(&w->things.by_pod);
	free(w->things.version);
	free(w);
}
