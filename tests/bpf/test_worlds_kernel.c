/* test_worlds_kernel.c - the kernel against everybody else: the public truth tables, random worlds,
 * and worlds that change under a handle that lives on, is opened again, and fails to publish. */
#include "public_cases.h"

#include "unit/worldgen.h"

#include "kernel_eval.h"

#define N_CASES	   230
#define N_CELLS	   111036 /* off the diagonal, over all steps, protocols and ports */
#define WORLDS	   50
#define ASKS	   600
#define SEQUENCES  6
#define CHANGES	   20
#define LATER_ASKS 200

/* ---- the public truth tables ---- */

static struct bh_end place(const struct bh_world *w, const char *name)
{
	const char *slash = strchr(name, '/');
	BH_CLEANUP(bh_freep) char *ns = strndup(name, (size_t)(slash - name));

	return bh_refeval_pod_end(bh_world_pod(w, ns, slash + 1), 4);
}

static size_t check_row(struct ke *k, const struct bh_ask *from, const json_t *columns,
			const char *want)
{
	struct bh_ask ask = *from;
	json_t *column;
	size_t i, n = 0;

	assert_int_equal(strlen(want), json_array_size(columns));
	json_array_foreach(columns, i, column)
	{
		ask.peer = place(k->w, json_string_value(column));
		assert_non_null(ask.peer.pod);
		if (ask.peer.pod == ask.self.pod)
			continue;
		if (ke_connect(k, &ask, false).passes != (want[i] == '.'))
			ke_fail(k, &ask, "not what the table says");
		n++;
	}
	return n;
}

static struct bh_ask ask_about(const char *text) /* "TCP/80" */
{
	const char *slash = strchr(text, '/');
	BH_CLEANUP(bh_freep) char *proto = strndup(text, (size_t)(slash - text));
	struct bh_ask ask = {.dir = BH_EGRESS};

	assert_int_equal(bh_proto_parse(proto, &ask.proto), 0);
	ask.port = (uint16_t)strtoul(slash + 1, NULL, 10);
	return ask;
}

static size_t check_step(struct ke *k, const json_t *step)
{
	const json_t *columns = json_object_get(step, "columns");
	json_t *rows, *row;
	const char *port, *from;
	size_t n = 0;

	json_object_foreach(json_object_get(step, "expect"), port, rows)
	{
		struct bh_ask ask = ask_about(port);

		json_object_foreach(rows, from, row)
		{
			ask.self = place(k->w, from);
			n += check_row(k, &ask, columns, json_string_value(row));
		}
	}
	ke_check_drops(k);
	ke_sweep(k);
	return n;
}

static void test_public_cases(void **state)
{
	struct ke *k = *state;
	json_t *data = pc_read(), *c, *step;
	size_t i, s, n_cells = 0;

	json_array_foreach(json_object_get(data, "cases"), i, c)
	{
		struct pc play;

		pc_open(&play, data);
		json_array_foreach(json_object_get(c, "steps"), s, step)
		{
			struct bh_world *w = pc_step(&play, step);
			struct bh_tables *t = bh_agree_compile(w);

			ke_enforce(k, w, t, w->now_s);
			n_cells += check_step(k, step);
			bh_tables_free(t);
			bh_world_unref(w);
		}
		pc_close(&play);
	}
	assert_int_equal(i, N_CASES);
	assert_int_equal(n_cells, N_CELLS);
	ke_print_tally(k, "cells of the public tables", n_cells);
	json_decref(data);
}

/* ---- random worlds ---- */

static struct bh_ip any_ip(struct wg_pool *p, const struct bh_world *w)
{
	const struct bh_pod *pod = w->pods[wg_below(&p->r, (unsigned)w->n_pods)];

	if (wg_one_in(&p->r, 2) && pod->n_ips)
		return pod->ips[wg_below(&p->r, (unsigned)pod->n_ips)];
	return wk_ip(wg_pick(&p->r, wg_ask_ips));
}

