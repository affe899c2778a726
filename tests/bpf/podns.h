/* podns.h - a pod for real: a network namespace behind a veth with the packet programs on it, and a
 * cgroup with the socket hooks. The host's end has the peers' addresses of rig.h's world, so the
 * test process plays both sides by changing namespaces. Everything is gone after podns_close, and
 * when the process dies only an empty cgroup is left, which the next run removes. */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <netinet/in.h>

#include "frame.h"
#include "sock.skel.h"

#define PODNS_CGROUP	"bh-test-sock"
#define PODNS_LOST_MS	20000 /* what takes longer than the slowest machine does not come */
#define PODNS_MOMENT_MS 50    /* for what must not come */

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

struct podns {
	struct rig *r;
	struct sock_bpf *sock;
	struct bpf_link *link[7];
	int n_links;
	int tcx[2];	     /* fds by direction */
	int host_ns, pod_ns; /* fds */
	int ifindex;
	int32_t nsid;
	uint64_t cookie;
	char cgroup[256];
	char root_cgroup[200];
};

static inline void podns_enter(int ns)
{
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
}

static inline void podns_sh(const char *fmt, ...)
{
	char cmd[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (system(cmd))
		fail_msg("failed: %s", cmd);
}

static inline int32_t podns_nsid(void)
{
	FILE *f = popen("ip -o link show vh", "r");
	char line[1024], *p;

	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	pclose(f);
	p = strstr(line, "link-netnsid ");
	assert_non_null(p);
	return atoi(p + strlen("link-netnsid "));
}

static inline void podns_links(struct podns *p)
{
	socklen_t n = sizeof(p->cookie);
	int fd;

	p->host_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	p->pod_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(p->host_ns >= 0 && p->pod_ns >= 0);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &p->cookie, &n), 0);
	close(fd);
	podns_enter(p->host_ns);
	podns_sh(
		"ip link add vh address 02:00:00:00:00:01 type veth "
		"peer name eth0 address 02:00:00:00:00:02");
	podns_sh("ip link set eth0 netns /proc/%d/fd/%d", getpid(), p->pod_ns);
	podns_sh(
		"for i in 10 11 12 14; do ip addr add 10.0.0.$i/24 dev vh; done; "
		"for i in 10 11 12 14; do ip addr add fd00::$i/64 dev vh nodad; done; "
		"ip link set vh up");
	p->ifindex = if_nametoindex("vh");
	p->nsid = podns_nsid();
	podns_enter(p->pod_ns);
	podns_sh(
		"ip link set lo up; ip addr add 10.0.0.2/24 dev eth0; "
		"ip addr add fd00::2/64 dev eth0 nodad; ip link set eth0 up; "
		"ip route add default via 10.0.0.10; ip -6 route add default via fd00::10");
	podns_enter(p->host_ns);
}

static inline void podns_register(struct podns *p)
{
	uint32_t slot = RIG_SLOT, ifindex = p->ifindex;
	struct bh_slot *s = &p->r->slots[RIG_SLOT];

	rig_world(p->r);
	rig_peer(p->r, "fd00::12", RIG_WORLD);
	s->ifindex = ifindex;
	s->nsid = p->nsid;
	s->cookie = p->cookie;
	rig_put(p->r->pod->maps.slot_by_ifindex, &ifindex, &slot);
	rig_put(p->r->pod->maps.slot_by_cookie, &p->cookie, &slot);
	rig_purge(p->r);
}

static inline void podns_keep_link(struct podns *p, struct bpf_link *l)
{
	assert_non_null(l);
	p->link[p->n_links++] = l;
}

/* The cgroup2 hierarchy, wherever it is mounted. */
static inline void podns_cgroup_root(char *dir, size_t n)
{
	FILE *f = fopen("/proc/self/mounts", "re");
	char line[1024], where[150], type[64];

	assert_non_null(f);
	dir[0] = 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %149s %63s", where, type) == 2 && !strcmp(type, "cgroup2"))
			snprintf(dir, n, "%s", where);
	fclose(f);
	assert_true(dir[0]);
}

static inline void podns_write(const char *dir, const char *file, const char *text)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* The socket programs share the packet programs' maps, as the pins would make them do. */
static inline void podns_share_maps(struct podns *p)
{
	struct bpf_map *m, *theirs;

	bpf_object__for_each_map(m, p->sock->obj)
	{
		bpf_map__set_pin_path(m, NULL);
		theirs = bpf_object__find_map_by_name(p->r->pod->obj, bpf_map__name(m));
		if (theirs)
			assert_int_equal(bpf_map__reuse_fd(m, bpf_map__fd(theirs)), 0);
	}
}

