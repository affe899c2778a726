/* test_datapath_traffic.c - packets between two pods while handles come and go, programs are
 * replaced and policies published: none that is allowed is lost, none that is denied arrives. */
#include "dp_env.h"
#include "dp_tables.h"

#include <bpf/bpf.h>
#include <sys/mman.h>

#define WEB    8080
#define DENIED 9090

/* Pod 0 may reach pod 1 on WEB, by both sides' policy. number: of the rulesets' content. */
static void build(struct dt *d, struct dp_env *e, uint64_t number)
{
	uint32_t zero, one, pm, out, in;

	dt_init(d);
	zero = dt_class(d, 10);
	one = dt_class(d, 11);
	dt_peer(d, e->pod[0].ip, zero);
	dt_peer(d, e->pod[1].ip, one);
	pm = dt_portmap(d, WEB);
	out = dt_ruleset(d, 100 + number, pm);
	in = dt_ruleset(d, 200 + number, pm);
	dt_row(d, out, one, 2, 0);
	dt_row(d, in, zero, 2, 0);
	dt_subject(d, e->pod[0].slot, out, 0);
	dt_subject(d, e->pod[1].slot, 0, in);
}

static void publish(struct dp_env *e, uint64_t number)
{
	struct dt d;

	build(&d, e, number);
	dt_publish(e->dp, &d);
	dt_done(&d);
}

static void enforce(struct dp_env *e)
{
	dp_attach(e, 0);
	dp_attach(e, 1);
	publish(e, 0);
	dp_unshut(e, 0);
	dp_unshut(e, 1);
}

/* ---- a stream of pings beside us ---- */

struct tally {
	uint32_t sent, lost, wrong;
};

struct stream {
	pid_t echo, ping;
	int stop;	       /* pipe to ping */
	const struct tally *t; /* shared with ping */
};

#define LOST_MS 20000 /* what takes longer than the slowest machine is lost */

/* Echoes what comes to WEB; whatever comes to DENIED is sent back too, and so told on. */
static void run_echo(int web, int denied)
{
	struct pollfd p[2] = {{.fd = web, .events = POLLIN}, {.fd = denied, .events = POLLIN}};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		struct sockaddr_in from;
		socklen_t len = sizeof(from);
		char buf[16];
		int i;

		poll(p, 2, -1);
		i = p[1].revents ? 1 : 0;
		if (recvfrom(p[i].fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&from,
			     &len) == sizeof(uint32_t)) {
			if (i == 1)
				memset(buf, 0xff, sizeof(uint32_t));
			sendto(web, buf, sizeof(uint32_t), 0, (struct sockaddr *)&from, len);
		}
	}
}

/* One ping at a time, each followed by a datagram that must not arrive. */
static void run_ping(int s, const struct bh_ip *to, int stop, struct tally *t)
{
	struct sockaddr_in web = dp_addr(to, WEB), denied = dp_addr(to, DENIED);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!dp_readable(stop, 0)) {
		uint32_t number = __atomic_add_fetch(&t->sent, 1, __ATOMIC_SEQ_CST), answer = 0;

		sendto(s, &number, sizeof(number), 0, (struct sockaddr *)&web, sizeof(web));
		sendto(s, &number, sizeof(number), 0, (struct sockaddr *)&denied, sizeof(denied));
		while (answer != number) {
			if (!dp_readable(s, LOST_MS)) {
				t->lost++;
				break;
			}
			if (recv(s, &answer, sizeof(answer), 0) == sizeof(answer) &&
			    answer == UINT32_MAX)
				t->wrong++;
		}
	}
	_exit(0);
}

/* Until so many more pings have been begun: there was traffic meanwhile, however slow the machine.
 */
static void stream_await(const struct stream *st, uint32_t n)
{
	uint32_t want = __atomic_load_n(&st->t->sent, __ATOMIC_SEQ_CST) + n;
	uint64_t end_ns = bh_datapath_now_ns() + 60000000000ull;

	while (__atomic_load_n(&st->t->sent, __ATOMIC_SEQ_CST) < want &&
	       bh_datapath_now_ns() < end_ns)
		usleep(1000);
}

