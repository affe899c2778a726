#include "ctl/client.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include "base/json.h"
#include "ctl/frame.h"

#define NO_DEADLINE INT64_MAX

struct bh_client {
	int fd;
	int timeout_ms; /* 0: none */
	bool is_broken; /* an earlier call did not end cleanly: its reply could be taken for ours */
	bool may_retry; /* the daemon said so of the last call */
	struct bh_frame_reader in;
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- connection ---- */

int bh_client_open(const char *socket_path, int timeout_ms, struct bh_client **ret,
		   struct bh_err *err)
{
	struct timeval tv = {.tv_sec = timeout_ms / 1000,
			     .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000};
	BH_CLEANUP(bh_client_closep) struct bh_client *c = calloc(1, sizeof(*c));
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t path_len = strlen(socket_path);

	if (!c)
		return bh_fail(err, ENOMEM, "connect to '%s'", socket_path);
	c->fd = -1;
	c->timeout_ms = timeout_ms;
	c->in.max = BH_CTL_MAX_REPLY;
	if (path_len >= sizeof(sa.sun_path))
		return bh_fail_sys(err, ENAMETOOLONG, "socket '%s'", socket_path);
	memcpy(sa.sun_path, socket_path, path_len + 1);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return bh_fail_sys(err, errno, "connect to '%s'", socket_path);
	/* bounds the wait for a place in a full backlog, which poll cannot wait for */
	if (timeout_ms > 0 && setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
		return bh_fail_sys(err, errno, "connect to '%s'", socket_path);
	if (connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int e = errno == EAGAIN ? ETIMEDOUT : errno;

		return bh_fail_sys(err, e, "no daemon answers at '%s'", socket_path);
	}
	*ret = BH_TAKE(c);
	return 0;
}

void bh_client_close(struct bh_client *c)
{
	if (!c)
		return;
	bh_closep(&c->fd);
	bh_frame_done(&c->in);
	free(c);
}

void bh_client_closep(struct bh_client **c)
{
	bh_client_close(*c);
	*c = NULL;
}

/* ---- frames with a deadline ---- */

static int wait_for(struct bh_client *c, short events, int64_t deadline, struct bh_err *err)
{
	struct pollfd p = {.fd = c->fd, .events = events};

	for (;;) {
		int64_t left = deadline == NO_DEADLINE ? -1 : deadline - now_ms();
		int n;

		if (deadline != NO_DEADLINE && left <= 0)
			return bh_fail(err, ETIMEDOUT, "the daemon did not answer within %d ms",
				       c->timeout_ms);
		n = poll(&p, 1, left > INT32_MAX ? INT32_MAX : (int)left);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return bh_fail_sys(err, errno, "wait for the daemon");
	}
}

static int send_all(struct bh_client *c, const char *bytes, size_t n, int64_t deadline,
		    struct bh_err *err)
{
	while (n) {
		ssize_t sent = send(c->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		int r;

		if (sent > 0) {
			bytes += sent;
			n -= (size_t)sent;
			continue;
		}
		if (sent < 0 && errno == EINTR)
			continue;
		/* a daemon that refuses a client says why before it closes: read on */
		if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
			return 0;
		if (sent < 0 && errno != EAGAIN)
			return bh_fail_sys(err, errno, "send to the daemon");
		r = wait_for(c, POLLOUT, deadline, err);
		if (r)
			return r;
	}
	return 0;
}

static int send_request(struct bh_client *c, const char *verb, const json_t *args, int64_t deadline,
			struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *body = NULL;
	BH_CLEANUP(bh_freep) char *frame = NULL;
	size_t len, max = geteuid() ? BH_CTL_MAX_REQUEST : BH_CTL_MAX_ROOT_REQUEST;
	int r;

	/* "O" takes a reference of its own, so args stays the caller's */
	body = args ? json_pack("{s:s, s:O}", "verb", verb, "args", args)
		    : json_pack("{s:s, s:{}}", "verb", verb, "args");
	if (!body)
		return bh_fail(err, EINVAL, "request '%s' cannot be written as JSON", verb);
	r = bh_frame_encode(body, 0, &frame, &len, err);
	if (r)
		return r;
	if (len - sizeof(struct bh_ctl_header) > max)
		return bh_fail(err, EMSGSIZE, "request '%s' is longer than %zu bytes", verb, max);
	return send_all(c, frame, len, deadline, err);
}

static int receive(struct bh_client *c, int64_t deadline, json_t **ret_body, unsigned *ret_flags,
		   struct bh_err *err)
{
	char buf[65536];

