#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/journal.h"
#include "event/bus.h"
#include "sink/file.h"

#define FOLLOW_BYTES (512u << 10) /* of events that may wait for a slow client */
#define WAIT_MS	     5

/* One client of the events verb: first what the log has, then, if it follows, what happens. */
struct stream {
	struct bh_request *rq;
	struct bh_event_reader *reader; /* NULL: history is done */
	struct bh_follower *follower;	/* NULL: does not follow */
	struct bh_source *timer;
	json_t *stuck; /* the client had no room for it: a result */
	char *pod;
	struct bh_journal *journal;
	struct bh_event_filter filter; /* its pod is the one above */
	uint64_t told; /* events when it was asked; they are in the log when it begins */
	bool is_following, has_begun;
};

static void stream_free(struct stream *s)
{
	if (!s)
		return;
	bh_event_reader_close(s->reader);
	if (s->follower)
		bh_bus_leave(s->follower);
	bh_source_free(s->timer);
	json_decref(s->stuck);
	free(s->pod);
	free(s);
}

static void stream_freep(struct stream **s)
{
	stream_free(*s);
	*s = NULL;
}

static void on_wake(void *arg)
{
	struct stream *s = arg;

	bh_source_after(s->timer, 0);
}

/* What a follower that is too slow does not get is told in its place. */
static json_t *next_live(struct stream *s)
{
	uint64_t lost = 0;
	json_t *event = s->follower ? bh_follower_take(s->follower, &lost) : NULL;

	if (lost)
		return json_pack("{sI so*}", "lost", (json_int_t)lost, "event", event);
	return event ? json_pack("{so}", "event", event) : NULL;
}

/* 1: the next result; 0: none now; -EAGAIN: look again after a turn of the loop. */
static int next_result(struct stream *s, json_t **ret)
{
	json_t *event = NULL;
	struct bh_err err;
	int r;

	if (s->reader) {
		r = bh_event_reader_next(s->reader, &event, &err);
		if (r == 1)
			*ret = json_pack("{so}", "event", event);
		if (r == 1 || r == -EAGAIN)
			return r;
		bh_event_reader_close(s->reader);
		s->reader = NULL;
	}
	*ret = next_live(s);
	return *ret != NULL;
}

/* Opens the log, once everything that happened before the question is in it. */
static int begin(struct stream *s, struct bh_err *err)
{
	int r = 0;

	s->has_begun = true;
	if (s->is_following)
		r = bh_bus_follow(bh_journal_bus(s->journal), &s->filter, FOLLOW_BYTES, on_wake, s,
				  &s->follower, err);
	return r ? r
		 : bh_event_reader_open(bh_journal_path(s->journal), &s->filter, &s->reader, err);
}

/* true when it has begun; else it is called again, or is gone. */
static bool has_begun(struct stream *s)
{
	struct bh_request *rq = s->rq;
	struct bh_err err = {0};

	if (s->has_begun)
		return true;
	if (bh_journal_logged(s->journal) < s->told) {
		bh_source_after(s->timer, WAIT_MS);
		return false;
	}
	if (begin(s, &err) == 0)
		return true;
	bh_request_fail(rq, &err, false);
	stream_free(s);
	return false;
}

/* Sends what there is; ends the answer when the history is through and nobody follows. */
static void pump(void *arg)
{
	struct stream *s = arg;

	if (!has_begun(s))
		return;
	for (;;) {
		json_t *result = BH_TAKE(s->stuck);
		int r = result ? 1 : next_result(s, &result);

		if (r == -EAGAIN) {
			bh_source_after(s->timer, 0);
			return;
		}
		if (r != 1)
			break;
		r = bh_request_more(s->rq, json_incref(result));
		if (r == -EAGAIN) {
			s->stuck = result; /* on_room goes on */
			return;
		}
		json_decref(result);
		if (r < 0)
			return; /* on_gone follows */
	}
	if (s->is_following)
		return;
	bh_request_reply(s->rq, json_pack("{sb}", "end", 1));
	stream_free(s);
}

static void on_room(struct bh_request *rq, void *arg)
{
	(void)rq;
	pump(arg);
}

static void on_gone(struct bh_request *rq, void *arg)
{
	(void)rq;
	stream_free(arg);
}

