/* worldgen.h - random small worlds for property tests, made of few labels, addresses and ports so
 * that everything meets everything; and the questions worth asking about them. */
#pragma once

#include "worldkit.h"

#define WG_NOW 1000

struct wg_rand {
	uint64_t s;
};

static inline unsigned wg_below(struct wg_rand *r, unsigned n)
{
	r->s ^= r->s << 13;
	r->s ^= r->s >> 7;
	r->s ^= r->s << 17;
	return (unsigned)((r->s * 0x2545f4914f6cdd1d) >> 33) % n;
}

static inline bool wg_one_in(struct wg_rand *r, unsigned n)
{
	return wg_below(r, n) == 0;
}

#define wg_pick(r, list) ((list)[wg_below(r, BH_ARRAY_SIZE(list))])

/* What a world is made of; it can be changed and built again with the same objects. */
struct wg_pool {
	struct wg_rand r;
	BH_VEC(struct bh_namespace *) namespaces;
	BH_VEC(struct bh_pod *) pods;
	BH_VEC(struct bh_policy *) policies;
	BH_VEC(struct bh_ip) nodes;
	bool default_allow, is_short; /* is_short: few expiries, so that no chain is cut */
	bool is_plain;		      /* no contested addresses, no finished subjects */
	int64_t now_s;
	unsigned n_made;
};

static const char *const wg_ns[] = {"a", "b", "c"};
static const char *const wg_ns_labels[] = {"", "team=x", "team=y", "team=x,env=p"};
static const char *const wg_labels[] = {"app=w",     "app=d", "app=w,t=", "app=d,t=1",
					"app=q,t=1", "",      "t=2"};
static const char *const wg_selectors[] = {"",	 "app=w",  "app=d", "app=w|d",	"t",	  "!t",
					   "t=", "app!=w", "t=1",   "app!=w,t", "none=1", "app,!t"};
static const char *const wg_ns_selectors[] = {
	"", "team=x", "team", "!team", "team!=x", "kubernetes.io/metadata.name=b", "env=p"};
static const char *const wg_cidrs[][4] = {
	{"0.0.0.0/0"},
	{"0.0.0.0/0", "10.0.0.0/8"},
	{"0.0.0.0/0", "10.0.0.0/29", "10.0.0.8/30", "169.254.0.0/16"},
	{"10.0.0.0/28", "10.0.0.4/30"},
	{"10.0.0.0/28", "10.0.0.4/31", "10.0.0.4/30"},
	{"10.0.0.0/30"},
	{"10.0.0.3/32"},
	{"10.0.0.9/32"},
	{"10.0.0.8/29", "10.0.0.9/32"},
	{"::/0"},
	{"::/0", "fd00::/8"},
	{"fd00::/124", "fd00::4/126"},
	{"fd00::3/128"},
	{"::/1", "::/96"},
	{"fd00::8/125"},
};
static const char *const wg_exes[] = {"/bin/a", "/bin/b", "/usr/bin/c"};
static const char *const wg_names[] = {"http", "dns", "alt"};
static const uint8_t wg_protos[] = {6, 6, 17, 132};
static const uint16_t wg_numbers[] = {1, 53, 80, 255, 256, 443, 8080, 65535};

/* ---- objects ---- */

static inline struct bh_pod *wg_pod(struct wg_pool *p)
{
	char ips[64], name[16];
	struct wk_pod init = {.ns = wg_pick(&p->r, wg_ns),
			      .name = name,
			      .labels = wg_pick(&p->r, wg_labels),
			      .ips = ips,
			      .host_network = wg_one_in(&p->r, 12),
			      .phase = wg_one_in(&p->r, 12) ? BH_POD_DONE : BH_POD_RUNNING};
	unsigned n = p->is_plain ? p->n_made % 16 : wg_below(&p->r, 16);

	if (p->is_plain)
		init.phase = BH_POD_RUNNING;
	snprintf(name, sizeof(name), "p%u", p->n_made++);
	snprintf(ips, sizeof(ips), wg_one_in(&p->r, 3) ? "10.0.0.%u,fd00::%x" : "10.0.0.%u", n, n);
	if (wg_one_in(&p->r, 15))
		ips[0] = '\0';
	for (unsigned i = 0, k = wg_below(&p->r, 4); i < k; i++)
		init.ports[i] = (struct bh_named_port){.name = (char *)wg_pick(&p->r, wg_names),
						       .proto = wg_pick(&p->r, wg_protos),
						       .port = wg_pick(&p->r, wg_numbers)};
	return wk_pod(&init);
}

