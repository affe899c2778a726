/* test_datapath_add.c - attaching in a hurry: the switch is used and put back. The real one is the
 * whole machine's: other daemons use it too, and one that is killed meanwhile leaves it on. So a
 * file takes its place in our mount namespace. */
#include "dp_env.h"
#include "dp_tables.h"

#include "datapath/private.h"

#define SWITCH "/sys/kernel/rcu_expedited"

static char switch_state(void)
{
	int fd = open(SWITCH, O_RDONLY | O_CLOEXEC);
	char now = 0;

	if (fd >= 0 && read(fd, &now, 1) != 1)
		now = 0;
	if (fd >= 0)
		close(fd);
	return now;
}

static void hurry(struct dp_env *e)
{
	assert_int_equal(switch_state(), '0');
	assert_true(bh_dp_hurry_begin(e->dp));
	assert_int_equal(switch_state(), '1');
}

static bool has_capability(const struct dp_env *e, const char *name)
{
	const struct bh_capability *caps;
	size_t n = bh_datapath_capabilities(e->dp, &caps);

	for (size_t i = 0; i < n; i++)
		if (strcmp(caps[i].name, name) == 0)
			return caps[i].has;
	fail_msg("no capability '%s'", name);
	return false;
}

static void add_and_delete(struct dp_env *e)
{
	struct dp_pod *p = &e->pod[0];
	struct bh_err err;

	dp_attach(e, 0);
	bh_assert_ok(&err, bh_datapath_check(e->dp, p->slot, p->link.host_ifindex, &err));
	bh_datapath_wait_grace(e->dp);
	bh_assert_ok(&err, bh_datapath_detach(e->dp, p->slot, &err));
}

static void the_switch_is_put_back(void **state)
{
	struct dp_env *e = *state;

	if (switch_state() == 0)
		skip();
	assert_true(has_capability(e, "expedited-rcu"));
	add_and_delete(e);
	assert_int_equal(e->dp->config->has_hurried, 0);
	assert_int_equal(switch_state(), '0');
}

/* A daemon that was killed in the middle of a hurried call. */
static void what_a_killed_daemon_left_is_put_back(void **state)
{
	struct dp_env *e = *state;

	if (switch_state() == 0)
		skip();
	hurry(e);
	assert_int_equal(e->dp->config->has_hurried, 1);
	dp_reopen(e);
	assert_int_equal(e->dp->config->has_hurried, 0);
	assert_int_equal(switch_state(), '0');
}

/* Somebody else's wish for haste is not ended with ours. */
static void another_s_setting_stays(void **state)
{
	struct dp_env *e = *state;

	if (switch_state() == 0)
		skip();
	hurry(e);
	assert_false(bh_dp_hurry_begin(e->dp));
	bh_dp_hurry_end(e->dp, false);
	assert_int_equal(switch_state(), '1');
	bh_dp_hurry_end(e->dp, true);
	assert_int_equal(switch_state(), '0');
}

static void works_without_the_switch(void **state)
{
	struct dp_env *e = *state;

	if (switch_state() == 0)
		skip();
	assert_int_equal(mount("/dev/null", SWITCH, NULL, MS_BIND, NULL), 0);
	dp_reopen(e);
	assert_false(has_capability(e, "expedited-rcu"));
	assert_false(bh_dp_hurry_begin(e->dp));
	add_and_delete(e);
	bh_dp_grace_begin(e->dp);
	assert_true(e->dp->grace.pid > 0);
	bh_dp_grace_end(e->dp);
	assert_false(e->dp->grace.is_owed);
	assert_int_equal(e->dp->grace.pid, 0);
	assert_int_equal(umount(SWITCH), 0);
}

/* Where there is no switch, there is none here either. */
static void replace_switch(void)
{
	if (switch_state() == 0)
		return;
	assert_int_equal(mount("tmpfs", "/mnt", "tmpfs", 0, NULL), 0);
	dp_sh("echo 0 > /mnt/switch");
	assert_int_equal(mount("/mnt/switch", SWITCH, NULL, MS_BIND, NULL), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, dp_setup, dp_teardown)
	const struct CMUnitTest tests[] = {
		T(the_switch_is_put_back),
		T(what_a_killed_daemon_left_is_put_back),
		T(another_s_setting_stays),
		T(works_without_the_switch),
	};

	if (!dp_isolate()) {
		puts("needs root");
		return 77;
	}
	replace_switch();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
