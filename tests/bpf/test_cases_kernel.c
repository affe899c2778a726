/* test_cases_kernel.c - the catalogue in tests/cases against the kernel: every step is published,
 * every row and every pair of pods is a packet. One test per case, named by its directory. */
#include "bh_cases.h"

#include "kernel_eval.h"

#define MAX_HELD 8

/* A connection of the step before, by the row that asks for it. */
struct held {
	const json_t *row;
	struct ke_connection c;
};

struct play {
	struct ke *k;
	struct bh_case c;
	struct held held[MAX_HELD];
	size_t n_held;
};

static size_t n_rows, n_without_packet, n_replies_refused, n_held_rows;

/* ---- rows ---- */

static const char *text_of(const json_t *row, const char *key)
{
	return json_string_value(json_object_get(row, key));
}

/* A row's end: an address as it is, a pod by its first address of the family. */
static struct bh_end end_of(const struct bh_world *w, const char *text, int family)
{
	const char *slash = strchr(text, '/');
	BH_CLEANUP(bh_freep) char *ns = NULL;
	struct bh_err err;
	struct bh_ip ip;

	if (!slash) {
		bh_assert_ok(&err, bh_ip_parse(text, &ip, &err));
		return bh_refeval_end(w, &ip);
	}
	ns = strndup(text, (size_t)(slash - text));
	return bh_refeval_pod_end(bh_world_pod(w, ns, slash + 1), family);
}

/* false: the row's ends have no addresses of this family. */
static bool ask_of(const struct bh_world *w, const json_t *row, int family, struct bh_ask *ret_ask)
{
	struct bh_ask ask = {.dir = BH_EGRESS, .exe = text_of(row, "process")};
	struct bh_err err;

	bh_assert_ok(&err, bh_port_proto_parse(text_of(row, "port"), &ask.port, &ask.proto, &err));
	ask.self = end_of(w, text_of(row, "from"), family);
	ask.peer = end_of(w, text_of(row, "to"), family);
	*ret_ask = ask;
	return ask.self.has_ip && ask.peer.has_ip && bh_ip_is4(&ask.self.ip) == (family == 4) &&
	       bh_ip_is4(&ask.peer.ip) == (family == 4);
}

/* "Some executable may": one that may. NULL: it does not matter who opens it. */
static const char *some_exe(const struct bh_world *w, const struct bh_ask *ask)
{
	BH_CLEANUP(bh_policies_done) struct bh_policies selecting = {0};
	BH_CLEANUP(bh_exes_done) struct bh_exes exes = {0};

	if (ask->exe || !ask->self.pod || !bh_refeval_ask(w, ask).is_conditional)
		return ask->exe;
	assert_int_equal(bh_refeval_selecting(w, ask->self.pod, BH_EGRESS, &selecting), 0);
	assert_int_equal(bh_refeval_exes(w, &selecting, ask, &exes), 0);
	if (exes.is_except)
		return "/nobody/names/it";
	return exes.n ? exes.v[0] : NULL; /* borrowed from the rules */
}

static bool is_node(const struct bh_world *w, const struct bh_end *end)
{
	for (size_t i = 0; end->has_ip && i < w->n_node_addresses; i++)
		if (bh_ip_cmp(&w->node_addresses[i], &end->ip) == 0)
			return true;
	return false;
}

/* A pod to its own address: what comes back through a service by the interface it left by passes,
 * what comes from elsewhere with the pod's address does not. */
static void check_itself(struct ke *k, const struct bh_ask *ask)
{
	const struct bh_pod *pod = ask->self.pod;
	uint32_t slot = ke_slot(k, pod->ident->ns, pod->name);
	struct ke_shot s = ke_shot_of(slot, ask, ke_fresh_port(k));

	s.dir = BH_INGRESS;
	s.came_in_by = k->pod[slot].ifindex;
	assert_true(ke_shoot(k, &s));
	s.opener_port = ke_fresh_port(k);
	s.came_in_by = KE_ABROAD;
	assert_false(ke_shoot(k, &s));
	assert_int_equal(ke_last_reason(k), BH_R_SPOOFED_IP);
}

/* A refused TCP connection gets no answer in either: nothing vouches for a SYN-ACK. */
static void check_stray_answer(struct ke *k, const struct ke_connection *c)
{
	struct ke_shot s = c->end[0];

	if (!s.slot || s.proto != IPPROTO_TCP || s.tcp_flags != F_SYN)
		return;
	s.opener_port = ke_fresh_port(k);
	s.tcp_flags = F_SYN | F_ACK;
	s.is_reply = true;
	s.came_in_by = KE_ABROAD;
	assert_false(ke_shoot(k, &s));
	assert_int_equal(ke_last_reason(k), BH_R_NO_CONNECTION);
	n_replies_refused++;
}

static struct ke_connection open_row(struct ke *k, const struct bh_world *w,
				     const struct bh_ask *row)
{
	struct bh_ask ask = *row;

	ask.exe = some_exe(w, row);
	return ke_connect(k, &ask, is_node(w, &ask.self));
}

