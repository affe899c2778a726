/* runtime_detect.h - tracing events > activities > detectors > findings in the journal.
 * Apart from the rest of the daemon, whose policy tables have a struct bh_subject of their own. */
#pragma once

#include "base/err.h"
#include "event/trace.h"

struct bh_journal;
struct bh_endpoint;
struct bh_detection;

/* Borrows the journal. */
int bh_detection_open(struct bh_journal *journal, struct bh_detection **ret, struct bh_err *err);
void bh_detection_close(struct bh_detection *x);
/* Feeds one event of the endpoint's pod; wall_ms: Unix time of it. */
void bh_detection_feed(struct bh_detection *x, const struct bh_endpoint *ep,
		       const struct bh_trace_event *ev, int64_t wall_ms);
void bh_detection_pod_gone(struct bh_detection *x, const struct bh_endpoint *ep);
