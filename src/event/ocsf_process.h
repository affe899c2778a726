/* ocsf_process.h - tracing events > OCSF objects; see ocsf.h. */
#pragma once

#include "event/ocsf.h"
#include "event/trace.h"

struct bh_ocsf_process {
	int64_t time_ms;
	const struct bh_trace_event *event; /* kind BH_TRACE_EXEC */
	struct bh_ocsf_pod pod;
};
json_t *bh_ocsf_process(struct bh_ocsf *o, const struct bh_ocsf_process *p);
