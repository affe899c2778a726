/* roster.h - this node's endpoints by pod: what walks all pods must not search for each of them. */
#pragma once

#include <stddef.h>

#include "endpoint/table.h"

struct bh_roster {
	struct bh_endpoint *
		*v; /* sorted by namespace and name; a pod's in the order of the table */
	size_t n;
};
/* 0 or -ENOMEM. The endpoints are borrowed. */
int bh_roster_make(const struct bh_endpoint_table *t, struct bh_roster *ret);
void bh_roster_done(struct bh_roster *r);
/* Behind the endpoints of the pod whose first one stands at i. */
size_t bh_roster_next(const struct bh_roster *r, size_t i);
/* Of them, the one that bh_endpoint_table_pod names. */
struct bh_endpoint *bh_roster_speaker(const struct bh_roster *r, size_t i,
				      const struct bh_endpoint_table *t);