/* One pair of addresses of the row; whether its connection passes. */
static bool try_row(struct ke *k, const struct bh_world *w, const struct bh_ask *row)
{
	struct bh_ask ask = *row;
	struct ke_connection c;

	if (ke_is_subject(ask.self.pod) && bh_refeval_ask(w, &ask).is_self) {
		check_itself(k, &ask);
		return true;
	}
	c = open_row(k, w, &ask);
	if (!c.passes)
		check_stray_answer(k, &c);
	if (is_node(w, &ask.self) && ke_connect(k, &ask, false).passes)
		ke_fail(k, &ask, "the node's address alone must not do");
	ke_connect_all(k, &ask);
	ask.exe = NULL;
	if (row->exe)
		ke_connect_all(k, &ask);
	return c.passes;
}

static void check_row(struct ke *k, const struct bh_world *w, const json_t *row)
{
	const char *packet = text_of(row, "packet");
	const char *want = packet ? packet : text_of(row, "expect");
	bool has_pair = false, passes = false;
	struct bh_ask ask;

	n_rows++;
	for (int family = 4; family <= 6; family += 2) {
		if (!ask_of(w, row, family, &ask))
			continue;
		has_pair = true;
		passes |= try_row(k, w, &ask);
	}
	if (!has_pair)
		n_without_packet++;
	else if (passes != (strcmp(want, "allowed") == 0))
		fail_msg("%s -> %s %s: the row says %s", text_of(row, "from"), text_of(row, "to"),
			 text_of(row, "port"), want);
}

/* ---- connections that were there before ---- */

static void check_held(struct play *p)
{
	for (size_t i = 0; i < p->n_held; i++) {
		const struct held *h = &p->held[i];
		bool is_kept = strcmp(text_of(h->row, "established"), "kept") == 0;

		n_held_rows++;
		if (ke_passes(p->k, &h->c, F_ACK, false) != is_kept)
			fail_msg("%s -> %s: the connection must be %s", text_of(h->row, "from"),
				 text_of(h->row, "to"), text_of(h->row, "established"));
		if (!is_kept)
			ke_last_reason(p->k);
	}
	p->n_held = 0;
}

static void hold(struct play *p, const struct bh_world *w, const json_t *next)
{
	struct bh_ask ask;
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(next, "expect"), i, row)
	{
		struct held *h = &p->held[p->n_held];

		if (!text_of(row, "established"))
			continue;
		assert_true(p->n_held++ < MAX_HELD && ask_of(w, row, 4, &ask));
		h->row = row;
		h->c = open_row(p->k, w, &ask);
		assert_true(h->c.passes && ke_passes(p->k, &h->c, F_ACK, false));
	}
}

/* ---- cases ---- */

static void run_step(struct play *p, json_t *step, const json_t *next)
{
	struct bh_world *w = bh_case_step(&p->c, step);
	struct bh_tables *t = bh_agree_compile(w);
	json_t *row;
	size_t i;

	ke_enforce(p->k, w, t, w->now_s);
	check_held(p);
	json_array_foreach(json_object_get(step, "expect"), i, row) check_row(p->k, w, row);
	ke_check_drops(p->k);
	ke_sweep(p->k);
	hold(p, w, next);
	bh_tables_free(t);
	bh_world_unref(w);
}

static void run_case(void **state)
{
	struct play p = {.k = ((struct ke **)*state)[0]};
	const char *name = ((char **)*state)[1];
	json_t *steps, *step;
	size_t i;

	bh_case_open(name, &p.c);
	steps = bh_case_steps(&p.c);
	json_array_foreach(steps, i, step) run_step(&p, step, json_array_get(steps, i + 1));
	bh_case_close(&p.c);
	ke_print_tally(p.k, "rows so far", n_rows - n_without_packet);
}

/* After all cases: something was compared, and both answers were common. */
static void test_enough_was_compared(void **state)
{
	const struct ke_tally *y = &((struct ke **)*state)[0]->tally;

	assert_true(n_rows > 400 && n_without_packet < n_rows / 20 && n_replies_refused > 50 &&
		    n_held_rows >= 2);
	assert_true(y->allowed > y->halves / 20 && y->allowed < y->halves * 19 / 20);
	assert_true(y->conditional > 0);
}

int main(void)
{
	static char *names[BH_CASES_MAX];
	static void *given[BH_CASES_MAX + 1][2];
	static struct CMUnitTest tests[BH_CASES_MAX + 1];
	size_t n = bh_cases_list(names);
	void *k = NULL;
	int failed;

	if (!dp_isolate()) {
		puts("needs root");
		return 77;
	}
	ke_setup(&k);
	for (size_t i = 0; i <= n; i++) {
		given[i][0] = k;
		given[i][1] = names[i];
		tests[i] = (struct CMUnitTest){.name = i < n ? names[i] : "enough",
					       .test_func =
						       i < n ? run_case : test_enough_was_compared,
					       .initial_state = given[i]};
	}
	failed = _cmocka_run_group_tests("cases in the kernel", tests, n + 1, NULL, NULL);
	ke_teardown(&k);
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	return failed;
}
