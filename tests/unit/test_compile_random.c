/* Thousands of random worlds: the tables against a brute-force reading of the rules, with and
 * without a memo, in any order of adding. */
#include "worldgen.h"

#define WORLDS	  1500
#define ASKS	  400
#define SEQUENCES 60
#define CHANGES	  40

/* ---- brute force ---- */

struct query {
	const struct bh_world *w;
	const struct bh_pod *self;
	enum bh_dir dir;
	struct bh_ip ip;
	uint8_t proto;
	uint16_t port;
	const char *exe;
	int64_t now_s;
};

static bool is_peer(const struct bh_pod *pod, const struct bh_ip *ip)
{
	if (pod->host_network || pod->phase != BH_POD_RUNNING)
		return false;
	for (size_t i = 0; i < pod->n_ips; i++) {
		if (bh_ip_cmp(&pod->ips[i], ip) == 0)
			return true;
	}
	return false;
}

static size_t count_claims(const struct query *q)
{
	size_t n = 0;

	for (size_t i = 0; i < q->w->n_pods; i++)
		n += is_peer(q->w->pods[i], &q->ip);
	for (size_t i = 0; i < q->w->n_node_addresses; i++)
		n += bh_ip_cmp(&q->w->node_addresses[i], &q->ip) == 0;
	return n;
}

static bool has_named(const struct bh_pod *pod, const struct bh_port *p, uint16_t number)
{
	for (size_t i = 0; i < pod->ident->n_ports; i++) {
		const struct bh_named_port *have = &pod->ident->ports[i];

		if (strcmp(have->name, p->name) == 0 && have->proto == p->proto &&
		    have->port == number)
			return true;
	}
	return false;
}

/* other: the pod at the other end, NULL: the peer is not looked at as a pod. */
static bool port_matches(const struct query *q, const struct bh_rule *r, const struct bh_pod *other)
{
	if (r->all_ports)
		return true;
	for (size_t i = 0; i < r->n_ports; i++) {
		const struct bh_port *p = &r->ports[i];
		const struct bh_pod *to = q->dir == BH_INGRESS ? q->self : other;

		if (p->proto != q->proto)
			continue;
		if (p->kind == BH_PORT_ALL ||
		    (p->kind == BH_PORT_RANGE && q->port >= p->first && q->port <= p->last) ||
		    (p->kind == BH_PORT_NAMED && to && has_named(to, p, q->port)))
			return true;
	}
	return false;
}

static bool selector_matches(const struct query *q, const struct bh_policy *p,
			     const struct bh_peer *peer, const struct bh_pod *pod)
{
	const struct bh_namespace *ns = bh_world_namespace(q->w, pod->ident->ns);

	if (peer->has_namespaces ? !bh_selector_matches(&peer->namespaces, &ns->labels)
				 : strcmp(p->ns, pod->ident->ns) != 0)
		return false;
	return !peer->has_pods || bh_selector_matches(&peer->pods, &pod->ident->labels);
}

static bool block_matches(const struct query *q, const struct bh_peer *peer)
{
	if (!bh_cidr_has(&peer->cidr, &q->ip))
		return false;
	for (size_t i = 0; i < peer->n_excepts; i++) {
		if (bh_cidr_has(&peer->excepts[i], &q->ip))
			return false;
	}
	return true;
}

/* Peer and port together, the peer being this pod, or just an address (NULL). */
static bool end_matches(const struct query *q, const struct bh_policy *p, const struct bh_rule *r,
			const struct bh_pod *pod)
{
	if (r->all_peers)
		return port_matches(q, r, pod);
	for (size_t i = 0; i < r->n_peers; i++) {
		const struct bh_peer *peer = &r->peers[i];

		if (peer->kind == BH_PEER_CIDR
			    ? block_matches(q, peer) && port_matches(q, r, NULL)
			    : pod && selector_matches(q, p, peer, pod) && port_matches(q, r, pod))
			return true;
	}
	return false;
}

static bool process_matches(const struct query *q, const struct bh_rule *r)
{
	bool is_deny = r->action == BH_ACTION_DENY;

	if (!r->n_processes)
		return true;
	if (q->dir == BH_INGRESS || !q->exe)
		return is_deny;
	for (size_t i = 0; i < r->n_processes; i++) {
		if (strcmp(r->processes[i], q->exe) == 0)
			return true;
	}
	return false;
}

static bool rule_matches(const struct query *q, const struct bh_policy *p, const struct bh_rule *r)
{
	size_t n_claims = count_claims(q);

	if (q->now_s >= r->reason.expires_s)
		return false;
	if (r->is_inert)
		return r->action == BH_ACTION_DENY;
	if (!process_matches(q, r))
		return false;
	if (end_matches(q, p, r, NULL))
		return true;
	for (size_t i = 0; i < q->w->n_pods; i++) {
		if (!is_peer(q->w->pods[i], &q->ip))
			continue;
		if ((n_claims == 1 || r->action == BH_ACTION_DENY) &&
		    end_matches(q, p, r, q->w->pods[i]))
			return true;
	}
	return false;
}

