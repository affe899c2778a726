/* test_wire.c - real traffic through a veth with the programs on it: live TCP without flow entries,
 * fragments, ICMP errors, frames that BPF_PROG_RUN refuses to make, and the socket killer. */
#include <linux/if_packet.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

#include "kill.skel.h"
#include "podns.h"

#define MANY_SOCKETS 1000

struct pair {
	int pod, host, listener;
};

static struct podns *pod(void **state)
{
	struct podns *p = *state;

	podns_enter(p->host_ns);
	podns_register(p);
	return p;
}

/* A connection that the pod (out) or the host opens, with the listener at the other end. */
static struct pair connect_pair(struct podns *p, bool out, const char *host, const char *local)
{
	struct pair c;
	int client = -1;

	podns_enter(out ? p->host_ns : p->pod_ns);
	c.listener = podns_bound(out ? host : local, 80, SOCK_STREAM);
	podns_enter(out ? p->pod_ns : p->host_ns);
	if (out) {
		assert_int_equal(podns_connect(host, 80, SOCK_STREAM, &client), 0);
	} else {
		union podns_addr from, to;
		socklen_t n = podns_addr(&from, host, 0);

		client = podns_socket(host, SOCK_STREAM);
		assert_int_equal(bind(client, &from.sa, n), 0);
		n = podns_addr(&to, local, 80);
		assert_int_equal(connect(client, &to.sa, n), 0);
	}
	podns_enter(p->host_ns);
	c.pod = out ? client : accept4(c.listener, NULL, NULL, SOCK_CLOEXEC);
	c.host = out ? accept4(c.listener, NULL, NULL, SOCK_CLOEXEC) : client;
	assert_true(c.pod >= 0 && c.host >= 0);
	return c;
}

