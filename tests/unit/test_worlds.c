/* The daemon's world, made of the last one, against the one made from nothing: after random loads
 * and unloads of manifests, pods that come and go, other addresses of the node. Both are compiled
 * too, the one with a memo and the other without. */
#include <stdio.h>

#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/world.h"
#include "policy/tables.h"
#include "worldkit.h"

#define FILES	  6
#define SPACES	  4
#define NAMES	  12
#define ENDPOINTS 10
#define ROUNDS	  1200

struct bed {
	struct bh_daemon d;
	struct bh_settings cfg;
	struct bh_compile_memo *memo;
	uint64_t seed;
	unsigned n_added;
};

static unsigned chance(struct bed *b, unsigned n)
{
	b->seed = b->seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(b->seed >> 33) % n;
}

/* ---- manifests ---- */

static void namespace_text(struct bed *b, struct bh_str *s)
{
	bh_str_fmt(s,
		   "apiVersion: v1\nkind: Namespace\nmetadata: {name: n%u, labels: {team: t%u}}\n",
		   chance(b, SPACES), chance(b, 2));
}

static void pod_text(struct bed *b, struct bh_str *s)
{
	static const char *const specs[] = {
		"{}",
		"{}",
		"{}",
		"{hostNetwork: true, nodeName: node1}",
		"{hostNetwork: true, nodeName: node2}",
		"{containers: [{name: c, ports: [{name: web, containerPort: 80}]}]}"};
	static const char *const phases[] = {"Running", "Running", "Running", "Succeeded"};

	bh_str_fmt(s,
		   "apiVersion: v1\nkind: Pod\nmetadata: {namespace: n%u, name: p%u, labels: {app: "
		   "a%u}}\n"
		   "spec: %s\nstatus: {phase: %s, podIPs: [{ip: 10.1.%u.%u}]}\n",
		   chance(b, SPACES), chance(b, NAMES), chance(b, 3), specs[chance(b, 6)],
		   phases[chance(b, 4)], chance(b, 3), chance(b, 40));
}

static void node_text(struct bed *b, struct bh_str *s)
{
	bh_str_fmt(s,
		   "apiVersion: v1\nkind: Node\nmetadata: {name: node%u}\n"
		   "status: {addresses: [{type: InternalIP, address: 10.9.0.%u}]}\n",
		   1 + chance(b, 2), chance(b, 3));
}

static void policy_text(struct bed *b, struct bh_str *s)
{
	bool is_deny = !chance(b, 4);

	bh_str_fmt(
		s,
		"apiVersion: %s\nkind: %s\nmetadata: {namespace: n%u, name: y%u}\nspec:\n"
		"  podSelector: {matchLabels: {app: a%u}}\n  policyTypes: [Ingress]\n  ingress:\n"
		"  - {%sfrom: [{podSelector: {matchLabels: {app: a%u}}}], ports: [{port: %u}]}\n",
		is_deny ? "bulkhead.io/v1alpha1" : "networking.k8s.io/v1",
		is_deny ? "SegmentationPolicy" : "NetworkPolicy", chance(b, SPACES),
		chance(b, NAMES), chance(b, 3), is_deny ? "action: Deny, " : "", chance(b, 3),
		80 + chance(b, 4));
}

/* Now and then a document that is refused, or one that cannot be read at all. */
static void document(struct bed *b, struct bh_str *s)
{
	switch (chance(b, 12)) {
	case 0:
		namespace_text(b, s);
		return;
	case 1:
		node_text(b, s);
		return;
	case 2:
		bh_str_fmt(s,
			   "apiVersion: v1\nkind: Pod\nmetadata: {namespace: n1, name: p%u}\n"
			   "status: {phase: 7}\n",
			   chance(b, NAMES));
		return;
	case 3:
		bh_str_add(s, chance(b, 3) ? "# nothing\n" : "a: [\n");
		return;
	case 4:
	case 5:
	case 6:
	case 7:
		policy_text(b, s);
		return;
	default:
		pod_text(b, s);
	}
}

static void load(struct bed *b)
{
	struct bh_str s = {0};
	unsigned n = chance(b, 14);
	char file[16];
	bool changed;
	struct bh_err err;

	snprintf(file, sizeof(file), "f%u.yaml", chance(b, FILES));
	if (!chance(b, 6)) {
		assert_int_equal(bh_objects_unload(b->d.objects, file, &changed), 0);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		bh_str_add(&s, i ? "---\n" : "");
		document(b, &s);
	}
	bh_str_add(&s, "\n");
	bh_assert_ok(&err, bh_objects_load(b->d.objects, file, s.s, s.n, &changed, &err));
	bh_str_done(&s);
}

static void restore(struct bed *b)
{
	struct bh_str s = {0};
	char key[32];
	struct bh_err err;

	bh_str_add(&s,
		   "# bulkhead: line 1\napiVersion: v1\nkind: Namespace\nmetadata: {name: n3}\n");
	snprintf(key, sizeof(key), "Namespace//n3");
	bh_assert_ok(&err, bh_objects_restore(b->d.objects, key, "late.yaml", s.s, &err));
	bh_str_done(&s);
}

