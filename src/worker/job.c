#include "worker/job.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "http/client.h"
#include "policy/image_bundle.h"
#include "policy/mirrors.h"
#include "registry/source.h"
#include "verify/verify.h"

#define MAX_STORES (BH_STORE_MAX_LAYOUTS + 1)

/* What all images of one question share. */
struct job {
	struct bh_image_policies policies;
	struct bh_creds *creds;
	BH_VEC(struct bh_mirror) mirrors;
	const char *layout;
	int64_t now_s, deadline_ms;
	int64_t clock_min_s; /* a clock that says less is wrong; 0: the time is somebody's word */
	uint64_t end_ms;
};

/* One image on its way through the policies. */
struct image {
	const struct job *job;
	const char *reference, *ns;
	const json_t *names; /* of the policies to pass; NULL: by match */
	struct bh_image_ref ref;
	char *pinned; /* "registry/repository@digest" of the first policy's look */
	json_t *checks, *contents;
	struct bh_image_verdict worst;
	const char *policy; /* whose verdict that is */
	unsigned n_policies;
};

/* ---- one policy ---- */

struct world {
	struct bh_registry *registry;
	struct bh_fetcher *image, *upstream, *signatures; /* the last two may be NULL */
	struct bh_layouts layouts;
	const struct bh_image_source *stores[MAX_STORES];
	size_t n_stores;
};

static void world_close(struct world *w)
{
	bh_layouts_close(&w->layouts);
	bh_fetcher_free(w->image);
	bh_fetcher_free(w->upstream);
	bh_fetcher_free(w->signatures);
	bh_registry_close(w->registry);
}

static bool has_mirrors(const struct image *im)
{
	for (size_t i = 0; i < im->job->mirrors.n; i++) {
		const struct bh_mirror *m = &im->job->mirrors.v[i];

		if (bh_mirror_is_about(m, im->ref.registry, im->ref.repository) && !m->is_server &&
		    !m->refusal)
			return true;
	}
	return false;
}

static int open_registry(const struct image *im, const struct bh_image_policy *p, struct world *w,
			 struct bh_err *err)
{
	struct bh_registry_options opt = {
		.creds = im->job->creds,
		.insecure = p->insecure_registries.v,
		.n_insecure = p->insecure_registries.n,
		.mirrors = im->job->mirrors.v,
		.n_mirrors = im->job->mirrors.n,
		.deadline_ms = im->job->end_ms,
	};
	struct bh_fetch_place place = {.skips_mirrors = false};
	int r = bh_registry_open(&opt, &w->registry, err);

	place.registry = w->registry;
	if (!r)
		r = bh_fetcher_registry(&place, &im->ref, &w->image, err);
	place.skips_mirrors = true;
	return r || !has_mirrors(im) ? r : bh_fetcher_registry(&place, &im->ref, &w->upstream, err);
}

/* The layouts of the store, then the repository that only holds signatures. */
static int open_stores(const struct image *im, const struct bh_image_policy *p, struct world *w,
		       struct bh_err *err)
{
	struct bh_fetch_place place = {.registry = w->registry};
	struct bh_image_ref ref;
	int r = 0;

	if (p->signature_store)
		r = bh_layouts_open(p->signature_store, &im->ref, &w->layouts, err);
	for (size_t i = 0; !r && i < w->layouts.n; i++)
		w->stores[w->n_stores++] = w->layouts.sources[i];
	if (r || !p->signature_repository || !w->registry)
		return r;
	r = bh_image_ref_parse(p->signature_repository, &ref, err);
	if (!r)
		r = bh_fetcher_registry(&place, &ref, &w->signatures, err);
	if (!r)
		w->stores[w->n_stores++] = bh_fetcher_source(w->signatures);
	return r;
}

static int world_open(const struct image *im, const struct bh_image_policy *p, struct world *w,
		      struct bh_err *err)
{
	int r = im->job->layout ? bh_fetcher_layout(im->job->layout, &im->ref, &w->image, err)
				: open_registry(im, p, w, err);

	return r ? r : open_stores(im, p, w, err);
}

