/* test_datapath_publish.c - what a publish writes, what it keeps, what a failure leaves behind. */
#include "dp_env.h"
#include "dp_tables.h"

#include <bpf/bpf.h>

#define WEB 8080

static int map_fd(const char *name)
{
	char path[200];
	int fd;

	snprintf(path, sizeof(path), DP_BPFFS "/abi%d/maps/%s", BH_ABI_VERSION, name);
	fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	return fd;
}

static struct bh_map_fill fill_of(struct dp_env *e, const char *name)
{
	struct bh_map_fill v[64];
	size_t n = bh_datapath_maps(e->dp, v, 64);

	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i].name, name) == 0)
			return v[i];
	fail_msg("no map %s", name);
	return (struct bh_map_fill){0};
}

/* Elements that the kernel holds, counted without the code under test. */
static unsigned kernel_count(const char *name)
{
	uint8_t key[64], next[64];
	int fd = map_fd(name);
	unsigned n = 0;
	void *at = NULL;

	while (bpf_map_get_next_key(fd, at, next) == 0) {
		memcpy(key, next, sizeof(key));
		at = key;
		n++;
	}
	close(fd);
	return n;
}

/* Two pods; pod 0 may reach 10.1.0.0/16 (class 1) but not 10.1.2.0/24 (class 2), and peer 10.9.9.9
 * (class 3), on port WEB. variant changes contents. */
static void build(struct dt *d, uint64_t variant)
{
	uint32_t near, far, peer, pm, rs;
	struct bh_ip ip = bh_ip_from4(0x0a090909);

	dt_init(d);
	near = dt_class(d, 100 + variant);
	far = dt_class(d, 200 + variant);
	peer = dt_class(d, 300 + variant);
	dt_cidr(d, "10.1.0.0/16", near);
	dt_cidr(d, variant % 2 ? "10.1.3.0/24" : "10.1.2.0/24", far);
	dt_cidr(d, "fd00:1::/32", near);
	dt_peer(d, ip, peer);
	pm = dt_portmap(d, WEB);
	rs = dt_ruleset(d, 1000 + variant, pm);
	dt_row(d, rs, near, 2, 0);
	dt_row(d, rs, peer, 2, 0);
	dt_subject(d, 1, rs, 0);
	dt_subject(d, 2, 0, rs);
}

static bool allows(struct dp_env *e, uint32_t slot, enum bh_dir dir, const char *peer,
		   uint16_t port)
{
	struct bh_err err;
	struct bh_ip ip;

	bh_assert_ok(&err, bh_ip_parse(peer, &ip, &err));
	return dt_ask(e->dp, slot, dir, &ip, port).verdict == BH_ALLOWED;
}

static void attach_two(struct dp_env *e)
{
	dp_attach(e, 0);
	dp_attach(e, 1);
}

/* The answers that build(variant) stands for. */
static void assert_variant(struct dp_env *e, uint64_t variant)
{
	assert_true(allows(e, 1, BH_EGRESS, "10.1.0.9", WEB));
	assert_false(allows(e, 1, BH_EGRESS, "10.1.0.9", WEB + 1));
	assert_int_equal(allows(e, 1, BH_EGRESS, "10.1.2.9", WEB), variant % 2);
	assert_int_equal(allows(e, 1, BH_EGRESS, "10.1.3.9", WEB), !(variant % 2));
	assert_true(allows(e, 1, BH_EGRESS, "10.9.9.9", WEB));
	assert_true(allows(e, 1, BH_EGRESS, "fd00:1::5", WEB));
	assert_false(allows(e, 1, BH_EGRESS, "fd00:2::5", WEB));
	assert_false(allows(e, 1, BH_EGRESS, "10.2.0.9", WEB));
	assert_false(allows(e, 1, BH_INGRESS, "10.1.0.9", WEB));
	assert_true(allows(e, 2, BH_INGRESS, "10.1.0.9", WEB));
}

static void nothing_is_allowed_before_the_first_publish(void **state)
{
	struct dp_env *e = *state;
	struct bh_ip ip = bh_ip_from4(0x0a010009);

	attach_two(e);
	assert_int_equal(dt_ask(e->dp, 1, BH_EGRESS, &ip, WEB).reason, BH_R_DEFAULT_DENY);
	assert_int_equal(dt_ask(e->dp, 3, BH_EGRESS, &ip, WEB).reason, BH_R_NO_ENDPOINT);
}

