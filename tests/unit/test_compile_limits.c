/* The compiler: what does not fit is refused with a name, nothing is cut short. */
#include "compile_fixture.h"

/* ---- limits ---- */

static void test_too_many_port_classes(void **state)
{
	struct bh_subject web = {"shop", "web"};
	struct bh_tables *t = NULL;
	struct fixture f;

	(void)state;
	begin(&f);
	for (int i = 0; i < 256; i++) {
		char cidr[32], name[16];
		struct wk_rule rule = {.peers = {{.cidr = cidr}},
				       .ports = {WK_TCP((uint16_t)(1000 + i))}};
		struct bh_policy *p;

		snprintf(cidr, sizeof(cidr), "10.9.%d.0/24", i);
		snprintf(name, sizeof(name), "p%03d", i);
		p = wk_policy("shop", name, i == 255 ? "app=web" : "");
		wk_rule(p, BH_EGRESS, &rule);
		wk_add_policy(f.w, p);
	}
	wk_seal(f.w);
	bh_assert_fails(&f.err, -E2BIG, "policy 'shop/p255'", bh_compile(f.w, &web, 1, &t, &f.err));
	assert_null(t);
	/* 255 of them still fit */
	web.name = "db";
	bh_assert_ok(&f.err, bh_compile(f.w, &web, 1, &t, &f.err));
	bh_tables_freep(&t);
	done(&f);
}

static void test_too_many_executables(void **state)
{
	struct bh_subject web = {"shop", "web"};
	struct bh_tables *t = NULL;
	struct fixture f;
	char path[BH_PATH_MAX + 1];

	(void)state;
	begin(&f);
	for (int i = 0; i <= BH_MAX_EXES; i++) {
		char name[16], exe[32];
		struct wk_rule rule = {.processes = {exe}};
		struct bh_policy *p;

		snprintf(exe, sizeof(exe), "/bin/%d", i);
		snprintf(name, sizeof(name), "p%05d", i);
		p = wk_policy("shop", name, "app=web");
		wk_rule(p, BH_EGRESS, &rule);
		wk_add_policy(f.w, p);
	}
	wk_seal(f.w);
	bh_assert_fails(&f.err, -E2BIG, "policy 'shop/p04096'",
			bh_compile(f.w, &web, 1, &t, &f.err));
	done(&f);
	begin(&f);
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[BH_PATH_MAX] = '\0';
	one_rule(&f, "", BH_EGRESS, (struct wk_rule){.processes = {path}});
	wk_seal(f.w);
	bh_assert_fails(&f.err, -E2BIG, "policy 'shop/p0'", bh_compile(f.w, &web, 1, &t, &f.err));
	done(&f);
}

static void test_too_many_conditional_cells(void **state)
{
	struct bh_subject web = {"shop", "web"};
	struct bh_tables *t = NULL;
	struct fixture f;

	(void)state;
	begin(&f); /* 255 port classes that 300 executables may not use, but the others may */
	for (int i = 0; i < 300; i++) {
		char name[16], exe[32];
		struct wk_rule rule = {.action = BH_ACTION_DENY,
				       .ports = {WK_TCP((uint16_t)(i < 254 ? i + 1 : 254))},
				       .processes = {exe}};
		struct bh_policy *p;

		snprintf(exe, sizeof(exe), "/bin/%d", i);
		snprintf(name, sizeof(name), "p%03d", i);
		p = wk_policy("shop", name, "app=web");
		wk_rule(p, BH_EGRESS, &rule);
		wk_add_policy(f.w, p);
	}
	one_rule(&f, "", BH_EGRESS, (struct wk_rule){.is_inert = false});
	wk_seal(f.w);
	bh_assert_fails(&f.err, -E2BIG, "pod 'shop/web'", bh_compile(f.w, &web, 1, &t, &f.err));
	done(&f);
}

static void test_too_many_prefixes(void **state)
{
	struct bh_subject web = {"shop", "web"};
	struct bh_policy *p = wk_policy("shop", "wide", "app=web");
	struct bh_tables *t = NULL;
	struct fixture f;
	struct bh_rule *r;

	(void)state;
	begin(&f);
	wk_rule(p, BH_EGRESS, &(struct wk_rule){.peers = {{.cidr = "10.0.0.0/8"}}});
	r = &p->rules[BH_EGRESS][0];
	free(r->peers[0].excepts);
	r->peers[0].excepts = calloc(BH_MAX_CIDRS, sizeof(struct bh_cidr));
	r->peers[0].n_excepts = BH_MAX_CIDRS;
	for (uint32_t i = 0; i < BH_MAX_CIDRS; i++)
		r->peers[0].excepts[i] =
			(struct bh_cidr){.ip = bh_ip_from4((10u << 24) + 2 * i), .len = 128};
	wk_add_policy(f.w, p);
	wk_seal(f.w);
	bh_assert_fails(&f.err, -E2BIG, "policy 'shop/wide'", bh_compile(f.w, &web, 1, &t, &f.err));
	done(&f);
}

static void test_unknown_subject(void **state)
{
	struct bh_subject nobody = {"shop", "nobody"};
	struct bh_tables *t = NULL;
	struct fixture f;

	(void)state;
	begin(&f);
	wk_seal(f.w);
	bh_assert_fails(&f.err, -EINVAL, "pod 'shop/nobody'",
			bh_compile(f.w, &nobody, 1, &t, &f.err));
	bh_assert_ok(&f.err, bh_compile(f.w, NULL, 0, &f.t, &f.err));
	assert_int_equal(f.t->n_subjects, 0);
	assert_int_equal(f.t->n_rulesets, 1);
	done(&f);
}

/* A failure leaves a memo that works. */
static void test_memo_after_failure(void **state)
{
	struct bh_subject s[] = {{"shop", "web"}, {"shop", "nobody"}};
	struct bh_compile_memo *memo = NULL;
	struct bh_compile_request req = {.subjects = s, .n_subjects = 1};
	struct bh_tables *t = NULL;
	struct fixture f;

	(void)state;
	begin(&f);
	one_rule(&f, "app=web", BH_EGRESS, (struct wk_rule){.peers = {{.pods = "app=db"}}});
	finish(&f);
	req.world = f.w;
	bh_assert_ok(&f.err, bh_compile_memo_new(&memo, &f.err));
	req.memo = memo;
	for (int i = 0; i < 3; i++) {
		req.n_subjects = 2;
		bh_assert_fails(&f.err, -EINVAL, "nobody", bh_compile_run(&req, &t, &f.err));
		req.n_subjects = 1;
		bh_assert_ok(&f.err, bh_compile_run(&req, &t, &f.err));
		assert_int_equal(t->n_peers, 2);
		bh_tables_freep(&t);
	}
	bh_compile_memo_freep(&memo);
	done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_too_many_port_classes),
		cmocka_unit_test(test_too_many_executables),
		cmocka_unit_test(test_too_many_conditional_cells),
		cmocka_unit_test(test_too_many_prefixes),
		cmocka_unit_test(test_unknown_subject),
		cmocka_unit_test(test_memo_after_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