static struct stream stream_begin(struct dp_env *e)
{
	int web = dp_bound(e, &e->pod[1], SOCK_DGRAM, WEB);
	int denied = dp_bound(e, &e->pod[1], SOCK_DGRAM, DENIED);
	int s = dp_bound(e, &e->pod[0], SOCK_DGRAM, 5000), stop[2];
	struct tally *t =
		mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct stream st = {.t = t};

	assert_true(t != MAP_FAILED);
	/* neighbours resolved, so that the first ping is not special */
	assert_true(dp_udp_passes(s, &e->pod[1].ip, WEB, web));
	assert_int_equal(pipe(stop), 0);
	while (recv(web, &(char){0}, 1, MSG_DONTWAIT) > 0)
		;
	st.echo = fork();
	if (st.echo == 0)
		run_echo(web, denied);
	st.ping = fork();
	if (st.ping == 0)
		run_ping(s, &e->pod[1].ip, stop[0], t);
	assert_true(st.echo > 0 && st.ping > 0);
	st.stop = stop[1];
	close(stop[0]);
	close(web);
	close(denied);
	close(s);
	return st;
}

static struct tally stream_end(struct stream *st)
{
	struct tally t;
	int status;

	assert_int_equal(write(st->stop, "x", 1), 1);
	assert_int_equal(waitpid(st->ping, &status, 0), st->ping);
	assert_int_equal(status, 0);
	t = *st->t;
	kill(st->echo, SIGKILL);
	waitpid(st->echo, NULL, 0);
	munmap((void *)st->t, sizeof(*st->t));
	close(st->stop);
	return t;
}

static void assert_clean(const struct tally *t)
{
	print_message("%u pings\n", t->sent);
	assert_true(t->sent > 50);
	assert_int_equal(t->lost, 0);
	assert_int_equal(t->wrong, 0);
}

/* ---- tests ---- */

static void programs_are_replaced_under_traffic(void **state)
{
	struct dp_env *e = *state;
	struct stream st;
	struct tally t;

	enforce(e);
	st = stream_begin(e);
	for (uint64_t i = 0; i < 4; i++) {
		dp_reopen(e);
		assert_true(e->is_adopted);
		for (uint64_t k = 0; k < 5; k++)
			publish(e, i * 100 + k);
		stream_await(&st, 15);
	}
	t = stream_end(&st);
	assert_clean(&t);
}

static void filters_are_replaced_under_traffic(void **state)
{
	struct dp_env *e = *state;
	struct stream st;
	struct tally t;

	setenv("BULKHEAD_FORCE_CLSACT", "1", 1);
	dp_reopen(e);
	enforce(e);
	st = stream_begin(e);
	for (uint64_t i = 0; i < 3; i++) {
		dp_reopen(e);
		publish(e, i);
		stream_await(&st, 20);
	}
	t = stream_end(&st);
	assert_clean(&t);
}

/* The new set's maps are empty until its first publish; nobody notices. */
static void take_over(struct dp_env *e)
{
	static const char *const sizes[] = {"peer4=5000", "peer4=6000", "peer4=7000"};
	struct stream st;
	struct tally t;

	enforce(e);
	st = stream_begin(e);
	for (size_t i = 0; i < 3; i++) {
		setenv("BULKHEAD_MAP_MAX", sizes[i], 1);
		dp_reopen(e);
		assert_true(e->is_adopted);
		publish(e, i);
		stream_await(&st, 20);
	}
	t = stream_end(&st);
	assert_clean(&t);
}

static void a_new_set_takes_over_links(void **state)
{
	take_over(*state);
}

static void a_new_set_takes_over_filters(void **state)
{
	struct dp_env *e = *state;

	setenv("BULKHEAD_FORCE_CLSACT", "1", 1);
	dp_reopen(e);
	take_over(e);
}