static void publishes_alternate_between_the_sides(void **state)
{
	struct dp_env *e = *state;

	attach_two(e);
	for (uint64_t i = 0; i < 6; i++) {
		struct dt d;

		build(&d, i);
		dt_publish(e->dp, &d);
		assert_int_equal(bh_datapath_epoch(e->dp), 3 + i);
		assert_variant(e, i);
		dt_done(&d);
	}
	/* the last two policies are in the maps, nothing older */
	assert_int_equal(kernel_count("cidr4"), 3);
	assert_int_equal(kernel_count("peer4"), 1);
	assert_int_equal(kernel_count("row"), 4);
	assert_int_equal(fill_of(e, "ruleset").used, 2);
	assert_int_equal(fill_of(e, "portpage").used, 1);
}

static void the_same_tables_cost_no_ids(void **state)
{
	struct dp_env *e = *state;
	struct bh_kernel_verdict a, b;
	struct bh_ip ip = bh_ip_from4(0x0a010009);
	struct dt d;

	attach_two(e);
	build(&d, 0);
	dt_publish(e->dp, &d);
	a = dt_ask(e->dp, 1, BH_EGRESS, &ip, WEB);
	for (int i = 0; i < 3; i++)
		dt_publish(e->dp, &d);
	b = dt_ask(e->dp, 1, BH_EGRESS, &ip, WEB);
	assert_int_equal(a.ruleset, b.ruleset);
	assert_int_equal(a.class, b.class);
	assert_int_equal(fill_of(e, "ruleset").used, 1);
	assert_int_equal(kernel_count("row"), 2);
	dt_done(&d);
}

static void a_restart_publishes_beside_what_is_enforced(void **state)
{
	struct dp_env *e = *state;
	struct dt d;

	attach_two(e);
	for (uint64_t i = 0; i < 4; i++) {
		build(&d, i);
		dp_reopen(e);
		if (i)
			assert_variant(e, i - 1);
		dt_publish(e->dp, &d);
		assert_variant(e, i);
		dt_done(&d);
	}
	assert_int_equal(kernel_count("row"), 4);
	build(&d, 3);
	dt_publish(e->dp, &d);
	dt_publish(e->dp, &d);
	assert_int_equal(kernel_count("row"), 2);
	assert_int_equal(kernel_count("cidr4"), 2);
	dt_done(&d);
}

static void slots_listed_nowhere_are_denied(void **state)
{
	struct dp_env *e = *state;
	struct dt d;

	attach_two(e);
	build(&d, 0);
	dt_publish(e->dp, &d);
	assert_variant(e, 0);
	d.t.n_subjects = 1; /* the second pod is no subject any more */
	dt_publish(e->dp, &d);
	assert_true(allows(e, 1, BH_EGRESS, "10.1.0.9", WEB));
	assert_false(allows(e, 2, BH_INGRESS, "10.1.0.9", WEB));
	d.t.n_subjects = 2;
	dt_done(&d);
}

/* ---- failures ---- */

/* Runs publish with the fault at its 1st, 2nd ... occurrence until it no longer strikes. */
static unsigned strike(struct dp_env *e, const char *where, const char *name, struct dt *next)
{
	unsigned n;

	for (n = 1; n < 1000; n++) {
		char fault[80];
		struct bh_err err;
		uint32_t epoch = bh_datapath_epoch(e->dp);
		int r;

		snprintf(fault, sizeof(fault), "%s:%u:%s", where, n, name);
		setenv("BULKHEAD_FAULT", fault, 1);
		r = dt_publish_at(e->dp, next, 1000, &err);
		unsetenv("BULKHEAD_FAULT");
		if (r == 0)
			break;
		if (!strstr(err.text, "the old one stays in force"))
			fail_msg("%s: %s", fault, err.text);
		assert_int_equal(bh_datapath_epoch(e->dp), epoch);
		assert_variant(e, 0);
	}
	return n - 1;
}

static void every_failure_leaves_the_old_policy_whole(void **state)
{
	static const char *const maps[] = {"portpage", "portmap", "row",   "ruleset", "exe",
					   "procrow",  "peer4",	  "cidr4", "cidr6",   "endpoint"};
	struct dp_env *e = *state;
	struct dt old, next;

	attach_two(e);
	build(&old, 0);
	build(&next, 1);
	dt_exe(&next, "/usr/bin/one");
	dt_proc(&next, 1, (struct bh_tproc){.class = 1, .port_class = 1, .exe = 2});
	next.t.pages[1].id = dt_content(2, 999);
	next.t.portmaps[1].id = dt_content(3, 999);
	for (size_t m = 0; m < sizeof(maps) / sizeof(*maps); m++) {
		char where[40];

		for (int readback = 0; readback < 2; readback++) {
			unsigned n;

			snprintf(where, sizeof(where), "%s%s", maps[m],
				 readback ? "-readback" : "");
			dp_reopen(e);
			dt_publish(e->dp, &old);
			assert_variant(e, 0);
			n = strike(e, where, readback ? "EIO" : "E2BIG", &next);
			/* an executable keeps its entry, so it is written once only */
			if (n == 0 && (strcmp(maps[m], "exe") != 0 || m == 0))
				fail_msg("fault at %s never struck", where);
			assert_variant(e, 1);
		}
	}
	dt_done(&old);
	dt_done(&next);
}

