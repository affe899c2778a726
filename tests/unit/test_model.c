#include "bh_test.h"

#include "policy/ident.h"
#include "policy/intern.h"
#include "policy/model.h"

static struct bh_requirement *add(struct bh_selector *s, const char *key, enum bh_selector_op op)
{
	s->v = realloc(s->v, (s->n + 1) * sizeof(*s->v));
	assert_non_null(s->v);
	s->v[s->n] = (struct bh_requirement){.key = strdup(key), .op = op};
	return &s->v[s->n++];
}

static void add_value(struct bh_requirement *q, const char *value)
{
	q->values = realloc(q->values, (q->n_values + 1) * sizeof(*q->values));
	assert_non_null(q->values);
	q->values[q->n_values++] = strdup(value);
}

static void test_selector_text(void **state)
{
	struct bh_selector s = {0};
	struct bh_requirement *q;

	(void)state;
	add(&s, "z", BH_SEL_ABSENT);
	q = add(&s, "app", BH_SEL_NOT_IN);
	add_value(q, "c");
	add_value(q, "");
	q = add(&s, "app", BH_SEL_IN);
	add_value(q, "b");
	add_value(q, "a");
	add_value(q, "b");
	add(&s, "tier", BH_SEL_EXISTS);
	q = add(&s, "app", BH_SEL_IN);
	add_value(q, "a");
	add_value(q, "b");
	assert_int_equal(bh_selector_seal(&s), 0);
	assert_string_equal(s.text, "app in (a,b),app notin (,c),tier,!z");
	assert_int_equal(s.n, 4);
	bh_selector_done(&s);
	assert_int_equal(bh_selector_seal(&s), 0);
	assert_string_equal(s.text, "");
	bh_selector_done(&s);
}

/* Cases 18 to 22 of the catalogue. */
static void test_selector_matches(void **state)
{
	static const struct {
		enum bh_selector_op op;
		bool with_a, with_empty, with_other, without;
	} rows[] = {
		{BH_SEL_IN, true, false, false, false},
		{BH_SEL_NOT_IN, false, true, true, true},
		{BH_SEL_EXISTS, true, true, true, false},
		{BH_SEL_ABSENT, false, false, false, true},
	};
	struct bh_label a = {"app", "a"}, empty = {"app", ""}, other = {"app", "b"},
			none = {"x", "a"};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_selector s = {0};
		struct bh_requirement *q = add(&s, "app", rows[i].op);

		if (rows[i].op == BH_SEL_IN || rows[i].op == BH_SEL_NOT_IN)
			add_value(q, "a");
		assert_int_equal(bh_selector_seal(&s), 0);
		assert_int_equal(bh_selector_matches(&s, &(struct bh_labels){&a, 1}),
				 rows[i].with_a);
		assert_int_equal(bh_selector_matches(&s, &(struct bh_labels){&empty, 1}),
				 rows[i].with_empty);
		assert_int_equal(bh_selector_matches(&s, &(struct bh_labels){&other, 1}),
				 rows[i].with_other);
		assert_int_equal(bh_selector_matches(&s, &(struct bh_labels){&none, 1}),
				 rows[i].without);
		bh_selector_done(&s);
	}
}

static struct bh_pod *pod(const char *ns, const char *name, const char *app, const char *ip)
{
	struct bh_label label = {"app", app};
	struct bh_ip address = {0};
	struct bh_pod *ret = NULL;
	struct bh_err err;

	bh_assert_ok(&err, bh_ip_parse(ip, &address, &err));
	bh_assert_ok(&err, bh_pod_new(&(struct bh_pod_init){.ns = ns,
							    .name = name,
							    .labels = {&label, 1},
							    .ips = &address,
							    .n_ips = 1,
							    .uid = "u",
							    .node = "n",
							    .file = "f"},
				      &ret, &err));
	return ret;
}

