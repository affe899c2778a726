#include "event/bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct bh_follower {
	struct bh_bus *bus;
	struct bh_follower *prev, *next;
	struct bh_event_filter filter;
	char *pod; /* filter.pod points to it */
	json_t **ring;
	size_t cap, first, n;
	uint64_t lost;
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

static void give(struct bh_follower *f, json_t *event)
{
	if (f->n == f->cap) {
		f->lost++;
		return;
	}
	f->ring[(f->first + f->n++) % f->cap] = json_incref(event);
	if (f->n == 1 && f->wake)
		f->wake(f->arg);
}

void bh_bus_publish(struct bh_bus *b, json_t *event)
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

int bh_bus_follow(struct bh_bus *b, const struct bh_event_filter *filter, size_t cap,
		  void (*wake)(void *arg), void *arg, struct bh_follower **ret, struct bh_err *err)
{
	BH_CLEANUP(follower_freep) struct bh_follower *f = calloc(1, sizeof(*f));

	if (!cap)
		return bh_fail(err, EINVAL, "event follower without room");
	if (!f)
		return bh_fail(err, ENOMEM, "event follower");
	f->ring = calloc(cap, sizeof(*f->ring));
	f->pod = filter->pod ? strdup(filter->pod) : NULL;
	if (!f->ring || (filter->pod && !f->pod))
		return bh_fail(err, ENOMEM, "event follower");
	f->cap = cap;
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
	uint64_t lost;
	json_t *event;

	if (!f)
		return;
	if (f->prev)
		f->prev->next = f->next;
	else if (f->bus)
		f->bus->followers = f->next;
	if (f->next)
		f->next->prev = f->prev;
	while ((event = bh_follower_take(f, &lost)))
		json_decref(event);
	free(f->ring);
	free(f->pod);
	free(f);
}

json_t *bh_follower_take(struct bh_follower *f, uint64_t *ret_lost)
{
	json_t *event;

	*ret_lost = f->lost;
	f->lost = 0;
	if (!f->n)
		return NULL;
	event = f->ring[f->first];
	f->first = (f->first + 1) % f->cap;
	f->n--;
	return event;
}
