/* The reference evaluator on worlds built in C: what it answers about the deciding rule,
 * executables and ends. What policy means is in tests/cases and run by test_cases.c. */
#include "bh_test.h"

#include <netinet/in.h>

#include "base/own.h"
#include "refeval/refeval.h"

#define BLUE                                                                                       \
	(struct bh_label[])                                                                        \
	{                                                                                          \
		{                                                                                  \
			"team", "blue"                                                             \
		}                                                                                  \
	}

/* Objects on the stack: they count one reference of their own, so the world never frees them. */
#define POLICY(a_kind, a_name, a_dir, a_rules)                                                     \
	{                                                                                          \
		.refs = 1, .kind = (a_kind), .ns = (char *)"x", .name = (char *)(a_name),          \
		.applies[a_dir] = true, .rules[a_dir] = (a_rules),                                 \
		.n_rules[a_dir] = BH_ARRAY_SIZE(a_rules)                                           \
	}
#define EVERYTHING .all_peers = true, .all_ports = true, .reason.expires_s = INT64_MAX

struct fixture {
	struct bh_world *w;
	const struct bh_pod *a, *b, *host, *done;
};

static struct bh_ip ip(const char *text)
{
	struct bh_err err;
	struct bh_ip parsed;

	bh_assert_ok(&err, bh_ip_parse(text, &parsed, &err));
	return parsed;
}

static void add_pod(struct bh_world *w, const struct bh_pod_init *init)
{
	struct bh_pod *pod = NULL;
	struct bh_err err;

	bh_assert_ok(&err, bh_pod_new(init, &pod, &err));
	assert_int_equal(bh_world_add_pod(w, pod), 0);
	bh_pod_unref(pod);
}

/* Pods a and b (dual-stack) of namespace x, one in the host's network and a finished one whose
 * address b has now. */
static void add_pods(struct bh_world *w)
{
	struct bh_ip a = ip("10.0.0.1"), host = ip("10.0.0.9");
	struct bh_ip b[] = {ip("10.0.0.2"), ip("fd00::2")};
	struct bh_named_port http = {(char *)"http", IPPROTO_TCP, 8080};

	add_pod(w, &(struct bh_pod_init){.ns = "x", .name = "a", .ips = &a, .n_ips = 1});
	add_pod(w, &(struct bh_pod_init){.ns = "x",
					 .name = "b",
					 .labels = {BLUE, 1},
					 .ports = &http,
					 .n_ports = 1,
					 .ips = b,
					 .n_ips = 2});
	add_pod(w,
		&(struct bh_pod_init){
			.ns = "x", .name = "host", .ips = &host, .n_ips = 1, .host_network = true});
	add_pod(w,
		&(struct bh_pod_init){
			.ns = "x", .name = "aa-done", .ips = b, .n_ips = 1, .phase = BH_POD_DONE});
}

/* policies: NULL-terminated. */
static struct fixture make(struct bh_policy *const *policies)
{
	struct fixture f = {0};
	struct bh_err err;

	bh_assert_ok(&err, bh_world_new(&f.w, &err));
	add_pods(f.w);
	for (; *policies; policies++)
		assert_int_equal(bh_world_add_policy(f.w, *policies), 0);
	f.w->default_allow = true;
	f.w->now_s = 1000;
	bh_assert_ok(&err, bh_world_seal(f.w, &err));
	f.a = bh_world_pod(f.w, "x", "a");
	f.b = bh_world_pod(f.w, "x", "b");
	f.host = bh_world_pod(f.w, "x", "host");
	f.done = bh_world_pod(f.w, "x", "aa-done");
	assert_true(f.a && f.b && f.host && f.done);
	return f;
}

static struct bh_half half_as(const struct fixture *f, enum bh_dir dir, const char *exe)
{
	struct bh_end self = bh_refeval_pod_end(f->a, 0), peer = bh_refeval_pod_end(f->b, 4);

	return bh_refeval_ask(f->w, &(struct bh_ask){.dir = dir,
						     .self = self,
						     .peer = peer,
						     .proto = IPPROTO_TCP,
						     .port = 80,
						     .exe = exe});
}

static struct bh_half half(const struct fixture *f, enum bh_dir dir, const struct bh_end *self,
			   const struct bh_end *peer)
{
	return bh_refeval_ask(f->w, &(struct bh_ask){.dir = dir,
						     .self = *self,
						     .peer = *peer,
						     .proto = IPPROTO_TCP,
						     .port = 80});
}

static struct bh_cell cell(const struct fixture *f, const struct bh_end *from,
			   const struct bh_end *to)
{
	return bh_refeval_cell(
		f->w,
		&(struct bh_ask){.self = *from, .peer = *to, .proto = IPPROTO_TCP, .port = 80});
}

/* ---- ends ---- */

