#include "daemon/images.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/image_access.h"
#include "daemon/image_batch.h"
#include "daemon/image_cache.h"
#include "daemon/image_files.h"
#include "daemon/image_glass.h"
#include "daemon/image_private.h"
#include "daemon/image_watch.h"
#include "daemon/journal.h"
#include "event/ocsf.h"

#define N_MODES 3 /* of bh_image_mode */

/* ---- what a pod has to wait for ---- */

static void wait_free(struct bh_image_wait *w)
{
	if (!w)
		return;
	bh_vec_each (it, &w->wants)
		bh_image_want_done(it);
	bh_vec_done(&w->wants);
	free(w->who);
	free(w->ns);
	free(w->name);
	free(w);
}

void bh_images_forget(struct bh_image_wait *w)
{
	struct bh_image_wait **at;

	if (!w)
		return;
	for (at = &w->im->waits; *at && *at != w; at = &(*at)->next)
		continue;
	if (*at)
		*at = w->next;
	wait_free(w);
}

/* An image has one question however it is written; a digest beside a tag is what counts. */
static int make_question(struct bh_images *im, struct bh_image_want *w,
			 const struct bh_image_ref *ref)
{
	BH_CLEANUP(bh_freep) char *names = json_dumps(w->names, JSON_COMPACT);

	w->question =
		names ? bh_strf("%s/%s%s%s %s %s", ref->registry, ref->repository,
				*ref->digest ? "@" : ":", *ref->digest ? ref->digest : ref->tag,
				names, bh_image_files_version(im->files))
		      : NULL;
	return w->question ? 0 : -ENOMEM;
}

/* What was accepted by its tag is accepted by the digest that the tag led to, and for longer. */
static void keep_digest(struct bh_images *im, const struct bh_image_want *w, const json_t *answer)
{
	const char *digest = json_string_value(json_object_get(answer, "digest"));
	const char *verdict = json_string_value(json_object_get(answer, "verdict"));
	BH_CLEANUP(bh_freep) char *pinned = NULL;
	struct bh_image_ref ref;
	struct bh_err err;

	if (w->by_digest || !digest || !bh_digest_ok(digest) || !bh_streq(verdict, "accept") ||
	    bh_image_ref_parse(w->reference, &ref, &err))
		return;
	pinned = bh_strf("%s/%s@%s%s", ref.registry, ref.repository, digest,
			 w->question + strcspn(w->question, " "));
	if (pinned)
		bh_image_cache_put(im->cache, pinned, answer, true, bh_now_s());
}

/* ns NULL: no pod is known, and what is about certain namespaces cannot be told to apply. */
static bool applies_to(const struct bh_image_policy *p, const char *ns,
		       const struct bh_image_ref *ref)
{
	return (ns || !p->match.namespaces.n) && bh_image_policy_applies(p, ns, ref);
}

/* Answered by an exception; nobody has to be asked. */
static int add_exempt(struct bh_images *im, struct bh_image_wait *w, const char *image,
		      const struct bh_image_ref *ref)
{
	const struct bh_image_exempt *e = bh_image_glass_find(im->glass, w->ns, ref, "");
	struct bh_image_want x = {
		.question = bh_strf("exempt %s", image),
		.reference = strdup(image),
		.names = json_array(),
		.answer = e ? bh_image_glass_answer(e, image, ref->digest) : NULL,
		.by_digest = *ref->digest,
	};

	if (x.question && x.reference && x.answer && !bh_vec_push(&w->wants, x))
		return 0;
	bh_image_want_done(&x);
	return -ENOMEM;
}