	for (;;) {
		int r = bh_frame_next(&c->in, ret_body, ret_flags, err);
		ssize_t n;

		if (r)
			return r < 0 ? r : 0;
		n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n > 0)
			r = bh_frame_feed(&c->in, buf, (size_t)n, err);
		else if (n == 0 || errno == ECONNRESET)
			r = bh_fail(err, ECONNRESET, "the daemon closed the connection");
		else if (errno == EAGAIN)
			r = wait_for(c, POLLIN, deadline, err);
		else if (errno != EINTR)
			r = bh_fail_sys(err, errno, "read from the daemon");
		if (r)
			return r;
	}
}

/* ---- calls ---- */

/* Takes an error reply apart. Returns a negative errno in any case. */
static int daemon_error(struct bh_client *c, const json_t *error, struct bh_err *err)
{
	const char *text = NULL;
	bool retry = false;
	int64_t code = 0;

	if (bh_json_get_int(error, "code", true, 1, 4095, &code, err) ||
	    bh_json_get_str(error, "message", true, &text, err) ||
	    bh_json_get_bool(error, "retry", false, &retry, err))
		return bh_note(err, -EPROTO, "the daemon's answer");
	c->may_retry = retry;
	return bh_fail(err, (int)code, "%s", text);
}

static int take_reply(struct bh_client *c, const json_t *body, json_t **ret_result,
		      struct bh_err *err)
{
	json_t *error = json_object_get(body, "error");
	json_t *result = json_object_get(body, "result");

	if (error)
		return daemon_error(c, error, err);
	if (!result)
		return bh_fail(err, EPROTO, "the daemon's answer has neither result nor error");
	*ret_result = json_incref(result);
	return 0;
}

static int start(struct bh_client *c, const char *verb, const json_t *args, int64_t *ret_deadline,
		 struct bh_err *err)
{
	if (c->is_broken)
		return bh_fail(err, ECONNRESET, "the connection to the daemon is broken");
	/* until the last reply has come */
	c->is_broken = true;
	c->may_retry = false;
	*ret_deadline = c->timeout_ms > 0 ? now_ms() + c->timeout_ms : NO_DEADLINE;
	return send_request(c, verb, args, *ret_deadline, err);
}

int bh_client_call(struct bh_client *c, const char *verb, const json_t *args, json_t **ret_result,
		   bool *ret_retry, struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *body = NULL;
	unsigned flags = 0;
	int64_t deadline;
	int r;

	if (ret_retry)
		*ret_retry = false;
	r = start(c, verb, args, &deadline, err);
	if (!r)
		r = receive(c, deadline, &body, &flags, err);
	if (r)
		return r;
	if (flags & BH_CTL_MORE)
		return bh_fail(err, EPROTO, "the daemon answers '%s' with a stream", verb);
	c->is_broken = false;
	r = take_reply(c, body, ret_result, err);
	if (ret_retry)
		*ret_retry = c->may_retry;
	return r;
}

int bh_client_stream(struct bh_client *c, const char *verb, const json_t *args,
		     int (*fn)(const json_t *result, void *arg), void *arg, struct bh_err *err)
{
	unsigned flags = BH_CTL_MORE;
	int64_t deadline;
	int r = start(c, verb, args, &deadline, err);

	while (!r && (flags & BH_CTL_MORE)) {
		BH_CLEANUP(bh_json_decrefp) json_t *body = NULL;
		BH_CLEANUP(bh_json_decrefp) json_t *result = NULL;

		r = receive(c, deadline, &body, &flags, err);
		if (r)
			return r;
		c->is_broken = flags & BH_CTL_MORE;
		deadline = NO_DEADLINE;
		r = take_reply(c, body, &result, err);
		if (!r)
			r = fn(result, arg);
	}
	return r;
}

/* ---- patience ---- */

#define PAUSE_MIN_MS 20
#define PAUSE_MAX_MS 400

void bh_patience_start(struct bh_patience *p, int timeout_ms)
{
	p->end_ms = now_ms() + timeout_ms;
	p->pause_ms = PAUSE_MIN_MS + getpid() % PAUSE_MIN_MS;
}

int bh_patience_left_ms(const struct bh_patience *p)
{
	int64_t left = p->end_ms - now_ms();

	return left < 1 ? 1 : (int)left;
}

bool bh_patience_again(struct bh_patience *p, int r, const struct bh_client *c)
{
	struct timespec pause = {.tv_sec = p->pause_ms / 1000,
				 .tv_nsec = p->pause_ms % 1000 * 1000000L};

	if (r != -EBUSY || !c || !c->may_retry || bh_patience_left_ms(p) <= p->pause_ms)
		return false;
	nanosleep(&pause, NULL);
	p->pause_ms = p->pause_ms * 2 < PAUSE_MAX_MS ? p->pause_ms * 2 : PAUSE_MAX_MS;
	return true;
}
