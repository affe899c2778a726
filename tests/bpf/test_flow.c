/* test_flow.c - what lasts longer than one packet: epochs, expiry, tenants, quotas, counters,
 * announcements; and what the verifier makes of the programs. */
#include "rows.h"

static const struct spec ack_out = {TCP(POD, WEB, 1000, 80, F_ACK), .payload = 10};
static const struct spec udp_reply = {UDP(WEB, POD, 53, 1000)};
static const struct spec dns_in = {UDP(WEB, POD, 1000, 53)};

static void withdraw(struct rig *r, uint32_t ruleset)
{
	rig_row(r, ruleset, RIG_WEB, (struct bh_row){.allow = {0}});
	r->cfg->epoch++;
}

static void restore(struct rig *r, uint32_t ruleset)
{
	rig_row(r, ruleset, RIG_WEB, (struct bh_row){.allow = {0xe}});
	r->cfg->epoch++;
}

static void age_replied_udp(struct bh_flow *f)
{
	f->last_ns -= 100 * 1000000000ULL;
}
static void old_tenant(struct bh_flow *f)
{
	f->generation--;
}

static void test_policy_change_cuts_both_directions(void **state)
{
	struct rig *r = fresh(state);

	assert_int_equal(out(r, &udp_out), 0);
	assert_int_equal(in(r, &udp_reply), 0);
	withdraw(r, RIG_RULES_OUT);
	assert_int_equal(in(r, &udp_reply), BH_R_DEFAULT_DENY);
	assert_int_equal(out(r, &udp_out), BH_R_DEFAULT_DENY);
	/* the connection is known to be the pod's, so its answers pass again once it is allowed */
	restore(r, RIG_RULES_OUT);
	assert_int_equal(in(r, &udp_reply), 0);
}

static void test_policy_of_other_direction_does_not_cut(void **state)
{
	struct rig *r = fresh(state);

	assert_int_equal(out(r, &udp_out), 0);
	withdraw(r, RIG_RULES_IN);
	assert_int_equal(in(r, &udp_reply), 0);
}

static void test_keep_established(void **state)
{
	struct rig *r = fresh(state);

	r->cfg->keep_established = 1;
	assert_int_equal(out(r, &udp_out), 0);
	assert_int_equal(out(r, &syn), 0);
	withdraw(r, RIG_RULES_OUT);
	assert_int_equal(in(r, &udp_reply), 0);
	assert_int_equal(out(r, &udp_out), 0);
	assert_int_equal(out(r, &syn), BH_R_DEFAULT_DENY);
	flag(r, BH_SLOT_QUARANTINE);
	assert_int_equal(in(r, &udp_reply), BH_R_QUARANTINE);
}

static void test_rule_expires_under_a_flow(void **state)
{
	uint64_t end_ns, ms = 200;
	struct rig *r;
	int o, i;

	do { /* until the machine lets us send both packets before the end */
		r = fresh(state);
		end_ns = rules_end_in(r, ms);
		r->cfg->keep_established = 1; /* not even then */
		o = out(r, &udp_out);
		i = in(r, &udp_reply);
		ms *= 2;
	} while (now_ns() >= end_ns && ms < 60000);
	assert_int_equal(o, 0);
	assert_int_equal(i, 0);
	wait_until(end_ns);
	assert_int_equal(out(r, &udp_out), BH_R_EXPIRED);
	assert_int_equal(in(r, &udp_reply), BH_R_EXPIRED);
}

static void test_sides_switch_by_epoch(void **state)
{
	struct rig *r = fresh(state);

	r->slots[RIG_SLOT].side[1].ruleset[OUT] = 0;
	assert_int_equal(out(r, &syn), 0);
	r->cfg->epoch++;
	assert_int_equal(out(r, &syn), BH_R_DEFAULT_DENY);
	r->cfg->epoch++;
	assert_int_equal(out(r, &syn), 0);
}

static void test_idle_flow_is_absent(void **state)
{
	struct rig *r = fresh(state);

	assert_int_equal(out(r, &udp_out), 0);
	edit_flow(r, age_hour);
	assert_int_equal(in(r, &udp_reply), BH_R_DEFAULT_DENY);
	assert_int_equal(out(r, &udp_out), 0);
	assert_int_equal(in(r, &udp_reply), 0);
	edit_flow(r, age_replied_udp); /* a replied one lives longer */
	assert_int_equal(in(r, &udp_reply), 0);
	assert_int_equal(rig_usage(r).flows, 1);
}

