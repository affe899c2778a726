/* server.h - the small HTTP server for machines: /metrics, /healthz, /readyz; GET and HEAD only.
 * Runs on the loop, with libevent's HTTP. It keeps no connection open, gives a client few seconds
 * and takes no new ones while file descriptors run short, so that nobody can use it to starve the
 * daemon. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"

struct bh_http_server;

struct bh_http_pages {
	/* Appends OpenMetrics text (without its "# EOF"), TYPE before HELP. Who does not ask for
	 * OpenMetrics is given the same in the older text format. */
	void (*metrics)(struct bh_str *out, void *arg);
	/* false: appends one sentence that says why. */
	bool (*is_ready)(struct bh_str *why, void *arg);
	void *arg;
};

/* listen: "127.0.0.1:9473", "[::1]:9473"; addresses only, port 0 takes a free one. -EINVAL when it
 * is not that, -EADDRINUSE and others from the kernel. pages is copied. */
int bh_http_server_open(struct bh_loop *l, const char *listen, const struct bh_http_pages *pages,
			struct bh_http_server **ret, struct bh_err *err);
void bh_http_server_close(struct bh_http_server *s);
static inline void bh_http_server_closep(struct bh_http_server **s)
{
	bh_http_server_close(*s);
	*s = NULL;
}
/* The port it listens on. */
uint16_t bh_http_server_port(const struct bh_http_server *s);
/* Checks a listen text without opening anything; for the configuration. */
int bh_http_listen_check(const char *listen, struct bh_err *err);
