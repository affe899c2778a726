/* adopt.h - endpoints that outlive a daemon, and those that went without a DEL. */
#pragma once

#include "base/err.h"

struct bh_daemon;
struct bh_endpoint;

/* Takes over endpoints that a previous daemon left; those whose interface is gone are dropped, and
 * kernel slots nobody knows are shut and kept apart until their interface goes or is added. */
int bh_adopt_all(struct bh_daemon *d, struct bh_err *err);
/* Drops endpoints whose interface vanished without a DEL, and attaches programs again that somebody
 * took away. */
void bh_adopt_sweep(struct bh_daemon *d);
/* The same for one endpoint, now. */
void bh_adopt_mend(struct bh_daemon *d, const struct bh_endpoint *ep);