/* *ret_applies: at least one policy of any mode is about the image. */
static int add_wants(struct bh_images *im, struct bh_image_wait *w, const char *image,
		     const struct bh_image_ref *ref, bool *ret_applies)
{
	size_t n;
	struct bh_image_policy *const *policies = bh_image_files_policies(im->files, &n);

	*ret_applies = bh_image_glass_find(im->glass, w->ns, ref, "");
	if (*ret_applies)
		return add_exempt(im, w, image, ref);
	for (int mode = 0; mode < N_MODES; mode++) {
		struct bh_image_want x = {.mode = (enum bh_image_mode)mode,
					  .on_error = BH_IMAGE_ON_ERROR_ALLOW,
					  .by_digest = *ref->digest,
					  .names = json_array(),
					  .reference = strdup(image)};

		for (size_t i = 0; i < n; i++) {
			if ((int)policies[i]->mode != mode || !applies_to(policies[i], w->ns, ref))
				continue;
			json_array_append_new(x.names, json_string(policies[i]->origin));
			x.on_error = bh_image_stricter(x.on_error, policies[i]->on_error);
		}
		if (x.names && !json_array_size(x.names)) {
			bh_image_want_done(&x);
			continue;
		}
		*ret_applies = true;
		if (!x.names || !x.reference || make_question(im, &x, ref) ||
		    bh_vec_push(&w->wants, x)) {
			bh_image_want_done(&x);
			return -ENOMEM;
		}
	}
	return 0;
}

/* ---- outcomes ---- */

/* An exception by digest can be told to apply only when it is known what the tag led to. */
static void exempt_digests(struct bh_images *im, const struct bh_image_wait *w)
{
	bh_vec_each (it, &w->wants) {
		const char *digest = bh_image_text(it->answer, "digest");
		const struct bh_image_exempt *e;
		struct bh_image_ref ref;
		json_t *answer;
		struct bh_err err;

		if (!*digest || !strcmp(bh_image_text(it->answer, "verdict"), "accept") ||
		    bh_image_ref_parse(it->reference, &ref, &err))
			continue;
		e = bh_image_glass_find(im->glass, w->ns, &ref, digest);
		if (!e)
			continue;
		answer = bh_image_glass_answer(e, it->reference, digest);
		if (!answer)
			continue;
		json_decref(it->answer);
		it->answer = answer;
	}
}

static json_t *make_rows(struct bh_images *im, const struct bh_image_wait *w)
{
	json_t *rows = json_array();

	bh_vec_each (it, &w->wants) {
		if (!it->answer)
			continue; /* the pod was refused without */
		json_array_append_new(rows, bh_image_want_row(it));
		bh_images_tell(im, w, it);
	}
	return rows;
}

/* audit in the settings: everything is judged and told, nothing is refused. */
static void conclude(struct bh_images *im, const struct bh_image_wait *w, struct bh_image_result *o)
{
	struct bh_image_said said = {0};
	json_t *rows;

	exempt_digests(im, w);
	rows = make_rows(im, w);
	said.rows = rows;

	bh_vec_each (it, &w->wants) {
		if (it->answer)
			bh_image_want_judge(it, im->cache, bh_now_s(), o);
	}
	if (im->d->cfg->images_mode == BH_IMAGES_AUDIT)
		*o = (struct bh_image_result){0};
	if (o->outcome >= BH_IMAGES_RETRY && w->is_whole)
		im->count.refused_pods++;
	if (w->is_whole)
		bh_images_keep(im, w, rows);
	said.outcome = o->outcome;
	said.is_doubt = o->is_doubt;
	said.text = o->text;
	w->listener.fn(&said, w->listener.arg);
	json_decref(rows);
}

static bool is_complete(const struct bh_image_wait *w)
{
	for (size_t i = 0; i < w->wants.n; i++) {
		if (!w->wants.v[i].answer)
			return false;
	}
	return true;
}

/* fn may ask and forget others, so the walk begins anew after each. */
static void serve_waits(struct bh_images *im)
{
	struct bh_image_wait **at = &im->waits;

	while (*at) {
		struct bh_image_wait *w = *at;
		struct bh_image_result o = {0};

		if (!is_complete(w)) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		conclude(im, w, &o);
		wait_free(w);
		at = &im->waits;
	}
}

