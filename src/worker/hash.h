/* hash.h - the worker as the one that reads executables of pods: digests until the daemon hangs
 * up. It opens nothing itself: descriptors come with the questions (bulkhead/hash.h). */
#pragma once

#include "worker/confine.h"

/* fd: a SOCK_SEQPACKET socket to the daemon. Returns the exit status. */
int bh_serve_hash(int fd, const struct bh_confine *c);
