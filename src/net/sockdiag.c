#include "net/sockdiag.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include <libmnl/libmnl.h>

#include "base/vec.h"
#include "net/visit.h"

#define EVERY_STATE 0xffffffffu

static const struct {
	uint8_t family, proto;
} kinds[] = {
	{AF_INET, IPPROTO_TCP},
	{AF_INET6, IPPROTO_TCP},
	{AF_INET, IPPROTO_UDP},
	{AF_INET6, IPPROTO_UDP},
};

static void mnl_closep(struct mnl_socket **s)
{
	if (*s)
		mnl_socket_close(*s);
	*s = NULL;
}

/* A socket of the namespace: it answers for the namespace it was opened in. */
static int diag_open(int netns_fd, struct mnl_socket **ret, struct bh_err *err)
{
	BH_CLEANUP(mnl_closep) struct mnl_socket *s = NULL;
	int home, r = bh_visit_enter(netns_fd, &home, err);

	if (r)
		return r;
	s = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	if (!s || mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0)
		r = bh_fail_sys(err, errno, "sock_diag");
	r = bh_visit_leave(home, r, err);
	if (r == 0)
		*ret = BH_TAKE(s);
	return r;
}

struct listing {
	uint8_t proto;
	int (*fn)(const struct inet_diag_msg *m, uint8_t proto, void *arg);
	void *arg;
	int r; /* of fn */
};

static int on_message(const struct nlmsghdr *h, void *data)
{
	struct listing *l = data;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(struct inet_diag_msg))
		return MNL_CB_OK;
	l->r = l->fn(mnl_nlmsg_get_payload(h), l->proto, l->arg);
	return l->r ? MNL_CB_STOP : MNL_CB_OK;
}

static int dump(struct mnl_socket *s, size_t kind, struct listing *l, struct bh_err *err)
{
	char buf[32768]; /* sock_diag fills large buffers */
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct inet_diag_req_v2 *req = mnl_nlmsg_put_extra_header(h, sizeof(*req));
	ssize_t n;
	int r = MNL_CB_OK;

	h->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = (uint32_t)kind + 1;
	req->sdiag_family = kinds[kind].family;
	req->sdiag_protocol = l->proto = kinds[kind].proto;
	req->idiag_states = EVERY_STATE;
	if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		return bh_fail_sys(err, errno, "sock_diag");
	while (r == MNL_CB_OK) {
		n = mnl_socket_recvfrom(s, buf, sizeof(buf));
		if (n < 0)
			return bh_fail_sys(err, errno, "sock_diag");
		r = mnl_cb_run(buf, (size_t)n, (uint32_t)kind + 1, mnl_socket_get_portid(s),
			       on_message, l);
	}
	/* a kernel without UDP diagnostics or IPv6 has nothing to list */
	if (r < 0 && errno != ENOENT && errno != EAFNOSUPPORT)
		return bh_fail_sys(err, errno, "sock_diag");
	return 0;
}

static int each(int netns_fd, struct listing *l, struct bh_err *err)
{
	for (size_t kind = 0; kind < BH_ARRAY_SIZE(kinds); kind++) {
		BH_CLEANUP(mnl_closep) struct mnl_socket *s = NULL;
		int r = diag_open(netns_fd, &s, err);

		if (r == 0)
			r = dump(s, kind, l, err);
		if (r || l->r)
			return r ? r : l->r;
	}
	return 0;
}

/* ---- list ---- */

struct user {
	int (*fn)(const struct bh_socket *s, void *arg);
	void *arg;
};

static struct bh_ip to_ip(uint8_t family, const __be32 *a)
{
	struct bh_ip ip = {.b = {[10] = 0xff, [11] = 0xff}};

	if (family == AF_INET)
		memcpy(ip.b + 12, a, 4);
	else
		memcpy(ip.b, a, 16);
	return ip;
}

static int give(const struct inet_diag_msg *m, uint8_t proto, void *arg)
{
	const struct user *u = arg;
	struct bh_socket s = {
		.proto = proto,
		.state = m->idiag_state,
		.local = to_ip(m->idiag_family, m->id.idiag_src),
		.remote = to_ip(m->idiag_family, m->id.idiag_dst),
		.lport = ntohs(m->id.idiag_sport),
		.rport = ntohs(m->id.idiag_dport),
		.uid = m->idiag_uid,
		.inode = m->idiag_inode,
	};

	return u->fn(&s, u->arg);
}

int bh_sockdiag_list(int netns_fd, int (*fn)(const struct bh_socket *s, void *arg), void *arg,
		     struct bh_err *err)
{
	struct user u = {.fn = fn, .arg = arg};
	struct listing l = {.fn = give, .arg = &u};

	return each(netns_fd, &l, err);
}

/* ---- destroy ---- */

struct target {
	uint8_t family, proto;
	struct inet_diag_sockid id;
};

struct targets {
	BH_VEC(struct target) found;
};

static int remember(const struct inet_diag_msg *m, uint8_t proto, void *arg)
{
	struct targets *v = arg;
	struct target t = {.family = m->idiag_family, .proto = proto, .id = m->id};

	if (m->idiag_state == TCP_LISTEN || m->idiag_state == TCP_CLOSE)
		return 0;
	return bh_vec_push(&v->found, t);
}

/* Returns 0, or -errno. */
static int destroy(struct mnl_socket *s, const struct target *t, uint32_t seq)
{
	char buf[1024];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct inet_diag_req_v2 *req = mnl_nlmsg_put_extra_header(h, sizeof(*req));
	ssize_t n;

	h->nlmsg_type = SOCK_DESTROY;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	h->nlmsg_seq = seq;
	req->sdiag_family = t->family;
	req->sdiag_protocol = t->proto;
	req->idiag_states = EVERY_STATE;
	req->id = t->id;
	if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(s, buf, sizeof(buf));
	if (n < 0)
		return -errno;
	return mnl_cb_run(buf, (size_t)n, seq, mnl_socket_get_portid(s), NULL, NULL) < 0 ? -errno
											 : 0;
}

static int destroy_each(int netns_fd, const struct targets *v, uint32_t *ret_n, struct bh_err *err)
{
	BH_CLEANUP(mnl_closep) struct mnl_socket *s = NULL;
	uint32_t n = 0, seq = 0;
	int r = diag_open(netns_fd, &s, err);

	if (r)
		return r;
	bh_vec_each (t, &v->found) {
		r = destroy(s, t, ++seq);
		if (r == -EOPNOTSUPP)
			return bh_fail(err, EOPNOTSUPP, "this kernel cannot destroy sockets");
		n += r == 0;
		/* ENOENT: it has ended by itself */
		if (r && r != -ENOENT)
			return bh_fail_sys(err, -r, "destroy a socket");
	}
	*ret_n = n;
	return 0;
}

int bh_sockdiag_destroy_all(int netns_fd, uint32_t *ret_destroyed, struct bh_err *err)
{
	struct targets v = {0};
	struct listing l = {.fn = remember, .arg = &v};
	uint32_t n = 0;
	int r = each(netns_fd, &l, err);

	if (r == 0)
		r = destroy_each(netns_fd, &v, &n, err);
	else if (l.r)
		r = bh_fail(err, ENOMEM, "no memory for the list of sockets");
	bh_vec_done(&v.found);
	if (r == 0)
		*ret_destroyed = n;
	return r;
}
