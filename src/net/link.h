/* link.h - a pod's interface seen from both ends, and this node's addresses (libnl). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ip.h"

struct bh_link {
	uint32_t pod_ifindex;  /* inside the pod's namespace */
	uint32_t host_ifindex; /* its peer in ours */
	int32_t nsid;	       /* pod's namespace as seen from ours, assigned if it had none */
	uint64_t cookie;       /* SO_NETNS_COOKIE of the pod's namespace */
	uint8_t mac[6];	       /* the pod side's address: source of its frames */
	bool has_mac;	       /* false: no Ethernet */
	char host_name[16];
	char kind[16]; /* "veth", ... */
};

/* Reads interface `ifname` in the namespace at netns_path. -ENOENT: no such namespace or interface.
 * -EOPNOTSUPP: it has no peer device in our namespace (macvlan, ipvlan, SR-IOV, lo): it cannot be
 * enforced. The calling thread is back in its own namespace on return. */
int bh_link_read(const char *netns_path, const char *ifname, struct bh_link *ret,
		 struct bh_err *err);
/* Cookie of a namespace; -ENOENT when it is gone. */
int bh_netns_cookie(const char *netns_path, uint64_t *ret_cookie, struct bh_err *err);
/* true when a link with this index exists in our namespace. */
bool bh_link_exists(uint32_t ifindex);
/* Whether a link of our namespace is set up; -ENOENT when there is none. */
int bh_link_is_up(uint32_t ifindex, bool *ret, struct bh_err *err);
/* Sets a link of our namespace up or down. */
int bh_link_set_up(uint32_t ifindex, bool up, struct bh_err *err);
/* Every address of every interface of our namespace, without loopback's 127/8 and ::1 and without
 * IPv6 link-local; sorted, each once. The caller frees *ret. */
int bh_net_local_addresses(struct bh_ip **ret, size_t *ret_n, struct bh_err *err);

/* Follows the addresses of our namespace. */
struct bh_addr_watch;
int bh_addr_watch_open(struct bh_addr_watch **ret, struct bh_err *err);
/* Descriptor that becomes readable when an address changes. */
int bh_addr_watch_fd(const struct bh_addr_watch *w);
/* Takes in what waits at the descriptor. */
void bh_addr_watch_consume(struct bh_addr_watch *w);
struct bh_addr_list {
	const struct bh_ip *v; /* the watch's, until the next call */
	size_t n;
	bool has_changed; /* another list than the last call's; the first call: unless it is empty
			   */
};
/* What bh_net_local_addresses would say, from what the watch knows: an address that was added
 * before the call is in it, because the kernel queues the notification before the adder goes on.
 * Asks the kernel for everything only where notifications were lost. */
int bh_addr_watch_addresses(struct bh_addr_watch *w, struct bh_addr_list *ret, struct bh_err *err);
void bh_addr_watch_close(struct bh_addr_watch *w);
