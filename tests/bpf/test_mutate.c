/* test_mutate.c - the BPF parser against refparse.h, over frames that are honest but for a few
 * bytes. The seed is fixed; the time is bounded. */
#include "refparse.h"
#include "rows.h"

#define RUNS	  200000
#define SECONDS	  40
#define ENOUGH	  25000 /* frames that are sent however long they take */
#define SEED	  0x5eed1234u
#define MAX_FRAME 600

static uint32_t rng_state = SEED;

static uint32_t rng(uint32_t below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 17;
	rng_state ^= rng_state << 5;
	return rng_state % below;
}

#define HOP8 "000000000000"

static const struct spec outs[] = {
	{TCP(POD, WEB, 1000, 80, F_SYN)},
	{TCP(POD, WEB, 1000, 80, F_ACK), .payload = 40, .pad = 6},
	{TCP(POD, WEB, 1000, 80, F_SYN), .ip_opt = "0707040000000000"},
	{TCP(POD, WEB, 1000, 80, F_SYN), .ip_opt = "018307040a000001"},
	{UDP(POD, WEB, 1000, 53), .payload = 20},
	{UDP(POD, WEB, 1000, 53), .more = 1, .frag_id = 3, .payload = 24},
	{UDP(POD, WEB, 1000, 53), .frag_off = 64, .frag_id = 3, .payload = 24},
	{SCTP(POD, WEB, 1000, 99), .payload = 4},
	{ICMP(POD, PAL, 8), .id = 7},
	{ICMP(POD, PAL, 0), .id = 7},
	{ICMP(POD, PAL, 13)},
	{ICMP(POD, WEB, 3), .quote = &udp_in},
	{RAW(POD, PAL, 47)},
	{TCP(POD_6, WEB_6, 1000, 80, F_SYN)},
	{UDP(POD_6, WEB_6, 1000, 53), .payload = 20},
	{UDP(POD_6, WEB_6, 1000, 53), .payload = 24, .ext_first = 44, .ext = "1100000100000003"},
	{UDP(POD_6, WEB_6, 1000, 53), .payload = 24, .ext_first = 44, .ext = "1100004000000003"},
	{TCP(POD_6, WEB_6, 1, 80, F_SYN), .ext_first = 0,
	 .ext = "3c00" HOP8 "3300" HOP8 "06040000000000000000000000000000000000000000000000"},
	{TCP(POD_6, WEB_6, 1, 80, F_SYN), .ext_first = 60,
	 .ext = "2b00" HOP8 "06000200"
		"00000000"},
	{ICMP6(POD_6, PAL_6, 128), .id = 7},
	{ICMP6(POD_6, PAL_6, 1), .quote = &udp6_out},
	{ICMP6(POD_6, "ff02::1:ff00:10", 135), .ttl = 255,
	 .body = "8700000000000000fd000000000000000000000000000010"
		 "0101020000000002"},
	{ICMP6(POD_6, PAL_6, 136), .ttl = 255,
	 .body = "8800000060000000fd000000000000000000000000000002"
		 "0201020000000002"},
	{ICMP6("fe80::2", "ff02::2", 133), .ttl = 255, .body = "85000000000000000101020000000002"},
	{.ethertype = 0x0806,
	 .body = "0001080006040001"
		 "0200000000020a0000020000000000000a000001"},
};

static const struct spec ins[] = {
	{TCP(WEB, POD, 1000, 80, F_SYN)},
	{TCP(WEB, POD, 80, 1000, F_SYN | F_ACK), .payload = 3},
	{UDP(WEB, POD, 1000, 53), .ip_opt = "01010100"},
	{UDP(WEB, POD, 1000, 53), .frag_off = 64, .frag_id = 3, .payload = 24},
	{ICMP(PAL, POD, 0), .id = 7},
	{ICMP(FAR, POD, 3), .quote = &udp_out},
	{TCP(WEB_6, POD_6, 1000, 80, F_SYN)},
	{UDP(WEB_6, POD_6, 1000, 53), .ext_first = 60, .ext = "1100" HOP8},
	{ICMP6(PAL_6, POD_6, 2), .quote = &udp6_out},
	{ICMP6("fe80::1", "ff02::1:ff00:2", 135), .ttl = 255, .broadcast = 1,
	 .body = "8700000000000000fd000000000000000000000000000002"},
	{ICMP6("fe80::1", "ff02::1", 134), .ttl = 255, .broadcast = 1,
	 .body = "86000000400000000000000000000000"},
	{.ethertype = 0x0806,
	 .broadcast = 1,
	 .body = "0001080006040001"
		 "0200000000010a0000010000000000000a000002"},
};

static const uint8_t likely_bytes[] = {0,    1,	   2,	 4,    5,    6,	   8,	 17,   20,   43,
				       44,   50,   51,	 58,   59,   60,   0x1f, 0x20, 0x3f, 0x40,
				       0x45, 0x46, 0x4f, 0x60, 0x7f, 0x80, 0x86, 0x87, 0x88, 0x89,
				       131,  132,  135,	 137,  139,  140,  0xfe, 0xff};

static void mutate(struct frame *f)
{
	uint32_t n = rng(4);

	while (n--) {
		uint32_t at = rng(4) ? 12 + rng(60) : rng(f->n);

		if (at >= f->n)
			continue;
		switch (rng(3)) {
		case 0:
			f->b[at] = likely_bytes[rng(sizeof(likely_bytes))];
			break;
		case 1:
			f->b[at] ^= 1u << rng(8);
			break;
		default:
			f->b[at] += rng(9) - 4;
			break;
		}
	}
	switch (rng(12)) {
	case 0:
		f->n = 15 + rng(f->n - 14);
		break;
	case 1:
		memset(f->b + f->n, rng(256), 64);
		f->n += 1 + rng(64);
		break;
	default:
		break;
	}
}