/* A set whose daemon could not use links, taken over by one that can. */
static void links_take_over_from_filters(void **state)
{
	struct dp_env *e = *state;
	struct stream st;
	struct tally t;

	setenv("BULKHEAD_FORCE_CLSACT", "1", 1);
	dp_reopen(e);
	enforce(e);
	st = stream_begin(e);
	unsetenv("BULKHEAD_FORCE_CLSACT");
	setenv("BULKHEAD_MAP_MAX", "peer4=5000", 1);
	dp_reopen(e);
	publish(e, 1);
	stream_await(&st, 60);
	t = stream_end(&st);
	assert_clean(&t);
	dp_sh("! tc filter show dev bht0 ingress | grep -q bh_from_pod");
	bh_assert_ok(&(struct bh_err){0},
		     bh_datapath_check(e->dp, e->pod[0].slot, e->pod[0].link.host_ifindex,
				       &(struct bh_err){0}));
}

static void a_killed_daemon_leaves_enforcement(void **state)
{
	struct dp_env *e = *state;
	struct stream st;
	struct tally t;
	pid_t daemon;

	bh_datapath_closep(&e->dp);
	daemon = fork();
	if (daemon == 0) {
		dp_open(e);
		enforce(e);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(daemon, NULL, 0), daemon);
	st = stream_begin(e);
	dp_open(e);
	assert_true(e->is_adopted);
	publish(e, 1);
	stream_await(&st, 60);
	t = stream_end(&st);
	assert_clean(&t);
}

/* Killed anywhere in the middle of a publish: the old policy is enforced, the next publish works.
 */
static void a_daemon_killed_while_publishing_is_survived(void **state)
{
	struct dp_env *e = *state;
	int from, at;

	enforce(e);
	bh_datapath_closep(&e->dp);
	for (uint64_t i = 0; i < 12; i++) {
		pid_t daemon;
		int ready[2];
		char byte;

		assert_int_equal(pipe(ready), 0);
		daemon = fork();
		if (daemon == 0) {
			dp_open(e);
			assert_int_equal(write(ready[1], "x", 1), 1);
			for (uint64_t k = 0;; k++)
				publish(e, k);
		}
		close(ready[1]);
		assert_int_equal(read(ready[0], &byte, 1), 1); /* or its end, where it died */
		usleep((unsigned)i * 1700); /* spreads the kills, waits for nothing */
		kill(daemon, SIGKILL);
		close(ready[0]);
		assert_int_equal(waitpid(daemon, NULL, 0), daemon);
		from = dp_bound(e, &e->pod[0], SOCK_DGRAM, 5000);
		at = dp_bound(e, &e->pod[1], SOCK_DGRAM, WEB);
		assert_true(dp_udp_passes(from, &e->pod[1].ip, WEB, at));
		close(at);
		close(from);
	}
	dp_open(e);
	publish(e, 9);
	from = dp_bound(e, &e->pod[0], SOCK_DGRAM, 5000);
	at = dp_bound(e, &e->pod[1], SOCK_DGRAM, DENIED);
	assert_true(dp_udp_is_dropped(from, &e->pod[1].ip, DENIED, at));
	close(at);
	close(from);
}

static void flags_take_effect_with_the_next_packet(void **state)
{
	struct dp_env *e = *state;
	int from, at;

	dp_attach(e, 0);
	dp_attach(e, 1);
	publish(e, 0);
	from = dp_bound(e, &e->pod[0], SOCK_DGRAM, 5000);
	at = dp_bound(e, &e->pod[1], SOCK_DGRAM, WEB);
	assert_true(dp_udp_is_dropped(from, &e->pod[1].ip, WEB, at)); /* shut */
	dp_unshut(e, 0);
	dp_unshut(e, 1);
	assert_true(dp_udp_passes(from, &e->pod[1].ip, WEB, at));
	assert_int_equal(bh_datapath_set_flags(e->dp, e->pod[0].slot, BH_SLOT_QUARANTINE, 0), 0);
	assert_true(dp_udp_is_dropped(from, &e->pod[1].ip, WEB, at));
	assert_int_equal(bh_datapath_set_flags(e->dp, e->pod[0].slot, 0, BH_SLOT_QUARANTINE), 0);
	assert_true(dp_udp_passes(from, &e->pod[1].ip, WEB, at));
	close(from);
	close(at);
}

