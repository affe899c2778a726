/* test_net.c - interfaces, addresses and sockets of real namespaces, the test's own. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bh_test.h"

#include "net/link.h"
#include "net/sockdiag.h"

struct env {
	pid_t holder;
	char path[64];
	int ns, home;
	ino_t home_ino;
};

#define HANGS_MS 60000 /* longer than anything takes on the slowest machine */

static bool is_privileged;

static void sh(const char *command)
{
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

/* Interfaces made from now on have no address of the kernel's own: it comes, is tried and is
 * announced when the kernel likes, between any two of our questions. */
#define NO_OWN_ADDRESSES "echo 1 >/proc/sys/net/ipv6/conf/default/addr_gen_mode"

static void in_pod(const struct env *e, const char *command)
{
	char line[300];

	snprintf(line, sizeof(line), "nsenter -t %d -n sh -c '%s'", (int)e->holder, command);
	sh(line);
}

static ino_t own_ns(void)
{
	struct stat st;

	assert_int_equal(stat("/proc/thread-self/ns/net", &st), 0);
	return st.st_ino;
}

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));
	char line[100], byte;
	int sync[2];

	*state = e;
	if (!is_privileged)
		return 0;
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(pipe(sync), 0);
	e->holder = fork();
	if (e->holder == 0) {
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
	snprintf(e->path, sizeof(e->path), "/proc/%d/ns/net", (int)e->holder);
	e->ns = open(e->path, O_RDONLY | O_CLOEXEC);
	e->home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	e->home_ino = own_ns();
	sh("ip link set lo up; " NO_OWN_ADDRESSES);
	in_pod(e, NO_OWN_ADDRESSES);
	snprintf(line, sizeof(line), "ip link add bhn0 type veth peer name eth0 netns %d",
		 (int)e->holder);
	sh(line);
	sh("ip addr add 10.78.0.1/24 dev bhn0; ip addr add fd78::1/64 dev bhn0 nodad; "
	   "ip link set bhn0 up");
	in_pod(e,
	       "ip link set lo up; ip link set eth0 address 02:00:00:00:78:02 up; "
	       "ip addr add 10.78.0.2/24 dev eth0");
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;

	if (e->holder > 0) {
		kill(e->holder, SIGKILL);
		waitpid(e->holder, NULL, 0);
		close(e->ns);
		close(e->home);
	}
	free(e);
	return 0;
}

static void need_privilege(void)
{
	if (!is_privileged) {
		print_message("needs root\n");
		skip();
	}
}

/* ---- links ---- */

static void reads_both_ends_of_a_veth(void **state)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0x78, 2};
	struct env *e = *state;
	struct bh_link l, again;
	struct bh_err err;
	uint64_t cookie;

	need_privilege();
	bh_assert_ok(&err, bh_link_read(e->path, "eth0", &l, &err));
	assert_int_equal(own_ns(), e->home_ino);
	assert_string_equal(l.host_name, "bhn0");
	assert_int_equal(l.host_ifindex, if_nametoindex("bhn0"));
	assert_string_equal(l.kind, "veth");
	assert_true(l.has_mac);
	assert_memory_equal(l.mac, mac, sizeof(mac));
	assert_true(l.nsid >= 0);
	bh_assert_ok(&err, bh_netns_cookie(e->path, &cookie, &err));
	assert_int_equal(l.cookie, cookie);
	bh_assert_ok(&err, bh_netns_cookie("/proc/self/ns/net", &cookie, &err));
	assert_int_not_equal(l.cookie, cookie);
	/* the id stays the same */
	bh_assert_ok(&err, bh_link_read(e->path, "eth0", &again, &err));
	assert_int_equal(again.nsid, l.nsid);
}

