#include "shut.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#define BUFFER	    16384
#define NO_NSID	    (-1)
#define ANSWER_S    2
#define MAX_ANSWERS 16

/* linux/if_link.h is not included: it clashes with net/if.h in older headers, and rtnetlink.h
 * brings what is needed. */

struct end {
	uint32_t ifindex;
	uint32_t peer_ifindex; /* in the peer's namespace; 0: none */
	int32_t peer_nsid;     /* the peer's namespace, as seen from here */
	bool is_pair;	       /* of a kind that has exactly two ends */
};

struct message {
	union {
		struct nlmsghdr h;
		char bytes[BUFFER];
	};
};

/* ---- netlink ---- */

static void add_attr(struct message *m, unsigned short type, const void *data, size_t n)
{
	struct rtattr *a = (struct rtattr *)(void *)(m->bytes + NLMSG_ALIGN(m->h.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(n);
	memcpy(RTA_DATA(a), data, n);
	m->h.nlmsg_len = NLMSG_ALIGN(m->h.nlmsg_len) + (uint32_t)RTA_ALIGN(a->rta_len);
}

static void start(struct message *m, unsigned short type, unsigned short flags, size_t body)
{
	memset(m, 0, sizeof(*m));
	m->h.nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
	m->h.nlmsg_type = type;
	m->h.nlmsg_flags = NLM_F_REQUEST | flags;
	m->h.nlmsg_seq = 1;
}

/* Sends m and overwrites it with the answer. */
static int ask(int fd, struct message *m)
{
	if (send(fd, m, m->h.nlmsg_len, 0) < 0)
		return -errno;
	for (int i = 0; i < MAX_ANSWERS; i++) {
		ssize_t n = recv(fd, m, sizeof(*m), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!NLMSG_OK(&m->h, (uint32_t)n))
			return -EBADMSG;
		if (m->h.nlmsg_seq != 1)
			continue;
		if (m->h.nlmsg_type != NLMSG_ERROR)
			return 0;
		if (m->h.nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr)))
			return -EBADMSG;
		return ((struct nlmsgerr *)NLMSG_DATA(&m->h))->error;
	}
	return -EBADMSG;
}

static int netlink_open(void)
{
	struct timeval tv = {.tv_sec = ANSWER_S};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	return fd < 0 ? -errno : fd;
}

/* ---- the two ends ---- */

static bool is_pair_kind(const struct rtattr *info)
{
	int left = (int)RTA_PAYLOAD(info);

	for (const struct rtattr *a = RTA_DATA(info); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == IFLA_INFO_KIND)
			return !strncmp(RTA_DATA(a), "veth", RTA_PAYLOAD(a)) ||
			       !strncmp(RTA_DATA(a), "netkit", RTA_PAYLOAD(a));
	}
	return false;
}

static int read_end(const struct message *m, struct end *ret)
{
	const struct ifinfomsg *info = NLMSG_DATA(&m->h);
	const struct rtattr *a = IFLA_RTA(info);
	int left = (int)m->h.nlmsg_len - (int)NLMSG_LENGTH(sizeof(*info));

	if (m->h.nlmsg_type != RTM_NEWLINK || left < 0)
		return -EBADMSG;
	*ret = (struct end){.ifindex = (uint32_t)info->ifi_index, .peer_nsid = NO_NSID};
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == IFLA_LINK && RTA_PAYLOAD(a) == 4)
			memcpy(&ret->peer_ifindex, RTA_DATA(a), 4);
		else if (a->rta_type == IFLA_LINK_NETNSID && RTA_PAYLOAD(a) == 4)
			memcpy(&ret->peer_nsid, RTA_DATA(a), 4);
		else if (a->rta_type == IFLA_LINKINFO)
			ret->is_pair = is_pair_kind(a);
	}
	return 0;
}

