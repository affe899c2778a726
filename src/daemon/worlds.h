/* worlds.h - what the two ways to make a world share. Inside daemon/world.c and worlds.c only. */
#pragma once

#include "daemon/world.h"

struct bh_endpoint;

/* The pod that CNI created: what the endpoint says, and for the rest its manifest (NULL: it has
 * none). Addresses are left to the caller; everything is borrowed. */
struct bh_pod_init bh_world_pod_init(const struct bh_daemon *d, const struct bh_endpoint *ep,
				     const struct bh_pod *manifest);
/* Adds this node's addresses: its own, configured ones, those of manifests. */
int bh_world_add_nodes(struct bh_daemon *d, struct bh_world *w, struct bh_err *err);