static inline void podns_hooks(struct podns *p)
{
	struct bpf_program *prog;
	char pid[32];
	int fd;

	p->sock = sock_bpf__open();
	assert_non_null(p->sock);
	podns_share_maps(p);
	assert_int_equal(sock_bpf__load(p->sock), 0);
	podns_cgroup_root(p->root_cgroup, sizeof(p->root_cgroup));
	snprintf(p->cgroup, sizeof(p->cgroup), "%s/" PODNS_CGROUP ".%d", p->root_cgroup, getpid());
	assert_int_equal(mkdir(p->cgroup, 0755), 0);
	fd = open(p->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	bpf_object__for_each_program(prog, p->sock->obj)
		podns_keep_link(p, bpf_program__attach_cgroup(prog, fd));
	close(fd);
	snprintf(pid, sizeof(pid), "%d", getpid());
	podns_write(p->cgroup, "cgroup.procs", pid);
}

static inline struct podns *podns_open(void)
{
	struct podns *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	rig_netns();
	p->r = rig_open();
	podns_links(p);
	podns_register(p);
	p->tcx[BH_EGRESS] = bpf_link_create(bpf_program__fd(p->r->pod->progs.bh_from_pod),
					    p->ifindex, BPF_TCX_INGRESS, NULL);
	p->tcx[BH_INGRESS] = bpf_link_create(bpf_program__fd(p->r->pod->progs.bh_to_pod),
					     p->ifindex, BPF_TCX_EGRESS, NULL);
	assert_true(p->tcx[BH_EGRESS] >= 0 && p->tcx[BH_INGRESS] >= 0);
	podns_hooks(p);
	return p;
}

static inline void podns_close(struct podns *p)
{
	char pid[32];

	podns_enter(p->host_ns);
	snprintf(pid, sizeof(pid), "%d", getpid());
	podns_write(p->root_cgroup, "cgroup.procs", pid);
	for (int i = 0; i < p->n_links; i++)
		bpf_link__destroy(p->link[i]);
	close(p->tcx[0]);
	close(p->tcx[1]);
	rmdir(p->cgroup);
	sock_bpf__destroy(p->sock);
	rig_close(p->r);
	close(p->host_ns);
	close(p->pod_ns);
	free(p);
}

/* ---- sockets ---- */
union podns_addr {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static inline socklen_t podns_addr(union podns_addr *a, const char *text, uint16_t port)
{
	memset(a, 0, sizeof(*a));
	if (strchr(text, ':')) {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons(port);
		assert_int_equal(inet_pton(AF_INET6, text, &a->v6.sin6_addr), 1);
		return sizeof(a->v6);
	}
	a->v4.sin_family = AF_INET;
	a->v4.sin_port = htons(port);
	assert_int_equal(inet_pton(AF_INET, text, &a->v4.sin_addr), 1);
	return sizeof(a->v4);
}

static inline int podns_socket(const char *like, int type)
{
	int fd = socket(strchr(like, ':') ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0);
	struct timeval t = {.tv_sec = PODNS_LOST_MS / 1000};

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	return fd;
}

/* A socket bound in the namespace the caller is in; streams listen. */
static inline int podns_bound(const char *addr, uint16_t port, int type)
{
	union podns_addr a;
	socklen_t n = podns_addr(&a, addr, port);
	int fd = podns_socket(addr, type), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(fd, &a.sa, n), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 1024), 0);
	return fd;
}

/* How long recv() waits. */
static inline void podns_patience(int fd, int ms)
{
	struct timeval t = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
}

/* 0 or errno of connect(); the connected socket goes to *ret_fd. */
static inline int podns_connect(const char *addr, uint16_t port, int type, int *ret_fd)
{
	union podns_addr a;
	socklen_t n = podns_addr(&a, addr, port);
	int fd = podns_socket(addr, type), r;

	r = connect(fd, &a.sa, n) ? errno : 0;
	if (r == 0 && ret_fd)
		*ret_fd = fd;
	else
		close(fd);
	return r;
}

static inline int podns_sendto(const char *addr, uint16_t port)
{
	union podns_addr a;
	socklen_t n = podns_addr(&a, addr, port);
	int fd = podns_socket(addr, SOCK_DGRAM), r;

	r = sendto(fd, "x", 1, 0, &a.sa, n) == 1 ? 0 : errno;
	close(fd);
	return r;
}

/* Sends a frame as if the device of this namespace had made it. */
static inline void podns_put(const char *dev, const void *frame, size_t n)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_halen = 6};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	to.sll_ifindex = if_nametoindex(dev);
	/* towards the pod, a drop comes back as ENOBUFS */
	if (sendto(fd, frame, n, 0, (struct sockaddr *)&to, sizeof(to)) != (ssize_t)n)
		assert_int_equal(errno, ENOBUFS);
	close(fd);
}