static void test_former_tenants_flow_is_absent(void **state)
{
	struct rig *r = fresh(state);
	struct bh_flow f;

	assert_int_equal(out(r, &udp_out), 0);
	edit_flow(r, old_tenant);
	assert_int_equal(in(r, &udp_reply), BH_R_DEFAULT_DENY);
	assert_int_equal(out(r, &udp_out), 0);
	assert_int_equal(rig_flows(r, NULL, &f), 1);
	assert_int_equal(f.generation, RIG_GENERATION);
	assert_int_equal(f.packets, 1);
	assert_int_equal(rig_usage(r).flows, 1);
}

static void test_shadow_flow_ends_with_the_shadow(void **state)
{
	static const struct spec far_out = {UDP(POD, FAR, 1, 1)};
	static const struct spec far_in = {UDP(FAR, POD, 1, 1)};
	struct rig *r = fresh(state);

	flag(r, BH_SLOT_SHADOW);
	assert_int_equal(out(r, &far_out), 0);
	assert_int_equal(in(r, &far_in), 0);
	r->slots[RIG_SLOT].flags &= ~BH_SLOT_SHADOW;
	assert_int_equal(in(r, &far_in), BH_R_DEFAULT_DENY);
	assert_int_equal(out(r, &far_out), BH_R_DEFAULT_DENY);
}

static void test_quota(void **state)
{
	struct rig *r = fresh(state);
	struct spec s = udp_out, t = syn;
	uint64_t refused = rig_usage(r).flow_refused;

	r->slots[RIG_SLOT].flow_quota = 3;
	for (int i = 0; i < 3; i++) {
		s.sport = 2000 + i;
		assert_int_equal(out(r, &s), 0);
	}
	s.sport = 3000;
	assert_int_equal(out(r, &s), BH_R_FLOW_QUOTA);
	t.sport = 3000;
	assert_int_equal(out(r, &t), 0); /* its socket will vouch for it */
	assert_int_equal(rig_usage(r).flows, 3);
	assert_int_equal(rig_usage(r).flow_refused, refused + 2);
	assert_int_equal(rig_flows(r, NULL, NULL), 3);
	/* an old flow is not harmed */
	s.sport = 2001;
	assert_int_equal(out(r, &s), 0);
}

/* Others cannot use up what the pod needs to ask its own questions. */
static void test_shares_of_the_quota(void **state)
{
	struct rig *r = fresh(state);
	struct spec t = {TCP(WEB, POD, 1, 80, F_SYN)}, u = dns_in, o = udp_out;

	r->slots[RIG_SLOT].flow_quota = 16;
	for (int i = 0; i < 20; i++) {
		t.sport = 100 + i;
		assert_int_equal(in(r, &t), 0);
	}
	assert_int_equal(rig_usage(r).flows, 12);
	for (int i = 0; i < 4; i++) {
		u.sport = 100 + i;
		assert_int_equal(in(r, &u), i < 2 ? 0 : BH_R_FLOW_QUOTA);
	}
	for (int i = 0; i < 4; i++) {
		o.sport = 100 + i;
		assert_int_equal(out(r, &o), i < 2 ? 0 : BH_R_FLOW_QUOTA);
	}
	assert_int_equal(rig_usage(r).flows, 16);
}

static void test_changed_reason_splits_the_counters(void **state)
{
	struct rig *r = fresh(state);
	struct bh_flow f;

	assert_int_equal(out(r, &udp_out), 0);
	assert_int_equal(out(r, &udp_out), 0);
	set_open(r);
	r->cfg->epoch += 2;
	assert_int_equal(out(r, &udp_out), 0);
	assert_int_equal(edge_packets(r, BH_ALLOWED, BH_R_POLICY), 2);
	assert_int_equal(rig_flows(r, NULL, &f), 1);
	assert_int_equal(f.packets, 1);
	assert_int_equal(f.reason, BH_R_DEFAULT_ALLOW);
}

static void test_edge_quota(void **state)
{
	struct rig *r = fresh(state);
	struct spec s = {UDP(POD, FAR, 1, 1)};
	struct bh_edge_key key, *prev = NULL;
	struct bh_edge e;
	int overflow = 0, fd = rig_fd(r->pod->maps.edge);

	r->slots[RIG_SLOT].edge_quota = 10;
	for (int i = 0; i < 50; i++) {
		s.dport = 100 + i;
		assert_int_equal(out(r, &s), BH_R_DEFAULT_DENY);
	}
	assert_int_equal(rig_edges(r, BH_DENIED, BH_R_DEFAULT_DENY, NULL, NULL), 11);
	while (bpf_map_get_next_key(fd, prev, &key) == 0) {
		prev = &key;
		assert_int_equal(bpf_map_lookup_elem(fd, &key, &e), 0);
		if (!(e.flags & BH_EDGE_OVERFLOW))
			continue;
		overflow++;
		assert_int_equal(e.packets, 40);
		assert_int_equal(key.port, 0);
	}
	assert_int_equal(overflow, 1);
	assert_true(rig_usage(r).edge_overflow >= 40);
}

