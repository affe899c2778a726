/* What this kernel offers, found by trying; never by its version. */
#include <errno.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "datapath/private.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

struct fact {
	const char *name;
	bool has, is_guarantee; /* is_guarantee: something is weaker without it */
	const char *without;
};

static bool has_netns_cookie(void)
{
	BH_CLEANUP(bh_closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) == 0;
}

static bool has_membarrier(void)
{
	long r = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

	return r > 0 && (r & MEMBARRIER_CMD_GLOBAL);
}

static bool has_batch(struct bh_datapath *dp)
{
	uint64_t next, key[16];
	struct bh_class value[2];
	uint32_t n = 2;
	int r = bpf_map_lookup_batch(dp->map[BH_M_PEER4].fd, NULL, &next, key, value, &n, NULL);

	return r == 0 || r == -ENOENT || r == -ENOSPC;
}

static bool has_sock_storage(const struct bh_datapath *dp)
{
	char path[BH_DP_PATH];

	return bh_dp_path(path, dp->dir, "maps", "opener") == 0 && access(path, F_OK) == 0;
}

static void add(struct bh_datapath *dp, const struct fact *f)
{
	struct bh_capability *c;

	if (dp->n_caps == BH_DP_CAPABILITIES)
		return;
	c = &dp->cap[dp->n_caps++];
	c->name = f->name;
	c->has = f->has;
	c->is_degraded = !f->has && f->is_guarantee;
	snprintf(c->text, sizeof(c->text), "%s", f->has ? "works" : f->without);
}

void bh_dp_probe(struct bh_datapath *dp)
{
	const struct fact facts[] = {
		{"tcx", dp->has_tcx, false,
		 "programs are attached as clsact filters; another tool may remove them"},
		{"cgroup-hooks", dp->has_hooks, true,
		 "refused connections fail by timeout and events lack the process"},
		{"processes", dp->has_hooks && has_sock_storage(dp), true,
		 "rules with processes deny: who opens a socket is not seen"},
		{"sock-destroy", dp->kill_target_fd >= 0, false,
		 "sockets of a quarantined pod are ended through SOCK_DESTROY"},
		{"tcp-lookup", dp->prog[BH_P_FROM_POD].fd >= 0, true,
		 "connections do not survive the loss of their flow entry"},
		{"bpf-timer", dp->has_timer, true,
		 "idle flows are not forgotten while the daemon is away"},
		{"mmap-maps", dp->config && dp->slot, true, "a publish cannot be one store"},
		{"netns-cookie", has_netns_cookie(), true, "sockets cannot be matched to pods"},
		{"map-batch", has_batch(dp), false, "large publishes take longer"},
		{"membarrier", has_membarrier(), false,
		 "waits for running programs through a map of maps"},
		{"expedited-rcu", dp->grace.hurry_fd >= 0, false,
		 "a new pod is attached in tens of milliseconds instead of less than one"},
	};

	dp->n_caps = 0;
	for (size_t i = 0; i < BH_ARRAY_SIZE(facts); i++)
		add(dp, &facts[i]);
}

size_t bh_datapath_capabilities(const struct bh_datapath *dp, const struct bh_capability **ret)
{
	*ret = dp->cap;
	return dp->n_caps;
}
