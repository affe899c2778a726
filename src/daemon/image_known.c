/* image_known.c - what verdicts were given: events, log, records of pods, counts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/image_batch.h"
#include "daemon/image_cache.h"
#include "daemon/image_files.h"
#include "daemon/image_glass.h"
#include "daemon/image_private.h"
#include "daemon/image_watch.h"
#include "daemon/journal.h"
#include "daemon/whose.h"
#include "event/ocsf_image.h"

#define MAX_TOLD    8192
#define MAX_RECORDS 1024 /* then those of pods that are gone are dropped */

int bh_images_refresh(struct bh_images *im, struct bh_err *err)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return bh_image_files_refresh(
		im->files, (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000, err);
}

/* ---- telling ---- */

/* Where the policy is written, "" where two of the name are. */
static void find_origin(const struct bh_images *im, const char *name, char *out, size_t size)
{
	struct bh_image_policy *const *v;
	bool has_one = false;
	size_t n;

	out[0] = '\0';
	v = bh_image_files_policies(im->files, &n);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(v[i]->name, name))
			continue;
		snprintf(out, size, "%s", has_one ? "" : v[i]->origin);
		has_one = true;
	}
}

static void blame(const struct bh_images *im, const char *policy, struct bh_images_blame *ret)
{
	bool is_exception = !strncmp(policy, "ImageException ", strlen("ImageException "));
	char *colon;

	*ret = (struct bh_images_blame){0};
	if (!*policy)
		return;
	snprintf(ret->name, sizeof(ret->name), "%s%s", is_exception ? "" : "ImagePolicy ", policy);
	ret->rule.name = ret->name;
	find_origin(im, policy, ret->file, sizeof(ret->file));
	colon = strrchr(ret->file, ':');
	if (!colon)
		return;
	*colon = '\0';
	ret->rule.file = ret->file;
	ret->rule.line = (unsigned)strtoul(colon + 1, NULL, 10);
}

void bh_images_blame(const struct bh_images *im, const struct bh_image_said *said, const char *ns,
		     const char *pod, struct bh_images_blame *ret)
{
	const json_t *row;
	size_t i;

	*ret = (struct bh_images_blame){0};
	json_array_foreach(said->rows, i, row)
	{
		if (!strcmp(bh_image_text(row, "verdict"), "accept") ||
		    !strcmp(bh_image_text(row, "mode"), bh_image_mode_text(BH_IMAGE_AUDIT)))
			continue;
		blame(im, bh_image_text(row, "policy"), ret);
		ret->finding = bh_ocsf_image_uid(ns, pod, bh_image_text(row, "image"),
						 bh_image_text(row, "digest"));
		return;
	}
}

void bh_images_blame_done(struct bh_images_blame *b)
{
	free(b->finding);
}

/* What is known of the pod, with the image in question. */
static struct bh_ocsf_pod pod_of(const struct bh_images *im, const struct bh_image_wait *w,
				 const struct bh_image_want *x, struct bh_whose *whose)
{
	const struct bh_endpoint *ep =
		w->name ? bh_endpoint_table_pod(&im->d->endpoints, w->ns, w->name) : NULL;
	const char *digest = bh_image_text(x->answer, "digest");
	struct bh_ocsf_pod pod = {.ns = w->ns, .name = w->name};

	if (ep)
		pod = bh_whose_pod(im->d, ep, whose);
	pod.image = x->reference;
	pod.image_digest = *digest ? digest : NULL;
	pod.verdict = bh_image_text(x->answer, "verdict");
	return pod;
}

