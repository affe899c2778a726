#include "net/link.h"

#include <errno.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>

#include "net/visit.h"

static void sock_freep(struct nl_sock **s)
{
	nl_socket_free(*s);
	*s = NULL;
}

static void link_putp(struct rtnl_link **l)
{
	rtnl_link_put(*l);
	*l = NULL;
}

/* libnl has codes of its own. */
static int nl_errno(int r)
{
	switch (-r) {
	case NLE_OBJ_NOTFOUND:
	case NLE_NODEV:
		return ENOENT;
	case NLE_NOMEM:
		return ENOMEM;
	case NLE_PERM:
	case NLE_NOACCESS:
		return EPERM;
	default:
		return EIO;
	}
}

#define BUF_BYTES 32768 /* the kernel's longest answer about one link */

static int rtnl_open(struct nl_sock **ret, struct bh_err *err)
{
	BH_CLEANUP(sock_freep) struct nl_sock *s = nl_socket_alloc();
	int r;

	if (!s)
		return bh_fail(err, ENOMEM, "no memory for a netlink socket");
	/* room beforehand saves asking for the length of every answer */
	nl_socket_disable_msg_peek(s);
	r = nl_connect(s, NETLINK_ROUTE);
	if (r >= 0)
		r = nl_socket_set_msg_buf_size(s, BUF_BYTES);
	if (r < 0)
		return bh_fail(err, nl_errno(r), "netlink: %s", nl_geterror(r));
	*ret = BH_TAKE(s);
	return 0;
}

/* ---- namespace ids ---- */

static int on_nsid(struct nl_msg *msg, void *arg)
{
	struct nlattr *tb[NETNSA_MAX + 1];

	if (nlmsg_parse(nlmsg_hdr(msg), sizeof(struct rtgenmsg), tb, NETNSA_MAX, NULL) == 0 &&
	    tb[NETNSA_NSID])
		*(int32_t *)arg = nla_get_s32(tb[NETNSA_NSID]);
	return NL_OK;
}

static int nsid_call(struct nl_sock *s, int type, int ns_fd, int32_t *ret_nsid)
{
	struct nl_msg *msg = nlmsg_alloc_simple(type, NLM_F_REQUEST | NLM_F_ACK);
	struct rtgenmsg gen = {.rtgen_family = AF_UNSPEC};
	int r = -NLE_NOMEM;

	if (msg && nlmsg_append(msg, &gen, sizeof(gen), NLMSG_ALIGNTO) == 0 &&
	    nla_put_u32(msg, NETNSA_FD, (uint32_t)ns_fd) == 0 &&
	    (type != RTM_NEWNSID || nla_put_s32(msg, NETNSA_NSID, -1) == 0)) {
		nl_socket_modify_cb(s, NL_CB_VALID, NL_CB_CUSTOM, on_nsid, ret_nsid);
		r = nl_send_auto(s, msg);
		if (r >= 0)
			r = nl_recvmsgs_default(s); /* the answer */
		if (r >= 0 && type == RTM_GETNSID)
			r = nl_wait_for_ack(s);
		nl_socket_modify_cb(s, NL_CB_VALID, NL_CB_DEFAULT, NULL, NULL);
	}
	nlmsg_free(msg);
	return r < 0 ? r : 0;
}

/* The pod namespace's id as seen from ours; given one if it has none. */
static int nsid_of(struct nl_sock *s, int ns_fd, int32_t *ret, struct bh_err *err)
{
	int32_t nsid = NETNSA_NSID_NOT_ASSIGNED;
	int r = nsid_call(s, RTM_GETNSID, ns_fd, &nsid);

	if (r == 0 && nsid < 0) {
		r = nsid_call(s, RTM_NEWNSID, ns_fd, NULL);
		/* somebody else may have been faster */
		if (r == 0 || r == -NLE_EXIST)
			r = nsid_call(s, RTM_GETNSID, ns_fd, &nsid);
	}
	if (r)
		return bh_fail(err, nl_errno(r), "id of the pod's network namespace: %s",
			       nl_geterror(r));
	*ret = nsid;
	return 0;
}

/* ---- the two ends ---- */

static int pod_end(struct rtnl_link *l, struct bh_link *ret)
{
	struct nl_addr *addr = rtnl_link_get_addr(l);
	const char *kind = rtnl_link_get_type(l);

	ret->pod_ifindex = (uint32_t)rtnl_link_get_ifindex(l);
	ret->host_ifindex = (uint32_t)rtnl_link_get_link(l);
	ret->has_mac = rtnl_link_get_arptype(l) == ARPHRD_ETHER && addr &&
		       nl_addr_get_len(addr) == sizeof(ret->mac) &&
		       !(rtnl_link_get_flags(l) & IFF_NOARP && kind && !strcmp(kind, "netkit"));
	if (ret->has_mac)
		memcpy(ret->mac, nl_addr_get_binary_addr(addr), sizeof(ret->mac));
	snprintf(ret->kind, sizeof(ret->kind), "%s", kind ? kind : "");
	return rtnl_link_get_flags(l) & IFF_LOOPBACK ? -EOPNOTSUPP : 0;
}

