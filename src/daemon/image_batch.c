#include "daemon/image_batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/map.h"
#include "ctl/batch.h"
#include "verify/ref.h"
#include "bulkhead_version.h"

/* A registry that hangs keeps its workers until their deadline. It must not have all of them, and
 * one that did so lately gets one until it is better. */
#define MAX_WORKERS  32
#define MAX_PER_HOST 4
#define SLOW_MS	     4000
#define DEADLINE_MS  8000
#define SLACK_MS     1000 /* a worker that is not through by then is ended */

/* A registry that workers are busy with, or that was slow the last time. */
struct host {
	unsigned n_batches, n_workers;
	bool is_slow;
};

struct batch {
	struct bh_image_batches *all;
	struct batch *next;
	struct host *host;
	char *host_name;
	uint64_t started_ms;
	json_t *job;	   /* until it is sent */
	json_t *questions; /* in the order of the answers */
	size_t n_answered;
	struct bh_batch *worker; /* NULL: waits for its turn */
	struct bh_source *io, *deadline;
	struct bh_err failure; /* why it could not be started */
};

struct bh_image_batches {
	struct bh_loop *loop;
	struct bh_image_listener to;
	struct batch *first; /* in the order of asking */
	struct bh_map open;  /* questions on their way; values are not used */
	struct bh_map hosts; /* by name */
	unsigned n_workers;
	uint64_t n_questions;
};

static uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void leave_host(struct batch *t)
{
	if (t->worker) {
		t->all->n_workers--;
		t->host->n_workers--;
		t->host->is_slow = clock_ms() - t->started_ms >= SLOW_MS;
	}
	if (!--t->host->n_batches && !t->host->is_slow)
		bh_map_del_s(&t->all->hosts, t->host_name);
}

static void batch_free(struct batch *t)
{
	struct batch **at;

	for (at = &t->all->first; *at && *at != t; at = &(*at)->next)
		continue;
	if (*at)
		*at = t->next;
	if (t->host)
		leave_host(t);
	free(t->host_name);
	bh_source_free(t->io);
	bh_source_free(t->deadline);
	bh_batch_end(t->worker);
	json_decref(t->job);
	json_decref(t->questions);
	free(t);
}

static void give(struct batch *t, const json_t *answer)
{
	const char *question = json_string_value(json_array_get(t->questions, t->n_answered++));

	bh_map_del_s(&t->all->open, question);
	t->all->to.fn(question, answer, t->all->to.arg);
}

static void start_next(struct bh_image_batches *b);

/* Whatever the worker did not get to is undecided. */
static void end(struct batch *t, const struct bh_err *err)
{
	struct bh_image_batches *b = t->all;

	while (t->n_answered < json_array_size(t->questions)) {
		json_t *none = json_pack("{s:s, s:s, s:s, s:n, s:[{s:s, s:b, s:s}]}", "digest", "",
					 "verdict", "undecided", "reason",
					 err->code == -ETIMEDOUT ? "timeout" : "internal", "until",
					 "checks", "name", "worker", "ok", 0, "detail", err->text);

		give(t, none);
		json_decref(none);
	}
	batch_free(t);
	start_next(b);
}

static void on_deadline(void *arg)
{
	struct bh_err err = {0};

	bh_fail(&err, ETIMEDOUT, "the worker did not judge in time");
	end(arg, &err);
}

static void on_io(int fd, unsigned events, void *arg)
{
	struct batch *t = arg;
	struct bh_err err = {0};

	(void)fd;
	(void)events;
	while (t->n_answered < json_array_size(t->questions)) {
		BH_CLEANUP(bh_json_decrefp) json_t *answer = NULL;
		int r = bh_batch_step(t->worker, &answer, &err);

		if (r < 0)
			break;
		if (!r) {
			bh_source_set(t->io, BH_LOOP_READ | (bh_batch_wants_write(t->worker)
								     ? BH_LOOP_WRITE
								     : 0));
			return;
		}
		give(t, answer);
	}
	end(t, &err);
}

static int start(struct batch *t, struct bh_err *err)
{
	static const struct bh_batch_options opt = {.mode = "image"};
	struct bh_loop *loop = t->all->loop;
	int r = bh_image_access_add(t->all->to.access, t->job, err);

	if (!r)
		r = bh_batch_start(&opt, t->job, &t->worker, err);
	bh_image_access_forget(t->job);
	if (r)
		return r;
	t->all->n_workers++;
	t->host->n_workers++;
	t->started_ms = clock_ms();
	json_decref(t->job);
	t->job = NULL;
	r = bh_loop_fd(loop, bh_batch_fd(t->worker), BH_LOOP_READ | BH_LOOP_WRITE, on_io, t, &t->io,
		       err);
	if (!r)
		r = bh_loop_timer(loop, DEADLINE_MS + SLACK_MS, 0, on_deadline, t, &t->deadline,
				  err);
	return r;
}