static void tell_verdict(struct bh_images *im, const struct bh_image_wait *w,
			 const struct bh_image_want *x)
{
	struct bh_journal *j = im->d->journal;
	struct bh_images_blame by;
	struct bh_whose whose;
	struct bh_ocsf_image i = {
		.time_ms = bh_journal_now_ms(),
		.pod = pod_of(im, w, x, &whose),
		.reference = x->reference,
		.mode = bh_image_mode_text(x->mode),
		.answer = x->answer,
	};

	blame(im, bh_image_text(x->answer, "policy"), &by);
	i.rule = by.rule;
	bh_journal_event(j, bh_ocsf_image_verdict(bh_journal_ocsf(j), &i));
	if (!strcmp(bh_image_text(x->answer, "verdict"), "accept"))
		return;
	bh_journal_event(j, bh_ocsf_image_finding(bh_journal_ocsf(j), &i));
	bh_warn("%s: image '%s': %s: %s", w->who, x->reference, bh_image_text(x->answer, "verdict"),
		bh_image_text(x->answer, "reason"));
}

static void count_verdict(struct bh_images *im, const char *verdict)
{
	uint64_t *counts[] = {&im->count.accepted, &im->count.rejected, &im->count.undecided};
	static const char *const verdicts[] = {"accept", "reject"};
	size_t i = 0;

	while (i < BH_ARRAY_SIZE(verdicts) && strcmp(verdicts[i], verdict))
		i++;
	++*counts[i];
}

/* What runs is judged again and again; only another answer is worth telling. */
static bool is_news(struct bh_images *im, const struct bh_image_wait *w,
		    const struct bh_image_want *x)
{
	BH_CLEANUP(bh_freep) char *key = bh_strf("%s %s", w->who, x->question);
	BH_CLEANUP(bh_freep)
	char *said =
		bh_strf("%s %s %s", bh_image_text(x->answer, "verdict"),
			bh_image_text(x->answer, "reason"), bh_image_text(x->answer, "digest"));

	if (!key || !said)
		return true;
	if (bh_streq(bh_map_get_s(&im->told, key), said) && w->is_running)
		return false;
	if (im->told.count >= MAX_TOLD) {
		bh_map_done(&im->told);
		bh_map_init(&im->told, free);
	}
	if (!bh_map_set_s(&im->told, key, said))
		said = NULL;
	return true;
}

void bh_images_tell(struct bh_images *im, const struct bh_image_wait *w,
		    const struct bh_image_want *x)
{
	count_verdict(im, bh_image_text(x->answer, "verdict"));
	if (is_news(im, w, x))
		tell_verdict(im, w, x);
}

/* ---- what is known ---- */

const char *bh_images_stamp(struct bh_images *im)
{
	snprintf(im->version, sizeof(im->version), "%s+%llx", bh_image_files_version(im->files),
		 (unsigned long long)bh_image_glass_stamp(im->glass, bh_now_s()));
	return im->version;
}

const char *bh_images_version(struct bh_images *im)
{
	struct bh_err err;

	if (bh_images_refresh(im, &err))
		bh_error("%s", err.text);
	return bh_images_stamp(im);
}

static void drop_records(struct bh_images *im)
{
	struct bh_map_entry *e;
	size_t pos = 0;

	while ((e = bh_map_next(&im->records, &pos))) {
		BH_CLEANUP(bh_freep) char *ns = bh_strf("%.*s", (int)e->key_len, (char *)e->key);
		char *slash = ns ? strchr(ns, '/') : NULL;

		if (!slash)
			continue;
		*slash = '\0';
		if (!bh_endpoint_table_pod(&im->d->endpoints, ns, slash + 1))
			bh_map_del(&im->records, e->key, e->key_len);
	}
}

void bh_images_keep(struct bh_images *im, const struct bh_image_wait *w, json_t *rows)
{
	BH_CLEANUP(bh_freep) char *key = bh_strf("%s/%s", w->ns, w->name);
	json_t *record = json_pack("{s:s, s:O}", "version", bh_images_stamp(im), "rows", rows);

	if (im->records.count >= MAX_RECORDS)
		drop_records(im);
	if (!key || bh_map_set_s(&im->records, key, record))
		json_decref(record);
}

const json_t *bh_images_record(const struct bh_images *im, const char *ns, const char *name)
{
	BH_CLEANUP(bh_freep) char *key = bh_strf("%s/%s", ns, name);

	return key ? bh_map_get_s(&im->records, key) : NULL;
}

