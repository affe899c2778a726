/* The compiler: Deny, executables, inert rules, expiry, sharing. */
#include "compile_fixture.h"

/* ---- Deny, processes, inert rules ---- */

static void test_deny_wins(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	one_rule(&f, "", BH_INGRESS, (struct wk_rule){.is_inert = false});
	wk_rule(f.w->policies[0], BH_INGRESS,
		&(struct wk_rule){.action = BH_ACTION_DENY,
				  .peers = {{.pods = "app=web"}},
				  .ports = {WK_RANGE(6, 80, 90)}});
	finish(&f);
	expect(&f, POLICY_DENY, "db", BH_INGRESS, "10.0.0.1", 6, 80);
	expect(&f, POLICY_DENY, "db", BH_INGRESS, "10.0.0.1", 6, 90);
	expect(&f, POLICY, "db", BH_INGRESS, "10.0.0.1", 6, 91);
	expect(&f, POLICY, "db", BH_INGRESS, "10.0.1.1", 6, 80);
	done(&f);
}

static void test_allowed_processes(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	one_rule(&f, "app=web", BH_EGRESS,
		 (struct wk_rule){.peers = {{.pods = "app=db"}},
				  .ports = {WK_TCP(80)},
				  .processes = {"/bin/wget"}});
	wk_rule(f.w->policies[0], BH_EGRESS,
		&(struct wk_rule){.ports = {WK_TCP(80)}, .processes = {"/bin/curl"}});
	wk_rule(f.w->policies[0], BH_EGRESS,
		&(struct wk_rule){.peers = {{.namespaces = "team=ops"}}, .ports = {WK_TCP(80)}});
	finish(&f);
	expect_of(&f, POLICY, "/bin/wget", NOW, "web", BH_EGRESS, "10.0.0.2", 6, 80);
	expect_of(&f, POLICY, "/bin/curl", NOW, "web", BH_EGRESS, "10.0.0.2", 6, 80);
	expect_of(&f, PROCESS, "/bin/nc", NOW, "web", BH_EGRESS, "10.0.0.2", 6, 80);
	expect_of(&f, PROCESS_UNKNOWN, NULL, NOW, "web", BH_EGRESS, "10.0.0.2", 6, 80);
	expect_of(&f, PROCESS, "/bin/wget", NOW, "web", BH_EGRESS, "8.8.8.8", 6, 80);
	expect_of(&f, POLICY, "/bin/curl", NOW, "web", BH_EGRESS, "8.8.8.8", 6, 80);
	expect_of(&f, DEFAULT_DENY, "/bin/curl", NOW, "web", BH_EGRESS, "8.8.8.8", 6, 81);
	/* an Allow for anybody makes the executable not matter */
	expect_of(&f, POLICY, NULL, NOW, "web", BH_EGRESS, "10.0.1.1", 6, 80);
	assert_false(ask(&f, (struct ask){"web", BH_EGRESS, "10.0.1.1", 6, 80}, NULL, NOW)
			     .is_conditional);
	assert_true(ask(&f, (struct ask){"web", BH_EGRESS, "10.0.0.2", 6, 80}, NULL, NOW)
			    .is_conditional);
	done(&f);
}

