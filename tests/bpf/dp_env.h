/* dp_env.h - a small node for data-path tests: mount and network namespaces of the test's own, up
 * to three pods behind veth pairs, a handle. Everything dies with the test process. */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bh_test.h"

#include "datapath/datapath.h"
#include "net/link.h"

#define DP_PODS	 3
#define DP_BPFFS "/sys/fs/bpf/bh-test"

struct dp_pod {
	pid_t holder; /* keeps the namespace */
	int ns;
	char path[64];
	struct bh_link link;
	struct bh_ip ip;
	uint32_t slot;
};

struct dp_env {
	int home;
	char cgroup[128];
	struct dp_pod pod[DP_PODS];
	struct bh_datapath *dp;
	bool is_adopted;
};

static inline void dp_sh(const char *fmt, ...) BH_PRINTF(1, 2);
static inline void dp_sh(const char *fmt, ...)
{
	char command[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static inline void dp_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static inline void dp_find_cgroup(char out[128])
{
	FILE *f = fopen("/proc/self/mounts", "r");
	char type[32], dir[100], line[512];

	out[0] = '\0';
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %99s %31s", dir, type) == 2 && strcmp(type, "cgroup2") == 0)
			snprintf(out, 128, "%s/bh-test-%d", dir, (int)getpid());
	if (f)
		fclose(f);
}

/* Once per process. Returns false without privilege. */
static inline bool dp_isolate(void)
{
	if (geteuid() != 0)
		return false;
	assert_int_equal(unshare(CLONE_NEWNS | CLONE_NEWNET), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL), 0);
	dp_sh("ip link set lo up");
	dp_write("/proc/sys/net/ipv4/ip_forward", "1");
	dp_write("/proc/sys/net/ipv6/conf/all/forwarding", "1");
	return true;
}

/* ---- pods ---- */

static inline void dp_pod_up(struct dp_pod *p, unsigned n)
{
	char netns[64];
	int sync[2];
	char byte;

	assert_int_equal(pipe(sync), 0);
	p->holder = fork();
	assert_true(p->holder >= 0);
	if (p->holder == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		byte = unshare(CLONE_NEWNET) != 0;
		if (write(sync[1], &byte, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(sync[0], &byte, 1), 1);
	assert_int_equal(byte, 0);
	close(sync[0]);
	close(sync[1]);
	snprintf(p->path, sizeof(p->path), "/proc/%d/ns/net", (int)p->holder);
	p->ns = open(p->path, O_RDONLY | O_CLOEXEC);
	snprintf(netns, sizeof(netns), "nsenter -t %d -n", (int)p->holder);
	dp_sh("ip link add bht%u type veth peer name eth0 netns %d", n, (int)p->holder);
	dp_sh("ip addr add 10.77.%u.1/24 dev bht%u && ip link set bht%u up", n, n, n);
	dp_sh("%s sh -c 'ip link set lo up; ip addr add 10.77.%u.2/24 dev eth0; "
	      "ip link set eth0 up; ip route add default via 10.77.%u.1'",
	      netns, n, n);
	p->ip = bh_ip_from4(0x0a4d0002u + (n << 8));
	p->slot = n + 1;
}

static inline void dp_pod_down(struct dp_pod *p, unsigned n)
{
	char command[64];

	if (p->holder <= 0)
		return;
	/* the kernel tears a namespace down some time after its last process */
	snprintf(command, sizeof(command), "ip link del bht%u 2>/dev/null", n);
	if (system(command) != 0)
		print_message("bht%u was gone\n", n);
	kill(p->holder, SIGKILL);
	waitpid(p->holder, NULL, 0);
	close(p->ns);
	p->holder = 0;
}

/* ---- the handle ---- */

static inline void dp_open(struct dp_env *e)
{
	struct bh_datapath_options opt = {.bpffs = DP_BPFFS, .cgroup = e->cgroup};
	struct bh_err err;

	bh_assert_ok(&err, bh_datapath_open(&opt, &e->dp, &e->is_adopted, &err));
}

static inline void dp_reopen(struct dp_env *e)
{
	bh_datapath_closep(&e->dp);
	dp_open(e);
}

static inline struct bh_attach dp_attach_of(const struct dp_pod *p)
{
	struct bh_attach a = {
		.slot = p->slot,
		.generation = 7,
		.ifindex = p->link.host_ifindex,
		.nsid = p->link.nsid,
		.cookie = p->link.cookie,
		.has_mac = p->link.has_mac,
		.ips = &p->ip,
		.n_ips = 1,
		.owns_cookie = true,
		.flags = BH_SLOT_SHUT,
	};

	memcpy(a.mac, p->link.mac, sizeof(a.mac));
	return a;
}

static inline void dp_attach(struct dp_env *e, unsigned n)
{
	struct bh_attach a = dp_attach_of(&e->pod[n]);
	struct bh_err err;

	bh_assert_ok(&err, bh_datapath_attach(e->dp, &a, &err));
}

static inline void dp_unshut(struct dp_env *e, unsigned n)
{
	assert_int_equal(bh_datapath_set_flags(e->dp, e->pod[n].slot, 0, BH_SLOT_SHUT), 0);
}

/* Pods up, handle open, nothing attached. */
static inline int dp_setup(void **state)
{
	struct dp_env *e = calloc(1, sizeof(*e));
	struct bh_err err;

	assert_non_null(e);
	*state = e;
	e->home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	dp_find_cgroup(e->cgroup);
	assert_true(e->cgroup[0]);
	assert_true(mkdir(e->cgroup, 0755) == 0 || errno == EEXIST);
	for (unsigned n = 0; n < DP_PODS; n++) {
		dp_pod_up(&e->pod[n], n);
		bh_assert_ok(&err, bh_link_read(e->pod[n].path, "eth0", &e->pod[n].link, &err));
	}
	dp_open(e);
	return 0;
}

static inline int dp_teardown(void **state)
{
	struct dp_env *e = *state;
	struct bh_err err;

	unsetenv("BULKHEAD_FAULT");
	unsetenv("BULKHEAD_MAP_MAX");
	unsetenv("BULKHEAD_FORCE_CLSACT");
	bh_datapath_close(e->dp);
	bh_datapath_remove_all(DP_BPFFS, &err);
	for (unsigned n = 0; n < DP_PODS; n++)
		dp_pod_down(&e->pod[n], n);
	rmdir(e->cgroup);
	close(e->home);
	free(e);
	return 0;
}

/* ---- traffic ---- */

/* A socket of the pod's namespace (NULL: the node's). */
static inline int dp_socket(struct dp_env *e, const struct dp_pod *p, int type)
{
	int s;

	if (p)
		assert_int_equal(setns(p->ns, CLONE_NEWNET), 0);
	s = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	assert_int_equal(setns(e->home, CLONE_NEWNET), 0);
	assert_true(s >= 0);
	return s;
}

static inline struct sockaddr_in dp_addr(const struct bh_ip *ip, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

	if (ip)
		memcpy(&a.sin_addr, ip->b + 12, 4);
	return a;
}

static inline int dp_bound(struct dp_env *e, const struct dp_pod *p, int type, uint16_t port)
{
	struct sockaddr_in a = dp_addr(NULL, port);
	int one = 1, s = dp_socket(e, p, type);

	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(s, 16), 0);
	return s;
}

static inline bool dp_readable(int s, int ms)
{
	struct pollfd p = {.fd = s, .events = POLLIN};

	return poll(&p, 1, ms) == 1;
}

static inline bool dp_udp_arrives(int from, const struct bh_ip *to, uint16_t port, int at, int ms)
{
	struct sockaddr_in a = dp_addr(to, port);
	char byte = 'x';

	while (dp_readable(at, 0))
		assert_true(recv(at, &byte, 1, MSG_DONTWAIT) >= 0);
	if (sendto(from, &byte, 1, 0, (struct sockaddr *)&a, sizeof(a)) != 1)
		return false;
	return dp_readable(at, ms);
}

/* One datagram arrives, however long the machine takes: only one that is lost never comes. */
static inline bool dp_udp_passes(int from, const struct bh_ip *to, uint16_t port, int at)
{
	return dp_udp_arrives(from, to, port, at, 20000);
}

/* One datagram does not arrive within a moment. */
static inline bool dp_udp_is_dropped(int from, const struct bh_ip *to, uint16_t port, int at)
{
	return !dp_udp_arrives(from, to, port, at, 300);
}
