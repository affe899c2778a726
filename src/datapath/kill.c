/* Ends the sockets of a quarantined pod with the kernel's iterators and bpf_sock_destroy. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "datapath/private.h"
#include "kill.skel.h"

/* Runs an iterator in the namespace that the thread is in now. */
static int iterate(const struct bh_datapath *dp, enum bh_dp_prog prog, struct bh_err *err)
{
	BH_CLEANUP(bh_closep) int link = -1;
	BH_CLEANUP(bh_closep) int iter = -1;
	const char *name = bh_dp_prog_info[prog].name;
	char sink[256];
	ssize_t n;

	link = bpf_link_create(dp->prog[prog].fd, 0, BPF_TRACE_ITER, NULL);
	if (link < 0)
		return bh_fail_sys(err, -link, "start iterator %s", name);
	iter = bpf_iter_create(link);
	if (iter < 0)
		return bh_fail_sys(err, -iter, "start iterator %s", name);
	do
		n = read(iter, sink, sizeof(sink));
	while (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)));
	return n < 0 ? bh_fail_sys(err, errno, "run iterator %s", name) : 0;
}

static int run_inside(const struct bh_datapath *dp, int netns_fd, struct bh_err *err)
{
	BH_CLEANUP(bh_closep) int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int r;

	if (home < 0)
		return bh_fail_sys(err, errno, "own network namespace");
	if (setns(netns_fd, CLONE_NEWNET) != 0)
		return bh_fail_sys(err, errno, "enter the pod's network namespace");
	r = iterate(dp, BH_P_KILL_TCP, err);
	if (r == 0)
		r = iterate(dp, BH_P_KILL_UDP, err);
	if (setns(home, CLONE_NEWNET) != 0)
		return bh_fail_sys(err, errno, "return to the own network namespace");
	return r;
}

/* netns_fd -1: our own namespace. */
static int destroy(struct bh_datapath *dp, int netns_fd, struct kill_bpf__bss target,
		   uint32_t *ret_destroyed, struct bh_err *err)
{
	uint32_t zero = 0;
	int r;

	if (dp->kill_target_fd < 0 || dp->prog[BH_P_KILL_TCP].fd < 0 ||
	    dp->prog[BH_P_KILL_UDP].fd < 0)
		return bh_fail(err, EOPNOTSUPP, "this kernel has no bpf_sock_destroy");
	r = bpf_map_update_elem(dp->kill_target_fd, &zero, &target, BPF_ANY);
	if (r)
		return bh_fail_sys(err, -r, "name the sockets to the iterators");
	if (netns_fd >= 0)
		r = run_inside(dp, netns_fd, err);
	else
		r = iterate(dp, BH_P_KILL_TCP, err);
	if (r == 0 && netns_fd < 0)
		r = iterate(dp, BH_P_KILL_UDP, err);
	if (r == 0 && bpf_map_lookup_elem(dp->kill_target_fd, &zero, &target) == 0)
		*ret_destroyed = (uint32_t)target.kill_destroyed;
	/* nothing of what runs later may hit it again */
	target = (struct kill_bpf__bss){0};
	bpf_map_update_elem(dp->kill_target_fd, &zero, &target, BPF_ANY);
	return r;
}

int bh_datapath_destroy_sockets(struct bh_datapath *dp, int netns_fd, uint64_t cookie,
				uint32_t *ret_destroyed, struct bh_err *err)
{
	return destroy(dp, netns_fd, (struct kill_bpf__bss){.kill_cookie = cookie}, ret_destroyed,
		       err);
}

int bh_datapath_destroy_cgroup_sockets(struct bh_datapath *dp, uint64_t cookie, uint64_t cgroup_id,
				       uint32_t *ret_destroyed, struct bh_err *err)
{
	if (!cgroup_id)
		return bh_fail(err, EINVAL, "no cgroup");
	return destroy(dp, -1,
		       (struct kill_bpf__bss){.kill_cookie = cookie, .kill_cgroup = cgroup_id},
		       ret_destroyed, err);
}

/* ---- pods without an interface ---- */

static int cut_pin(const struct bh_datapath *dp, uint64_t cgroup_id, bool is_in,
		   char path[BH_DP_PATH])
{
	char name[48];

	snprintf(name, sizeof(name), "cut-%llu-%s", (unsigned long long)cgroup_id,
		 is_in ? "in" : "out");
	return bh_dp_path(path, dp->dir, "links", name);
}

static int cut_one(struct bh_datapath *dp, int cgroup_fd, uint64_t cgroup_id, bool is_in,
		   struct bh_err *err)
{
	const struct bh_dp_prog_fd *prog = &dp->prog[is_in ? BH_P_CUT_IN : BH_P_CUT_OUT];
	BH_CLEANUP(bh_closep) int fd = -1;
	char path[BH_DP_PATH];
	int r = cut_pin(dp, cgroup_id, is_in, path);

	if (r)
		return bh_fail(err, -r, "the pin's path is too long");
	if (prog->fd < 0)
		return bh_fail(err, EOPNOTSUPP, "the programs that cut a cgroup off do not load");
	fd = bpf_obj_get(path);
	if (fd >= 0)
		return 0;
	fd = bpf_link_create(prog->fd, cgroup_fd,
			     is_in ? BPF_CGROUP_INET_INGRESS : BPF_CGROUP_INET_EGRESS, NULL);
	if (fd < 0)
		return bh_fail_sys(err, -fd, "cut cgroup %llu off", (unsigned long long)cgroup_id);
	return bh_dp_pin(fd, path, err);
}

int bh_datapath_cut_cgroup(struct bh_datapath *dp, int cgroup_fd, uint64_t cgroup_id,
			   struct bh_err *err)
{
	int r = cut_one(dp, cgroup_fd, cgroup_id, true, err);

	return r ? r : cut_one(dp, cgroup_fd, cgroup_id, false, err);
}

void bh_datapath_uncut_cgroup(struct bh_datapath *dp, uint64_t cgroup_id)
{
	for (int i = 0; i < 2; i++) {
		char path[BH_DP_PATH];
		int fd;

		if (cut_pin(dp, cgroup_id, i, path))
			continue;
		fd = bpf_obj_get(path);
		if (fd >= 0) {
			bpf_link_detach(fd);
			close(fd);
		}
		unlink(path);
	}
}
