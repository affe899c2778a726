/* client.h - connect, call, deadline; used by the CLI and the CNI plugin. Blocking. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct bh_client;

/* Connects. -ENOENT, -ECONNREFUSED, -EACCES ... when no daemon answers there. timeout_ms covers
 * each later call as a whole, from its start. */
int bh_client_open(const char *socket_path, int timeout_ms, struct bh_client **ret,
		   struct bh_err *err);
void bh_client_close(struct bh_client *c);
void bh_client_closep(struct bh_client **c);

/* Calls verb with args (borrowed, may be NULL). 0 and *ret_result (owned by the caller); or -errno
 * with the daemon's sentence. *ret_retry (may be NULL): the daemon says that trying again can help.
 * -ETIMEDOUT past the deadline, -ECONNRESET when the daemon went away. */
int bh_client_call(struct bh_client *c, const char *verb, const json_t *args, json_t **ret_result,
		   bool *ret_retry, struct bh_err *err);
/* A daemon with too many clients turns the next one away before it has heard what it wants. Such a
 * client comes again, after pauses that grow and differ from process to process, while there is
 * time. */
struct bh_patience {
	int64_t end_ms; /* CLOCK_MONOTONIC */
	int pause_ms;
};
void bh_patience_start(struct bh_patience *p, int timeout_ms);
/* What is left of the time, at least 1. */
int bh_patience_left_ms(const struct bh_patience *p);
/* true, after a pause, when a call that ended with r on c should be tried again on a new connection
 * (c may be NULL). */
bool bh_patience_again(struct bh_patience *p, int r, const struct bh_client *c);

/* Same for streams: fn gets each result (borrowed); nonzero return ends it and is returned. No
 * deadline between replies. */
int bh_client_stream(struct bh_client *c, const char *verb, const json_t *args,
		     int (*fn)(const json_t *result, void *arg), void *arg, struct bh_err *err);