/* ---- pods of this node ---- */

static void add_endpoint(struct bed *b)
{
	struct bh_endpoint *ep = bh_endpoint_new();
	json_t *labels;
	struct bh_err err;

	assert_non_null(ep);
	ep->container_id = bh_strf("c%u", b->n_added++);
	ep->ifname = strdup("eth0");
	ep->ns = bh_strf("n%u", chance(b, SPACES));
	ep->name = bh_strf("p%u", chance(b, NAMES));
	ep->uid = chance(b, 2) ? bh_strf("u%u", chance(b, 2)) : NULL;
	ep->cookie = 1 + chance(b, 5);
	if (chance(b, 2)) {
		labels = json_pack("[{ss ss}]", "key", "app", "value", chance(b, 2) ? "a0" : "a1");
		bh_assert_ok(&err, bh_endpoint_set_labels(ep, labels, &err));
		json_decref(labels);
	}
	ep->n_ips = chance(b, 3);
	ep->ips = calloc(3, sizeof(*ep->ips));
	for (size_t i = 0; i < ep->n_ips; i++) {
		ep->ips[i] = wk_ip("10.2.0.1");
		ep->ips[i].b[15] = (uint8_t)chance(b, 30);
	}
	bh_assert_ok(&err, bh_endpoint_table_add(&b->d.endpoints, &ep, &err));
}

static void remove_endpoint(struct bed *b)
{
	size_t n = b->d.endpoints.eps.n;

	if (n)
		bh_endpoint_table_remove(&b->d.endpoints,
					 b->d.endpoints.eps.v[chance(b, (unsigned)n)]);
}

static void change_addresses(struct bed *b)
{
	free(b->d.local_addresses);
	b->d.n_local_addresses = chance(b, 3);
	b->d.local_addresses = calloc(3, sizeof(struct bh_ip));
	for (size_t i = 0; i < b->d.n_local_addresses; i++) {
		b->d.local_addresses[i] = wk_ip("10.8.0.0");
		b->d.local_addresses[i].b[15] = (uint8_t)(2 * i + chance(b, 2));
	}
}

static void change(struct bed *b)
{
	switch (chance(b, 16)) {
	case 0:
		change_addresses(b);
		return;
	case 1:
	case 2:
		if (b->d.endpoints.eps.n < ENDPOINTS)
			add_endpoint(b);
		return;
	case 3:
		remove_endpoint(b);
		return;
	case 4:
		if (!chance(b, 20))
			restore(b);
		return;
	default:
		load(b);
	}
}

/* ---- worlds ---- */

static void assert_same_pod(const struct bed *b, const struct bh_pod *x, const struct bh_pod *y)
{
	if (!bh_endpoint_table_pod(&b->d.endpoints, x->ident->ns, x->name)) {
		assert_ptr_equal(x, y);
		return;
	}
	assert_ptr_equal(x->ident, y->ident); /* equal ones are one */
	assert_string_equal(x->name, y->name);
	assert_true(bh_streq(x->uid, y->uid));
	assert_true(bh_streq(x->node, y->node));
	assert_true(bh_streq(x->file, y->file));
	assert_int_equal(x->place.line, y->place.line);
	assert_int_equal(x->phase, y->phase);
	assert_int_equal(x->host_network, y->host_network);
	assert_int_equal(x->n_ips, y->n_ips);
	for (size_t i = 0; i < x->n_ips; i++)
		assert_int_equal(bh_ip_cmp(&x->ips[i], &y->ips[i]), 0);
}

static void assert_same_world(const struct bed *b, const struct bh_world *x,
			      const struct bh_world *y)
{
	assert_int_equal(x->n_pods, y->n_pods);
	for (size_t i = 0; i < x->n_pods; i++)
		assert_same_pod(b, x->pods[i], y->pods[i]);
	assert_int_equal(x->n_namespaces, y->n_namespaces);
	for (size_t i = 0; i < x->n_namespaces; i++) {
		assert_string_equal(x->namespaces[i]->name, y->namespaces[i]->name);
		assert_true(x->namespaces[i] == y->namespaces[i] || x->namespaces[i]->is_implied);
		assert_int_equal(x->namespaces[i]->is_implied, y->namespaces[i]->is_implied);
	}
	assert_int_equal(x->n_policies, y->n_policies);
	for (size_t i = 0; i < x->n_policies; i++)
		assert_ptr_equal(x->policies[i], y->policies[i]);
	assert_int_equal(x->n_node_addresses, y->n_node_addresses);
	for (size_t i = 0; i < x->n_node_addresses; i++)
		assert_int_equal(bh_ip_cmp(&x->node_addresses[i], &y->node_addresses[i]), 0);
	assert_int_equal(x->default_allow, y->default_allow);
}

