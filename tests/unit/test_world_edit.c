/* A world made by edits of the one before it is the world made of the same objects from nothing. */
#include <stdio.h>

#include "policy/world_edit.h"
#include "worldkit.h"

#define SPACES	 12 /* of names: namespaces, pods in each, policies in each */
#define PODS	 60
#define POLICIES 40
#define KEPT	 5 /* worlds that are looked at again later */
#define ROUNDS	 1500

struct bed {
	uint64_t seed;
	struct bh_namespace *ns[SPACES];
	struct bh_pod *pod[SPACES][PODS];
	struct bh_policy *policy[2][SPACES][POLICIES];
	struct bh_ip node[3];
	size_t n_node;
	int64_t now_s;
	struct bh_world *w, *kept[KEPT]; /* made by edits */
	struct bh_world *like[KEPT];	 /* from nothing */
};

static unsigned chance(struct bed *b, unsigned n)
{
	b->seed = b->seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(b->seed >> 33) % n;
}

static const char *name_of(char out[16], char what, unsigned n)
{
	snprintf(out, 16, "%c%02u", what, n);
	return out;
}

/* ---- the objects ---- */

static struct bh_namespace *make_namespace(struct bed *b, const char *name)
{
	struct bh_label label = {"team", chance(b, 2) ? "a" : "b"};
	struct bh_namespace *ns;
	struct bh_err err;

	bh_assert_ok(&err, bh_namespace_new(name, &(struct bh_labels){&label, 1}, &ns, &err));
	return ns;
}

static struct bh_pod *make_pod(struct bed *b, const char *ns, const char *name)
{
	static const char *const apps[] = {"app=a", "app=b", "app=c"};

	return wk_pod(&(struct wk_pod){
		.ns = ns, .name = name, .labels = apps[chance(b, 3)], .ips = "10.0.0.1"});
}

static struct bh_policy *make_policy(struct bed *b, int kind, const char *ns, const char *name)
{
	struct bh_policy *p = wk_policy(ns, name, "app=a");
	struct wk_rule rule = {.expires_s = chance(b, 4) ? 0 : 1 + (int64_t)chance(b, 3000)};

	wk_rule(p, BH_INGRESS, &rule);
	p->kind = (enum bh_policy_kind)kind;
	return p;
}

/* ---- worlds ---- */

static struct bh_world *from_nothing(const struct bed *b)
{
	struct bh_world *w = wk_world(b->now_s);
	struct bh_err err;

	for (unsigned i = 0; i < SPACES; i++) {
		if (b->ns[i])
			assert_int_equal(bh_world_add_namespace(w, b->ns[i]), 0);
		for (unsigned k = 0; k < PODS; k++) {
			if (b->pod[i][k])
				assert_int_equal(bh_world_add_pod(w, b->pod[i][k]), 0);
		}
		for (unsigned k = 0; k < POLICIES; k++) {
			for (int kind = 0; kind < 2; kind++) {
				if (b->policy[kind][i][k])
					assert_int_equal(
						bh_world_add_policy(w, b->policy[kind][i][k]), 0);
			}
		}
	}
	for (size_t i = 0; i < b->n_node; i++)
		assert_int_equal(bh_world_add_node_address(w, &b->node[i]), 0);
	w->default_allow = true;
	bh_assert_ok(&err, bh_world_seal(w, &err));
	return w;
}

static int64_t next_end(const struct bh_world *w)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < w->n_policies; i++) {
		int64_t end_s = w->policies[i]->rules[BH_INGRESS][0].reason.expires_s;

		if (end_s > w->now_s && end_s < next)
			next = end_s;
	}
	return next;
}

static void assert_same_namespace(const struct bh_namespace *a, const struct bh_namespace *b)
{
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->is_implied, b->is_implied);
	assert_true(a == b || a->is_implied);
}

