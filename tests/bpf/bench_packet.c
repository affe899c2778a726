/* bench_packet.c - nanoseconds per packet under BPF_PROG_RUN, over an empty program. Not a test.
 *
 * Usage: bench_packet [ROUNDS], 10 to 1000. */
#include <stddef.h>

#include <bpf/bpf.h>

#include "rows.h"

#define REPEAT	   1000
#define MAX_ROUNDS 1000

static int rounds = MAX_ROUNDS;

static int empty_prog(void)
{
	struct bpf_insn insn[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = -1},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "empty", "GPL", insn, 2, NULL);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static uint32_t time_run(int fd, enum bh_dir dir, const struct spec *s, int repeat)
{
	struct __sk_buff ctx = {.ifindex = RIG_IFINDEX,
				.ingress_ifindex = dir == IN ? RIG_OTHER_IF : 0};
	static struct frame f;
	struct bpf_test_run_opts o = {
		.sz = sizeof(o), .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = repeat};

	frame_build(&f, dir, s);
	o.data_in = f.b;
	o.data_size_in = f.n;
	if (bpf_prog_test_run_opts(fd, &o))
		abort();
	return o.duration;
}

/* The fastest of many short runs: what the machine does when nobody disturbs it. */
static uint32_t time_of(int fd, enum bh_dir dir, const struct spec *s)
{
	uint32_t v[MAX_ROUNDS];

	for (int i = 0; i < rounds; i++)
		v[i] = time_run(fd, dir, s, REPEAT);
	qsort(v, (size_t)rounds, sizeof(v[0]), compare);
	return v[0];
}

/* A program that gives the packet a random source port and then runs the one under test, so that
 * every packet opens a flow of its own. config: -1, or the map; then its epoch moves on by two, so
 * that no answer given before counts. */
static int port_changer(int target, int config)
{
	uint32_t zero = 0;
	int map = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "target", 4, 4, 1, NULL);
	struct bpf_insn insn[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 1},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_prandom_u32},
		{.code = BPF_STX | BPF_MEM | BPF_H, .dst_reg = 10, .src_reg = 0, .off = -8},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 6},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .imm = 34},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 3, .src_reg = 10},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 3, .imm = -8},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 4, .imm = 2},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 5, .imm = 0},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_skb_store_bytes},
		{.code = BPF_LD | BPF_DW | BPF_IMM,
		 .dst_reg = 1,
		 .src_reg = BPF_PSEUDO_MAP_VALUE,
		 .imm = config},
		{.imm = offsetof(struct bh_config, epoch)},
		{.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 2, .imm = 2},
		{.code = BPF_STX | BPF_MEM | BPF_W, .dst_reg = 1, .src_reg = 2},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 6},
		{.code = BPF_LD | BPF_DW | BPF_IMM,
		 .dst_reg = 2,
		 .src_reg = BPF_PSEUDO_MAP_FD,
		 .imm = map},
		{.code = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = 0},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_tail_call},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0},
		{.code = BPF_JMP | BPF_EXIT},
	};

	for (int i = 10; config < 0 && i < 15; i++)
		insn[i] = (struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 1};
	if (bpf_map_update_elem(map, &zero, &target, BPF_ANY))
		abort();
	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "ports", "GPL", insn,
			     sizeof(insn) / sizeof(insn[0]), NULL);
}

static uint32_t time_inserts(struct rig *r, int fd)
{
	uint32_t v[MAX_ROUNDS];

	for (int i = 0; i < rounds; i++) {
		rig_purge(r);
		time_run(fd, OUT, &syn, 1); /* the edge is there, as it is for most connections */
		v[i] = time_run(fd, OUT, &syn, REPEAT);
	}
	qsort(v, (size_t)rounds, sizeof(v[0]), compare);
	return v[rounds / 10];
}

/* Microseconds for one sweep that finds nothing idle; it runs every five seconds. */
static void report_sweep(struct rig *r)
{
	struct bh_sweep_args a = {.all = 0};
	struct timespec t[2];
	int n = rig_flows(r, NULL, NULL);

	clock_gettime(CLOCK_MONOTONIC, &t[0]);
	rig_run(r->pod->progs.bh_sweep, &a, sizeof(a));
	clock_gettime(CLOCK_MONOTONIC, &t[1]);
	printf("sweep over %d flows: %ld us\n", n,
	       (t[1].tv_sec - t[0].tv_sec) * 1000000 + (t[1].tv_nsec - t[0].tv_nsec) / 1000);
}

static void report(const char *what, uint32_t ns, uint32_t empty)
{
	printf("%-28s %4u ns over an empty program\n", what, ns - empty);
}

int main(int argc, char **argv)
{
	static const struct spec far6 = {TCP(POD_6, "fd00::77", 1, 80, F_SYN)};
	static const struct spec deny = {TCP(POD, FAR, 1, 80, F_SYN)};
	static const struct spec port = {TCP(POD, WEB, 1, 81, F_SYN)};
	static const struct spec ack = {TCP(POD, WEB, 1000, 80, F_ACK), .payload = 64};
	static const struct spec ack_in = {TCP(WEB, POD, 80, 1000, F_ACK), .payload = 64};
	int empty = empty_prog(), from, to, config;
	struct rig *r;
	uint32_t e;

	if (argc > 1)
		rounds = (int)strtol(argv[1], NULL, 10);
	if (rounds < 10 || rounds > MAX_ROUNDS)
		return 2;
	rig_netns();
	r = rig_open();
	r->slots[RIG_SLOT].flow_quota = r->slots[RIG_SLOT].edge_quota = 1000000;
	from = bpf_program__fd(r->pod->progs.bh_from_pod);
	to = bpf_program__fd(r->pod->progs.bh_to_pod);
	e = time_of(empty, OUT, &syn);
	printf("empty program %u ns\n", e);
	time_run(from, OUT, &syn, 1);
	time_run(to, IN, &synack, 1);
	report("established TCP out", time_of(from, OUT, &ack), e);
	report("established TCP in", time_of(to, IN, &ack_in), e);
	time_run(from, OUT, &udp6_out, 1);
	report("established UDP 6 out", time_of(from, OUT, &udp6_out), e);
	report("new denied, no such peer", time_of(from, OUT, &deny), e);
	report("new denied, port", time_of(from, OUT, &port), e);
	report("new denied, no such peer 6", time_of(from, OUT, &far6), e);
	r->cfg->has_cidrs[0] = 0;
	report("new denied, no prefixes", time_of(from, OUT, &deny), e);
	report("SYN again, flow renewed", time_of(from, OUT, &syn), e);
	r->cfg->has_cidrs[0] = 1;
	report("new allowed, flow inserted", time_inserts(r, port_changer(from, -1)),
	       time_of(port_changer(empty, -1), OUT, &syn));
	/* a first contact under these tables */
	config = bpf_map__fd(r->pod->maps.config);
	e = time_of(port_changer(empty, config), OUT, &syn);
	report("first denied, no such peer", time_of(port_changer(from, config), OUT, &deny), e);
	report("first denied, port", time_of(port_changer(from, config), OUT, &port), e);
	report("first allowed", time_inserts(r, port_changer(from, config)), e);
	report_sweep(r);
	time_run(port_changer(from, -1), OUT, &syn, 1000000);
	report_sweep(r);
	rig_close(r);
	return 0;
}
