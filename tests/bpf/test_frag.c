/* test_frag.c - fragments in whatever order: who passes, who is counted where, what is remembered.
 */
#include "rows.h"

/* A datagram of 48 bytes and its header, in three pieces: 0-24, 24-40, 40-56. */
#define HEAD(s, d, port)                                                                           \
	{                                                                                          \
		UDP(s, d, 1000, port), .more = 1, .frag_id = 9, .payload = 16, .udp_len = 56       \
	}
#define LATER(s, d, off) .src = s, .dst = d, .proto = 17, .frag_off = off, .frag_id = 9, .body = ""
static const struct spec head = HEAD(POD, WEB, 53);
static const struct spec head_denied = HEAD(POD, WEB, 54);
static const struct spec middle = {LATER(POD, WEB, 24), .payload = 16, .more = 1};
static const struct spec tail = {LATER(POD, WEB, 40), .payload = 16};

static int entries(struct rig *r)
{
	struct bh_frag_key key, *prev = NULL;
	int n = 0, fd = rig_fd(r->pod->maps.frag);

	while (bpf_map_get_next_key(fd, prev, &key) == 0) {
		prev = &key;
		n++;
	}
	return n;
}

static struct rig *start(void **state)
{
	struct bh_frag_key key;
	struct rig *r = fresh(state);
	int fd = rig_fd(r->pod->maps.frag);

	while (bpf_map_get_next_key(fd, NULL, &key) == 0)
		assert_int_equal(bpf_map_delete_elem(fd, &key), 0);
	return r;
}

