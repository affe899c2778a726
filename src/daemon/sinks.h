/* sinks.h - hands the event log to the receivers of the settings: to each by a worker process of
 * its own, from its own cursor in the database, at least once and in order. A receiver that is away
 * loses nothing as long as the log has it (64 MiB, eight times over); what was rotated away before
 * is counted as lost. */
#pragma once

#include <jansson.h>

#include "base/err.h"

struct bh_daemon;
struct bh_sinks;

/* Does nothing with no sinks in the settings. A worker that does not start is tried again. */
int bh_sinks_open(struct bh_daemon *d, struct bh_sinks **ret, struct bh_err *err);
/* Notes the cursors and ends the workers. */
void bh_sinks_close(struct bh_sinks *s);
/* For status and metrics: an array, in the settings' order, of {"name", "type", "state"
 * ("delivering", "waiting", "starting"), "cursor", "behind", "delivered", "refused", "lost",
 * "retries", "error" (text or null)}. The caller owns it; NULL when memory ran out. */
json_t *bh_sinks_status(const struct bh_sinks *s);