/* A netlink socket stays in the namespace it was opened in, and names it. */
static int open_inside(int ns_fd, struct nl_sock **ret, uint64_t *ret_cookie, struct bh_err *err)
{
	BH_CLEANUP(sock_freep) struct nl_sock *s = NULL;
	int home, r = bh_visit_enter(ns_fd, &home, err);

	if (r)
		return r;
	r = rtnl_open(&s, err);
	r = bh_visit_leave(home, r, err);
	if (r == 0)
		r = bh_visit_cookie(nl_socket_get_fd(s), ret_cookie, err);
	if (r == 0)
		*ret = BH_TAKE(s);
	return r;
}

static int read_pod_end(int ns_fd, const char *ifname, struct bh_link *ret, struct bh_err *err)
{
	BH_CLEANUP(sock_freep) struct nl_sock *s = NULL;
	BH_CLEANUP(link_putp) struct rtnl_link *l = NULL;
	int r = open_inside(ns_fd, &s, &ret->cookie, err);

	if (r)
		return r;
	r = rtnl_link_get_kernel(s, 0, ifname, &l);
	if (r < 0)
		return bh_fail(err, nl_errno(r), "interface '%s': %s", ifname, nl_geterror(r));
	if (pod_end(l, ret))
		return bh_fail(err, EOPNOTSUPP, "interface '%s' is the loopback device", ifname);
	return 0;
}

/* The device that the pod's end names as its link must name the pod's end as its own: macvlan,
 * ipvlan and VLANs point at a device that does not point back. */
static int read_host_end(struct nl_sock *s, const char *ifname, struct bh_link *ret,
			 struct bh_err *err)
{
	BH_CLEANUP(link_putp) struct rtnl_link *l = NULL;
	int32_t peer_nsid = -1;
	int r = ret->host_ifindex ? rtnl_link_get_kernel(s, (int)ret->host_ifindex, NULL, &l)
				  : -NLE_NODEV;

	if (r < 0 || rtnl_link_get_link_netnsid(l, &peer_nsid) < 0 || peer_nsid != ret->nsid ||
	    (uint32_t)rtnl_link_get_link(l) != ret->pod_ifindex)
		return bh_fail(err, EOPNOTSUPP,
			       "interface '%s' (%s) has no peer device in the node's network "
			       "namespace, so its traffic cannot be enforced",
			       ifname, ret->kind[0] ? ret->kind : "a physical device");
	snprintf(ret->host_name, sizeof(ret->host_name), "%s", rtnl_link_get_name(l));
	return 0;
}

int bh_link_read(const char *netns_path, const char *ifname, struct bh_link *ret,
		 struct bh_err *err)
{
	BH_CLEANUP(sock_freep) struct nl_sock *s = NULL;
	BH_CLEANUP(bh_closep) int ns = -1;
	struct bh_link link = {0};
	int r = bh_visit_open(netns_path, &ns, err);

	if (r == 0)
		r = rtnl_open(&s, err);
	if (r == 0)
		r = nsid_of(s, ns, &link.nsid, err);
	if (r == 0)
		r = read_pod_end(ns, ifname, &link, err);
	if (r == 0)
		r = read_host_end(s, ifname, &link, err);
	if (r == 0)
		*ret = link;
	return r;
}

bool bh_link_exists(uint32_t ifindex)
{
	char name[IF_NAMESIZE];

	return if_indextoname(ifindex, name) != NULL;
}

int bh_link_is_up(uint32_t ifindex, bool *ret, struct bh_err *err)
{
	BH_CLEANUP(sock_freep) struct nl_sock *s = NULL;
	BH_CLEANUP(link_putp) struct rtnl_link *l = NULL;
	int r = rtnl_open(&s, err);

	if (r)
		return r;
	r = rtnl_link_get_kernel(s, (int)ifindex, NULL, &l);
	if (r < 0)
		return bh_fail(err, nl_errno(r), "interface %u: %s", ifindex, nl_geterror(r));
	*ret = rtnl_link_get_flags(l) & IFF_UP;
	return 0;
}

int bh_link_set_up(uint32_t ifindex, bool up, struct bh_err *err)
{
	BH_CLEANUP(sock_freep) struct nl_sock *s = NULL;
	BH_CLEANUP(link_putp) struct rtnl_link *l = NULL;
	BH_CLEANUP(link_putp) struct rtnl_link *change = NULL;
	int r = rtnl_open(&s, err);

	if (r)
		return r;
	change = rtnl_link_alloc();
	if (!change)
		return bh_fail(err, ENOMEM, "no memory for a link");
	r = rtnl_link_get_kernel(s, (int)ifindex, NULL, &l);
	if (r == 0) {
		if (up)
			rtnl_link_set_flags(change, IFF_UP);
		else
			rtnl_link_unset_flags(change, IFF_UP);
		r = rtnl_link_change(s, l, change, 0);
	}
	if (r < 0)
		return bh_fail(err, nl_errno(r), "interface %u: %s", ifindex, nl_geterror(r));
	return 0;
}
