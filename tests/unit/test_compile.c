/* The compiler against the rules of NetworkPolicy: structure, peers, pods. */
#include "compile_fixture.h"

/* ---- structure ---- */

static void test_no_policy(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	finish(&f);
	expect(&f, DEFAULT_DENY, "web", BH_INGRESS, "10.0.0.2", 6, 80);
	assert_int_equal(f.t->n_rulesets, 1);
	assert_int_equal(f.t->n_peers, 0);
	done(&f);
	begin(&f);
	f.w->default_allow = true;
	finish(&f);
	expect(&f, DEFAULT_ALLOW, "web", BH_INGRESS, "10.0.0.2", 6, 80);
	expect(&f, DEFAULT_ALLOW, "web", BH_EGRESS, "fd00::2", 58, 0);
	done(&f);
}

static void test_isolation_is_per_direction(void **state)
{
	struct fixture f;
	struct bh_policy *p = wk_policy("shop", "p", "");

	(void)state;
	begin(&f);
	f.w->default_allow = true;
	p->applies[BH_INGRESS] = true;
	wk_add_policy(f.w, p);
	finish(&f);
	expect(&f, DEFAULT_DENY, "web", BH_INGRESS, "10.0.0.2", 6, 80);
	expect(&f, DEFAULT_ALLOW, "web", BH_EGRESS, "10.0.0.2", 6, 80);
	/* other namespaces are not selected by {} */
	assert_int_not_equal(bh_tables_subject(f.t, "ops", "mon")->ruleset[BH_INGRESS], 0);
	done(&f);
}

static void test_section_without_type(void **state)
{
	struct fixture f;
	struct bh_policy *p = wk_policy("shop", "p", "");

	(void)state;
	begin(&f);
	f.w->default_allow = true;
	wk_rule(p, BH_INGRESS, &(struct wk_rule){.ports = {WK_TCP(80)}});
	p->applies[BH_INGRESS] = false;
	p->applies[BH_EGRESS] = true;
	wk_add_policy(f.w, p);
	finish(&f);
	expect(&f, DEFAULT_ALLOW, "web", BH_INGRESS, "10.0.0.2", 6, 81);
	expect(&f, DEFAULT_DENY, "web", BH_EGRESS, "10.0.0.2", 6, 80);
	done(&f);
}

static void test_everything(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	one_rule(&f, "", BH_INGRESS, (struct wk_rule){.is_inert = false});
	finish(&f);
	expect(&f, POLICY, "web", BH_INGRESS, "8.8.8.8", 1, 0);
	expect(&f, POLICY, "web", BH_INGRESS, "2001:db8::1", 6, 0);
	expect(&f, POLICY, "web", BH_INGRESS, "10.0.0.2", 47, 0);
	done(&f);
}

static void test_union(void **state)
{
	struct fixture f;
	struct bh_policy *p = wk_policy("shop", "q", "app=web");

	(void)state;
	begin(&f);
	one_rule(&f, "", BH_INGRESS, (struct wk_rule){.ports = {WK_TCP(80)}});
	wk_rule(p, BH_INGRESS, &(struct wk_rule){.ports = {WK_TCP(81)}});
	wk_add_policy(f.w, p);
	finish(&f);
	expect(&f, POLICY, "web", BH_INGRESS, "8.8.8.8", 6, 80);
	expect(&f, POLICY, "web", BH_INGRESS, "8.8.8.8", 6, 81);
	expect(&f, POLICY, "db", BH_INGRESS, "8.8.8.8", 6, 80);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "8.8.8.8", 6, 81);
	done(&f);
}

/* ---- peers ---- */

static void test_pod_selector(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	f.w->default_allow = true;
	one_rule(&f, "app=db", BH_INGRESS,
		 (struct wk_rule){.peers = {{.pods = "app=web"}}, .ports = {WK_TCP(80)}});
	finish(&f);
	expect(&f, POLICY, "db", BH_INGRESS, "10.0.0.1", 6, 80);
	expect(&f, POLICY, "db", BH_INGRESS, "fd00::1", 6, 80);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "10.0.0.1", 6, 81);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "10.0.0.1", 17, 80);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "10.0.0.1", 1, 0);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "10.0.1.1", 6, 80); /* same label elsewhere */
	expect(&f, DEFAULT_ALLOW, "db", BH_EGRESS, "10.0.1.1", 6, 80);
	expect(&f, DEFAULT_ALLOW, "web", BH_INGRESS, "10.0.1.1", 6, 80);
	done(&f);
}

