/* test_datapath.c - open, adopt, attach, mend, detach: real interfaces, real pins. */
#include "dp_env.h"
#include "dp_tables.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <sys/resource.h>

static unsigned count_names(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	unsigned n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static bool is_pinned(const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), DP_BPFFS "/abi%d/%s", BH_ABI_VERSION, name);
	return access(path, F_OK) == 0;
}

static bool link_is_pinned(const struct dp_pod *p, const char *dir)
{
	char name[64];

	snprintf(name, sizeof(name), "links/%u-%s", p->link.host_ifindex, dir);
	return is_pinned(name);
}

static void opens_with_the_documented_layout(void **state)
{
	struct dp_env *e = *state;
	const struct bh_capability *caps;

	assert_false(e->is_adopted);
	assert_true(is_pinned("maps/endpoint"));
	assert_true(is_pinned("maps/slot_by_ifindex_hash"));
	assert_true(is_pinned("progs/bh_from_pod"));
	assert_true(is_pinned("progs/bh_connect4"));
	assert_true(is_pinned("links/cgroup-connect4"));
	assert_true(is_pinned("links/cgroup-sock_create"));
	assert_true(bh_datapath_capabilities(e->dp, &caps) >= 8);
	for (size_t i = 0; i < bh_datapath_capabilities(e->dp, &caps); i++)
		assert_true(caps[i].name && caps[i].text[0]);
	assert_int_equal(bh_datapath_epoch(e->dp), 2);
}

static void refuses_what_is_no_bpffs(void **state)
{
	struct bh_datapath_options opt = {.bpffs = "/tmp/bh-not-a-bpffs"};
	struct bh_datapath *dp = NULL;
	struct bh_err err;

	(void)state;
	bh_assert_fails(&err, -EINVAL, "is not on a bpffs",
			bh_datapath_open(&opt, &dp, NULL, &err));
	assert_int_not_equal(access("/tmp/bh-not-a-bpffs", F_OK), 0);
	opt.bpffs = "relative";
	bh_assert_fails(&err, -EINVAL, "absolute", bh_datapath_open(&opt, &dp, NULL, &err));
	opt.bpffs = DP_BPFFS "-other";
	opt.cgroup = "/nonexistent";
	bh_assert_fails(&err, -ENOENT, "/nonexistent", bh_datapath_open(&opt, &dp, NULL, &err));
	bh_assert_ok(&err, bh_datapath_remove_all(opt.bpffs, &err));
	assert_int_not_equal(access(opt.bpffs, F_OK), 0);
}

static void attaches_checks_mends_and_detaches(void **state)
{
	struct dp_env *e = *state;
	struct dp_pod *p = &e->pod[0];
	struct bh_err err;
	char path[200];

	bh_assert_fails(&err, -ENOENT, "not registered",
			bh_datapath_check(e->dp, p->slot, p->link.host_ifindex, &err));
	dp_attach(e, 0);
	bh_assert_ok(&err, bh_datapath_check(e->dp, p->slot, p->link.host_ifindex, &err));
	assert_true(link_is_pinned(p, "ingress"));
	assert_true(link_is_pinned(p, "egress"));
	snprintf(path, sizeof(path), DP_BPFFS "/abi%d/links/%u-egress", BH_ABI_VERSION,
		 p->link.host_ifindex);
	assert_int_equal(unlink(path), 0); /* the last reference: the link is gone */
	bh_assert_fails(&err, -ENOENT, "ingress program is not attached",
			bh_datapath_check(e->dp, p->slot, p->link.host_ifindex, &err));
	bh_assert_ok(&err, bh_datapath_mend(e->dp, p->slot, p->link.host_ifindex, &err));
	bh_assert_ok(&err, bh_datapath_check(e->dp, p->slot, p->link.host_ifindex, &err));
	bh_assert_ok(&err, bh_datapath_detach(e->dp, p->slot, &err));
	assert_false(link_is_pinned(p, "ingress"));
	assert_false(link_is_pinned(p, "egress"));
	bh_assert_ok(&err, bh_datapath_detach(e->dp, p->slot, &err));
	assert_int_equal(bh_datapath_set_flags(e->dp, p->slot, BH_SLOT_QUARANTINE, 0), -ENOENT);
}

