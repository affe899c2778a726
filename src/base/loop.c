#include "base/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>

#include "base/log.h"

enum source_kind { SOURCE_FD, SOURCE_TIMER, SOURCE_SIGNAL };

/* Every source is on its loop's list, so that the two may be freed in either order. */
struct bh_source {
	struct event *ev; /* NULL once the loop is gone */
	struct bh_loop *loop;
	struct bh_source *next, *prev;
	enum source_kind kind;
	int fd;
	uint64_t period_ms;
	bh_loop_fd_fn *fd_fn;
	bh_loop_fn *fn;
	void *arg;
};

struct bh_loop {
	struct event_base *base;
	struct bh_source *sources;
	bool should_stop;
};

/* ---- the loop ---- */

static void config_freep(struct event_config **c)
{
	if (*c)
		event_config_free(*c);
}

/* What libevent has to say comes back as an error code too. */
static void on_libevent_log(int severity, const char *msg)
{
	(void)severity;
	bh_debug("libevent: %s", msg);
}

int bh_loop_new(struct bh_loop **ret, struct bh_err *err)
{
	BH_CLEANUP(config_freep) struct event_config *config = event_config_new();
	BH_CLEANUP(bh_freep) struct bh_loop *l = calloc(1, sizeof(*l));

	if (!l || !config)
		return bh_fail(err, ENOMEM, "event loop");
	/* no cached or coarse clock: deadlines are measured from now, not from the last wake-up */
	if (event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV |
						  EVENT_BASE_FLAG_NO_CACHE_TIME |
						  EVENT_BASE_FLAG_PRECISE_TIMER))
		return bh_fail(err, EIO, "event loop: libevent refuses its flags");
	l->base = event_base_new_with_config(config);
	if (!l->base)
		return bh_fail(err, ENOMEM, "event loop: libevent gives none");
	event_set_log_callback(on_libevent_log);
	*ret = BH_TAKE(l);
	return 0;
}

static void detach(struct bh_source *s)
{
	if (!s->loop)
		return;
	event_free(s->ev);
	if (s->prev)
		s->prev->next = s->next;
	else
		s->loop->sources = s->next;
	if (s->next)
		s->next->prev = s->prev;
	s->ev = NULL;
	s->loop = NULL;
}

void bh_loop_free(struct bh_loop *l)
{
	if (!l)
		return;
	while (l->sources)
		detach(l->sources);
	event_base_free(l->base);
	free(l);
}

int bh_loop_run(struct bh_loop *l, struct bh_err *err)
{
	/* libevent forgets a break asked for between two runs, hence our own flag */
	while (!l->should_stop) {
		if (event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY) < 0)
			return bh_fail(err, EIO, "event loop: the kernel's poll failed");
	}
	l->should_stop = false;
	return 0;
}

void bh_loop_stop(struct bh_loop *l)
{
	l->should_stop = true;
	event_base_loopbreak(l->base);
}

struct event_base *bh_loop_base(struct bh_loop *l)
{
	return l->base;
}

/* ---- sources ---- */

static struct timeval to_timeval(uint64_t ms)
{
	return (struct timeval){.tv_sec = (time_t)(ms / 1000),
				.tv_usec = (suseconds_t)(ms % 1000 * 1000)};
}

static int arm_timer(struct bh_source *s, uint64_t ms)
{
	struct timeval tv = to_timeval(ms);

	return event_add(s->ev, &tv) ? -ENOMEM : 0;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct bh_source *s = arg;
	unsigned events = 0;

	if (s->kind == SOURCE_FD) {
		if (what & EV_READ)
			events |= BH_LOOP_READ;
		if (what & EV_WRITE)
			events |= BH_LOOP_WRITE;
		s->fd_fn(fd, events, s->arg);
		return;
	}
	/* armed before the callback, which may free or re-arm the source; re-adding a timer
	 * reuses its heap slot, so it does not fail */
	if (s->kind == SOURCE_TIMER && s->period_ms)
		arm_timer(s, s->period_ms);
	s->fn(s->arg);
}

