/* saved.h - the last good version of every manifest object, kept in the database: what stays in
 * force when a manifest is broken or the directory is gone while the daemon restarts. */
#pragma once

#include "base/err.h"

struct bh_daemon;

/* Brings the database up to the object set. */
void bh_saved_store(struct bh_daemon *d);
/* Puts what the database has back into the (empty) object set. */
int bh_saved_restore(struct bh_daemon *d, struct bh_err *err);
