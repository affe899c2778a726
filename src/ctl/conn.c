#include "ctl/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "ctl/frame.h"

#define STREAM_BUFFER (512u * 1024)
#define LONG_MS	      (365ull * 24 * 3600 * 1000)

struct chunk {
	struct chunk *next;
	char *bytes;
	size_t n, off;
};

struct bh_conn {
	struct bh_conn_list *list;
	struct bh_conn *prev, *next;
	int fd;
	struct bh_source *watch, *deadline;
	struct bh_caller caller;
	struct bh_frame_reader in;
	struct chunk *out, **out_tail;
	size_t out_bytes;
	unsigned events;  /* what watch waits for */
	bool has_spoken;  /* its first frame has been read whole */
	bool may_dawdle;  /* out holds results of a stream */
	bool is_closing;  /* ends when out is empty */
	bool is_dead;	  /* the socket failed: freed at the next wake-up */
	bool is_armed;	  /* deadline runs */
	bool is_follower; /* its request has no end */
	struct bh_request *request;
};

struct bh_request {
	struct bh_conn *conn; /* NULL: the client is gone */
	struct bh_caller caller;
	bool wants_room;
	void (*on_gone)(struct bh_request *rq, void *arg);
	void *on_gone_arg;
	void (*on_room)(struct bh_request *rq, void *arg);
	void *on_room_arg;
	void *data;
};

/* ---- connections ---- */

static void conn_unlink(struct bh_conn *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else if (c->list->first == c)
		c->list->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->prev = c->next = NULL;
}

static bool is_idle(const struct bh_conn *c)
{
	return c->has_spoken && !c->request && !c->out && !bh_frame_is_partial(&c->in);
}

static void request_gone(struct bh_request *rq)
{
	rq->conn = NULL;
	if (!rq->on_gone)
		return; /* the handler still answers, into the void */
	rq->on_gone(rq, rq->on_gone_arg);
	free(rq);
}

static void conn_free(struct bh_conn *c)
{
	if (!c)
		return;
	conn_unlink(c);
	bh_source_free(c->watch);
	bh_source_free(c->deadline);
	bh_closep(&c->fd);
	bh_frame_done(&c->in);
	while (c->out) {
		struct chunk *next = c->out->next;

		free(c->out->bytes);
		free(c->out);
		c->out = next;
	}
	if (c->request)
		request_gone(c->request);
	free(c);
}

static void conn_freep(struct bh_conn **c)
{
	conn_free(*c);
	*c = NULL;
}

/* Sets what the connection waits for and whether its deadline runs, from its state. Progress in a
 * frame does not put the deadline off: a frame has BH_CTL_IDLE_S as a whole. */
static void conn_settle(struct bh_conn *c, bool made_progress)
{
	unsigned events = c->is_closing ? 0 : BH_LOOP_READ;
	bool must_hurry;

	if (!c->request && !c->out)
		c->may_dawdle = false;
	must_hurry = c->is_closing || (c->out && !c->may_dawdle) ||
		     (!c->request && (!c->has_spoken || bh_frame_is_partial(&c->in)));
	if (c->out || c->is_dead)
		events |= BH_LOOP_WRITE;
	if (events != c->events) {
		c->events = events;
		if (bh_source_set(c->watch, events))
			must_hurry = true; /* cannot be watched any more: let it time out */
	}
	if (must_hurry && (!c->is_armed || made_progress)) {
		c->is_armed = true;
		bh_source_after(c->deadline, c->list->idle_ms);
	} else if (!must_hurry && c->is_armed) {
		c->is_armed = false;
		bh_source_after(c->deadline, LONG_MS);
	}
}

/* ---- output ---- */

static int conn_queue(struct bh_conn *c, char *take_bytes, size_t n)
{
	struct chunk *k = calloc(1, sizeof(*k));

	if (!k) {
		free(take_bytes);
		return -ENOMEM;
	}
	k->bytes = take_bytes;
	k->n = n;
	*c->out_tail = k;
	c->out_tail = &k->next;
	c->out_bytes += n;
	return 0;
}

/* Sends what the socket takes. Returns true when something went out. */
static bool conn_flush(struct bh_conn *c)
{
	bool sent_some = false;

	while (c->out && !c->is_dead) {
		struct chunk *k = c->out;
		ssize_t n =
			send(c->fd, k->bytes + k->off, k->n - k->off, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			c->is_dead = true;
			break;
		}
		sent_some = true;
		k->off += (size_t)n;
		c->out_bytes -= (size_t)n;
		if (k->off < k->n)
			continue;
		c->out = k->next;
		if (!c->out)
			c->out_tail = &c->out;
		free(k->bytes);
		free(k);
	}
	return sent_some;
}