static struct bh_ask any_ask(struct wg_pool *p, const struct bh_world *w)
{
	const struct bh_pod *pod = w->pods[wg_below(&p->r, (unsigned)w->n_pods)];
	struct bh_ip ip;
	struct bh_ask ask = {.dir = (enum bh_dir)wg_below(&p->r, 2),
			     .self = {.pod = pod, .has_ip = pod->n_ips > 0},
			     .proto = wg_one_in(&p->r, 60) ? 47 : wg_pick(&p->r, wg_ask_protos),
			     .port = wg_pick(&p->r, wg_ask_ports),
			     .exe = wg_pick(&p->r, wg_ask_exes)};

	if (pod->n_ips == 0)
		return ask;
	ask.self.ip = pod->ips[wg_below(&p->r, (unsigned)pod->n_ips)];
	do
		ip = any_ip(p, w);
	while (bh_ip_is4(&ip) != bh_ip_is4(&ask.self.ip));
	ask.peer = bh_refeval_end(w, &ip);
	return ask;
}

static void ask_some(struct ke *k, struct wg_pool *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct bh_ask ask = any_ask(p, k->w);
		bool is_from_node = wg_one_in(&p->r, 2);
		struct ke_shot s;

		if (ask.proto == 47)
			ke_sweep(k); /* nothing tells two of them apart */
		ke_half(k, &ask, ke_fresh_port(k), is_from_node, &s);
	}
	ke_check_drops(k);
	ke_sweep(k);
}

/* Expiries lie on tens of seconds; a time that is far from the next one. */
static int64_t quiet_time(struct wg_pool *p, unsigned span_s)
{
	return WG_NOW - 20 + 10 * (int64_t)wg_below(&p->r, span_s / 10) + wg_below(&p->r, 6);
}

/* The tables of one time, asked at a later one. Cut chains may deny too much. */
static void ask_later(struct ke *k, struct wg_pool *p, const struct bh_tables *t, int64_t at_s)
{
	bool was_contested = k->is_contested;
	struct bh_world *w;

	p->now_s = at_s;
	w = wg_build(p, false);
	k->is_contested |= !p->is_short;
	ke_enforce(k, w, t, at_s);
	ask_some(k, p, LATER_ASKS);
	k->is_contested = was_contested;
	bh_world_unref(w);
}

static void ask_worlds(struct ke *k, bool is_plain)
{
	k->is_contested = !is_plain;
	for (uint64_t seed = 0; seed < WORLDS; seed++) {
		struct wg_pool p = {.is_plain = is_plain};
		struct bh_tables *t;
		struct bh_world *w;

		wg_init(&p, seed);
		p.now_s = quiet_time(&p, 30);
		w = wg_build(&p, false);
		t = bh_agree_compile(w);
		ke_enforce(k, w, t, p.now_s);
		ask_some(k, &p, ASKS);
		bh_world_unref(w);
		ask_later(k, &p, t, p.now_s + 10 * (1 + wg_below(&p.r, 3)));
		ask_later(k, &p, t, p.now_s + 10 * (1 + wg_below(&p.r, 10)));
		bh_tables_free(t);
		wg_done(&p);
		if (seed % 10 == 9)
			ke_reopen(k);
	}
	ke_print_tally(k, "worlds", WORLDS);
	assert_true(k->tally.allowed > k->tally.halves / 10);
	assert_true(k->tally.allowed < k->tally.halves * 9 / 10);
	assert_true(k->tally.conditional > k->tally.halves / 500);
}

static void test_plain_worlds(void **state)
{
	ask_worlds(*state, true);
}

static void test_contested_worlds(void **state)
{
	ask_worlds(*state, false);
}

/* ---- a world that changes ---- */

#define drop_one(r, vec, unref)                                                                    \
	do {                                                                                       \
		size_t i_;                                                                         \
		if ((vec)->n < 2)                                                                  \
			break;                                                                     \
		i_ = wg_below(r, (unsigned)(vec)->n);                                              \
		unref((vec)->v[i_]);                                                               \
		(vec)->v[i_] = (vec)->v[--(vec)->n];                                               \
	} while (0)