/* A finished pod keeps its rules. */
static bool selects(const struct bh_policy *p, const struct bh_pod *pod, enum bh_dir dir)
{
	return p->applies[dir] && !pod->host_network && strcmp(p->ns, pod->ident->ns) == 0 &&
	       bh_selector_matches(&p->pods, &pod->ident->labels);
}

static bool brute(const struct query *q)
{
	bool is_isolated = false, is_allowed = false;

	for (size_t i = 0; i < q->w->n_policies; i++) {
		const struct bh_policy *p = q->w->policies[i];

		if (!selects(p, q->self, q->dir))
			continue;
		is_isolated = true;
		for (size_t k = 0; k < p->n_rules[q->dir]; k++) {
			const struct bh_rule *r = &p->rules[q->dir][k];

			if (!rule_matches(q, p, r))
				continue;
			if (r->action == BH_ACTION_DENY)
				return false;
			is_allowed = true;
		}
	}
	return is_isolated ? is_allowed : q->w->default_allow;
}

/* ---- tables against brute force ---- */

static void show(const struct query *q, const struct bh_tverdict *v, uint64_t seed)
{
	char ip[BH_IP_TEXT];

	fail_msg(
		"seed %llu: %s/%s dir %d peer %s proto %u port %u exe %s at %lld: tables say %d "
		"(%d)",
		(unsigned long long)seed, q->self->ident->ns, q->self->name, q->dir,
		bh_ip_format(&q->ip, ip), q->proto, q->port, q->exe ? q->exe : "-",
		(long long)q->now_s, v->verdict, v->reason);
}

static void ask_one(const struct query *q, const struct bh_tables *t, bool is_exact, uint64_t seed)
{
	const struct bh_tsubject *s = bh_tables_subject(t, q->self->ident->ns, q->self->name);
	struct bh_tverdict v;
	bool is_allowed = brute(q);

	assert_non_null(s);
	v = bh_tables_ask(
		t, &(struct bh_tquestion){s, q->dir, q->ip, q->proto, q->port, q->exe, q->now_s});
	if ((v.verdict == BH_ALLOWED) != is_allowed && (is_exact || !is_allowed))
		show(q, &v, seed);
}

static void ask_all(struct wg_pool *p, const struct bh_world *w, const struct bh_tables *t,
		    uint64_t seed)
{
	for (int i = 0; i < ASKS; i++) {
		struct query q = {
			.w = w,
			.self = w->pods[wg_below(&p->r, (unsigned)w->n_pods)],
			.dir = (enum bh_dir)wg_below(&p->r, 2),
			.ip = wk_ip(wg_pick(&p->r, wg_ask_ips)),
			.proto = wg_pick(&p->r, wg_ask_protos),
			.port = wg_pick(&p->r, wg_ask_ports),
			.exe = wg_pick(&p->r, wg_ask_exes),
			.now_s = p->now_s,
		};

		if (q.proto == 1 || q.proto == 58)
			q.port = 0;
		if (wg_one_in(&p->r, 2))
			q.now_s += wg_below(&p->r, p->is_short ? 60 : 160);
		/* a chain that had to be cut may only deny too much */
		ask_one(&q, t, p->is_short, seed);
	}
}

static void test_brute_force(void **state)
{
	struct bh_err err;

	(void)state;
	for (uint64_t seed = 0; seed < WORLDS; seed++) {
		struct wg_pool p = {.now_s = 0};
		struct bh_tables *t = NULL;
		struct bh_subject *s;
		struct bh_world *w;

		wg_init(&p, seed);
		w = wg_build(&p, false);
		s = wg_subjects(w);
		bh_assert_ok(&err, bh_compile(w, s, w->n_pods, &t, &err));
		ask_all(&p, w, t, seed);
		bh_tables_freep(&t);
		bh_world_unref(w);
		free(s);
		wg_done(&p);
	}
}

/* ---- the same bytes ---- */

#define assert_same(a, b, n, v)                                                                    \
	do {                                                                                       \
		assert_int_equal((a)->n, (b)->n);                                                  \
		if ((a)->n)                                                                        \
			assert_memory_equal((a)->v, (b)->v, (a)->n * sizeof(*(a)->v));             \
	} while (0)

static void assert_same_ruleset(const struct bh_truleset *a, const struct bh_truleset *b)
{
	assert_memory_equal(&a->id, &b->id, sizeof(a->id));
	assert_int_equal(a->portmap, b->portmap);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->next, b->next);
	assert_true(a->until_s == b->until_s);
	assert_memory_equal(&a->dflt, &b->dflt, sizeof(a->dflt));
	assert_same(a, b, n_rows, rows);
	assert_same(a, b, n_procs, procs);
}

