#include "worldkit.h"

#include "daemon/standin.h"

static const struct wk_rule allow = {.action = BH_ACTION_ALLOW, .ports = {WK_TCP(80)}};
static const struct wk_rule deny = {
	.action = BH_ACTION_DENY, .ports = {WK_TCP(81)}, .expires_s = 1000};

static struct bh_policy *policy(const struct wk_rule *in, const struct wk_rule *out)
{
	struct bh_policy *p = wk_policy("shop", "p", "app=web|shop,!old,tier");

	p->file = strdup("/etc/p.yaml");
	p->place = (struct bh_place){.file = p->file, .line = 7, .col = 3};
	if (in)
		wk_rule(p, BH_INGRESS, in);
	if (out)
		wk_rule(p, BH_EGRESS, out);
	return p;
}

static void check(const struct bh_policy *p, const struct bh_policy *s, bool in, bool out)
{
	assert_non_null(s);
	assert_string_equal(s->ns, p->ns);
	assert_string_equal(s->name, p->name);
	assert_int_equal(s->kind, p->kind);
	assert_string_equal(s->pods.text, p->pods.text);
	assert_int_equal(s->place.line, 7);
	assert_ptr_equal(s->place.file, s->file);
	for (int dir = 0; dir < 2; dir++) {
		bool has_deny = dir == BH_INGRESS ? in : out;

		assert_int_equal(s->applies[dir], p->applies[dir]);
		assert_int_equal(s->n_rules[dir], has_deny);
		if (!has_deny)
			continue;
		assert_int_equal(s->rules[dir][0].action, BH_ACTION_DENY);
		assert_true(s->rules[dir][0].all_peers && s->rules[dir][0].all_ports);
		/* also when the rule it stands for would have ended */
		assert_true(bh_rule_lives(&s->rules[dir][0], INT64_MAX - 1));
	}
}

static void test_less_allowed_all_denied(void **state)
{
	static const struct {
		const struct wk_rule *in, *out;
		bool denies_in, denies_out;
		const char *text;
	} rows[] = {
		{&allow, &allow, false, false,
		 "it isolates the pods it selects and allows nothing"},
		{&allow, NULL, false, false, "it isolates the pods it selects and allows nothing"},
		{&deny, &allow, true, false,
		 "everything to the pods it selects is denied, and it allows nothing"},
		{&allow, &deny, false, true,
		 "everything from the pods it selects is denied, and it allows nothing"},
		{&deny, &deny, true, true, "everything from and to the pods it selects is denied"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bh_policy *p = policy(rows[i].in, rows[i].out);
		struct bh_policy *s = bh_standin_new(p);

		check(p, s, rows[i].denies_in, rows[i].denies_out);
		assert_string_equal(bh_standin_text(p), rows[i].text);
		bh_policy_unref(p);
		bh_policy_unref(s); /* it borrows nothing */
	}
}

static void test_of_a_packed_policy(void **state)
{
	struct bh_policy *p = policy(&deny, &allow), *s;

	(void)state;
	assert_int_equal(bh_policy_pack(&p), 0);
	s = bh_standin_new(p);
	assert_non_null(s);
	assert_int_equal(s->n_rules[BH_INGRESS], 1);
	bh_policy_unref(p);
	assert_string_equal(s->pods.v[0].key, "app");
	bh_policy_unref(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_less_allowed_all_denied),
		cmocka_unit_test(test_of_a_packed_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
