#include "daemon/image_thing.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/image_same.h"
#include "daemon/image_want.h"
#include "daemon/isolate.h"
#include "daemon/journal.h"
#include "event/ocsf.h"

#define RETRY_S 10 /* until what could not be judged is tried again */

/* ---- by pod ---- */

#define POD_KEY 600 /* longer ones than Kubernetes has may share a list */

static struct bh_image_thing *first_of(const struct bh_image_things *all, const char *ns,
				       const char *pod)
{
	char key[POD_KEY];

	snprintf(key, sizeof(key), "%s/%s", ns, pod);
	return bh_map_get_s(&all->by_pod, key);
}

const struct bh_image_thing *bh_image_things_of(const struct bh_image_things *all, const char *ns,
						const char *pod)
{
	return first_of(all, ns, pod);
}

static int set_first(struct bh_image_thing *t, struct bh_image_thing *first)
{
	char key[POD_KEY];

	snprintf(key, sizeof(key), "%s/%s", t->ns, t->pod);
	if (first)
		return bh_map_set_s(&t->all->by_pod, key, first);
	bh_map_del_s(&t->all->by_pod, key);
	return 0;
}

/* Behind the first one, which stays in the map. */
int bh_image_thing_list(struct bh_image_thing *t)
{
	struct bh_image_thing *first = first_of(t->all, t->ns, t->pod);

	if (!first)
		return set_first(t, t);
	t->prev = first;
	t->next = first->next;
	if (first->next)
		first->next->prev = t;
	first->next = t;
	return 0;
}

/* Needs no memory: the map has the key. */
static void unlist(struct bh_image_thing *t)
{
	if (!t->ns || !t->pod)
		return;
	if (t->next)
		t->next->prev = t->prev;
	if (t->prev)
		t->prev->next = t->next;
	else if (first_of(t->all, t->ns, t->pod) == t)
		set_first(t, t->next);
}

void bh_image_thing_free(void *v)
{
	struct bh_image_thing *t = v;

	unlist(t);
	bh_images_forget(t->wait);
	free(t->ns);
	free(t->pod);
	free(t->container);
	free(t->image);
	free(t->id);
	free(t->uid);
	free(t->version);
	json_decref(t->digests);
	json_decref(t->verdict);
	free(t);
}

/* ---- what follows ---- */

static struct bh_caller self(void)
{
	return (struct bh_caller){.pid = getpid(), .uid = 0, .exe = "bulkheadd"};
}

static void cut(struct bh_image_thing *t, const struct bh_image_said *said)
{
	struct bh_daemon *d = t->all->d;
	struct bh_isolate_request rq = {.ns = t->ns,
					.name = t->pod,
					.uid = t->uid,
					.reason = said->text,
					.is_doubt = said->is_doubt};
	bool is_cut = bh_isolation_has(d->isolation, t->ns, t->pod);
	struct bh_caller by = self();
	BH_CLEANUP(bh_images_blame_done) struct bh_images_blame blame = {0};
	struct bh_err err = {0};

	if (!bh_isolation_may_cut(d->isolation, t->ns, t->pod, said->is_doubt)) {
		bh_isolation_follow(d->isolation, t->ns, t->pod, t->uid);
		return;
	}
	bh_images_blame(t->all->im, said, t->ns, t->pod, &blame);
	rq.rule = &blame.rule;
	rq.finding = blame.finding;
	if (bh_isolate_now(d->isolation, &rq, &by, &err) < 0)
		bh_error("pod '%s/%s' runs what it must not, and cannot be cut off: %s: %s", t->ns,
			 t->pod, said->text, err.text);
	else
		t->all->cut_pods += !is_cut;
}

/* Cut off for a doubt, and nobody has said anything firmer since. */
static bool is_in_doubt(const struct bh_image_thing *t)
{
	const struct bh_isolation *q = t->all->d->isolation;

	return bh_isolation_has(q, t->ns, t->pod) && bh_isolation_may_cut(q, t->ns, t->pod, false);
}

static void release(const struct bh_image_thing *t)
{
	struct bh_caller by = self();
	json_t *receipt = NULL;
	struct bh_err err;

	if (!bh_isolation_release(t->all->d->isolation, t->ns, t->pod,
				  "its images could be judged and are accepted", &by, &receipt,
				  &err))
		json_decref(receipt);
}

