/* sideways.h - ways out of a pod's network namespace besides the interface that CNI made: devices
 * there whose other end is in another namespace. Who has CAP_NET_ADMIN makes one upon any device of
 * the node, for the namespace of its interface's peer has a number in its own (rtnetlink(7),
 * IFLA_LINK_NETNSID). Nothing of this keeps the namespace alive: it goes by its id as seen from
 * ours. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct bh_side_link {
	int32_t nsid;	  /* of the pod's namespace */
	uint32_t ifindex; /* there */
	uint32_t other;	  /* ifindex of its other end, in whatever namespace that is */
	char name[16], kind[16];
	bool is_harmless; /* it is down, and not because it was just made */
};

/* Follows devices of all namespaces that have an id in ours. */
struct bh_side_watch;
int bh_side_open(struct bh_side_watch **ret, struct bh_err *err);
/* Readable when a device changes. */
int bh_side_fd(const struct bh_side_watch *w);
void bh_side_close(struct bh_side_watch *w);

typedef void bh_side_fn(const struct bh_side_link *l, void *arg);
/* Takes in what waits at the descriptor, and calls fn for devices with their other end elsewhere.
 * false: something was lost. */
bool bh_side_consume(struct bh_side_watch *w, bh_side_fn *fn, void *arg);
/* The same for all that there are in one namespace. */
int bh_side_each(int32_t nsid, bh_side_fn *fn, void *arg, struct bh_err *err);
/* -ENODEV: it is gone; -EOPNOTSUPP: it is no device that can be made or deleted. */
int bh_side_delete(const struct bh_side_link *l, struct bh_err *err);
int bh_side_set_down(const char *netns_path, const struct bh_side_link *l, struct bh_err *err);