/* ---- facts ---- */

struct seen {
	struct dp_env *e;
	struct bh_edge_fact web, denied;
	unsigned n;
};

static bool is_edge(const struct bh_edge_key *k, struct dp_env *e, uint16_t port)
{
	return k->slot == e->pod[0].slot && k->dir == BH_EGRESS && k->port == htons(port) &&
	       k->proto == IPPROTO_UDP && memcmp(k->remote, e->pod[1].ip.b, 16) == 0;
}

static int see_edge(const struct bh_edge_fact *f, void *arg)
{
	struct seen *s = arg;

	s->n++;
	if (is_edge(&f->key, s->e, WEB) && f->key.verdict == BH_ALLOWED)
		s->web = *f;
	if (is_edge(&f->key, s->e, DENIED) && f->key.verdict == BH_DENIED)
		s->denied = *f;
	return 0;
}

static struct seen edges_of(struct dp_env *e)
{
	struct seen s = {.e = e};
	struct bh_err err;

	bh_assert_ok(&err, bh_datapath_edges(e->dp, e->pod[0].slot, see_edge, &s, &err));
	return s;
}

/* The last datagram may be on its way to where it is refused. */
static struct seen await_denied(struct dp_env *e, uint64_t packets)
{
	uint64_t end_ns = bh_datapath_now_ns() + 20000000000ull;
	struct seen s = edges_of(e);

	while (s.denied.value.packets < packets && bh_datapath_now_ns() < end_ns) {
		usleep(1000);
		s = edges_of(e);
	}
	return s;
}

static void edges_count_exactly(void **state)
{
	struct dp_env *e = *state;
	uint64_t last_ns, packets;
	struct stream st;
	struct tally t;
	struct seen s;
	struct bh_err err;
	uint32_t n = 0;

	enforce(e);
	st = stream_begin(e); /* sends one datagram itself */
	for (uint64_t i = 1; i < 300; i++)
		publish(e, i);
	stream_await(&st, 60);
	t = stream_end(&st);
	assert_clean(&t);
	s = await_denied(e, t.sent);
	assert_int_equal(s.web.value.packets, 2 * t.sent + 1);
	assert_int_equal(s.web.live_flows, 1);
	assert_int_equal(s.denied.value.packets, t.sent);
	assert_int_equal(s.denied.live_flows, 0);
	assert_int_equal(s.denied.key.reason, BH_R_DEFAULT_DENY);
	bh_assert_ok(&err,
		     bh_datapath_last_passed(e->dp, e->pod[0].slot, &last_ns, &packets, &err));
	assert_true(packets >= s.web.value.packets);
	assert_true(bh_datapath_now_ns() - last_ns < 60000000000ull);
	/* what is idle and announced goes; a live flow keeps its edge */
	assert_int_equal(bh_datapath_edge_sent(e->dp, &s.denied.key), 0);
	bh_assert_ok(&err, bh_datapath_forget_edges(e->dp, bh_datapath_now_ns(), &n, &err));
	assert_true(n >= 1);
	s = edges_of(e);
	assert_int_equal(s.denied.value.packets, 0);
	assert_int_equal(s.web.value.packets, 2 * t.sent + 1);
	bh_assert_ok(&err, bh_datapath_detach(e->dp, e->pod[0].slot, &err));
	s = edges_of(e);
	assert_int_equal(s.n, 0);
}

static void marking_an_edge_keeps_its_counters(void **state)
{
	struct dp_env *e = *state;
	struct bh_edge_key key = {.slot = 3, .port = htons(1), .proto = 6};
	struct bh_edge value = {.packets = 7,
				.bytes = 8,
				.generation = 9,
				.flags = BH_EDGE_UNSENT | BH_EDGE_OVERFLOW};
	char path[200];
	int fd;

	snprintf(path, sizeof(path), DP_BPFFS "/abi%d/maps/edge", BH_ABI_VERSION);
	fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	assert_int_equal(bh_datapath_edge_sent(e->dp, &key), -ENOENT);
	assert_int_equal(bpf_map_update_elem(fd, &key, &value, BPF_ANY), 0);
	assert_int_equal(bh_datapath_edge_sent(e->dp, &key), 0);
	assert_int_equal(bpf_map_lookup_elem(fd, &key, &value), 0);
	assert_int_equal(value.flags, BH_EDGE_OVERFLOW);
	assert_int_equal(value.packets, 7);
	assert_int_equal(value.bytes, 8);
	assert_int_equal(value.generation, 9);
	close(fd);
}

