/* test_trace_dns.c - the program that sees questions for names, on made-up packets: what is kept,
 * what is refused, the quota, what is forgotten, the books. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "bh_test.h"
#include "bulkhead/trace.h"
#include "dns.skel.h"

#define SLOT	   3
#define GENERATION 7
#define L4	   34 /* behind Ethernet and IPv4 */
#define DNS	   (L4 + 8)
#define RANDOM	   20000

static struct dns_bpf *skel;
static uint8_t frame[600];

static int setup(void **state)
{
	struct bh_slot slot = {.flags = BH_SLOT_LIVE, .generation = GENERATION, .cookie = 99};
	uint32_t id = SLOT;
	struct bpf_map *map;

	(void)state;
	skel = dns_bpf__open();
	assert_non_null(skel);
	bpf_object__for_each_map(map, skel->obj) bpf_map__set_pin_path(map, NULL);
	assert_int_equal(dns_bpf__load(skel), 0);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(skel->maps.endpoint), &id, &slot, 0), 0);
	memset(frame, 0, sizeof(frame));
	frame[12] = 8; /* IPv4 */
	frame[14] = 0x45;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dns_bpf__destroy(skel);
	return 0;
}

/* The verdict is always the same: none of its business. */
static void run(size_t len, bool is_answer)
{
	struct __sk_buff ctx = {.cb = {SLOT, L4 | 17u << 16 | (is_answer ? 1u << 24 : 0)}};
	struct bpf_test_run_opts o = {.sz = sizeof(o),
				      .ctx_in = &ctx,
				      .ctx_size_in = sizeof(ctx),
				      .data_in = frame,
				      .data_size_in = (uint32_t)len};

	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(skel->progs.bh_dns), &o), 0);
	assert_int_equal((int)o.retval, -1);
}

/* Asks for a name given as it travels; returns the frame's length. */
static size_t question(const char *name, size_t len, uint8_t flags, uint8_t rcode)
{
	memset(frame + DNS, 0, sizeof(frame) - DNS);
	frame[DNS + 2] = flags;
	frame[DNS + 3] = rcode;
	frame[DNS + 5] = 1;
	memcpy(frame + DNS + 12, name, len);
	frame[DNS + 12 + len + 1] = 16; /* TXT */
	frame[DNS + 12 + len + 3] = 1;
	return DNS + 12 + len + 4;
}

#define ASK(name) run(question(name, sizeof(name), 1, 0), false)

static struct bh_trace_slot books(void)
{
	struct bh_trace_slot b;
	uint32_t id = SLOT;

	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(skel->maps.trace_slot), &id, &b), 0);
	assert_int_equal(b.seen, b.delivered + b.deduplicated + b.deferred + b.lost);
	return b;
}

static struct bh_trace_rate rate(void)
{
	struct bh_trace_rate r;
	uint32_t id = SLOT;

	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(skel->maps.trace_rate), &id, &r), 0);
	return r;
}

static int find(const char *name, struct bh_dns *ret)
{
	struct bh_dns_key key = {.slot = SLOT, .type = 16};

	memcpy(key.name, name, strlen(name));
	return bpf_map_lookup_elem(bpf_map__fd(skel->maps.trace_dns), &key, ret);
}

static uint32_t forget(uint64_t before_ns)
{
	struct bh_dns_forget_args args = {.before_ns = before_ns};
	struct bpf_test_run_opts o = {
		.sz = sizeof(o), .ctx_in = &args, .ctx_size_in = sizeof(args)};

	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(skel->progs.bh_dns_forget), &o), 0);
	return args.forgotten;
}

static void a_name_is_kept_once(void **state)
{
	struct bh_dns d;

	(void)state;
	ASK("\3www\7example\3org");
	ASK("\3WwW\7eXample\3ORG");
	assert_int_equal(find("\3www\7example\3org", &d), 0);
	assert_int_equal(d.questions, 2);
	assert_int_equal(d.name_len, 17);
	assert_false(d.flags & BH_TRACE_F_UNSENT);
	run(question("\3www\7example\3org", 17, 0x81, 3), true);
	run(question("\3www\7example\3org", 17, 0x81, 0), true);
	assert_int_equal(find("\3www\7example\3org", &d), 0);
	assert_int_equal(d.answers, 2);
	assert_int_equal(d.failures, 1);
	/* question, its repetition, the first answer */
	assert_int_equal(books().seen, 3);
	assert_int_equal(books().delivered, 2);
	/* an answer that nobody asked for */
	run(question("\1x", 3, 0x81, 0), true);
	assert_int_equal(books().seen, 3);
}

