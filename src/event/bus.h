/* bus.h - bounded fan-out of events to followers. A slow follower loses events, never the publisher
 * time or memory: what waits for it is text of so many bytes, and a counter says how many it did
 * not get. Pure: waking up a follower is the caller's business. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "event/ocsf.h"

struct bh_bus;
struct bh_follower;

int bh_bus_new(struct bh_bus **ret, struct bh_err *err);
/* Ends all followers too. */
void bh_bus_free(struct bh_bus *b);
static inline void bh_bus_freep(struct bh_bus **b)
{
	bh_bus_free(*b);
	*b = NULL;
}

/* Gives an event to everyone whose filter it matches. */
void bh_bus_publish(struct bh_bus *b, const json_t *event);

/* filter is copied, its pod too. max_bytes: of the text of events that may wait; 0: none does, it
 * is only woken. wake is called from within publish when the first event comes after
 * bh_follower_take said that there is none; it must neither take events nor leave the bus. */
int bh_bus_follow(struct bh_bus *b, const struct bh_event_filter *filter, size_t max_bytes,
		  void (*wake)(void *arg), void *arg, struct bh_follower **ret, struct bh_err *err);
void bh_bus_leave(struct bh_follower *f);
/* Next event, owned by the caller; NULL: none waits. *ret_lost: so many were lost before it, or
 * before the next one when there is none yet. */
json_t *bh_follower_take(struct bh_follower *f, uint64_t *ret_lost);
