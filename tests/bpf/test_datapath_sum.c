/* test_datapath_pick.c - one slot's flows and edges out of many: what the kernel's programs pick
 * and add up is what a walk over everything finds. */
#include "dp_env.h"

#include <bpf/bpf.h>

#include "datapath/private.h"
#include "sum.skel.h"

#define GENERATION 7
#define SLOT	   100	/* no interface's, so that nobody else counts in them: this and two more */
#define FLOWS	   3000 /* of all slots; more of one than a read holds */
#define EDGES	   900
#define NOW	   bh_datapath_now_ns()

static uint64_t state_;

static uint32_t any(uint32_t below)
{
	state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(state_ >> 33) % below;
}

/* The first slot has most, the second some, the third nothing. */
static uint16_t any_slot(void)
{
	return any(4) ? SLOT : SLOT + 1;
}

static void put_flow(struct dp_env *e, uint32_t i)
{
	struct bh_flow_key key = {.slot = any_slot(), .proto = 6, .lport = 80};
	struct bh_flow value = {
		.first_ns = NOW,
		.last_ns = NOW,
		.packets = any(100),
		.bytes = any(10000),
		.epoch = 2,
		.generation = GENERATION - (any(10) == 0),
		.dir = (uint8_t)any(2),
		.flags = BH_FLOW_REPLIED,
		.reason = BH_R_POLICY,
	};

	memcpy(key.remote, &i, sizeof(i));
	key.rport = (uint16_t)any(50);
	assert_int_equal(bpf_map_update_elem(e->dp->map[BH_M_FLOW].fd, &key, &value, BPF_ANY), 0);
}

static void put_edge(struct dp_env *e, uint32_t i)
{
	struct bh_edge_key key = {.slot = any_slot(), .proto = 6, .verdict = (uint8_t)any(2)};
	struct bh_edge value = {.first_ns = NOW,
				.last_ns = NOW,
				.packets = any(100),
				.bytes = any(10000),
				.generation = GENERATION};

	memcpy(key.remote, &i, sizeof(i));
	key.port = (uint16_t)any(50);
	key.reason = key.verdict ? BH_R_POLICY : BH_R_DEFAULT_DENY;
	assert_int_equal(bpf_map_update_elem(e->dp->map[BH_M_EDGE].fd, &key, &value, BPF_ANY), 0);
}

/* claimed: how many flows the slots are said to have. */
static void fill(struct dp_env *e, uint64_t seed, uint32_t claimed)
{
	struct bh_usage usage = {.flows = claimed};

	state_ = seed;
	for (uint32_t slot = SLOT; slot < SLOT + 3; slot++)
		e->dp->slot[slot] =
			(struct bh_slot){.flags = BH_SLOT_LIVE, .generation = GENERATION};
	for (uint32_t i = 0; i < FLOWS; i++)
		put_flow(e, i % (FLOWS / 2) + 1);
	for (uint32_t i = 0; i < EDGES; i++)
		put_edge(e, i + 1);
	for (uint32_t slot = SLOT; slot < SLOT + 2; slot++)
		assert_int_equal(
			bpf_map_update_elem(e->dp->map[BH_M_USAGE].fd, &slot, &usage, BPF_ANY), 0);
}

struct facts {
	uint32_t slot;
	uint64_t n, live_flows, hash; /* hash: whatever the order */
	uint64_t packets, last_ns;    /* allowed */
};

static uint64_t hash_of(const struct bh_edge_fact *f)
{
	const unsigned char *b = (const unsigned char *)f;
	uint64_t h = 14695981039346656037ull;

	for (size_t i = 0; i < sizeof(f->key) + sizeof(f->value); i++)
		h = (h ^ b[i]) * 1099511628211ull;
	return h;
}

static int add_fact(const struct bh_edge_fact *f, void *arg)
{
	struct facts *x = arg;

	if (f->key.slot != x->slot)
		return 0;
	x->n++;
	x->live_flows += f->live_flows;
	x->hash += hash_of(f);
	if (f->key.verdict != BH_ALLOWED)
		return 0;
	x->packets += f->value.packets;
	if (f->value.last_ns > x->last_ns)
		x->last_ns = f->value.last_ns;
	return 0;
}

static struct facts read_facts(struct dp_env *e, uint32_t slot, bool is_whole)
{
	struct facts x = {.slot = slot};
	struct bh_err err;

	bh_assert_ok(&err, bh_datapath_edges(e->dp, is_whole ? 0 : slot, add_fact, &x, &err));
	return x;
}

static void compare(struct dp_env *e, uint32_t slot)
{
	struct facts whole = read_facts(e, slot, true), picked = read_facts(e, slot, false);
	uint64_t last_ns = 1, packets = 1;
	struct bh_err err;

	assert_int_equal(picked.n, whole.n);
	assert_int_equal(picked.live_flows, whole.live_flows);
	assert_int_equal(picked.hash, whole.hash);
	bh_assert_ok(&err, bh_datapath_last_passed(e->dp, slot, &last_ns, &packets, &err));
	assert_int_equal(packets, whole.packets);
	assert_int_equal(last_ns, whole.last_ns);
	assert_int_equal(whole.n > 0, slot < SLOT + 2);
}

static void the_walk_adds_up_what_is_told(void **state)
{
	struct dp_env *e = *state;

	fill(e, 1, 1);
	for (uint32_t slot = SLOT; slot < SLOT + 3; slot++)
		compare(e, slot);
}

static void the_kernel_adds_up_what_is_told(void **state)
{
	struct dp_env *e = *state;
	struct sum_bpf__bss vars;
	uint32_t zero = 0;

	fill(e, 2, 100000);
	for (uint32_t slot = SLOT; slot < SLOT + 2; slot++) {
		compare(e, slot);
		assert_int_equal(bpf_map_lookup_elem(e->dp->sum_target_fd, &zero, &vars), 0);
		assert_int_equal(vars.sum_slot, slot); /* it was the program */
		assert_true(vars.sum_packets > 0);
	}
	compare(e, SLOT + 2);
}

static void without_the_program_the_walk_does(void **state)
{
	struct dp_env *e = *state;

	bh_closep(&e->dp->sum_target_fd);
	fill(e, 3, 100000);
	for (uint32_t slot = SLOT; slot < SLOT + 3; slot++)
		compare(e, slot);
}

static int stop(const struct bh_edge_fact *f, void *arg)
{
	(void)f;
	++*(unsigned *)arg;
	return 5;
}

static void ends_when_it_is_told_to(void **state)
{
	struct dp_env *e = *state;
	uint64_t last_ns, packets;
	struct bh_err err;
	unsigned n = 0;

	fill(e, 4, 1);
	assert_int_equal(bh_datapath_edges(e->dp, SLOT, stop, &n, &err), 5);
	assert_int_equal(n, 1);
	bh_assert_fails(&err, -EINVAL, "slot 0",
			bh_datapath_last_passed(e->dp, 0, &last_ns, &packets, &err));
	bh_assert_fails(&err, -EINVAL, "slot 4096",
			bh_datapath_last_passed(e->dp, BH_MAX_SLOTS, &last_ns, &packets, &err));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, dp_setup, dp_teardown)
	const struct CMUnitTest tests[] = {
		T(the_walk_adds_up_what_is_told),
		T(the_kernel_adds_up_what_is_told),
		T(without_the_program_the_walk_does),
		T(ends_when_it_is_told_to),
	};

	if (!dp_isolate()) {
		puts("needs root");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