static void refuses_bad_attachments(void **state)
{
	struct dp_env *e = *state;
	struct bh_attach a = dp_attach_of(&e->pod[0]);
	struct bh_ip ips[BH_MAX_ADDRS + 1] = {0};
	struct bh_err err;

	a.slot = 0;
	bh_assert_fails(&err, -EINVAL, "slot 0", bh_datapath_attach(e->dp, &a, &err));
	a.slot = BH_MAX_SLOTS;
	bh_assert_fails(&err, -EINVAL, "slot 4096", bh_datapath_attach(e->dp, &a, &err));
	a = dp_attach_of(&e->pod[0]);
	a.ips = ips;
	a.n_ips = BH_MAX_ADDRS + 1;
	bh_assert_fails(&err, -E2BIG, "addresses", bh_datapath_attach(e->dp, &a, &err));
	a = dp_attach_of(&e->pod[0]);
	a.ifindex = 999999;
	bh_assert_fails(&err, -ENODEV, "999999", bh_datapath_attach(e->dp, &a, &err));
	dp_attach(e, 0);
	a = dp_attach_of(&e->pod[1]);
	a.slot = e->pod[0].slot;
	bh_assert_fails(&err, -EBUSY, "belongs to interface", bh_datapath_attach(e->dp, &a, &err));
}

static int count_slot(uint32_t slot, const struct bh_slot *entry, void *arg)
{
	(void)slot;
	(void)entry;
	++*(unsigned *)arg;
	return 0;
}

static unsigned live_slots(struct dp_env *e)
{
	unsigned n = 0;

	assert_int_equal(bh_datapath_slots(e->dp, count_slot, &n), 0);
	return n;
}

/* Whatever step fails, nothing of the interface stays registered, and the next attempt works. */
static void a_failed_attach_undoes_its_steps(void **state)
{
	static const char *const faults[] = {"endpoint:1:EIO",	      "local:1:ENOMEM",
					     "slot_by_ifindex:1:EIO", "slot_by_cookie:1:E2BIG",
					     "link:1:ENOMEM",	      "link:2:EIO"};
	struct dp_env *e = *state;
	struct dp_pod *p = &e->pod[0];
	struct bh_attach a = dp_attach_of(p);
	struct bh_ip ips[3] = {p->ip, bh_ip_from4(0x01020304), bh_ip_from4(0x01020305)};
	struct bh_err err;

	a.ips = ips;
	a.n_ips = 3;
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
		setenv("BULKHEAD_FAULT", faults[i], 1);
		assert_true(bh_datapath_attach(e->dp, &a, &err) < 0);
		assert_int_equal(live_slots(e), 0);
		assert_false(link_is_pinned(p, "ingress"));
		assert_false(link_is_pinned(p, "egress"));
		unsetenv("BULKHEAD_FAULT");
	}
	bh_assert_ok(&err, bh_datapath_attach(e->dp, &a, &err));
	assert_int_equal(live_slots(e), 1);
}

