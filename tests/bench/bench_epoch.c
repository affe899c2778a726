/* bench_epoch.c - how long after a manifest is in place the kernel enforces it.
 *
 * Usage: bench_epoch CONFIG-MAP-PIN NEW PATH. Renames NEW over PATH and prints the microseconds
 * until the epoch in the map `config` moves on: publishing ends with that store, and from then on
 * every packet is decided by the new tables. Gives up after ten seconds. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "bulkhead/abi.h"

#define PATIENCE_NS 10000000000ull

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int fail(const char *what)
{
	fprintf(stderr, "bench_epoch: %s: %s\n", what, strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	const struct timespec pause = {.tv_nsec = 10000};
	const volatile struct bh_config *config;
	uint64_t from;
	uint32_t epoch;
	int fd;

	if (argc != 4)
		return 2;
	fd = bpf_obj_get(argv[1]);
	if (fd < 0)
		return fail(argv[1]);
	config = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	if (config == MAP_FAILED)
		return fail("mmap");
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	epoch = config->epoch;
	from = now_ns();
	if (rename(argv[2], argv[3]))
		return fail(argv[3]);
	while (config->epoch == epoch) {
		if (now_ns() - from > PATIENCE_NS) {
			fprintf(stderr, "bench_epoch: nothing was published\n");
			return 1;
		}
		nanosleep(&pause, NULL);
	}
	printf("%.1f\n", (double)(now_ns() - from) / 1e3);
	return 0;
}