static void test_denied_processes(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	one_rule(&f, "app=web", BH_EGRESS, (struct wk_rule){.is_inert = false});
	wk_rule(f.w->policies[0], BH_EGRESS,
		&(struct wk_rule){
			.action = BH_ACTION_DENY, .ports = {WK_TCP(80)}, .processes = {"/bin/nc"}});
	/* another policy's executable is not "any other" to the kernel */
	wk_rule(f.w->policies[0], BH_EGRESS,
		&(struct wk_rule){.ports = {WK_TCP(90)}, .processes = {"/bin/curl"}});
	/* named by an Allow and by a Deny: nobody is left */
	wk_rule(f.w->policies[0], BH_EGRESS,
		&(struct wk_rule){.action = BH_ACTION_DENY, .ports = {WK_UDP(1)}});
	finish(&f);
	expect_of(&f, PROCESS, "/bin/nc", NOW, "web", BH_EGRESS, "8.8.8.8", 6, 80);
	expect_of(&f, POLICY, "/bin/curl", NOW, "web", BH_EGRESS, "8.8.8.8", 6, 80);
	expect_of(&f, POLICY, "/bin/sh", NOW, "web", BH_EGRESS, "8.8.8.8", 6, 80);
	expect_of(&f, PROCESS_UNKNOWN, NULL, NOW, "web", BH_EGRESS, "8.8.8.8", 6, 80);
	expect_of(&f, POLICY, NULL, NOW, "web", BH_EGRESS, "8.8.8.8", 6, 81);
	expect_of(&f, POLICY, NULL, NOW, "web", BH_EGRESS, "8.8.8.8", 6, 90);
	expect_of(&f, POLICY_DENY, "/bin/sh", NOW, "web", BH_EGRESS, "8.8.8.8", 17, 1);
	done(&f);
	begin(&f);
	one_rule(&f, "app=web", BH_EGRESS, (struct wk_rule){.processes = {"/bin/nc"}});
	wk_rule(f.w->policies[0], BH_EGRESS,
		&(struct wk_rule){.action = BH_ACTION_DENY, .processes = {"/bin/nc", "/bin/x"}});
	finish(&f);
	expect_of(&f, POLICY_DENY, "/bin/nc", NOW, "web", BH_EGRESS, "8.8.8.8", 6, 80);
	expect_of(&f, POLICY_DENY, "/bin/sh", NOW, "web", BH_EGRESS, "8.8.8.8", 6, 80);
	done(&f);
}

static void test_processes_on_ingress(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f); /* no parser lets it through; then nobody is let in by it */
	one_rule(&f, "app=web", BH_INGRESS, (struct wk_rule){.processes = {"/bin/nc"}});
	one_rule(&f, "app=db", BH_INGRESS, (struct wk_rule){.is_inert = false});
	wk_rule(f.w->policies[1], BH_INGRESS,
		&(struct wk_rule){.action = BH_ACTION_DENY, .processes = {"/bin/nc"}});
	finish(&f);
	expect_of(&f, DEFAULT_DENY, "/bin/nc", NOW, "web", BH_INGRESS, "8.8.8.8", 6, 80);
	expect_of(&f, POLICY_DENY, "/bin/sh", NOW, "db", BH_INGRESS, "8.8.8.8", 6, 80);
	assert_int_equal(f.t->n_exes, 0);
	done(&f);
}

static void test_inert(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	one_rule(&f, "app=web", BH_EGRESS, (struct wk_rule){.is_inert = true});
	one_rule(&f, "app=web", BH_INGRESS, (struct wk_rule){.is_inert = false});
	wk_rule(f.w->policies[1], BH_INGRESS,
		&(struct wk_rule){.action = BH_ACTION_DENY,
				  .is_inert = true,
				  .peers = {{.pods = "app=none"}},
				  .ports = {WK_TCP(1)},
				  .processes = {"/bin/sh"}});
	finish(&f);
	expect(&f, DEFAULT_DENY, "web", BH_EGRESS, "10.0.0.2", 6, 80);
	expect(&f, POLICY_DENY, "web", BH_INGRESS, "8.8.8.8", 17, 53);
	done(&f);
}

/* ---- time ---- */

static void test_expiry(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	one_rule(&f, "app=web", BH_EGRESS,
		 (struct wk_rule){.ports = {WK_TCP(80)}, .expires_s = NOW + 10});
	wk_rule(f.w->policies[0], BH_EGRESS,
		&(struct wk_rule){.action = BH_ACTION_DENY,
				  .ports = {WK_TCP(80)},
				  .peers = {{.pods = "app=db"}},
				  .expires_s = NOW + 5});
	wk_rule(f.w->policies[0], BH_EGRESS,
		&(struct wk_rule){.ports = {WK_TCP(81)}, .expires_s = NOW});
	finish(&f);
	expect_of(&f, POLICY, NULL, NOW + 9, "web", BH_EGRESS, "8.8.8.8", 6, 80);
	expect_of(&f, EXPIRED, NULL, NOW + 10, "web", BH_EGRESS, "8.8.8.8", 6, 80);
	expect_of(&f, EXPIRED, NULL, INT64_MAX - 1, "web", BH_EGRESS, "8.8.8.8", 6, 80);
	expect_of(&f, POLICY_DENY, NULL, NOW + 4, "web", BH_EGRESS, "10.0.0.2", 6, 80);
	expect_of(&f, POLICY, NULL, NOW + 5, "web", BH_EGRESS, "10.0.0.2", 6, 80);
	expect_of(&f, DEFAULT_DENY, NULL, NOW + 10, "web", BH_EGRESS, "10.0.0.2", 6, 80);
	expect_of(&f, DEFAULT_DENY, NULL, NOW, "web", BH_EGRESS, "8.8.8.8", 6, 81);
	/* a policy whose rules have all expired still isolates */
	assert_int_equal(f.t->n_rulesets, 3);
	done(&f);
}

