/* batch.h - starts bulkhead-worker, asks it and reads its answers. The worker judges images without
 * any privilege (src/worker/job.h says what question and answers look like), or asks the container
 * runtime (src/worker/serve.h); it is ended whatever happens to it.
 *
 * Everything is non-blocking but bh_batch_ask, which is for programs without a loop. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

struct bh_batch;

struct bh_batch_options {
	const char *mode; /* of the worker: "image", "image-as-user" (which stays this user, to
			   * read this user's files), "cri" */
};

/* Starts one with its question (borrowed). -ENOENT when the program is not installed. */
int bh_batch_start(const struct bh_batch_options *opt, const json_t *question,
		   struct bh_batch **ret, struct bh_err *err);
/* Kills it unless it has ended, and frees. */
void bh_batch_end(struct bh_batch *w);
void bh_batch_endp(struct bh_batch **w);

/* One more question (borrowed) to a worker that lasts; it goes out with the next step. */
int bh_batch_say(struct bh_batch *w, const json_t *question, struct bh_err *err);

/* For the loop: the descriptor, and whether it is waited for to become writable too. */
int bh_batch_fd(const struct bh_batch *w);
bool bh_batch_wants_write(const struct bh_batch *w);
/* Moves bytes as far as that goes without waiting. 1 and *ret, owned by the caller, when an answer
 * is whole; call again then. 0: more has to be waited for. -EPIPE: it ended; others: it failed. */
int bh_batch_step(struct bh_batch *w, json_t **ret, struct bh_err *err);

/* All of it, waiting: fn gets n answers (borrowed) in the order of the question. -ETIMEDOUT. */
int bh_batch_ask(struct bh_batch *w, size_t n, int timeout_ms,
		 void (*fn)(const json_t *answer, void *arg), void *arg, struct bh_err *err);
