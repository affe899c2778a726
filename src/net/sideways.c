#include "net/sideways.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libmnl/libmnl.h>

#include "net/visit.h"

#define BUF_BYTES 32768

struct bh_side_watch {
	struct mnl_socket *s;
};

static void mnl_closep(struct mnl_socket **s)
{
	if (*s)
		mnl_socket_close(*s);
	*s = NULL;
}

static int side_socket(unsigned groups, struct mnl_socket **ret, struct bh_err *err)
{
	BH_CLEANUP(mnl_closep)
	struct mnl_socket *s =
		mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | (groups ? SOCK_NONBLOCK : 0));

	if (!s || mnl_socket_bind(s, groups, MNL_SOCKET_AUTOPID) < 0)
		return bh_fail_sys(err, errno, "netlink");
	*ret = BH_TAKE(s);
	return 0;
}

int bh_side_open(struct bh_side_watch **ret, struct bh_err *err)
{
	struct bh_side_watch *w = calloc(1, sizeof(*w));
	int on = 1, r;

	if (!w)
		return bh_fail(err, ENOMEM, "devices of pods");
	r = side_socket(RTMGRP_LINK, &w->s, err);
	if (!r && mnl_socket_setsockopt(w->s, NETLINK_LISTEN_ALL_NSID, &on, sizeof(on)) < 0)
		r = bh_fail_sys(err, errno, "devices of all namespaces");
	if (r) {
		bh_side_close(w);
		return r;
	}
	*ret = w;
	return 0;
}

int bh_side_fd(const struct bh_side_watch *w)
{
	return mnl_socket_get_fd(w->s);
}

void bh_side_close(struct bh_side_watch *w)
{
	if (!w)
		return;
	mnl_closep(&w->s);
	free(w);
}

/* ---- messages ---- */

struct reading {
	int32_t nsid;
	bh_side_fn *fn;
	void *arg;
	struct bh_side_link link;
	bool is_sideways;
};

static int on_info(const struct nlattr *a, void *arg)
{
	struct bh_side_link *l = arg;

	if (mnl_attr_get_type(a) == IFLA_INFO_KIND && mnl_attr_get_payload_len(a))
		snprintf(l->kind, sizeof(l->kind), "%.*s", (int)mnl_attr_get_payload_len(a),
			 mnl_attr_get_str(a));
	return MNL_CB_OK;
}

static int on_attribute(const struct nlattr *a, void *arg)
{
	struct reading *r = arg;
	size_t n = mnl_attr_get_payload_len(a);

	switch (mnl_attr_get_type(a)) {
	case IFLA_LINK_NETNSID:
		r->is_sideways = true;
		break;
	case IFLA_LINK:
		if (n >= 4)
			r->link.other = mnl_attr_get_u32(a);
		break;
	case IFLA_IFNAME:
		snprintf(r->link.name, sizeof(r->link.name), "%.*s", (int)n, mnl_attr_get_str(a));
		break;
	case IFLA_LINKINFO:
		mnl_attr_parse_nested(a, on_info, &r->link);
		break;
	}
	return MNL_CB_OK;
}

static int on_link(const struct nlmsghdr *h, void *arg)
{
	struct reading *r = arg;
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(h);

	if (h->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(h) < sizeof(*info))
		return MNL_CB_OK;
	r->link = (struct bh_side_link){.nsid = r->nsid, .ifindex = (uint32_t)info->ifi_index};
	r->link.is_harmless = !(info->ifi_flags & IFF_UP) && info->ifi_change != ~0u;
	r->is_sideways = false;
	mnl_attr_parse(h, sizeof(*info), on_attribute, r);
	if (r->is_sideways)
		r->fn(&r->link, r->arg);
	return MNL_CB_OK;
}

/* Which namespace a message is about; negative: ours. */
static int32_t nsid_of(struct msghdr *m)
{
	int32_t nsid = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_LISTEN_ALL_NSID)
			memcpy(&nsid, CMSG_DATA(c), sizeof(nsid));
	}
	return nsid;
}

bool bh_side_consume(struct bh_side_watch *w, bh_side_fn *fn, void *arg)
{
	char buf[BUF_BYTES], control[CMSG_SPACE(sizeof(int32_t)) * 2];
	struct reading r = {.fn = fn, .arg = arg};
	ssize_t n;

	for (;;) {
		struct iovec iov = {buf, sizeof(buf)};
		struct msghdr m = {.msg_iov = &iov,
				   .msg_iovlen = 1,
				   .msg_control = control,
				   .msg_controllen = sizeof(control)};

		n = recvmsg(bh_side_fd(w), &m, 0);
		if (n < 0)
			return errno != ENOBUFS;
		r.nsid = nsid_of(&m);
		if (r.nsid >= 0)
			mnl_cb_run(buf, (size_t)n, 0, 0, on_link, &r);
	}
}

/* ---- requests ---- */

static struct nlmsghdr *request(char *buf, uint16_t type, uint16_t flags,
				const struct bh_side_link *l)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(h, sizeof(*info));

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	h->nlmsg_seq = 1;
	info->ifi_index = (int)l->ifindex;
	/* who sets a device up or down means one of his own namespace: there the attribute would
	 * say where it is to go */
	if (type == RTM_SETLINK)
		info->ifi_change = IFF_UP;
	else
		mnl_attr_put_u32(h, IFLA_TARGET_NETNSID, (uint32_t)l->nsid);
	return h;
}

static int call(struct mnl_socket *s, const struct nlmsghdr *h, struct reading *to,
		struct bh_err *err)
{
	char buf[BUF_BYTES];
	ssize_t n;
	int r;

	if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		return bh_fail_sys(err, errno, "netlink");
	do {
		n = mnl_socket_recvfrom(s, buf, sizeof(buf));
		r = n < 0 ? -1
			  : mnl_cb_run(buf, (size_t)n, 1, mnl_socket_get_portid(s),
				       to ? on_link : NULL, to);
	} while (r == MNL_CB_OK);
	return r < 0 ? bh_fail_sys(err, errno, "device of a pod") : 0;
}

int bh_side_each(int32_t nsid, bh_side_fn *fn, void *arg, struct bh_err *err)
{
	const struct bh_side_link all = {.nsid = nsid};
	BH_CLEANUP(mnl_closep) struct mnl_socket *s = NULL;
	struct reading to = {.nsid = nsid, .fn = fn, .arg = arg};
	char buf[256];
	int r = side_socket(0, &s, err);

	return r ? r : call(s, request(buf, RTM_GETLINK, NLM_F_DUMP, &all), &to, err);
}

int bh_side_delete(const struct bh_side_link *l, struct bh_err *err)
{
	BH_CLEANUP(mnl_closep) struct mnl_socket *s = NULL;
	char buf[256];
	int r = side_socket(0, &s, err);

	return r ? r : call(s, request(buf, RTM_DELLINK, NLM_F_ACK, l), NULL, err);
}

int bh_side_set_down(const char *netns_path, const struct bh_side_link *l, struct bh_err *err)
{
	BH_CLEANUP(mnl_closep) struct mnl_socket *s = NULL;
	BH_CLEANUP(bh_closep) int ns = -1;
	char buf[256];
	int home, r = bh_visit_open(netns_path, &ns, err);

	if (!r)
		r = bh_visit_enter(ns, &home, err);
	if (r)
		return r;
	r = bh_visit_leave(home, side_socket(0, &s, err), err);
	return r ? r : call(s, request(buf, RTM_SETLINK, NLM_F_ACK, l), NULL, err);
}
