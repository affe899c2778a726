/* hostnet.h - quarantine of hostNetwork pods: they have no interface of their own, so the socket
 * hooks refuse every call from their cgroup. What a hostNetwork pod's open sockets still carry ends
 * with the processes (--kill). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct bh_daemon;

/* 0 when ns/name is a hostNetwork pod whose cgroup is known here; -ENOENT with the sentence. */
int bh_hostnet_check(struct bh_daemon *d, const char *ns, const char *name, struct bh_err *err);
/* ret_sockets may be NULL. */
int bh_hostnet_quarantine(struct bh_daemon *d, const char *ns, const char *name, bool on,
			  uint32_t *ret_sockets, struct bh_err *err);