static void refuses_what_has_no_peer_here(void **state)
{
	struct env *e = *state;
	struct bh_link l;
	struct bh_err err;
	char line[200];

	need_privilege();
	bh_assert_fails(&err, -ENOENT, "nope", bh_link_read(e->path, "nope", &l, &err));
	bh_assert_fails(&err, -ENOENT, "/nonexistent",
			bh_link_read("/nonexistent", "eth0", &l, &err));
	bh_assert_fails(&err, -ENOENT, "is not a network namespace",
			bh_link_read("/proc/self/ns/mnt", "eth0", &l, &err));
	bh_assert_fails(&err, -ENOENT, "is not a network namespace",
			bh_link_read("/proc/self/status", "eth0", &l, &err));
	bh_assert_fails(&err, -EOPNOTSUPP, "loopback", bh_link_read(e->path, "lo", &l, &err));
	in_pod(e, "ip link add v0 type veth peer name v1");
	bh_assert_fails(&err, -EOPNOTSUPP, "cannot be enforced",
			bh_link_read(e->path, "v0", &l, &err));
	/* the device below a macvlan does not point back at it; not every kernel has them */
	snprintf(line, sizeof(line), "ip link add mv0 link bhn0 netns %d type macvlan 2>/dev/null",
		 (int)e->holder);
	if (system(line) == 0)
		bh_assert_fails(&err, -EOPNOTSUPP, "macvlan",
				bh_link_read(e->path, "mv0", &l, &err));
	assert_int_equal(own_ns(), e->home_ino);
}

static void sets_links_up_and_down(void **state)
{
	uint32_t ifindex;
	struct bh_err err;

	(void)state;
	need_privilege();
	ifindex = if_nametoindex("bhn0");
	assert_true(bh_link_exists(ifindex));
	assert_false(bh_link_exists(999999));
	bh_assert_ok(&err, bh_link_set_up(ifindex, false, &err));
	sh("! ip link show bhn0 | grep -q \"[<,]UP[,>]\"");
	bh_assert_ok(&err, bh_link_set_up(ifindex, true, &err));
	sh("ip link show bhn0 | grep -q \"[<,]UP[,>]\"");
	bh_assert_fails(&err, -ENOENT, "999999", bh_link_set_up(999999, true, &err));
}

/* ---- addresses ---- */

static bool has_address(const char *text)
{
	struct bh_ip *v = NULL, ip;
	struct bh_err err;
	bool found = false;
	size_t n = 0;

	bh_assert_ok(&err, bh_ip_parse(text, &ip, &err));
	bh_assert_ok(&err, bh_net_local_addresses(&v, &n, &err));
	for (size_t i = 0; i < n; i++)
		found = found || bh_ip_cmp(&v[i], &ip) == 0;
	free(v);
	return found;
}

static void lists_and_watches_addresses(void **state)
{
	struct bh_addr_watch *w = NULL;
	struct pollfd p = {.events = POLLIN};
	struct bh_err err;

	(void)state;
	need_privilege();
	assert_true(has_address("10.78.0.1"));
	assert_true(has_address("fd78::1"));
	assert_false(has_address("127.0.0.1"));
	assert_false(has_address("::1"));
	assert_false(has_address("10.78.0.9"));
	bh_assert_ok(&err, bh_addr_watch_open(&w, &err));
	p.fd = bh_addr_watch_fd(w);
	bh_addr_watch_consume(w);
	/* IPv6 addresses that are not tried first are announced a little after they are there, but
	 * not any more when they are gone */
	sh("ip -6 addr flush dev bhn0; ip -6 addr flush dev lo");
	assert_int_equal(poll(&p, 1, HANGS_MS), 1);
	assert_false(has_address("fd78::1"));
	bh_addr_watch_consume(w);
	sh("ip addr add 10.78.0.9/24 dev bhn0");
	assert_int_equal(poll(&p, 1, HANGS_MS), 1);
	bh_addr_watch_consume(w);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_true(has_address("10.78.0.9"));
	bh_addr_watch_close(w);
	bh_addr_watch_close(NULL);
}

