/* tail.h - following the event log from a number on, over rotation and restarts: what a sink that
 * was away for a while reads. It never waits; whoever follows asks again when something was
 * written. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"

struct bh_tail;

/* The first event asked for will be number after + 1, or the oldest there is. path: as in
 * bh_event_log_open; it need not exist yet. */
int bh_tail_open(const char *path, uint64_t after, struct bh_tail **ret, struct bh_err *err);
void bh_tail_close(struct bh_tail *t);
void bh_tail_closep(struct bh_tail **t);

/* 1: *ret_event with its chain, the caller's, and its number. 0: nothing more now. -EAGAIN: a slice
 * of work was done without finding the next one; ask again after a turn of the loop. Lines that are
 * not ours are passed over. */
int bh_tail_next(struct bh_tail *t, json_t **ret_event, uint64_t *ret_seq, struct bh_err *err);
/* Events that were rotated away, or damaged, before they were read. */
uint64_t bh_tail_lost(const struct bh_tail *t);