/* A verdict that no signature had a part in. */
static void simple_verdict(struct bh_image_verdict *v, enum bh_image_answer answer,
			   enum bh_image_word word, const char *text)
{
	struct bh_image_check c = {.name = strdup("image"), .detail = strdup(text)};

	*v = (struct bh_image_verdict){.answer = answer, .word = word, .until_s = BH_TIME_MAX};
	if (c.name && c.detail && !bh_vec_push(&v->checks, c))
		return;
	free(c.name);
	free(c.detail);
}

static void judge(struct image *im, const struct bh_image_policy *p, struct bh_image_verdict *ret)
{
	BH_CLEANUP(bh_image_rules_freep) struct bh_image_rules *rules = NULL;
	struct bh_image_query q = {
		.reference = im->pinned ? im->pinned : im->reference,
		.now_s = im->job->now_s,
	};
	struct world w = {0};
	struct bh_err err;

	if (im->job->now_s < im->job->clock_min_s) {
		simple_verdict(
			ret, BH_IMAGE_UNDECIDED, BH_WORD_CLOCK,
			"the clock is before the time when this program was built, so whether "
			"a key or certificate is valid cannot be told");
		return;
	}
	if (p->require_digest && !*im->ref.digest) {
		simple_verdict(ret, BH_IMAGE_REJECT, BH_WORD_REFERENCE,
			       "the policy demands a reference with a digest");
		return;
	}
	if (bh_image_rules_new(p, &rules, &err) || world_open(im, p, &w, &err)) {
		simple_verdict(ret, BH_IMAGE_UNDECIDED, BH_WORD_INTERNAL, err.text);
	} else {
		q.image = bh_fetcher_source(w.image);
		q.upstream = w.upstream ? bh_fetcher_source(w.upstream) : NULL;
		q.stores = w.stores;
		q.n_stores = w.n_stores;
		bh_image_verify(rules, &q, ret);
	}
	world_close(&w);
}

/* ---- all of them ---- */

static int add_checks(json_t *to, const struct bh_image_verdict *v)
{
	for (size_t i = 0; i < v->checks.n; i++) {
		const struct bh_image_check *c = &v->checks.v[i];

		if (json_array_append_new(to, json_pack("{s:s, s:b, s:s}", "name", c->name, "ok",
							c->ok, "detail", c->detail)))
			return -ENOMEM;
	}
	return 0;
}

/* A refusal outweighs ignorance, and both outweigh a yes. */
static int weight(enum bh_image_answer a)
{
	return a == BH_IMAGE_REJECT ? 2 : a == BH_IMAGE_UNDECIDED;
}

/* The first policy has resolved the tag; the others judge what it judged. */
static int pin(struct image *im, const char *digest)
{
	if (im->pinned || !*digest)
		return 0;
	im->pinned = bh_strf("%s/%s@%s", im->ref.registry, im->ref.repository, digest);
	return im->pinned ? 0 : -ENOMEM;
}

static int take_verdict(struct image *im, const struct bh_image_policy *p,
			struct bh_image_verdict *take)
{
	bool is_worse = !im->n_policies || weight(take->answer) > weight(im->worst.answer);
	int64_t until_s = im->worst.until_s;
	int r = add_checks(im->checks, take);

	if (!r)
		r = pin(im, take->digest);
	if (!im->contents)
		im->contents = json_incref(take->contents);
	if (is_worse) {
		struct bh_image_verdict old = im->worst;

		im->worst = *take;
		*take = old;
		im->policy = p->name;
	} else if (take->until_s < until_s) {
		until_s = take->until_s;
	}
	if (im->n_policies++ && until_s < im->worst.until_s)
		im->worst.until_s = until_s;
	bh_image_verdict_done(take);
	return r;
}

static bool is_named(const struct image *im, const char *name)
{
	for (size_t i = 0; i < json_array_size(im->names); i++) {
		if (bh_streq(json_string_value(json_array_get(im->names, i)), name))
			return true;
	}
	return false;
}

