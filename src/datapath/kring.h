/* kring.h - reads a ring that BPF programs write. libbpf maps a ring's data twice, end to
 * beginning, and all of it counts as resident in us; here it is mapped once, and a record that lies
 * across the end is put together in a buffer. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct bh_kring;

/* data is valid until the function returns. Below zero: enough, this one was the last. */
typedef int bh_kring_fn(void *arg, void *data, size_t size);

/* fd: of a map of type RINGBUF with `bytes` of data, borrowed; readable when there is something. */
int bh_kring_open(int fd, uint32_t bytes, bh_kring_fn *fn, void *arg, struct bh_kring **ret,
		  struct bh_err *err);
void bh_kring_close(struct bh_kring *r);
/* Gives fn what is there, in the order in which it was written. How many records, or what fn said
 * below zero; -ENOMEM when one could not be put together: it stays. */
int bh_kring_consume(struct bh_kring *r);
/* Bytes of records that were not read yet. */
uint64_t bh_kring_unread(const struct bh_kring *r);
