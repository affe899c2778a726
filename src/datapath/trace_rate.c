/* What pods only use up: processor time, questions for names. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "cpu.skel.h"
#include "datapath/trace_private.h"

#define RATE_BYTES (sizeof(struct bh_trace_rate) * BH_TRACE_SLOTS)

static int map_rates(struct bh_trace *t, struct bh_err *err)
{
	const struct bh_kmap *m = bh_trace_map(&t->cpu, "trace_rate");
	void *p = m ? mmap(NULL, RATE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0)
		    : MAP_FAILED;

	if (p == MAP_FAILED)
		return bh_fail_sys(err, errno, "mmap of map trace_rate");
	t->rate = p;
	return 0;
}

int bh_trace_rates_begin(struct bh_trace *t, struct bh_err *err)
{
	static const struct bh_trace_source source = {"cpu", cpu_bpf__elf_bytes, NULL};
	int r = t->cpu.is_loaded ? 0 : bh_trace_load(t, &source, &t->cpu, err);

	if (r == 0 && !t->rate)
		r = map_rates(t, err);
	if (r || t->cpu_link >= 0)
		return r;
	r = bh_trace_prog(&t->cpu, "bh_cpu_exit");
	if (r >= 0)
		r = bpf_raw_tracepoint_open(NULL, r);
	if (r < 0)
		return bh_fail_sys(err, -r, "attach bh_cpu_exit");
	t->cpu_link = r;
	return 0;
}

void bh_trace_rates_end(struct bh_trace *t)
{
	bh_closep(&t->cpu_link);
}

void bh_trace_rates_close(struct bh_trace *t)
{
	bh_trace_rates_end(t);
	if (t->rate)
		munmap(t->rate, RATE_BYTES);
	bh_trace_unload(&t->cpu);
}

/* What ended is taken before those that live are asked: a task that ends in between is missing
 * once, and never counted twice. */
int bh_trace_rates(struct bh_trace *t, const uint32_t *slots, size_t n, struct bh_trace_rate *ret,
		   struct bh_err *err)
{
	int r = 0;

	if (t->cpu_link < 0)
		return bh_fail(err, ENOTCONN, "nobody counts processor time");
	for (size_t i = 0; i < n; i++) {
		__atomic_store_n(&t->rate[slots[i]].cpu_live_ns, 0ull, __ATOMIC_SEQ_CST);
		ret[i] = t->rate[slots[i]];
	}
	r = bh_trace_iterate(&t->cpu, "bh_cpu_read", err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct bh_trace_rate *now = &t->rate[slots[i]];

		if (now->generation != ret[i].generation)
			ret[i] = *now;
		ret[i].cpu_live_ns = now->cpu_live_ns;
	}
	return r;
}
