/* backlog.h - events that wait because the log cannot be written: a full disk, a file system that
 * became read-only. Bounded; what finds no room is counted, the oldest stay. Pure. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define BH_BACKLOG_BYTES (4u << 20)

struct bh_backlog;
/* max_bytes of text; 0: BH_BACKLOG_BYTES. */
int bh_backlog_new(size_t max_bytes, struct bh_backlog **ret, struct bh_err *err);
void bh_backlog_free(struct bh_backlog *b);

/* Puts one behind the others; it is borrowed. Once one was dropped so is every other, until
 * bh_backlog_dropped has taken the count: no hole has anything behind it. */
void bh_backlog_add(struct bh_backlog *b, const json_t *event);
/* The oldest one, which stays; the caller owns the object. NULL: there is none, or no memory. */
json_t *bh_backlog_first(const struct bh_backlog *b);
/* Removes the oldest one. */
void bh_backlog_done(struct bh_backlog *b);
size_t bh_backlog_count(const struct bh_backlog *b);
/* How many were dropped since it was taken last. */
uint64_t bh_backlog_dropped(const struct bh_backlog *b);
uint64_t bh_backlog_take_dropped(struct bh_backlog *b);
