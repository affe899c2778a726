/* test_datapath_tables.c - what the kernel answers against what the tables say, for random prefixes
 * and random worlds, over successive publishes; and that a publish that fails at its very end has
 * not moved a single answer of the policy in force. */
#include "unit/worldgen.h"

#include "dp_env.h"
#include "dp_tables.h"

#define PREFIX_ROUNDS 60
#define WORLD_ROUNDS  40
#define MAX_PREFIXES  40
#define CLASSES	      6

/* ---- prefixes ---- */

static struct bh_cidr random_prefix(struct wg_rand *r)
{
	struct bh_cidr c = {0};
	char text[64];

	/* few distinct bits, so that prefixes nest and meet */
	if (wg_one_in(r, 3))
		snprintf(text, sizeof(text), "fd00:%x:%x::%x/%u", wg_below(r, 2) * 0x8000,
			 wg_below(r, 4) * 0x4000, wg_below(r, 4), wg_below(r, 129));
	else
		snprintf(text, sizeof(text), "10.%u.%u.%u/%u", wg_below(r, 2) * 128,
			 wg_below(r, 4) * 64, wg_below(r, 4), wg_below(r, 33));
	assert_int_equal(bh_cidr_parse(text, &c, NULL, &(struct bh_err){0}), 0);
	return c;
}

static struct bh_ip random_address(struct wg_rand *r)
{
	struct bh_cidr c = random_prefix(r);

	if (wg_one_in(r, 2))
		c.ip.b[15] ^= (uint8_t)wg_below(r, 8);
	return c.ip;
}

static bool has_prefix(const struct dt *d, const struct bh_cidr *c)
{
	for (size_t i = 0; i < d->t.n_cidrs; i++)
		if (bh_cidr_cmp(&d->t.cidrs[i].cidr, c) == 0)
			return true;
	return false;
}

static bool has_peer(const struct dt *d, const struct bh_ip *ip)
{
	for (size_t i = 0; i < d->t.n_peers; i++)
		if (bh_ip_cmp(&d->t.peers[i].ip, ip) == 0)
			return true;
	return false;
}

static void random_tables(struct dt *d, struct wg_rand *r, uint64_t round)
{
	unsigned n = wg_below(r, MAX_PREFIXES);

	dt_init(d);
	for (uint64_t i = 1; i < CLASSES; i++)
		dt_class(d, wg_one_in(r, 4) ? 1000 * round + i : i);
	for (unsigned i = 0; i < n; i++) {
		struct bh_cidr c = random_prefix(r);

		if (has_prefix(d, &c))
			continue;
		*DT_GROW(d->t.cidrs, d->t.n_cidrs) =
			(struct bh_tcidr){.cidr = c, .class = wg_below(r, CLASSES)};
	}
	if (d->t.n_cidrs)
		qsort(d->t.cidrs, d->t.n_cidrs, sizeof(*d->t.cidrs), dt_cidr_cmp);
	n = wg_below(r, 8);
	for (unsigned i = 0; i < n; i++) {
		struct bh_ip ip = random_address(r);

		if (!has_peer(d, &ip))
			dt_peer(d, ip, wg_below(r, CLASSES));
	}
	dt_subject(d, 1, dt_ruleset(d, 5000 + round, 0), 0);
}

/* Longest match over the tables, written down plainly. */
static uint32_t expected_class(const struct dt *d, const struct bh_ip *ip)
{
	uint32_t class = 0;
	int best = -1;

	for (size_t i = 0; i < d->t.n_peers; i++)
		if (bh_ip_cmp(&d->t.peers[i].ip, ip) == 0)
			return d->t.peers[i].class;
	for (size_t i = 0; i < d->t.n_cidrs; i++) {
		const struct bh_tcidr *c = &d->t.cidrs[i];

		if (c->cidr.len <= best || !bh_cidr_has(&c->cidr, ip))
			continue;
		best = c->cidr.len;
		class = c->class;
	}
	return class;
}

