/* The compiler: address blocks and ports. */
#include "compile_fixture.h"

/* ---- address blocks ---- */

static void test_blocks(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	one_rule(&f, "app=web", BH_EGRESS,
		 (struct wk_rule){.peers = {{.cidr = "10.0.0.0/8", .except = {"10.1.0.0/16"}},
					    {.cidr = "10.1.2.0/24"},
					    {.cidr = "fd00::/64"}}});
	finish(&f);
	expect(&f, POLICY, "web", BH_EGRESS, "10.0.0.2", 6, 80); /* a pod */
	expect(&f, POLICY, "web", BH_EGRESS, "10.255.255.255", 6, 80);
	expect(&f, DEFAULT_DENY, "web", BH_EGRESS, "10.1.1.255", 6, 80);
	expect(&f, POLICY, "web", BH_EGRESS, "10.1.2.0", 6, 80); /* another peer's range */
	expect(&f, DEFAULT_DENY, "web", BH_EGRESS, "10.1.3.0", 6, 80);
	expect(&f, DEFAULT_DENY, "web", BH_EGRESS, "11.0.0.0", 6, 80);
	expect(&f, POLICY, "web", BH_EGRESS, "fd00::ffff", 58, 0);
	expect(&f, DEFAULT_DENY, "web", BH_EGRESS, "fd00:0:0:1::", 6, 80);
	assert_int_equal(f.t->n_cidrs, 4);
	done(&f);
}

static void test_families(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	one_rule(&f, "app=web", BH_EGRESS, (struct wk_rule){.peers = {{.cidr = "0.0.0.0/0"}}});
	one_rule(&f, "app=web", BH_INGRESS, (struct wk_rule){.peers = {{.cidr = "::/0"}}});
	finish(&f);
	expect(&f, POLICY, "web", BH_EGRESS, "1.2.3.4", 6, 80);
	expect(&f, DEFAULT_DENY, "web", BH_EGRESS, "::1", 6, 80);
	expect(&f, DEFAULT_DENY, "web", BH_EGRESS, "2001:db8::1", 6, 80);
	expect(&f, DEFAULT_DENY, "web", BH_INGRESS, "1.2.3.4", 6, 80);
	expect(&f, POLICY, "web", BH_INGRESS, "::1", 6, 80);
	expect(&f, POLICY, "web", BH_INGRESS, "2001:db8::1", 6, 80);
	done(&f);
}

static void test_needless_prefixes(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f); /* an except inside another except of the same block changes nothing */
	one_rule(&f, "app=web", BH_EGRESS,
		 (struct wk_rule){.peers = {{.cidr = "10.0.0.0/8",
					     .except = {"10.1.0.0/16", "10.1.1.0/24"}}}});
	finish(&f);
	assert_int_equal(f.t->n_cidrs, 2);
	assert_int_equal(f.t->n_classes, 2);
	done(&f);
}

static void test_block_and_selector(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f); /* one address in both: the union */
	one_rule(&f, "app=db", BH_INGRESS,
		 (struct wk_rule){.peers = {{.pods = "app=web"}}, .ports = {WK_TCP(80)}});
	wk_rule(f.w->policies[0], BH_INGRESS,
		&(struct wk_rule){.peers = {{.cidr = "10.0.0.1/32"}}, .ports = {WK_TCP(81)}});
	finish(&f);
	expect(&f, POLICY, "db", BH_INGRESS, "10.0.0.1", 6, 80);
	expect(&f, POLICY, "db", BH_INGRESS, "10.0.0.1", 6, 81);
	expect(&f, POLICY, "db", BH_INGRESS, "fd00::1", 6, 80);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "fd00::1", 6, 81);
	done(&f);
}

/* ---- ports ---- */

static void test_ports(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	one_rule(&f, "app=db", BH_INGRESS,
		 (struct wk_rule){.ports = {WK_TCP(80), WK_TCP(80), WK_RANGE(6, 100, 200),
					    WK_RANGE(6, 150, 255), WK_ALL(17),
					    WK_RANGE(132, 65535, 65535)}});
	finish(&f);
	expect(&f, POLICY, "db", BH_INGRESS, "8.8.8.8", 6, 80);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "8.8.8.8", 6, 99);
	expect(&f, POLICY, "db", BH_INGRESS, "8.8.8.8", 6, 100);
	expect(&f, POLICY, "db", BH_INGRESS, "8.8.8.8", 6, 255);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "8.8.8.8", 6, 256);
	expect(&f, POLICY, "db", BH_INGRESS, "8.8.8.8", 17, 0);
	expect(&f, POLICY, "db", BH_INGRESS, "8.8.8.8", 17, 65535);
	expect(&f, POLICY, "db", BH_INGRESS, "8.8.8.8", 132, 65535);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "8.8.8.8", 132, 65534);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "8.8.8.8", 1, 0);
	assert_int_equal(f.t->n_portmaps, 2);
	done(&f);
}