static void test_former_tenants_edge_starts_over(void **state)
{
	struct rig *r = fresh(state);
	struct spec s = {UDP(POD, FAR, 1, 1)};
	struct bh_edge e;

	assert_int_equal(out(r, &s), BH_R_DEFAULT_DENY);
	assert_int_equal(out(r, &s), BH_R_DEFAULT_DENY);
	r->slots[RIG_SLOT].generation++;
	assert_int_equal(out(r, &s), BH_R_DEFAULT_DENY);
	assert_int_equal(rig_edges(r, BH_DENIED, BH_R_DEFAULT_DENY, NULL, &e), 1);
	assert_int_equal(e.packets, 1);
	assert_int_equal(e.generation, RIG_GENERATION + 1);
}

static void test_aggregates_count_as_wire_packets(void **state)
{
	struct __sk_buff ctx = {.ifindex = RIG_IFINDEX, .gso_segs = 4, .gso_size = 300};
	struct spec s = udp_out;
	struct rig *r = fresh(state);
	struct frame f;
	struct bh_flow flow;

	s.payload = 1200;
	frame_build(&f, OUT, &s);
	assert_int_equal(rig_frame(r, OUT, f.b, f.n, &ctx), 0);
	assert_int_equal(rig_flows(r, NULL, &flow), 1);
	assert_int_equal(flow.packets, 4);
	assert_int_equal(flow.bytes, f.n);
}

static void test_new_syn_on_a_finished_connection(void **state)
{
	static const struct spec fin_out = {TCP(POD, WEB, 1000, 80, F_FIN | F_ACK)};
	static const struct spec fin_in = {TCP(WEB, POD, 80, 1000, F_FIN | F_ACK)};
	struct rig *r = fresh(state);
	struct bh_flow f;

	assert_int_equal(out(r, &syn), 0);
	assert_int_equal(in(r, &synack), 0);
	assert_int_equal(out(r, &ack_out), 0);
	assert_int_equal(out(r, &fin_out), 0);
	assert_int_equal(in(r, &fin_in), 0);
	assert_int_equal(rig_flows(r, NULL, &f), 1);
	assert_int_equal(f.flags, BH_FLOW_REPLIED | BH_FLOW_FIN_INIT | BH_FLOW_FIN_RESP);
	assert_int_equal(out(r, &syn), 0);
	assert_int_equal(rig_flows(r, NULL, &f), 1);
	assert_int_equal(f.flags, 0);
	assert_int_equal(f.packets, 1);
	assert_int_equal(edge_packets(r, BH_ALLOWED, BH_R_POLICY), 5);
}

static void test_denied_syn_leaves_the_flow_alone(void **state)
{
	static const struct spec syn_in = {TCP(WEB, POD, 80, 1000, F_SYN)};
	struct rig *r = fresh(state);

	assert_int_equal(out(r, &syn), 0);
	assert_int_equal(in(r, &synack), 0);
	assert_int_equal(in(r, &syn_in), BH_R_DEFAULT_DENY);
	assert_int_equal(out(r, &ack_out), 0);
}

/* The error's own edge: towards the pod, the router's address, the ICMP type. */
static void test_edge_of_an_icmp_error(void **state)
{
	static const struct spec err = {ICMP(FAR, POD, 3), .quote = &udp_out};
	struct rig *r = fresh(state);
	struct bh_edge_key key;
	uint8_t far[16];

	assert_int_equal(out(r, &udp_out), 0);
	assert_int_equal(in(r, &err), 0);
	assert_int_equal(rig_edges(r, BH_ALLOWED, BH_R_ICMP_RELATED, &key, NULL), 1);
	rig_addr(FAR, far);
	assert_memory_equal(key.remote, far, 16);
	assert_int_equal(key.dir, IN);
	assert_int_equal(key.proto, 1);
	assert_int_equal(key.port, htons(3));
	/* a flow that would not be allowed now vouches for nothing */
	withdraw(r, RIG_RULES_OUT);
	assert_int_equal(in(r, &err), BH_R_ICMP_ORPHAN);
}

static int take_event(void *ctx, void *data, size_t n)
{
	struct bh_event_edge *ev = ctx;

	assert_int_equal(n, sizeof(*ev));
	memcpy(ev, data, n);
	return 0;
}