/* A snapshot says the same as the maps. */
static void assert_same(const struct bh_snapshot *s, const struct bh_kernel_question *q,
			const struct bh_kernel_verdict *want)
{
	struct bh_kernel_verdict has;
	struct bh_err err;

	bh_assert_ok(&err, bh_snapshot_decide(s, q, &has, &err));
	if (has.verdict != want->verdict || has.reason != want->reason ||
	    has.is_conditional != want->is_conditional || has.class != want->class ||
	    has.ruleset != want->ruleset || has.port_class != want->port_class)
		fail_msg("slot %u dir %d proto %u port %u: snapshot %d/%d class %u, maps %d/%d %u",
			 q->slot, q->dir, q->proto, q->port, has.verdict, has.reason, has.class,
			 want->verdict, want->reason, want->class);
}

/* Kernel ids are whatever they are, but one class has one id and the other way round. */
static void assert_classes(struct dp_env *e, const struct dt *d, struct wg_rand *r)
{
	uint32_t kid_of[CLASSES] = {0};
	bool is_known[CLASSES] = {true};
	BH_CLEANUP(bh_snapshot_freep) struct bh_snapshot *snap = NULL;
	struct bh_err err;

	bh_assert_ok(&err, bh_datapath_snapshot(e->dp, &snap, &err));
	for (int i = 0; i < 150; i++) {
		struct bh_ip ip = random_address(r);
		uint32_t want = expected_class(d, &ip);
		const struct bh_kernel_question q = {1, BH_EGRESS, ip, 6, 80};
		struct bh_kernel_verdict v = dt_ask(e->dp, 1, BH_EGRESS, &ip, 80);
		uint32_t kid = v.class;

		assert_same(snap, &q, &v);
		if (!is_known[want])
			for (int k = 0; k < CLASSES; k++)
				assert_false(is_known[k] && kid_of[k] == kid);
		if (!is_known[want])
			kid_of[want] = kid;
		is_known[want] = true;
		assert_int_equal(kid_of[want], kid);
	}
}

static void prefixes_agree_on_both_sides(void **state)
{
	struct dp_env *e = *state;
	struct wg_rand r = {20261122};
	struct dt now, next;
	struct bh_err err;

	dp_attach(e, 0);
	random_tables(&now, &r, 0);
	dt_publish(e->dp, &now);
	for (uint64_t round = 1; round <= PREFIX_ROUNDS; round++) {
		random_tables(&next, &r, round);
		setenv("BULKHEAD_FAULT", "endpoint:1:EIO", 1);
		bh_assert_fails(&err, -EIO, "endpoint", dt_publish_at(e->dp, &next, 1000, &err));
		unsetenv("BULKHEAD_FAULT");
		assert_classes(e, &now, &r); /* everything is written but the switch */
		if (round % 7 == 0)
			dp_reopen(e);
		dt_publish(e->dp, &next);
		assert_classes(e, &next, &r);
		dt_done(&now);
		now = next;
	}
	dt_done(&now);
}

/* The same without failures, so that ids and entries live on from publish to publish. */
static void prefixes_agree_over_many_publishes(void **state)
{
	struct dp_env *e = *state;
	struct wg_rand r = {77};
	struct dt d;

	dp_attach(e, 0);
	for (uint64_t round = 0; round < PREFIX_ROUNDS; round++) {
		random_tables(&d, &r, round / 3);
		dt_publish(e->dp, &d);
		assert_classes(e, &d, &r);
		dt_done(&d);
	}
}

/* ---- worlds ---- */

static const uint16_t ports[] = {0, 1, 53, 80, 81, 255, 256, 443, 8080, 65535};
static const uint8_t protos[] = {6, 17, 132, 1, 58, 47};

static struct bh_ip world_address(struct wg_rand *r)
{
	return wg_one_in(r, 3) ? wk_ip(wg_one_in(r, 2) ? "fd00::3" : "fd00::9")
			       : bh_ip_from4(0x0a000000 + wg_below(r, 32));
}

