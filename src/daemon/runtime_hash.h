/* runtime_hash.h - SHA-256 of what pods execute or map: each state of each file is read once, by a
 * worker, and is known from then on. Nobody waits for it here: an event either has its digest, or a
 * ticket for it, or the reason why there will be none. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/loop.h"
#include "event/trace.h"

struct bh_digests;

struct bh_digests_options {
	struct bh_loop *loop;
	/* sha256: hex, or NULL and why; for every ticket once, from the loop */
	void (*on_digest)(uint64_t ticket, const char *sha256, const char *why, void *arg);
	void *arg;
};

int bh_digests_open(const struct bh_digests_options *opt, struct bh_digests **ret,
		    struct bh_err *err);
void bh_digests_close(struct bh_digests *d);
/* Between the two, mounts are read once for all events; not for longer than a turn of the loop. */
void bh_digests_turn(struct bh_digests *d, bool is_on);
/* Fills in what the event has room for. Its texts are borrowed until the next call. */
void bh_digests_ask(struct bh_digests *d, struct bh_trace_event *ev);

/* Every executable of an event is counted in one of these, and those that are read in one of the
 * lower ones too. */
enum bh_digests_outcome {
	BH_DIGESTS_CACHED,
	BH_DIGESTS_JOINED, /* it was being read already */
	BH_DIGESTS_READ,   /* given to a worker */
	BH_DIGESTS_GONE,
	BH_DIGESTS_REPLACED,
	BH_DIGESTS_REMOTE,
	BH_DIGESTS_FOREIGN,
	BH_DIGESTS_UNREADABLE,
	BH_DIGESTS_LARGE,
	BH_DIGESTS_BUSY,
	BH_DIGESTS_BUDGET,
	BH_DIGESTS_NO_WORKER,
	BH_DIGESTS_SKIPPED_END, /* how what was read ended: */
	BH_DIGESTS_COMPUTED = BH_DIGESTS_SKIPPED_END,
	BH_DIGESTS_CHANGED,
	BH_DIGESTS_SLOW,
	BH_DIGESTS_FAILED,
	BH_DIGESTS_OUTCOMES
};
struct bh_digests_count {
	uint64_t n[BH_DIGESTS_OUTCOMES];
	uint64_t bytes; /* read by workers */
	unsigned waiting;
};
struct bh_digests_count bh_digests_count(const struct bh_digests *d);
/* "cached", "joined" ... as events, metrics and status name them. */
const char *bh_digests_outcome_name(enum bh_digests_outcome o);
/* {"cached": N, ...}; the caller's. */
json_t *bh_digests_status(const struct bh_digests *d);