static void change(struct wg_pool *p)
{
	unsigned what = wg_below(&p->r, 8);

	if (what < 3) /* as if labels, ports or address had changed; or a new pod */
		assert_int_equal(bh_vec_push(&p->pods, wg_pod(p)), 0);
	if (what == 1 || what == 2 || p->pods.n > 12)
		drop_one(&p->r, &p->pods, bh_pod_unref);
	if (what == 3 || what == 4)
		assert_int_equal(bh_vec_push(&p->policies, wg_policy(p)), 0);
	if (what == 4 || what == 5)
		drop_one(&p->r, &p->policies, bh_policy_unref);
	if (what == 6)
		wg_set_namespace(p, wg_below(&p->r, 2));
	if (what == 7)
		p->now_s = quiet_time(p, 150);
}

/* What is in force, owned. */
struct in_force {
	struct bh_world *w;
	struct bh_tables *t;
};

static struct bh_tables *compile(struct bh_world *w, struct bh_compile_memo *memo)
{
	struct bh_compile_request req = {.world = w, .memo = memo};
	struct bh_subject *subjects = calloc(w->n_pods + 1, sizeof(*subjects));
	struct bh_tables *t = NULL;
	struct bh_err err;

	assert_non_null(subjects);
	for (size_t i = 0; i < w->n_pods; i++)
		if (ke_is_subject(w->pods[i]))
			subjects[req.n_subjects++] =
				(struct bh_subject){w->pods[i]->ident->ns, w->pods[i]->name};
	req.subjects = subjects;
	bh_assert_ok(&err, bh_compile_run(&req, &t, &err));
	free(subjects);
	return t;
}

/* A publish that fails at its last write: the old policy answers as before. Returns 0 when the new
 * tables needed no such write. */
static size_t fail_to_publish(struct ke *k, struct wg_pool *p, const struct bh_tables *t)
{
	struct bh_err err = {0};
	int r;

	ke_stay(k);
	setenv("BULKHEAD_FAULT", "endpoint:1:EIO", 1);
	r = ke_try_publish(k, t, p->now_s, &err);
	unsetenv("BULKHEAD_FAULT");
	if (r == 0)
		return 0;
	assert_int_equal(r, -EIO);
	k->is_left_alone = true;
	ask_some(k, p, LATER_ASKS);
	k->is_left_alone = false;
	return 1;
}

/* Does an address have several owners? */
static bool is_contested(const struct bh_world *w)
{
	struct bh_ip seen[2 * KE_PODS];
	size_t n = 0;

	for (size_t i = 0; i < w->n_pods; i++) {
		for (size_t a = 0; a < w->pods[i]->n_ips; a++) {
			for (size_t s = 0; s < n; s++)
				if (bh_ip_cmp(&seen[s], &w->pods[i]->ips[a]) == 0)
					return true;
			assert_true(n < BH_ARRAY_SIZE(seen));
			seen[n++] = w->pods[i]->ips[a];
		}
	}
	return false;
}

/* Returns the number of publishes that failed. */
static size_t run_sequence(struct ke *k, uint64_t seed)
{
	size_t n_failed = 0;
	struct wg_pool p = {.is_plain = seed % 2};
	struct in_force now = {NULL, NULL}, next;
	struct bh_compile_memo *memo = NULL;
	struct bh_err err;

	wg_init(&p, 7000 + seed);
	p.now_s = quiet_time(&p, 30);
	bh_assert_ok(&err, bh_compile_memo_new(&memo, &err));
	for (int i = 0; i < CHANGES; i++) {
		next.w = wg_build(&p, wg_one_in(&p.r, 2));
		next.t = compile(next.w, memo);
		if (now.t && i % 4 == 3)
			n_failed += fail_to_publish(k, &p, next.t);
		if (i % 9 == 8)
			ke_reopen(k);
		ke_enforce(k, next.w, next.t, p.now_s);
		k->is_contested = !p.is_plain || is_contested(next.w);
		ask_some(k, &p, LATER_ASKS);
		bh_tables_free(now.t);
		bh_world_unref(now.w);
		now = next;
		change(&p);
	}
	bh_compile_memo_free(memo);
	bh_tables_free(now.t);
	bh_world_unref(now.w);
	wg_done(&p);
	return n_failed;
}

