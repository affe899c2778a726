/* Looking things up in tables made by hand: what the kernel's programs do, step by step. */
#include "worldkit.h"

#include <netinet/in.h>

#define LONG_PATH 300

/* Ports: TCP and UDP 80 are class 1, TCP 443 is class 2; the rest is class 0. */
struct fixture {
	struct bh_tables t;
	struct bh_tclass classes[3];
	struct bh_tpeer peers[2];
	struct bh_tcidr cidrs[4];
	struct bh_tpage pages[3];
	struct bh_tportmap portmaps[2];
	struct bh_truleset rulesets[4];
	struct bh_trow rows[1];
	struct bh_tproc procs[3];
	char *exes[2];
	struct bh_tsubject subjects[2];
};

static void put_addresses(struct fixture *f)
{
	f->peers[0] = (struct bh_tpeer){.ip = wk_ip("10.0.0.1"), .class = 1};
	f->peers[1] = (struct bh_tpeer){.ip = wk_ip("fd00::1"), .class = 0, .is_node = true};
	f->cidrs[0] = (struct bh_tcidr){.cidr = wk_cidr("::/0"), .class = 2};
	f->cidrs[1] = (struct bh_tcidr){.cidr = wk_cidr("10.0.0.0/8"), .class = 2};
	f->cidrs[2] = (struct bh_tcidr){.cidr = wk_cidr("10.0.0.0/30"), .class = 0};
	f->cidrs[3] = (struct bh_tcidr){.cidr = wk_cidr("10.0.0.2/32"), .class = 1};
	f->t.classes = f->classes;
	f->t.n_classes = 3;
	f->t.peers = f->peers;
	f->t.n_peers = 2;
	f->t.cidrs = f->cidrs;
	f->t.n_cidrs = 4;
}

static void put_ports(struct fixture *f)
{
	f->pages[1].class[80] = 1;
	f->pages[2].class[443 - 256] = 2;
	f->portmaps[1].page[BH_PP_TCP][0] = 1;
	f->portmaps[1].page[BH_PP_TCP][1] = 2;
	f->portmaps[1].page[BH_PP_UDP][0] = 1;
	f->t.pages = f->pages;
	f->t.n_pages = 3;
	f->t.portmaps = f->portmaps;
	f->t.n_portmaps = 2;
}

/* 0 denies; 1 open; 2 has it all and ends at 100, 3 comes after it and then itself for ever. */
static void put_rulesets(struct fixture *f)
{
	struct bh_truleset *r = f->rulesets;

	for (int i = 0; i < 4; i++)
		r[i].until_s = INT64_MAX;
	r[1].flags = BH_RULESET_OPEN;
	r[1].dflt.allow[0] = 1;
	r[2].portmap = 1;
	r[2].dflt.allow[0] = 1 << 0 | 1 << 2;
	r[2].dflt.cond[0] = 1 << 1;
	r[2].until_s = 100;
	r[2].next = 3;
	f->rows[0] = (struct bh_trow){.class = 1, .row.cond[0] = 1 << 1, .row.deny[0] = 1 << 2};
	r[2].rows = f->rows;
	r[2].n_rows = 1;
	f->procs[0] = (struct bh_tproc){.class = 1, .port_class = 1, .exe = 3};
	f->procs[1] =
		(struct bh_tproc){.class = BH_CLASS_DEFAULT, .port_class = 1, .exe = BH_PROC_OTHER};
	f->procs[2] = (struct bh_tproc){.class = BH_CLASS_DEFAULT, .port_class = 1, .exe = 2};
	r[2].procs = f->procs;
	r[2].n_procs = 3;
	r[3].portmap = 1;
	r[3].until_s = 200;
	r[3].next = 3;
	r[3].dflt.allow[0] = 1 << 0;
	f->t.rulesets = r;
	f->t.n_rulesets = 4;
}

