#include "net/neigh.h"

#include <errno.h>
#include <linux/neighbour.h>

#include <netlink/cache.h>
#include <netlink/netlink.h>
#include <netlink/route/neighbour.h>

#include "net/visit.h"

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

/* A netlink socket stays in the namespace it was opened in. */
static int open_inside(const char *netns_path, struct nl_sock **ret, struct bh_err *err)
{
	BH_CLEANUP(sock_freep) struct nl_sock *s = nl_socket_alloc();
	BH_CLEANUP(bh_closep) int ns = -1;
	int home, nr, r;

	if (!s)
		return bh_fail(err, ENOMEM, "no memory for a netlink socket");
	r = bh_visit_open(netns_path, &ns, err);
	if (!r)
		r = bh_visit_enter(ns, &home, err);
	if (r)
		return r;
	nr = nl_connect(s, NETLINK_ROUTE);
	if (nr < 0)
		r = bh_fail(err, EIO, "netlink: %s", nl_geterror(nr));
	r = bh_visit_leave(home, r, err);
	if (!r)
		*ret = BH_TAKE(s);
	return r;
}

int bh_neigh_forget_pending(const char *netns_path, uint32_t *ret_n, struct bh_err *err)
{
	BH_CLEANUP(sock_freep) struct nl_sock *s = NULL;
	BH_CLEANUP(cache_freep) struct nl_cache *cache = NULL;
	uint32_t n = 0;
	int nr, r = open_inside(netns_path, &s, err);

	if (r)
		return r;
	nr = rtnl_neigh_alloc_cache(s, &cache);
	if (nr < 0)
		return bh_fail(err, EIO, "neighbours: %s", nl_geterror(nr));
	for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o)) {
		struct rtnl_neigh *neigh = (struct rtnl_neigh *)o;

		if ((rtnl_neigh_get_state(neigh) & (NUD_INCOMPLETE | NUD_FAILED)) &&
		    rtnl_neigh_delete(s, neigh, 0) == 0)
			n++;
	}
	if (ret_n)
		*ret_n = n;
	return 0;
}