/* What the watch says without being waited for, against what the kernel says when asked. */
static bool watch_has(struct bh_addr_watch *w, const char *text, bool *ret_changed)
{
	BH_CLEANUP(bh_freep) struct bh_ip *v = NULL;
	struct bh_addr_list list;
	struct bh_err err;
	struct bh_ip ip;
	bool found = false;
	size_t n = 0;

	bh_assert_ok(&err, bh_ip_parse(text, &ip, &err));
	bh_assert_ok(&err, bh_addr_watch_addresses(w, &list, &err));
	bh_assert_ok(&err, bh_net_local_addresses(&v, &n, &err));
	assert_int_equal(list.n, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(bh_ip_cmp(&list.v[i], &v[i]), 0);
		assert_true(i == 0 || bh_ip_cmp(&v[i - 1], &v[i]) < 0);
		found = found || bh_ip_cmp(&v[i], &ip) == 0;
	}
	if (ret_changed)
		*ret_changed = list.has_changed;
	return found;
}

static void the_watch_knows_at_once(void **state)
{
	static const struct {
		const char *command, *ip;
		bool has, has_changed;
	} steps[] = {
		{"true", "10.78.0.1", true, true},
		{"true", "10.78.0.2", false, false},
		{"ip addr add 10.78.7.1/24 dev bhn0", "10.78.7.1", true, true},
		{"ip addr add 10.78.7.1/32 dev bhn0", "10.78.7.1", true, false},
		{"ip addr add 10.78.7.1/24 dev lo", "10.78.7.1", true, false},
		{"ip addr del 10.78.7.1/24 dev bhn0", "10.78.7.1", true, false},
		{"ip addr del 10.78.7.1/32 dev bhn0", "10.78.7.1", true, false},
		{"ip addr del 10.78.7.1/24 dev lo", "10.78.7.1", false, true},
		{"ip addr add 10.78.8.1 peer 10.78.8.2/32 dev lo", "10.78.8.1", true, true},
		{"ip addr del 10.78.8.1 peer 10.78.8.2/32 dev lo", "10.78.8.1", false, true},
		{"ip addr add fd78::7/64 dev bhn0", "fd78::7", true, true},
		{"ip addr change fd78::7/64 dev bhn0 preferred_lft 0", "fd78::7", true, false},
		{"ip addr del fd78::7/64 dev bhn0", "fd78::7", false, true},
		{"ip addr add 127.0.0.9/8 dev lo", "127.0.0.9", false, false},
		{"ip link add bhn7 type veth peer name bhn8; ip addr add 10.78.9.1/24 dev bhn7",
		 "10.78.9.1", true, true},
		{"ip link del bhn7", "10.78.9.1", false, true},
	};
	struct bh_addr_watch *w = NULL;
	struct bh_err err;
	bool has_changed;

	(void)state;
	need_privilege();
	bh_assert_ok(&err, bh_addr_watch_open(&w, &err));
	for (size_t i = 0; i < BH_ARRAY_SIZE(steps); i++) {
		sh(steps[i].command);
		if (watch_has(w, steps[i].ip, &has_changed) != steps[i].has)
			fail_msg("after '%s': %s", steps[i].command, steps[i].ip);
		if (has_changed != steps[i].has_changed)
			fail_msg("after '%s': changed %d", steps[i].command, has_changed);
	}
	bh_addr_watch_close(w);
}