static void test_end_finds_the_living_pod(void **state)
{
	struct fixture f = make((struct bh_policy *[]){NULL});
	struct bh_ip b = ip("10.0.0.2"), b6 = ip("fd00::2"), host = ip("10.0.0.9");
	struct bh_ip nobody = ip("10.9.9.9");

	(void)state;
	assert_ptr_equal(bh_refeval_end(f.w, &b).pod, f.b);
	assert_ptr_equal(bh_refeval_end(f.w, &b6).pod, f.b);
	assert_null(bh_refeval_end(f.w, &host).pod);
	assert_null(bh_refeval_end(f.w, &nobody).pod);
	assert_true(bh_refeval_end(f.w, &nobody).has_ip);
	bh_world_unref(f.w);
}

static void test_pod_end_takes_the_family(void **state)
{
	struct fixture f = make((struct bh_policy *[]){NULL});
	struct bh_end any = bh_refeval_pod_end(f.b, 0), v4 = bh_refeval_pod_end(f.b, 4);
	struct bh_end v6 = bh_refeval_pod_end(f.b, 6);

	(void)state;
	assert_true(bh_ip_is4(&any.ip));
	assert_true(bh_ip_is4(&v4.ip));
	assert_false(bh_ip_is4(&v6.ip));
	assert_true(bh_refeval_pod_end(f.b, 6).has_ip);
	assert_false(bh_refeval_pod_end(f.a, 6).has_ip);
	assert_ptr_equal(bh_refeval_pod_end(f.a, 6).pod, f.a);
	bh_world_unref(f.w);
}

/* ---- the deciding rule ---- */

static void test_default_names_nothing(void **state)
{
	struct fixture f = make((struct bh_policy *[]){NULL});
	struct bh_half h = half_as(&f, BH_EGRESS, NULL);

	(void)state;
	assert_int_equal(h.verdict, BH_ALLOWED);
	assert_true(!h.policy && !h.rule && !h.is_isolated && !h.is_conditional && !h.is_self);
	f.w->default_allow = false;
	assert_int_equal(half_as(&f, BH_EGRESS, NULL).verdict, BH_DENIED);
	bh_world_unref(f.w);
}

static void test_unmatched_names_the_first_policy(void **state)
{
	struct bh_policy second = {.refs = 1, .ns = (char *)"x", .name = (char *)"two"};
	struct bh_policy first = {.refs = 1, .ns = (char *)"x", .name = (char *)"one"};
	struct fixture f;
	struct bh_half h;

	(void)state;
	first.applies[BH_INGRESS] = second.applies[BH_INGRESS] = true;
	f = make((struct bh_policy *[]){&second, &first, NULL});
	h = half_as(&f, BH_INGRESS, NULL);
	assert_int_equal(h.verdict, BH_DENIED);
	assert_ptr_equal(h.policy, &first);
	assert_null(h.rule);
	assert_true(h.is_isolated);
	assert_false(half_as(&f, BH_EGRESS, NULL).is_isolated);
	bh_world_unref(f.w);
}

static void test_first_allow_is_named(void **state)
{
	struct bh_rule inert[] = {{EVERYTHING, .is_inert = true}, {EVERYTHING, .index = 1}};
	struct bh_rule open[] = {{EVERYTHING}};
	struct bh_policy one = POLICY(BH_NETWORK_POLICY, "one", BH_EGRESS, inert);
	struct bh_policy two = POLICY(BH_NETWORK_POLICY, "two", BH_EGRESS, open);
	struct fixture f = make((struct bh_policy *[]){&two, &one, NULL});
	struct bh_half h = half_as(&f, BH_EGRESS, NULL);

	(void)state;
	assert_int_equal(h.verdict, BH_ALLOWED);
	assert_ptr_equal(h.policy, &one);
	assert_ptr_equal(h.rule, &inert[1]);
	bh_world_unref(f.w);
}

static void test_deny_is_named_before_any_allow(void **state)
{
	struct bh_rule open[] = {{EVERYTHING}};
	struct bh_rule deny[] = {{EVERYTHING}, {EVERYTHING, .action = BH_ACTION_DENY, .index = 1}};
	struct bh_policy np = POLICY(BH_NETWORK_POLICY, "a", BH_EGRESS, open);
	struct bh_policy sp = POLICY(BH_SEGMENTATION_POLICY, "z", BH_EGRESS, deny);
	struct fixture f = make((struct bh_policy *[]){&np, &sp, NULL});
	struct bh_half h = half_as(&f, BH_EGRESS, NULL);

	(void)state;
	assert_int_equal(h.verdict, BH_DENIED);
	assert_ptr_equal(h.policy, &sp);
	assert_ptr_equal(h.rule, &deny[1]);
	assert_false(h.is_conditional);
	bh_world_unref(f.w);
}

/* ---- executables ---- */

