/* Ends the sockets of a quarantined pod with the kernel's iterators and bpf_sock_destroy. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
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

int bh_datapath_destroy_sockets(struct bh_datapath *dp, int netns_fd, uint64_t cookie,
				uint32_t *ret_destroyed, struct bh_err *err)
{
	struct kill_bpf__bss target = {.kill_cookie = cookie};
	uint32_t zero = 0;
	int r;

	if (dp->kill_target_fd < 0 || dp->prog[BH_P_KILL_TCP].fd < 0 ||
	    dp->prog[BH_P_KILL_UDP].fd < 0)
		return bh_fail(err, EOPNOTSUPP, "this kernel has no bpf_sock_destroy");
	r = bpf_map_update_elem(dp->kill_target_fd, &zero, &target, BPF_ANY);
	if (r)
		return bh_fail_sys(err, -r, "name the namespace to the iterators");
	r = run_inside(dp, netns_fd, err);
	if (r == 0 && bpf_map_lookup_elem(dp->kill_target_fd, &zero, &target) == 0)
		*ret_destroyed = (uint32_t)target.kill_destroyed;
	/* nothing of what runs later may hit it again */
	target = (struct kill_bpf__bss){0};
	bpf_map_update_elem(dp->kill_target_fd, &zero, &target, BPF_ANY);
	return r;
}
