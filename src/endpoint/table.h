/* table.h - owns all endpoints and hands out kernel slots. A slot goes back to the end of the
 * queue, so that it is reused as late as possible, and its generation moves on with every tenant.
 */
#pragma once

#include "base/vec.h"
#include "endpoint/endpoint.h"

struct bh_endpoint_table {
	BH_VEC(struct bh_endpoint *) eps;  /* owned */
	uint32_t generation[BH_MAX_SLOTS]; /* of the last tenant */
	uint32_t last_slot;		   /* slot handed out last; the search goes on behind it */
	bool is_orphan[BH_MAX_SLOTS];	   /* the kernel serves an interface nobody knows there */
	size_t n_orphans;
	uint64_t last_serial;
};

void bh_endpoint_table_done(struct bh_endpoint_table *t);

/* Takes ep. Slot 0 in ep: one is assigned with a fresh generation (-ENOSPC when all are taken);
 * else the endpoint keeps the slot and generation it was restored with or has inherited. A serial
 * is assigned when it has none. */
int bh_endpoint_table_add(struct bh_endpoint_table *t, struct bh_endpoint **take_ep,
			  struct bh_err *err);
/* Removes and frees. */
void bh_endpoint_table_remove(struct bh_endpoint_table *t, struct bh_endpoint *ep);
/* Sets whether the slot is one that must not be handed out although no endpoint has it. */
void bh_endpoint_table_orphan(struct bh_endpoint_table *t, uint32_t slot, bool is_orphan);

struct bh_endpoint *bh_endpoint_table_find(const struct bh_endpoint_table *t,
					   const char *container_id, const char *ifname);
struct bh_endpoint *bh_endpoint_table_slot(const struct bh_endpoint_table *t, uint32_t slot);
/* The endpoint that speaks for the pod: of its newest sandbox the first one, and one with labels
 * before one without. NULL when it has none. */
struct bh_endpoint *bh_endpoint_table_pod(const struct bh_endpoint_table *t, const char *ns,
					  const char *name);
/* First endpoint on the host side interface, NULL when there is none. */
struct bh_endpoint *bh_endpoint_table_ifindex(const struct bh_endpoint_table *t, uint32_t ifindex);
/* First endpoint in the network namespace. */
struct bh_endpoint *bh_endpoint_table_cookie(const struct bh_endpoint_table *t, uint64_t cookie);
struct bh_endpoint *bh_endpoint_table_ip(const struct bh_endpoint_table *t, const struct bh_ip *ip);