static void assert_same_world(const struct bh_world *a, const struct bh_world *b)
{
	assert_int_equal(a->n_namespaces, b->n_namespaces);
	for (size_t i = 0; i < a->n_namespaces; i++)
		assert_same_namespace(a->namespaces[i], b->namespaces[i]);
	assert_int_equal(a->n_pods, b->n_pods);
	for (size_t i = 0; i < a->n_pods; i++)
		assert_ptr_equal(a->pods[i], b->pods[i]);
	assert_int_equal(a->n_policies, b->n_policies);
	for (size_t i = 0; i < a->n_policies; i++)
		assert_ptr_equal(a->policies[i], b->policies[i]);
	assert_int_equal(a->n_node_addresses, b->n_node_addresses);
	for (size_t i = 0; i < a->n_node_addresses; i++)
		assert_int_equal(bh_ip_cmp(&a->node_addresses[i], &b->node_addresses[i]), 0);
	assert_int_equal(a->default_allow, b->default_allow);
	assert_int_equal(a->now_s, b->now_s);
	assert_true(bh_world_next_end(a) == next_end(b));
	assert_true(bh_world_next_end(b) == next_end(b));
}

/* ---- changes ---- */

static void change_namespace(struct bed *b, struct bh_world_edit *e, unsigned i, bool is_gone)
{
	char name[16];

	bh_namespace_unref(b->ns[i]);
	b->ns[i] = is_gone ? NULL : make_namespace(b, name_of(name, 'n', i));
	assert_int_equal(bh_world_edit_namespace(e, name_of(name, 'n', i), b->ns[i]), 0);
}

static void change_pod(struct bed *b, struct bh_world_edit *e, unsigned k, bool is_gone)
{
	unsigned i = k / PODS;
	char ns[16], name[16];

	name_of(ns, 'n', i);
	name_of(name, 'p', k % PODS);
	bh_pod_unref(b->pod[i][k % PODS]);
	b->pod[i][k % PODS] = is_gone ? NULL : make_pod(b, ns, name);
	assert_int_equal(bh_world_edit_pod(e, ns, name, b->pod[i][k % PODS]), 0);
}

static void change_policy(struct bed *b, struct bh_world_edit *e, unsigned k, bool is_gone)
{
	int kind = (int)(k / SPACES / POLICIES);
	struct bh_policy **at = &b->policy[kind][k / POLICIES % SPACES][k % POLICIES];
	char ns[16], name[16];
	const struct bh_policy_name which = {(enum bh_policy_kind)kind,
					     name_of(ns, 'n', k / POLICIES % SPACES),
					     name_of(name, 'y', k % POLICIES)};

	bh_policy_unref(*at);
	*at = is_gone ? NULL : make_policy(b, kind, ns, name);
	assert_int_equal(bh_world_edit_policy(e, &which, *at), 0);
}

static void change_one(struct bed *b, struct bh_world_edit *e, unsigned share_gone)
{
	bool is_gone = chance(b, 10) < share_gone;

	switch (chance(b, 5)) {
	case 0:
		change_namespace(b, e, chance(b, SPACES), is_gone);
		return;
	case 1:
	case 2:
		change_pod(b, e, chance(b, SPACES * PODS), is_gone);
		return;
	default:
		change_policy(b, e, chance(b, 2 * SPACES * POLICIES), is_gone);
	}
}

static void change_node(struct bed *b, struct bh_world_edit *e)
{
	b->n_node = chance(b, 4);
	for (size_t i = 0; i < b->n_node; i++) {
		b->node[i] = (struct bh_ip){.b = {[10] = 0xff, [11] = 0xff, [12] = 10}};
		b->node[i].b[15] = (uint8_t)chance(b, 4);
	}
	assert_int_equal(bh_world_edit_node_addresses(e, b->node, b->n_node), 0);
}

static void take_edit(struct bed *b, struct bh_world_edit *e)
{
	struct bh_world *next;
	struct bh_err err;

	b->now_s = (int64_t)chance(b, 3000);
	bh_assert_ok(&err, bh_world_edit_end(e, b->now_s, &next, &err));
	bh_world_edit_free(e);
	bh_world_unref(b->w);
	b->w = next;
}

static struct bh_world_edit *begin_edit(struct bed *b)
{
	struct bh_world_edit *e;
	struct bh_err err;

	bh_assert_ok(&err, bh_world_edit_new(b->w, &e, &err));
	return e;
}

