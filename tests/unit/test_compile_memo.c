/* The compiler's memo: what a change must not leave behind. test_compile_random.c tries everything;
 * here are the changes that chance rarely makes. */
#include "compile_fixture.h"

/* A world made of what stands in the arrays, compiled with and without the memo. */
struct series {
	struct bh_compile_memo *memo;
	struct bh_pod *pods[4];
	struct bh_policy *policies[4];
	bool is_subject[4];
	int64_t now_s;
};

static void series_init(struct series *s)
{
	struct bh_err err;

	*s = (struct series){.now_s = NOW};
	bh_assert_ok(&err, bh_compile_memo_new(&s->memo, &err));
}

static void series_done(struct series *s)
{
	for (int i = 0; i < 4; i++) {
		bh_pod_unref(s->pods[i]);
		bh_policy_unref(s->policies[i]);
	}
	bh_compile_memo_freep(&s->memo);
}

static void set_pod(struct series *s, int i, struct wk_pod pod)
{
	static const char *const names[] = {"p0", "p1", "p2", "p3"};

	bh_pod_unref(s->pods[i]);
	pod.ns = "shop";
	pod.name = names[i];
	s->pods[i] = wk_pod(&pod);
}

static void set_policy(struct series *s, int i, const char *pods, struct wk_rule rule)
{
	static const char *const names[] = {"n0", "n1", "n2", "n3"};

	bh_policy_unref(s->policies[i]);
	s->policies[i] = wk_policy("shop", names[i], pods);
	wk_rule(s->policies[i], BH_EGRESS, &rule);
}

static void check(struct series *s)
{
	struct bh_world *w = wk_world(s->now_s);
	struct bh_subject subjects[4];
	struct bh_compile_request req = {.world = w, .subjects = subjects};
	struct bh_tables *t[2] = {NULL};
	char *text[2];
	struct bh_err err;

	for (int i = 0; i < 4; i++) {
		if (s->pods[i])
			assert_int_equal(bh_world_add_pod(w, s->pods[i]), 0);
		if (s->policies[i])
			assert_int_equal(bh_world_add_policy(w, s->policies[i]), 0);
		if (s->pods[i] && s->is_subject[i])
			subjects[req.n_subjects++] = (struct bh_subject){"shop", s->pods[i]->name};
	}
	wk_seal(w);
	for (int i = 0; i < 2; i++) {
		req.memo = i ? s->memo : NULL;
		bh_assert_ok(&err, bh_compile_run(&req, &t[i], &err));
		text[i] = bh_tables_print(t[i]);
		assert_non_null(text[i]);
		if (i)
			bh_compile_recycle(s->memo, t[i]);
		else
			bh_tables_free(t[i]);
	}
	assert_string_equal(text[0], text[1]);
	free(text[0]);
	free(text[1]);
	bh_world_unref(w);
}

/* A class whose conditional row equals the default has no row, also when it comes later. */
static void test_row_like_default(void **state)
{
	struct series s;

	(void)state;
	series_init(&s);
	s.is_subject[0] = true;
	set_pod(&s, 0, (struct wk_pod){.labels = "app=web", .ips = "10.0.0.1"});
	set_pod(&s, 1, (struct wk_pod){.labels = "app=db", .ips = "10.0.0.2"});
	set_policy(&s, 0, "app=web", (struct wk_rule){.processes = {"/bin/a", "/bin/b"}});
	set_policy(&s, 1, "app=web",
		   (struct wk_rule){.peers = {{.pods = "app=db"}}, .processes = {"/bin/a"}});
	set_policy(&s, 2, "app=web",
		   (struct wk_rule){.peers = {{.pods = "tier=x"}}, .processes = {"/bin/a"}});
	set_policy(&s, 3, "app=web",
		   (struct wk_rule){.peers = {{.pods = "app=q"}}, .processes = {"/bin/c"}});
	set_pod(&s, 3, (struct wk_pod){.labels = "app=q", .ips = "10.0.0.4"}); /* has a row */
	check(&s);
	set_pod(&s, 2, (struct wk_pod){.labels = "app=db,tier=x", .ips = "10.0.0.3"});
	check(&s);
	set_pod(&s, 1, (struct wk_pod){.labels = "tier=x", .ips = "10.0.0.2"});
	check(&s);
	series_done(&s);
}

/* Labels whose last address goes and comes back meanwhile miss a new selector. */
static void test_addressless_for_a_while(void **state)
{
	struct series s;

	(void)state;
	series_init(&s);
	s.is_subject[0] = true;
	set_pod(&s, 0, (struct wk_pod){.labels = "app=web", .ips = "10.0.0.1"});
	set_pod(&s, 1, (struct wk_pod){.labels = "app=db", .ips = "10.0.0.2"});
	set_pod(&s, 2, (struct wk_pod){.labels = "app=db"});
	set_policy(&s, 0, "app=web", (struct wk_rule){.peers = {{.pods = "app=db"}}});
	check(&s);
	set_pod(&s, 1, (struct wk_pod){.labels = "app=db"});
	set_policy(&s, 1, "app=web", (struct wk_rule){.peers = {{.pods = "app"}}});
	check(&s);
	set_pod(&s, 1, (struct wk_pod){.labels = "app=db", .ips = "10.0.0.2"});
	check(&s);
	series_done(&s);
}

