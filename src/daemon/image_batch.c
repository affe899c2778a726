#include "daemon/image_batch.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "ctl/batch.h"

#define MAX_WORKERS 16 /* one that hangs must not keep others waiting */
#define DEADLINE_MS 8000
#define SLACK_MS    1000 /* a worker that is not through by then is ended */

struct batch {
	struct bh_image_batches *all;
	struct batch *next;
	json_t *job;	   /* until it is sent */
	json_t *questions; /* in the order of the answers */
	size_t n_answered;
	struct bh_batch *worker; /* NULL: waits for its turn */
	struct bh_source *io, *deadline;
};

struct bh_image_batches {
	struct bh_loop *loop;
	struct bh_image_listener to;
	struct batch *first; /* in the order of asking */
	struct bh_map open;  /* questions on their way; values are not used */
	unsigned n_workers;
	uint64_t n_questions;
};

static void batch_free(struct batch *t)
{
	struct batch **at;

	for (at = &t->all->first; *at && *at != t; at = &(*at)->next)
		continue;
	if (*at)
		*at = t->next;
	if (t->worker)
		t->all->n_workers--;
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
	struct bh_err err = {0};

	bh_fail(&err, EIO, "the worker could not be started");
	end(arg, &err);
}

static void start_next(struct bh_image_batches *b)
{
	struct batch *t = b->first;
	struct bh_err err;

	while (t && (t->worker || t->deadline))
		t = t->next;
	if (!t || b->n_workers >= MAX_WORKERS)
		return;
	if (start(t, &err) && !t->deadline)
		bh_loop_timer(b->loop, 0, 0, on_failed_start, t, &t->deadline, &err);
}

int bh_image_batches_add(struct bh_image_batches *b, struct bh_image_asked *a, const char *question,
			 const char *reference, json_t *names)
{
	static char is_open;

	if (bh_map_get_s(&b->open, question))
		return 0;
	if (!a->images)
		a->images = json_array();
	if (!a->questions)
		a->questions = json_array();
	if (json_array_append_new(a->questions, json_string(question)) ||
	    json_array_append_new(a->images, json_pack("{s:s, s:O}", "reference", reference,
						       "policies", names)) ||
	    bh_map_set_s(&b->open, question, &is_open))
		return -ENOMEM;
	b->n_questions++;
	return 0;
}

static struct batch *batch_new(struct bh_image_batches *b, struct bh_image_asked *a)
{
	struct batch *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->all = b;
	t->questions = json_incref(a->questions);
	t->job = json_pack("{s:O, s:O, s:I, s:i}", "images", a->images, "policies", a->bundle,
			   "now", (json_int_t)a->now_s, "deadlineMs", DEADLINE_MS);
	if (t->job)
		return t;
	json_decref(t->questions);
	free(t);
	return NULL;
}

int bh_image_batches_send(struct bh_image_batches *b, struct bh_image_asked *a, struct bh_err *err)
{
	struct batch *t = NULL, **last = &b->first;
	const json_t *question;
	size_t i;

	if (a->images)
		t = batch_new(b, a);
	if (a->images && !t) {
		json_array_foreach(a->questions, i, question)
			bh_map_del_s(&b->open, json_string_value(question));
	}
	json_decref(a->images);
	json_decref(a->questions);
	if (!t)
		return a->images ? bh_fail(err, ENOMEM, "question about images") : 0;
	while (*last)
		last = &(*last)->next;
	*last = t;
	start_next(b);
	return 0;
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
	free(b);
}