/* From the loop, so that nobody is answered while still asking. */
static void on_failed_start(void *arg)
{
	struct batch *t = arg;
	struct bh_err why = t->failure;

	bh_note(&why, why.code, "the worker could not be started");
	end(t, &why);
}

static bool may_start(const struct batch *t)
{
	if (t->worker || t->deadline)
		return false;
	return t->host->n_workers < (t->host->is_slow ? 1u : MAX_PER_HOST);
}

static void start_next(struct bh_image_batches *b)
{
	struct bh_err ignored;

	for (struct batch *t = b->first; t && b->n_workers < MAX_WORKERS; t = t->next) {
		if (may_start(t) && start(t, &t->failure) && !t->deadline)
			bh_loop_timer(b->loop, 0, 0, on_failed_start, t, &t->deadline, &ignored);
	}
}

/* {"images","questions"} of the registry that the reference is in; NULL without memory. */
static json_t *list_for(struct bh_image_asked *a, const char *reference)
{
	struct bh_image_ref ref;
	struct bh_err err;
	json_t *list;

	if (bh_image_ref_parse(reference, &ref, &err))
		ref.registry[0] = '\0';
	if (!a->hosts)
		a->hosts = json_object();
	list = json_object_get(a->hosts, ref.registry);
	if (!list && !json_object_set_new(a->hosts, ref.registry,
					  json_pack("{s:[], s:[]}", "images", "questions")))
		list = json_object_get(a->hosts, ref.registry);
	return list;
}

int bh_image_batches_add(struct bh_image_batches *b, struct bh_image_asked *a, const char *question,
			 const char *reference, json_t *names)
{
	static char is_open;
	json_t *list;

	if (bh_map_get_s(&b->open, question))
		return 0;
	list = list_for(a, reference);
	if (!list ||
	    json_array_append_new(json_object_get(list, "questions"), json_string(question)) ||
	    json_array_append_new(
		    json_object_get(list, "images"),
		    json_pack("{s:s, s:O}", "reference", reference, "policies", names)) ||
	    bh_map_set_s(&b->open, question, &is_open))
		return -ENOMEM;
	b->n_questions++;
	return 0;
}

static int join_host(struct batch *t, const char *name)
{
	struct host *h = bh_map_get_s(&t->all->hosts, name);

	t->host_name = strdup(name);
	if (!t->host_name)
		return -ENOMEM;
	if (!h) {
		h = calloc(1, sizeof(*h));
		if (!h || bh_map_set_s(&t->all->hosts, name, h)) {
			free(h);
			return -ENOMEM;
		}
	}
	h->n_batches++;
	t->host = h;
	return 0;
}

static struct batch *batch_new(struct bh_image_batches *b, const struct bh_image_asked *a,
			       const char *host, const json_t *list)
{
	struct batch *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->all = b;
	t->questions = json_incref(json_object_get(list, "questions"));
	t->job = json_pack("{s:O, s:O, s:I, s:I, s:i}", "images", json_object_get(list, "images"),
			   "policies", a->bundle, "now", (json_int_t)a->now_s, "clockMin",
			   (json_int_t)BH_CLOCK_MIN_S, "deadlineMs", DEADLINE_MS);
	if (t->job && !join_host(t, host))
		return t;
	batch_free(t);
	return NULL;
}

static int send_list(struct bh_image_batches *b, const struct bh_image_asked *a, const char *host,
		     const json_t *list)
{
	struct batch *t = batch_new(b, a, host, list), **last = &b->first;
	const json_t *question;
	size_t i;

	if (!t) {
		json_array_foreach(json_object_get(list, "questions"), i, question)
			bh_map_del_s(&b->open, json_string_value(question));
		return -ENOMEM;
	}
	while (*last)
		last = &(*last)->next;
	*last = t;
	return 0;
}

int bh_image_batches_send(struct bh_image_batches *b, struct bh_image_asked *a, struct bh_err *err)
{
	const char *host;
	json_t *list;
	int r = 0;

	json_object_foreach(a->hosts, host, list)
	{
		if (send_list(b, a, host, list))
			r = bh_fail(err, ENOMEM, "question about images");
	}
	json_decref(a->hosts);
	a->hosts = NULL;
	start_next(b);
	return r;
}

uint64_t bh_image_batches_count(const struct bh_image_batches *b)
{
	return b->n_questions;
}

int bh_image_batches_open(struct bh_loop *loop, const struct bh_image_listener *l,
			  struct bh_image_batches **ret, struct bh_err *err)
{
	struct bh_image_batches *b = calloc(1, sizeof(*b));

	if (!b)
		return bh_fail(err, ENOMEM, "image verification");
	*b = (struct bh_image_batches){.loop = loop, .to = *l};
	bh_map_init(&b->open, NULL);
	bh_map_init(&b->hosts, free);
	*ret = b;
	return 0;
}

void bh_image_batches_close(struct bh_image_batches *b)
{
	if (!b)
		return;
	while (b->first)
		batch_free(b->first);
	bh_map_done(&b->open);
	bh_map_done(&b->hosts);
	free(b);
}
