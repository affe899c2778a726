/* kring.h - reads a ring that BPF programs write. The data is mapped once, and a record that lies
 * across the end is put together in a buffer.
 *
 * Why not libbpf's ring_buffer: it maps the data twice, end to beginning, and the kernel counts all
 * of a ring as resident once it is mapped, touched or not; of the 1.4 MB that our rings have it
 * makes 2.8. Side by side, the daemon at rest: with 30 pods 12.8 MB here and 14.4 with libbpf
 * (budget 20), with 100 000 peers 41.5 and 42.8 (budget 40, which is missed as it is). No page more
 * is in use, so that is all there is to be said against it; ring__consume() of libbpf 1.4 reads
 * through the same two mappings. Once the budget has room for them these functions are a line each:
 * ring_buffer__new(), ring__consume(), ring__avail_data_size(). */
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