static int judge_all(struct image *im)
{
	for (size_t i = 0; i < im->job->policies.n; i++) {
		const struct bh_image_policy *p = im->job->policies.v[i];
		bool applies = im->names ? is_named(im, p->name) || is_named(im, p->origin)
					 : bh_image_policy_applies(p, im->ns, &im->ref);
		struct bh_image_verdict v = {0};

		if (!applies)
			continue;
		judge(im, p, &v);
		if (take_verdict(im, p, &v))
			return -ENOMEM;
	}
	return 0;
}

static json_t *answer_of(const struct image *im)
{
	static const char *const words[] = {[BH_IMAGE_ACCEPT] = "accept",
					    [BH_IMAGE_REJECT] = "reject",
					    [BH_IMAGE_UNDECIDED] = "undecided"};
	const struct bh_image_verdict *v = &im->worst;
	json_t *until = v->until_s == BH_TIME_MAX ? json_null() : json_integer(v->until_s);

	return json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s, s:o, s:O, s:O?}", "reference",
			 im->reference, "digest", v->digest, "verdict", words[v->answer], "policy",
			 im->policy, "signer", v->signer, "reason",
			 im->n_policies ? bh_image_word_text(v->word) : "no-policy", "until", until,
			 "checks", im->checks, "contents", im->contents);
}

static int judge_image(struct image *im, json_t **ret)
{
	struct bh_err err;
	int r = 0;

	if (bh_image_ref_parse(im->reference, &im->ref, &err)) {
		simple_verdict(&im->worst, BH_IMAGE_REJECT, BH_WORD_REFERENCE, err.text);
		im->n_policies = 1;
	} else {
		r = judge_all(im);
	}
	if (!im->n_policies)
		simple_verdict(&im->worst, BH_IMAGE_REJECT, BH_WORD_OK,
			       "no policy is about this image");
	if (!im->policy)
		r = add_checks(im->checks, &im->worst);
	if (!r)
		*ret = answer_of(im);
	bh_image_verdict_done(&im->worst);
	free(im->pinned);
	json_decref(im->contents);
	return r || !*ret ? -ENOMEM : 0;
}

/* ---- the question ---- */

/* Texts are borrowed from the question, which outlives the job. */
static int read_mirror_texts(const json_t *j, struct bh_mirror *m, struct bh_err *err)
{
	bool is_refused = json_object_get(j, "refusal");
	const struct {
		const char *key;
		bool is_needed;
		const char **to;
	} rows[] = {{"of", true, &m->of},
		    {"base", !is_refused, &m->base},
		    {"repository", !is_refused, &m->repository},
		    {"ns", false, &m->ns},
		    {"refusal", false, &m->refusal},
		    {"caPem", false, &m->ca_pem},
		    {"certPem", false, &m->cert_pem},
		    {"keyPem", false, &m->key_pem}};

	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		int r = bh_json_get_str(j, rows[i].key, rows[i].is_needed, rows[i].to, err);

		if (r)
			return r;
	}
	if (!is_refused && !strstr(m->base, "//"))
		return bh_fail(err, EINVAL, "mirror '%.200s' is no address", m->base);
	return 0;
}

static int read_mirror(const json_t *j, struct bh_mirror *ret, struct bh_err *err)
{
	const struct {
		const char *key;
		bool *to;
	} flags[] = {{"tags", &ret->has_tags},
		     {"digests", &ret->has_digests},
		     {"isServer", &ret->is_server},
		     {"isBroken", &ret->is_broken}};
	json_t *headers = NULL;
	char **list;
	int r = read_mirror_texts(j, ret, err);

	for (size_t i = 0; !r && i < BH_ARRAY_SIZE(flags); i++)
		r = bh_json_get_bool(j, flags[i].key, false, flags[i].to, err);
	if (!r)
		r = bh_json_get_arr(j, "headers", false, &headers, err);
	if (r || !json_array_size(headers))
		return r;
	list = calloc(json_array_size(headers) + 1, sizeof(*list));
	if (!list)
		return bh_fail(err, ENOMEM, "mirrors");
	for (size_t i = 0; i < json_array_size(headers); i++)
		list[i] = (char *)(uintptr_t)json_string_value(json_array_get(headers, i));
	ret->headers = list;
	return 0;
}

