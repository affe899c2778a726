/* kubelet.h - the kubelet's cgroup, for enforcement.node: kubelet. */
#pragma once

#include <stdint.h>

/* Finds the process named kubelet and its cgroup2 id; -ENOENT leaves *ret_id alone, and then no
 * socket of the node is exempt. */
int bh_kubelet_cgroup(uint64_t *ret_id);