static char *pg_dump[] = {(char *)"/usr/bin/pg_dump"};
static char *two_exes[] = {(char *)"/usr/bin/psql", (char *)"/usr/bin/pg_dump"};

static void assert_exes(const struct fixture *f, bool is_except, const char *const *want, size_t n)
{
	struct bh_ask ask = {.dir = BH_EGRESS,
			     .self = bh_refeval_pod_end(f->a, 0),
			     .peer = bh_refeval_pod_end(f->b, 4),
			     .proto = IPPROTO_TCP,
			     .port = 80};
	BH_CLEANUP(bh_policies_done) struct bh_policies selecting = {0};
	BH_CLEANUP(bh_exes_done) struct bh_exes exes = {0};

	assert_int_equal(bh_refeval_selecting(f->w, f->a, BH_EGRESS, &selecting), 0);
	assert_int_equal(bh_refeval_exes(f->w, &selecting, &ask, &exes), 0);
	assert_int_equal(exes.is_except, is_except);
	assert_int_equal(exes.n, n);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(exes.v[i], want[i]);
}

static void test_bound_allows_are_a_union(void **state)
{
	struct bh_rule one[] = {{EVERYTHING, .processes = pg_dump, .n_processes = 1}};
	struct bh_rule two[] = {{EVERYTHING, .processes = two_exes, .n_processes = 2}};
	struct bh_policy p = POLICY(BH_SEGMENTATION_POLICY, "p", BH_EGRESS, one);
	struct bh_policy q = POLICY(BH_SEGMENTATION_POLICY, "q", BH_EGRESS, two);
	struct fixture f = make((struct bh_policy *[]){&p, &q, NULL});
	struct bh_half h = half_as(&f, BH_EGRESS, NULL);

	(void)state;
	assert_int_equal(h.verdict, BH_ALLOWED);
	assert_true(h.is_conditional);
	assert_ptr_equal(h.rule, &one[0]);
	assert_exes(&f, false, (const char *[]){"/usr/bin/pg_dump", "/usr/bin/psql"}, 2);
	assert_ptr_equal(half_as(&f, BH_EGRESS, "/usr/bin/psql").rule, &two[0]);
	assert_int_equal(half_as(&f, BH_EGRESS, "/bin/sh").verdict, BH_DENIED);
	assert_null(half_as(&f, BH_EGRESS, "/bin/sh").rule);
	bh_world_unref(f.w);
}

static void test_unbound_allow_is_better(void **state)
{
	struct bh_rule rules[] = {{EVERYTHING, .processes = pg_dump, .n_processes = 1},
				  {EVERYTHING, .index = 1}};
	struct bh_policy p = POLICY(BH_SEGMENTATION_POLICY, "p", BH_EGRESS, rules);
	struct fixture f = make((struct bh_policy *[]){&p, NULL});

	(void)state;
	assert_ptr_equal(half_as(&f, BH_EGRESS, NULL).rule, &rules[1]);
	assert_false(half_as(&f, BH_EGRESS, NULL).is_conditional);
	assert_ptr_equal(half_as(&f, BH_EGRESS, "/usr/bin/pg_dump").rule, &rules[1]);
	assert_exes(&f, true, NULL, 0);
	bh_world_unref(f.w);
}

static void test_bound_deny_takes_away(void **state)
{
	struct bh_rule rules[] = {{EVERYTHING},
				  {EVERYTHING, .action = BH_ACTION_DENY, .processes = pg_dump,
				   .n_processes = 1, .index = 1}};
	struct bh_policy p = POLICY(BH_SEGMENTATION_POLICY, "p", BH_EGRESS, rules);
	struct fixture f = make((struct bh_policy *[]){&p, NULL});
	struct bh_half h = half_as(&f, BH_EGRESS, NULL);

	(void)state;
	assert_int_equal(h.verdict, BH_ALLOWED);
	assert_true(h.is_conditional);
	assert_ptr_equal(h.rule, &rules[0]);
	assert_exes(&f, true, (const char *[]){"/usr/bin/pg_dump"}, 1);
	assert_ptr_equal(half_as(&f, BH_EGRESS, "/usr/bin/pg_dump").rule, &rules[1]);
	/* What is not understood is not trusted to be about one executable only. */
	rules[1].is_inert = true;
	assert_int_equal(half_as(&f, BH_EGRESS, "/bin/sh").verdict, BH_DENIED);
	assert_false(half_as(&f, BH_EGRESS, NULL).is_conditional);
	bh_world_unref(f.w);
}

