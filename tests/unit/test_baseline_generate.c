/* What is written from a baseline admits all of it, says what else, and never half of it. */
#include "bh_test.h"

#include <errno.h>

#include "base/own.h"
#include "detect/generate.h"

static const struct bh_subject web = {.ns = "shop",
				      .owner_kind = "Deployment",
				      .owner = "web",
				      .container = "web",
				      .image_digest = "sha256:11"};
static struct bh_label own[] = {{"app", "web"}}, db[] = {{"app", "db"}},
		       dns[] = {{"k8s-app", "dns"}},
		       front[] = {{"app", "front"}, {"tier", "a b\"c"}};
static const struct bh_gen_peer peers[] = {
	{"shop/StatefulSet/db", "shop", {db, 1}},
	{"kube-system/Deployment/coredns", "kube-system", {dns, 1}},
	{"shop/Deployment/front", "shop", {front, 1}},
};

struct fact {
	enum bh_base_kind kind;
	const char *text;
};

static struct bh_baseline *learn(const struct fact *facts, size_t n)
{
	const struct bh_base_options endless = {.min_units = 100000};
	struct bh_baseline *b = NULL;
	struct bh_err err;
	uint64_t pod;
	size_t i;

	bh_assert_ok(&err, bh_baseline_new(&web, &endless, &b, &err));
	for (pod = 1; pod <= 2; pod++) {
		for (i = 0; i < n; i++) {
			const struct bh_base_sighting s = {.pod_id = pod, .ts_ns = 1};

			assert_int_equal(bh_baseline_see(b, facts[i].kind, facts[i].text, &s), 0);
		}
	}
	return b;
}

static struct bh_gen_input input(const struct bh_baseline *b)
{
	return (struct bh_gen_input){
		.baseline = b, .labels = {own, 1}, .peers = peers, .n_peers = BH_ARRAY_SIZE(peers)};
}

static void test_network(void **state)
{
	static const struct fact facts[] = {
		{BH_BASE_EDGE, "out TCP 5432 pod shop/StatefulSet/db"},
		{BH_BASE_EDGE, "out UDP 53 pod kube-system/Deployment/coredns"},
		{BH_BASE_EDGE, "out TCP 53 pod kube-system/Deployment/coredns"},
		{BH_BASE_EDGE, "out TCP 443 ip 198.51.100.7"},
		{BH_BASE_EDGE, "out TCP 443 ip 2001:db8::7"},
		{BH_BASE_EDGE, "in TCP 80 pod shop/Deployment/front"},
		{BH_BASE_EDGE, "in TCP 8080 outside"},
		{BH_BASE_EDGE, "in TCP 8081 node"},
	};
	BH_CLEANUP(bh_baseline_freep)
	struct bh_baseline *b = learn(facts, BH_ARRAY_SIZE(facts));
	BH_CLEANUP(bh_str_done) struct bh_str out = {0};
	struct bh_gen_input in = input(b);
	struct bh_gen_report report;
	struct bh_err err;

	(void)state;
	bh_assert_ok(&err, bh_generate_network(&in, &out, &report, &err));
	assert_int_equal(report.observed, 8);
	assert_int_equal(report.admitted, 8);
	assert_true(report.asked > 0);
	/* port 8080 is open to every address, so to the three workloads too; nothing else is */
	assert_int_equal(report.slack, 3);
	assert_non_null(strstr(out.s, "cidr: \"198.51.100.7/32\""));
	assert_null(strstr(out.s, "8081"));
	in.n_peers = 1;
	bh_str_done(&out);
	bh_assert_fails(&err, -ENOENT, "labels", bh_generate_network(&in, &out, &report, &err));
}

static void test_network_without_ports(void **state)
{
	static const struct fact facts[] = {
		{BH_BASE_EDGE, "out ICMP 8 pod shop/StatefulSet/db"},
	};
	BH_CLEANUP(bh_baseline_freep)
	struct bh_baseline *b = learn(facts, 1), *none = learn(NULL, 0);
	BH_CLEANUP(bh_str_done) struct bh_str out = {0}, empty = {0};
	struct bh_gen_input in = input(b);
	struct bh_gen_report report;
	struct bh_err err;

	(void)state;
	bh_assert_ok(&err, bh_generate_network(&in, &out, &report, &err));
	assert_int_equal(report.admitted, 1);
	/* nothing observed: nothing is let through */
	in.baseline = none;
	bh_assert_ok(&err, bh_generate_network(&in, &empty, &report, &err));
	assert_non_null(strstr(empty.s, "egress: []"));
}

