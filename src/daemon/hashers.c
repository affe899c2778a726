#include "daemon/hashers.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "ctl/spawn.h"

#define LANES	 2
#define SMALL	 (8ull << 20)
#define QUEUE	 128   /* files of one lane, each an open descriptor */
#define IDLE_MS	 20000 /* then the worker ends */
#define AGAIN_MS 1000  /* between a failure and the next start */

struct job {
	uint64_t ticket;
	int fd;
	int64_t start_ms; /* monotonic; not before */
};

struct lane {
	struct bh_hashers *h;
	unsigned deadline_ms; /* for one file */
	pid_t worker;	      /* 0: none */
	bool is_ending;	      /* it was killed and is not yet gone */
	bool is_asked;	      /* the first job is with the worker */
	bool has_answered;    /* since it was started */
	bool is_broken;	      /* the last one was of no use, and that was said */
	int64_t again_ms;     /* monotonic; no start before */
	int fd;
	struct bh_source *source, *timer;
	struct job jobs[QUEUE]; /* a ring */
	unsigned first, n;
};

struct bh_hashers {
	struct bh_loop *loop;
	bh_hashers_fn *fn;
	void *arg;
	struct lane lanes[LANES];
};

static void go_on(struct lane *l);

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A worker that waits for a disk dies when the disk answers; nobody waits for that here. */
static bool is_reaped(struct lane *l)
{
	if (l->is_ending && waitpid(l->worker, NULL, WNOHANG) != 0) {
		l->is_ending = false;
		l->worker = 0;
	}
	return !l->is_ending;
}

static void end_worker(struct lane *l)
{
	bh_source_freep(&l->source);
	bh_closep(&l->fd);
	l->is_asked = l->has_answered = false;
	if (l->worker > 0) {
		kill(l->worker, SIGKILL);
		l->is_ending = true;
	}
	is_reaped(l);
}

static void answer_first(struct lane *l, const struct bh_hash_answer *a)
{
	struct job job = l->jobs[l->first];

	l->first = (l->first + 1) % QUEUE;
	l->n--;
	l->is_asked = false;
	l->h->fn(job.ticket, job.fd, a, l->h->arg);
	close(job.fd);
}

static void fail_first(struct lane *l, int error)
{
	const struct bh_hash_answer a = {.error = (uint32_t)error};

	answer_first(l, &a);
}

/* All that wait: a worker that cannot be had would keep them waiting for nothing. */
static void fail_all(struct lane *l, int error)
{
	while (l->n)
		fail_first(l, error);
}

static void on_timer(void *arg)
{
	struct lane *l = arg;

	if (l->is_asked) {
		bh_warn("a file was not read in %u ms; its worker is ended", l->deadline_ms);
		end_worker(l);
		fail_first(l, ETIMEDOUT);
	} else if (!l->n) {
		end_worker(l);
	}
	if (l->n)
		go_on(l);
	else if (l->is_ending)
		bh_source_after(l->timer, AGAIN_MS);
}

static void give_up(struct lane *l, const struct bh_err *err)
{
	if (!l->is_broken)
		bh_error("files are not hashed: %s", err->text);
	l->is_broken = true;
	l->again_ms = now_ms() + AGAIN_MS;
	end_worker(l);
	fail_all(l, EPIPE);
}

/* The next one is started at once, unless this one did not do anything: so may that one. */
static void lose_worker(struct lane *l)
{
	struct bh_err err;

	bh_fail(&err, EPIPE, "a worker ended or spoke out of turn");
	if (l->is_asked && !l->has_answered) {
		give_up(l, &err);
		return;
	}
	bh_error("%s", err.text);
	end_worker(l);
	fail_all(l, EPIPE);
}

static void on_answer(int fd, unsigned events, void *arg)
{
	struct lane *l = arg;
	struct bh_hash_answer a;
	ssize_t n = recv(fd, &a, sizeof(a), MSG_DONTWAIT | MSG_TRUNC);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == (ssize_t)sizeof(a) && l->is_asked && a.id == l->jobs[l->first].ticket) {
		l->has_answered = true;
		l->is_broken = false;
		answer_first(l, &a);
	} else {
		lose_worker(l);
	}
	if (l->n)
		go_on(l);
	else
		bh_source_after(l->timer, l->is_ending ? AGAIN_MS : IDLE_MS);
}