static void on_answer(const char *question, const json_t *answer, void *arg)
{
	struct bh_images *im = arg;
	bool is_stored = false;

	for (struct bh_image_wait *w = im->waits; w; w = w->next) {
		bh_vec_each (it, &w->wants) {
			if (it->answer || strcmp(it->question, question))
				continue;
			it->answer = json_deep_copy(answer);
			if (!is_stored) {
				bh_image_cache_put(im->cache, question, answer, it->by_digest,
						   bh_now_s());
				keep_digest(im, it, answer);
			}
			is_stored = true;
		}
	}
	serve_waits(im);
}

/* ---- asking ---- */

static bool is_protected(const struct bh_images *im, const char *ns)
{
	size_t n;
	struct bh_image_policy *const *policies = bh_image_files_policies(im->files, &n);

	for (size_t i = 0; i < n; i++) {
		if (policies[i]->mode != BH_IMAGE_AUDIT && bh_image_policy_names(policies[i], ns))
			return true;
	}
	return false;
}

/* About pods of every namespace. */
static bool is_for_all(const struct bh_image_policy *p)
{
	return p->mode != BH_IMAGE_AUDIT && !p->match.namespaces.n;
}

/* No pod can be outside of it, whatever its images are. */
static bool is_about_all(const struct bh_image_policy *p)
{
	bool is_all = !p->match.images.n;

	for (size_t i = 0; i < p->match.images.n; i++)
		is_all |= !strcmp(p->match.images.v[i], "**");
	return is_for_all(p) && is_all && !p->match.exclude.n;
}

static bool is_any(const struct bh_images *im, bool (*is)(const struct bh_image_policy *))
{
	size_t n;
	struct bh_image_policy *const *policies = bh_image_files_policies(im->files, &n);

	for (size_t i = 0; i < n; i++) {
		if (is(policies[i]))
			return true;
	}
	return false;
}

static int collect_image(struct bh_images *im, struct bh_image_wait *w, const char *image,
			 struct bh_image_result *o)
{
	bool applies = false, is_ours = w->ns && is_protected(im, w->ns);
	struct bh_image_ref ref;
	struct bh_err err = {0};

	if (bh_image_ref_parse(image, &ref, &err)) {
		/* whoever pulls it may read more into it than we do */
		if (is_ours || is_any(im, is_for_all))
			bh_image_worsen(o, BH_IMAGES_REFUSE,
					"whether an ImagePolicy is about it cannot be told: %.300s",
					err.text);
		return 0;
	}
	if (add_wants(im, w, image, &ref, &applies))
		return -ENOMEM;
	if (!applies && is_ours)
		bh_image_worsen(o, BH_IMAGES_REFUSE,
				"no ImagePolicy is about image '%.256s', and one names its "
				"namespace",
				image);
	return 0;
}

static int collect_pod(struct bh_images *im, struct bh_image_wait *w, struct bh_image_result *o)
{
	struct bh_image_who who = {w->ns, w->name, w->uid};
	size_t n = 0;
	char *const *images = bh_image_files_pod(im->files, &who, &n);

	if (!images && (is_protected(im, w->ns) || is_any(im, is_about_all)))
		bh_image_worsen(o, BH_IMAGES_RETRY,
				"no Pod manifest says which images '%s/%s' has, and an ImagePolicy "
				"%s",
				w->ns, w->name,
				is_protected(im, w->ns) ? "names its namespace"
							: "is about every image");
	for (size_t i = 0; i < n; i++) {
		if (collect_image(im, w, images[i], o))
			return -ENOMEM;
	}
	return 0;
}

/* From memory, or by a worker. */
static int find_answers(struct bh_images *im, struct bh_image_wait *w, struct bh_err *err)
{
	int64_t now_s = bh_now_s();
	struct bh_image_asked asked = {.now_s = now_s, .bundle = bh_image_files_bundle(im->files)};
	int r = 0;

	bh_vec_each (it, &w->wants) {
		const json_t *known = bh_image_cache_get(im->cache, it->question, now_s);

		if (known)
			it->answer = json_deep_copy(known);
		else if (!r)
			r = bh_image_batches_add(im->batches, &asked, it->question, it->reference,
						 it->names);
	}
	if (r)
		return bh_fail(err, ENOMEM, "question about images");
	return bh_image_batches_send(im->batches, &asked, err);
}

