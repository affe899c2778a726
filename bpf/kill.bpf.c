/* kill.bpf.c - destroys every connected TCP and UDP socket of a network namespace (kernel 6.5 and
 * later). Listening sockets and unconnected UDP sockets stay: nothing passes to them while the pod
 * is cut off, and a pod that is released must serve again.
 *
 * The iterators see only the namespace of the thread that opens them: enter the pod's namespace,
 * set kill_cookie, open and read the iterator to its end, look at kill_destroyed. The cookie makes
 * sure that a thread that failed to enter it kills nothing of the host's. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "lib/core.bpf.h"

extern int bpf_sock_destroy(struct sock_common *sk) __ksym __weak;

__u64 kill_cookie;
__u64 kill_destroyed;

#define SK_CLOSE  7 /* UDP: not connected */
#define SK_LISTEN 10

static __always_inline int kill(struct sock_common *sk)
{
	if (!kill_cookie || sk->skc_net.net->net_cookie != kill_cookie)
		return 0;
	if (sk->skc_state == SK_CLOSE || sk->skc_state == SK_LISTEN)
		return 0;
	if (bpf_sock_destroy(sk) == 0)
		__sync_fetch_and_add(&kill_destroyed, 1);
	return 0;
}

SEC("iter/tcp")
int bh_kill_tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;

	return sk ? kill(sk) : 0;
}

SEC("iter/udp")
int bh_kill_udp(struct bpf_iter__udp *ctx)
{
	struct udp_sock *sk = ctx->udp_sk;

	return sk ? kill((struct sock_common *)sk) : 0;
}

char _license[] SEC("license") = "GPL";
