/* Opening and closing the handle. Nothing that enforces ever stops in between: maps are reused,
 * links get the new programs in place. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "datapath/private.h"
#include "datapath/publish.h"

#define FIRST_EPOCH 2

static struct bh_datapath *dp_new(void)
{
	struct bh_datapath *dp = calloc(1, sizeof(*dp));

	if (!dp)
		return NULL;
	dp->cgroup_fd = dp->kill_target_fd = dp->sum_target_fd = -1;
	dp->marker_fd = dp->grace.hurry_fd = dp->stats_fd = -1;
	for (int i = 0; i < BH_M_COUNT; i++)
		dp->map[i].fd = -1;
	for (int i = 0; i < BH_P_COUNT; i++)
		dp->prog[i].fd = -1;
	return dp;
}

void bh_datapath_close(struct bh_datapath *dp)
{
	if (!dp)
		return;
	bh_dp_grace_stop(dp);
	bh_dp_ring_close(dp);
	bh_tstate_done(&dp->tstate);
	if (dp->config)
		munmap(dp->config, (size_t)sysconf(_SC_PAGESIZE));
	if (dp->slot)
		munmap(dp->slot, dp->slot_bytes);
	for (int i = 0; i < BH_M_COUNT; i++)
		bh_closep(&dp->map[i].fd);
	for (int i = 0; i < BH_P_COUNT; i++)
		bh_closep(&dp->prog[i].fd);
	bh_closep(&dp->cgroup_fd);
	bh_closep(&dp->kill_target_fd);
	bh_closep(&dp->sum_target_fd);
	bh_closep(&dp->marker_fd);
	bh_closep(&dp->stats_fd);
	free(dp);
}

void bh_datapath_closep(struct bh_datapath **dp)
{
	bh_datapath_close(*dp);
	*dp = NULL;
}

uint64_t bh_datapath_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void *map_memory(const struct bh_kmap *m, size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int map_shared(struct bh_datapath *dp, struct bh_err *err)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (dp->map[BH_M_ENDPOINT].max < BH_MAX_SLOTS)
		return bh_fail(err, EINVAL, "map endpoint has less than %d slots", BH_MAX_SLOTS);
	dp->slot_bytes = (sizeof(struct bh_slot) * BH_MAX_SLOTS + page - 1) / page * page;
	dp->config = map_memory(&dp->map[BH_M_CONFIG], page);
	dp->slot = map_memory(&dp->map[BH_M_ENDPOINT], dp->slot_bytes);
	if (!dp->config || !dp->slot)
		return bh_fail_sys(err, errno, "mmap of maps config and endpoint");
	return 0;
}

/* The kernel's jiffy, 0: not known. Its coarse clocks move by jiffies. */
static uint32_t tick_ns(void)
{
	struct timespec t;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &t) || t.tv_sec)
		return 0;
	return (uint32_t)t.tv_nsec;
}

static void configure(struct bh_datapath *dp, const struct bh_datapath_options *opt)
{
	struct bh_config *c = dp->config;

	if (c->epoch < FIRST_EPOCH)
		c->epoch = FIRST_EPOCH;
	c->abi = BH_ABI_VERSION;
	__atomic_store_n(&c->tick_ns, tick_ns(), __ATOMIC_SEQ_CST);
	__atomic_store_n(&c->kubelet_cgroup, opt->kubelet_cgroup, __ATOMIC_SEQ_CST);
	__atomic_store_n(&c->node_mode, (uint32_t)opt->node_mode, __ATOMIC_SEQ_CST);
	__atomic_store_n(&c->keep_established, opt->keep_established, __ATOMIC_SEQ_CST);
}

/* Starts the sweeper, or gives its timer the new program. */
static void start_timer(struct bh_datapath *dp)
{
	struct bpf_test_run_opts opts = {.sz = sizeof(opts)};
	int fd = dp->prog[BH_P_TIMER_START].fd;

	dp->has_timer = fd >= 0 && bpf_prog_test_run_opts(fd, &opts) == 0 && opts.retval == 0;
}

static int open_hooks(struct bh_datapath *dp, const char *cgroup, struct bh_err *err)
{
	struct bh_err why;

	if (bh_dp_cgroup_open(dp, cgroup, &why) == 0 && !dp->old[0])
		dp->has_hooks = bh_dp_cgroup_attach(dp, &why) == 0;
	else
		dp->has_hooks = dp->cgroup_fd >= 0; /* they change over with the last interface */
	/* a cgroup that the caller named must work */
	if (cgroup && !dp->has_hooks) {
		*err = why;
		return err->code;
	}
	return 0;
}

static int open_steps(struct bh_datapath *dp, const struct bh_datapath_options *opt,
		      bool *ret_found, struct bh_err *err)
{
	int r = bh_dp_pins_base(opt->bpffs, dp->base, err);

	if (r == 0)
		r = bh_dp_objects_load(dp, ret_found, err);
	if (r == 0)
		r = map_shared(dp, err);
	if (r)
		return r;
	configure(dp, opt);
	bh_dp_hurry_open(dp);
	dp->has_tcx = bh_dp_tcx_works(dp->prog[BH_P_FROM_POD].fd);
	r = bh_dp_marker_load(dp, err);
	if (r == 0)
		r = bh_dp_ring_open(dp, err);
	if (r == 0 && *ret_found)
		r = bh_dp_hooks_adopt(dp, err);
	if (r == 0 && dp->old[0])
		r = bh_dp_migrate_begin(dp, err);
	if (r == 0)
		r = open_hooks(dp, opt->cgroup, err);
	return r;
}

int bh_datapath_open(const struct bh_datapath_options *opt, struct bh_datapath **ret,
		     bool *ret_adopted, struct bh_err *err)
{
	BH_CLEANUP(bh_datapath_closep) struct bh_datapath *dp = dp_new();
	bool is_found = false;
	int r;

	if (!dp)
		return bh_fail(err, ENOMEM, "no memory for the data path");
	r = open_steps(dp, opt, &is_found, err);
	if (r)
		return r;
	start_timer(dp);
	/* an earlier daemon may have moved the epoch just before it went */
	if (is_found)
		bh_dp_grace_begin(dp);
	bh_dp_probe(dp);
	if (ret_adopted)
		*ret_adopted = is_found || dp->old[0];
	*ret = BH_TAKE(dp);
	return 0;
}