static void a_full_map_is_told_before_anything_is_written(void **state)
{
	struct dp_env *e = *state;
	struct dt d;
	struct bh_err err;

	bh_datapath_closep(&e->dp);
	bh_assert_ok(&err, bh_datapath_remove_all(DP_BPFFS, &err));
	setenv("BULKHEAD_MAP_MAX", "row=3,peer4=2,cidr4=4,ruleset=3", 1);
	dp_open(e);
	attach_two(e);
	build(&d, 0);
	dt_publish(e->dp, &d);
	dt_done(&d);
	build(&d, 1);
	bh_assert_fails(&err, -ENOSPC,
			"map row has no room: 2 of 3 in use, 2 more wanted by egress",
			dt_publish_at(e->dp, &d, 1000, &err));
	assert_variant(e, 0);
	dt_done(&d);
	build(&d, 0);
	dt_peer(&d, bh_ip_from4(0x01010101), 1);
	dt_peer(&d, bh_ip_from4(0x01010102), 1);
	bh_assert_fails(&err, -ENOSPC, "map peer4 has no room: 1 of 2 in use, 2 more wanted",
			dt_publish_at(e->dp, &d, 1000, &err));
	assert_variant(e, 0);
	dt_done(&d);
	build(&d, 0);
	dt_cidr(&d, "10.7.0.0/16", 1);
	dt_cidr(&d, "10.8.0.0/16", 1);
	dt_cidr(&d, "10.9.0.0/16", 1);
	bh_assert_fails(&err, -ENOSPC, "map cidr4 has no room",
			dt_publish_at(e->dp, &d, 1000, &err));
	assert_variant(e, 0);
	dt_done(&d);
	build(&d, 0);
	dt_publish(e->dp, &d);
	assert_variant(e, 0);
	dt_done(&d);
}

/* ---- small changes ---- */

static uint64_t value_of(const char *map, struct bh_ip ip)
{
	int fd = map_fd(map);
	uint64_t value = 0;

	assert_int_equal(bpf_map_lookup_elem(fd, ip.b + 12, &value), 0);
	close(fd);
	return value;
}

/* With one peer changed, a fault at the second write of peer4 must not strike: there is none. */
static void a_small_change_writes_little(void **state)
{
	struct dp_env *e = *state;
	struct bh_err err;
	struct dt d;

	attach_two(e);
	build(&d, 0);
	for (uint32_t i = 0; i < 300; i++)
		dt_peer(&d, bh_ip_from4(0x14000000 + i), 1);
	dt_publish(e->dp, &d);
	dt_publish(e->dp, &d);
	d.t.peers[50].class = 2;
	setenv("BULKHEAD_FAULT", "peer4:2:EIO", 1);
	bh_assert_ok(&err, dt_publish_at(e->dp, &d, 1000, &err));
	bh_assert_ok(&err, dt_publish_at(e->dp, &d, 1000, &err)); /* the other side */
	setenv("BULKHEAD_FAULT", "peer4:1:EIO", 1);
	bh_assert_ok(&err, dt_publish_at(e->dp, &d, 1000, &err)); /* nothing */
	d.t.peers[50].class = 1;
	assert_true(dt_publish_at(e->dp, &d, 1000, &err) < 0);
	assert_int_equal((uint32_t)value_of("peer4", d.t.peers[50].ip),
			 value_of("peer4", d.t.peers[50].ip) >> 32);
	dt_done(&d);
}

static void node_addresses_carry_their_flag(void **state)
{
	struct dp_env *e = *state;
	struct bh_ip node = bh_ip_from4(0x0a4d0001), world = bh_ip_from4(0x0a4d0063);
	struct dt d;

	attach_two(e);
	build(&d, 0);
	dt_peer(&d, node, 0);
	for (size_t i = 0; i < d.t.n_peers; i++)
		d.t.peers[i].is_node = bh_ip_cmp(&d.t.peers[i].ip, &node) == 0;
	dt_publish(e->dp, &d);
	assert_int_equal(dt_ask(e->dp, 1, BH_EGRESS, &node, WEB).class, BH_CLASS_NODE);
	assert_int_equal(dt_ask(e->dp, 1, BH_EGRESS, &world, WEB).class, 0);
	dt_done(&d);
}

