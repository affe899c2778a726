/* bus.h - bounded fan-out of events to followers. A slow follower loses events, never the publisher
 * time or memory, and a counter says how many. Pure: waking up a follower is the caller's business.
 */
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

/* Gives an event to everyone whose filter it matches. event is borrowed and must not change after.
 */
void bh_bus_publish(struct bh_bus *b, json_t *event);

/* filter is copied, its pod too. cap: events that may wait. wake is called from within publish when
 * the first event comes to wait; it must neither take events nor leave the bus. */
int bh_bus_follow(struct bh_bus *b, const struct bh_event_filter *filter, size_t cap,
		  void (*wake)(void *arg), void *arg, struct bh_follower **ret, struct bh_err *err);
void bh_bus_leave(struct bh_follower *f);
/* Next event, owned by the caller; NULL: none waits. *ret_lost: events lost since the last call. */
json_t *bh_follower_take(struct bh_follower *f, uint64_t *ret_lost);
