/* hold.h - events on their way to the log, in order, some of which wait a moment for something that
 * belongs into them: the digest of the executable, which a worker is computing.
 *
 * Waiting is short and bounded: after BH_HOLD_MS an event goes as it is, and whoever waits behind
 * it with it. What comes later than that is told by an event of its own. Pure: time comes from the
 * caller. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define BH_HOLD_MS   100
#define BH_HOLD_MAX  4096 /* events; beyond it the first one goes as it is */
#define BH_HOLD_LATE 256  /* events that went without and are remembered */

struct bh_hold;

struct bh_hold_options {
	void (*write)(json_t *take_event, void *arg);
	/* The digest, hex, or NULL and why there is none, for an event that waited. */
	void (*fill)(json_t *event, const char *sha256, const char *why, void *arg);
	/* The digest for an event (borrowed) that was written without. */
	void (*late)(const json_t *event, const char *sha256, void *arg);
	void *arg;
};

int bh_hold_new(const struct bh_hold_options *opt, struct bh_hold **ret, struct bh_err *err);
/* Writes all of them first. */
void bh_hold_free(struct bh_hold *h);
/* Writes the event, or keeps it when it or one before it has to wait. ticket: of what it waits for;
 * 0: nothing. is_main: worth telling late. */
struct bh_hold_event {
	json_t *take_event;
	uint64_t ticket;
	bool is_main;
};
void bh_hold_add(struct bh_hold *h, const struct bh_hold_event *e, int64_t now_ms);
void bh_hold_resolve(struct bh_hold *h, uint64_t ticket, const char *sha256, const char *why,
		     int64_t now_ms);
/* Writes what has waited long enough by now_ms; INT64_MAX: all. Returns when to call again,
 * INT64_MAX: when something was added. */
int64_t bh_hold_flush(struct bh_hold *h, int64_t now_ms);
/* So many were added, and written, so far. */
uint64_t bh_hold_added(const struct bh_hold *h);
uint64_t bh_hold_written(const struct bh_hold *h);
