/* sink.h - delivers events to one receiver: syslog, OTLP or a webhook. It keeps nothing: whoever
 *asks keeps the events until they are reported as done, and asks again when they are not.
 *
 * First frame:  {"sink": settings (daemon/config_sinks.h), "node", "version"}; no answer
 * Then, one at a time: {"events": [...]}, answered by
 *	{"done": N, "refused": K, "text"}	the receiver has the first N of them; K of these it
 *					did not want
 *	{"retry": SECONDS, "error": TEXT}	none counts as delivered; some may have been */
#pragma once

#include <jansson.h>

#include "base/err.h"

struct bh_sink_sender;

/* first is borrowed. -EINVAL for settings that are not like that. */
int bh_sink_sender_new(const json_t *first, struct bh_sink_sender **ret, struct bh_err *err);
void bh_sink_sender_free(struct bh_sink_sender *s);
void bh_sink_sender_freep(struct bh_sink_sender **s);
/* The answer to one question, the caller's; NULL when memory ran out. now_s: Unix time. */
json_t *bh_sink_sender_ask(struct bh_sink_sender *s, const json_t *question, int64_t now_s);
