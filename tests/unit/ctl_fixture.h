/* ctl_fixture.h - the server and the client over a real socket. The server runs in this thread's
 * loop; blocking clients run in a thread of their own and leave their outcome behind, for cmocka's
 * assertions only work in the main thread. Raw clients are plain descriptors that this thread feeds
 * itself. */
#pragma once

#include "bh_test.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "ctl/client.h"
#include "ctl/frame.h"
#include "ctl/server.h"

static struct {
	char dir[BH_TEST_DIR];
	char path[BH_TEST_DIR + 16];
	struct bh_loop *loop;
	struct bh_server *server;
	struct bh_source *timer;
	struct bh_request *held;
	struct bh_caller caller;
	unsigned calls, gone, sent, refused;
	bool timed_out;
	struct bh_err err;
} fx;

/* ---- the handler: one verb per behaviour ---- */

static inline void on_gone(struct bh_request *rq, void *arg)
{
	assert_ptr_equal(rq, bh_request_data(rq));
	assert_ptr_equal(arg, &fx);
	fx.held = NULL;
	fx.gone++;
}

static inline void hold(struct bh_request *rq)
{
	fx.held = rq;
	bh_request_set_data(rq, rq);
	bh_request_on_gone(rq, on_gone, &fx);
}

static inline void on_timer(void *arg)
{
	(void)arg;
	bh_request_reply(BH_TAKE(fx.held), json_string("late"));
}

static inline json_t *kilobyte(void)
{
	char text[1001];

	memset(text, 'x', 1000);
	text[1000] = '\0';
	return json_string(text);
}

/* Sends up to 20 000 results of 1 kB, going on whenever there is room. */
static inline void pour(struct bh_request *rq, void *arg)
{
	(void)arg;
	while (fx.sent < 20000) {
		int r = bh_request_more(rq, kilobyte());

		if (r == -EAGAIN) {
			fx.refused++;
			return;
		}
		assert_int_equal(r, 0);
		fx.sent++;
	}
	fx.held = NULL;
	bh_request_reply(rq, json_true());
}

static inline void handle(struct bh_request *rq, const char *verb, const json_t *args, void *arg)
{
	struct bh_err e;

	assert_ptr_equal(arg, &fx);
	assert_true(json_is_object(args));
	fx.calls++;
	fx.caller = *bh_request_caller(rq);
	if (!strcmp(verb, "echo")) {
		bh_request_reply(rq, json_deep_copy(args));
	} else if (!strcmp(verb, "null")) {
		bh_request_reply(rq, NULL);
	} else if (!strcmp(verb, "fail")) {
		bh_fail(&e, ENOENT, "there is no pod 'x'");
		bh_request_fail(rq, &e, json_is_true(json_object_get(args, "retry")));
	} else if (!strcmp(verb, "late")) {
		hold(rq);
		bh_assert_ok(&e, bh_loop_timer(fx.loop, 20, 0, on_timer, NULL, &fx.timer, &e));
	} else if (!strcmp(verb, "count")) {
		for (int i = 0, r = 0; !r && i < 5; i++) {
			r = bh_request_more(rq, json_integer(i));
			/* the client that breaks off may be gone already */
			assert_true(r == 0 || r == -EPIPE);
		}
		bh_request_reply(rq, json_string("end"));
	} else if (!strcmp(verb, "pour")) {
		hold(rq);
		bh_request_on_room(rq, pour, NULL);
		pour(rq, NULL);
	} else if (!strcmp(verb, "orphan")) {
		fx.held = rq; /* no on_gone: the request outlives its client */
	} else if (!strcmp(verb, "big")) {
		json_t *a = json_array();

		for (int i = 0; i < 3000; i++)
			json_array_append_new(a, kilobyte());
		bh_request_reply(rq, a);
	} else {
		hold(rq);
	}
}

/* ---- harness ---- */

static inline void on_timeout(void *arg)
{
	(void)arg;
	fx.timed_out = true;
	bh_loop_stop(fx.loop);
}

static inline int setup(void **state)
{
	(void)state;
	memset(&fx, 0, sizeof(fx));
	bh_test_mkdir(fx.dir);
	snprintf(fx.path, sizeof(fx.path), "%s/sock", fx.dir);
	if (bh_loop_new(&fx.loop, &fx.err))
		return -1;
	return bh_server_open(fx.loop, fx.path, (gid_t)-1, handle, &fx, &fx.server, &fx.err);
}

