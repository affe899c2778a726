/* Packed policies: the same content, places of their own, what is equal is kept once, and nothing
 * is left when the last one goes. */
#include "base/str.h"
#include "bh_test.h"
#include "policy/intern.h"
#include "worldkit.h"

static void full_rule(struct bh_policy *p, enum bh_dir dir, const char *app)
{
	wk_rule(p, dir,
		&(struct wk_rule){.peers = {{.namespaces = "team=ops", .pods = app},
					    {.pods = "a=1|2,b"},
					    {.cidr = "10.0.0.0/8", .except = {"10.1.0.0/16"}}},
				  .ports = {WK_TCP(80), WK_RANGE(17, 5, 9), WK_NAMED(6, "http")},
				  .processes = {"/bin/a", "/bin/b"},
				  .expires_s = 1000});
}

static struct bh_policy *made(const char *name, const char *app)
{
	struct bh_policy *p = wk_policy("ns", name, "app=web");

	full_rule(p, BH_INGRESS, app);
	wk_rule(p, BH_EGRESS, &(struct wk_rule){.action = BH_ACTION_DENY, .is_inert = true});
	full_rule(p, BH_EGRESS, app);
	p->rules[BH_EGRESS][1].reason.why = strdup("because");
	p->file = strdup("a.yaml");
	p->place = (struct bh_place){.file = p->file, .line = 10, .col = 1};
	p->tree_hash = 7;
	return p;
}

/* Line 100 * (1 + dir) + rule for rules, the column says which peer. */
static void set_places(struct bh_policy *p, unsigned line, unsigned col)
{
	for (unsigned dir = 0; dir < 2; dir++) {
		for (unsigned i = 0; i < p->n_rules[dir]; i++) {
			struct bh_rule *r = &p->rules[dir][i];

			r->place.line = line + 100 * dir + i;
			r->place.col = col;
			for (unsigned k = 0; k < r->n_peers; k++) {
				r->peers[k].place.line = line + 100 * dir + i;
				r->peers[k].place.col = col + 1 + k;
			}
		}
	}
}

static void assert_places(const struct bh_policy *p, unsigned line, unsigned col)
{
	for (unsigned dir = 0; dir < 2; dir++) {
		for (unsigned i = 0; i < p->n_rules[dir]; i++) {
			const struct bh_rule *r = &p->rules[dir][i];
			struct bh_place at = bh_rule_place(p, (enum bh_dir)dir, r);

			assert_int_equal(at.line, line + 100 * dir + i);
			assert_int_equal(at.col, col);
			assert_string_equal(at.file, "a.yaml");
			for (unsigned k = 0; k < r->n_peers; k++) {
				at = bh_peer_place(p, (enum bh_dir)dir, r, &r->peers[k]);
				assert_int_equal(at.line, line + 100 * dir + i);
				assert_int_equal(at.col, col + 1 + k);
			}
		}
	}
}

static void assert_selectors(const struct bh_selector *a, const struct bh_selector *b)
{
	assert_int_equal(a->n, b->n);
	assert_string_equal(a->text, b->text);
	for (size_t i = 0; i < a->n; i++) {
		assert_string_equal(a->v[i].key, b->v[i].key);
		assert_int_equal(a->v[i].op, b->v[i].op);
		assert_int_equal(a->v[i].n_values, b->v[i].n_values);
		for (size_t k = 0; k < a->v[i].n_values; k++)
			assert_string_equal(a->v[i].values[k], b->v[i].values[k]);
	}
}

static void assert_peers(const struct bh_peer *a, const struct bh_peer *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->has_pods, b->has_pods);
	assert_int_equal(a->has_namespaces, b->has_namespaces);
	assert_selectors(&a->pods, &b->pods);
	assert_selectors(&a->namespaces, &b->namespaces);
	assert_int_equal(bh_cidr_cmp(&a->cidr, &b->cidr), 0);
	assert_int_equal(a->n_excepts, b->n_excepts);
	for (size_t i = 0; i < a->n_excepts; i++)
		assert_int_equal(bh_cidr_cmp(&a->excepts[i], &b->excepts[i]), 0);
}

static void assert_rules(const struct bh_rule *a, const struct bh_rule *b)
{
	assert_int_equal(a->action, b->action);
	assert_int_equal(a->all_peers, b->all_peers);
	assert_int_equal(a->all_ports, b->all_ports);
	assert_int_equal(a->is_inert, b->is_inert);
	assert_int_equal(a->index, b->index);
	assert_int_equal(a->n_peers, b->n_peers);
	assert_int_equal(a->n_ports, b->n_ports);
	assert_int_equal(a->n_processes, b->n_processes);
	assert_true(bh_streq(a->reason.why, b->reason.why));
	assert_int_equal(a->reason.expires_s, b->reason.expires_s);
	for (size_t i = 0; i < a->n_peers; i++)
		assert_peers(&a->peers[i], &b->peers[i]);
	for (size_t i = 0; i < a->n_ports; i++) {
		assert_int_equal(a->ports[i].kind, b->ports[i].kind);
		assert_int_equal(a->ports[i].proto, b->ports[i].proto);
		assert_int_equal(a->ports[i].first, b->ports[i].first);
		assert_int_equal(a->ports[i].last, b->ports[i].last);
		assert_true(bh_streq(a->ports[i].name, b->ports[i].name));
	}
	for (size_t i = 0; i < a->n_processes; i++)
		assert_string_equal(a->processes[i], b->processes[i]);
}

