/* server.h - accept, peer credentials, per-uid caps; a bad client is dropped, never fatal.
 *
 * Requests are handed to one function with the caller's credentials; the answer may be given at once
 * or later, through the request handle. */
#pragma once

#include <jansson.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/loop.h"

struct bh_server;
struct bh_request; /* one call in progress; lives until answered or the client is gone */

struct bh_caller {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	char exe[256]; /* /proc/PID/exe at accept time, "" when unreadable */
};

/* args is borrowed, never NULL. The handler must answer every request exactly once, now or later,
 * unless on_gone was called for it. */
typedef void bh_server_fn(struct bh_request *rq, const char *verb, const json_t *args, void *arg);

/* Listens on path (mode 0600; a stale socket file is replaced, a live one is -EADDRINUSE). group:
 * a gid that may connect too (mode 0660), or -1. */
int bh_server_open(struct bh_loop *l, const char *path, gid_t group, bh_server_fn *fn, void *arg,
		   struct bh_server **ret, struct bh_err *err);
/* Unlinks the socket; open requests are dropped (on_gone runs). */
void bh_server_close(struct bh_server *s);

const struct bh_caller *bh_request_caller(const struct bh_request *rq);
/* Answers and ends the request. result is taken (NULL: JSON null). */
void bh_request_reply(struct bh_request *rq, json_t *take_result);
/* error->code is -errno. retry: trying again later can help. */
void bh_request_fail(struct bh_request *rq, const struct bh_err *error, bool retry);
/* One more result of a stream. -EAGAIN when the client reads too slowly and its bounded buffer
 * (4 MiB) is full: the result is dropped. result is taken. */
int bh_request_more(struct bh_request *rq, json_t *take_result);
/* Called once when the client goes away before the answer; the handle is dead after it. */
void bh_request_on_gone(struct bh_request *rq, void (*fn)(struct bh_request *rq, void *arg),
			void *arg);
/* Room for the handler. */
void bh_request_set_data(struct bh_request *rq, void *data);
void *bh_request_data(struct bh_request *rq);
