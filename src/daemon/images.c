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
#include "daemon/journal.h"
#include "event/ocsf.h"

#define N_MODES 3 /* of bh_image_mode */

/* One question: an image, and the policies of one mode about it. */
struct want {
	char *question;	 /* all that the answer depends on */
	char *reference; /* as the pod has it */
	json_t *names;	 /* of the policies */
	json_t *answer;	 /* NULL: not yet */
	enum bh_image_mode mode;
	enum bh_image_on_error on_error;
	bool by_digest;
};

/* One pod that waits. */
struct bh_image_wait {
	struct bh_images *im;
	struct bh_image_wait *next;
	char *who; /* whom the verdict is for: a pod, or a pull */
	BH_VEC(struct want) wants;
	bh_images_fn *fn;
	void *arg;
};

struct bh_images {
	struct bh_daemon *d;
	struct bh_image_files_set *files;
	struct bh_image_cache *cache;
	struct bh_image_access *access;
	struct bh_image_batches *batches;
	struct bh_image_wait *waits;
	struct bh_images_count count;
};

/* ---- what a pod has to wait for ---- */

static void want_done(struct want *w)
{
	free(w->question);
	free(w->reference);
	json_decref(w->names);
	json_decref(w->answer);
}

static void wait_free(struct bh_image_wait *w)
{
	if (!w)
		return;
	bh_vec_each (it, &w->wants)
		want_done(it);
	bh_vec_done(&w->wants);
	free(w->who);
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

/* The strictest of the policies that share a question; the default is as strict as deny. */
static enum bh_image_on_error stricter(enum bh_image_on_error a, enum bh_image_on_error b)
{
	static const int rank[] = {[BH_IMAGE_ON_ERROR_LAST] = 2,
				   [BH_IMAGE_ON_ERROR_DENY] = 3,
				   [BH_IMAGE_ON_ERROR_QUARANTINE] = 1,
				   [BH_IMAGE_ON_ERROR_ALLOW] = 0};

	return rank[a] >= rank[b] ? a : b;
}

/* An image has one question however it is written; a digest beside a tag is what counts. */
static int make_question(struct bh_images *im, struct want *w, const struct bh_image_ref *ref)
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
static void keep_digest(struct bh_images *im, const struct want *w, const json_t *answer)
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

/* *ret_applies: at least one policy of any mode is about the image. */
static int add_wants(struct bh_images *im, struct bh_image_wait *w, const char *ns,
		     const char *image, bool *ret_applies)
{
	size_t n;
	struct bh_image_policy *const *policies = bh_image_files_policies(im->files, &n);
	struct bh_image_ref ref;
	struct bh_err err;

	if (bh_image_ref_parse(image, &ref, &err))
		return 0; /* the runtime cannot pull it either; nothing applies */
	for (int mode = 0; mode < N_MODES; mode++) {
		struct want x = {.mode = (enum bh_image_mode)mode,
				 .on_error = BH_IMAGE_ON_ERROR_ALLOW,
				 .by_digest = *ref.digest,
				 .names = json_array(),
				 .reference = strdup(image)};

		for (size_t i = 0; i < n; i++) {
			if ((int)policies[i]->mode != mode || !applies_to(policies[i], ns, &ref))
				continue;
			json_array_append_new(x.names, json_string(policies[i]->name));
			x.on_error = stricter(x.on_error, policies[i]->on_error);
		}
		if (x.names && !json_array_size(x.names)) {
			want_done(&x);
			continue;
		}
		*ret_applies = true;
		if (!x.names || !x.reference || make_question(im, &x, &ref) ||
		    bh_vec_push(&w->wants, x)) {
			want_done(&x);
			return -ENOMEM;
		}
	}
	return 0;
}

/* ---- outcomes ---- */

struct outcome {
	enum bh_image_outcome outcome;
	char text[1024];
};

static void worsen(struct outcome *o, enum bh_image_outcome outcome, const char *fmt, ...)
	BH_PRINTF(3, 4);

static void worsen(struct outcome *o, enum bh_image_outcome outcome, const char *fmt, ...)
{
	va_list ap;

	if (outcome <= o->outcome)
		return;
	o->outcome = outcome;
	va_start(ap, fmt);
	vsnprintf(o->text, sizeof(o->text), fmt, ap);
	va_end(ap);
}

static const char *text_in(const json_t *answer, const char *key)
{
	const char *s = json_string_value(json_object_get(answer, key));

	return s ? s : "";
}

/* The sentence of the last check that failed, for it got furthest; an attestation with its type. */
static const char *failed_check(const json_t *answer, char ret[400])
{
	const json_t *check;
	size_t i;

	*ret = '\0';
	json_array_foreach(json_object_get(answer, "checks"), i, check)
	{
		const char *name = text_in(check, "name");
		bool has_type = strchr(name, ' ') != NULL;

		if (json_is_false(json_object_get(check, "ok")))
			snprintf(ret, 400, "%.120s%s%.256s", has_type ? name : "",
				 has_type ? ": " : "", text_in(check, "detail"));
	}
	return ret;
}

static void judge_undecided(struct bh_images *im, const struct want *w, struct outcome *o)
{
	char why[400];
	bool was_good = w->on_error == BH_IMAGE_ON_ERROR_LAST && w->by_digest &&
			bh_image_cache_was_good(im->cache, w->question, bh_now_s());

	if (was_good || w->on_error == BH_IMAGE_ON_ERROR_ALLOW)
		return;
	worsen(o,
	       w->on_error == BH_IMAGE_ON_ERROR_QUARANTINE ? BH_IMAGES_QUARANTINE : BH_IMAGES_RETRY,
	       "image '%.256s' cannot be judged by ImagePolicy '%.64s' now: %.32s: %s",
	       w->reference, text_in(w->answer, "policy"), text_in(w->answer, "reason"),
	       failed_check(w->answer, why));
}

static void judge_want(struct bh_images *im, const struct want *w, struct outcome *o)
{
	const char *verdict = text_in(w->answer, "verdict");
	char why[400];

	if (!strcmp(verdict, "accept")) {
		im->count.accepted++;
		return;
	}
	if (!strcmp(verdict, "reject")) {
		im->count.rejected++;
		if (w->mode != BH_IMAGE_AUDIT)
			worsen(o,
			       w->mode == BH_IMAGE_QUARANTINE ? BH_IMAGES_QUARANTINE
							      : BH_IMAGES_REFUSE,
			       "image '%.256s' is refused by ImagePolicy '%.64s': %.32s: %s",
			       w->reference, text_in(w->answer, "policy"),
			       text_in(w->answer, "reason"), failed_check(w->answer, why));
		return;
	}
	im->count.undecided++;
	if (w->mode != BH_IMAGE_AUDIT)
		judge_undecided(im, w, o);
}

static void tell_verdict(struct bh_images *im, const struct bh_image_wait *w, const struct want *x)
{
	BH_CLEANUP(bh_freep)
	char *checks = json_dumps(json_object_get(x->answer, "checks"), JSON_COMPACT);
	BH_CLEANUP(bh_freep)
	char *text =
		bh_strf("%s: image '%s' (%s): %s %s by ImagePolicy '%s', signer '%s': %s", w->who,
			x->reference, text_in(x->answer, "digest"), text_in(x->answer, "verdict"),
			text_in(x->answer, "reason"), text_in(x->answer, "policy"),
			text_in(x->answer, "signer"), checks ? checks : "");
	bool is_good = !strcmp(text_in(x->answer, "verdict"), "accept");
	struct bh_ocsf_config c = {
		.time_ms = bh_now_s() * 1000,
		.change = is_good ? BH_CHANGE_ADDED : BH_CHANGE_REFUSED,
		.object = "image verdict",
		.text = text,
	};

	bh_journal_event(im->d->journal, bh_ocsf_config(bh_journal_ocsf(im->d->journal), &c));
	if (!is_good)
		bh_warn("%s: image '%s': %s: %s", w->who, x->reference,
			text_in(x->answer, "verdict"), text_in(x->answer, "reason"));
}

/* audit in the settings: everything is judged and told, nothing is refused. */
static void conclude(struct bh_images *im, const struct bh_image_wait *w, struct outcome *o)
{
	for (size_t i = 0; i < w->wants.n; i++) {
		if (!w->wants.v[i].answer)
			continue; /* it was refused without */
		judge_want(im, &w->wants.v[i], o);
		tell_verdict(im, w, &w->wants.v[i]);
	}
	if (im->d->cfg->images_mode == BH_IMAGES_AUDIT)
		*o = (struct outcome){0};
	if (o->outcome >= BH_IMAGES_RETRY)
		im->count.refused_pods++;
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
		struct outcome o = {0};

		if (!is_complete(w)) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		conclude(im, w, &o);
		w->fn(o.outcome, o.text, w->arg);
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

static int collect(struct bh_images *im, struct bh_image_wait *w, const char *ns, const char *name,
		   struct outcome *o)
{
	size_t n = 0;
	char *const *images = bh_image_files_pod(im->files, ns, name, &n);
	bool is_safe = !is_protected(im, ns);

	if (bh_image_files_trouble(im->files))
		worsen(o, BH_IMAGES_RETRY, "%s", bh_image_files_trouble(im->files));
	if (!images && !is_safe)
		worsen(o, BH_IMAGES_RETRY,
		       "no Pod manifest says which images '%s/%s' has, and an ImagePolicy names "
		       "its namespace",
		       ns, name);
	for (size_t i = 0; i < n; i++) {
		bool applies = false;

		if (add_wants(im, w, ns, images[i], &applies))
			return -ENOMEM;
		if (!applies && !is_safe)
			worsen(o, BH_IMAGES_REFUSE,
			       "no ImagePolicy is about image '%.256s', and one names its "
			       "namespace",
			       images[i]);
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

static uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Who asks: a pod, or the runtime about an image. */
struct subject {
	const char *ns, *name;
	const char *image; /* NULL: those of the pod */
};

static int collect_for(struct bh_images *im, struct bh_image_wait *w, const struct subject *s,
		       struct outcome *o)
{
	bool applies;

	w->who = s->image ? strdup("pull") : bh_strf("pod '%s/%s'", s->ns, s->name);
	if (!w->who)
		return -ENOMEM;
	if (!s->image)
		return collect(im, w, s->ns, s->name, o);
	if (bh_image_files_trouble(im->files))
		worsen(o, BH_IMAGES_RETRY, "%s", bh_image_files_trouble(im->files));
	return add_wants(im, w, NULL, s->image, &applies);
}

static int start_wait(struct bh_images *im, const struct subject *s, struct bh_image_wait **ret,
		      struct outcome *o, struct bh_err *err)
{
	struct bh_image_wait *w = calloc(1, sizeof(*w));
	int r = bh_image_files_refresh(im->files, clock_ms(), err);

	if (!r && (!w || collect_for(im, w, s, o)))
		r = bh_fail(err, ENOMEM, "verdict about images");
	if (!r) {
		w->im = im;
		r = find_answers(im, w, err);
	}
	if (r) {
		wait_free(w);
		return r;
	}
	*ret = w;
	return 0;
}

struct listener {
	bh_images_fn *fn;
	void *arg;
};

static int ask(struct bh_images *im, const struct subject *s, const struct listener *l,
	       struct bh_image_wait **ret, struct bh_err *err)
{
	struct bh_image_wait *w = NULL;
	struct outcome o = {0};
	int r;

	*ret = NULL;
	if (!im) {
		l->fn(BH_IMAGES_ALLOW, "", l->arg);
		return 0;
	}
	r = start_wait(im, s, &w, &o, err);
	if (r)
		return r;
	if (o.outcome >= BH_IMAGES_RETRY || is_complete(w)) {
		conclude(im, w, &o);
		wait_free(w);
		l->fn(o.outcome, o.text, l->arg);
		return 0;
	}
	w->fn = l->fn;
	w->arg = l->arg;
	w->next = im->waits;
	im->waits = w;
	*ret = w;
	return 0;
}

int bh_images_ask(struct bh_images *im, const char *ns, const char *name, bh_images_fn *fn,
		  void *arg, struct bh_image_wait **ret, struct bh_err *err)
{
	return ask(im, &(struct subject){.ns = ns, .name = name}, &(struct listener){fn, arg}, ret,
		   err);
}

int bh_images_ask_image(struct bh_images *im, const char *reference, bh_images_fn *fn, void *arg,
			struct bh_image_wait **ret, struct bh_err *err)
{
	return ask(im, &(struct subject){.image = reference}, &(struct listener){fn, arg}, ret,
		   err);
}

/* ---- opening ---- */

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
	r = bh_image_files_open(d->cfg->manifests, &im->files, err);
	if (!r)
		r = bh_image_cache_open(d->store, bh_now_s(), &im->cache, err);
	if (!r)
		r = bh_image_access_open(d->cfg, &im->access, err);
	if (!r)
		r = bh_image_batches_open(d->loop,
					  &(struct bh_image_listener){im->access, on_answer, im},
					  &im->batches, err);
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
	bh_image_batches_close(im->batches);
	bh_image_access_close(im->access);
	while (im->waits)
		bh_images_forget(im->waits);
	bh_image_cache_close(im->cache);
	bh_image_files_close(im->files);
	free(im);
}

struct bh_images_count bh_images_count(const struct bh_images *im)
{
	struct bh_images_count c = {0};

	if (!im)
		return c;
	c = im->count;
	c.verifications = bh_image_batches_count(im->batches);
	c.cached = bh_image_cache_count(im->cache);
	return c;
}

const char *bh_images_trouble(const struct bh_images *im)
{
	return im ? bh_image_files_trouble(im->files) : NULL;
}
