/* test_memo.c - what packets remember of the tables, and the clock they go by. */
#include <sched.h>

#include "rows.h"

static int tcp(struct rig *r, enum bh_dir dir, const char *remote, uint16_t port)
{
	static uint16_t opener = 20000;
	struct spec s = {.proto = 6, .sport = opener++, .dport = port, .flags = F_SYN};
	const char *own = strchr(remote, ':') ? POD_6 : POD;

	if (opener > 60000)
		opener = 20000;
	s.src = dir == OUT ? own : remote;
	s.dst = dir == OUT ? remote : own;
	return frame_run(r, dir, &s, dir == OUT ? 0 : RIG_OTHER_IF);
}

/* ---- answers given before ---- */

#define QUESTIONS 6000 /* several per place; no multiple of 7 */
static const char *const remotes[] = {
	WEB,   PAL,    FAR,	  "10.0.0.13",	  "10.0.0.14",	 "198.51.100.1",
	WEB_6, PAL_6,  "fd00::5", "2001:db8::1",  "fd00::14",	 "2001:db8:bad::1",
	NODE,  NODE_6, "8.8.8.8", "198.51.100.7", "192.0.2.200", "fd00::ffff",
};
static const uint8_t protos[] = {6, 17, 132};

/* asked: no two connections are one. */
static int question(struct rig *r, unsigned i, unsigned asked)
{
	enum bh_dir dir = i & 1;
	const char *remote = remotes[i / 2 % BH_ARRAY_SIZE(remotes)];
	const char *own = strchr(remote, ':') ? POD_6 : POD;
	unsigned rest = i / 2 / BH_ARRAY_SIZE(remotes);
	struct spec s = {.src = dir == OUT ? own : remote,
			 .dst = dir == OUT ? remote : own,
			 .proto = protos[rest % BH_ARRAY_SIZE(protos)],
			 .sport = 10000 + i * 8 + asked,
			 .dport = 50 + rest / BH_ARRAY_SIZE(protos),
			 .flags = F_SYN};

	return frame_run(r, dir, &s, dir == OUT ? 0 : RIG_OTHER_IF);
}

static void test_memory_changes_no_answer(void **state)
{
	static uint8_t want[QUESTIONS];
	struct rig *r = fresh(state);
	unsigned n_passed = 0;

	r->slots[RIG_SLOT].flow_quota = r->slots[RIG_SLOT].edge_quota = 100000;
	rig_row(r, RIG_RULES_IN, RIG_WEB,
		(struct bh_row){.allow = {4}}); /* not as on the way out */
	for (unsigned i = 0; i < QUESTIONS; i++) {
		r->cfg->epoch += 2; /* nobody remembers anything */
		want[i] = question(r, i, 0);
		n_passed += want[i] == 0;
	}
	assert_true(n_passed > QUESTIONS / 10 && n_passed < QUESTIONS - QUESTIONS / 10);
	for (unsigned round = 0; round < 2; round++)
		for (unsigned k = 0; k < QUESTIONS; k++) {
			unsigned i = k * 7 % QUESTIONS;

			/* first whatever others left in its place, then what it left itself */
			assert_int_equal(question(r, i, 1 + 2 * round), want[i]);
			assert_int_equal(question(r, i, 2 + 2 * round), want[i]);
		}
}

/* So many strangers that several get the friend's place; each differs from it in one part. */
#define STRANGERS 5000
static void test_strangers_share_no_answer(void **state)
{
	struct rig *r = fresh(state);
	char text[40];

	r->slots[RIG_SLOT].flow_quota = r->slots[RIG_SLOT].edge_quota = 100000;
	for (unsigned i = 0; i < STRANGERS; i++) {
		assert_int_equal(tcp(r, OUT, PAL, 80), 0);
		snprintf(text, sizeof(text), "10.77.%u.%u", i >> 8, i & 255);
		assert_int_equal(tcp(r, OUT, text, 80), BH_R_DEFAULT_DENY);
		assert_int_equal(tcp(r, OUT, PAL_6, 80), 0);
		snprintf(text, sizeof(text), "fd77:%x::11", i);
		assert_int_equal(tcp(r, OUT, text, 80), BH_R_DEFAULT_DENY);
		assert_int_equal(tcp(r, OUT, WEB, 80), 0);
		assert_int_equal(tcp(r, OUT, WEB, 1000 + i), BH_R_DEFAULT_DENY);
	}
}

/* seq is the last word of an entry. */
static void set_writing(struct rig *r, uint32_t writing)
{
	const struct bpf_map *m = r->pod->maps.memo;
	size_t size = bpf_map__value_size(m), n = libbpf_num_possible_cpus();
	char *v = calloc(n, size);

	assert_non_null(v);
	for (uint32_t i = 0; i < bpf_map__max_entries(m); i++) {
		assert_int_equal(bpf_map_lookup_elem(rig_fd(m), &i, v), 0);
		for (size_t cpu = 0; cpu < n; cpu++) {
			uint32_t *seq = (uint32_t *)(v + (cpu + 1) * size) - 1;

			*seq = (*seq & ~1u) | writing;
		}
		assert_int_equal(bpf_map_update_elem(rig_fd(m), &i, v, BPF_ANY), 0);
	}
	free(v);
}