struct heard {
	struct dp_env *e;
	unsigned web, denied, n;
};

static void hear(const struct bh_event_edge *ev, void *arg)
{
	struct heard *h = arg;

	h->n++;
	h->web += is_edge(&ev->key, h->e, WEB);
	h->denied += is_edge(&ev->key, h->e, DENIED);
}

static void the_ring_announces_each_edge_once(void **state)
{
	struct dp_env *e = *state;
	struct heard h = {.e = e};
	struct seen s;
	int from, at;

	enforce(e);
	from = dp_bound(e, &e->pod[0], SOCK_DGRAM, 5000);
	at = dp_bound(e, &e->pod[1], SOCK_DGRAM, WEB);
	for (int i = 0; i < 20; i++) {
		assert_true(dp_udp_passes(from, &e->pod[1].ip, WEB, at));
	}
	for (int i = 0; i < 3; i++)
		assert_true(dp_udp_is_dropped(from, &e->pod[1].ip, DENIED, at));
	while (!(h.web && h.denied) && dp_readable(bh_datapath_ring_fd(e->dp), 20000))
		bh_datapath_ring_consume(e->dp, hear, &h);
	assert_int_equal(h.web, 1);
	assert_int_equal(h.denied, 1);
	s = edges_of(e);
	assert_int_equal(s.denied.value.flags & BH_EDGE_UNSENT, 0);
	/* another handle goes on where this one stopped */
	dp_reopen(e);
	h = (struct heard){.e = e};
	bh_datapath_ring_consume(e->dp, hear, &h);
	assert_int_equal(h.web + h.denied, 0);
	close(from);
	close(at);
}

static void sockets_of_a_namespace_are_destroyed(void **state)
{
	struct dp_env *e = *state;
	struct sockaddr_in to = dp_addr(&e->pod[1].ip, WEB);
	int listener, client, server, bystander;
	uint32_t n = 0;
	struct bh_err err;
	char byte;

	enforce(e);
	listener = dp_bound(e, &e->pod[1], SOCK_STREAM, WEB);
	client = dp_socket(e, &e->pod[0], SOCK_STREAM);
	bystander = dp_bound(e, NULL, SOCK_STREAM, 4000);
	assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof(to)), 0);
	server = accept(listener, NULL, NULL);
	assert_true(server >= 0);
	/* a cookie that does not belong to the namespace kills nothing */
	bh_assert_ok(&err, bh_datapath_destroy_sockets(e->dp, e->pod[0].ns, e->pod[1].link.cookie,
						       &n, &err));
	assert_int_equal(n, 0);
	bh_assert_ok(&err, bh_datapath_destroy_sockets(e->dp, e->pod[0].ns, e->pod[0].link.cookie,
						       &n, &err));
	assert_int_equal(n, 1);
	assert_int_equal(recv(client, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNABORTED);
	assert_int_equal(listen(bystander, 16), 0);
	close(client);
	close(server);
	close(listener);
	close(bystander);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, dp_setup, dp_teardown)
	const struct CMUnitTest tests[] = {
		T(programs_are_replaced_under_traffic),
		T(filters_are_replaced_under_traffic),
		T(a_new_set_takes_over_links),
		T(a_new_set_takes_over_filters),
		T(links_take_over_from_filters),
		T(a_killed_daemon_leaves_enforcement),
		T(a_daemon_killed_while_publishing_is_survived),
		T(flags_take_effect_with_the_next_packet),
		T(edges_count_exactly),
		T(marking_an_edge_keeps_its_counters),
		T(the_ring_announces_each_edge_once),
		T(sockets_of_a_namespace_are_destroyed),
	};

	if (!dp_isolate()) {
		puts("needs root");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