static struct bh_source *source_new(struct bh_loop *l, enum source_kind kind, int fd, short what)
{
	struct bh_source *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->ev = event_new(l->base, fd, what, on_event, s);
	if (!s->ev) {
		free(s);
		return NULL;
	}
	s->kind = kind;
	s->fd = fd;
	s->loop = l;
	s->next = l->sources;
	if (s->next)
		s->next->prev = s;
	l->sources = s;
	return s;
}

static short to_what(unsigned events)
{
	return (short)((events & BH_LOOP_READ ? EV_READ : 0) |
		       (events & BH_LOOP_WRITE ? EV_WRITE : 0) | EV_PERSIST);
}

static int add_now(struct event *ev)
{
	errno = 0;
	if (event_add(ev, NULL) == 0)
		return 0;
	return errno ? -errno : -EIO;
}

int bh_loop_fd(struct bh_loop *l, int fd, unsigned events, bh_loop_fd_fn *fn, void *arg,
	       struct bh_source **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_source_freep) struct bh_source *s = NULL;
	int r;

	if (fd < 0)
		return bh_fail(err, EBADF, "watch descriptor %d", fd);
	s = source_new(l, SOURCE_FD, fd, to_what(events));
	if (!s)
		return bh_fail(err, ENOMEM, "watch descriptor %d", fd);
	s->fd_fn = fn;
	s->arg = arg;
	r = events ? add_now(s->ev) : 0;
	if (r)
		return bh_fail_sys(err, -r, "watch descriptor %d", fd);
	*ret = BH_TAKE(s);
	return 0;
}

int bh_source_set(struct bh_source *s, unsigned events)
{
	if (s->kind != SOURCE_FD || !s->loop)
		return -EINVAL;
	if (event_del(s->ev))
		return -EIO;
	if (!events)
		return 0;
	if (event_assign(s->ev, s->loop->base, s->fd, to_what(events), on_event, s))
		return -EINVAL;
	return add_now(s->ev);
}

int bh_loop_timer(struct bh_loop *l, uint64_t delay_ms, uint64_t period_ms, bh_loop_fn *fn,
		  void *arg, struct bh_source **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_source_freep) struct bh_source *s = source_new(l, SOURCE_TIMER, -1, 0);

	if (!s)
		return bh_fail(err, ENOMEM, "timer");
	s->fn = fn;
	s->arg = arg;
	s->period_ms = period_ms;
	if (arm_timer(s, delay_ms))
		return bh_fail(err, ENOMEM, "timer");
	*ret = BH_TAKE(s);
	return 0;
}

int bh_source_after(struct bh_source *s, uint64_t delay_ms)
{
	if (s->kind != SOURCE_TIMER || !s->loop)
		return -EINVAL;
	s->period_ms = 0;
	return arm_timer(s, delay_ms);
}

int bh_loop_signal(struct bh_loop *l, int signo, bh_loop_fn *fn, void *arg, struct bh_source **ret,
		   struct bh_err *err)
{
	BH_CLEANUP(bh_source_freep) struct bh_source *s = NULL;
	int r;

	if (signo <= 0 || signo >= NSIG)
		return bh_fail(err, EINVAL, "watch signal %d", signo);
	s = source_new(l, SOURCE_SIGNAL, signo, EV_SIGNAL | EV_PERSIST);
	if (!s)
		return bh_fail(err, ENOMEM, "watch signal %d", signo);
	s->fn = fn;
	s->arg = arg;
	r = add_now(s->ev);
	if (r)
		return bh_fail_sys(err, -r, "watch signal %d", signo);
	*ret = BH_TAKE(s);
	return 0;
}

void bh_source_free(struct bh_source *s)
{
	if (!s)
		return;
	detach(s);
	free(s);
}