static inline int teardown(void **state)
{
	(void)state;
	bh_source_freep(&fx.timer);
	bh_server_close(fx.server);
	bh_loop_free(fx.loop);
	bh_test_rmdir(fx.dir);
	return 0;
}

/* One turn of the loop, without waiting. */
static inline void pump(void)
{
	event_base_loop(bh_loop_base(fx.loop), EVLOOP_NONBLOCK);
}

static inline int raw_connect(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(sa.sun_path, fx.path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static inline void raw_send(int fd, const void *bytes, size_t n)
{
	assert_int_equal(send(fd, bytes, n, MSG_NOSIGNAL), n);
}

/* Reads until the server closes, turning the loop meanwhile; at most ms. Returns false when it did
 * not close. */
static inline bool raw_read_to_end(int fd, struct bh_str *out, int ms)
{
	for (int i = 0; i < ms; i++) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		char buf[4096];
		ssize_t n;

		pump();
		poll(&p, 1, 1);
		n = recv(fd, buf, sizeof(buf), 0);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return true;
		if (n > 0)
			bh_str_addn(out, buf, (size_t)n);
	}
	return false;
}

/* Turns the loop until *n is at least want. */
static inline void pump_until(const unsigned *n, unsigned want)
{
	for (int i = 0; *n < want && i < 5000; i++) {
		pump();
		if (*n < want)
			poll(NULL, 0, 1);
	}
	assert_true(*n >= want);
}

/* Sends bytes and expects an error reply with this text, then the end. */
static inline void expect_refusal(const void *bytes, size_t n, const char *part)
{
	BH_CLEANUP(bh_str_done) struct bh_str got = {0};
	BH_CLEANUP(bh_closep) int fd = raw_connect();

	raw_send(fd, bytes, n);
	assert_true(raw_read_to_end(fd, &got, 5000));
	assert_true(got.n > sizeof(struct bh_ctl_header));
	bh_str_addn(&got, "", 1);
	if (!strstr(got.s + sizeof(struct bh_ctl_header), part))
		fail_msg("'%s' does not contain '%s'", got.s + sizeof(struct bh_ctl_header), part);
	assert_non_null(strstr(got.s + sizeof(struct bh_ctl_header), "\"retry\":false"));
}

static inline size_t frame_of(char *out, const char *body)
{
	struct bh_ctl_header h = {BH_CTL_MAGIC, BH_CTL_VERSION, 0, (uint32_t)strlen(body)};

	memcpy(out, &h, sizeof(h));
	memcpy(out + sizeof(h), body, strlen(body));
	return sizeof(h) + strlen(body);
}

struct job {
	void (*fn)(struct job *j);
	int done_fd; /* written to at the end */
	int r, r2;
	bool retry;
	unsigned count;
	json_t *result;
	struct bh_err err;
};

static inline void *job_main(void *arg)
{
	struct job *j = arg;

	j->fn(j);
	(void)!write(j->done_fd, "", 1);
	return NULL;
}

static inline void on_done(int fd, unsigned events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	bh_loop_stop(fx.loop);
}

/* Runs fn in a thread while the loop turns here, at most 20 s. */
static inline struct job run_job(void (*fn)(struct job *j))
{
	struct bh_source *watch, *limit;
	struct job j = {.fn = fn};
	int p[2];
	pthread_t t;

	assert_int_equal(pipe(p), 0);
	j.done_fd = p[1];
	bh_assert_ok(&fx.err,
		     bh_loop_fd(fx.loop, p[0], BH_LOOP_READ, on_done, NULL, &watch, &fx.err));
	bh_assert_ok(&fx.err, bh_loop_timer(fx.loop, 20000, 0, on_timeout, NULL, &limit, &fx.err));
	assert_int_equal(pthread_create(&t, NULL, job_main, &j), 0);
	bh_assert_ok(&fx.err, bh_loop_run(fx.loop, &fx.err));
	bh_source_free(watch);
	bh_source_free(limit);
	assert_false(fx.timed_out);
	pthread_join(t, NULL);
	close(p[0]);
	close(p[1]);
	return j;
}

static inline void call(struct job *j, int timeout_ms, const char *verb, json_t *take_args)
{
	BH_CLEANUP(bh_client_closep) struct bh_client *c = NULL;

	j->r = bh_client_open(fx.path, timeout_ms, &c, &j->err);
	if (!j->r)
		j->r = bh_client_call(c, verb, take_args, &j->result, &j->retry, &j->err);
	json_decref(take_args);
}

static inline void job_echo(struct job *j)
{
	call(j, 5000, "echo", json_pack("{s:s, s:i}", "a", "\xc3\xbc", "b", 7));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
