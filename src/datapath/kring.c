#include "datapath/kring.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/own.h"

/* The kernel's pages, kernel/bpf/ringbuf.c: the consumer's position, the producer's, the data. */
struct bh_kring {
	uint64_t *consumer;
	const uint64_t *producer;
	const char *data;
	size_t page, bytes;
	bh_kring_fn *fn;
	void *arg;
	char *whole; /* a record that was put together, owned */
	size_t cap;
};

static void kring_closep(struct bh_kring **r)
{
	bh_kring_close(*r);
	*r = NULL;
}

int bh_kring_open(int fd, uint32_t bytes, bh_kring_fn *fn, void *arg, struct bh_kring **ret,
		  struct bh_err *err)
{
	BH_CLEANUP(kring_closep) struct bh_kring *r = calloc(1, sizeof(*r));
	void *p;

	if (!r)
		return bh_fail(err, ENOMEM, "no memory for a ring");
	r->page = (size_t)sysconf(_SC_PAGESIZE);
	r->bytes = bytes;
	r->fn = fn;
	r->arg = arg;
	p = mmap(NULL, r->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return bh_fail_sys(err, errno, "mmap of a ring's position");
	r->consumer = p;
	p = mmap(NULL, r->page + bytes, PROT_READ, MAP_SHARED, fd, (off_t)r->page);
	if (p == MAP_FAILED)
		return bh_fail_sys(err, errno, "mmap of a ring's data");
	r->producer = p;
	r->data = (const char *)p + r->page;
	*ret = BH_TAKE(r);
	return 0;
}

void bh_kring_close(struct bh_kring *r)
{
	if (!r)
		return;
	if (r->consumer)
		munmap(r->consumer, r->page);
	if (r->producer)
		munmap((void *)r->producer, r->page + r->bytes);
	free(r->whole);
	free(r);
}

/* The record in one piece; NULL without memory. */
static void *piece(struct bh_kring *r, uint64_t at, size_t len)
{
	size_t from = at & (r->bytes - 1), first = r->bytes - from;

	if (len <= first)
		return (void *)(r->data + from);
	if (len > r->cap) {
		char *more = realloc(r->whole, len);

		if (!more)
			return NULL;
		r->whole = more;
		r->cap = len;
	}
	memcpy(r->whole, r->data + from, first);
	memcpy(r->whole + first, r->data, len - first);
	return r->whole;
}

/* Header of the record at a position; it never lies across the end. false: not written yet. */
static bool read_header(const struct bh_kring *r, uint64_t at, uint32_t *ret)
{
	const uint32_t *header = (const uint32_t *)(r->data + (at & (r->bytes - 1)));

	if (at == __atomic_load_n(r->producer, __ATOMIC_ACQUIRE))
		return false;
	*ret = __atomic_load_n(header, __ATOMIC_ACQUIRE);
	return !(*ret & BPF_RINGBUF_BUSY_BIT);
}

int bh_kring_consume(struct bh_kring *r)
{
	uint64_t at = __atomic_load_n(r->consumer, __ATOMIC_ACQUIRE);
	uint32_t header;
	int n = 0, said = 0;

	while (said >= 0 && read_header(r, at, &header)) {
		uint32_t len = header & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

		if (!(header & BPF_RINGBUF_DISCARD_BIT)) {
			void *data = piece(r, at + BPF_RINGBUF_HDR_SZ, len);

			if (!data)
				return -ENOMEM;
			said = r->fn(r->arg, data, len);
			n++;
		}
		at += (len + BPF_RINGBUF_HDR_SZ + 7ull) & ~7ull;
		__atomic_store_n(r->consumer, at, __ATOMIC_RELEASE);
	}
	return said < 0 ? said : n;
}

uint64_t bh_kring_unread(const struct bh_kring *r)
{
	return __atomic_load_n(r->producer, __ATOMIC_ACQUIRE) -
	       __atomic_load_n(r->consumer, __ATOMIC_ACQUIRE);
}