static int conn_send(struct bh_conn *c, const json_t *body, unsigned flags, struct bh_err *err)
{
	char *frame = NULL;
	size_t len = 0;
	int r = bh_frame_encode(body, flags, &frame, &len, err);

	if (!r && conn_queue(c, frame, len))
		r = bh_fail(err, ENOMEM, "answer of %zu bytes", len);
	if (r)
		return r;
	conn_flush(c);
	conn_settle(c, false);
	return 0;
}

json_t *bh_conn_error_body(const struct bh_err *error, bool retry)
{
	return json_pack("{s:{s:i, s:s, s:b}}", "error", "code", error->code ? -error->code : EIO,
			 "message", error->text, "retry", retry);
}

static void conn_send_error(struct bh_conn *c, const struct bh_err *error, bool retry)
{
	BH_CLEANUP(bh_json_decrefp) json_t *body = bh_conn_error_body(error, retry);
	struct bh_err err;

	/* without memory for the sentence the closed connection is the answer */
	if (!body || conn_send(c, body, 0, &err))
		c->is_dead = true;
	conn_settle(c, false);
}

/* Says why and ends the connection once that is sent. Input is not looked at any more. */
static void conn_refuse(struct bh_conn *c, const struct bh_err *error)
{
	c->is_closing = true;
	bh_frame_done(&c->in);
	conn_send_error(c, error, false);
}

/* ---- requests ---- */

const struct bh_caller *bh_request_caller(const struct bh_request *rq)
{
	return &rq->caller;
}

void bh_request_set_data(struct bh_request *rq, void *data)
{
	rq->data = data;
}

void *bh_request_data(struct bh_request *rq)
{
	return rq->data;
}

void bh_request_on_gone(struct bh_request *rq, void (*fn)(struct bh_request *rq, void *arg),
			void *arg)
{
	rq->on_gone = fn;
	rq->on_gone_arg = arg;
}

void bh_request_on_room(struct bh_request *rq, void (*fn)(struct bh_request *rq, void *arg),
			void *arg)
{
	rq->on_room = fn;
	rq->on_room_arg = arg;
}

/* Takes the request off its connection. NULL when the client is gone. */
static struct bh_conn *request_end(struct bh_request *rq)
{
	struct bh_conn *c = rq->conn;

	if (c) {
		c->request = NULL;
		c->is_follower = false;
	}
	free(rq);
	return c;
}

void bh_request_fail(struct bh_request *rq, const struct bh_err *error, bool retry)
{
	struct bh_conn *c = request_end(rq);

	if (c)
		conn_send_error(c, error, retry);
}

/* {"result": ...}; takes result. */
static json_t *result_body(json_t *take_result)
{
	json_t *result = take_result ? take_result : json_null();

	return json_pack("{s:o}", "result", result);
}

void bh_request_reply(struct bh_request *rq, json_t *take_result)
{
	BH_CLEANUP(bh_json_decrefp) json_t *body = result_body(take_result);
	struct bh_conn *c = request_end(rq);
	struct bh_err err = {.code = -ENOMEM, .text = "the answer does not fit into memory"};

	if (!c)
		return;
	if (!body || conn_send(c, body, 0, &err))
		conn_send_error(c, &err, false);
}

int bh_request_more(struct bh_request *rq, json_t *take_result)
{
	BH_CLEANUP(bh_json_decrefp) json_t *body = result_body(take_result);
	struct bh_conn *c = rq->conn;
	struct bh_err err;

	if (!c || c->is_dead)
		return -EPIPE;
	if (!body)
		return -ENOMEM;
	if (c->out_bytes >= STREAM_BUFFER) {
		rq->wants_room = true;
		return -EAGAIN;
	}
	c->may_dawdle = true;
	return conn_send(c, body, BH_CTL_MORE, &err);
}

int bh_request_follow(struct bh_request *rq, struct bh_err *err)
{
	unsigned n = 0;

	if (!rq->conn)
		return 0;
	for (const struct bh_conn *c = rq->conn->list->first; c; c = c->next)
		n += c->is_follower && c->caller.uid == rq->caller.uid;
	if (n >= BH_CTL_MAX_FOLLOWERS)
		return bh_fail(err, EBUSY, "this user already has %u streams that go on", n);
	rq->conn->is_follower = true;
	return 0;
}

static int check_request(const json_t *body, unsigned flags, const char **ret_verb,
			 json_t **ret_args, struct bh_err *err)
{
	if (flags)
		return bh_fail(err, EPROTO, "request: a client sends no streams");
	if (bh_json_get_str(body, "verb", true, ret_verb, err) ||
	    bh_json_get_obj(body, "args", false, ret_args, err))
		return bh_note(err, err->code, "request");
	return 0;
}

