/* hashers.h - open files > their SHA-256, computed by worker processes (bulkhead/hash.h), one file
 * at a time each: small files have a worker of their own, so that a large one or a slow disk keeps
 * only its like waiting. Workers are started when there is work and ended when there is none. */
#pragma once

#include <stdint.h>

#include "base/loop.h"
#include "bulkhead/hash.h"

struct bh_hashers;

#define BH_HASH_MAX (1ull << 30) /* bytes of a file */

/* answer->error is ETIMEDOUT when the file was not read in time, EPIPE when the worker ended. From
 * the loop only; answer and file, the descriptor that was asked about, are borrowed. */
typedef void bh_hashers_fn(uint64_t ticket, int file, const struct bh_hash_answer *answer,
			   void *arg);

int bh_hashers_open(struct bh_loop *loop, bh_hashers_fn *fn, void *arg, struct bh_hashers **ret,
		    struct bh_err *err);
/* Ends the workers; what was asked is never answered. */
void bh_hashers_close(struct bh_hashers *h);
struct bh_hashers_file {
	uint64_t ticket;
	uint64_t size;	   /* decides who reads it */
	unsigned delay_ms; /* it is not read before */
};
/* Takes fd, whatever comes of it. -EBUSY: too many wait already; -EPIPE: there is no worker. */
int bh_hashers_ask(struct bh_hashers *h, const struct bh_hashers_file *f, int take_fd);
/* Files that wait or are being read. */
unsigned bh_hashers_waiting(const struct bh_hashers *h);
