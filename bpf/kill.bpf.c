/* kill.bpf.c - ends what a quarantined pod had open (kernel 6.5 and later): its connected TCP and
 * UDP sockets, found by network namespace, or, for pods in the node's namespace, by cgroup.
 * Listening sockets and unconnected UDP sockets stay: nothing passes to them while the pod is cut
 * off, and a pod that is released must serve again.
 *
 * The iterators see only the namespace of the thread that opens them: enter it, set kill_cookie
 * (and kill_cgroup), open and read the iterator to its end, look at kill_destroyed. The cookie
 * makes sure that a thread that failed to enter the namespace kills nothing of the host's.
 *
 * bh_cut_in and bh_cut_out are attached to the cgroup of a pod in the node's namespace, which has
 * no interface to cut: no packet leaves its sockets or reaches them. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "lib/core.bpf.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

/* struct sock with the member that core.bpf.h has no use for */
struct sock___cgroup {
	struct sock_cgroup_data sk_cgrp_data;
};

#pragma clang attribute pop

extern int bpf_sock_destroy(struct sock_common *sk) __ksym __weak;

__u64 kill_cookie;
__u64 kill_cgroup; /* 0: every cgroup */
__u64 kill_destroyed;

#define SK_CLOSE  7 /* UDP: not connected */
#define SK_LISTEN 10

/* sk is a full socket */
static __always_inline int is_meant(const void *sk)
{
	const struct sock___cgroup *s = sk;

	return !kill_cgroup || BPF_CORE_READ(s, sk_cgrp_data.cgroup, kn, id) == kill_cgroup;
}

static __always_inline int kill(struct sock_common *sk, const void *full)
{
	if (!kill_cookie || sk->skc_net.net->net_cookie != kill_cookie)
		return 0;
	if (sk->skc_state == SK_CLOSE || sk->skc_state == SK_LISTEN)
		return 0;
	if (kill_cgroup && (!full || !is_meant(full)))
		return 0;
	if (bpf_sock_destroy(sk) == 0)
		__sync_fetch_and_add(&kill_destroyed, 1);
	return 0;
}

SEC("iter/tcp")
int bh_kill_tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;

	/* not what is half open or in TIME_WAIT: those have no cgroup */
	return sk ? kill(sk, bpf_skc_to_tcp_sock(sk)) : 0;
}

SEC("iter/udp")
int bh_kill_udp(struct bpf_iter__udp *ctx)
{
	struct udp_sock *sk = ctx->udp_sk;

	return sk ? kill((struct sock_common *)sk, sk) : 0;
}

SEC("cgroup_skb/ingress")
int bh_cut_in(struct __sk_buff *skb)
{
	return 0;
}

SEC("cgroup_skb/egress")
int bh_cut_out(struct __sk_buff *skb)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