static inline struct wk_peer wg_peer(struct wg_pool *p)
{
	struct wk_peer peer = {.cidr = NULL};
	unsigned kind = wg_below(&p->r, 4);
	const char *const *cidr = wg_pick(&p->r, wg_cidrs);

	if (kind == 0) {
		peer.cidr = cidr[0];
		for (int i = 0; i < 3 && cidr[i + 1]; i++)
			peer.except[i] = cidr[i + 1];
		return peer;
	}
	if (kind != 1)
		peer.pods = wg_pick(&p->r, wg_selectors);
	if (kind != 2)
		peer.namespaces = wg_pick(&p->r, wg_ns_selectors);
	return peer;
}

static inline struct bh_port wg_port(struct wg_pool *p)
{
	struct bh_port port = {.proto = wg_pick(&p->r, wg_protos)};
	unsigned kind = wg_below(&p->r, 6);

	if (kind == 0)
		return port; /* BH_PORT_ALL */
	port.kind = kind == 1 ? BH_PORT_NAMED : BH_PORT_RANGE;
	if (kind == 1)
		port.name = (char *)wg_pick(&p->r, wg_names);
	port.first = port.last = wg_pick(&p->r, wg_numbers);
	if (kind == 2) {
		uint16_t other = wg_pick(&p->r, wg_numbers);

		port.first = other < port.last ? other : port.last;
		port.last = other < port.last ? port.last : other;
	}
	return port;
}

static inline struct wk_rule wg_rule(struct wg_pool *p, enum bh_dir dir)
{
	struct wk_rule rule = {.action = wg_one_in(&p->r, 4) ? BH_ACTION_DENY : BH_ACTION_ALLOW};
	unsigned n = wg_one_in(&p->r, 6) ? 0 : 1 + wg_below(&p->r, 3);

	for (unsigned i = 0; i < n; i++)
		rule.peers[i] = wg_peer(p);
	n = wg_one_in(&p->r, 3) ? 0 : 1 + wg_below(&p->r, 4);
	for (unsigned i = 0; i < n; i++)
		rule.ports[i] = wg_port(p);
	rule.is_inert = wg_one_in(&p->r, 40);
	if (wg_one_in(&p->r, 3))
		rule.expires_s = WG_NOW - 20 + 10 * (int)wg_below(&p->r, p->is_short ? 6 : 16);
	n = dir == BH_EGRESS && wg_one_in(&p->r, 3) ? 1 + wg_below(&p->r, 2) : 0;
	for (unsigned i = 0; i < n; i++)
		rule.processes[i] = wg_pick(&p->r, wg_exes);
	return rule;
}

static inline struct bh_policy *wg_policy(struct wg_pool *p)
{
	char name[16];
	struct bh_policy *policy;

	snprintf(name, sizeof(name), "n%u", p->n_made++);
	policy = wk_policy(wg_pick(&p->r, wg_ns), name,
			   wg_one_in(&p->r, 2) ? "" : wg_pick(&p->r, wg_selectors));
	for (int dir = 0; dir < 2; dir++) {
		for (unsigned i = 0, n = wg_below(&p->r, 4); i < n; i++) {
			struct wk_rule rule = wg_rule(p, (enum bh_dir)dir);

			wk_rule(policy, (enum bh_dir)dir, &rule);
		}
		policy->applies[dir] = wg_one_in(&p->r, 2) || policy->n_rules[dir];
		if (wg_one_in(&p->r, 10))
			policy->applies[dir] = false; /* a section without its policyType */
	}
	return policy;
}

/* ---- pools ---- */

static inline void wg_set_namespace(struct wg_pool *p, size_t i)
{
	struct bh_namespace *ns = wk_namespace(wg_ns[i], wg_pick(&p->r, wg_ns_labels));

	if (i < p->namespaces.n) {
		bh_namespace_unref(p->namespaces.v[i]);
		p->namespaces.v[i] = ns;
	} else {
		assert_int_equal(bh_vec_push(&p->namespaces, ns), 0);
	}
}

