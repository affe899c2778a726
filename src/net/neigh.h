/* neigh.h - a pod's neighbour table (libnl). */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* Forgets the neighbours that were asked for and have not answered yet, in the namespace at
 * netns_path: what was asked while the interface was coming up is lost, and the kernel would repeat
 * the question only after a second (RFC 4861 RetransTimer; ARP's retrans_time). *ret_n (may be
 * NULL): how many. */
int bh_neigh_forget_pending(const char *netns_path, uint32_t *ret_n, struct bh_err *err);
