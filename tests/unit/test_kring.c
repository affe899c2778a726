/* Rings that BPF programs write: in order, across the end, with one that says when it is enough. A
 * file with a ring's pages stands for the kernel's. */
#include "bh_test.h"

#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "datapath/kring.h"

#define BYTES 4096

struct rig {
	int fd;
	size_t page;
	uint64_t *consumer, *producer;
	char *data;
	struct bh_kring *ring;
	unsigned n, enough; /* records seen, and how many are */
	size_t len[64];
	char first[64];
};

static int on_record(void *arg, void *data, size_t size)
{
	struct rig *g = arg;
	const char *bytes = data;

	for (size_t i = 1; i < size; i++)
		assert_int_equal(bytes[i], bytes[0]);
	g->len[g->n] = size;
	g->first[g->n++] = bytes[0];
	return g->n == g->enough ? -7 : 0;
}

static int setup(void **state)
{
	struct rig *g = calloc(1, sizeof(*g));
	struct bh_err err;
	char *p;

	assert_non_null(g);
	g->page = (size_t)sysconf(_SC_PAGESIZE);
	g->fd = memfd_create("ring", MFD_CLOEXEC);
	assert_true(g->fd >= 0);
	assert_int_equal(ftruncate(g->fd, (off_t)(2 * g->page + BYTES)), 0);
	p = mmap(NULL, 2 * g->page + BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
	assert_true(p != MAP_FAILED);
	g->consumer = (uint64_t *)p;
	g->producer = (uint64_t *)(p + g->page);
	g->data = p + 2 * g->page;
	assert_int_equal(bh_kring_open(g->fd, BYTES, on_record, g, &g->ring, &err), 0);
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	struct rig *g = *state;

	bh_kring_close(g->ring);
	munmap(g->consumer, 2 * g->page + BYTES);
	close(g->fd);
	free(g);
	return 0;
}

/* As the kernel writes it: header, bytes, position. */
static void put(struct rig *g, char c, uint32_t len, uint32_t bits)
{
	uint32_t header = len | bits;

	memcpy(g->data + *g->producer % BYTES, &header, sizeof(header));
	for (uint32_t i = 0; i < len; i++)
		g->data[(*g->producer + BPF_RINGBUF_HDR_SZ + i) % BYTES] = c;
	*g->producer += (len + BPF_RINGBUF_HDR_SZ + 7) & ~7u;
}

static void test_in_order(void **state)
{
	struct rig *g = *state;

	assert_int_equal(bh_kring_consume(g->ring), 0);
	put(g, 'a', 1, 0);
	put(g, 'b', 24, 0);
	put(g, 'c', 17, 0);
	assert_int_equal(bh_kring_unread(g->ring), 16 + 32 + 32);
	assert_int_equal(bh_kring_consume(g->ring), 3);
	assert_int_equal(bh_kring_unread(g->ring), 0);
	assert_memory_equal(g->first, "abc", 3);
	assert_int_equal(g->len[1], 24);
	assert_int_equal(g->len[2], 17);
	assert_int_equal(*g->consumer, *g->producer);
	assert_int_equal(bh_kring_consume(g->ring), 0);
}

static void test_across_the_end(void **state)
{
	struct rig *g = *state;

	*g->consumer = *g->producer = 5 * BYTES - 16;
	put(g, 'x', 1000, 0);
	put(g, 'y', 8, 0);
	*g->consumer = 5 * BYTES - 16;
	assert_int_equal(bh_kring_consume(g->ring), 2);
	assert_memory_equal(g->first, "xy", 2);
	assert_int_equal(g->len[0], 1000);
	*g->consumer = *g->producer = 9 * BYTES - 8; /* the header ends with the ring */
	put(g, 'z', 2000, 0);
	assert_int_equal(bh_kring_consume(g->ring), 1);
	assert_int_equal(g->first[2], 'z');
	assert_int_equal(g->len[2], 2000);
}

static void test_discarded_and_busy(void **state)
{
	struct rig *g = *state;
	uint64_t at;
	uint32_t header = 8;

	put(g, 'a', 8, BPF_RINGBUF_DISCARD_BIT);
	put(g, 'b', 8, 0);
	at = *g->producer;
	put(g, 'c', 8, BPF_RINGBUF_BUSY_BIT);
	put(g, 'd', 8, 0);
	assert_int_equal(bh_kring_consume(g->ring), 1);
	assert_int_equal(g->first[0], 'b');
	assert_int_equal(*g->consumer, at);
	memcpy(g->data + at % BYTES, &header, sizeof(header));
	assert_int_equal(bh_kring_consume(g->ring), 2);
	assert_memory_equal(g->first, "bcd", 3);
}

static void test_enough(void **state)
{
	struct rig *g = *state;

	put(g, 'a', 8, 0);
	put(g, 'b', 8, 0);
	put(g, 'c', 8, 0);
	g->enough = 2;
	assert_int_equal(bh_kring_consume(g->ring), -7);
	assert_int_equal(g->n, 2);
	assert_int_equal(bh_kring_unread(g->ring), 16);
	assert_int_equal(bh_kring_consume(g->ring), 1);
	assert_memory_equal(g->first, "abc", 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_across_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_discarded_and_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_enough, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
