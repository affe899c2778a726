/* server.h - accept, peer credentials, per-uid caps; a bad client is dropped, never fatal.
 *
 * Requests are handed to one function with the caller's credentials; the answer may be given at
 * once or later, through the request handle. What ends a connection: bytes that are no frame
 * (answered with an error where possible), a second request before the first is answered,
 * BH_CTL_IDLE_S inside a frame or before the first one, and, when there is no more room, having
 * nothing to ask. Clients beyond the caps get -EBUSY with retry; all uids but root and the daemon's
 * own share BH_CTL_MAX_CLIENTS - BH_CTL_MAX_PER_UID places, so that they cannot lock root out. */
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
/* Listens again when the socket file is gone or is another one; 1 when it did, 0 when all was well,
 * -errno (another process listens there, the directory is gone). Connections live on. */
int bh_server_renew(struct bh_server *s, struct bh_err *err);
/* How long a client may stall; BH_CTL_IDLE_S unless told. For connections made from now on. */
void bh_server_set_idle(struct bh_server *s, uint64_t ms);
/* Unlinks the socket; open requests are dropped (on_gone runs). Not to be called from a handler. */
void bh_server_close(struct bh_server *s);

const struct bh_caller *bh_request_caller(const struct bh_request *rq);
/* Answers and ends the request. result is taken (NULL: JSON null). */
void bh_request_reply(struct bh_request *rq, json_t *take_result);
/* error->code is -errno. retry: trying again later can help. */
void bh_request_fail(struct bh_request *rq, const struct bh_err *error, bool retry);
/* One more result of a stream. -EAGAIN when the client reads too slowly and its bounded buffer
 * (4 MiB) is full: the result is dropped. -EPIPE when the client is gone (on_gone follows, or, when
 * none is set, the request still has to be answered). result is taken. A stream's client may read
 * as slowly as it likes; every other answer must be taken within BH_CTL_IDLE_S of no progress. */
int bh_request_more(struct bh_request *rq, json_t *take_result);
/* To be asked before a stream that has no end of its own: one user's streams leave room for its
 * other requests. -EBUSY beyond BH_CTL_MAX_FOLLOWERS. */
int bh_request_follow(struct bh_request *rq, struct bh_err *err);
/* Called each time that more than half of a stream's buffer is free again after an -EAGAIN, so that
 * a long listing can go on. fn may answer the request. */
void bh_request_on_room(struct bh_request *rq, void (*fn)(struct bh_request *rq, void *arg),
			void *arg);
/* Called once when the client goes away before the answer; the handle is dead after it. To be set
 * before the handler function returns. */
void bh_request_on_gone(struct bh_request *rq, void (*fn)(struct bh_request *rq, void *arg),
			void *arg);
/* Room for the handler. */
void bh_request_set_data(struct bh_request *rq, void *data);
void *bh_request_data(struct bh_request *rq);