static int ask(struct bh_image_thing *t, const char *image,
	       void (*fn)(const struct bh_image_said *, void *));

/* Also about what the pod has not started yet. */
static void on_whole(const struct bh_image_said *said, void *arg)
{
	struct bh_image_thing *t = arg;

	t->wait = NULL;
	if (said->outcome != BH_IMAGES_ALLOW)
		t->retry_s = bh_uptime_s() + RETRY_S;
	else if (is_in_doubt(t))
		release(t);
}

/* It is accepted. Where the pod was cut off for a doubt, by this daemon or the one before it, and
 * this was the last of its images, the doubt is gone. */
static void give_back(struct bh_image_thing *t)
{
	struct bh_map_entry *e;
	size_t pos = 0, n = 0;

	if (!is_in_doubt(t))
		return;
	while ((e = bh_map_next(&t->all->by_key, &pos))) {
		const struct bh_image_thing *other = e->value;

		if (!other->was_good && !strcmp(other->ns, t->ns) && !strcmp(other->pod, t->pod))
			return;
	}
	if (bh_images_pod_images(t->all->im, t->ns, t->pod, &n))
		ask(t, NULL, on_whole);
	else
		release(t);
}

static void finish(struct bh_image_thing *t, const struct bh_image_said *said)
{
	t->retry_s = 0;
	if (said->outcome == BH_IMAGES_ALLOW) {
		t->was_good = true;
		give_back(t);
		return;
	}
	if (said->is_doubt)
		t->retry_s = bh_uptime_s() + RETRY_S;
	/* what ran with a verdict goes on while nobody can give another */
	if (said->outcome == BH_IMAGES_RETRY && t->was_good)
		return;
	t->was_good &= !said->is_doubt;
	cut(t, said);
}

/* ---- comparing ---- */

static struct bh_image_real real_of(const struct bh_image_thing *t)
{
	return (struct bh_image_real){.image = t->image, .id = t->id, .digests = t->digests};
}

static const json_t *worst_row(const json_t *rows)
{
	const json_t *row, *worst = NULL;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (!worst || !strcmp(bh_image_text(worst, "verdict"), "accept"))
			worst = row;
	}
	return worst;
}

static void keep_verdict(struct bh_image_thing *t, const json_t *rows)
{
	const json_t *row = worst_row(rows);

	json_decref(t->verdict);
	t->verdict = row ? json_copy((json_t *)(uintptr_t)row) : NULL;
	json_object_del(t->verdict, "contents");
}

/* true when every row is about what runs. */
static bool is_about(const struct bh_image_thing *t, const json_t *rows)
{
	struct bh_image_real real = real_of(t);
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (!bh_image_is_same(row, &real))
			return false;
	}
	return true;
}

static bool has_reason(const json_t *rows, const char *reason)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (!strcmp(bh_image_text(row, "reason"), reason))
			return true;
	}
	return false;
}

static void tell_mismatch(struct bh_image_thing *t, const char *reference, const char *judged)
{
	struct bh_journal *j = t->all->d->journal;
	BH_CLEANUP(bh_freep)
	char *text =
		bh_strf("pod '%s/%s', container '%s': image '%s' was judged as %s, what runs "
			"is %s (%s)",
			t->ns, t->pod, t->container, t->image, *judged ? judged : "nothing",
			reference ? reference : "of no known digest", t->id);
	struct bh_ocsf_config c = {
		.time_ms = bh_journal_now_ms(),
		.change = BH_CHANGE_CHANGED,
		.object = "image mismatch",
		.text = text,
		.pod = {.ns = t->ns,
			.name = t->pod,
			.uid = t->uid,
			.container = t->container,
			.image = t->image},
	};

	t->is_told = true;
	t->all->mismatches++;
	bh_journal_event(j, bh_ocsf_config(bh_journal_ocsf(j), &c));
	bh_warn("%s", text ? text : "an image is not the one that was judged");
}

static int ask(struct bh_image_thing *t, const char *image,
	       void (*fn)(const struct bh_image_said *, void *))
{
	struct bh_image_subject s = {
		.ns = t->ns, .name = t->pod, .image = image, .is_running = true};
	struct bh_images_listener l = {fn, t};
	struct bh_image_wait *wait = NULL;
	struct bh_err err = {0};
	int r = bh_images_ask(t->all->im, &s, &l, &wait, &err);

	if (r) {
		bh_error("pod '%s/%s': %s", t->ns, t->pod, err.text);
		t->retry_s = bh_uptime_s() + RETRY_S;
	}
	if (wait)
		t->wait = wait;
	return r;
}

