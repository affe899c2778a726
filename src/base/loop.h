/* loop.h - the one event loop, a thin face on libevent: descriptors, timers, signals, children.
 * One thread. Callbacks may free their own source. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct event_base;
struct bh_loop;
struct bh_source; /* one watched thing; freed by bh_source_free */

#define BH_LOOP_READ  1u
#define BH_LOOP_WRITE 2u

typedef void bh_loop_fd_fn(int fd, unsigned events, void *arg);
typedef void bh_loop_fn(void *arg);

int bh_loop_new(struct bh_loop **ret, struct bh_err *err);
void bh_loop_free(struct bh_loop *l);
/* Runs until bh_loop_stop. Returns 0 or -errno. */
int bh_loop_run(struct bh_loop *l, struct bh_err *err);
void bh_loop_stop(struct bh_loop *l);
/* The libevent base, for evhttp only. Borrowed. */
struct event_base *bh_loop_base(struct bh_loop *l);

/* The loop does not own fd. events: BH_LOOP_READ | BH_LOOP_WRITE. */
int bh_loop_fd(struct bh_loop *l, int fd, unsigned events, bh_loop_fd_fn *fn, void *arg,
	       struct bh_source **ret, struct bh_err *err);
/* Changes what a descriptor source waits for; 0 pauses it. */
int bh_source_set(struct bh_source *s, unsigned events);
/* Timer: first after delay_ms, then every period_ms (0: once). */
int bh_loop_timer(struct bh_loop *l, uint64_t delay_ms, uint64_t period_ms, bh_loop_fn *fn,
		  void *arg, struct bh_source **ret, struct bh_err *err);
/* Re-arms a timer source: fires once after delay_ms. */
int bh_source_after(struct bh_source *s, uint64_t delay_ms);
int bh_loop_signal(struct bh_loop *l, int signo, bh_loop_fn *fn, void *arg, struct bh_source **ret,
		   struct bh_err *err);
void bh_source_free(struct bh_source *s);
static inline void bh_source_freep(struct bh_source **s)
{
	bh_source_free(*s);
	*s = NULL;
}