static int collect(struct bh_images *im, struct bh_image_wait *w, const struct bh_image_subject *s,
		   struct bh_image_result *o)
{
	int r;

	w->im = im;
	w->is_whole = !s->image && !s->is_running;
	w->is_running = s->is_running;
	w->uid = s->uid;
	w->who = s->ns ? bh_strf("pod '%s/%s'", s->ns, s->name) : strdup("pull");
	w->ns = s->ns ? strdup(s->ns) : NULL;
	w->name = s->ns ? strdup(s->name) : NULL;
	if (!w->who || (s->ns && (!w->ns || !w->name)))
		return -ENOMEM;
	if (bh_image_files_trouble(im->files))
		bh_image_worsen(o, BH_IMAGES_RETRY, "%s", bh_image_files_trouble(im->files));
	r = s->image ? collect_image(im, w, s->image, o) : collect_pod(im, w, o);
	w->uid = NULL;
	return r;
}

static int start_wait(struct bh_images *im, const struct bh_image_subject *s,
		      struct bh_image_wait **ret, struct bh_image_result *o, struct bh_err *err)
{
	struct bh_image_wait *w = calloc(1, sizeof(*w));
	int r = bh_images_refresh(im, err);

	if (!r && (!w || collect(im, w, s, o)))
		r = bh_fail(err, ENOMEM, "verdict about images");
	if (!r)
		r = find_answers(im, w, err);
	if (r) {
		wait_free(w);
		return r;
	}
	*ret = w;
	return 0;
}

int bh_images_ask(struct bh_images *im, const struct bh_image_subject *s,
		  const struct bh_images_listener *l, struct bh_image_wait **ret,
		  struct bh_err *err)
{
	struct bh_image_wait *w = NULL;
	struct bh_image_result o = {0};
	int r;

	*ret = NULL;
	if (!im) {
		l->fn(&(struct bh_image_said){.text = ""}, l->arg);
		return 0;
	}
	r = start_wait(im, s, &w, &o, err);
	if (r)
		return r;
	w->listener = *l;
	if (o.outcome >= BH_IMAGES_RETRY || is_complete(w)) {
		conclude(im, w, &o);
		wait_free(w);
		return 0;
	}
	w->next = im->waits;
	im->waits = w;
	*ret = w;
	return 0;
}

/* ---- opening ---- */

static void drop_json(void *v)
{
	json_decref(v);
}

int bh_images_open(struct bh_daemon *d, struct bh_images **ret, struct bh_err *err)
{
	struct bh_images *im;
	int r;

	if (d->cfg->images_mode == BH_IMAGES_OFF)
		return 0;
	im = calloc(1, sizeof(*im));
	if (!im)
		return bh_fail(err, ENOMEM, "image verification");
	im->d = d;
	bh_map_init(&im->records, drop_json);
	bh_map_init(&im->told, free);
	r = bh_image_glass_open(d->cfg->images_break_glass, &im->glass, err);
	if (!r)
		r = bh_image_files_open(d->cfg->manifests, d->store, im->glass, &im->files, err);
	if (!r)
		r = bh_image_cache_open(d->store, bh_now_s(), &im->cache, err);
	if (!r)
		r = bh_image_access_open(d->cfg, &im->access, err);
	if (!r)
		r = bh_image_batches_open(d->loop,
					  &(struct bh_image_listener){im->access, on_answer, im},
					  &im->batches, err);
	if (!r)
		r = bh_image_watch_open(d, im, &im->watch, err);
	if (r) {
		bh_images_close(im);
		return r;
	}
	*ret = im;
	return 0;
}

void bh_images_close(struct bh_images *im)
{
	if (!im)
		return;
	bh_image_watch_close(im->watch);
	bh_image_batches_close(im->batches);
	bh_image_access_close(im->access);
	while (im->waits)
		bh_images_forget(im->waits);
	bh_image_cache_close(im->cache);
	bh_image_files_close(im->files);
	bh_image_glass_close(im->glass);
	bh_map_done(&im->records);
	bh_map_done(&im->told);
	free(im);
}