/* What this process and those it waited for have had of the CPUs: neighbours do not count. */
static uint64_t cpu_ns(void)
{
	uint64_t ns = 0;

	for (int who = RUSAGE_CHILDREN; who <= RUSAGE_SELF; who++) {
		struct rusage u;

		assert_int_equal(getrusage(who, &u), 0);
		ns += (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000ull +
		      (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000ull;
	}
	return ns;
}

static void a_new_handle_adopts_everything(void **state)
{
	struct dp_env *e = *state;
	struct dp_pod *p = &e->pod[0];
	struct bh_err err;
	uint64_t begin;

	dp_attach(e, 0);
	bh_datapath_closep(&e->dp);
	begin = cpu_ns();
	dp_open(e);
	print_message("adopted in %llu ms of CPU\n",
		      (unsigned long long)(cpu_ns() - begin) / 1000000);
	assert_true(cpu_ns() - begin < 3000000000ull);
	assert_true(e->is_adopted);
	assert_int_equal(live_slots(e), 1);
	bh_assert_ok(&err, bh_datapath_check(e->dp, p->slot, p->link.host_ifindex, &err));
}

static void pins_of_gone_interfaces_go_at_open(void **state)
{
	struct dp_env *e = *state;
	struct bh_err err;

	dp_attach(e, 0);
	dp_attach(e, 1);
	dp_sh("ip link del bht0");
	dp_reopen(e);
	assert_false(link_is_pinned(&e->pod[0], "ingress"));
	assert_true(link_is_pinned(&e->pod[1], "ingress"));
	bh_assert_ok(&err, bh_datapath_detach(e->dp, e->pod[0].slot, &err));
	assert_int_equal(live_slots(e), 1);
}

static void two_sets_do_not_disturb_each_other(void **state)
{
	struct dp_env *e = *state;
	struct bh_datapath_options opt = {.bpffs = DP_BPFFS "-two", .cgroup = e->cgroup};
	struct bh_attach a = dp_attach_of(&e->pod[1]);
	struct bh_datapath *two = NULL;
	struct bh_err err;
	bool is_adopted;

	dp_attach(e, 0);
	bh_assert_ok(&err, bh_datapath_open(&opt, &two, &is_adopted, &err));
	assert_false(is_adopted);
	bh_assert_ok(&err, bh_datapath_attach(two, &a, &err));
	bh_datapath_closep(&two);
	bh_assert_ok(&err, bh_datapath_remove_all(opt.bpffs, &err));
	bh_assert_ok(&err,
		     bh_datapath_check(e->dp, e->pod[0].slot, e->pod[0].link.host_ifindex, &err));
	assert_true(is_pinned("links/cgroup-connect4"));
}

static void remove_all_leaves_nothing(void **state)
{
	struct dp_env *e = *state;
	struct bh_err err;

	dp_attach(e, 0);
	bh_datapath_closep(&e->dp);
	bh_assert_ok(&err, bh_datapath_remove_all(DP_BPFFS, &err));
	assert_int_equal(count_names("/sys/fs/bpf") - count_names(DP_BPFFS),
			 count_names("/sys/fs/bpf"));
	assert_int_not_equal(access(DP_BPFFS, F_OK), 0);
	dp_sh("! ip -d link show bht0 | grep -q tcx");
	bh_assert_ok(&err, bh_datapath_remove_all(DP_BPFFS, &err));
	dp_open(e);
	assert_false(e->is_adopted);
}

static void clsact_does_what_tcx_does(void **state)
{
	struct dp_env *e = *state;
	struct dp_pod *p = &e->pod[0];
	const struct bh_capability *caps;
	struct bh_err err;

	setenv("BULKHEAD_FORCE_CLSACT", "1", 1);
	dp_reopen(e);
	assert_true(bh_datapath_capabilities(e->dp, &caps) > 0);
	assert_string_equal(caps[0].name, "tcx");
	assert_false(caps[0].has);
	dp_attach(e, 0);
	assert_false(link_is_pinned(p, "ingress"));
	dp_sh("tc filter show dev bht0 ingress | grep -q bh_from_pod");
	bh_assert_ok(&err, bh_datapath_check(e->dp, p->slot, p->link.host_ifindex, &err));
	dp_reopen(e); /* the filter's program is replaced */
	bh_assert_ok(&err, bh_datapath_check(e->dp, p->slot, p->link.host_ifindex, &err));
	dp_sh("test $(tc filter show dev bht0 ingress | grep -c bh_from_pod) = 1");
	dp_sh("tc filter del dev bht0 egress");
	bh_assert_fails(&err, -ENOENT, "not attached",
			bh_datapath_check(e->dp, p->slot, p->link.host_ifindex, &err));
	bh_assert_ok(&err, bh_datapath_mend(e->dp, p->slot, p->link.host_ifindex, &err));
	dp_attach(e, 1);
	bh_assert_ok(&err, bh_datapath_detach(e->dp, p->slot, &err));
	dp_sh("! tc filter show dev bht0 ingress | grep -q bh_from_pod");
	bh_datapath_closep(&e->dp);
	bh_assert_ok(&err, bh_datapath_remove_all(DP_BPFFS, &err));
	dp_sh("! tc filter show dev bht1 ingress | grep -q bh_from_pod");
	dp_open(e);
}

#define TEXT_OF(x)    #x
#define SET_NAME(abi) "/abi" TEXT_OF(abi)
#define SECOND_SET    DP_BPFFS SET_NAME(BH_ABI_VERSION) "-2"

/* What the sweeper keeps, without its timer's inside. */
struct sweeper {
	uint64_t timer[2], rounds;
	uint32_t busy, left, head, tail;
};

static int set_sweeping(int fd, bool is_busy)
{
	uint32_t zero = 0;
	struct sweeper v;
	int r = bpf_map_lookup_elem(fd, &zero, &v);

	v.busy = is_busy;
	return r ? r : bpf_map_update_elem(fd, &zero, &v, BPF_ANY);
}

/* As if the CPU of the timer's sweep had been stopped in the middle of it for a second. */
static void a_stopped_sweep_is_waited_for(void **state)
{
	int fd = bpf_obj_get(DP_BPFFS SET_NAME(BH_ABI_VERSION) "/maps/sweeper");
	struct dp_env *e = *state;
	uint32_t n = 0;
	struct bh_err err;
	pid_t pid;

	assert_true(fd >= 0);
	assert_int_equal(set_sweeping(fd, true), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		poll(NULL, 0, 1000);
		_exit(set_sweeping(fd, false) != 0);
	}
	bh_assert_ok(&err, bh_datapath_forget_edges(e->dp, bh_datapath_now_ns(), &n, &err));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(fd);
}

static void a_set_of_another_shape_is_left_for_a_new_one(void **state)
{
	struct dp_env *e = *state;
	struct dp_pod *p = &e->pod[0];
	struct bh_err err;
	struct dt d;

	dp_attach(e, 0);
	dp_unshut(e, 0);
	dt_init(&d);
	dt_subject(&d, p->slot, 0, 0);
	dt_publish(e->dp, &d);
	setenv("BULKHEAD_MAP_MAX", "peer4=5000", 1);
	dp_reopen(e);
	assert_true(e->is_adopted);
	assert_int_equal(live_slots(e), 1);
	/* the old set still serves the interface */
	assert_true(link_is_pinned(p, "ingress"));
	bh_assert_ok(&err, bh_datapath_check(e->dp, p->slot, p->link.host_ifindex, &err));
	dt_publish(e->dp, &d);
	assert_false(is_pinned("maps/endpoint"));
	assert_int_equal(access(SECOND_SET "/maps/endpoint", F_OK), 0);
	assert_int_equal(access(SECOND_SET "/links/cgroup-connect4", F_OK), 0);
	assert_int_equal(count_names(DP_BPFFS), 1);
	bh_assert_ok(&err, bh_datapath_check(e->dp, p->slot, p->link.host_ifindex, &err));
	dt_done(&d);
}

static void a_quarantine_changes_over_at_once(void **state)
{
	struct dp_env *e = *state;
	struct dp_pod *p = &e->pod[0];

	dp_attach(e, 0);
	setenv("BULKHEAD_MAP_MAX", "peer4=5000", 1);
	dp_reopen(e);
	assert_true(link_is_pinned(p, "ingress"));
	assert_int_equal(bh_datapath_set_flags(e->dp, p->slot, BH_SLOT_QUARANTINE, 0), 0);
	assert_false(link_is_pinned(p, "ingress"));
	assert_false(link_is_pinned(p, "egress"));
}

static int find_fill(struct dp_env *e, const char *name, struct bh_map_fill *ret)
{
	struct bh_map_fill v[64];
	size_t n = bh_datapath_maps(e->dp, v, 64);

	assert_true(n <= 64);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(v[i].name, name) != 0)
			continue;
		*ret = v[i];
		return 0;
	}
	return -1;
}

