/* The node's own addresses: read once, then followed by the kernel's notifications. */
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>

#include "base/vec.h"
#include "net/link.h"

#define BUF_BYTES  32768
#define DUMP_TRIES 10 /* what an address change disturbed is read again */

/* One address of one interface. IPv4 knows an address on an interface by more than itself. */
struct known {
	uint32_t ifindex;
	uint8_t prefixlen;     /* IPv4 */
	struct bh_ip ip, peer; /* peer: IPv4 */
};

struct bh_addr_watch {
	struct mnl_socket *s;
	BH_VEC(struct known) known;
	BH_VEC(struct bh_ip) ips; /* sorted, each once */
	bool is_stale, has_failed;
};

static void mnl_closep(struct mnl_socket **s)
{
	if (*s)
		mnl_socket_close(*s);
	*s = NULL;
}

static void watch_closep(struct bh_addr_watch **w)
{
	bh_addr_watch_close(*w);
	*w = NULL;
}

/* ---- one message ---- */

/* Loopback and link-local addresses reach nobody else. */
static bool is_counted(const struct bh_ip *ip)
{
	static const struct bh_ip loopback6 = {.b = {[15] = 1}};

	if (bh_ip_is4(ip))
		return ip->b[12] != 127;
	return bh_ip_cmp(ip, &loopback6) != 0 && !(ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80);
}

static bool to_ip(uint8_t family, const struct nlattr *a, struct bh_ip *ret)
{
	*ret = (struct bh_ip){0};
	if (family == AF_INET && mnl_attr_get_payload_len(a) == 4) {
		ret->b[10] = ret->b[11] = 0xff;
		memcpy(ret->b + 12, mnl_attr_get_payload(a), 4);
		return true;
	}
	if (family == AF_INET6 && mnl_attr_get_payload_len(a) == 16) {
		memcpy(ret->b, mnl_attr_get_payload(a), 16);
		return true;
	}
	return false;
}

/* With a peer, IFA_LOCAL is ours and IFA_ADDRESS the peer's; without, IPv6 has IFA_ADDRESS only. */
static bool read_address(const struct nlmsghdr *h, struct known *ret)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	struct bh_ip local = {0}, address = {0};
	bool has_local = false, has_address = false;
	const struct nlattr *a;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*m))
		return false;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		if (mnl_attr_get_type(a) == IFA_LOCAL)
			has_local = to_ip(m->ifa_family, a, &local);
		else if (mnl_attr_get_type(a) == IFA_ADDRESS)
			has_address = to_ip(m->ifa_family, a, &address);
	}
	if (!has_local && !has_address)
		return false;
	*ret = (struct known){.ifindex = m->ifa_index, .ip = has_local ? local : address};
	if (m->ifa_family == AF_INET) {
		ret->prefixlen = m->ifa_prefixlen;
		ret->peer = address;
	}
	return is_counted(&ret->ip);
}

static bool is_same(const struct known *a, const struct known *b)
{
	return a->ifindex == b->ifindex && a->prefixlen == b->prefixlen &&
	       bh_ip_cmp(&a->ip, &b->ip) == 0 && bh_ip_cmp(&a->peer, &b->peer) == 0;
}

static int learn(struct bh_addr_watch *w, const struct known *k)
{
	if (bh_vec_push(&w->known, *k) == 0)
		return MNL_CB_OK;
	errno = ENOMEM;
	return MNL_CB_ERROR;
}

/* A dump names each once. */
static int on_dumped(const struct nlmsghdr *h, void *arg)
{
	struct known k;

	return h->nlmsg_type == RTM_NEWADDR && read_address(h, &k) ? learn(arg, &k) : MNL_CB_OK;
}

/* It may tell what is known already: a dump and the notifications overlap. */
static int on_notified(const struct nlmsghdr *h, void *arg)
{
	struct bh_addr_watch *w = arg;
	struct known k;

	if ((h->nlmsg_type != RTM_NEWADDR && h->nlmsg_type != RTM_DELADDR) || !read_address(h, &k))
		return MNL_CB_OK;
	w->is_stale = true;
	bh_vec_each (it, &w->known) {
		if (!is_same(it, &k))
			continue;
		*it = w->known.v[--w->known.n];
		break;
	}
	return h->nlmsg_type == RTM_NEWADDR ? learn(w, &k) : MNL_CB_OK;
}

/* ---- reading everything ---- */

/* Returns 0 or -errno; -EINTR: something changed meanwhile. */
static int dump(struct bh_addr_watch *w, struct mnl_socket *s, uint32_t seq)
{
	char buf[BUF_BYTES];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	int r = MNL_CB_OK;

	h->nlmsg_type = RTM_GETADDR;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = seq;
	m->ifa_family = AF_UNSPEC;
	if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		return -errno;
	while (r == MNL_CB_OK) {
		ssize_t n = mnl_socket_recvfrom(s, buf, sizeof(buf));

		if (n < 0)
			return -errno;
		r = mnl_cb_run(buf, (size_t)n, seq, mnl_socket_get_portid(s), on_dumped, w);
	}
	return r < 0 ? -errno : 0;
}