/* A few changes, or one, or none, and seldom very many. */
static void step(struct bed *b)
{
	unsigned n = chance(b, 50) ? chance(b, 6) : 300 + chance(b, 2000);
	unsigned share_gone = chance(b, 11);
	struct bh_world_edit *e = begin_edit(b);

	for (unsigned i = 0; i < n; i++)
		change_one(b, e, share_gone);
	if (!chance(b, 8))
		change_node(b, e);
	take_edit(b, e);
}

static void keep(struct bed *b, struct bh_world *like)
{
	unsigned i = chance(b, KEPT);

	if (b->kept[i])
		assert_same_world(b->kept[i], b->like[i]);
	bh_world_unref(b->kept[i]);
	bh_world_unref(b->like[i]);
	b->kept[i] = bh_world_ref(b->w);
	b->like[i] = bh_world_ref(like);
}

/* After the worlds nobody but the bed has the objects. */
static void done(struct bed *b)
{
	bh_world_unref(b->w);
	for (unsigned i = 0; i < KEPT; i++) {
		bh_world_unref(b->kept[i]);
		bh_world_unref(b->like[i]);
	}
	for (unsigned i = 0; i < SPACES; i++) {
		assert_true(!b->ns[i] || b->ns[i]->refs == 1);
		bh_namespace_unref(b->ns[i]);
		for (unsigned k = 0; k < PODS; k++) {
			assert_true(!b->pod[i][k] || b->pod[i][k]->refs == 1);
			bh_pod_unref(b->pod[i][k]);
		}
		for (unsigned k = 0; k < 2 * POLICIES; k++) {
			struct bh_policy *p = b->policy[k & 1][i][k / 2];

			assert_true(!p || p->refs == 1);
			bh_policy_unref(p);
		}
	}
}

static void run(uint64_t seed)
{
	struct bed b = {.seed = seed};

	b.w = from_nothing(&b);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct bh_world *like;

		step(&b);
		like = from_nothing(&b);
		assert_same_world(b.w, like);
		keep(&b, like);
		if (!chance(&b, 40)) { /* edits go on from a world that was sealed */
			bh_world_unref(b.w);
			b.w = bh_world_ref(like);
		}
		bh_world_unref(like);
	}
	done(&b);
}

static void test_random(void **state)
{
	(void)state;
	run(1);
	run(20261122);
}

/* Another version of an object leaves the objects before and behind it where they are, in arrays
 * that other worlds have too. */
static void test_nothing_changed(void **state)
{
	struct bed b = {.seed = 7};
	struct bh_world *first;

	(void)state;
	b.w = from_nothing(&b);
	step(&b);
	first = bh_world_ref(b.w);
	take_edit(&b, begin_edit(&b));
	assert_ptr_equal(b.w->pods, first->pods);
	assert_ptr_equal(b.w->policies, first->policies);
	assert_ptr_equal(b.w->namespaces, first->namespaces);
	bh_world_unref(first);
	done(&b);
}

static void test_all_policies(void **state)
{
	struct bed b = {.seed = 3};
	struct bh_policy *two[2];
	struct bh_world_edit *e;
	struct bh_world *like;

	(void)state;
	b.w = from_nothing(&b);
	for (int i = 0; i < 40; i++)
		step(&b);
	two[0] = make_policy(&b, BH_NETWORK_POLICY, "n01", "y01");
	two[1] = make_policy(&b, BH_SEGMENTATION_POLICY, "n00", "y00");
	e = begin_edit(&b);
	assert_int_equal(bh_world_edit_all_policies(e, two, 2), 0);
	take_edit(&b, e);
	for (unsigned k = 0; k < 2 * SPACES * POLICIES; k++) {
		struct bh_policy **p = &b.policy[k & 1][k / 2 / POLICIES][k / 2 % POLICIES];

		bh_policy_unref(*p);
		*p = NULL;
	}
	b.policy[0][1][1] = two[0];
	b.policy[1][0][0] = two[1];
	like = from_nothing(&b);
	assert_same_world(b.w, like);
	bh_world_unref(like);
	done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_nothing_changed),
		cmocka_unit_test(test_all_policies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
