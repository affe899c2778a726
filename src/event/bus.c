#include "event/bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "event/backlog.h"

struct bh_follower {
	struct bh_bus *bus;
	struct bh_follower *prev, *next;
	struct bh_event_filter filter;
	char *pod;		    /* filter.pod points to it */
	struct bh_backlog *waiting; /* NULL: it only wants to be woken */
	bool is_woken;
	void (*wake)(void *arg);
	void *arg;
};

struct bh_bus {
	struct bh_follower *followers;
};

int bh_bus_new(struct bh_bus **ret, struct bh_err *err)
{
	struct bh_bus *b = calloc(1, sizeof(*b));

	if (!b)
		return bh_fail(err, ENOMEM, "event bus");
	*ret = b;
	return 0;
}

void bh_bus_free(struct bh_bus *b)
{
	if (!b)
		return;
	while (b->followers)
		bh_bus_leave(b->followers);
	free(b);
}

static void give(struct bh_follower *f, const json_t *event)
{
	if (f->waiting)
		bh_backlog_add(f->waiting, event);
	if (!f->is_woken && f->wake)
		f->wake(f->arg);
	f->is_woken = true;
}

void bh_bus_publish(struct bh_bus *b, const json_t *event)
{
	for (struct bh_follower *f = b->followers; f; f = f->next) {
		if (bh_event_matches(&f->filter, event))
			give(f, event);
	}
}

static void follower_freep(struct bh_follower **f)
{
	bh_bus_leave(*f);
	*f = NULL;
}

int bh_bus_follow(struct bh_bus *b, const struct bh_event_filter *filter, size_t max_bytes,
		  void (*wake)(void *arg), void *arg, struct bh_follower **ret, struct bh_err *err)
{
	BH_CLEANUP(follower_freep) struct bh_follower *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return bh_fail(err, ENOMEM, "event follower");
	f->pod = filter->pod ? strdup(filter->pod) : NULL;
	if (filter->pod && !f->pod)
		return bh_fail(err, ENOMEM, "event follower");
	r = max_bytes ? bh_backlog_new(max_bytes, &f->waiting, err) : 0;
	if (r)
		return r;
	f->filter = *filter;
	f->filter.pod = f->pod;
	f->wake = wake;
	f->arg = arg;
	f->bus = b;
	f->next = b->followers;
	if (f->next)
		f->next->prev = f;
	b->followers = f;
	*ret = BH_TAKE(f);
	return 0;
}

void bh_bus_leave(struct bh_follower *f)
{
	if (!f)
		return;
	if (f->prev)
		f->prev->next = f->next;
	else if (f->bus)
		f->bus->followers = f->next;
	if (f->next)
		f->next->prev = f->prev;
	bh_backlog_free(f->waiting);
	free(f->pod);
	free(f);
}

json_t *bh_follower_take(struct bh_follower *f, uint64_t *ret_lost)
{
	json_t *event = NULL;

	*ret_lost = 0;
	f->is_woken = false;
	if (!f->waiting)
		return NULL;
	/* what cannot be read again for want of memory is lost too */
	while (!event && bh_backlog_count(f->waiting)) {
		event = bh_backlog_first(f->waiting);
		*ret_lost += !event;
		bh_backlog_done(f->waiting);
	}
	f->is_woken = event != NULL;
	if (!event)
		*ret_lost += bh_backlog_take_dropped(f->waiting);
	return event;
}