/* ---- time ---- */

static struct bh_kernel_verdict ask_snapshot(const struct bh_snapshot *s, const struct bh_ip *ip)
{
	const struct bh_kernel_question q = {1, BH_EGRESS, *ip, 6, WEB};
	struct bh_kernel_verdict v;
	struct bh_err err;

	bh_assert_ok(&err, bh_snapshot_decide(s, &q, &v, &err));
	return v;
}

#define LONG_S 600 /* longer than any machine takes between two calls */

static void a_ruleset_ends_at_its_second(void **state)
{
	BH_CLEANUP(bh_snapshot_freep) struct bh_snapshot *before = NULL;
	BH_CLEANUP(bh_snapshot_freep) struct bh_snapshot *ended = NULL;
	struct dp_env *e = *state;
	struct bh_ip ip = bh_ip_from4(0x0a010009);
	struct bh_kernel_verdict v, again;
	uint32_t rs, after;
	struct bh_err err;
	struct dt d;

	attach_two(e);
	dt_init(&d);
	dt_class(&d, 1);
	dt_cidr(&d, "10.1.0.0/16", 1);
	after = dt_ruleset(&d, 1, 0);
	rs = dt_ruleset(&d, 2, 0);
	d.t.rulesets[rs].until_s = 1000 + LONG_S;
	d.t.rulesets[rs].next = after;
	dt_row(&d, rs, 1, 1, 0);
	dt_subject(&d, 1, rs, 0);
	bh_assert_ok(&(struct bh_err){0}, dt_publish_at(e->dp, &d, 1000, &(struct bh_err){0}));
	v = dt_ask(e->dp, 1, BH_EGRESS, &ip, WEB);
	assert_int_equal(v.verdict, BH_ALLOWED);
	/* a publish a moment later keeps the ruleset: the second is the same */
	d.p.now_ns += 900000000;
	bh_assert_ok(&err, bh_datapath_publish(e->dp, &d.p, &err));
	again = dt_ask(e->dp, 1, BH_EGRESS, &ip, WEB);
	assert_int_equal(again.ruleset, v.ruleset);
	bh_assert_ok(&(struct bh_err){0},
		     bh_datapath_snapshot(e->dp, &before, &(struct bh_err){0}));
	/* the clock was set: what was left before the end has become none */
	bh_assert_ok(&err, dt_publish_at(e->dp, &d, 1000 + LONG_S, &err));
	v = dt_ask(e->dp, 1, BH_EGRESS, &ip, WEB);
	assert_int_equal(v.verdict, BH_DENIED);
	assert_int_equal(v.reason, BH_R_EXPIRED);
	bh_assert_ok(&(struct bh_err){0}, bh_datapath_snapshot(e->dp, &ended, &(struct bh_err){0}));
	assert_int_equal(ask_snapshot(ended, &ip).reason, BH_R_EXPIRED);
	assert_int_equal(ask_snapshot(before, &ip).verdict, BH_ALLOWED); /* of its own time */
	/* and long before: */
	bh_assert_ok(&(struct bh_err){0},
		     dt_publish_at(e->dp, &d, -900000000000, &(struct bh_err){0}));
	assert_int_equal(dt_ask(e->dp, 1, BH_EGRESS, &ip, WEB).verdict, BH_ALLOWED);
	dt_done(&d);
}

/* ---- executables ---- */

static uint32_t proc_of(const char *path)
{
	struct bh_exe_key key = {0};
	int fd = map_fd("exe");
	uint32_t proc = 0;

	snprintf(key.path, sizeof(key.path), "%s", path);
	if (bpf_map_lookup_elem(fd, &key, &proc))
		proc = 0;
	close(fd);
	return proc;
}

static void executables_keep_their_ids(void **state)
{
	struct dp_env *e = *state;
	uint32_t one, two;
	struct dt d;

	attach_two(e);
	build(&d, 0);
	dt_exe(&d, "/bin/one");
	dt_publish(e->dp, &d);
	one = proc_of("/bin/one");
	assert_true(one >= 2);
	dt_done(&d);
	build(&d, 0);
	dt_exe(&d, "/bin/two");
	dp_reopen(e);
	dt_publish(e->dp, &d);
	two = proc_of("/bin/two");
	assert_true(two >= 2 && two != one);
	assert_int_equal(proc_of("/bin/one"), one); /* its sockets still carry the id */
	dt_exe(&d, "/bin/one");
	dt_publish(e->dp, &d);
	assert_int_equal(proc_of("/bin/one"), one);
	assert_int_equal(proc_of("/bin/two"), two);
	dt_done(&d);
}