static void assert_same_tables(const struct bh_tables *a, const struct bh_tables *b)
{
	char *x = bh_tables_print(a), *y = bh_tables_print(b);

	assert_string_equal(x, y);
	free(x);
	free(y);
	assert_same(a, b, n_classes, classes);
	assert_same(a, b, n_peers, peers);
	assert_same(a, b, n_cidrs, cidrs);
	assert_same(a, b, n_pages, pages);
	assert_same(a, b, n_portmaps, portmaps);
	assert_int_equal(a->n_rulesets, b->n_rulesets);
	for (size_t i = 0; i < a->n_rulesets; i++)
		assert_same_ruleset(&a->rulesets[i], &b->rulesets[i]);
}

static void test_order(void **state)
{
	struct bh_err err;

	(void)state;
	for (uint64_t seed = 0; seed < WORLDS / 5; seed++) {
		struct wg_pool p = {.now_s = 0};
		struct bh_tables *t[2] = {NULL};

		wg_init(&p, seed);
		for (int i = 0; i < 2; i++) {
			struct bh_world *w = wg_build(&p, i);
			struct bh_subject *s = wg_subjects(w);

			if (i && w->n_pods > 1) {
				struct bh_subject x = s[0];

				s[0] = s[1];
				s[1] = x;
			}
			bh_assert_ok(&err, bh_compile(w, s, w->n_pods, &t[i], &err));
			free(s);
			bh_world_unref(w);
		}
		assert_same_tables(t[0], t[1]);
		bh_tables_freep(&t[0]);
		bh_tables_freep(&t[1]);
		wg_done(&p);
	}
}

/* ---- changes with a memo ---- */

#define drop_one(r, vec, unref)                                                                    \
	do {                                                                                       \
		size_t i_;                                                                         \
		if (!(vec)->n)                                                                     \
			break;                                                                     \
		i_ = wg_below(r, (unsigned)(vec)->n);                                              \
		unref((vec)->v[i_]);                                                               \
		(vec)->v[i_] = (vec)->v[--(vec)->n];                                               \
	} while (0)

static void change(struct wg_pool *p)
{
	switch (wg_below(&p->r, 9)) {
	case 0:
		assert_int_equal(bh_vec_push(&p->pods, wg_pod(p)), 0);
		break;
	case 1:
		drop_one(&p->r, &p->pods, bh_pod_unref);
		break;
	case 2:
	case 3: /* as if labels, ports or address had changed */
		drop_one(&p->r, &p->pods, bh_pod_unref);
		assert_int_equal(bh_vec_push(&p->pods, wg_pod(p)), 0);
		break;
	case 4:
		assert_int_equal(bh_vec_push(&p->policies, wg_policy(p)), 0);
		break;
	case 5:
		drop_one(&p->r, &p->policies, bh_policy_unref);
		break;
	case 6:
		wg_set_namespace(p, wg_below(&p->r, 2));
		break;
	case 7:
		p->now_s = WG_NOW - 30 + (int)wg_below(&p->r, 160);
		break;
	default:
		if (wg_one_in(&p->r, 3))
			p->default_allow = !p->default_allow;
	}
}

static void compile_both(struct wg_pool *p, struct bh_compile_memo *memo)
{
	struct bh_tables *t[2] = {NULL};
	struct bh_world *w = wg_build(p, wg_one_in(&p->r, 2));
	struct bh_subject *s = wg_subjects(w);
	struct bh_compile_request req = {.world = w, .subjects = s, .n_subjects = w->n_pods};
	struct bh_err err;

	if (w->n_pods && wg_one_in(&p->r, 2)) /* not always the same subjects */
		req.n_subjects = wg_below(&p->r, (unsigned)w->n_pods);
	bh_assert_ok(&err, bh_compile_run(&req, &t[0], &err));
	req.memo = memo;
	bh_assert_ok(&err, bh_compile_run(&req, &t[1], &err));
	assert_same_tables(t[0], t[1]);
	bh_tables_freep(&t[0]);
	bh_tables_freep(&t[1]);
	bh_world_unref(w);
	free(s);
}

static void test_memo(void **state)
{
	struct bh_err err;

	(void)state;
	for (uint64_t seed = 0; seed < SEQUENCES; seed++) {
		struct wg_pool p = {.now_s = 0};
		struct bh_compile_memo *memo = NULL;

		wg_init(&p, seed);
		bh_assert_ok(&err, bh_compile_memo_new(&memo, &err));
		for (int i = 0; i < CHANGES; i++) {
			compile_both(&p, memo);
			change(&p);
		}
		bh_compile_memo_freep(&memo);
		wg_done(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_brute_force),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_memo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