/* On a real-time kernel a packet may be interrupted while it writes. */
static void test_half_an_answer_is_none(void **state)
{
	struct rig *r = fresh(state);

	assert_int_equal(tcp(r, OUT, WEB, 80), 0);
	rig_row(r, RIG_RULES_OUT, RIG_WEB, (struct bh_row){.allow = {0}});
	assert_int_equal(tcp(r, OUT, WEB, 80), 0); /* remembered */
	set_writing(r, 1);
	assert_int_equal(tcp(r, OUT, WEB, 80), BH_R_DEFAULT_DENY);
	set_writing(r, 0);
	assert_int_equal(tcp(r, OUT, WEB, 80), 0); /* nobody else wrote meanwhile */
	r->cfg->epoch += 2;
	assert_int_equal(tcp(r, OUT, WEB, 80), BH_R_DEFAULT_DENY);
}

/* Without a change of epoch tables do not change, so who changes them all the same shows whether
 * they are asked. */
static void test_answers_end_with_the_epoch(void **state)
{
	struct rig *r = fresh(state);

	assert_int_equal(tcp(r, OUT, WEB, 80), 0);
	rig_row(r, RIG_RULES_OUT, RIG_WEB, (struct bh_row){.allow = {0}});
	assert_int_equal(tcp(r, OUT, WEB, 80), 0);
	assert_int_equal(tcp(r, OUT, WEB, 81), BH_R_DEFAULT_DENY);
	assert_int_equal(tcp(r, IN, WEB, 80), 0); /* other rules */
	r->cfg->epoch += 2;
	assert_int_equal(tcp(r, OUT, WEB, 80), BH_R_DEFAULT_DENY);
	rig_row(r, RIG_RULES_OUT, RIG_WEB, (struct bh_row){.allow = {0xe}});
	assert_int_equal(tcp(r, OUT, WEB, 80), BH_R_DEFAULT_DENY);
	r->cfg->epoch += 2;
	assert_int_equal(tcp(r, OUT, WEB, 80), 0);
}

/* So many that several get the first one's place. */
static void test_no_two_rulesets_share(void **state)
{
	static const struct bh_ruleset nothing = {.portmap = RIG_PORTMAP};
	struct rig *r = fresh(state);
	uint32_t *in_force = &r->slots[RIG_SLOT].side[0].ruleset[OUT];

	r->slots[RIG_SLOT].flow_quota = 100000;
	for (uint32_t id = RIG_RULES_SPARE; id < BH_MAX_RULESETS; id++) {
		*in_force = RIG_RULES_OUT;
		assert_int_equal(tcp(r, OUT, WEB, 80), 0);
		rig_put(r->pod->maps.ruleset, &id, &nothing);
		*in_force = id;
		assert_int_equal(tcp(r, OUT, WEB, 80), BH_R_DEFAULT_DENY);
	}
}

static void test_protocols_do_not_share(void **state)
{
	static const struct {
		uint8_t proto;
		uint16_t port;
	} allowed[] = {{6, 80}, {17, 53}, {132, 99}};
	struct rig *r = fresh(state);

	for (unsigned i = 0; i < 3 * 3 * 2; i++) {
		struct spec s = {.src = POD, .dst = WEB, .flags = F_SYN, .sport = 1000 + i};
		unsigned p = i / 3 % 3, q = i % 3;

		s.dport = allowed[p].port;
		s.proto = allowed[p].proto;
		assert_int_equal(frame_run(r, OUT, &s, 0), 0);
		s.proto = allowed[q].proto;
		assert_int_equal(frame_run(r, OUT, &s, 0), p == q ? 0 : BH_R_DEFAULT_DENY);
	}
}

static void test_rulesets_do_not_share(void **state)
{
	struct rig *r = fresh(state);

	assert_int_equal(tcp(r, OUT, WEB, 80), 0);
	r->slots[RIG_SLOT].side[0].ruleset[OUT] = 0;
	assert_int_equal(tcp(r, OUT, WEB, 80), BH_R_DEFAULT_DENY);
	r->slots[RIG_SLOT].side[0].ruleset[OUT] = RIG_RULES_OUT;
	assert_int_equal(tcp(r, OUT, WEB, 80), 0);
}

/* Who proves to be the node is exempt; that is nobody else's answer, and the other way round. */
static void test_the_node_is_asked_about_each_time(void **state)
{
	struct rig *r = fresh(state);
	struct spec s = node_syn;

	for (int i = 0; i < 3; i++) {
		s.sport++;
		assert_int_equal(frame_run(r, IN, &s, 0), 0);
		s.sport++;
		assert_int_equal(frame_run(r, IN, &s, RIG_OTHER_IF), BH_R_DEFAULT_DENY);
	}
}