/* By name when there is one, else by index. */
static int get_link(int fd, const char *name, uint32_t ifindex, struct end *ret)
{
	struct message m;
	int r;

	start(&m, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
	((struct ifinfomsg *)NLMSG_DATA(&m.h))->ifi_index = (int)ifindex;
	if (name)
		add_attr(&m, IFLA_IFNAME, name, strlen(name) + 1);
	r = ask(fd, &m);
	return r ? r : read_end(&m, ret);
}

/* What our namespace calls the one behind ns_fd. */
static int get_nsid(int fd, int ns_fd, int32_t *ret)
{
	uint32_t value = (uint32_t)ns_fd;
	const struct rtattr *a;
	struct message m;
	int r, left;

	start(&m, RTM_GETNSID, 0, sizeof(struct rtgenmsg));
	add_attr(&m, NETNSA_FD, &value, sizeof(value));
	r = ask(fd, &m);
	if (r)
		return r;
	left = (int)m.h.nlmsg_len - (int)NLMSG_SPACE(sizeof(struct rtgenmsg));
	a = (const struct rtattr *)(const void *)(m.bytes + NLMSG_SPACE(sizeof(struct rtgenmsg)));
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == NETNSA_NSID && RTA_PAYLOAD(a) == 4) {
			memcpy(ret, RTA_DATA(a), 4);
			return 0;
		}
	}
	return -EBADMSG;
}

static int set_down(int fd, uint32_t ifindex)
{
	struct ifinfomsg *info;
	struct message m;

	start(&m, RTM_NEWLINK, NLM_F_ACK, sizeof(*info));
	info = NLMSG_DATA(&m.h);
	info->ifi_index = (int)ifindex;
	info->ifi_change = IFF_UP;
	return ask(fd, &m);
}

/* ---- namespaces ---- */

static bool is_same_file(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

/* A socket stays in the namespace it was made in, so the visit is short. */
static int netlink_open_in(int ns_fd, int own_fd)
{
	int fd;

	if (setns(ns_fd, CLONE_NEWNET) < 0)
		return -errno;
	fd = netlink_open();
	if (setns(own_fd, CLONE_NEWNET) < 0) {
		int r = -errno;

		bh_closep(&fd);
		return r;
	}
	return fd;
}

static int find_host_end(int fd, int ns_fd, const struct end *pod, struct end *ret)
{
	int32_t nsid = NO_NSID;
	int r;

	if (!pod->is_pair || !pod->peer_ifindex)
		return -EOPNOTSUPP;
	r = get_link(fd, NULL, pod->peer_ifindex, ret);
	if (r == -ENODEV)
		return -EOPNOTSUPP; /* the peer is in a third namespace */
	if (!r)
		r = get_nsid(fd, ns_fd, &nsid);
	if (r)
		return r;
	/* the index alone proves nothing: every namespace counts its own */
	if (!ret->is_pair || ret->peer_ifindex != pod->ifindex || nsid == NO_NSID ||
	    ret->peer_nsid != nsid)
		return -EOPNOTSUPP;
	return 0;
}

int bh_cni_shut(const char *netns_path, const char *ifname, struct bh_err *err)
{
	BH_CLEANUP(bh_closep) int ns_fd = open(netns_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	BH_CLEANUP(bh_closep) int own_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	BH_CLEANUP(bh_closep) int here = -1;
	BH_CLEANUP(bh_closep) int there = -1;
	struct end pod, host;
	int r;

	if (ns_fd < 0 || own_fd < 0)
		return bh_fail_sys(err, errno, "open '%s'", ns_fd < 0 ? netns_path : "own netns");
	if (is_same_file(ns_fd, own_fd))
		return bh_fail(err, EOPNOTSUPP, "'%s' is the node's own namespace", netns_path);
	there = netlink_open_in(ns_fd, own_fd);
	if (there < 0)
		return bh_fail_sys(err, -there, "enter '%s'", netns_path);
	here = netlink_open();
	if (here < 0)
		return bh_fail_sys(err, -here, "netlink");
	r = get_link(there, ifname, 0, &pod);
	if (r)
		return bh_fail_sys(err, r == -ENODEV ? ENOENT : -r, "interface '%s'", ifname);
	r = find_host_end(here, ns_fd, &pod, &host);
	if (!r)
		r = set_down(here, host.ifindex);
	return r ? bh_fail_sys(err, -r, "host side of interface '%s'", ifname) : 0;
}