static int read_filter(const json_t *args, struct stream *s, struct bh_err *err)
{
	struct bh_event_filter *ret = &s->filter;
	const char *class = json_string_value(json_object_get(args, "class"));
	const char *pod = json_string_value(json_object_get(args, "pod"));
	int64_t since_s = -1;
	int r = bh_json_get_bool(args, "follow", false, &s->is_following, err);

	*ret = (struct bh_event_filter){.since_ms = INT64_MIN};
	if (!r && !json_is_null(json_object_get(args, "since")))
		r = bh_json_get_int(args, "since", false, 0, INT32_MAX, &since_s, err);
	if (!r && class)
		r = bh_ocsf_class_parse(class, &ret->class_uid, err);
	if (r < 0)
		return r;
	if (since_s >= 0)
		ret->since_ms = (bh_now_s() - since_s) * 1000;
	s->pod = pod ? bh_strf("%s", pod) : NULL;
	ret->pod = s->pod;
	return pod && !s->pod ? bh_fail(err, ENOMEM, "filter") : 0;
}

void bh_journal_stream(struct bh_journal *j, struct bh_request *rq, const json_t *args)
{
	BH_CLEANUP(stream_freep) struct stream *s = calloc(1, sizeof(*s));
	struct bh_err err = {0};
	int r = s ? 0 : bh_fail(&err, ENOMEM, "no memory for one more stream");

	if (!r)
		r = read_filter(args, s, &err);
	if (!r && s->is_following)
		r = bh_request_follow(rq, &err);
	if (!r)
		r = bh_loop_timer(bh_journal_loop(j), UINT32_MAX, 0, pump, s, &s->timer, &err);
	if (r < 0) {
		bh_request_fail(rq, &err, false);
		return;
	}
	s->rq = rq;
	s->journal = j;
	s->told = bh_journal_told(j);
	bh_request_on_gone(rq, on_gone, s);
	bh_request_on_room(rq, on_room, s);
	bh_source_after(s->timer, 0);
	(void)BH_TAKE(s);
}

/* ---- events.verify: proving a long log takes seconds, so a child does it ---- */

struct proof {
	struct bh_request *rq;
	struct bh_source *source;
	int fd;
	pid_t child;
};

struct proof_result {
	int code;
	struct bh_chain_check check;
	struct bh_err err;
};

static void proof_free(struct proof *p)
{
	bh_source_free(p->source);
	bh_closep(&p->fd);
	waitpid(p->child, NULL, 0);
	free(p);
}

static void on_proof(int fd, unsigned events, void *arg)
{
	struct proof *p = arg;
	struct proof_result res;
	struct bh_err err = {0};

	(void)events;
	if (read(fd, &res, sizeof(res)) != (ssize_t)sizeof(res)) {
		bh_fail(&err, EIO, "the check was ended from outside");
		bh_request_fail(p->rq, &err, true);
	} else {
		bh_request_reply(p->rq, json_pack("{sb ss? sI sI sI sI sI}", "whole", res.code == 0,
						  "problem", res.code ? res.err.text : NULL,
						  "lines", (json_int_t)res.check.lines, "firstSeq",
						  (json_int_t)res.check.first_seq, "lastSeq",
						  (json_int_t)res.check.at.seq, "missed",
						  (json_int_t)res.check.gaps.missed, "tornBytes",
						  (json_int_t)res.check.gaps.torn));
	}
	proof_free(p);
}

static void on_proof_gone(struct bh_request *rq, void *arg)
{
	(void)rq;
	proof_free(arg);
}

static void prove(const struct bh_journal *j, int fd)
{
	struct bh_event_log_state s = bh_journal_state(j);
	struct proof_result res = {0};

	res.code = bh_event_log_prove(bh_journal_path(j), &s, &res.check, &res.err);
	res.check.name = NULL;
	_exit(write(fd, &res, sizeof(res)) != (ssize_t)sizeof(res));
}

void bh_journal_verify(struct bh_journal *j, struct bh_request *rq)
{
	struct proof *p = calloc(1, sizeof(*p));
	struct bh_err err = {0};
	int fds[2] = {-1, -1};
	int r = 0;

	if (!p || pipe2(fds, O_CLOEXEC))
		r = bh_fail(&err, ENOMEM, "no room for one more check");
	if (!r) {
		p->child = fork();
		if (p->child == 0)
			prove(j, fds[1]);
		if (p->child < 0)
			r = bh_fail_sys(&err, errno, "fork");
	}
	bh_closep(&fds[1]);
	if (!r) {
		p->rq = rq;
		p->fd = fds[0];
		r = bh_loop_fd(bh_journal_loop(j), p->fd, BH_LOOP_READ, on_proof, p, &p->source,
			       &err);
	}
	if (!r) {
		bh_request_on_gone(rq, on_proof_gone, p);
		return;
	}
	bh_closep(&fds[0]);
	free(p);
	bh_request_fail(rq, &err, true);
}