/* What runs is nothing that a registry can be asked about. */
static void judge_unknown(struct bh_image_thing *t, const struct bh_image_said *said)
{
	char text[512];
	bool is_audit = true;
	const json_t *row;
	size_t i;

	json_array_foreach(said->rows, i, row) is_audit &=
		!strcmp(bh_image_text(row, "mode"), "audit");
	snprintf(
		text, sizeof(text),
		"container '%.64s': the image that runs is not the one judged as '%.256s', and the "
		"runtime knows no digest of it",
		t->container, t->image);
	keep_verdict(t, said->rows);
	if (t->verdict) {
		json_object_set_new(t->verdict, "verdict", json_string("reject"));
		json_object_set_new(t->verdict, "reason", json_string("runtime-mismatch"));
		json_object_set_new(t->verdict, "detail", json_string(text));
	}
	if (t->all->d->cfg->images_mode == BH_IMAGES_AUDIT)
		is_audit = true;
	finish(t, &(struct bh_image_said){
			  .outcome = is_audit ? BH_IMAGES_ALLOW : BH_IMAGES_REFUSE,
			  .text = text,
		  });
}

/* A digest that is accepted must also have the configuration that runs. */
static void on_real(const struct bh_image_said *said, void *arg)
{
	struct bh_image_thing *t = arg;

	t->wait = NULL;
	if (said->outcome == BH_IMAGES_ALLOW && !is_about(t, said->rows)) {
		judge_unknown(t, said);
		return;
	}
	keep_verdict(t, said->rows);
	finish(t, said);
}

static void on_wanted(const struct bh_image_said *said, void *arg)
{
	struct bh_image_thing *t = arg;
	struct bh_image_real real = real_of(t);
	BH_CLEANUP(bh_freep) char *reference = NULL;
	const char *judged = bh_image_text(worst_row(said->rows), "digest");

	t->wait = NULL;
	/* a reference that a policy does not take is that, whatever it led to */
	if (is_about(t, said->rows) || has_reason(said->rows, "reference") ||
	    (t->is_guess && !json_array_size(t->digests))) {
		keep_verdict(t, said->rows);
		finish(t, said);
		return;
	}
	reference = bh_image_real_reference(&real);
	if (*judged && !t->is_guess && !t->is_told)
		tell_mismatch(t, reference, judged);
	if (reference)
		ask(t, reference, on_real);
	else
		judge_unknown(t, said);
}

/* What was accepted when the pod was added, by the same policies, and is what runs: nobody has to
 * be asked again, also when the tag leads elsewhere by now. */
static bool was_judged(struct bh_image_thing *t)
{
	const json_t *record = bh_images_record(t->all->im, t->ns, t->pod), *row;
	struct bh_image_real real = real_of(t);
	BH_CLEANUP(bh_json_decrefp) json_t *rows = json_array();
	size_t i;

	if (!record || strcmp(bh_image_text(record, "version"), t->all->version))
		return false;
	json_array_foreach(json_object_get(record, "rows"), i, row)
	{
		if (strcmp(bh_image_text(row, "image"), t->image))
			continue;
		if (strcmp(bh_image_text(row, "verdict"), "accept") ||
		    !bh_image_is_same(row, &real))
			return false;
		json_array_append(rows, (json_t *)(uintptr_t)row);
	}
	if (!json_array_size(rows))
		return false;
	keep_verdict(t, rows);
	return true;
}

void bh_image_thing_judge(struct bh_image_thing *t)
{
	struct bh_image_real real = real_of(t);
	BH_CLEANUP(bh_freep) char *reference = NULL;

	free(t->version);
	t->version = strdup(t->all->version);
	if (was_judged(t)) {
		finish(t, &(struct bh_image_said){.outcome = BH_IMAGES_ALLOW, .text = ""});
		return;
	}
	if (*t->image) {
		ask(t, t->image, on_wanted);
		return;
	}
	reference = bh_image_real_reference(&real);
	/* of an image without name and digest nothing can be asked, but whether that may be */
	ask(t, reference ? reference : "", on_real);
}