static void test_idents(void **state)
{
	struct bh_pod *a = pod("x", "a", "web", "10.0.0.1"), *b = pod("x", "b", "web", "10.0.0.2"),
		      *c = pod("y", "a", "web", "10.0.0.3"), *d = pod("x", "d", "db", "10.0.0.4");

	(void)state;
	assert_ptr_equal(a->ident, b->ident);
	assert_ptr_not_equal(a->ident, c->ident);
	assert_ptr_not_equal(a->ident, d->ident);
	assert_int_equal(a->ident->refs, 2);
	assert_ptr_equal(a->node, c->node);
	assert_ptr_equal(a->place.file, a->file);
	bh_pod_unref(a);
	assert_int_equal(b->ident->refs, 1);
	bh_pod_unref(b);
	bh_pod_unref(c);
	bh_pod_unref(d);
	/* The last pod took its strings with it. */
	assert_null(bh_intern_find("web"));
	assert_null(bh_intern_find("db"));
}

static void test_ident_content(void **state)
{
	struct bh_label labels[] = {{"b", "1"}, {"a", "1"}, {"b", "2"}};
	struct bh_named_port ports[] = {
		{"http", 6, 81}, {"dns", 17, 53}, {"http", 6, 80}, {"http", 6, 80}};
	struct bh_label same[] = {{"a", "1"}, {"b", "2"}};
	struct bh_named_port sorted[] = {{"dns", 17, 53}, {"http", 6, 80}, {"http", 6, 81}};
	struct bh_ident *x = bh_ident_get("n", &(struct bh_labels){labels, 3}, ports, 4);
	struct bh_ident *y = bh_ident_get("n", &(struct bh_labels){same, 2}, sorted, 3);
	struct bh_ident *z = bh_ident_get("n", &(struct bh_labels){same, 2}, sorted, 2);

	(void)state;
	assert_ptr_equal(x, y);
	assert_ptr_not_equal(x, z);
	assert_int_equal(x->labels.n, 2);
	assert_string_equal(bh_labels_get(&x->labels, "b"), "2");
	assert_null(bh_labels_get(&x->labels, "c"));
	assert_int_equal(x->n_ports, 3);
	assert_string_equal(x->ports[0].name, "dns");
	assert_int_equal(x->ports[2].port, 81);
	bh_ident_unref(x);
	bh_ident_unref(y);
	bh_ident_unref(z);
}

static void test_many_idents(void **state)
{
	struct bh_pod *v[500];
	char name[16], app[16];

	(void)state;
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		snprintf(app, sizeof(app), "app%d", i % 100);
		v[i] = pod("x", name, app, "10.0.0.1");
		assert_string_equal(bh_labels_get(&v[i]->ident->labels, "app"), app);
		if (i >= 100)
			assert_ptr_equal(v[i]->ident, v[i - 100]->ident);
	}
	for (int i = 0; i < 500; i++)
		bh_pod_unref(v[i]);
}

static void test_namespace_name_label(void **state)
{
	struct bh_label forged = {"kubernetes.io/metadata.name", "other"};
	struct bh_namespace *ns = NULL;
	struct bh_err err;

	(void)state;
	bh_assert_ok(&err, bh_namespace_new("shop", &(struct bh_labels){&forged, 1}, &ns, &err));
	assert_string_equal(bh_labels_get(&ns->labels, "kubernetes.io/metadata.name"), "shop");
	bh_namespace_unref(ns);
}

static struct bh_world *world(void)
{
	struct bh_world *w = NULL;
	struct bh_err err;

	bh_assert_ok(&err, bh_world_new(&w, &err));
	return w;
}

static void give_pod(struct bh_world *w, struct bh_pod *p)
{
	assert_int_equal(bh_world_add_pod(w, p), 0);
	bh_pod_unref(p);
}