static const struct fact runs[] = {
	{BH_BASE_EXEC, "/usr/sbin/nginx"},
	{BH_BASE_EXEC, "/bin/dash /docker-entrypoint.sh"},
	{BH_BASE_EXEC, "/usr/bin/python#.# /opt/app/run.py from new"},
	{BH_BASE_EXEC, "/opt/it's here/x y"},
	{BH_BASE_EXEC, "/opt/odd?name"}, /* a byte that is no UTF-8 */
	{BH_BASE_PATH, "/var/log/nginx"},
	{BH_BASE_PATH, "/tmp/build-#/a"},
	{BH_BASE_USE, "user 33"},
	{BH_BASE_USE, "io_uring"},
	{BH_BASE_SYSCALL, "0"},
	{BH_BASE_SYSCALL, "1"},
	{BH_BASE_SYSCALL, "101"},
	{BH_BASE_SYSCALL, "1023"},
};

static void test_runtime(void **state)
{
	BH_CLEANUP(bh_baseline_freep)
	struct bh_baseline *b = learn(runs, BH_ARRAY_SIZE(runs)), *none = learn(NULL, 0);
	BH_CLEANUP(bh_str_done) struct bh_str out = {0};
	struct bh_gen_input in = input(b);
	struct bh_gen_report report;
	struct bh_err err;

	(void)state;
	bh_assert_ok(&err, bh_generate_runtime(&in, &out, &report, &err));
	assert_int_equal(report.observed, BH_ARRAY_SIZE(runs));
	assert_int_equal(report.admitted, report.observed);
	assert_int_equal(report.slack, 2);
	assert_non_null(strstr(out.s, "/opt/odd*"));
	assert_non_null(strstr(out.s, "origin: [image, new, volume]"));
	assert_non_null(strstr(out.s, "/tmp/build-*"));
	assert_non_null(strstr(out.s, "users: {deny: [0]}"));
	assert_non_null(strstr(out.s, "bpf"));
#ifdef __x86_64__
	assert_null(strstr(out.s, "ptrace")); /* number 101 was seen */
#endif
	in.baseline = none;
	bh_assert_fails(&err, -EINVAL, "nothing", bh_generate_runtime(&in, &out, &report, &err));
}

static void test_only_confirmed(void **state)
{
	const struct bh_base_sighting s = {.pod_id = 1, .ts_ns = 1};
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = learn(runs, 4);
	BH_CLEANUP(bh_str_done) struct bh_str all = {0}, some = {0};
	struct bh_gen_input in = input(b);
	struct bh_gen_report report;
	struct bh_err err;

	(void)state;
	assert_int_equal(bh_baseline_see(b, BH_BASE_EXEC, "/tmp/once", &s), 0);
	bh_assert_ok(&err, bh_generate_runtime(&in, &all, &report, &err));
	assert_non_null(strstr(all.s, "/tmp/once"));
	in.only_confirmed = true;
	bh_assert_ok(&err, bh_generate_runtime(&in, &some, &report, &err));
	assert_null(strstr(some.s, "/tmp/once"));
}

static void test_seccomp(void **state)
{
	BH_CLEANUP(bh_baseline_freep)
	struct bh_baseline *b = learn(runs, BH_ARRAY_SIZE(runs)), *none = learn(NULL, 0);
	BH_CLEANUP(bh_str_done) struct bh_str out = {0};
	struct bh_gen_input in = input(b);
	struct bh_gen_report report;
	struct bh_err err;

	(void)state;
	bh_assert_ok(&err, bh_generate_seccomp(&in, &out, &report, &err));
	assert_int_equal(report.observed, 3); /* 1023 is no call */
	assert_int_equal(report.admitted, 3);
	assert_int_equal(report.asked, report.slack + 3);
	assert_non_null(strstr(out.s, "\"execve\""));
	assert_null(strstr(out.s, "\"mount\""));
	in.baseline = none;
	bh_assert_fails(&err, -EINVAL, "learn", bh_generate_seccomp(&in, &out, &report, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_network), cmocka_unit_test(test_network_without_ports),
		cmocka_unit_test(test_runtime), cmocka_unit_test(test_only_confirmed),
		cmocka_unit_test(test_seccomp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