static void what_is_no_question_is_counted_apart(void **state)
{
	static const char label[64] =
		"\x3f"
		"012345678901234567890123456789012345678901234567890123456789012";
	char name[300];

	(void)state;
	run(DNS, false);			   /* nothing */
	run(DNS + 12, false);			   /* a header alone */
	run(question("\xc0\x0c", 2, 1, 0), false); /* compressed */
	run(question("\x40"
		     "abc",
		     5, 1, 0),
	    false);				    /* a label of 64 */
	run(question("\3abc", 5, 0x29, 0), false);  /* another operation */
	run(question("\3abc", 5, 0x81, 0), false);  /* an answer that the pod gives */
	run(question("\3abc", 5, 1, 0) - 4, false); /* cut */
	for (size_t i = 0; i < 4; i++)
		memcpy(name + i * 64, label, 64);
	name[256] = 0;
	run(question(name, 257, 1, 0), false); /* too long */
	assert_int_equal(rate().dns_odd, 8);
	assert_int_equal(rate().dns, 0);
	assert_int_equal(books().seen, 0);
	name[192] = 61;
	name[254] = 0;
	run(question(name, 255, 1, 0), false); /* the longest there is */
	assert_int_equal(rate().dns, 1);
	assert_int_equal(books().delivered, 1);
}

static void a_flood_stays_within_its_quota(void **state)
{
	struct bh_trace_slot b;
	char name[16];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		int n = snprintf(name, sizeof(name), "\5%05d", i);

		run(question(name, (size_t)n + 1, 1, 0), false);
	}
	b = books();
	assert_int_equal(b.seen, 1000);
	assert_int_equal(rate().names, BH_DNS_QUOTA);
	assert_true(b.overflow == 1000 - BH_DNS_QUOTA && b.lost > 0);
	assert_int_equal(forget(0), 0);
	assert_int_equal(forget(UINT64_MAX), BH_DNS_QUOTA);
	assert_int_equal(rate().names, 0);
	ASK("\3new");
	assert_int_equal(rate().names, 1);
}

static void a_former_tenants_names_go(void **state)
{
	struct bh_slot slot = {.flags = BH_SLOT_LIVE, .generation = GENERATION + 1, .cookie = 99};
	uint32_t id = SLOT;
	struct bh_dns d;

	(void)state;
	ASK("\3old");
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(skel->maps.endpoint), &id, &slot, 0), 0);
	ASK("\3own");
	assert_int_equal(rate().names, 1);
	assert_int_equal(forget(0), 1);
	assert_int_equal(find("\3old", &d), -ENOENT);
	assert_int_equal(find("\3own", &d), 0);
	assert_int_equal(rate().names, 1);
}

/* Random bytes, often with a sound header: nothing but names is kept, and the books balance. */
static void random_bytes_do_no_harm(void **state)
{
	(void)state;
	srandom(1);
	for (int i = 0; i < RANDOM; i++) {
		size_t len = DNS + (size_t)random() % 300;

		for (size_t k = DNS; k < len; k++)
			frame[k] = (uint8_t)(random() % (random() % 2 ? 256 : 8));
		if (i % 2 && len >= DNS + 12)
			memcpy(frame + DNS, "\0\0\1\0\0\1\0\0\0\0\0\0", 12);
		run(len, i % 5 == 0);
	}
	assert_true(rate().names <= BH_DNS_QUOTA);
	assert_true(books().seen > 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_name_is_kept_once),
		T(what_is_no_question_is_counted_apart),
		T(a_flood_stays_within_its_quota),
		T(a_former_tenants_names_go),
		T(random_bytes_do_no_harm),
	};

	if (geteuid() != 0) {
		puts("needs root");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
