/* Tracing records: whatever lies in the ring is refused, or whole, and can be written as an event.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "event/ocsf_process.h"
#include "event/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A record that says of itself what it is: what is behind the header is what shall be tried. */
static void set_head(uint8_t *record, size_t size)
{
	struct bh_trace_head head;

	if (size < sizeof(head))
		return;
	memcpy(&head, record, sizeof(head));
	head.version = BH_TRACE_VERSION;
	head.len = (uint32_t)size;
	head.kind = head.kind % BH_TRACE_KINDS;
	head.slot = head.slot % BH_TRACE_SLOTS;
	memcpy(record, &head, sizeof(head));
}

static void write_event(const struct bh_trace_event *ev)
{
	struct bh_ocsf source = {.node = "n", .version = "0", .instance = "i"};
	struct bh_ocsf_process p = {.time_ms = 1, .event = ev};
	struct bh_ocsf_act a = {.time_ms = 1, .event = ev};
	struct bh_ocsf_name n = {.time_ms = 1, .event = ev};
	BH_CLEANUP(bh_json_decrefp) json_t *event = NULL;
	BH_CLEANUP(bh_freep) char *text = NULL;

	if (ev->kind == BH_TRACE_EXIT)
		return;
	if (ev->kind == BH_TRACE_DNS)
		event = bh_ocsf_name(&source, &n);
	else
		event = ev->kind == BH_TRACE_EXEC ? bh_ocsf_process(&source, &p)
						  : bh_ocsf_act(&source, &a);
	text = event ? json_dumps(event, JSON_COMPACT) : NULL;
	if (!text)
		abort();
}

static void try_record(const uint8_t *data, size_t size)
{
	struct bh_trace_event ev;
	struct bh_err err = {0};

	if (bh_trace_decode(data, size, &ev, &err) == 0)
		write_event(&ev);
	else if (err.code >= 0)
		abort();
}

static void try_fact(const uint8_t *data, size_t size)
{
	struct bh_trace_event ev;
	struct bh_fact_key key;
	struct bh_fact fact;
	struct bh_err err = {0};

	if (size < sizeof(key) + sizeof(fact))
		return;
	memcpy(&key, data, sizeof(key));
	memcpy(&fact, data + sizeof(key), sizeof(fact));
	if (bh_trace_decode_fact(&key, &fact, &ev, &err) == 0)
		write_event(&ev);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *record = malloc(size ? size : 1); /* so that a sanitizer sees its end */

	if (!record)
		return 0;
	memcpy(record, data, size);
	try_record(record, size);
	set_head(record, size);
	try_record(record, size);
	try_fact(record, size);
	free(record);
	return 0;
}
