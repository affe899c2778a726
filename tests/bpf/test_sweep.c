/* test_sweep.c - flows and edges that are forgotten: by the timer, by hand, with their slot. */
#include "rows.h"

static const struct spec udp_reply = {UDP(WEB, POD, 53, 1000)};
static const struct spec dns_in = {UDP(WEB, POD, 1000, 53)};

static void test_counters_are_folded_once(void **state)
{
	struct bh_sweep_args a = {.all = 0};
	struct rig *r = fresh(state);
	struct bh_edge_key key;
	struct bh_edge e;
	struct bh_flow f;

	for (int i = 0; i < 7; i++)
		assert_int_equal(out(r, &udp_out), 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(in(r, &udp_reply), 0);
	assert_int_equal(rig_flows(r, NULL, &f), 1);
	assert_int_equal(f.packets, 12);
	assert_int_equal(f.bytes, 12 * 42);
	assert_int_equal(edge_packets(r, BH_ALLOWED, BH_R_POLICY), 0);
	rig_sweep(r, &a); /* nothing is idle */
	assert_int_equal(a.flows, 0);
	assert_int_equal(rig_flows(r, NULL, NULL), 1);
	edit_flow(r, age_hour);
	rig_sweep(r, &a);
	assert_int_equal(a.flows, 1);
	assert_int_equal(rig_flows(r, NULL, NULL), 0);
	assert_int_equal(rig_usage(r).flows, 0);
	assert_int_equal(rig_edges(r, BH_ALLOWED, BH_R_POLICY, &key, &e), 1);
	assert_int_equal(e.packets, 12);
	assert_int_equal(e.bytes, 12 * 42);
	assert_int_equal(key.port, htons(53));
	assert_int_equal(key.dir, OUT);
	rig_sweep(r, &a);
	assert_int_equal(edge_packets(r, BH_ALLOWED, BH_R_POLICY), 12);
}

static void test_purge_of_one_slot(void **state)
{
	struct bh_sweep_args other = {.slot_plus_one = RIG_SLOT + 2, .all = 1};
	struct bh_sweep_args ours = {.slot_plus_one = RIG_SLOT + 1, .all = 1};
	struct rig *r = fresh(state);

	assert_int_equal(out(r, &udp_out), 0);
	assert_int_equal(in(r, &dns_in), 0);
	rig_sweep(r, &other);
	assert_int_equal(other.flows, 0);
	rig_sweep(r, &ours);
	assert_int_equal(ours.flows, 2);
	assert_int_equal(ours.edges, 2);
	assert_int_equal(rig_usage(r).flows, 0);
	assert_int_equal(rig_usage(r).edges, 0);
}

static void test_old_edges_are_forgotten(void **state)
{
	struct bh_sweep_args a = {.edges_before_ns = 1};
	struct rig *r = fresh(state);
	struct spec s = {UDP(POD, FAR, 1, 1)};

	assert_int_equal(out(r, &s), BH_R_DEFAULT_DENY);
	rig_sweep(r, &a);
	assert_int_equal(a.edges, 0);
	a.edges_before_ns = now_ns();
	rig_sweep(r, &a);
	assert_int_equal(a.edges, 1);
	assert_int_equal(rig_usage(r).edges, 0);
}

static uint64_t rounds(struct rig *r)
{
	struct {
		uint64_t timer[2], rounds;
		uint32_t busy, left, head, tail;
	} v;
	uint32_t zero = 0;

	assert_int_equal(bpf_map__value_size(r->pod->maps.sweeper), sizeof(v));
	assert_int_equal(bpf_map_lookup_elem(rig_fd(r->pod->maps.sweeper), &zero, &v), 0);
	return v.rounds;
}

static void await_round(struct rig *r)
{
	uint64_t before = rounds(r), end = now_ns() + 120 * 1000000000ULL;

	while (rounds(r) == before && now_ns() < end)
		usleep(1000);
	assert_true(rounds(r) > before);
}

/* A whole round of the timer: armed again, it begins at once; another one may have been under way.
 */
static void timer_round(struct rig *r)
{
	for (int i = 0; i < 2; i++) {
		assert_int_equal(rig_run(r->pod->progs.bh_timer_start, NULL, 0), 0);
		await_round(r);
	}
}

/* Without a look at the counters of drops after each. */
static void many_flows(struct rig *r, uint16_t first_port, unsigned n)
{
	struct __sk_buff ctx = {.ifindex = RIG_IFINDEX};
	struct spec s = udp_out;
	static struct frame f;
	struct bpf_test_run_opts o = {
		.sz = sizeof(o), .data_in = f.b, .ctx_in = &ctx, .ctx_size_in = sizeof(ctx)};

	for (unsigned i = 0; i < n; i++) {
		s.sport = first_port + i;
		frame_build(&f, OUT, &s);
		o.data_size_in = f.n;
		assert_int_equal(
			bpf_prog_test_run_opts(bpf_program__fd(r->pod->progs.bh_from_pod), &o), 0);
	}
	assert_int_equal(rig_flows(r, NULL, NULL), n);
}

/* Flows grow old: all of them, or those with an even port. */
static void age_flows(struct rig *r, bool all)
{
	struct bh_flow_key key, *prev = NULL;
	int fd = rig_fd(r->pod->maps.flow);
	struct bh_flow f;

	while (bpf_map_get_next_key(fd, prev, &key) == 0) {
		prev = &key;
		if (!all && (key.lport & htons(1)))
			continue;
		/* swept meanwhile; or met again, for an update moves it within its bucket */
		if (bpf_map_lookup_elem(fd, &key, &f) || now_ns() - f.last_ns > AN_HOUR / 2)
			continue;
		age_hour(&f);
		bpf_map_update_elem(fd, &key, &f, BPF_EXIST); /* it may be gone by now */
	}
}

#define MANY 3000 /* several slices */

/* What lives stays, and is swept when its time comes. */
static void test_timer_sweeps(void **state)
{
	struct rig *r = fresh(state);

	r->slots[RIG_SLOT].flow_quota = 100000;
	many_flows(r, 10000, MANY);
	age_flows(r, false);
	timer_round(r);
	assert_int_equal(rig_flows(r, NULL, NULL), MANY / 2);
	assert_int_equal(rig_usage(r).flows, MANY / 2);
	assert_int_equal(edge_packets(r, BH_ALLOWED, BH_R_POLICY), MANY / 2);
	/* those that were purged leave nothing that harms the ones made again */
	rig_purge(r);
	many_flows(r, 10000, MANY);
	age_flows(r, false);
	timer_round(r);
	assert_int_equal(rig_flows(r, NULL, NULL), MANY / 2);
	age_flows(r, true);
	timer_round(r);
	assert_int_equal(rig_flows(r, NULL, NULL), 0);
	assert_int_equal(rig_usage(r).flows, 0);
	assert_int_equal(edge_packets(r, BH_ALLOWED, BH_R_POLICY), MANY);
}

static void unlist(struct bh_flow *f)
{
	f->turn = 0;
}

/* Entries that nobody listed are listed when the timer is armed and by the walk through the table.
 */
static void test_unlisted_flow_is_listed(void **state)
{
	struct bh_sweep_args a = {.all = 0};
	struct rig *r = fresh(state);
	struct bh_flow f;

	assert_int_equal(out(r, &udp_out), 0);
	edit_flow(r, unlist);
	rig_sweep(r, &a);
	assert_int_equal(rig_flows(r, NULL, &f), 1);
	assert_int_not_equal(f.turn, 0);
	edit_flow(r, unlist);
	timer_round(r);
	assert_int_equal(rig_flows(r, NULL, &f), 1);
	assert_int_not_equal(f.turn, 0);
	edit_flow(r, age_hour);
	timer_round(r);
	assert_int_equal(rig_flows(r, NULL, NULL), 0);
}

/* Armed once, the timer sweeps again and again. */
static void test_timer_goes_on(void **state)
{
	struct rig *r = fresh(state);

	timer_round(r);
	assert_int_equal(out(r, &udp_out), 0);
	edit_flow(r, age_hour);
	await_round(r); /* it may have been under way and past our flow */
	await_round(r);
	assert_int_equal(rig_flows(r, NULL, NULL), 0);
	assert_int_equal(rig_usage(r).flows, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counters_are_folded_once),
		cmocka_unit_test(test_purge_of_one_slot),
		cmocka_unit_test(test_old_edges_are_forgotten),
		cmocka_unit_test(test_timer_sweeps),
		cmocka_unit_test(test_unlisted_flow_is_listed),
		cmocka_unit_test(test_timer_goes_on),
	};

	return cmocka_run_group_tests(tests, rows_setup, rows_teardown);
}
