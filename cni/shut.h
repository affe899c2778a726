/* shut.h - keeps a pod off the network without the daemon: takes the host side of its interface
 * down.
 *
 * For an ADD that failed. Only veth and netkit pairs are touched, and only when both ends prove to
 * be each other's peer: the parent of a macvlan or VLAN device is the node's own link. */
#pragma once

#include "base/err.h"

/* -ENOENT: no such namespace or interface. -EOPNOTSUPP: not a pair with its other end here. */
int bh_cni_shut(const char *netns_path, const char *ifname, struct bh_err *err);
