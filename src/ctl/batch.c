#include "ctl/batch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "ctl/frame.h"
#include "ctl/spawn.h"

#define MAX_ANSWER (16u << 20)

struct bh_batch {
	pid_t pid;
	int fd;
	char *out;
	size_t out_len, out_at;
	struct bh_frame_reader in;
};

/* ---- starting ---- */

int bh_batch_start(const struct bh_batch_options *opt, const json_t *question,
		   struct bh_batch **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_batch_endp) struct bh_batch *w = calloc(1, sizeof(*w));
	int fds[2], r;

	if (!w)
		return bh_fail(err, ENOMEM, "worker");
	w->fd = -1;
	w->in.max = MAX_ANSWER;
	r = bh_frame_encode(question, 0, &w->out, &w->out_len, err);
	if (r)
		return r;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return bh_fail_sys(err, errno, "worker");
	w->fd = fds[0];
	r = bh_spawn_worker(fds[1], opt->mode, &w->pid, err);
	close(fds[1]);
	if (r)
		return r;
	*ret = BH_TAKE(w);
	return 0;
}

void bh_batch_end(struct bh_batch *w)
{
	if (!w)
		return;
	bh_closep(&w->fd);
	if (w->pid > 0) {
		kill(w->pid, SIGKILL);
		while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
			continue;
	}
	if (w->out)
		explicit_bzero(w->out, w->out_len); /* there may be credentials in it */
	free(w->out);
	bh_frame_done(&w->in);
	free(w);
}

void bh_batch_endp(struct bh_batch **w)
{
	bh_batch_end(*w);
	*w = NULL;
}

/* ---- talking ---- */

int bh_batch_say(struct bh_batch *w, const json_t *question, struct bh_err *err)
{
	char *frame = NULL, *all;
	size_t len = 0, left = w->out_len - w->out_at;
	int r = bh_frame_encode(question, 0, &frame, &len, err);

	if (r)
		return r;
	all = malloc(left + len);
	if (all) {
		memcpy(all, w->out + w->out_at, left);
		memcpy(all + left, frame, len);
		free(w->out);
		w->out = all;
		w->out_len = left + len;
		w->out_at = 0;
	}
	free(frame);
	return all ? 0 : bh_fail(err, ENOMEM, "worker");
}

int bh_batch_fd(const struct bh_batch *w)
{
	return w->fd;
}

bool bh_batch_wants_write(const struct bh_batch *w)
{
	return w->out_at < w->out_len;
}

static int push(struct bh_batch *w, struct bh_err *err)
{
	while (bh_batch_wants_write(w)) {
		ssize_t n = send(w->fd, w->out + w->out_at, w->out_len - w->out_at,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		/* it may have said why before it closed */
		if (n < 0 && (errno == EAGAIN || errno == EPIPE || errno == ECONNRESET))
			return 0;
		if (n < 0)
			return bh_fail_sys(err, errno, "send to the worker");
		w->out_at += (size_t)n;
	}
	explicit_bzero(w->out, w->out_len); /* there may be credentials in it */
	return 0;
}

/* 1: something came; 0: nothing yet. */
static int pull(struct bh_batch *w, struct bh_err *err)
{
	char buf[16384];
	ssize_t n = recv(w->fd, buf, sizeof(buf), MSG_DONTWAIT);
	int r;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0 && errno != ECONNRESET)
		return bh_fail_sys(err, errno, "read from the worker");
	if (n <= 0)
		return bh_fail(err, EPIPE, "the worker ended without an answer");
	r = bh_frame_feed(&w->in, buf, (size_t)n, err);
	return r ? bh_note(err, r, "worker") : 1;
}

/* The worker says that it cannot work, as one frame with an error. */
static int check_answer(const json_t *answer, struct bh_err *err)
{
	const json_t *e = json_object_get(answer, "error");
	const char *text = json_string_value(json_object_get(e, "message"));
	json_int_t code = json_integer_value(json_object_get(e, "code"));

	if (!e)
		return 0;
	return bh_fail(err, code > 0 && code < 4096 ? (int)code : EPROTO, "worker: %s",
		       text ? text : "failed");
}

int bh_batch_step(struct bh_batch *w, json_t **ret, struct bh_err *err)
{
	json_t *answer = NULL;
	unsigned flags;
	int r = push(w, err);

	while (!r) {
		r = bh_frame_next(&w->in, &answer, &flags, err);
		if (r)
			break;
		r = pull(w, err);
		if (r <= 0)
			return r;
		r = 0;
	}
	if (r < 0)
		return r;
	r = check_answer(answer, err);
	if (r) {
		json_decref(answer);
		return r;
	}
	*ret = answer;
	return 1;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int bh_batch_ask(struct bh_batch *w, size_t n, int timeout_ms,
		 void (*fn)(const json_t *answer, void *arg), void *arg, struct bh_err *err)
{
	int64_t end = now_ms() + timeout_ms;
	size_t done = 0;

	while (done < n) {
		BH_CLEANUP(bh_json_decrefp) json_t *answer = NULL;
		struct pollfd p = {.fd = w->fd, .events = POLLIN};
		int64_t left = end - now_ms();
		int r = bh_batch_step(w, &answer, err);

		if (r < 0)
			return r;
		if (r) {
			fn(answer, arg);
			done++;
			continue;
		}
		if (left <= 0)
			return bh_fail(err, ETIMEDOUT, "the worker did not answer within %d ms",
				       timeout_ms);
		p.events |= bh_batch_wants_write(w) ? POLLOUT : 0;
		poll(&p, 1, (int)left);
	}
	return 0;
}