/* A subject goes and another one takes its place in the memo. */
static void test_subject_replaced(void **state)
{
	struct series s;

	(void)state;
	series_init(&s);
	s.is_subject[0] = s.is_subject[3] = true;
	set_pod(&s, 0, (struct wk_pod){.labels = "app=web", .ips = "10.0.0.1"});
	set_pod(&s, 1, (struct wk_pod){.labels = "app=db", .ips = "10.0.0.2"});
	set_policy(&s, 0, "app=web", (struct wk_rule){.peers = {{.pods = "app=db"}}});
	set_policy(&s, 1, "app=api", (struct wk_rule){.peers = {{.cidr = "10.0.0.0/8"}}});
	check(&s);
	set_pod(&s, 0, (struct wk_pod){.labels = "app=gone", .ips = "10.0.0.1"});
	check(&s);
	set_pod(&s, 0, (struct wk_pod){.labels = "app=api", .ips = "10.0.0.1"});
	check(&s);
	series_done(&s);
}

/* A subject that was none for a while: what it was made from may have changed meanwhile. */
static void test_subject_for_a_while(void **state)
{
	struct series s;

	(void)state;
	series_init(&s);
	s.is_subject[0] = true;
	set_pod(&s, 0, (struct wk_pod){.labels = "app=web", .ips = "10.0.0.1"});
	set_pod(&s, 1, (struct wk_pod){.labels = "app=db", .ips = "10.0.0.2"});
	set_policy(&s, 0, "app=web",
		   (struct wk_rule){.peers = {{.pods = "app=db"}}, .ports = {WK_TCP(80)}});
	check(&s);
	s.is_subject[0] = false;
	set_pod(&s, 1, (struct wk_pod){.labels = "app=x", .ips = "10.0.0.2"});
	check(&s);
	s.is_subject[0] = true;
	check(&s);
	set_pod(&s, 1, (struct wk_pod){.labels = "app=db", .ips = "10.0.0.2"});
	check(&s);
	series_done(&s);
}

/* Time goes by, and back. */
static void test_clock(void **state)
{
	static const int64_t steps[] = {NOW, NOW + 5, NOW + 15, NOW + 25, NOW, NOW + 20, NOW + 9};
	struct series s;

	(void)state;
	series_init(&s);
	s.is_subject[0] = true;
	set_pod(&s, 0, (struct wk_pod){.labels = "app=web", .ips = "10.0.0.1"});
	set_policy(&s, 0, "", (struct wk_rule){.ports = {WK_TCP(80)}, .expires_s = NOW + 10});
	set_policy(&s, 1, "",
		   (struct wk_rule){.action = BH_ACTION_DENY,
				    .peers = {{.cidr = "10.0.0.0/8"}},
				    .processes = {"/bin/a"},
				    .expires_s = NOW + 20});
	set_policy(&s, 2, "", (struct wk_rule){.ports = {WK_TCP(81)}});
	for (size_t i = 0; i < BH_ARRAY_SIZE(steps); i++) {
		s.now_s = steps[i];
		check(&s);
	}
	series_done(&s);
}

/* Of two alike pods that claim one address, one goes: the other is left and no longer contested. */
static void test_twin_goes(void **state)
{
	struct series s;

	(void)state;
	series_init(&s);
	s.is_subject[0] = true;
	set_pod(&s, 0, (struct wk_pod){.labels = "app=web", .ips = "10.0.0.1"});
	set_pod(&s, 1, (struct wk_pod){.labels = "app=db", .ips = "10.0.0.2"});
	set_pod(&s, 2, (struct wk_pod){.labels = "app=db", .ips = "10.0.0.2"});
	set_policy(&s, 0, "app=web", (struct wk_rule){.peers = {{.pods = "app=db"}}});
	check(&s);
	set_pod(&s, 2, (struct wk_pod){.labels = "app=db", .ips = "10.0.0.3"});
	check(&s);
	set_pod(&s, 1, (struct wk_pod){.labels = "app=db", .ips = "10.0.0.3"});
	check(&s);
	series_done(&s);
}

/* Enough garbage to make the memo start over several times. */
static void test_worn_memo(void **state)
{
	struct series s;

	(void)state;
	series_init(&s);
	s.is_subject[0] = true;
	set_pod(&s, 0, (struct wk_pod){.labels = "app=web", .ips = "10.0.0.1"});
	for (int i = 0; i < 1000; i++) {
		char label[32], selector[32];

		snprintf(label, sizeof(label), "n=%d", i / 2);
		snprintf(selector, sizeof(selector), "n=%d", i);
		set_pod(&s, 1, (struct wk_pod){.labels = label, .ips = "10.0.0.2"});
		set_policy(&s, 0, "app=web",
			   (struct wk_rule){.peers = {{.pods = selector}}, .ports = {WK_TCP(80)}});
		set_policy(&s, 1, "app=web",
			   (struct wk_rule){.peers = {{.pods = label}},
					    .ports = {WK_TCP((uint16_t)(i + 1))}});
		check(&s);
	}
	series_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_row_like_default),
		cmocka_unit_test(test_addressless_for_a_while),
		cmocka_unit_test(test_subject_replaced),
		cmocka_unit_test(test_subject_for_a_while),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_twin_goes),
		cmocka_unit_test(test_worn_memo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