void bh_images_changed(struct bh_images *im)
{
	if (im)
		bh_image_watch_changed(im->watch);
}

void bh_images_nudge(struct bh_images *im)
{
	if (im)
		bh_image_watch_nudge(im->watch);
}

void bh_images_expect(struct bh_images *im)
{
	if (im)
		bh_image_watch_expect(im->watch);
}

static int rank(const char *verdict)
{
	return !strcmp(verdict, "reject") ? 2 : !strcmp(verdict, "undecided");
}

bool bh_images_container(const struct bh_images *im, const char *id,
			 struct bh_images_container *ret)
{
	return bh_image_watch_container(im->watch, id, ret);
}

struct asking {
	const char *image;
	struct bh_images_about *ret;
};

static void add_verdict(const char *image, const json_t *row, void *arg)
{
	struct asking *a = arg;
	const char *verdict = bh_image_text(row, "verdict"), *digest = bh_image_text(row, "digest");

	if (*verdict && (!a->ret->verdict || rank(verdict) > rank(a->ret->verdict)))
		a->ret->verdict = verdict;
	if (*digest && !a->ret->digest && !strcmp(image, a->image))
		a->ret->digest = digest;
}

void bh_images_about(const struct bh_images *im, const char *ns, const char *name,
		     const char *image, struct bh_images_about *ret)
{
	struct asking a = {image, ret};
	const json_t *row;
	size_t i;

	*ret = (struct bh_images_about){0};
	if (!im || bh_image_watch_each(im->watch, ns, name, add_verdict, &a))
		return;
	json_array_foreach(json_object_get(bh_images_record(im, ns, name), "rows"), i, row)
		add_verdict(bh_image_text(row, "image"), row, &a);
}

json_t *bh_images_of_pod(const struct bh_images *im, const char *ns, const char *name,
			 const char **ret_worst)
{
	json_t *rows = im ? bh_image_watch_pod(im->watch, ns, name) : json_array();
	const json_t *record = im ? bh_images_record(im, ns, name) : NULL, *row;
	size_t i;

	*ret_worst = NULL;
	if (im && !json_array_size(rows)) {
		json_decref(rows);
		rows = json_deep_copy(json_object_get(record, "rows"));
		rows = rows ? rows : json_array();
	}
	json_array_foreach(rows, i, row)
	{
		const char *verdict = bh_image_text(row, "verdict");

		json_object_del((json_t *)(uintptr_t)row, "contents");
		if (*verdict && (!*ret_worst || rank(verdict) > rank(*ret_worst)))
			*ret_worst = verdict;
	}
	return rows;
}

json_t *bh_images_status(const struct bh_images *im)
{
	return im ? json_pack("{s:s, s:o}", "mode",
			      im->d->cfg->images_mode == BH_IMAGES_AUDIT ? "audit" : "enforce",
			      "runtime", bh_image_watch_status(im->watch))
		  : NULL;
}

json_t *bh_images_exceptions(const struct bh_images *im)
{
	return im ? bh_image_glass_rows(im->glass, bh_now_s()) : json_array();
}

char *const *bh_images_pod_images(const struct bh_images *im, const char *ns, const char *name,
				  size_t *ret_n)
{
	return bh_image_files_pod(im->files, &(struct bh_image_who){ns, name, NULL}, ret_n);
}

struct bh_images_count bh_images_count(const struct bh_images *im)
{
	struct bh_images_count c = {0};

	if (!im)
		return c;
	c = im->count;
	c.verifications = bh_image_batches_count(im->batches);
	c.cached = bh_image_cache_count(im->cache);
	bh_image_watch_count(im->watch, &c);
	return c;
}

const char *bh_images_trouble(const struct bh_images *im)
{
	const char *why = im ? bh_image_files_trouble(im->files) : NULL;

	return why || !im ? why : bh_image_watch_trouble(im->watch);
}