/* Tables that are not whole may be so for the next packet. */
static void test_gaps_are_not_remembered(void **state)
{
	struct rig *r = fresh(state);
	struct bh_ruleset rs = {.portmap = BH_MAX_PORTMAPS};
	uint32_t id = RIG_RULES_SPARE;

	rig_put(r->pod->maps.ruleset, &id, &rs);
	rig_row(r, id, RIG_WEB, (struct bh_row){.allow = {0xe}});
	r->slots[RIG_SLOT].side[0].ruleset[OUT] = id;
	assert_int_equal(tcp(r, OUT, WEB, 80), BH_R_TABLE_INCOMPLETE);
	rs.portmap = RIG_PORTMAP;
	rig_put(r->pod->maps.ruleset, &id, &rs);
	assert_int_equal(tcp(r, OUT, WEB, 80), 0);
}

static void test_executables_are_asked_about_each_time(void **state)
{
	struct rig *r = fresh(state);
	struct bh_row open = {.allow = {2}};

	assert_int_equal(tcp(r, OUT, "10.0.0.14", 80), BH_R_PROCESS_UNKNOWN);
	rig_row(r, RIG_RULES_OUT, RIG_PROC, open);
	assert_int_equal(tcp(r, OUT, "10.0.0.14", 80), 0);
}

static void test_expiry_ends_answers(void **state)
{
	uint64_t end_ns, ms = 200;
	struct rig *r;
	int first;

	do { /* until the machine lets us send the packet before the end */
		r = fresh(state);
		end_ns = rules_end_in(r, ms);
		first = tcp(r, OUT, WEB, 80);
		ms *= 2;
	} while (now_ns() >= end_ns && ms < 60000);
	assert_int_equal(first, 0);
	wait_until(end_ns);
	assert_int_equal(tcp(r, OUT, WEB, 80), BH_R_EXPIRED);
}

static void test_a_watched_pod_is_not_opened(void **state)
{
	struct rig *r = fresh(state);

	set_shadow(r);
	assert_int_equal(tcp(r, OUT, WEB, 81), 0);
	r->slots[RIG_SLOT].flags = BH_SLOT_LIVE;
	assert_int_equal(tcp(r, OUT, WEB, 81), BH_R_DEFAULT_DENY);
	set_shadow(r);
	assert_int_equal(tcp(r, OUT, WEB, 81), 0);
}

/* ---- clock ---- */

static uint64_t last_edge_ns(struct rig *r)
{
	struct bh_edge e = {.last_ns = 0};

	assert_int_equal(rig_edges(r, BH_ALLOWED, BH_R_POLICY, NULL, &e), 1);
	return e.last_ns;
}

static uint64_t coarse_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* The packet's time is not after ours, and a few ticks before that of the last tick at most: on a
 * virtual machine whose other CPU is stopped, ticks come late. */
static void check_clock(struct rig *r)
{
	uint64_t before, last, after, slack = 3 * (uint64_t)rig_tick_ns();

	/* whoever disturbs us between the two readings makes the bound wider, not wrong */
	before = coarse_ns();
	assert_int_equal(tcp(r, OUT, WEB, 80), 0);
	after = now_ns();
	last = last_edge_ns(r);
	assert_true(last <= after);
	assert_true(last + slack >= before);
}

static void test_clock(void **state)
{
	struct rig *r = fresh(state);

	check_clock(r);
	assert_int_not_equal(r->cfg->clock_ns, 0);
	for (int i = 0; i < 50; i++) { /* across many ticks */
		usleep(2000);
		check_clock(r);
	}
	rig_purge(r);
	assert_int_equal(r->cfg->clock_ns, 0); /* measured again after a sweep */
	check_clock(r);
	assert_int_not_equal(r->cfg->clock_ns, 0);
}

static void test_clock_without_known_tick(void **state)
{
	struct rig *r = fresh(state);

	r->cfg->tick_ns = 0;
	check_clock(r);
	usleep(20000);
	check_clock(r);
	assert_int_equal(r->cfg->clock_ns, 0);
}

/* Each CPU remembers for itself. */
static int setup(void **state)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	return rows_setup(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_changes_no_answer),
		cmocka_unit_test(test_strangers_share_no_answer),
		cmocka_unit_test(test_half_an_answer_is_none),
		cmocka_unit_test(test_answers_end_with_the_epoch),
		cmocka_unit_test(test_rulesets_do_not_share),
		cmocka_unit_test(test_no_two_rulesets_share),
		cmocka_unit_test(test_protocols_do_not_share),
		cmocka_unit_test(test_the_node_is_asked_about_each_time),
		cmocka_unit_test(test_gaps_are_not_remembered),
		cmocka_unit_test(test_executables_are_asked_about_each_time),
		cmocka_unit_test(test_expiry_ends_answers),
		cmocka_unit_test(test_a_watched_pod_is_not_opened),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_clock_without_known_tick),
	};

	return cmocka_run_group_tests(tests, setup, rows_teardown);
}
