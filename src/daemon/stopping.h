/* stopping.h - killing or stopping every process of a pod, however long they take: one that the
 * kernel holds ends when it is let go of, others make children meanwhile. In steps of a few
 * milliseconds, between which the daemon does what else there is; the time is bounded, and who is
 * left is named. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "daemon/procs.h"

struct bh_stopping;

/* Of a network namespace. */
int bh_stopping_of_netns(enum bh_procs_act act, const struct bh_netns_id *ns,
			 struct bh_stopping **ret, struct bh_err *err);
/* Of a cgroup2 directory (copied) and all below. */
int bh_stopping_of_cgroup(enum bh_procs_act act, const char *dir, struct bh_stopping **ret,
			  struct bh_err *err);
void bh_stopping_free(struct bh_stopping *s);
/* 1: all have ended, or stand still; 0: to be called again after *ret_pause_ms. -EBUSY when the
 * time is over (three seconds to kill, two to stop, longer where we were not given the processor),
 * with a sentence about who is left. */
int bh_stopping_step(struct bh_stopping *s, uint64_t *ret_pause_ms, struct bh_err *err);
/* How many there were to kill, or stand still. */
uint32_t bh_stopping_reached(const struct bh_stopping *s);
