/* test_wire_frag.c - fragments between real sockets, in order and backwards. */
#include "podns.h"

static struct podns *pod(void **state)
{
	struct podns *p = *state;

	podns_enter(p->host_ns);
	podns_register(p);
	return p;
}

static int udp_from(const char *addr, uint16_t port, int type_of_size)
{
	int fd = podns_bound(addr, port, SOCK_DGRAM);

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &type_of_size, sizeof(type_of_size));
	return fd;
}

/* 1 when a datagram of n bytes arrives. */
static int datagram(int from, int to, const char *addr, uint16_t port, size_t n)
{
	static char b[20000];
	union podns_addr a;
	socklen_t len = podns_addr(&a, addr, port);

	if (sendto(from, b, n, 0, &a.sa, len) != (ssize_t)n)
		return 0;
	return recv(to, b, sizeof(b), 0) == (ssize_t)n;
}

static void check_fragments(struct podns *p, const char *host, const char *local)
{
	int h, l;

	podns_enter(p->host_ns);
	h = udp_from(host, 53, 100000);
	podns_enter(p->pod_ns);
	l = udp_from(local, 53, 100000);
	assert_true(datagram(l, h, host, 53, 9000));
	podns_enter(p->host_ns);
	assert_true(datagram(h, l, local, 53, 9000));
	close(h);
	close(l);
}

static void test_fragmented_datagrams(void **state)
{
	struct podns *p = pod(state);

	check_fragments(p, "10.0.0.10", "10.0.0.2");
	check_fragments(p, "fd00::10", "fd00::2");
	podns_enter(p->host_ns);
	assert_int_equal(rig_edges(p->r, BH_DENIED, BH_R_FRAGMENT_ORPHAN, NULL, NULL), 0);
}

/* The last fragment, then the first. */
static void put_backwards(struct podns *p, bool out, uint16_t port)
{
	const char *src = out ? "10.0.0.2" : "10.0.0.10", *dst = out ? "10.0.0.10" : "10.0.0.2";
	static uint16_t id;
	struct spec last = {.src = src,
			    .dst = dst,
			    .proto = 17,
			    .frag_off = 24,
			    .body = "",
			    .payload = 16,
			    .frag_id = ++id};
	struct spec first = {.src = src,
			     .dst = dst,
			     .proto = 17,
			     .sport = 1000,
			     .dport = port,
			     .more = 1,
			     .payload = 16,
			     .udp_len = 40,
			     .frag_id = id};
	const struct spec *const v[] = {&last, &first};

	podns_enter(out ? p->pod_ns : p->host_ns);
	for (size_t i = 0; i < BH_ARRAY_SIZE(v); i++) {
		struct frame f;

		frame_build(&f, out ? BH_EGRESS : BH_INGRESS, v[i]);
		frame_checksum(&f);
		podns_put(out ? "eth0" : "vh", f.b, f.n);
	}
	podns_enter(p->host_ns);
}

static void test_fragments_backwards(void **state)
{
	struct podns *p = pod(state);
	int fd, n_denied = 0;
	char b[100];

	for (int out = 0; out < 2; out++) {
		podns_enter(out ? p->host_ns : p->pod_ns);
		fd = podns_bound(out ? "10.0.0.10" : "10.0.0.2", 53, SOCK_DGRAM);
		put_backwards(p, out, 54); /* denied: nothing is delivered, whoever listens */
		put_backwards(p, out, 53);
		assert_int_equal(recv(fd, b, sizeof(b), 0), 32);
		assert_int_equal(recv(fd, b, sizeof(b), MSG_DONTWAIT), -1);
		close(fd);
	}
	/* what was put onto the wire may be met a little later, on another CPU */
	for (int i = 0; i < PODNS_LOST_MS && n_denied < 2; i++) {
		usleep(i ? 1000 : 0);
		n_denied = rig_edges(p->r, BH_DENIED, BH_R_DEFAULT_DENY, NULL, NULL);
	}
	assert_int_equal(n_denied, 2);
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
		cmocka_unit_test(test_fragmented_datagrams),
		cmocka_unit_test(test_fragments_backwards),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
