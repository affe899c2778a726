#include "worker/serve.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "ctl/frame.h"
#include "kube/cri.h"
#include "worker/sink.h"

#define MAX_QUESTION (64u << 20) /* a batch of the longest events, escaped */

static int send_frame(int fd, json_t *take_body, struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *body = take_body;
	BH_CLEANUP(bh_freep) char *frame = NULL;
	size_t len = 0, at = 0;
	int r = body ? bh_frame_encode(body, 0, &frame, &len, err) : bh_fail(err, ENOMEM, "answer");

	while (!r && at < len) {
		ssize_t n = send(fd, frame + at, len - at, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			r = bh_fail_sys(err, errno, "answer");
		at += n > 0 ? (size_t)n : 0;
	}
	return r;
}

/* 1: the next frame, the caller's; 0: the daemon hung up. */
static int next_frame(int fd, struct bh_frame_reader *in, json_t **ret, struct bh_err *err)
{
	char buf[65536];
	unsigned flags;
	int r;

	while (!(r = bh_frame_next(in, ret, &flags, err))) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return 0;
		r = bh_frame_feed(in, buf, (size_t)n, err);
		if (r)
			return r;
	}
	return r;
}

static int serve(int fd, struct bh_frame_reader *in, struct bh_sink_sender **sender,
		 struct bh_err *err)
{
	for (;;) {
		BH_CLEANUP(bh_json_decrefp) json_t *question = NULL;
		int r = next_frame(fd, in, &question, err);

		if (r <= 0)
			return r;
		if (!*sender) {
			r = bh_sink_sender_new(question, sender, err);
		} else {
			r = send_frame(fd, bh_sink_sender_ask(*sender, question, time(NULL)), err);
		}
		if (r)
			return r;
	}
}

int bh_serve_sink(int fd, const struct bh_confine *c)
{
	struct bh_frame_reader in = {.max = MAX_QUESTION};
	BH_CLEANUP(bh_sink_sender_freep) struct bh_sink_sender *sender = NULL;
	struct bh_err err = {0}, ignored;
	int r = bh_confine(c, &err);

	if (!r)
		r = serve(fd, &in, &sender, &err);
	bh_frame_done(&in);
	if (r)
		send_frame(fd, json_pack("{s:s}", "fatal", err.text), &ignored);
	return r ? 1 : 0;
}

/* ---- the container runtime ---- */

static int answer_looks(int fd, struct bh_frame_reader *in, struct bh_cri *cri, struct bh_err *err)
{
	for (;;) {
		BH_CLEANUP(bh_json_decrefp) json_t *question = NULL;
		json_t *answer = NULL;
		int r = next_frame(fd, in, &question, err);

		if (r <= 0)
			return r;
		r = bh_cri_look(cri, &answer, err);
		if (!r)
			r = send_frame(fd, answer, err);
		if (r)
			return r;
	}
}

static int open_cri(int fd, struct bh_frame_reader *in, const struct bh_confine *c,
		    struct bh_cri **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *first = NULL;
	const char *path = NULL;
	int r = next_frame(fd, in, &first, err);

	if (r <= 0)
		return r ? r : bh_fail(err, EPIPE, "no question");
	r = bh_json_get_str(first, "socket", true, &path, err);
	if (!r)
		r = bh_cri_new(path, ret, err);
	return r ? r : bh_confine(c, err);
}

int bh_serve_cri(int fd, const struct bh_confine *c)
{
	struct bh_frame_reader in = {.max = MAX_QUESTION};
	BH_CLEANUP(bh_cri_freep) struct bh_cri *cri = NULL;
	struct bh_err err = {0}, ignored;
	int r = open_cri(fd, &in, c, &cri, &err);

	if (!r)
		r = answer_looks(fd, &in, cri, &err);
	bh_frame_done(&in);
	if (r)
		send_frame(fd,
			   json_pack("{s:{s:i, s:s}}", "error", "code", -r, "message", err.text),
			   &ignored);
	return r ? 1 : 0;
}