static bool has_procrow(uint32_t ruleset, uint32_t class, uint16_t proc)
{
	struct bh_procrow_key key = {
		.ruleset = ruleset, .class = class, .port_class = 1, .proc = proc};
	int fd = map_fd("procrow");
	uint32_t one;
	int r = bpf_map_lookup_elem(fd, &key, &one);

	close(fd);
	return r == 0;
}

/* "Any executable but those named" must go on covering one that is named by another rule only
 * later, or was named once. */
static void any_other_executable_means_newcomers_too(void **state)
{
	struct dp_env *e = *state;
	struct bh_ip ip = bh_ip_from4(0x0a010009);
	struct bh_kernel_verdict v;
	struct dt d, more;

	attach_two(e);
	build(&d, 0);
	dt_exe(&d, "/bin/gone");
	dt_publish(e->dp, &d);
	free(d.t.exes[--d.t.n_exes]);
	dt_row(&d, 1, 2, 0, 2);
	dt_proc(&d, 1, (struct bh_tproc){.class = 2, .port_class = 1, .exe = BH_PROC_OTHER});
	d.t.rulesets[1].id = dt_content(4, 77);
	dt_publish(e->dp, &d);
	ip = bh_ip_from4(0x0a010209);
	v = dt_ask(e->dp, 1, BH_EGRESS, &ip, WEB);
	assert_true(v.is_conditional);
	assert_int_equal(v.reason, BH_R_PROCESS_UNKNOWN);
	assert_true(has_procrow(v.ruleset, v.class, BH_PROC_OTHER));
	assert_true(has_procrow(v.ruleset, v.class, (uint16_t)proc_of("/bin/gone")));
	build(&more, 0);
	dt_exe(&more, "/bin/new");
	dt_publish(e->dp, &more);
	/* the side that was live while the entry appeared */
	assert_true(has_procrow(v.ruleset, v.class, (uint16_t)proc_of("/bin/new")));
	dt_publish(e->dp, &more);
	dt_publish(e->dp, &more);
	assert_int_equal(kernel_count("procrow"), 0);
	dt_done(&more);
	dt_done(&d);
}

/* ---- size ---- */

static void every_slot_can_have_its_own_ruleset(void **state)
{
	struct dp_env *e = *state;
	struct bh_attach a = dp_attach_of(&e->pod[0]);
	struct bh_ip ip = bh_ip_from4(0x0a010009);
	uint32_t allow, deny;
	struct bh_err err;
	struct dt d;

	dt_init(&d);
	dt_class(&d, 1);
	dt_cidr(&d, "10.1.0.0/16", 1);
	allow = dt_ruleset(&d, 1, 0);
	deny = dt_ruleset(&d, 2, 0);
	dt_row(&d, allow, 1, 1, 0);
	for (uint32_t slot = 1; slot < BH_MAX_SLOTS; slot++) {
		dt_subject(&d, slot, slot % 3 ? allow : deny, 0);
		a.slot = slot;
		a.owns_cookie = false;
		bh_assert_ok(&err, bh_datapath_attach(e->dp, &a, &err));
	}
	dt_publish(e->dp, &d);
	for (uint32_t slot = 1; slot < BH_MAX_SLOTS; slot++)
		assert_int_equal(dt_ask(e->dp, slot, BH_EGRESS, &ip, 1).verdict,
				 slot % 3 ? BH_ALLOWED : BH_DENIED);
	dt_done(&d);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, dp_setup, dp_teardown)
	const struct CMUnitTest tests[] = {
		T(nothing_is_allowed_before_the_first_publish),
		T(publishes_alternate_between_the_sides),
		T(the_same_tables_cost_no_ids),
		T(a_restart_publishes_beside_what_is_enforced),
		T(slots_listed_nowhere_are_denied),
		T(every_failure_leaves_the_old_policy_whole),
		T(a_full_map_is_told_before_anything_is_written),
		T(a_small_change_writes_little),
		T(node_addresses_carry_their_flag),
		T(a_ruleset_ends_at_its_second),
		T(executables_keep_their_ids),
		T(any_other_executable_means_newcomers_too),
		T(every_slot_can_have_its_own_ruleset),
	};

	if (!dp_isolate()) {
		puts("needs root");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