static char *compiled(const struct bed *b, struct bh_world *w, struct bh_compile_memo *memo)
{
	struct bh_subjects subjects;
	struct bh_compile_request rq = {.world = w, .memo = memo};
	struct bh_tables *t;
	struct bh_err err;
	char *text;

	bh_assert_ok(&err, bh_world_subjects(&b->d, w, &subjects, &err));
	rq.subjects = subjects.v;
	rq.n_subjects = subjects.n;
	bh_assert_ok(&err, bh_compile_run(&rq, &t, &err));
	text = bh_tables_print(t);
	assert_non_null(text);
	if (memo)
		bh_compile_recycle(memo, t);
	else
		bh_tables_free(t);
	bh_subjects_done(&subjects);
	return text;
}

static void compare(struct bed *b, struct bh_world **ret)
{
	struct bh_world *w, *anew;
	char *text[2];
	struct bh_err err;

	bh_assert_ok(&err, bh_world_build(&b->d, NULL, &w, &err));
	bh_assert_ok(&err, bh_world_build_anew(&b->d, &anew, &err));
	assert_same_world(b, w, anew);
	text[0] = compiled(b, w, b->memo);
	text[1] = compiled(b, anew, NULL);
	assert_string_equal(text[0], text[1]);
	free(text[0]);
	free(text[1]);
	bh_world_unref(anew);
	bh_world_unref(*ret);
	*ret = w;
}

/* Old policies over today's pods: what a node does whose newest policies do not fit. */
static void compare_old_policies(struct bed *b, const struct bh_world *old)
{
	const struct bh_policies policies = {old->policies, old->n_policies};
	struct bh_world *w;
	struct bh_err err;

	bh_assert_ok(&err, bh_world_build(&b->d, &policies, &w, &err));
	assert_int_equal(w->n_policies, old->n_policies);
	for (size_t i = 0; i < w->n_policies; i++)
		assert_ptr_equal(w->policies[i], old->policies[i]);
	bh_world_unref(w);
}

static void begin(struct bed *b)
{
	struct bh_objects_options opt = {.keep_text = true};
	struct bh_err err;

	b->cfg.node_name = (char *)"node1";
	b->d.cfg = &b->cfg;
	bh_assert_ok(&err, bh_objects_new(&opt, &b->d.objects, &err));
	bh_assert_ok(&err, bh_compile_memo_new(&b->memo, &err));
}

static void end(struct bed *b)
{
	bh_compile_memo_free(b->memo);
	bh_worlds_free(b->d.worlds);
	bh_objects_free(b->d.objects);
	bh_endpoint_table_done(&b->d.endpoints);
	free(b->d.local_addresses);
}

static void run(uint64_t seed)
{
	struct bed b = {.seed = seed};
	struct bh_world *w = NULL;

	begin(&b);
	for (int i = 0; i < ROUNDS; i++) {
		unsigned n = chance(&b, 4);

		for (unsigned k = 0; k < n; k++)
			change(&b);
		if (w && !chance(&b, 10))
			compare_old_policies(&b, w);
		compare(&b, &w);
	}
	bh_world_unref(w);
	end(&b);
}

static void test_random(void **state)
{
	(void)state;
	run(1);
	run(22);
	run(20261122);
}

/* A pod of this node whose manifest changes in one thing at a time, at the same place. */
static void test_one_thing(void **state)
{
	static const char *const texts[] = {
		"metadata: {namespace: n0, name: p0, labels: {app: a0}}\nstatus: {phase: "
		"Running}\n",
		"metadata: {namespace: n0, name: p0, labels: {app: a0}}\nstatus: {phase: Failed}\n",
		"metadata: {namespace: n0, name: p0, labels: {app: a1}}\nstatus: {phase: Failed}\n",
		"metadata: {namespace: n0, name: p0, labels: {app: a1}}\nstatus: {phase: "
		"Running}\n",
		"metadata: {namespace: n0, name: p0, labels: {app: a1}}\nspec: {containers: "
		"[{name: c, "
		"ports: [{name: web, containerPort: 80}]}]}\n",
		"metadata: {namespace: n0, name: p1, labels: {app: a1}}\nstatus: {phase: "
		"Running}\n",
	};
	struct bed b = {.seed = 5};
	struct bh_world *w = NULL;
	bool changed;
	struct bh_err err;

	(void)state;
	begin(&b);
	do {
		remove_endpoint(&b);
		add_endpoint(&b);
	} while (strcmp(b.d.endpoints.eps.v[0]->ns, "n0") ||
		 strcmp(b.d.endpoints.eps.v[0]->name, "p0"));
	for (size_t i = 0; i < 2 * BH_ARRAY_SIZE(texts); i++) {
		char *text =
			bh_strf("apiVersion: v1\nkind: Pod\n%s", texts[i % BH_ARRAY_SIZE(texts)]);

		assert_non_null(text);
		bh_assert_ok(&err, bh_objects_load(b.d.objects, "f0.yaml", text, strlen(text),
						   &changed, &err));
		free(text);
		compare(&b, &w);
	}
	bh_world_unref(w);
	end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_thing),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