static void keeps_allow_lists_addresses_and_counts(void **state)
{
	struct dp_env *e = *state;
	struct bh_attach a = dp_attach_of(&e->pod[0]);
	struct bh_ip ips[20];
	struct bh_qallow_entry allow[20] = {0};
	struct bh_map_fill fill;
	struct bh_prog_cost cost[32];
	struct bh_drop drops[BH_R_COUNT];
	struct bh_err err;

	for (unsigned i = 0; i < 20; i++)
		ips[i] = bh_ip_from4(0x0a4d0002 + i);
	a.ips = ips;
	a.n_ips = 20;
	bh_assert_ok(&err, bh_datapath_attach(e->dp, &a, &err));
	assert_int_equal(find_fill(e, "local", &fill), 0);
	assert_int_equal(fill.used, 20 - BH_INLINE_ADDRS);
	assert_true(fill.bytes > 0);
	for (unsigned i = 0; i < 20; i++) {
		bh_assert_ok(&err, bh_cidr_parse("10.0.0.0/8", &allow[i].cidr, NULL, &err));
		allow[i].port = (uint16_t)(i + 1);
		allow[i].proto = 6;
	}
	bh_assert_fails(&err, -E2BIG, "more than 16 ports",
			bh_datapath_set_qallow(e->dp, a.slot, allow, 20, &err));
	bh_assert_ok(&err, bh_datapath_set_qallow(e->dp, a.slot, allow, 3, &err));
	assert_int_equal(find_fill(e, "qallow", &fill), 0);
	assert_int_equal(fill.used, 1);
	bh_assert_ok(&err, bh_datapath_quarantine_cgroup(e->dp, 4711, true, &err));
	assert_int_equal(find_fill(e, "quarantined_cgroup", &fill), 0);
	assert_int_equal(fill.used, 1);
	bh_assert_ok(&err, bh_datapath_quarantine_cgroup(e->dp, 4711, false, &err));
	bh_assert_ok(&err, bh_datapath_detach(e->dp, a.slot, &err));
	assert_int_equal(find_fill(e, "local", &fill), 0);
	assert_int_equal(fill.used, 0);
	assert_int_equal(find_fill(e, "qallow", &fill), 0);
	assert_int_equal(fill.used, 0);
	assert_true(bh_datapath_progs(e->dp, cost, 32) >= 12);
	assert_int_equal(bh_datapath_drops(e->dp, drops), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, dp_setup, dp_teardown)
	const struct CMUnitTest tests[] = {
		T(opens_with_the_documented_layout),
		T(refuses_what_is_no_bpffs),
		T(attaches_checks_mends_and_detaches),
		T(refuses_bad_attachments),
		T(a_failed_attach_undoes_its_steps),
		T(a_new_handle_adopts_everything),
		T(pins_of_gone_interfaces_go_at_open),
		T(two_sets_do_not_disturb_each_other),
		T(remove_all_leaves_nothing),
		T(clsact_does_what_tcx_does),
		T(a_stopped_sweep_is_waited_for),
		T(a_set_of_another_shape_is_left_for_a_new_one),
		T(a_quarantine_changes_over_at_once),
		T(keeps_allow_lists_addresses_and_counts),
	};

	if (!dp_isolate()) {
		puts("needs root");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