static void assert_tables(struct dp_env *e, const struct bh_tables *t, struct wg_rand *r)
{
	BH_CLEANUP(bh_snapshot_freep) struct bh_snapshot *snap = NULL;
	struct bh_err err;

	bh_assert_ok(&err, bh_datapath_snapshot(e->dp, &snap, &err));
	assert_int_equal(bh_snapshot_epoch(snap), bh_datapath_epoch(e->dp));
	for (int i = 0; t->n_subjects && i < 400; i++) {
		size_t s = wg_below(r, (unsigned)t->n_subjects);
		enum bh_dir dir = wg_below(r, 2) ? BH_INGRESS : BH_EGRESS;
		struct bh_ip ip = world_address(r);
		uint16_t port = wg_pick(r, ports);
		uint8_t proto = wg_pick(r, protos);
		struct bh_tquestion q = {.subject = &t->subjects[s],
					 .dir = dir,
					 .peer = ip,
					 .proto = proto,
					 .port = port,
					 .now_s = WG_NOW};
		struct bh_tverdict want = bh_tables_ask(t, &q);
		const struct bh_kernel_question kq = {(uint32_t)s + 1, dir, ip, proto, port};
		struct bh_kernel_verdict has;

		bh_assert_ok(&err, bh_datapath_decide(e->dp, &kq, &has, &err));
		assert_same(snap, &kq, &has);
		if (has.verdict != want.verdict || has.reason != want.reason ||
		    has.is_conditional != want.is_conditional)
			fail_msg("subject %zu dir %d proto %u port %u: kernel %d/%d, tables %d/%d",
				 s, dir, proto, port, has.verdict, has.reason, want.verdict,
				 want.reason);
	}
}

/* Publishes t with one slot per subject. */
static int publish_world(struct dp_env *e, const struct bh_tables *t, struct bh_err *err)
{
	struct bh_publish p = {.tables = t, .now_s = WG_NOW, .now_ns = bh_datapath_now_ns()};
	uint32_t *slots = dt_need(calloc(t->n_subjects + 1, sizeof(*slots)));
	int r;

	p.slots_of = dt_need(calloc(t->n_subjects + 1, sizeof(*p.slots_of)));
	for (size_t i = 0; i < t->n_subjects; i++) {
		slots[i] = (uint32_t)i + 1;
		p.slots_of[i].slot = &slots[i];
		p.slots_of[i].n = 1;
	}
	r = bh_datapath_publish(e->dp, &p, err);
	free(p.slots_of);
	free(slots);
	return r;
}

static void attach_slots(struct dp_env *e, uint32_t n)
{
	struct bh_attach a = dp_attach_of(&e->pod[0]);
	struct bh_err err;

	for (a.slot = 1; a.slot <= n; a.slot++)
		bh_assert_ok(&err, bh_datapath_attach(e->dp, &a, &err));
}

static void worlds_agree_with_the_kernel(void **state)
{
	struct dp_env *e = *state;
	struct wg_rand r = {4711};
	BH_CLEANUP(bh_tables_freep) struct bh_tables *now = NULL;
	struct bh_err err;

	attach_slots(e, 40);
	for (uint64_t round = 1; round <= WORLD_ROUNDS; round++) {
		struct wg_pool pool = {0};
		struct bh_subject *subjects;
		struct bh_tables *next = NULL;
		struct bh_world *w;
		size_t n;

		wg_init(&pool, round * 7919);
		w = wg_build(&pool, false);
		subjects = wg_subjects(w);
		n = w->n_pods < 40 ? w->n_pods : 40;
		bh_assert_ok(&err, bh_compile(w, subjects, n, &next, &err));
		setenv("BULKHEAD_FAULT", "endpoint:1:EIO", 1);
		if (publish_world(e, next, &err) && now)
			assert_tables(e, now, &r);
		unsetenv("BULKHEAD_FAULT");
		if (round % 5 == 0)
			dp_reopen(e);
		bh_assert_ok(&err, publish_world(e, next, &err));
		assert_tables(e, next, &r);
		bh_tables_free(now);
		now = next;
		free(subjects);
		bh_world_unref(w);
		wg_done(&pool);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, dp_setup, dp_teardown)
	const struct CMUnitTest tests[] = {
		T(prefixes_agree_on_both_sides),
		T(prefixes_agree_over_many_publishes),
		T(worlds_agree_with_the_kernel),
	};

	if (!dp_isolate()) {
		puts("needs root");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