static void test_namespace_selector(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	one_rule(&f, "app=db", BH_INGRESS, (struct wk_rule){.peers = {{.namespaces = "team=ops"}}});
	finish(&f);
	expect(&f, POLICY, "db", BH_INGRESS, "10.0.1.1", 6, 80);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "10.0.0.1", 6, 80);
	done(&f);
	begin(&f); /* all namespaces: pods only, not other addresses, not the node */
	one_rule(&f, "app=db", BH_INGRESS, (struct wk_rule){.peers = {{.namespaces = ""}}});
	finish(&f);
	expect(&f, POLICY, "db", BH_INGRESS, "10.0.1.1", 6, 80);
	expect(&f, POLICY, "db", BH_INGRESS, "10.0.0.1", 6, 80);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "8.8.8.8", 6, 80);
	done(&f);
}

static void test_and_or(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	one_rule(&f, "app=db", BH_INGRESS,
		 (struct wk_rule){.peers = {{.namespaces = "team=ops", .pods = "app=web"}}});
	finish(&f);
	expect(&f, POLICY, "db", BH_INGRESS, "10.0.1.1", 6, 80);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "10.0.0.1", 6, 80);
	done(&f);
	begin(&f);
	one_rule(&f, "app=db", BH_INGRESS,
		 (struct wk_rule){.peers = {{.namespaces = "team=none"}, {.pods = "app=web"}}});
	finish(&f);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "10.0.1.1", 6, 80);
	expect(&f, POLICY, "db", BH_INGRESS, "10.0.0.1", 6, 80);
	done(&f);
}

static void test_name_label(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	one_rule(&f, "app=db", BH_INGRESS,
		 (struct wk_rule){.peers = {{.namespaces = "kubernetes.io/metadata.name=ops"}}});
	finish(&f);
	expect(&f, POLICY, "db", BH_INGRESS, "10.0.1.1", 6, 80);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "10.0.0.1", 6, 80);
	done(&f);
}

static void test_operators(void **state)
{
	static const struct {
		const char *selector;
		bool web, db; /* db has tier="" */
	} rows[] = {
		{"app=web|db", true, true},	{"app!=web", false, true}, {"tier", false, true},
		{"!tier", true, false},		{"tier=", false, true},	   {"tier!=x", true, true},
		{"app=web,tier", false, false},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct fixture f;

		begin(&f);
		one_rule(&f, "", BH_INGRESS,
			 (struct wk_rule){.peers = {{.pods = rows[i].selector}}});
		finish(&f);
		assert_int_equal(
			ask(&f, (struct ask){"db", BH_INGRESS, "10.0.0.1", 6, 1}, NULL, NOW)
				.verdict,
			rows[i].web);
		assert_int_equal(
			ask(&f, (struct ask){"web", BH_INGRESS, "10.0.0.2", 6, 1}, NULL, NOW)
				.verdict,
			rows[i].db);
		done(&f);
	}
}

static void test_silent_peer(void **state)
{
	struct bh_policy *p = wk_policy("shop", "p", "");
	struct fixture f;

	(void)state;
	begin(&f);
	wk_rule(p, BH_INGRESS, &(struct wk_rule){.peers = {{.pods = "app=web"}}});
	wk_rule(p, BH_EGRESS, &(struct wk_rule){.is_inert = false});
	wk_rule(p, BH_EGRESS,
		&(struct wk_rule){.action = BH_ACTION_DENY, .peers = {{.pods = "app=none"}}});
	/* a peer that says nothing, which no parser lets through */
	p->rules[BH_INGRESS][0].peers[0].has_pods = false;
	p->rules[BH_EGRESS][1].peers[0].has_pods = false;
	wk_add_policy(f.w, p);
	finish(&f);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "10.0.0.1", 6, 80);
	expect(&f, POLICY_DENY, "db", BH_EGRESS, "8.8.8.8", 6, 80);
	done(&f);
}

/* ---- pods that are none ---- */

