/* test_race.c - two CPUs on the same few flows while policy changes under them: every packet is
 * counted once, and the number of entries is known to the end. */
#include <pthread.h>

#include "rows.h"

#define TUPLES 64
#define BURSTS 1500
#define REPEAT 40

struct worker {
	struct rig *r;
	uint32_t seed;
	uint64_t sent;
};

static uint32_t next(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* A burst of one packet, either direction, of one of the connections. Policy moves between allowed
 * and allowed for another reason. */
static void burst(struct worker *w)
{
	struct spec udp_o = {UDP(POD, WEB, 0, 53)}, udp_i = {UDP(WEB, POD, 53, 0)};
	struct spec tcp_o = {TCP(POD, WEB, 0, 80, F_SYN)};
	uint32_t kind = next(&w->seed) % 3;
	enum bh_dir dir = kind == 1 ? IN : OUT;
	struct spec *s = kind == 0 ? &udp_o : kind == 1 ? &udp_i : &tcp_o;
	struct __sk_buff ctx = {.ifindex = RIG_IFINDEX,
				.ingress_ifindex = dir == IN ? RIG_OTHER_IF : 0};
	struct bpf_program *p =
		dir == OUT ? w->r->pod->progs.bh_from_pod : w->r->pod->progs.bh_to_pod;
	struct bpf_test_run_opts o = {
		.sz = sizeof(o), .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = REPEAT};
	struct frame f;

	udp_o.sport = udp_i.dport = tcp_o.sport = 1000 + next(&w->seed) % TUPLES;
	frame_build(&f, dir, s);
	o.data_in = f.b;
	o.data_size_in = f.n;
	if (bpf_prog_test_run_opts(bpf_program__fd(p), &o))
		abort();
	w->sent += REPEAT;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (int i = 0; i < BURSTS; i++)
		burst(w);
	return NULL;
}

/* Allowed by a rule on one side, by the open default on the other; in both directions, so that a
 * reply passes also when it comes first. */
static void prepare(struct rig *r)
{
	struct bh_ruleset rs = {.flags = BH_RULESET_OPEN};
	uint32_t id = RIG_RULES_SPARE, all = 4;
	struct bh_ruleset any = {.dflt.allow = {~0ULL, ~0ULL, ~0ULL, ~0ULL}};

	reset(r);
	rig_put(r->pod->maps.ruleset, &id, &rs);
	rig_put(r->pod->maps.ruleset, &all, &any);
	for (int dir = 0; dir < 2; dir++) {
		r->slots[RIG_SLOT].side[0].ruleset[dir] = all;
		r->slots[RIG_SLOT].side[1].ruleset[dir] = id;
	}
	r->slots[RIG_SLOT].flow_quota = TUPLES; /* some are refused: TCP passes without an entry */
}

static uint64_t counted(struct rig *r)
{
	struct bh_edge_key key, *prev = NULL;
	uint64_t n = 0;
	struct bh_edge e;
	int fd = rig_fd(r->pod->maps.edge);

	while (bpf_map_get_next_key(fd, prev, &key) == 0) {
		prev = &key;
		assert_int_equal(bpf_map_lookup_elem(fd, &key, &e), 0);
		n += e.packets;
	}
	return n;
}

static void test_counters_are_exact(void **state)
{
	struct bh_sweep_args idle = {.all = 0}, all = {.all = 1};
	struct worker w[2] = {{.r = *state, .seed = 7}, {.r = *state, .seed = 77}};
	struct rig *r = *state;
	pthread_t t[2];

	prepare(r);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, work, &w[i]), 0);
	for (int i = 0; i < 400; i++) {
		__atomic_fetch_add(&r->cfg->epoch, 1, __ATOMIC_SEQ_CST);
		rig_run(r->pod->progs.bh_sweep, &idle, sizeof(idle));
		usleep(500);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(rig_usage(r).flows, rig_flows(r, NULL, NULL));
	assert_true(rig_usage(r).flows > 0 && rig_usage(r).flows <= TUPLES);
	assert_int_equal(rig_run(r->pod->progs.bh_sweep, &all, sizeof(all)), 0);
	assert_int_equal(rig_usage(r).flows, 0);
	/* what was refused for want of room has an edge too */
	assert_int_equal(counted(r), w[0].sent + w[1].sent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counters_are_exact),
	};

	return cmocka_run_group_tests(tests, rows_setup, rows_teardown);
}