static void test_nobody_may(void **state)
{
	struct bh_rule rules[] = {
		{EVERYTHING, .action = BH_ACTION_DENY, .processes = pg_dump, .n_processes = 1},
		{EVERYTHING, .processes = pg_dump, .n_processes = 1, .index = 1}};
	struct bh_policy p = POLICY(BH_SEGMENTATION_POLICY, "p", BH_EGRESS, rules);
	struct fixture f = make((struct bh_policy *[]){&p, NULL});
	struct bh_half h = half_as(&f, BH_EGRESS, NULL);

	(void)state;
	assert_int_equal(h.verdict, BH_DENIED);
	assert_ptr_equal(h.rule, &rules[0]);
	assert_false(h.is_conditional);
	assert_exes(&f, false, NULL, 0);
	bh_world_unref(f.w);
}

/* ---- who is no subject ---- */

static void test_ends_that_no_policy_holds(void **state)
{
	struct bh_policy shut = {.refs = 1, .ns = (char *)"x", .name = (char *)"shut"};
	struct bh_ip outside = ip("203.0.113.1"), own = ip("10.0.0.1");
	struct bh_end bare = {.ip = outside, .has_ip = true};
	struct bh_end bare_own = {.ip = own, .has_ip = true};
	struct bh_end a, b, host;
	struct bh_half h;
	struct fixture f;

	(void)state;
	shut.applies[BH_INGRESS] = shut.applies[BH_EGRESS] = true;
	f = make((struct bh_policy *[]){&shut, NULL});
	a = bh_refeval_pod_end(f.a, 0);
	b = bh_refeval_pod_end(f.b, 0);
	host = bh_refeval_pod_end(f.host, 0);
	assert_int_equal(half(&f, BH_EGRESS, &bare, &a).verdict, BH_ALLOWED);
	assert_int_equal(half(&f, BH_EGRESS, &host, &a).verdict, BH_ALLOWED);
	h = half(&f, BH_EGRESS, &a, &bare_own);
	assert_true(h.verdict == BH_ALLOWED && h.is_self);
	h = half(&f, BH_INGRESS, &a, &a);
	assert_true(h.verdict == BH_ALLOWED && h.is_self);
	assert_int_equal(cell(&f, &a, &b).verdict, BH_DENIED);
	assert_int_equal(cell(&f, &bare, &b).egress.verdict, BH_ALLOWED);
	assert_int_equal(cell(&f, &bare, &b).verdict, BH_DENIED);
	bh_world_unref(f.w);
}

static void test_unknown_address_matches_no_block(void **state)
{
	struct bh_peer any4 = {.kind = BH_PEER_CIDR};
	struct bh_rule rules[] = {
		{.peers = &any4, .n_peers = 1, .all_ports = true, .reason.expires_s = INT64_MAX}};
	struct bh_policy p = POLICY(BH_NETWORK_POLICY, "p", BH_EGRESS, rules);
	struct bh_err err;
	struct bh_end a, b;
	struct fixture f;

	(void)state;
	bh_assert_ok(&err, bh_cidr_parse("0.0.0.0/0", &any4.cidr, NULL, &err));
	f = make((struct bh_policy *[]){&p, NULL});
	a = bh_refeval_pod_end(f.a, 0);
	b = bh_refeval_pod_end(f.b, 4);
	assert_int_equal(half(&f, BH_EGRESS, &a, &b).verdict, BH_ALLOWED);
	b = bh_refeval_pod_end(f.b, 6);
	assert_int_equal(half(&f, BH_EGRESS, &a, &b).verdict, BH_DENIED);
	b.has_ip = false;
	assert_int_equal(half(&f, BH_EGRESS, &a, &b).verdict, BH_DENIED);
	bh_world_unref(f.w);
}

static void test_expiry_is_the_second_itself(void **state)
{
	struct bh_rule rules[] = {{.all_peers = true, .all_ports = true, .reason.expires_s = 1000}};
	struct bh_policy p = POLICY(BH_SEGMENTATION_POLICY, "p", BH_EGRESS, rules);
	struct fixture f = make((struct bh_policy *[]){&p, NULL});

	(void)state;
	assert_int_equal(half_as(&f, BH_EGRESS, NULL).verdict, BH_DENIED);
	f.w->now_s = 999;
	assert_int_equal(half_as(&f, BH_EGRESS, NULL).verdict, BH_ALLOWED);
	bh_world_unref(f.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_end_finds_the_living_pod),
		cmocka_unit_test(test_pod_end_takes_the_family),
		cmocka_unit_test(test_default_names_nothing),
		cmocka_unit_test(test_unmatched_names_the_first_policy),
		cmocka_unit_test(test_first_allow_is_named),
		cmocka_unit_test(test_deny_is_named_before_any_allow),
		cmocka_unit_test(test_bound_allows_are_a_union),
		cmocka_unit_test(test_unbound_allow_is_better),
		cmocka_unit_test(test_bound_deny_takes_away),
		cmocka_unit_test(test_nobody_may),
		cmocka_unit_test(test_ends_that_no_policy_holds),
		cmocka_unit_test(test_unknown_address_matches_no_block),
		cmocka_unit_test(test_expiry_is_the_second_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