static void test_not_a_peer(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	wk_add_pod(f.w, wk_pod(&(struct wk_pod){.ns = "shop",
						.name = "host",
						.labels = "app=web",
						.ips = "10.0.0.50",
						.host_network = true}));
	wk_add_pod(f.w, wk_pod(&(struct wk_pod){.ns = "shop",
						.name = "old",
						.labels = "app=web",
						.ips = "10.0.0.51",
						.phase = BH_POD_DONE}));
	/* the finished pod's address is in use again */
	wk_add_pod(f.w, wk_pod(&(struct wk_pod){.ns = "shop",
						.name = "past",
						.labels = "app=x",
						.ips = "10.0.0.1",
						.phase = BH_POD_DONE}));
	one_rule(&f, "app=db", BH_INGRESS, (struct wk_rule){.peers = {{.pods = "app=web"}}});
	finish(&f);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "10.0.0.50", 6, 80);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "10.0.0.51", 6, 80);
	expect(&f, POLICY, "db", BH_INGRESS, "10.0.0.1", 6, 80);
	done(&f);
}

static void test_subjects_that_are_none(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	f.w->default_allow = true;
	wk_add_pod(
		f.w,
		wk_pod(&(struct wk_pod){
			.ns = "shop", .name = "host", .ips = "10.0.0.50", .host_network = true}));
	wk_add_pod(f.w,
		   wk_pod(&(struct wk_pod){
			   .ns = "shop", .name = "old", .ips = "10.0.0.51", .phase = BH_POD_DONE}));
	one_rule(&f, "", BH_INGRESS, (struct wk_rule){.ports = {WK_TCP(80)}});
	finish(&f);
	/* policy never selects a pod of the host's network; a finished pod keeps its rules until
	 * its interface goes */
	expect(&f, DEFAULT_ALLOW, "host", BH_INGRESS, "10.0.0.1", 6, 81);
	expect(&f, DEFAULT_DENY, "old", BH_INGRESS, "10.0.0.1", 6, 81);
	expect(&f, POLICY, "old", BH_INGRESS, "10.0.0.1", 6, 80);
	done(&f);
}

static void test_contested_address(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	wk_add_pod(f.w,
		   wk_pod(&(struct wk_pod){
			   .ns = "shop", .name = "twin", .labels = "app=bad", .ips = "10.0.0.1"}));
	one_rule(&f, "app=db", BH_INGRESS, (struct wk_rule){.peers = {{.pods = "app=web"}}});
	one_rule(&f, "app=db", BH_EGRESS, (struct wk_rule){.is_inert = false});
	wk_rule(f.w->policies[1], BH_EGRESS,
		&(struct wk_rule){.action = BH_ACTION_DENY, .peers = {{.pods = "app=bad"}}});
	finish(&f);
	/* no Allow by label for an address that two claim, but every Deny */
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "10.0.0.1", 6, 80);
	expect(&f, POLICY, "db", BH_INGRESS, "fd00::1", 6, 80);
	expect(&f, POLICY_DENY, "db", BH_EGRESS, "10.0.0.1", 6, 80);
	done(&f);
}

static void test_node_addresses(void **state)
{
	struct fixture f;
	struct bh_ip node = wk_ip("192.168.0.1"), other = wk_ip("10.0.0.9");
	bool is_node;

	(void)state;
	begin(&f);
	assert_int_equal(bh_world_add_node_address(f.w, &node), 0);
	assert_int_equal(bh_world_add_node_address(f.w, &other), 0);
	one_rule(&f, "", BH_INGRESS, (struct wk_rule){.peers = {{.cidr = "10.0.0.0/8"}}});
	finish(&f);
	assert_int_equal(f.t->n_peers, 2); /* pods are in no selector's way here */
	assert_int_equal(bh_tables_class(f.t, &node, &is_node), 0);
	assert_true(is_node);
	assert_int_not_equal(bh_tables_class(f.t, &other, &is_node), 0);
	assert_true(is_node);
	node = wk_ip("10.0.0.1");
	assert_int_not_equal(bh_tables_class(f.t, &node, &is_node), 0);
	assert_false(is_node);
	done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_policy),
		cmocka_unit_test(test_isolation_is_per_direction),
		cmocka_unit_test(test_section_without_type),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_union),
		cmocka_unit_test(test_pod_selector),
		cmocka_unit_test(test_namespace_selector),
		cmocka_unit_test(test_and_or),
		cmocka_unit_test(test_name_label),
		cmocka_unit_test(test_operators),
		cmocka_unit_test(test_silent_peer),
		cmocka_unit_test(test_not_a_peer),
		cmocka_unit_test(test_subjects_that_are_none),
		cmocka_unit_test(test_contested_address),
		cmocka_unit_test(test_node_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