static void test_world_order(void **state)
{
	struct bh_world *w = world();
	struct bh_err err;
	struct bh_ip ip;
	char name[16];

	(void)state;
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "p%03d", i * 77 % 200);
		give_pod(w, pod(i % 2 ? "b" : "a", name, "web", "10.0.0.1"));
	}
	bh_assert_ok(&err, bh_ip_parse("10.0.0.9", &ip, &err));
	assert_int_equal(bh_world_add_node_address(w, &ip), 0);
	assert_int_equal(bh_world_add_node_address(w, &ip), 0);
	bh_assert_ok(&err, bh_ip_parse("10.0.0.8", &ip, &err));
	assert_int_equal(bh_world_add_node_address(w, &ip), 0);
	bh_assert_ok(&err, bh_world_seal(w, &err));
	assert_int_equal(w->n_pods, 200);
	for (size_t i = 1; i < w->n_pods; i++) {
		int r = strcmp(w->pods[i - 1]->ident->ns, w->pods[i]->ident->ns);

		assert_true(r < 0 || (!r && strcmp(w->pods[i - 1]->name, w->pods[i]->name) < 0));
	}
	assert_int_equal(w->n_node_addresses, 2);
	assert_int_equal(bh_ip_cmp(&w->node_addresses[0], &ip), 0);
	assert_int_equal(w->n_namespaces, 2);
	assert_string_equal(w->namespaces[0]->name, "a");
	assert_non_null(bh_world_namespace(w, "b"));
	assert_null(bh_world_namespace(w, "c"));
	assert_string_equal(bh_world_pod(w, "a", "p000")->name, "p000");
	assert_null(bh_world_pod(w, "c", "p000"));
	bh_world_unref(w);
}

/* What the object set gives is in order; endpoints behind it replace their manifests. */
static void test_world_merge(void **state)
{
	struct bh_world *w = world();
	struct bh_err err;
	char name[16];

	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "p%03d", i * 2);
		give_pod(w, pod("a", name, "web", "10.0.0.1"));
	}
	w->n_sorted_pods = w->n_pods;
	give_pod(w, pod("b", "last", "web", "10.0.0.2"));
	give_pod(w, pod("a", "p101", "web", "10.0.0.2"));
	give_pod(w, pod("a", "p050", "db", "10.0.0.2"));
	give_pod(w, pod("a", "a", "web", "10.0.0.2"));
	give_pod(w, pod("a", "p101", "db", "10.0.0.3"));
	bh_assert_ok(&err, bh_world_seal(w, &err));
	assert_int_equal(w->n_pods, 103);
	for (size_t i = 1; i + 1 < w->n_pods; i++)
		assert_true(strcmp(w->pods[i - 1]->name, w->pods[i]->name) < 0);
	assert_string_equal(w->pods[0]->name, "a");
	assert_string_equal(w->pods[102]->name, "last");
	/* The one added last stays. */
	assert_string_equal(bh_labels_get(&bh_world_pod(w, "a", "p050")->ident->labels, "app"),
			    "db");
	assert_string_equal(bh_labels_get(&bh_world_pod(w, "a", "p101")->ident->labels, "app"),
			    "db");
	bh_world_unref(w);
}

static void test_empty_world(void **state)
{
	struct bh_world *w = world();
	struct bh_err err;

	(void)state;
	bh_assert_ok(&err, bh_world_seal(w, &err));
	assert_int_equal(w->n_namespaces, 0);
	assert_null(bh_world_pod(w, "a", "b"));
	bh_world_unref(bh_world_ref(w));
	bh_world_unref(w);
}

static void test_policy_selects(void **state)
{
	struct bh_pod *p = pod("x", "a", "web", "10.0.0.1");
	struct bh_policy policy = {.ns = (char *)"x", .applies = {[BH_INGRESS] = true}};

	(void)state;
	assert_true(bh_policy_selects(&policy, p, BH_INGRESS));
	assert_false(bh_policy_selects(&policy, p, BH_EGRESS));
	p->host_network = true;
	assert_false(bh_policy_selects(&policy, p, BH_INGRESS));
	p->host_network = false;
	p->phase = BH_POD_DONE;
	assert_false(bh_policy_selects(&policy, p, BH_INGRESS));
	p->phase = BH_POD_RUNNING;
	policy.ns = (char *)"y";
	assert_false(bh_policy_selects(&policy, p, BH_INGRESS));
	bh_pod_unref(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_selector_text), cmocka_unit_test(test_selector_matches),
		cmocka_unit_test(test_idents),	      cmocka_unit_test(test_ident_content),
		cmocka_unit_test(test_many_idents),   cmocka_unit_test(test_namespace_name_label),
		cmocka_unit_test(test_world_order),   cmocka_unit_test(test_world_merge),
		cmocka_unit_test(test_empty_world),   cmocka_unit_test(test_policy_selects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
