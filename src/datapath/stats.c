/* Numbers about the set itself: fill and memory of maps, cost of programs, drops. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "datapath/private.h"

int bh_datapath_drops(struct bh_datapath *dp, struct bh_drop ret[BH_R_COUNT])
{
	int n_cpus = libbpf_num_possible_cpus();
	BH_CLEANUP(bh_freep) struct bh_drop *cpu = NULL;

	if (n_cpus <= 0)
		return -EIO;
	cpu = calloc((size_t)n_cpus, sizeof(*cpu));
	if (!cpu)
		return -ENOMEM;
	memset(ret, 0, BH_R_COUNT * sizeof(*ret));
	for (uint32_t reason = 0; reason < BH_R_COUNT; reason++) {
		int r = bh_kmap_get(&dp->map[BH_M_DROP], &reason, cpu);

		if (r)
			return r;
		for (int i = 0; i < n_cpus; i++) {
			ret[reason].packets += cpu[i].packets;
			ret[reason].bytes += cpu[i].bytes;
		}
	}
	return 0;
}

uint64_t bh_dp_memlock(int fd)
{
	char path[64], line[128];
	uint64_t bytes = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "memlock: %lu", &bytes) == 1)
			break;
	if (f)
		fclose(f);
	return bytes;
}

/* Ids and slots are counted from memory where we know them, hashes by walking. */
static uint64_t used_of(struct bh_datapath *dp, int map)
{
	struct bh_tstate *ts = &dp->tstate;
	struct bh_err ignored;
	uint64_t n = 0;

	switch (map) {
	case BH_M_CONFIG:
		return 1;
	case BH_M_ENDPOINT:
	case BH_M_USAGE:
	case BH_M_SLOT_IFINDEX:
		for (uint32_t slot = 1; slot < BH_MAX_SLOTS; slot++)
			n += (dp->slot[slot].flags & BH_SLOT_LIVE) != 0;
		return n;
	case BH_M_RULESET:
		return bh_ids_count(&ts->rulesets);
	case BH_M_PORTMAP:
		return bh_ids_count(&ts->portmaps);
	case BH_M_PORTPAGE:
		return bh_ids_count(&ts->pages);
	case BH_M_ROW:
		return ts->n_rows;
	case BH_M_PROCROW:
		return ts->n_procrows;
	case BH_M_EXE:
		return ts->exes.n;
	case BH_M_PEER4:
	case BH_M_PEER6:
		return ts->peers[map - BH_M_PEER4].n;
	case BH_M_CIDR4:
	case BH_M_CIDR6:
		return ts->cidrs[map - BH_M_CIDR4].n;
	case BH_M_NAMES:
	case BH_M_DROP:
	case BH_M_EVENTS:
		return 0;
	default:
		return bh_kmap_count(&dp->map[map], &n, &ignored) ? 0 : n;
	}
}

/* Flows and edges are counted by the data path itself. */
static void count_usage(struct bh_datapath *dp, uint64_t *ret_flows, uint64_t *ret_edges)
{
	*ret_flows = *ret_edges = 0;
	for (uint32_t slot = 1; slot < BH_MAX_SLOTS; slot++) {
		struct bh_usage u;

		if (!(dp->slot[slot].flags & BH_SLOT_LIVE) ||
		    bh_kmap_get(&dp->map[BH_M_USAGE], &slot, &u))
			continue;
		*ret_flows += u.flows;
		*ret_edges += u.edges;
	}
}

uint64_t bh_datapath_flows_ever(struct bh_datapath *dp, uint32_t slot)
{
	struct bh_usage u;

	return bh_kmap_get(&dp->map[BH_M_USAGE], &slot, &u) ? 0 : u.flows + u.flows_ended;
}

size_t bh_datapath_maps(struct bh_datapath *dp, struct bh_map_fill *v, size_t n)
{
	uint64_t flows, edges;

	count_usage(dp, &flows, &edges);
	for (int i = 0; i < BH_M_COUNT && (size_t)i < n; i++) {
		v[i] = (struct bh_map_fill){
			.name = dp->map[i].name,
			.used = i == BH_M_FLOW	 ? flows
				: i == BH_M_EDGE ? edges
						 : used_of(dp, i),
			.max = dp->map[i].max,
			.bytes = bh_dp_memlock(dp->map[i].fd),
		};
	}
	return BH_M_COUNT;
}

bool bh_dp_cost(int fd, const char *name, struct bh_prog_cost *ret)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);

	if (fd < 0 || bpf_prog_get_info_by_fd(fd, &info, &len) != 0)
		return false;
	*ret = (struct bh_prog_cost){name, info.run_cnt, info.run_time_ns};
	return true;
}

size_t bh_datapath_progs(struct bh_datapath *dp, struct bh_prog_cost *v, size_t n)
{
	size_t count = 0;

	for (int i = 0; i < BH_P_COUNT && count < n; i++)
		count += bh_dp_cost(dp->prog[i].fd, bh_dp_prog_info[i].name, &v[count]);
	return count;
}

int bh_datapath_measure(struct bh_datapath *dp, bool is_wanted)
{
	if (!is_wanted)
		bh_closep(&dp->stats_fd);
	else if (dp->stats_fd < 0)
		dp->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	return is_wanted && dp->stats_fd < 0 ? dp->stats_fd : 0;
}