static int read_all(struct bh_addr_watch *w, struct bh_err *err)
{
	int r = -EINTR;

	for (uint32_t i = 1; r == -EINTR && i <= DUMP_TRIES; i++) {
		/* a new one each time: the rest of a disturbed dump stays in the old one */
		BH_CLEANUP(mnl_closep)
		struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);

		w->known.n = 0;
		w->is_stale = true;
		r = s && mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) >= 0 ? dump(w, s, i) : -errno;
	}
	w->has_failed = r != 0;
	return r ? bh_fail_sys(err, -r, "this node's addresses") : 0;
}

static int compare(const void *a, const void *b)
{
	return bh_ip_cmp(a, b);
}

/* *ret_changed: the list is another one than before. */
static int make_list(struct bh_addr_watch *w, bool *ret_changed, struct bh_err *err)
{
	BH_VEC(struct bh_ip) v = {0};
	size_t n = 0;

	*ret_changed = false;
	if (!w->is_stale)
		return 0;
	if (bh_vec_reserve(&v, w->known.n + 1))
		return bh_fail(err, ENOMEM, "no memory for this node's addresses");
	bh_vec_each (it, &w->known)
		v.v[v.n++] = it->ip;
	qsort(v.v, v.n, sizeof(*v.v), compare);
	for (size_t i = 0; i < v.n; i++)
		if (n == 0 || bh_ip_cmp(&v.v[n - 1], &v.v[i]) != 0)
			v.v[n++] = v.v[i];
	*ret_changed = n != w->ips.n || (n && memcmp(v.v, w->ips.v, n * sizeof(*v.v)) != 0);
	free(w->ips.v);
	w->ips.v = v.v;
	w->ips.n = n;
	w->ips.cap = v.cap;
	w->is_stale = false;
	return 0;
}

int bh_net_local_addresses(struct bh_ip **ret, size_t *ret_n, struct bh_err *err)
{
	BH_CLEANUP(watch_closep) struct bh_addr_watch *w = calloc(1, sizeof(*w));
	bool changed;
	int r;

	if (!w)
		return bh_fail(err, ENOMEM, "no memory for this node's addresses");
	r = read_all(w, err);
	if (r == 0)
		r = make_list(w, &changed, err);
	if (r)
		return r;
	*ret_n = w->ips.n;
	*ret = BH_TAKE(w->ips.v);
	return 0;
}

/* ---- following ---- */

int bh_addr_watch_open(struct bh_addr_watch **ret, struct bh_err *err)
{
	BH_CLEANUP(watch_closep) struct bh_addr_watch *w = calloc(1, sizeof(*w));
	unsigned groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
	int r;

	if (!w)
		return bh_fail(err, ENOMEM, "no memory to watch addresses");
	w->s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!w->s || mnl_socket_bind(w->s, groups, MNL_SOCKET_AUTOPID) < 0)
		return bh_fail_sys(err, errno, "watch addresses");
	/* after the subscription, so that nothing falls between the two */
	r = read_all(w, err);
	if (r)
		return r;
	*ret = BH_TAKE(w);
	return 0;
}

int bh_addr_watch_fd(const struct bh_addr_watch *w)
{
	return mnl_socket_get_fd(w->s);
}

/* Takes in what waits. false: something was lost, and what came before or after it means nothing
 * without it. */
static bool drain(struct bh_addr_watch *w)
{
	char buf[BUF_BYTES];
	bool is_whole = true;

	for (;;) {
		ssize_t n = recv(bh_addr_watch_fd(w), buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return is_whole;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != ENOBUFS)
			return false;
		if (n < 0 || n > (ssize_t)sizeof(buf) ||
		    mnl_cb_run(buf, (size_t)n, 0, 0, on_notified, w) < 0)
			is_whole = false;
	}
}

void bh_addr_watch_consume(struct bh_addr_watch *w)
{
	if (!drain(w))
		w->has_failed = true;
}

int bh_addr_watch_addresses(struct bh_addr_watch *w, struct bh_addr_list *ret, struct bh_err *err)
{
	bool changed;
	int r = 0;

	bh_addr_watch_consume(w);
	if (w->has_failed)
		r = read_all(w, err);
	if (r == 0)
		r = make_list(w, &changed, err);
	if (r)
		return r;
	*ret = (struct bh_addr_list){w->ips.v, w->ips.n, changed};
	return 0;
}

void bh_addr_watch_close(struct bh_addr_watch *w)
{
	if (!w)
		return;
	mnl_closep(&w->s);
	bh_vec_done(&w->known);
	bh_vec_done(&w->ips);
	free(w);
}
