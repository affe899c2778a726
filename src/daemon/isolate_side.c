/* isolate_side.c - a pod that is cut off makes itself another interface: it is deleted as soon as
 * it is there. What another plugin had made before is set down, and stays so. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/isolate_parts.h"
#include "net/sideways.h"

/* A plugin before us in the chain makes an interface, and we are asked about it then. */
#define CHAIN_MS 5000

struct bh_sides {
	struct bh_daemon *d;
	struct bh_side_watch *watch;
	struct bh_source *source, *timer;
	bool is_late; /* no plugin is on the way any more */
};

/* The pod's own interface has its end in our namespace, where our programs are. */
static bool is_known(const struct bh_daemon *d, const struct bh_side_link *l,
		     const struct bh_endpoint **ret_cut)
{
	bool is_own = false;

	*ret_cut = NULL;
	bh_vec_each (it, &d->endpoints.eps) {
		const struct bh_endpoint *ep = *it;

		if (ep->nsid != l->nsid)
			continue;
		if (ep->is_quarantined)
			*ret_cut = ep;
		is_own |= ep->ifindex == l->other && !strcmp(l->kind, "veth");
	}
	return is_own;
}

static void end(struct bh_sides *s, const struct bh_side_link *l, bool is_deleted)
{
	const struct bh_endpoint *ep;
	struct bh_err err = {0};
	int r;

	if (l->is_harmless || is_known(s->d, l, &ep) || !ep)
		return;
	if (!s->is_late && !strcmp(l->kind, "veth")) {
		bh_source_after(s->timer, CHAIN_MS);
		return;
	}
	r = is_deleted ? bh_side_delete(l, &err) : bh_side_set_down(ep->netns, l, &err);
	if (r == -EOPNOTSUPP)
		r = bh_side_set_down(ep->netns, l, &err);
	if (r == -ENODEV)
		return;
	if (r < 0)
		bh_error("quarantine of '%s/%s': device '%s' leads out of it: %s", ep->ns, ep->name,
			 l->name, err.text);
	else
		bh_warn("quarantine of '%s/%s': device '%s' (%s), which led out of it, was %s",
			ep->ns, ep->name, l->name, l->kind, is_deleted ? "deleted" : "set down");
}

static void on_new(const struct bh_side_link *l, void *arg)
{
	end(arg, l, true);
}

static void on_present(const struct bh_side_link *l, void *arg)
{
	end(arg, l, false);
}

void bh_sides_look(struct bh_isolation *q, const struct bh_endpoint *ep, bool is_late)
{
	struct bh_err err = {0};

	if (!q->sides || ep->nsid < 0)
		return;
	q->sides->is_late = is_late;
	if (bh_side_each(ep->nsid, on_present, q->sides, &err) < 0)
		bh_warn("quarantine of '%s/%s': its devices are not known: %s", ep->ns, ep->name,
			err.text);
	q->sides->is_late = false;
}

static void look_again(struct bh_sides *s)
{
	bh_vec_each (it, &s->d->endpoints.eps) {
		struct bh_err err = {0};

		if ((*it)->is_quarantined && (*it)->nsid >= 0)
			bh_side_each((*it)->nsid, on_new, s, &err);
	}
}

static void on_late(void *arg)
{
	struct bh_sides *s = arg;

	s->is_late = true;
	look_again(s);
	s->is_late = false;
}

static void on_readable(int fd, unsigned events, void *arg)
{
	struct bh_sides *s = arg;

	(void)fd;
	(void)events;
	if (!bh_side_consume(s->watch, on_new, s))
		look_again(s);
}

int bh_sides_open(struct bh_isolation *q, struct bh_err *err)
{
	struct bh_sides *s;
	int r;

	if (q->sides)
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return bh_fail(err, ENOMEM, "devices of pods");
	s->d = q->d;
	q->sides = s;
	r = bh_side_open(&s->watch, err);
	if (!r)
		r = bh_loop_fd(q->d->loop, bh_side_fd(s->watch), BH_LOOP_READ, on_readable, s,
			       &s->source, err);
	if (!r)
		r = bh_loop_timer(q->d->loop, UINT32_MAX, 0, on_late, s, &s->timer, err);
	if (r)
		bh_sides_close(q);
	return r;
}

void bh_sides_close(struct bh_isolation *q)
{
	if (!q->sides)
		return;
	bh_source_free(q->sides->source);
	bh_source_free(q->sides->timer);
	bh_side_close(q->sides->watch);
	free(q->sides);
	q->sides = NULL;
}