static void test_new_edges_are_announced(void **state)
{
	struct rig *r = fresh(state);
	struct bh_event_edge ev = {.version = 0};
	struct ring_buffer *rb =
		ring_buffer__new(rig_fd(r->pod->maps.events), take_event, &ev, NULL);
	struct spec s = {UDP(POD, FAR, 1, 7)};
	struct bh_edge e;

	assert_non_null(rb);
	ring_buffer__consume(rb);
	assert_int_equal(out(r, &s), BH_R_DEFAULT_DENY);
	assert_int_equal(ring_buffer__consume(rb), 1);
	assert_int_equal(ev.version, BH_EVENT_VERSION);
	assert_int_equal(ev.len, sizeof(ev));
	assert_int_equal(ev.key.reason, BH_R_DEFAULT_DENY);
	assert_int_equal(ev.key.port, htons(7));
	assert_int_equal(ev.generation, RIG_GENERATION);
	assert_int_equal(rig_edges(r, BH_DENIED, BH_R_DEFAULT_DENY, NULL, &e), 1);
	assert_int_equal(e.flags, 0);
	assert_int_equal(out(r, &s), BH_R_DEFAULT_DENY);
	assert_int_equal(ring_buffer__consume(rb), 0);
	ring_buffer__free(rb);
}

/* A full ring loses the announcement, not the mark. */
static void test_full_ring_leaves_the_mark(void **state)
{
	struct rig *r = fresh(state);
	struct spec s = {UDP(POD, FAR, 1, 1)};
	struct bh_edge e = {.flags = 0};

	for (int i = 1; i < 3900; i++) {
		s.dport = i;
		assert_int_equal(out(r, &s), BH_R_DEFAULT_DENY);
	}
	rig_purge(r);
	s.dport = 4000;
	assert_int_equal(out(r, &s), BH_R_DEFAULT_DENY);
	assert_int_equal(rig_edges(r, BH_DENIED, BH_R_DEFAULT_DENY, NULL, &e), 1);
	assert_int_equal(e.flags, BH_EDGE_UNSENT);
}

/* Raise a ceiling only with a reason in the commit: the verifier's limit is one million, but load
 * time and old kernels' patience are not. */
static void test_instruction_ceilings(void **state)
{
	struct rig *r = fresh(state);
	const struct {
		const struct bpf_program *prog;
		uint32_t ceiling;
	} v[] = {
		{r->pod->progs.bh_from_pod, 45000},
		{r->pod->progs.bh_to_pod, 45000},
		{r->pod->progs.bh_sweep, 4000},
		{r->pod->progs.bh_timer_start, 12000}, /* a loop of SWEEP_SLICE turns */
	};

	for (size_t i = 0; i < BH_ARRAY_SIZE(v); i++) {
		struct bpf_prog_info info = {.type = 0};
		uint32_t n = sizeof(info);

		assert_int_equal(bpf_obj_get_info_by_fd(bpf_program__fd(v[i].prog), &info, &n), 0);
		if (info.verified_insns > v[i].ceiling)
			fail_msg("%s: %u instructions verified", info.name, info.verified_insns);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policy_change_cuts_both_directions),
		cmocka_unit_test(test_policy_of_other_direction_does_not_cut),
		cmocka_unit_test(test_keep_established),
		cmocka_unit_test(test_rule_expires_under_a_flow),
		cmocka_unit_test(test_sides_switch_by_epoch),
		cmocka_unit_test(test_idle_flow_is_absent),
		cmocka_unit_test(test_former_tenants_flow_is_absent),
		cmocka_unit_test(test_shadow_flow_ends_with_the_shadow),
		cmocka_unit_test(test_quota),
		cmocka_unit_test(test_shares_of_the_quota),
		cmocka_unit_test(test_changed_reason_splits_the_counters),
		cmocka_unit_test(test_edge_quota),
		cmocka_unit_test(test_former_tenants_edge_starts_over),
		cmocka_unit_test(test_aggregates_count_as_wire_packets),
		cmocka_unit_test(test_new_syn_on_a_finished_connection),
		cmocka_unit_test(test_denied_syn_leaves_the_flow_alone),
		cmocka_unit_test(test_edge_of_an_icmp_error),
		cmocka_unit_test(test_new_edges_are_announced),
		cmocka_unit_test(test_full_ring_leaves_the_mark),
		cmocka_unit_test(test_instruction_ceilings),
	};

	return cmocka_run_group_tests(tests, rows_setup, rows_teardown);
}