static int read_mirrors(const json_t *j, struct job *job, struct bh_err *err)
{
	json_t *list = NULL;
	int r = bh_json_get_arr(j, "mirrors", false, &list, err);

	if (!r && json_array_size(list) > BH_MIRRORS_MAX)
		r = bh_fail(err, E2BIG, "more than %d mirrors", BH_MIRRORS_MAX);
	for (size_t i = 0; !r && i < json_array_size(list); i++) {
		struct bh_mirror m = {.of = NULL};

		r = read_mirror(json_array_get(list, i), &m, err);
		if (!r && bh_vec_push(&job->mirrors, m)) {
			free((void *)(uintptr_t)m.headers);
			r = bh_fail(err, ENOMEM, "mirrors");
		}
	}
	return r;
}

static int read_credentials(const json_t *j, struct job *job, struct bh_err *err)
{
	json_t *list = NULL;
	int r = bh_json_get_arr(j, "credentials", false, &list, err);

	if (!r && list)
		r = bh_creds_new(&job->creds, err);
	for (size_t i = 0; !r && i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));

		r = text ? bh_creds_add(job->creds, text, strlen(text), err)
			 : bh_fail(err, EINVAL, "'credentials': expected strings");
	}
	return r;
}

static int read_job(const json_t *j, struct job *job, struct bh_err *err)
{
	json_t *bundle = NULL;
	int r = bh_json_get_int(j, "now", true, 0, INT64_MAX, &job->now_s, err);

	if (!r)
		r = bh_json_get_int(j, "clockMin", false, 0, INT64_MAX, &job->clock_min_s, err);
	if (!r)
		r = bh_json_get_int(j, "deadlineMs", false, 1, 600000, &job->deadline_ms, err);
	if (!r)
		r = bh_json_get_str(j, "layout", false, &job->layout, err);
	if (!r)
		r = bh_json_get_obj(j, "policies", true, &bundle, err);
	if (!r)
		r = bh_image_bundle_open(bundle, &job->policies, err);
	if (!r)
		r = read_credentials(j, job, err);
	return r ? r : read_mirrors(j, job, err);
}

static int run_image(const json_t *j, const struct job *job,
		     int (*emit)(json_t *take_answer, void *arg), void *arg, struct bh_err *err)
{
	struct image im = {.job = job, .checks = json_array()};
	json_t *answer = NULL, *names = NULL;
	int r = bh_json_get_str(j, "reference", true, &im.reference, err);

	if (!r)
		r = bh_json_get_str(j, "namespace", false, &im.ns, err);
	if (!r)
		r = bh_json_get_arr(j, "policies", false, &names, err);
	im.names = names;
	if (!r && (!im.checks || judge_image(&im, &answer)))
		r = bh_fail(err, ENOMEM, "verdict about '%s'", im.reference);
	json_decref(im.checks);
	return r ? r : emit(answer, arg);
}

int bh_job_run(const json_t *j, int (*emit)(json_t *take_answer, void *arg), void *arg,
	       struct bh_err *err)
{
	struct job job = {.deadline_ms = BH_JOB_DEADLINE_MS};
	json_t *images = NULL;
	int r = bh_json_get_arr(j, "images", true, &images, err);

	if (!r && json_array_size(images) > BH_JOB_MAX_IMAGES)
		r = bh_fail(err, E2BIG, "more than %d images", BH_JOB_MAX_IMAGES);
	if (!r)
		r = read_job(j, &job, err);
	job.end_ms = bh_http_now_ms() + (uint64_t)job.deadline_ms;
	for (size_t i = 0; !r && i < json_array_size(images); i++)
		r = run_image(json_array_get(images, i), &job, emit, arg, err);
	bh_image_policies_done(&job.policies);
	bh_creds_free(job.creds);
	bh_vec_each (m, &job.mirrors)
		free((void *)(uintptr_t)m->headers);
	bh_vec_done(&job.mirrors);
	return r;
}
