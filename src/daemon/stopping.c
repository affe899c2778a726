#include "daemon/stopping.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "daemon/hostnet.h"

/* So many looks and so long at least: who was killed dies when he gets a processor, and a virtual
 * one may stand still for hundreds of milliseconds. */
#define ROUNDS	     50
#define KILL_MS	     3000
#define STOP_MS	     2000
#define SLICE_NS     4000000
#define MAX_PAUSE_MS 20

struct bh_stopping {
	struct bh_procs_round round; /* of cgroups too: who is left */
	char *dir;		     /* the cgroup; NULL: a network namespace */
	uint64_t began_ms, pause_ms;
	uint32_t rounds, reached;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct bh_stopping *stopping_new(enum bh_procs_act act)
{
	struct bh_stopping *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->round.act = act;
	s->began_ms = now_ms();
	s->pause_ms = 1;
	return s;
}

int bh_stopping_of_netns(enum bh_procs_act act, const struct bh_netns_id *ns,
			 struct bh_stopping **ret, struct bh_err *err)
{
	struct bh_stopping *s = stopping_new(act);

	if (!s)
		return bh_fail(err, ENOMEM, "processes of the pod");
	s->round.ns = *ns;
	*ret = s;
	return 0;
}

int bh_stopping_of_cgroup(enum bh_procs_act act, const char *dir, struct bh_stopping **ret,
			  struct bh_err *err)
{
	struct bh_stopping *s = stopping_new(act);

	if (s)
		s->dir = bh_strf("%s", dir);
	if (!s || !s->dir) {
		bh_stopping_free(s);
		return bh_fail(err, ENOMEM, "processes of the pod");
	}
	*ret = s;
	return 0;
}

void bh_stopping_free(struct bh_stopping *s)
{
	if (!s)
		return;
	bh_procs_round_done(&s->round);
	free(s->dir);
	free(s);
}

uint32_t bh_stopping_reached(const struct bh_stopping *s)
{
	return s->reached;
}

static int give_up(const struct bh_stopping *s, struct bh_err *err)
{
	const struct bh_procs_round *o = &s->round;
	bool kill = o->act == BH_PROCS_KILL;
	BH_CLEANUP(bh_str_done) struct bh_str who = {0};

	if (!o->named[0])
		return bh_fail(err, EBUSY, "not all processes of the pod (%u) stopped within %d s",
			       o->left, STOP_MS / 1000);
	for (uint32_t i = 0; i < o->left && i < BH_ARRAY_SIZE(o->named); i++)
		bh_str_fmt(&who, "%s%d", i ? ", " : ": pid ", (int)o->named[i]);
	if (o->left > BH_ARRAY_SIZE(o->named))
		bh_str_fmt(&who, " ...");
	return bh_fail(err, EBUSY, "%u process%s of the pod %s not %s within %d s%s", o->left,
		       o->left == 1 ? "" : "es", o->left == 1 ? "has" : "have",
		       kill ? "ended" : "stopped", (kill ? KILL_MS : STOP_MS) / 1000,
		       bh_str_text(&who));
}

/* 1: it is over; 0: to be gone on with. */
static int one_round(struct bh_stopping *s, struct bh_err *err)
{
	enum bh_hostnet_act act =
		s->round.act == BH_PROCS_KILL ? BH_HOSTNET_KILL : BH_HOSTNET_FREEZE;
	uint32_t n = 0;
	int r;

	if (!s->dir)
		return bh_procs_round(&s->round, SLICE_NS, err);
	r = bh_hostnet_act(s->dir, act, &n, err);
	if (r < 0)
		return r;
	s->round.n = n;
	bh_hostnet_left(s->dir, &s->round);
	return 1;
}

int bh_stopping_step(struct bh_stopping *s, uint64_t *ret_pause_ms, struct bh_err *err)
{
	uint64_t time_ms = s->round.act == BH_PROCS_KILL ? KILL_MS : STOP_MS;
	int r = one_round(s, err);

	*ret_pause_ms = 0;
	if (r <= 0)
		return r;
	/* who was killed is not there any more in the next look */
	if (!s->rounds || s->round.act == BH_PROCS_FREEZE)
		s->reached = s->round.n;
	s->rounds++;
	if (!s->round.left)
		return 1;
	if (s->rounds >= ROUNDS && now_ms() - s->began_ms >= time_ms)
		return give_up(s, err);
	*ret_pause_ms = s->pause_ms;
	s->pause_ms = s->pause_ms >= MAX_PAUSE_MS / 2 ? MAX_PAUSE_MS : s->pause_ms * 2;
	return 0;
}