static struct bh_policy *packed(const char *name, const char *app, unsigned line, unsigned col)
{
	struct bh_policy *p = made(name, app);

	set_places(p, line, col);
	assert_int_equal(bh_policy_pack(&p), 0);
	assert_true(p->is_packed);
	return p;
}

static void test_content(void **state)
{
	struct bh_policy *want = made("p", "app=db"), *p = packed("p", "app=db", 20, 3);

	(void)state;
	assert_int_equal(p->kind, want->kind);
	assert_string_equal(p->ns, want->ns);
	assert_string_equal(p->name, want->name);
	assert_string_equal(p->file, want->file);
	assert_ptr_equal(p->place.file, p->file);
	assert_int_equal(p->place.line, 10);
	assert_int_equal(p->tree_hash, 7);
	assert_selectors(&p->pods, &want->pods);
	for (size_t dir = 0; dir < 2; dir++) {
		assert_int_equal(p->applies[dir], want->applies[dir]);
		assert_int_equal(p->n_rules[dir], want->n_rules[dir]);
		for (size_t i = 0; i < p->n_rules[dir]; i++)
			assert_rules(&p->rules[dir][i], &want->rules[dir][i]);
	}
	bh_policy_unref(want);
	bh_policy_unref(p);
}

static void test_places(void **state)
{
	static const struct {
		unsigned line, col;
		bool is_wide;
	} rows[] = {
		{20, 3, false},
		{10, 1, false},
		{10, 65532, false}, /* the last peer's column is 65535 */
		{10, 65533, true},
		{9, 1, true},	  /* before the policy: an alias may point there */
		{70000, 3, true}, /* too far behind it */
		{4000000, 4000000, true},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_policy *p = packed("p", "app=db", rows[i].line, rows[i].col);

		assert_int_equal(p->has_wide_spots, rows[i].is_wide);
		assert_places(p, rows[i].line, rows[i].col);
		bh_policy_unref(p);
	}
}

static void test_sharing(void **state)
{
	struct bh_policy *a = packed("a", "app=db", 20, 3), *b = packed("b", "app=db", 40, 5);
	struct bh_policy *c = packed("c", "app=web", 20, 3);
	const struct bh_rule *ra = a->rules[BH_INGRESS], *rc = c->rules[BH_INGRESS];

	(void)state;
	assert_ptr_equal(ra, b->rules[BH_INGRESS]);
	assert_ptr_equal(a->rules[BH_EGRESS], b->rules[BH_EGRESS]);
	assert_ptr_equal(ra->peers, a->rules[BH_EGRESS][1].peers);
	assert_places(a, 20, 3);
	assert_places(b, 40, 5);
	/* Other peers, but the same ports, executables, excepts and most selectors. */
	assert_ptr_not_equal(ra->peers, rc->peers);
	assert_ptr_equal(ra->ports, rc->ports);
	assert_ptr_equal(ra->processes, rc->processes);
	assert_ptr_equal(ra->peers[2].excepts, rc->peers[2].excepts);
	assert_ptr_equal(ra->peers[0].namespaces.v, rc->peers[0].namespaces.v);
	assert_ptr_equal(a->pods.v, rc->peers[0].pods.v);
	/* What the others leave stays whole. */
	bh_policy_unref(a);
	bh_policy_unref(c);
	assert_places(b, 40, 5);
	assert_string_equal(b->rules[BH_EGRESS][1].peers[0].pods.text, "app in (db)");
	assert_string_equal(b->rules[BH_EGRESS][1].processes[1], "/bin/b");
	bh_policy_unref(b);
	assert_null(bh_intern_find("because"));
	assert_null(bh_intern_find("/bin/b"));
	assert_null(bh_intern_find("app in (db)"));
}

static void test_no_rules(void **state)
{
	struct bh_policy *p = wk_policy("ns", "none", "");

	(void)state;
	assert_int_equal(bh_policy_pack(&p), 0);
	assert_int_equal(p->n_rules[0] + p->n_rules[1], 0);
	assert_string_equal(p->pods.text, "");
	assert_null(p->file);
	bh_policy_unref(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_content),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_sharing),
		cmocka_unit_test(test_no_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