static void begin(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	put_addresses(f);
	put_ports(f);
	put_rulesets(f);
	f->exes[0] = (char *)"/bin/a";
	f->exes[1] = (char *)"/bin/b";
	f->t.exes = f->exes;
	f->t.n_exes = 2;
	f->subjects[0] = (struct bh_tsubject){.ns = "a", .name = "p", .ruleset = {2, 1}};
	f->subjects[1] = (struct bh_tsubject){.ns = "b", .name = "p"};
	f->t.subjects = f->subjects;
	f->t.n_subjects = 2;
}

static void test_class(void **state)
{
	static const struct {
		const char *ip;
		uint32_t class;
		bool is_node;
	} rows[] = {
		{"10.0.0.1", 1, false}, {"10.0.0.2", 1, false}, {"10.0.0.3", 0, false},
		{"10.0.0.4", 2, false}, {"11.0.0.0", 0, false}, /* not of ::/0 */
		{"fd00::1", 0, true},	{"fd00::2", 2, false},	{"::1", 2, false},
	};
	struct fixture f;

	(void)state;
	begin(&f);
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_ip ip = wk_ip(rows[i].ip);
		bool is_node;

		assert_int_equal(bh_tables_class(&f.t, &ip, &is_node), rows[i].class);
		assert_int_equal(is_node, rows[i].is_node);
	}
}

static void test_subject(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	assert_ptr_equal(bh_tables_subject(&f.t, "a", "p"), &f.subjects[0]);
	assert_ptr_equal(bh_tables_subject(&f.t, "b", "p"), &f.subjects[1]);
	assert_null(bh_tables_subject(&f.t, "b", "q"));
	f.t.n_subjects = 0;
	assert_null(bh_tables_subject(&f.t, "a", "p"));
}

struct question {
	enum bh_dir dir;
	const char *peer;
	uint8_t proto;
	uint16_t port;
	const char *exe;
	int64_t now_s;
};

static struct bh_tverdict ask(const struct fixture *f, const struct bh_tsubject *s,
			      const struct question *q)
{
	return bh_tables_ask(&f->t, &(struct bh_tquestion){s, q->dir, wk_ip(q->peer), q->proto,
							   q->port, q->exe, q->now_s});
}