struct outcome {
	bool was_run;
	int reason; /* 0: passed */
	bool has_flow;
	struct bh_flow_key key;
};

static struct outcome run_frame(struct rig *r, enum bh_dir dir, const struct frame *f)
{
	struct __sk_buff ctx = {.ifindex = RIG_IFINDEX,
				.ingress_ifindex = dir == IN ? RIG_OTHER_IF : 0};
	static uint64_t last[BH_R_COUNT], now[BH_R_COUNT];
	struct bpf_test_run_opts o = {.sz = sizeof(o),
				      .data_in = f->b,
				      .data_size_in = f->n,
				      .ctx_in = &ctx,
				      .ctx_size_in = sizeof(ctx)};
	struct outcome res = {.was_run = true};
	struct bpf_program *p = dir == OUT ? r->pod->progs.bh_from_pod : r->pod->progs.bh_to_pod;
	int fd = rig_fd(r->pod->maps.flow);
	struct bh_frag_key frag;

	if (bpf_prog_test_run_opts(bpf_program__fd(p), &o)) {
		res.was_run = false; /* the kernel makes no such skb */
		return res;
	}
	if ((int)o.retval != -1) {
		rig_drops(r, now);
		for (int i = 0; i < BH_R_COUNT; i++)
			if (now[i] != last[i])
				res.reason = i;
		memcpy(last, now, sizeof(last));
		assert_int_not_equal(res.reason, 0);
	}
	if (bpf_map_get_next_key(fd, NULL, &res.key) == 0) {
		res.has_flow = true;
		bpf_map_delete_elem(fd, &res.key);
	}
	/* nor may a fragment meet another round's */
	fd = rig_fd(r->pod->maps.frag);
	while (bpf_map_get_next_key(fd, NULL, &frag) == 0)
		bpf_map_delete_elem(fd, &frag);
	return res;
}

static bool agrees(const struct ref_result *want, const struct outcome *got)
{
	struct bh_flow_key key = want->key;

	switch (want->kind) {
	case REF_DROP:
		return got->reason == want->reason && !got->has_flow;
	case REF_NEIGHBOUR:
		return got->reason == 0 && !got->has_flow;
	case REF_ERROR: /* there are no flows that it could be about */
		return got->reason == BH_R_ICMP_ORPHAN && !got->has_flow;
	case REF_LATER:
		return got->reason == 0 || got->reason == BH_R_FRAGMENT_ORPHAN ||
		       got->reason == BH_R_SPOOFED_IP;
	case REF_TUPLE:
		break;
	}
	key.slot = RIG_SLOT;
	return got->reason == 0 && got->has_flow && memcmp(&key, &got->key, sizeof(key)) == 0;
}

static void show(const struct frame *f, const struct ref_result *want, const struct outcome *got)
{
	print_message("want kind %d %s, got %s flow %d\n", want->kind, rig_reason(want->reason),
		      got->reason ? rig_reason(got->reason) : "pass", got->has_flow);
	for (size_t i = 0; i < f->n; i++)
		print_message("%02x", f->b[i]);
	print_message("\n");
}

static void ref_world_init(struct ref_world *w)
{
	w->mac = rig_mac;
	rig_addr(POD, w->own[0]);
	rig_addr(POD2, w->own[1]);
	rig_addr(POD_6, w->own[2]);
	rig_addr("fd00::3", w->own[3]);
}

/* Everything that can be parsed passes: watched only, and no quota in the way. */
static void open_wide(struct rig *r)
{
	reset(r);
	set_open(r);
	flag(r, BH_SLOT_SHADOW);
	r->slots[RIG_SLOT].flow_quota = 0xffffffff;
	r->slots[RIG_SLOT].edge_quota = 100;
}

static void test_parsers_agree(void **state)
{
	uint64_t kinds[5] = {0};
	struct rig *r = *state;
	struct ref_world w;
	time_t end = time(NULL) + SECONDS;
	int failed = 0;
	int i;

	open_wide(r);
	ref_world_init(&w);
	for (i = 0; i < RUNS && failed < 5 && (i < ENOUGH || time(NULL) < end); i++) {
		enum bh_dir dir = rng(2) ? OUT : IN;
		static struct frame f;
		struct ref_result want;
		struct outcome got;

		frame_build(&f, dir,
			    dir == OUT ? &outs[rng(BH_ARRAY_SIZE(outs))]
				       : &ins[rng(BH_ARRAY_SIZE(ins))]);
		mutate(&f);
		got = run_frame(r, dir, &f);
		if (!got.was_run)
			continue;
		want = ref_parse(&w, f.b, f.n, dir);
		kinds[want.kind]++;
		if (!agrees(&want, &got)) {
			failed++;
			show(&f, &want, &got);
		}
	}
	print_message(
		"%d frames: %lu drops, %lu neighbour, %lu tuples, %lu fragments, %lu errors\n", i,
		kinds[0], kinds[1], kinds[2], kinds[3], kinds[4]);
	assert_int_equal(failed, 0);
	assert_true(i >= ENOUGH);
	for (int k = 0; k < 5; k++)
		assert_true(kinds[k] > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parsers_agree),
	};

	return cmocka_run_group_tests(tests, rows_setup, rows_teardown);
}