static int start_worker(struct lane *l, struct bh_err *err)
{
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return bh_fail_sys(err, errno, "socket to the worker");
	l->fd = fds[0];
	r = bh_spawn_worker(fds[1], "hash", &l->worker, err);
	close(fds[1]);
	if (!r)
		r = bh_loop_fd(l->h->loop, l->fd, BH_LOOP_READ, on_answer, l, &l->source, err);
	return r;
}

static int send_job(const struct lane *l, const struct job *job, struct bh_err *err)
{
	struct bh_hash_ask ask = {.id = job->ticket, .max = BH_HASH_MAX};
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec v = {&ask, sizeof(ask)};
	struct msghdr m = {.msg_iov = &v,
			   .msg_iovlen = 1,
			   .msg_control = control.bytes,
			   .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &job->fd, sizeof(int));
	if (sendmsg(l->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof(ask))
		return bh_fail_sys(err, errno, "ask the worker");
	return 0;
}

/* Hands the first job to the worker, which is started if need be. */
static void go_on(struct lane *l)
{
	const struct job *job = &l->jobs[l->first];
	int64_t left_ms = job->start_ms - now_ms();
	struct bh_err err = {0};
	int r = 0;

	if (l->is_asked)
		return;
	if (left_ms > 0 || !is_reaped(l)) {
		bh_source_after(l->timer, left_ms > 0 ? (uint64_t)left_ms : AGAIN_MS);
		return;
	}
	if (!l->worker)
		r = start_worker(l, &err);
	if (!r)
		r = send_job(l, job, &err);
	if (r) {
		give_up(l, &err);
		return;
	}
	l->is_asked = true;
	bh_source_after(l->timer, l->deadline_ms);
}

int bh_hashers_ask(struct bh_hashers *h, const struct bh_hashers_file *f, int take_fd)
{
	struct lane *l = &h->lanes[f->size > SMALL];
	int64_t now = now_ms();
	bool is_down = l->is_broken && now < l->again_ms;

	if (l->n == QUEUE || is_down) {
		close(take_fd);
		return is_down ? -EPIPE : -EBUSY;
	}
	l->jobs[(l->first + l->n++) % QUEUE] = (struct job){f->ticket, take_fd, now + f->delay_ms};
	/* from the loop, so that nobody is answered while still asking */
	if (!l->is_asked && l->n == 1)
		bh_source_after(l->timer, 0);
	return 0;
}

unsigned bh_hashers_waiting(const struct bh_hashers *h)
{
	unsigned n = 0;

	for (size_t i = 0; i < LANES; i++)
		n += h->lanes[i].n;
	return n;
}

static void hashers_freep(struct bh_hashers **h)
{
	bh_hashers_close(*h);
}

int bh_hashers_open(struct bh_loop *loop, bh_hashers_fn *fn, void *arg, struct bh_hashers **ret,
		    struct bh_err *err)
{
	static const unsigned deadlines_ms[LANES] = {5000, 120000};
	BH_CLEANUP(hashers_freep) struct bh_hashers *h = calloc(1, sizeof(*h));

	if (!h)
		return bh_fail(err, ENOMEM, "hashing files");
	*h = (struct bh_hashers){.loop = loop, .fn = fn, .arg = arg};
	for (size_t i = 0; i < LANES; i++)
		h->lanes[i] = (struct lane){.h = h, .fd = -1, .deadline_ms = deadlines_ms[i]};
	for (size_t i = 0; i < LANES; i++) {
		struct lane *l = &h->lanes[i];
		int r = bh_loop_timer(loop, UINT32_MAX, 0, on_timer, l, &l->timer, err);

		if (r)
			return r;
	}
	*ret = BH_TAKE(h);
	return 0;
}

void bh_hashers_close(struct bh_hashers *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < LANES; i++) {
		struct lane *l = &h->lanes[i];

		end_worker(l);
		bh_source_free(l->timer);
		for (; l->n; l->n--, l->first = (l->first + 1) % QUEUE)
			close(l->jobs[l->first].fd);
	}
	free(h);
}