static void close_pair(struct pair *c)
{
	struct linger now = {.l_onoff = 1};

	setsockopt(c->pod, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(c->pod);
	close(c->host);
	close(c->listener);
}

static bool arrives(int from, int to, int ms)
{
	char b = 0;

	if (send(from, "x", 1, MSG_NOSIGNAL) != 1)
		return false;
	podns_patience(to, ms);
	return recv(to, &b, 1, 0) == 1;
}

static bool passes(int from, int to)
{
	return arrives(from, to, PODNS_LOST_MS);
}

static bool is_dropped(int from, int to)
{
	return !arrives(from, to, PODNS_MOMENT_MS);
}

/* A late acknowledgement makes its flow again; it does so once. */
static void forget_flows(struct podns *p)
{
	int n = -1;

	for (int i = 0; i < 100 && n; i++) {
		struct bh_sweep_args a = {.all = 1};

		rig_sweep(p->r, &a);
		n = rig_flows(p->r, NULL, NULL);
	}
	assert_int_equal(n, 0);
}

static void check_rebuild(struct podns *p, bool out, const char *host, const char *local)
{
	struct pair c = connect_pair(p, out, host, local);
	struct bh_flow f;

	assert_true(passes(c.pod, c.host));
	forget_flows(p);
	assert_true(passes(c.pod, c.host)); /* the pod's packet makes it again */
	assert_int_equal(rig_flows(p->r, NULL, &f), 1);
	assert_int_equal(f.dir, out ? BH_EGRESS : BH_INGRESS);
	assert_true(f.flags & BH_FLOW_REBUILT);
	forget_flows(p);
	assert_true(passes(c.host, c.pod)); /* the peer's packet too */
	assert_int_equal(rig_flows(p->r, NULL, &f), 1);
	assert_int_equal(f.dir, out ? BH_EGRESS : BH_INGRESS);
	close_pair(&c);
}

static void test_lost_flow_is_made_again(void **state)
{
	struct podns *p = pod(state);

	check_rebuild(p, true, "10.0.0.10", "10.0.0.2");
	forget_flows(p);
	check_rebuild(p, true, "fd00::10", "fd00::2");
	forget_flows(p);
	check_rebuild(p, false, "10.0.0.10", "10.0.0.2");
	forget_flows(p);
	check_rebuild(p, false, "fd00::10", "fd00::2");
}

static void withdraw(struct podns *p, uint32_t ruleset, uint32_t class)
{
	rig_row(p->r, ruleset, class, (struct bh_row){.allow = {0}});
	p->r->cfg->epoch++;
}

/* A rebuilt flow is decided in the direction of who began it. */
static void test_lost_flow_is_decided_in_its_direction(void **state)
{
	struct podns *p = pod(state);
	struct pair c = connect_pair(p, true, "10.0.0.10", "10.0.0.2");

	forget_flows(p);
	withdraw(p, RIG_RULES_IN, RIG_WEB);
	assert_true(passes(c.host, c.pod));
	forget_flows(p);
	withdraw(p, RIG_RULES_OUT, RIG_WEB);
	assert_true(is_dropped(c.host, c.pod));
	close_pair(&c);
}

static void test_no_namespace_id_no_proof(void **state)
{
	struct podns *p = pod(state);
	struct pair c = connect_pair(p, true, "10.0.0.10", "10.0.0.2");

	forget_flows(p);
	p->r->slots[RIG_SLOT].nsid = -1;
	assert_true(is_dropped(c.host, c.pod));
	assert_true(rig_edges(p->r, BH_DENIED, BH_R_NO_CONNECTION, NULL, NULL) > 0);
	close_pair(&c);
}

static void test_tcp_without_room_for_flows(void **state)
{
	struct podns *p = pod(state);
	struct pair c;

	p->r->slots[RIG_SLOT].flow_quota = 0;
	c = connect_pair(p, true, "10.0.0.10", "10.0.0.2");
	assert_true(passes(c.pod, c.host));
	assert_true(passes(c.host, c.pod));
	close_pair(&c);
	c = connect_pair(p, false, "10.0.0.10", "10.0.0.2");
	assert_true(passes(c.pod, c.host));
	assert_true(passes(c.host, c.pod));
	close_pair(&c);
	assert_int_equal(rig_flows(p->r, NULL, NULL), 0);
	assert_int_equal(rig_usage(p->r).flows, 0);
}

/* SYN cookies leave no socket behind, and there is no room for an entry. */
static void test_cookies_without_room_for_flows(void **state)
{
	struct podns *p = pod(state);
	struct pair c;

	podns_enter(p->pod_ns);
	podns_sh("echo 2 > /proc/sys/net/ipv4/tcp_syncookies");
	podns_enter(p->host_ns);
	p->r->slots[RIG_SLOT].flow_quota = 0;
	c = connect_pair(p, false, "10.0.0.10", "10.0.0.2");
	assert_true(passes(c.pod, c.host));
	close_pair(&c);
	podns_enter(p->pod_ns);
	podns_sh("echo 1 > /proc/sys/net/ipv4/tcp_syncookies");
	podns_enter(p->host_ns);
}

/* The rule is bound to this test's own executable: the packet's socket must tell, on the first
 * packet and when the flow is made again. */
static void test_opener_is_seen_at_the_interface(void **state)
{
	struct podns *p = pod(state);
	struct bh_exe_key key = {.path = ""};
	uint32_t id = RIG_EXE;
	struct pair c;
	struct bh_flow f;

	assert_true(readlink("/proc/self/exe", key.path, sizeof(key.path) - 1) > 0);
	rig_put(p->r->pod->maps.exe, &key, &id);
	c = connect_pair(p, true, "10.0.0.14", "10.0.0.2");
	assert_int_equal(rig_flows(p->r, NULL, &f), 1);
	assert_int_equal(f.proc, RIG_EXE);
	forget_flows(p);
	assert_true(passes(c.host, c.pod)); /* a packet without a socket of the pod */
	assert_int_equal(rig_flows(p->r, NULL, &f), 1);
	assert_int_equal(f.proc, RIG_EXE);
	close_pair(&c);
	bpf_map_delete_elem(rig_fd(p->r->pod->maps.exe), &key);
}

static uint64_t drops(struct podns *p, int reason)
{
	uint64_t v[BH_R_COUNT];

	rig_drops(p->r, v);
	return v[reason];
}

#define AWAIT_TRIES 20000 /* a millisecond apart */

/* A frame that was put onto the wire may be met a little later. Returns the count, which is want or
 * what it is after a long while. */
static uint64_t drops_at(struct podns *p, int reason, uint64_t want)
{
	uint64_t n = drops(p, reason);

	for (int i = 0; i < AWAIT_TRIES && n < want; i++) {
		usleep(1000);
		n = drops(p, reason);
	}
	return n;
}

/* Packets refused for this reason towards this port. Others may be under way still: the last words
 * of connections of the tests before. */
static uint64_t refused(struct podns *p, int reason, uint16_t port)
{
	struct bh_edge_key key, *prev = NULL;
	struct bh_edge e;
	uint64_t n = 0;
	int fd = rig_fd(p->r->pod->maps.edge);

	while (bpf_map_get_next_key(fd, prev, &key) == 0) {
		prev = &key;
		if (key.reason == reason && key.port == htons(port) &&
		    bpf_map_lookup_elem(fd, &key, &e) == 0)
			n += e.packets;
	}
	return n;
}

static uint64_t refused_at(struct podns *p, int reason, uint16_t port, uint64_t want)
{
	uint64_t n = refused(p, reason, port);

	for (int i = 0; i < AWAIT_TRIES && n < want; i++) {
		usleep(1000);
		n = refused(p, reason, port);
	}
	return n;
}

static void inject(struct podns *p, const void *frame, size_t n)
{
	podns_enter(p->pod_ns);
	podns_put("eth0", frame, n);
	podns_enter(p->host_ns);
}

static void test_forged_packets(void **state)
{
	static const struct spec ack = {.src = "10.0.0.2",
					.dst = "10.0.0.10",
					.proto = 6,
					.sport = 999,
					.dport = 8080,
					.flags = F_ACK};
	static const struct spec syn = {.src = "10.0.0.2",
					.dst = "10.0.0.14",
					.proto = 6,
					.sport = 999,
					.dport = 80,
					.flags = F_SYN};
	struct podns *p = pod(state);
	struct frame f;

	frame_build(&f, BH_EGRESS, &ack);
	inject(p, f.b, f.n);
	assert_int_equal(refused_at(p, BH_R_NO_CONNECTION, 8080, 1), 1);
	/* nobody opened it through a hook, so nobody may have */
	frame_build(&f, BH_EGRESS, &syn);
	inject(p, f.b, f.n);
	assert_int_equal(refused_at(p, BH_R_PROCESS_UNKNOWN, 80, 1), 1);
}

/* A listener is no connection: an ACK to it proves nothing. */
static void test_ack_to_a_listener(void **state)
{
	static const struct spec ack = {.src = "10.0.0.2",
					.dst = "10.0.0.10",
					.proto = 6,
					.sport = 80,
					.dport = 999,
					.flags = F_ACK};
	struct podns *p = pod(state);
	struct frame f;
	int fd;

	podns_enter(p->pod_ns);
	fd = podns_bound("10.0.0.2", 80, SOCK_STREAM);
	frame_build(&f, BH_EGRESS, &ack);
	inject(p, f.b, f.n);
	assert_int_equal(refused_at(p, BH_R_NO_CONNECTION, 999, 1), 1);
	close(fd);
}

static void test_truncated_frames(void **state)
{
	static const struct spec v4 = {
		.src = "10.0.0.2", .dst = "10.0.0.11", .proto = 17, .sport = 1, .dport = 2};
	static const struct spec v6 = {
		.src = "fd00::2", .dst = "fd00::11", .proto = 17, .sport = 1, .dport = 2};
	struct podns *p = pod(state);
	struct frame f;

	for (int six = 0; six < 2; six++) {
		frame_build(&f, BH_EGRESS, six ? &v6 : &v4);
		for (size_t n = 15; n < f.n; n++) {
			uint64_t before = drops(p, BH_R_MALFORMED);

			inject(p, f.b, n);
			if (drops_at(p, BH_R_MALFORMED, before + 1) != before + 1)
				fail_msg("IPv%d cut to %zu bytes is not malformed", six ? 6 : 4, n);
		}
	}
	assert_int_equal(rig_flows(p->r, NULL, NULL), 0);
}

/* The kernel takes the tag out of the frame before the program sees it. */
static void test_tagged_frame(void **state)
{
	static const struct spec tagged = {.ethertype = 0x8100,
					   .body = "00050800"
						   "45000014"};
	struct podns *p = pod(state);
	uint64_t before = drops(p, BH_R_VLAN);
	struct frame f;

	frame_build(&f, BH_EGRESS, &tagged);
	inject(p, f.b, f.n);
	assert_int_equal(drops_at(p, BH_R_VLAN, before + 1), before + 1);
}

/* Port unreachable, both ways: the sender's next call says so. */
static void check_port_unreachable(const char *from, const char *to)
{
	union podns_addr a, b;
	socklen_t n = podns_addr(&a, from, 0), m = podns_addr(&b, to, 53);
	int fd = podns_socket(from, SOCK_DGRAM);
	char c;

	assert_int_equal(bind(fd, &a.sa, n), 0);
	assert_int_equal(connect(fd, &b.sa, m), 0);
	assert_int_equal(send(fd, "x", 1, 0), 1);
	assert_int_equal(recv(fd, &c, 1, 0), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(fd);
}

static void test_port_unreachable(void **state)
{
	struct podns *p = pod(state);

	podns_enter(p->pod_ns);
	check_port_unreachable("10.0.0.2", "10.0.0.10");
	check_port_unreachable("fd00::2", "fd00::10");
	podns_enter(p->host_ns);
	check_port_unreachable("10.0.0.10", "10.0.0.2");
	check_port_unreachable("fd00::10", "fd00::2");
	assert_true(rig_edges(p->r, BH_ALLOWED, BH_R_ICMP_RELATED, NULL, NULL) == 4);
}

/* Aggregates, and frames whose headers are not linear. */
static void check_bulk(struct podns *p, const char *host, const char *local)
{
	static char block[65536];
	struct pair c = connect_pair(p, true, host, local);
	struct bh_flow f;
	size_t sent = 0, got = 0;

	while (got < 8 * sizeof(block)) {
		ssize_t n;

		if (sent < 8 * sizeof(block)) {
			n = send(c.pod, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
			sent += n > 0 ? n : 0;
		}
		n = recv(c.host, block, sizeof(block), 0);
		assert_true(n > 0);
		got += n;
	}
	assert_int_equal(rig_flows(p->r, NULL, &f), 1);
	assert_true(f.bytes > 8 * sizeof(block));
	assert_true(f.packets > 8 * sizeof(block) / 1500);
	close_pair(&c);
	forget_flows(p);
}

static void test_bulk(void **state)
{
	struct podns *p = pod(state);

	check_bulk(p, "10.0.0.10", "10.0.0.2");
	check_bulk(p, "fd00::10", "fd00::2");
}

/* Aggregates whose length no header can tell. */
static void test_big_aggregates(void **state)
{
	struct podns *p = pod(state);

	podns_enter(p->pod_ns);
	podns_sh("ip link set eth0 gso_max_size 185000 gro_max_size 185000");
	podns_enter(p->host_ns);
	podns_sh("ip link set vh gso_max_size 185000 gro_max_size 185000");
	check_bulk(p, "fd00::10", "fd00::2");
	assert_int_equal(rig_edges(p->r, BH_DENIED, BH_R_MALFORMED, NULL, NULL), 0);
}

/* ---- the killer ---- */
static void run_iterator(struct bpf_program *prog)
{
	struct bpf_link *l = bpf_program__attach_iter(prog, NULL);
	char b[64];
	int fd;

	assert_non_null(l);
	fd = bpf_iter_create(bpf_link__fd(l));
	assert_true(fd >= 0);
	while (read(fd, b, sizeof(b)) > 0)
		;
	close(fd);
	bpf_link__destroy(l);
}

static void open_many(struct podns *p, struct pair *v, int n)
{
	int listener, port = 80;

	podns_enter(p->host_ns);
	listener = podns_bound("10.0.0.10", port, SOCK_STREAM);
	for (int i = 0; i < n; i++) {
		podns_enter(p->pod_ns);
		assert_int_equal(podns_connect("10.0.0.10", port, SOCK_STREAM, &v[i].pod), 0);
		v[i].host = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		assert_true(v[i].host >= 0);
	}
	close(listener);
}

/* Connected sockets die; what only waits for others stays, so that a released pod serves again. */
static void check_dead(int fd)
{
	char c;

	assert_int_equal(recv(fd, &c, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, ECONNABORTED);
	close(fd);
}

static void check_waiting(int fd)
{
	char c;

	assert_int_equal(recv(fd, &c, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	close(fd);
}

static void test_killer(void **state)
{
	static struct pair v[MANY_SOCKETS];
	struct rlimit lim = {8192, 8192};
	struct podns *p = pod(state);
	struct kill_bpf *k = kill_bpf__open_and_load();
	int waiting, connected = -1, listener, hosts;

	assert_non_null(k);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
	p->r->slots[RIG_SLOT].flow_quota = 100000;
	open_many(p, v, MANY_SOCKETS);
	podns_enter(p->host_ns);
	hosts = podns_bound("10.0.0.10", 53, SOCK_DGRAM);
	podns_enter(p->pod_ns);
	waiting = podns_bound("10.0.0.2", 53, SOCK_DGRAM);
	assert_int_equal(podns_connect("10.0.0.10", 53, SOCK_DGRAM, &connected), 0);
	listener = podns_bound("fd00::2", 80, SOCK_STREAM);
	/* another cookie: nothing happens */
	k->bss->kill_cookie = p->cookie + 1;
	run_iterator(k->progs.bh_kill_tcp);
	assert_int_equal(k->bss->kill_destroyed, 0);
	k->bss->kill_cookie = p->cookie;
	run_iterator(k->progs.bh_kill_tcp);
	assert_int_equal(k->bss->kill_destroyed, MANY_SOCKETS);
	run_iterator(k->progs.bh_kill_udp);
	assert_int_equal(k->bss->kill_destroyed, MANY_SOCKETS + 1);
	podns_enter(p->host_ns);
	for (int i = 0; i < MANY_SOCKETS; i++) {
		check_dead(v[i].pod);
		close(v[i].host);
	}
	check_dead(connected);
	check_waiting(waiting);
	check_waiting(hosts);
	assert_int_equal(listen(listener, 2), 0);
	close(listener);
	kill_bpf__destroy(k);
}

static int setup(void **state)
{
	*state = podns_open();
	return 0;
}

static int teardown(void **state)
{
	podns_close(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lost_flow_is_made_again),
		cmocka_unit_test(test_lost_flow_is_decided_in_its_direction),
		cmocka_unit_test(test_no_namespace_id_no_proof),
		cmocka_unit_test(test_tcp_without_room_for_flows),
		cmocka_unit_test(test_cookies_without_room_for_flows),
		cmocka_unit_test(test_opener_is_seen_at_the_interface),
		cmocka_unit_test(test_forged_packets),
		cmocka_unit_test(test_ack_to_a_listener),
		cmocka_unit_test(test_truncated_frames),
		cmocka_unit_test(test_tagged_frame),
		cmocka_unit_test(test_port_unreachable),
		cmocka_unit_test(test_bulk),
		cmocka_unit_test(test_big_aggregates),
		cmocka_unit_test(test_killer),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