/* More notifications than the socket holds: everything is read again. */
static void a_watch_that_lost_something_asks_again(void **state)
{
	struct bh_addr_watch *w = NULL;
	struct bh_err err;
	int small = 1;

	(void)state;
	need_privilege();
	bh_assert_ok(&err, bh_addr_watch_open(&w, &err));
	assert_true(watch_has(w, "10.78.0.1", NULL));
	assert_int_equal(
		setsockopt(bh_addr_watch_fd(w), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	sh("for i in $(seq 200); do echo addr add 10.79.0.$i/32 dev lo; done | ip -batch -");
	assert_true(watch_has(w, "10.79.0.200", NULL));
	sh("for i in $(seq 200); do echo addr del 10.79.0.$i/32 dev lo; done | ip -batch -");
	bh_addr_watch_consume(w); /* the loss is noticed here and remembered */
	assert_false(watch_has(w, "10.79.0.1", NULL));
	bh_addr_watch_close(w);
}

/* ---- sockets ---- */

static int socket_in(const struct env *e, int family, int type)
{
	int s;

	assert_int_equal(setns(e->ns, CLONE_NEWNET), 0);
	s = socket(family, type | SOCK_CLOEXEC, 0);
	assert_int_equal(setns(e->home, CLONE_NEWNET), 0);
	assert_true(s >= 0);
	return s;
}

/* A TCP connection from the pod to the node and back ends: {pod's, node's}. */
static void connect_pair(const struct env *e, int pair[2], uint16_t *ret_port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a4e0001)};
	socklen_t len = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	pair[0] = socket_in(e, AF_INET, SOCK_STREAM);
	assert_int_equal(connect(pair[0], (struct sockaddr *)&a, sizeof(a)), 0);
	pair[1] = accept(listener, NULL, NULL);
	assert_true(pair[1] >= 0);
	close(listener);
	*ret_port = ntohs(a.sin_port);
}

struct count {
	unsigned tcp, udp, matched;
	uint16_t rport;
};

static int count_socket(const struct bh_socket *s, void *arg)
{
	struct count *c = arg;

	c->tcp += s->proto == IPPROTO_TCP;
	c->udp += s->proto == IPPROTO_UDP;
	c->matched += s->proto == IPPROTO_TCP && s->rport == c->rport && s->state == 1 &&
		      bh_ip_is4(&s->local) && bh_ip_to4(&s->local) == 0x0a4e0002 &&
		      bh_ip_to4(&s->remote) == 0x0a4e0001;
	return 0;
}

static int stop_at_first(const struct bh_socket *s, void *arg)
{
	(void)s;
	++*(unsigned *)arg;
	return 42;
}

static void lists_and_destroys_sockets(void **state)
{
	struct env *e = *state;
	struct sockaddr_in6 any6 = {.sin6_family = AF_INET6};
	struct count c = {0};
	unsigned calls = 0;
	uint32_t n = 0;
	struct bh_err err;
	int pair[2], udp;
	char byte;

	need_privilege();
	bh_assert_ok(&err, bh_sockdiag_list(e->ns, count_socket, &c, &err));
	assert_int_equal(c.tcp + c.udp, 0);
	connect_pair(e, pair, &c.rport);
	udp = socket_in(e, AF_INET6, SOCK_DGRAM);
	assert_int_equal(bind(udp, (struct sockaddr *)&any6, sizeof(any6)), 0);
	bh_assert_ok(&err, bh_sockdiag_list(e->ns, count_socket, &c, &err));
	assert_int_equal(c.tcp, 1);
	assert_int_equal(c.udp, 1);
	assert_int_equal(c.matched, 1);
	assert_int_equal(bh_sockdiag_list(e->ns, stop_at_first, &calls, &err), 42);
	assert_int_equal(calls, 1);
	bh_assert_ok(&err, bh_sockdiag_destroy_all(e->ns, &n, &err));
	assert_int_equal(n, 1); /* what is not connected serves again after a release */
	c = (struct count){0};
	bh_assert_ok(&err, bh_sockdiag_list(e->ns, count_socket, &c, &err));
	assert_int_equal(c.tcp, 0);
	assert_int_equal(c.udp, 1);
	assert_int_equal(recv(pair[0], &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNABORTED);
	assert_int_equal(own_ns(), e->home_ino);
	close(pair[0]);
	close(pair[1]);
	close(udp);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(reads_both_ends_of_a_veth),  T(refuses_what_has_no_peer_here),
		T(sets_links_up_and_down),     T(lists_and_watches_addresses),
		T(the_watch_knows_at_once),    T(a_watch_that_lost_something_asks_again),
		T(lists_and_destroys_sockets),
	};

	is_privileged = geteuid() == 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