static void test_changing_worlds(void **state)
{
	struct ke *k = *state;
	size_t n_failed = 0;

	for (uint64_t seed = 0; seed < SEQUENCES; seed++)
		n_failed += run_sequence(k, seed);
	assert_true(n_failed > SEQUENCES);
	ke_print_tally(k, "changes", SEQUENCES * CHANGES);
}

/* ---- time ---- */

#define BEFORE_S 600 /* longer than any machine takes between two calls */

/* Two pods of which the first may talk until a second after WG_NOW; it is long before. */
static struct bh_world *world_with_an_end(void)
{
	static const struct wk_pod pods[] = {{.ns = "a", .name = "p1", .ips = "10.0.0.1"},
					     {.ns = "b", .name = "p2", .ips = "10.0.0.2"}};
	const struct wk_rule rule = {.expires_s = WG_NOW + 1};
	struct bh_policy *policy = wk_policy("a", "n", "");
	struct bh_world *w = wk_world(WG_NOW - BEFORE_S);

	for (size_t i = 0; i < BH_ARRAY_SIZE(pods); i++) {
		struct bh_pod *pod = wk_pod(&pods[i]);

		assert_int_equal(bh_world_add_pod(w, pod), 0);
		bh_pod_unref(pod);
	}
	policy->applies[BH_EGRESS] = true;
	wk_rule(policy, BH_EGRESS, &rule);
	assert_int_equal(bh_world_add_policy(w, policy), 0);
	bh_policy_unref(policy);
	w->default_allow = true;
	wk_seal(w);
	return w;
}

/* A rule that ends while its connection lives: the kernel ends both at that moment, alone. */
static void test_rule_ends_by_itself(void **state)
{
	struct ke *k = *state;
	struct bh_world *w = world_with_an_end();
	struct bh_tables *t = bh_agree_compile(w);
	struct bh_ask ask = {.dir = BH_EGRESS, .proto = IPPROTO_UDP, .port = 53};
	struct ke_connection c;
	uint64_t end_ns;
	bool passes;

	ke_enforce(k, w, t, WG_NOW - BEFORE_S);
	ask.self = bh_refeval_pod_end(w->pods[0], 4);
	ask.peer = bh_refeval_pod_end(w->pods[1], 4);
	c = ke_connect(k, &ask, false);
	assert_true(c.passes);
	for (int i = 0; i < 20; i++) { /* until the machine lets us send before the end */
		ke_publish(k, t, WG_NOW);
		end_ns = bh_datapath_now_ns() + 1000000000;
		passes = ke_passes(k, &c, 0, false);
		if (bh_datapath_now_ns() < end_ns)
			break;
		ke_publish(k, t, WG_NOW - BEFORE_S);
	}
	assert_true(passes);
	while (bh_datapath_now_ns() < end_ns)
		poll(NULL, 0, 10);
	assert_false(ke_passes(k, &c, 0, false));
	assert_int_equal(ke_last_reason(k), BH_R_EXPIRED);
	c.end[0].opener_port = c.end[1].opener_port = ke_fresh_port(k);
	assert_false(ke_passes(k, &c, 0, false));
	bh_tables_free(t);
	bh_world_unref(w);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, ke_setup, ke_teardown)
	const struct CMUnitTest tests[] = {
		T(test_public_cases),	 T(test_plain_worlds),	      T(test_contested_worlds),
		T(test_changing_worlds), T(test_rule_ends_by_itself),
	};

	if (!dp_isolate()) {
		puts("needs root");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
