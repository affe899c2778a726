/* image_batch.h - workers at work: questions about images go to them in batches of one registry,
 * each question once however many ask it, a few workers at a time and fewer for each registry:
 * those that hang hold up nobody else. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "daemon/image_access.h"

struct bh_image_batches;

/* answer is as the worker's (src/worker/job.h), or one of the same form that says why there is
 * none.
 */
typedef void bh_image_answer_fn(const char *question, const json_t *answer, void *arg);

struct bh_image_listener {
	struct bh_image_access *access; /* borrowed */
	bh_image_answer_fn *fn;		/* runs from the loop only */
	void *arg;
};
int bh_image_batches_open(struct bh_loop *loop, const struct bh_image_listener *l,
			  struct bh_image_batches **ret, struct bh_err *err);
void bh_image_batches_close(struct bh_image_batches *b);

struct bh_image_asked {
	int64_t now_s;
	json_t *bundle; /* policy/image_bundle.h; borrowed */
	json_t *hosts;	/* questions by registry; NULL at first */
};
/* Notes a question for the next send, unless it is on its way already. -ENOMEM. */
int bh_image_batches_add(struct bh_image_batches *b, struct bh_image_asked *a, const char *question,
			 const char *reference, json_t *names);
/* Hands what was noted to a worker, now or when one is free; empties a. */
int bh_image_batches_send(struct bh_image_batches *b, struct bh_image_asked *a, struct bh_err *err);
/* Questions that went to workers. */
uint64_t bh_image_batches_count(const struct bh_image_batches *b);