static void test_decide(void **state)
{
	static char long_path[LONG_PATH + 1];
	const struct {
		struct question q;
		enum bh_reason want;
		bool is_conditional;
	} rows[] = {
		{{BH_INGRESS, "9.9.9.9", 6, 1, NULL, 0}, BH_R_DEFAULT_ALLOW, false},
		{{BH_EGRESS, "9.9.9.9", 6, 1, NULL, 0}, BH_R_POLICY, false},
		{{BH_EGRESS, "9.9.9.9", 1, 80, NULL, 0}, BH_R_POLICY, false}, /* ICMP: class 0 */
		{{BH_EGRESS, "9.9.9.9", 6, 443, NULL, 0}, BH_R_POLICY, false},
		{{BH_EGRESS, "9.9.9.9", IPPROTO_SCTP, 443, NULL, 0}, BH_R_POLICY, false},
		/* conditional cells of the default row */
		{{BH_EGRESS, "9.9.9.9", 6, 80, NULL, 0}, BH_R_PROCESS_UNKNOWN, true},
		{{BH_EGRESS, "9.9.9.9", 6, 80, "/bin/a", 0}, BH_R_POLICY, true},
		{{BH_EGRESS, "9.9.9.9", 17, 80, "/bin/b", 0}, BH_R_PROCESS, true},
		{{BH_EGRESS, "9.9.9.9", 6, 80, "/bin/c", 0}, BH_R_POLICY, true},
		{{BH_EGRESS, "9.9.9.9", 6, 80, long_path, 0}, BH_R_PROCESS_UNKNOWN, true},
		/* and of a row of its own */
		{{BH_EGRESS, "10.0.0.1", 6, 80, "/bin/a", 0}, BH_R_PROCESS, true},
		{{BH_EGRESS, "10.0.0.1", 6, 80, "/bin/b", 0}, BH_R_POLICY, true},
		{{BH_EGRESS, "10.0.0.1", 6, 80, "/bin/c", 0}, BH_R_PROCESS, true},
		{{BH_EGRESS, "10.0.0.1", 6, 443, NULL, 0}, BH_R_POLICY_DENY, false},
		{{BH_EGRESS, "10.0.0.1", 6, 1, NULL, 0}, BH_R_DEFAULT_DENY, false},
		/* time */
		{{BH_EGRESS, "9.9.9.9", 6, 443, NULL, 99}, BH_R_POLICY, false},
		{{BH_EGRESS, "9.9.9.9", 6, 443, NULL, 100}, BH_R_EXPIRED, false},
		{{BH_EGRESS, "9.9.9.9", 6, 80, "/bin/a", 100}, BH_R_EXPIRED, false},
		{{BH_EGRESS, "9.9.9.9", 6, 80, "/bin/b", 100}, BH_R_DEFAULT_DENY, false},
		{{BH_EGRESS, "9.9.9.9", 6, 1, NULL, 100}, BH_R_POLICY, false},
		{{BH_EGRESS, "10.0.0.1", 6, 443, NULL, 100}, BH_R_DEFAULT_DENY, false},
		/* a chain has an end, even a wrong one */
		{{BH_EGRESS, "9.9.9.9", 6, 443, NULL, 1000}, BH_R_EXPIRED, false},
	};
	struct fixture f;

	(void)state;
	begin(&f);
	memset(long_path, 'x', LONG_PATH);
	long_path[0] = '/';
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_tverdict v = ask(&f, &f.subjects[0], &rows[i].q);
		bool is_allowed = rows[i].want == BH_R_POLICY || rows[i].want == BH_R_DEFAULT_ALLOW;

		if (v.reason != rows[i].want || v.is_conditional != rows[i].is_conditional)
			fail_msg("row %zu: reason %d, conditional %d", i, v.reason,
				 v.is_conditional);
		assert_int_equal(v.verdict == BH_ALLOWED, is_allowed);
	}
	assert_int_equal(ask(&f, &f.subjects[1], &rows[0].q).reason, BH_R_DEFAULT_DENY);
}

static void test_print(void **state)
{
	static const char *const lines[] = {
		"peer 10.0.0.1 class 1\n",
		"peer fd00::1 class 0 node\n",
		"cidr 10.0.0.0/30 class 0\n",
		"  tcp 80-80 class 1\n",
		"  tcp 443-443 class 2\n",
		"  udp 80-80 class 1\n",
		"exe 1 /bin/b\n",
		" portmap 0 open\n",
		" until 100 then 3\n",
		"  default allow{0,2} cond{1} deny{}\n",
		"  class 1 allow{} cond{1} deny{2}\n",
		"  class 1 port class 1 by /bin/b\n",
		"  default port class 1 by others\n",
		"pod a/p egress 2 ingress 1\n",
	};
	struct fixture f;
	char *text;

	(void)state;
	begin(&f);
	f.rulesets[3].dflt.allow[0] = UINT64_MAX;
	f.rulesets[3].dflt.allow[1] = 3;
	text = bh_tables_print(&f.t);
	assert_non_null(text);
	for (size_t i = 0; i < BH_ARRAY_SIZE(lines); i++) {
		if (!strstr(text, lines[i]))
			fail_msg("'%s' is missing in:\n%s", lines[i], text);
	}
	assert_non_null(strstr(text, "allow{0-65} cond{}"));
	free(text);
}

static void test_nothing(void **state)
{
	struct bh_tables *none = NULL, empty = {.classes = NULL};
	struct bh_ip ip = wk_ip("::1");
	bool is_node = true;
	char *text;

	(void)state;
	bh_tables_free(NULL);
	bh_tables_freep(&none);
	assert_int_equal(bh_tables_class(&empty, &ip, &is_node), 0);
	assert_false(is_node);
	text = bh_tables_print(&empty);
	assert_string_equal(text, "");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_class),	cmocka_unit_test(test_subject),
		cmocka_unit_test(test_decide),	cmocka_unit_test(test_print),
		cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
