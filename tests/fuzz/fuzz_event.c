/* What the event code reads: ring records (first byte even) and lines of the event log (odd). */
#include <stdbool.h>
#include <string.h>

#include "base/json.h"
#include "event/chain.h"
#include "event/event.h"
#include "event/ocsf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_record(const uint8_t *data, size_t size)
{
	struct bh_ocsf source = {.node = "n", .version = "0", .instance = "i"};
	struct bh_edge_event e;
	struct bh_ocsf_edge x = {.time_ms = 1, .event = &e};
	BH_CLEANUP(bh_json_decrefp) json_t *event = NULL;
	BH_CLEANUP(bh_freep) char *line = NULL;
	struct bh_chain chain = {0}, next, again;
	struct bh_err err = {0};
	size_t len;

	if (bh_event_decode(data, size, &e, &err)) {
		if (err.code >= 0)
			abort();
		return;
	}
	/* what was decoded can always be written, and read again */
	event = bh_ocsf_edge(&source, &x);
	if (!event ||
	    bh_chain_line(&chain, event, &(struct bh_chain_gap){0}, &line, &len, &next, &err) ||
	    bh_chain_read(line, len - 1, &again, NULL, NULL, &err) || again.seq != 1)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bh_chain_check k = {0};
	struct bh_err err = {0};

	if (!size)
		return 0;
	if (*data % 2 == 0) {
		check_record(data + 1, size - 1);
		return 0;
	}
	if (bh_chain_check_file(&k, "log", &err) ||
	    (bh_chain_check_text(&k, (const char *)data + 1, size - 1, &err) && err.code >= 0))
		abort();
	return 0;
}
