#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <netlink/cache.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>

#include "base/vec.h"
#include "net/link.h"

struct bh_addr_watch {
	struct nl_sock *s;
};

static void sock_freep(struct nl_sock **s)
{
	nl_socket_free(*s);
	*s = NULL;
}

static void cache_freep(struct nl_cache **c)
{
	nl_cache_free(*c);
	*c = NULL;
}

/* Loopback and link-local addresses reach nobody else. */
static bool is_counted(const struct bh_ip *ip)
{
	static const struct bh_ip loopback6 = {.b = {[15] = 1}};

	if (bh_ip_is4(ip))
		return ip->b[12] != 127;
	return bh_ip_cmp(ip, &loopback6) != 0 && !(ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80);
}

static bool read_address(struct rtnl_addr *a, struct bh_ip *ret)
{
	struct nl_addr *local = rtnl_addr_get_local(a);

	if (!local)
		return false;
	*ret = (struct bh_ip){0};
	if (nl_addr_get_family(local) == AF_INET && nl_addr_get_len(local) == 4) {
		ret->b[10] = ret->b[11] = 0xff;
		memcpy(ret->b + 12, nl_addr_get_binary_addr(local), 4);
	} else if (nl_addr_get_family(local) == AF_INET6 && nl_addr_get_len(local) == 16) {
		memcpy(ret->b, nl_addr_get_binary_addr(local), 16);
	} else {
		return false;
	}
	return is_counted(ret);
}

int bh_net_local_addresses(struct bh_ip **ret, size_t *ret_n, struct bh_err *err)
{
	BH_CLEANUP(sock_freep) struct nl_sock *s = nl_socket_alloc();
	BH_CLEANUP(cache_freep) struct nl_cache *cache = NULL;
	BH_VEC(struct bh_ip) found = {0};
	int r;

	if (!s)
		return bh_fail(err, ENOMEM, "no memory for a netlink socket");
	r = nl_connect(s, NETLINK_ROUTE);
	if (r >= 0)
		r = rtnl_addr_alloc_cache(s, &cache);
	if (r < 0)
		return bh_fail(err, EIO, "this node's addresses: %s", nl_geterror(r));
	for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o)) {
		struct bh_ip ip;

		if (!read_address((struct rtnl_addr *)o, &ip))
			continue;
		if (bh_vec_push(&found, ip)) {
			bh_vec_done(&found);
			return bh_fail(err, ENOMEM, "no memory for this node's addresses");
		}
	}
	*ret = found.v;
	*ret_n = found.n;
	return 0;
}

int bh_addr_watch_open(struct bh_addr_watch **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) struct bh_addr_watch *w = calloc(1, sizeof(*w));
	BH_CLEANUP(sock_freep) struct nl_sock *s = nl_socket_alloc();
	int r;

	if (!w || !s)
		return bh_fail(err, ENOMEM, "no memory for a netlink socket");
	nl_socket_disable_seq_check(s);
	r = nl_connect(s, NETLINK_ROUTE);
	if (r >= 0)
		r = nl_socket_add_memberships(s, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, 0);
	if (r >= 0)
		r = nl_socket_set_nonblocking(s);
	if (r < 0)
		return bh_fail(err, EIO, "watch addresses: %s", nl_geterror(r));
	w->s = BH_TAKE(s);
	*ret = BH_TAKE(w);
	return 0;
}

int bh_addr_watch_fd(const struct bh_addr_watch *w)
{
	return nl_socket_get_fd(w->s);
}

/* What changed does not matter, and a lost message (ENOBUFS) is a change too. */
void bh_addr_watch_consume(struct bh_addr_watch *w)
{
	char sink[8192];
	ssize_t n;

	do
		n = recv(bh_addr_watch_fd(w), sink, sizeof(sink), MSG_DONTWAIT);
	while (n > 0 || (n < 0 && (errno == EINTR || errno == ENOBUFS)));
}

void bh_addr_watch_close(struct bh_addr_watch *w)
{
	if (!w)
		return;
	nl_socket_free(w->s);
	free(w);
}