static void conn_dispatch(struct bh_conn *c, const json_t *body, unsigned flags)
{
	BH_CLEANUP(bh_json_decrefp) json_t *none = json_object();
	const char *verb = NULL;
	json_t *args = none;
	struct bh_err err;

	c->has_spoken = true;
	if (check_request(body, flags, &verb, &args, &err)) {
		conn_refuse(c, &err);
		return;
	}
	c->request = calloc(1, sizeof(*c->request));
	if (!c->request || !none) {
		bh_fail(&err, ENOMEM, "request '%s'", verb);
		free(BH_TAKE(c->request));
		conn_refuse(c, &err);
		return;
	}
	c->request->conn = c;
	c->request->caller = c->caller;
	c->list->fn(c->request, verb, args, c->list->arg);
}

/* ---- input ---- */

/* Reads what is there, at most one request. Returns false when the connection is over. */
static bool conn_read(struct bh_conn *c)
{
	BH_CLEANUP(bh_json_decrefp) json_t *body = NULL;
	unsigned flags = 0;
	struct bh_err err;
	char buf[16384];
	ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);
	int r;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	r = bh_frame_feed(&c->in, buf, (size_t)n, &err);
	if (!r && c->request)
		r = bh_fail(&err, EPROTO, "a request is sent before the last one is answered");
	if (!r)
		r = bh_frame_next(&c->in, &body, &flags, &err);
	if (r > 0 && bh_frame_is_partial(&c->in))
		r = bh_fail(&err, EPROTO, "bytes follow a request before it is answered");
	if (r < 0 && c->request) {
		/* an error in the midst of an answer could be taken for it */
		return false;
	}
	if (r < 0)
		conn_refuse(c, &err);
	else if (r > 0)
		conn_dispatch(c, body, flags);
	return true;
}

static void offer_room(struct bh_conn *c)
{
	struct bh_request *rq = c->request;

	if (!rq || !rq->wants_room || c->out_bytes > STREAM_BUFFER / 2)
		return;
	rq->wants_room = false;
	if (rq->on_room)
		rq->on_room(rq, rq->on_room_arg);
}

static void on_conn(int fd, unsigned events, void *arg)
{
	struct bh_conn *c = arg;
	bool made_progress = false;

	(void)fd;
	if (c->is_dead) {
		conn_free(c);
		return;
	}
	if (events & BH_LOOP_WRITE) {
		made_progress = conn_flush(c);
		offer_room(c);
	}
	if ((events & BH_LOOP_READ) && !c->is_closing && !conn_read(c))
		c->is_dead = true;
	if (c->is_dead || (c->is_closing && !c->out)) {
		conn_free(c);
		return;
	}
	conn_settle(c, made_progress);
}

static void on_deadline(void *arg)
{
	struct bh_conn *c = arg;

	if (c->is_armed)
		conn_free(c);
	else
		bh_source_after(c->deadline, LONG_MS);
}

/* ---- the list ---- */

static void read_exe(struct bh_caller *caller)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)caller->pid);
	n = readlink(link, caller->exe, sizeof(caller->exe) - 1);
	caller->exe[n > 0 ? n : 0] = '\0';
}

int bh_conn_open(struct bh_conn_list *l, int *take_fd, const struct ucred *peer, struct bh_err *err)
{
	BH_CLEANUP(conn_freep) struct bh_conn *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return bh_fail(err, ENOMEM, "control connection");
	c->fd = BH_TAKE_FD(*take_fd);
	c->list = l;
	c->out_tail = &c->out;
	c->in.max = peer->uid ? BH_CTL_MAX_REQUEST : BH_CTL_MAX_ROOT_REQUEST;
	c->caller = (struct bh_caller){.pid = peer->pid, .uid = peer->uid, .gid = peer->gid};
	read_exe(&c->caller);
	c->events = BH_LOOP_READ;
	r = bh_loop_fd(l->loop, c->fd, BH_LOOP_READ, on_conn, c, &c->watch, err);
	if (!r)
		r = bh_loop_timer(l->loop, l->idle_ms, 0, on_deadline, c, &c->deadline, err);
	if (r)
		return r;
	c->is_armed = true;
	c->next = l->first;
	if (c->next)
		c->next->prev = c;
	l->first = BH_TAKE(c);
	return 0;
}

void bh_conn_list_close(struct bh_conn_list *l)
{
	while (l->first)
		conn_free(l->first);
}

bool bh_conn_list_drop_idle(struct bh_conn_list *l, bool any, uid_t uid)
{
	struct bh_conn *oldest = NULL; /* the newest is first */
	bool found;

	for (struct bh_conn *c = l->first; c; c = c->next) {
		if (is_idle(c) && (any || c->caller.uid == uid))
			oldest = c;
	}
	found = oldest;
	conn_free(oldest);
	return found;
}

size_t bh_conn_list_count(const struct bh_conn_list *l, bool (*fn)(uid_t uid, uid_t arg), uid_t arg)
{
	size_t n = 0;

	for (const struct bh_conn *c = l->first; c; c = c->next)
		n += fn(c->caller.uid, arg);
	return n;
}