static inline void wg_init(struct wg_pool *p, uint64_t seed)
{
	p->r.s = (seed + 1) * 0x9e3779b97f4a7c15;
	p->now_s = WG_NOW;
	p->default_allow = wg_one_in(&p->r, 2);
	p->is_short = !wg_one_in(&p->r, 4);
	for (size_t i = 0; i < 2; i++) /* c is implied */
		wg_set_namespace(p, i);
	for (unsigned i = 0, n = 2 + wg_below(&p->r, 8); i < n; i++)
		assert_int_equal(bh_vec_push(&p->pods, wg_pod(p)), 0);
	for (unsigned i = 0, n = wg_below(&p->r, 7); i < n; i++)
		assert_int_equal(bh_vec_push(&p->policies, wg_policy(p)), 0);
	assert_int_equal(bh_vec_push(&p->nodes, wk_ip("10.0.0.17")), 0);
	if (!p->is_plain && wg_one_in(&p->r, 3))
		assert_int_equal(bh_vec_push(&p->nodes, wk_ip("fd00::3")), 0);
}

static inline void wg_done(struct wg_pool *p)
{
	bh_vec_each (ns, &p->namespaces)
		bh_namespace_unref(*ns);
	bh_vec_each (pod, &p->pods)
		bh_pod_unref(*pod);
	bh_vec_each (policy, &p->policies)
		bh_policy_unref(*policy);
	bh_vec_done(&p->namespaces);
	bh_vec_done(&p->pods);
	bh_vec_done(&p->policies);
	bh_vec_done(&p->nodes);
}

#define wg_shuffle_(r, vec)                                                                        \
	do {                                                                                       \
		for (size_t i_ = (vec)->n; i_ > 1; i_--) {                                         \
			size_t k_ = wg_below(r, (unsigned)i_);                                     \
			__typeof__((vec)->v[0] + 0) x_ = (vec)->v[k_];                             \
			(vec)->v[k_] = (vec)->v[i_ - 1];                                           \
			(vec)->v[i_ - 1] = x_;                                                     \
		}                                                                                  \
	} while (0)

static inline struct bh_world *wg_build(struct wg_pool *p, bool is_shuffled)
{
	struct bh_world *w = wk_world(p->now_s);

	w->default_allow = p->default_allow;
	if (is_shuffled) {
		wg_shuffle_(&p->r, &p->pods);
		wg_shuffle_(&p->r, &p->policies);
	}
	for (size_t i = p->namespaces.n; i-- > 0;)
		assert_int_equal(bh_world_add_namespace(w, p->namespaces.v[i]), 0);
	bh_vec_each (pod, &p->pods)
		assert_int_equal(bh_world_add_pod(w, *pod), 0);
	bh_vec_each (policy, &p->policies)
		assert_int_equal(bh_world_add_policy(w, *policy), 0);
	bh_vec_each (ip, &p->nodes)
		assert_int_equal(bh_world_add_node_address(w, ip), 0);
	wk_seal(w);
	return w;
}

/* All pods of the world in some order. The caller frees. */
static inline struct bh_subject *wg_subjects(const struct bh_world *w)
{
	struct bh_subject *s = calloc(w->n_pods + 1, sizeof(*s));

	assert_non_null(s);
	for (size_t i = 0; i < w->n_pods; i++)
		s[w->n_pods - 1 - i] = (struct bh_subject){w->pods[i]->ident->ns, w->pods[i]->name};
	return s;
}

/* ---- questions ---- */

static const char *const wg_ask_ips[] = {"10.0.0.0",
					 "10.0.0.1",
					 "10.0.0.2",
					 "10.0.0.3",
					 "10.0.0.4",
					 "10.0.0.5",
					 "10.0.0.6",
					 "10.0.0.7",
					 "10.0.0.8",
					 "10.0.0.9",
					 "10.0.0.10",
					 "10.0.0.11",
					 "10.0.0.12",
					 "10.0.0.15",
					 "10.0.0.16",
					 "10.0.0.17",
					 "9.255.255.255",
					 "11.0.0.0",
					 "10.255.255.255",
					 "0.0.0.0",
					 "255.255.255.255",
					 "169.254.1.1",
					 "::",
					 "::1",
					 "7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
					 "8000::",
					 "::1:0:0",
					 "fd00::",
					 "fd00::3",
					 "fd00::4",
					 "fd00::7",
					 "fd00::8",
					 "fd00::f",
					 "fd00::10",
					 "fcff::1",
					 "fe00::",
					 "10.0.0.13",
					 "10.0.0.14"};
static const uint8_t wg_ask_protos[] = {6, 17, 132, 1, 58};
static const uint16_t wg_ask_ports[] = {0,   1,	  2,   52,  53,	 54,   79,   80,   81,	  254,
					255, 256, 257, 443, 444, 8079, 8080, 8081, 65534, 65535};
static const char *const wg_ask_exes[] = {NULL, "/bin/a", "/bin/b", "/usr/bin/c", "/bin/z"};
