/* ocsf_trace.h - pieces that the builders of tracing events share. Not for others. */
#pragma once

#include "event/ocsf_parts.h"
#include "event/ocsf_process.h"

/* sha256: NULL or "" when not known. NULL for an empty path. */
json_t *bh_ocsf_file_of(const char *path, const char *sha256);
/* Who executes, or acts. time_ms: of its start; 0: not known */
json_t *bh_ocsf_process_of(const struct bh_trace_event *ev, int64_t time_ms);
/* How often, where it was more than once. */
void bh_ocsf_put_count(json_t *e, const struct bh_trace_event *ev);
/* One member of ours for each flag. */
void bh_ocsf_put_flags(json_t *ours, uint32_t flags);
/* The same, with its parent as far as it is known. */
json_t *bh_ocsf_process_and_parent(const struct bh_trace_event *ev);
/* is_refused: it breaks a rule. */
enum bh_ocsf_outcome bh_ocsf_outcome_of(const struct bh_trace_event *ev, bool is_refused);
/* Sentences, the caller's; NULL without memory. */
char *bh_ocsf_say_exec(const struct bh_trace_event *ev);
char *bh_ocsf_say_act(const struct bh_trace_event *ev, const char *call);
char *bh_ocsf_say_name(const struct bh_trace_event *ev);