static void test_every_order(void **state)
{
	static const struct spec *const part[] = {&head, &middle, &tail};
	static const uint8_t order[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
					   {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

	for (size_t i = 0; i < BH_ARRAY_SIZE(order); i++) {
		struct rig *r = start(state);
		unsigned early = order[i][0] == 0 ? 0 : order[i][1] == 0 ? 1 : 2;
		struct bh_flow f;

		for (int k = 0; k < 3; k++)
			assert_int_equal(out(r, part[order[i][k]]), 0);
		/* each packet is counted once: with its flow, or on its own */
		assert_int_equal(rig_flows(r, NULL, &f), 1);
		assert_int_equal(f.packets, 3 - early);
		assert_int_equal(edge_packets(r, BH_ALLOWED, BH_R_FRAGMENT), early);
		assert_int_equal(entries(r), 1);
	}
}

static void test_early_edge(void **state)
{
	struct rig *r = start(state);
	struct bh_edge_key key;

	assert_int_equal(out(r, &tail), 0);
	assert_int_equal(rig_edges(r, BH_ALLOWED, BH_R_FRAGMENT, &key, NULL), 1);
	assert_int_equal(key.port, 0);
	assert_int_equal(key.proto, 17);
	assert_int_equal(key.dir, OUT);
	assert_int_equal(rig_flows(r, NULL, NULL), 0);
}

/* Once the first one was denied the others are, wherever it came. */
static void test_denied_first_ends_the_datagram(void **state)
{
	struct rig *r = start(state);
	struct bh_edge_key key;

	assert_int_equal(out(r, &tail), 0);
	assert_int_equal(out(r, &head_denied), BH_R_DEFAULT_DENY);
	assert_int_equal(out(r, &middle), BH_R_DEFAULT_DENY);
	assert_int_equal(out(r, &tail), BH_R_DEFAULT_DENY);
	assert_int_equal(rig_edges(r, BH_DENIED, BH_R_DEFAULT_DENY, &key, NULL), 1);
	assert_int_equal(key.port, htons(54));
	assert_int_equal(edge_packets(r, BH_DENIED, BH_R_DEFAULT_DENY), 3);
	r = start(state);
	assert_int_equal(out(r, &head_denied), BH_R_DEFAULT_DENY);
	assert_int_equal(out(r, &middle), BH_R_DEFAULT_DENY);
}

static void test_strangers_fill_no_table(void **state)
{
	static const struct spec first = HEAD(POD, FAR, 53);
	static const struct spec later = {LATER(POD, FAR, 24), .payload = 16};
	struct rig *r = start(state);

	assert_int_equal(out(r, &later), BH_R_FRAGMENT_ORPHAN);
	assert_int_equal(out(r, &first), BH_R_DEFAULT_DENY);
	assert_int_equal(out(r, &later), BH_R_FRAGMENT_ORPHAN);
	assert_int_equal(entries(r), 0);
}

/* What came early could write over the first one's bytes in a careless receiver. */
static void test_first_may_not_reach_the_early(void **state)
{
	static const struct spec low = {LATER(POD, WEB, 16), .payload = 16, .more = 1};
	struct rig *r = start(state);

	assert_int_equal(out(r, &low), 0);
	assert_int_equal(out(r, &tail), 0);
	assert_int_equal(out(r, &head), BH_R_MALFORMED);
	r = start(state);
	assert_int_equal(out(r, &tail), 0);
	assert_int_equal(out(r, &low), 0);
	assert_int_equal(out(r, &head), BH_R_MALFORMED);
	assert_int_equal(rig_flows(r, NULL, NULL), 0);
}

/* Some port of that protocol, not of another one. */
static void test_early_by_protocol(void **state)
{
	struct spec t = tail;
	struct rig *r = start(state);

	rig_row(r, RIG_RULES_OUT, RIG_WEB, (struct bh_row){.allow = {2}}); /* TCP 80 */
	assert_int_equal(out(r, &t), BH_R_FRAGMENT_ORPHAN);
	t.proto = 132;
	assert_int_equal(out(r, &t), BH_R_FRAGMENT_ORPHAN);
	t.proto = 6;
	assert_int_equal(out(r, &t), 0);
	t.proto = 47;
	assert_int_equal(out(r, &t), BH_R_FRAGMENT_ORPHAN);
	rig_row(r, RIG_RULES_OUT, RIG_WEB, (struct bh_row){.allow = {1}}); /* the rest */
	t.frag_id++;
	for (size_t i = 0; i < 4; i++) {
		t.proto = (const uint8_t[]){6, 17, 132, 47}[i];
		assert_int_equal(out(r, &t), 0);
	}
	rig_row(r, RIG_RULES_OUT, RIG_WEB,
		(struct bh_row){.allow = {2}, .cond = {4}}); /* by executable */
	t.frag_id++;
	t.proto = 17;
	assert_int_equal(out(r, &t), BH_R_FRAGMENT_ORPHAN);
}

/* The only allowed port is the very last one. */
static void test_early_by_the_last_port(void **state)
{
	struct bh_portmap *pm = calloc(1, sizeof(*pm));
	struct bh_portpage page = {{0}};
	uint32_t id = 9;
	struct rig *r = start(state);

	assert_non_null(pm);
	page.class[255] = 77;
	rig_put(r->pod->maps.portpage, &id, &page);
	for (int i = 0; i < 255; i++) /* pages of all kinds before it */
		pm->page[BH_PP_UDP][i] = i % 4;
	pm->page[BH_PP_UDP][255] = id;
	id = RIG_PORTMAP;
	rig_put(r->pod->maps.portmap, &id, pm);
	free(pm);
	rig_row(r, RIG_RULES_OUT, RIG_WEB, (struct bh_row){.allow = {0, 1ULL << 12}});
	assert_int_equal(out(r, &tail), BH_R_FRAGMENT_ORPHAN);
	rig_row(r, RIG_RULES_OUT, RIG_WEB, (struct bh_row){.allow = {0, 1ULL << 13}});
	assert_int_equal(out(r, &tail), 0);
}

/* An answer that the pod may ask for, if it did. */
static void test_early_answers(void **state)
{
	static const struct spec to_pal = {UDP(POD, PAL, 1000, 53)};
	static const struct spec answer = {LATER(WEB, POD, 24), .payload = 16};
	static const struct spec pong = {
		.src = PAL, .dst = POD, .proto = 1, .frag_off = 24, .body = "", .payload = 16};
	struct rig *r = start(state);

	rig_row(r, RIG_RULES_IN, RIG_WEB, (struct bh_row){.allow = {0}});
	rig_row(r, RIG_RULES_IN, RIG_FRIEND, (struct bh_row){.allow = {0}});
	assert_int_equal(in(r, &answer), BH_R_FRAGMENT_ORPHAN);
	assert_int_equal(out(r, &udp_out), 0);
	assert_int_equal(in(r, &answer), 0);
	assert_int_equal(in(r, &pong), BH_R_FRAGMENT_ORPHAN);
	assert_int_equal(out(r, &to_pal), 0); /* not by that protocol */
	assert_int_equal(in(r, &pong), BH_R_FRAGMENT_ORPHAN);
	assert_int_equal(out(r, &ping), 0);
	assert_int_equal(in(r, &pong), 0);
	/* not under a policy that has changed, nor for the slot's next tenant */
	rig_row(r, RIG_RULES_OUT, RIG_WEB, (struct bh_row){.allow = {0}});
	assert_int_equal(in(r, &answer), BH_R_FRAGMENT_ORPHAN);
	rig_row(r, RIG_RULES_OUT, RIG_WEB, (struct bh_row){.allow = {0xe}});
	assert_int_equal(in(r, &answer), 0);
	rig_purge(r);
	assert_int_equal(in(r, &answer), BH_R_FRAGMENT_ORPHAN);
}

static void test_entries_age(void **state)
{
	struct bh_frag_key key;
	struct bh_frag f;
	struct rig *r = start(state);
	int fd = rig_fd(r->pod->maps.frag);

	assert_int_equal(out(r, &head_denied), BH_R_DEFAULT_DENY);
	assert_int_equal(out(r, &tail), BH_R_DEFAULT_DENY);
	assert_int_equal(bpf_map_get_next_key(fd, NULL, &key), 0);
	assert_int_equal(bpf_map_lookup_elem(fd, &key, &f), 0);
	f.seen_ns -= 31 * 1000000000ULL;
	assert_int_equal(bpf_map_update_elem(fd, &key, &f, BPF_EXIST), 0);
	assert_int_equal(out(r, &tail), 0); /* another datagram by now */
	r->slots[RIG_SLOT].generation++;
	assert_int_equal(out(r, &head), 0); /* as the former tenant's tail never was */
}

static void test_every_order_6(void **state)
{
	struct spec first = {.src = POD_6,
			     .dst = WEB_6,
			     .proto = 17,
			     .sport = 1000,
			     .dport = 53,
			     .payload = 16,
			     .udp_len = 48,
			     .ext_first = 44,
			     .ext = "1100000100000009"};
	struct spec last = {.src = POD_6,
			    .dst = WEB_6,
			    .proto = 17,
			    .payload = 24,
			    .body = "",
			    .ext_first = 44,
			    .ext = "1100001800000009"};
	struct rig *r = start(state);

	assert_int_equal(out(r, &last), 0);
	assert_int_equal(out(r, &first), 0);
	assert_int_equal(edge_packets(r, BH_ALLOWED, BH_R_FRAGMENT), 1);
	assert_int_equal(rig_flows(r, NULL, NULL), 1);
	r = start(state);
	assert_int_equal(out(r, &first), 0);
	assert_int_equal(out(r, &last), 0);
	assert_int_equal(edge_packets(r, BH_ALLOWED, BH_R_FRAGMENT), 0);
	r = start(state);
	first.dport = 54;
	assert_int_equal(out(r, &first), BH_R_DEFAULT_DENY);
	assert_int_equal(out(r, &last), BH_R_DEFAULT_DENY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_order),
		cmocka_unit_test(test_early_edge),
		cmocka_unit_test(test_denied_first_ends_the_datagram),
		cmocka_unit_test(test_strangers_fill_no_table),
		cmocka_unit_test(test_first_may_not_reach_the_early),
		cmocka_unit_test(test_early_by_protocol),
		cmocka_unit_test(test_early_by_the_last_port),
		cmocka_unit_test(test_early_answers),
		cmocka_unit_test(test_entries_age),
		cmocka_unit_test(test_every_order_6),
	};

	return cmocka_run_group_tests(tests, rows_setup, rows_teardown);
}