/* Ports that the same rules treat alike are one class, however the rules spell them; ports that no
 * rule names are class 0, also between two that are named. */
static void test_fewest_classes(void **state)
{
	const struct bh_tportmap *map;
	const struct bh_truleset *r;
	struct fixture f;

	(void)state;
	begin(&f);
	one_rule(&f, "app=db", BH_INGRESS,
		 (struct wk_rule){.ports = {WK_TCP(80), WK_RANGE(6, 100, 200), WK_UDP(53)}});
	wk_rule(f.w->policies[0], BH_INGRESS,
		&(struct wk_rule){.ports = {WK_RANGE(6, 150, 300), WK_TCP(100), WK_UDP(5353)}});
	finish(&f);
	r = &f.t->rulesets[bh_tables_subject(f.t, "shop", "db")->ruleset[BH_INGRESS]];
	map = &f.t->portmaps[r->portmap];
	assert_int_equal(r->dflt.allow[0], 2);
	assert_int_equal(f.t->pages[map->page[BH_PP_TCP][0]].class[80], 1);
	assert_int_equal(f.t->pages[map->page[BH_PP_TCP][0]].class[81], 0);
	assert_int_equal(f.t->pages[map->page[BH_PP_TCP][0]].class[99], 0);
	assert_int_equal(f.t->pages[map->page[BH_PP_TCP][0]].class[160], 1);
	assert_int_equal(f.t->pages[map->page[BH_PP_TCP][1]].class[300 - 256], 1);
	assert_int_equal(f.t->pages[map->page[BH_PP_TCP][1]].class[301 - 256], 0);
	assert_int_equal(map->page[BH_PP_SCTP][0], 0);
	done(&f);
}

static void test_cross_product(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	one_rule(&f, "app=db", BH_INGRESS,
		 (struct wk_rule){.peers = {{.pods = "app=web"}}, .ports = {WK_TCP(80)}});
	wk_rule(f.w->policies[0], BH_INGRESS,
		&(struct wk_rule){.peers = {{.namespaces = "team=ops"}}, .ports = {WK_TCP(90)}});
	finish(&f);
	expect(&f, POLICY, "db", BH_INGRESS, "10.0.0.1", 6, 80);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "10.0.0.1", 6, 90);
	expect(&f, POLICY, "db", BH_INGRESS, "10.0.1.1", 6, 90);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "10.0.1.1", 6, 80);
	done(&f);
}

static void test_named_port_ingress(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f); /* one policy, a number for each pod that has the name */
	one_rule(&f, "", BH_INGRESS, (struct wk_rule){.ports = {WK_NAMED(6, (char *)"http")}});
	finish(&f);
	expect(&f, POLICY, "db", BH_INGRESS, "8.8.8.8", 6, 8080);
	expect(&f, POLICY, "db", BH_INGRESS, "8.8.8.8", 6, 8081);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "8.8.8.8", 17, 8080);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "8.8.8.8", 6, 9090);
	expect(&f, DEFAULT_DENY, "web", BH_INGRESS, "8.8.8.8", 6, 8080);
	done(&f);
}

static void test_named_port_egress(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	one_rule(&f, "app=web", BH_EGRESS,
		 (struct wk_rule){.peers = {{.namespaces = ""}, {.cidr = "10.0.1.0/24"}},
				  .ports = {WK_NAMED(6, (char *)"http")}});
	finish(&f);
	expect(&f, POLICY, "web", BH_EGRESS, "10.0.0.2", 6, 8080);
	expect(&f, POLICY, "web", BH_EGRESS, "fd00::2", 6, 8081);
	expect(&f, DEFAULT_DENY, "web", BH_EGRESS, "10.0.0.2", 6, 9090);
	expect(&f, POLICY, "web", BH_EGRESS, "10.0.1.1", 6, 9090);
	expect(&f, DEFAULT_DENY, "web", BH_EGRESS, "10.0.1.1", 6, 8080);
	expect(&f, DEFAULT_DENY, "web", BH_EGRESS, "10.0.1.2", 6, 9090); /* a block has no names */
	done(&f);
	begin(&f); /* without `to`: pods that have the name */
	one_rule(&f, "app=web", BH_EGRESS,
		 (struct wk_rule){.ports = {WK_NAMED(6, (char *)"http")}});
	finish(&f);
	expect(&f, POLICY, "web", BH_EGRESS, "10.0.1.1", 6, 9090);
	expect(&f, DEFAULT_DENY, "web", BH_EGRESS, "8.8.8.8", 6, 9090);
	done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_needless_prefixes),
		cmocka_unit_test(test_block_and_selector),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_fewest_classes),
		cmocka_unit_test(test_cross_product),
		cmocka_unit_test(test_named_port_ingress),
		cmocka_unit_test(test_named_port_egress),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