static void test_long_chain(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	one_rule(&f, "app=web", BH_EGRESS, (struct wk_rule){.ports = {WK_TCP(1)}});
	for (int i = 1; i <= 10; i++) {
		wk_rule(f.w->policies[0], BH_EGRESS,
			&(struct wk_rule){.ports = {WK_TCP((uint16_t)(100 + i))},
					  .expires_s = NOW + i});
		wk_rule(f.w->policies[0], BH_EGRESS,
			&(struct wk_rule){.action = BH_ACTION_DENY,
					  .expires_s = NOW + i,
					  .ports = {WK_TCP((uint16_t)(200 + i))}});
	}
	wk_rule(f.w->policies[0], BH_EGRESS, &(struct wk_rule){.ports = {WK_RANGE(6, 200, 300)}});
	finish(&f);
	assert_int_equal(f.t->n_rulesets, 1 + BH_UNTIL_CHAIN);
	/* the first seven expiries are exact */
	expect_of(&f, POLICY, NULL, NOW + 6, "web", BH_EGRESS, "8.8.8.8", 6, 107);
	expect_of(&f, EXPIRED, NULL, NOW + 7, "web", BH_EGRESS, "8.8.8.8", 6, 107);
	expect_of(&f, POLICY_DENY, NULL, NOW + 6, "web", BH_EGRESS, "8.8.8.8", 6, 207);
	expect_of(&f, POLICY, NULL, NOW + 7, "web", BH_EGRESS, "8.8.8.8", 6, 207);
	/* after them nothing that could expire is allowed, and no Deny is lifted */
	expect_of(&f, POLICY, NULL, NOW + 6, "web", BH_EGRESS, "8.8.8.8", 6, 110);
	expect_of(&f, EXPIRED, NULL, NOW + 7, "web", BH_EGRESS, "8.8.8.8", 6, 110);
	expect_of(&f, POLICY_DENY, NULL, NOW + 99, "web", BH_EGRESS, "8.8.8.8", 6, 210);
	expect_of(&f, POLICY, NULL, NOW + 99, "web", BH_EGRESS, "8.8.8.8", 6, 1);
	done(&f);
}

/* ---- sharing ---- */

static void test_sharing(void **state)
{
	const struct bh_tsubject *a, *b;
	struct fixture f;

	(void)state;
	begin(&f);
	wk_add_pod(f.w, wk_pod(&(struct wk_pod){.ns = "shop",
						.name = "web2",
						.labels = "app=web,pod=2",
						.ips = "10.0.0.7"}));
	one_rule(&f, "app=web", BH_EGRESS,
		 (struct wk_rule){.peers = {{.pods = "app=db"}}, .ports = {WK_TCP(80)}});
	one_rule(&f, "app=db", BH_EGRESS,
		 (struct wk_rule){.peers = {{.pods = "app=db"}}, .ports = {WK_TCP(80)}});
	finish(&f);
	a = bh_tables_subject(f.t, "shop", "web");
	b = bh_tables_subject(f.t, "shop", "web2");
	assert_int_equal(a->ruleset[BH_EGRESS], b->ruleset[BH_EGRESS]);
	/* other policies with the same result */
	assert_int_equal(a->ruleset[BH_EGRESS],
			 bh_tables_subject(f.t, "shop", "db")->ruleset[BH_EGRESS]);
	assert_int_equal(f.t->n_rulesets, 2);
	assert_int_equal(f.t->n_peers, 2); /* db's addresses; nobody asks who web is */
	done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deny_wins),
		cmocka_unit_test(test_allowed_processes),
		cmocka_unit_test(test_denied_processes),
		cmocka_unit_test(test_processes_on_ingress),
		cmocka_unit_test(test_inert),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_long_chain),
		cmocka_unit_test(test_sharing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
