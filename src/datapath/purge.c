/* Forgetting: a slot's leftovers, old edges. Flows and edges are removed by the BPF sweeper only,
 * which keeps the quotas' accounts; the maps without accounts are walked here. */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>

#include "datapath/private.h"

/* Of a millisecond. Another sweep of full tables takes tens of them; and where a virtual CPU stands
 * still in the middle of one, hundreds. */
#define SWEEP_TRIES 5000

int bh_dp_sweep(struct bh_datapath *dp, struct bh_sweep_args *args, struct bh_err *err)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	for (int i = 0; i < SWEEP_TRIES; i++) {
		struct bh_sweep_args run = *args;
		/* the kernel writes the context back where it came from */
		struct bpf_test_run_opts opts = {
			.sz = sizeof(opts), .ctx_in = &run, .ctx_size_in = sizeof(run)};
		int r = bpf_prog_test_run_opts(dp->prog[BH_P_SWEEP].fd, &opts);

		if (r)
			return bh_fail_sys(err, -r, "run the sweeper");
		if (opts.retval == 0) {
			*args = run;
			return 0;
		}
		nanosleep(&pause, NULL);
	}
	return bh_fail(err, EBUSY, "the sweeper is busy");
}

/* Where a key holds its slot. */
static uint32_t slot_of(enum bh_dp_map map, const void *key)
{
	switch (map) {
	case BH_M_LOCAL:
		return ((const struct bh_local_key *)key)->slot;
	case BH_M_QALLOW:
		return ((const struct bh_qallow_key *)key)->slot;
	default:
		return ((const struct bh_frag_key *)key)->slot;
	}
}

struct walk {
	struct bh_datapath *dp;
	enum bh_dp_map map;
	uint32_t slot;
	struct bh_err *err;
};

static int delete_of_slot(const void *key, const void *value, void *arg)
{
	struct walk *w = arg;
	uint8_t copy[64]; /* the largest of these keys has 40 bytes */

	(void)value;
	if (slot_of(w->map, key) != w->slot)
		return 0;
	memcpy(copy, key, w->dp->map[w->map].key_size);
	return bh_kmap_delete(&w->dp->map[w->map], &(struct bh_kbatch){.keys = copy, .n = 1},
			      w->err);
}

int bh_dp_purge_slot_map(struct bh_datapath *dp, enum bh_dp_map map, uint32_t slot,
			 struct bh_err *err)
{
	struct walk w = {.dp = dp, .map = map, .slot = slot, .err = err};

	return bh_kmap_each(&dp->map[map], delete_of_slot, &w, err);
}

int bh_dp_purge_addresses(struct bh_datapath *dp, uint32_t slot, struct bh_err *err)
{
	if (!(dp->slot[slot].flags & BH_SLOT_MORE_ADDRS))
		return 0;
	return bh_dp_purge_slot_map(dp, BH_M_LOCAL, slot, err);
}

int bh_dp_purge_slot(struct bh_datapath *dp, uint32_t slot, struct bh_err *err)
{
	struct bh_sweep_args all = {.slot_plus_one = slot + 1, .all = 1};
	struct bh_usage usage = {0}, none = {0};
	int r;

	if (bh_kmap_get(&dp->map[BH_M_USAGE], &slot, &usage))
		return bh_fail(err, EIO, "map usage has no slot %u", slot);
	r = usage.flows || usage.edges ? bh_dp_sweep(dp, &all, err) : 0;
	if (r == 0)
		r = bh_dp_purge_slot_map(dp, BH_M_FRAG, slot, err);
	if (r == 0)
		r = bh_dp_purge_slot_map(dp, BH_M_LOCAL, slot, err);
	if (r == 0)
		r = bh_dp_purge_slot_map(dp, BH_M_QALLOW, slot, err);
	if (r || memcmp(&usage, &none, sizeof(usage)) == 0)
		return r;
	return bh_kmap_write(&dp->fault, &dp->map[BH_M_USAGE],
			     &(struct bh_kbatch){.keys = &slot, .values = &none, .n = 1}, err);
}

int bh_datapath_forget_edges(struct bh_datapath *dp, uint64_t before_ns, uint32_t *ret_n,
			     struct bh_err *err)
{
	struct bh_sweep_args args = {.edges_before_ns = before_ns};
	int r = bh_dp_sweep(dp, &args, err);

	if (r)
		return r;
	if (ret_n)
		*ret_n = args.edges;
	return 0;
}
