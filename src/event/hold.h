/* hold.h - events on their way to the log, in order, some of which wait a moment for something that
 * belongs into them: the digest of the executable, which a worker is computing.
 *
 * Waiting is short and bounded: after BH_HOLD_MS an event goes as it is, and whoever waits behind
 * it with it. What comes later than that is told by an event of its own. How much there is to wait
 * is the choice of those who are watched, so what waits is text, a tenth of the tree, and there is
 * never more of it than so many bytes: beyond them the first ones go as they are. Nothing is
 * dropped but what would have been told late, and that is counted. Pure: time comes from the
 * caller. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define BH_HOLD_MS	   100
#define BH_HOLD_BYTES	   (1u << 20)	/* of all that wait */
#define BH_HOLD_LATE_BYTES (512u << 10) /* of those that went without and are remembered */

struct bh_hold;

struct bh_hold_options {
	/* NULL: one that cannot be read again, for want of memory. */
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
/* why is borrowed for good: it is written anywhen. */
void bh_hold_resolve(struct bh_hold *h, uint64_t ticket, const char *sha256, const char *why,
		     int64_t now_ms);
/* Writes what has waited long enough by now_ms; INT64_MAX: all. Returns when to call again,
 * INT64_MAX: when something was added. */
int64_t bh_hold_flush(struct bh_hold *h, int64_t now_ms);

/* Events, so far. */
struct bh_hold_count {
	uint64_t added, written;
	uint64_t pending;   /* of these, written before their digest was there */
	uint64_t forgotten; /* of these, found no room to be told late */
	size_t bytes;	    /* what waits and is remembered, now */
};
struct bh_hold_count bh_hold_count(const struct bh_hold *h);
