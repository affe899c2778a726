/* RuntimePolicy: what is understood, what is refused and where, and its life in the object set. */
#include "objects_kit.h"

#include "base/own.h"
#include "detect/detect.h"
#include "policy/detectors.h"

#define HEAD                                                                                       \
	"apiVersion: bulkhead.io/v1alpha1\n"                                                       \
	"kind: RuntimePolicy\n"                                                                    \
	"metadata: {name: web, namespace: shop}\n"                                                 \
	"spec:\n"                                                                                  \
	"  podSelector: {matchLabels: {app: web}}\n"

static const char full[] = HEAD
	"  exec: {origin: [image, volume], allow: [/usr/sbin/nginx, /bin/*]}\n"
	"  files: {writable: [/var/log/nginx, /tmp]}\n"
	"  syscalls: {deny: [ptrace, mount, bpf]}\n"
	"  maxLifetime: 168h\n"
	"  baseline: required\n"
	"  users: {deny: [0, 33]}\n"
	"  on: {violation: kill, anomaly: quarantine, fileless: freeze}\n";

static int keep_one(struct bh_runtime_policy *p, void *arg)
{
	struct bh_runtime_policy **out = arg;

	bh_runtime_policy_unref(*out);
	*out = bh_runtime_policy_ref(p);
	return 0;
}

static struct bh_runtime_policy *only(const struct bh_objects *o)
{
	struct bh_runtime_policy *p = NULL;

	assert_int_equal(bh_objects_runtime_policies(o, keep_one, &p), 0);
	return p;
}

static void test_full(void **state)
{
	BH_CLEANUP(bh_objects_freep) struct bh_objects *o = ok_new();
	BH_CLEANUP(bh_runtime_policy_unrefp) struct bh_runtime_policy *p = NULL;

	(void)state;
	ok_load(o, "f", full);
	ok_assert_problems(o, "");
	p = only(o);
	assert_non_null(p);
	assert_string_equal(p->ns, "shop");
	assert_int_equal(p->origins, BH_ORIGIN_IMAGE | BH_ORIGIN_VOLUME);
	assert_true(p->has_exec_origin && p->has_exec_allow && p->has_writable);
	assert_true(bh_paths_have(&p->exec_allow, "/bin/sh", false));
	assert_false(bh_paths_have(&p->exec_allow, "/usr/sbin/nginx2", false));
	assert_true(bh_paths_have(&p->writable, "/tmp/a/b", true));
	assert_true(bh_paths_have(&p->writable, "/tmp", true));
	assert_false(bh_paths_have(&p->writable, "/tmpx", true));
	assert_int_equal(p->n_denied_syscalls, 3);
	assert_string_equal(p->denied_syscalls[0], "bpf");
	assert_int_equal(p->max_lifetime_s, 168 * 3600);
	assert_int_equal(p->baseline, BH_BASELINE_REQUIRED);
	assert_int_equal(p->n_denied_users, 2);
	assert_int_equal(p->denied_users[1], 33);
	assert_int_equal(p->on_violation, BH_RESPOND_KILL);
	assert_int_equal(p->on_anomaly, BH_RESPOND_QUARANTINE);
	assert_int_equal(bh_runtime_policy_on(p, "fileless")->response, BH_RESPOND_FREEZE);
	assert_null(bh_runtime_policy_on(p, "cron"));
	assert_int_equal(p->place.line, 1);
}

static void test_bad_input(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{HEAD "  exec: {origins: [image]}\n", "f:6:10: error: %unknown field 'origins'\n"},
		{HEAD "  exec: {origin: [layer]}\n",
		 "f:6:19: error: %there is no origin 'layer': image, modified, new, tmpfs, memfd, "
		 "volume and other exist\n"},
		{HEAD "  exec: {allow: [nginx]}\n",
		 "f:6:18: error: %'nginx' is not an absolute path\n"},
		{HEAD "  exec: {allow: ['/a*b']}\n",
		 "f:6:18: error: %'/a*b': '*' may only stand at the end\n"},
		{HEAD "  files: {writable: [/a/../b]}\n",
		 "f:6:22: error: %'/a/../b' has '//', '.' or '..' in it, as no real path has\n"},
		{HEAD "  files: {writable: [/a/.]}\n",
		 "f:6:22: error: %'/a/.' has '//', '.' or '..' in it, as no real path has\n"},
		{HEAD "  files: {writable: /tmp}\n",
		 "f:6:21: error: %'writable': expected a list, found a string\n"},
		{HEAD "  syscalls: {deny: [open_all]}\n",
		 "f:6:21: error: %there is no system call 'open_all'\n"},
		{HEAD "  users: {deny: [root]}\n",
		 "f:6:18: error: %user: expected a number, found a string\n"},
		{HEAD "  users: {deny: [-1]}\n", "f:6:18: error: %'-1' is no user id\n"},
		{HEAD "  users: {deny: [4294967295]}\n",
		 "f:6:18: error: %'4294967295' is no user id\n"},
		{HEAD "  maxLifetime: 3 days\n",
		 "f:6:16: error: %'3 days' is not a length of time like 30m, 168h or 7d\n"},
		{HEAD "  baseline: maybe\n",
		 "f:6:13: error: %'baseline' is off, observe or "
		 "required\n"},
		{HEAD "  on: {violation: shout}\n",
		 "f:6:19: error: %there is no response 'shout': alert, kill, freeze and quarantine "
		 "exist\n"},
		{HEAD "  on: {everything: kill}\n",
		 "f:6:8: error: %there is no detector 'everything'\n"},
		{HEAD "  enforce: true\n", "f:6:3: error: %unknown field 'enforce'\n"},
		{HEAD "  baseline: off\n", "f:5:3: warning: %the policy checks nothing\n"},
		{HEAD "  baseline: observe\n  on: {violation: kill}\n",
		 "f:7:7: warning: %'violation' has no effect: nothing is forbidden\n"},
		{HEAD "  exec: {allow: []}\n", "f:6:9: warning: %nothing may be executed\n"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		BH_CLEANUP(bh_objects_freep) struct bh_objects *o = ok_new();
		const char *cut = strchr(rows[i].want, '%');
		BH_CLEANUP(bh_freep)
		char *want = bh_strf("%.*sRuntimePolicy shop/web: %s", (int)(cut - rows[i].want),
				     rows[i].want, cut + 1);

		ok_load(o, "f", rows[i].text);
		ok_assert_problems(o, want);
	}
}

static int count_state(const struct bh_policy_state *s, void *arg)
{
	int *n = arg;

	assert_string_equal(s->kind, "RuntimePolicy");
	assert_null(s->policy);
	assert_non_null(s->runtime);
	assert_int_equal(s->is_live, n[1]);
	n[0]++;
	return 0;
}

/* A broken version changes nothing but the list of problems; nor does it touch network policy. */
static void test_last_good_stays(void **state)
{
	BH_CLEANUP(bh_objects_freep) struct bh_objects *o = ok_new();
	BH_CLEANUP(bh_runtime_policy_unrefp) struct bh_runtime_policy *p = NULL, *again = NULL;
	struct bh_world *w;
	int n[2] = {0, true};

	(void)state;
	assert_true(ok_load(o, "f", full));
	p = only(o);
	assert_int_equal(bh_objects_policies(o, count_state, n), 0);
	assert_int_equal(n[0], 1);
	assert_false(ok_load(o, "f", HEAD "  exec: {allow: [nginx]}\n"));
	again = only(o);
	assert_ptr_equal(again, p);
	n[1] = false;
	assert_int_equal(bh_objects_policies(o, count_state, n), 0);
	w = ok_world(o);
	assert_int_equal(w->n_policies, 0);
	bh_world_unref(w);
	/* another document in front of it moves it, and that is all */
	ok_load(o, "f", full);
	bh_runtime_policy_unref(again);
	again = only(o);
	assert_int_equal(again->max_lifetime_s, 168 * 3600);
}

static int restore(const char *key, const char *file, const char *text, void *arg)
{
	struct bh_err err;

	assert_string_equal(key, "RuntimePolicy/shop/web");
	bh_assert_ok(&err, bh_objects_restore(arg, key, file, text, &err));
	return 0;
}

static void test_saved_and_restored(void **state)
{
	BH_CLEANUP(bh_objects_freep) struct bh_objects *o = ok_new(), *later = ok_new();
	BH_CLEANUP(bh_runtime_policy_unrefp) struct bh_runtime_policy *p = NULL;

	(void)state;
	ok_load(o, "f", full);
	assert_int_equal(bh_objects_saved(o, restore, later), 0);
	p = only(later);
	assert_non_null(p);
	assert_int_equal(p->n_denied_syscalls, 3);
	/* the file turns out to hold a broken version: the restored one stays */
	ok_load(later, "f", HEAD "  maxLifetime: long\n");
	bh_runtime_policy_unref(p);
	p = only(later);
	assert_non_null(p);
}

/* Every name has a row: there are as many. */
static void test_names_of_detectors(void **state)
{
	static const char *const names[] = {
#define NAME(id, name) name,
		BH_DETECTORS(NAME)
#undef NAME
	};
	size_t i;

	(void)state;
	assert_int_equal(BH_ARRAY_SIZE(names), bh_n_detectors);
	for (i = 0; i < BH_ARRAY_SIZE(names); i++) {
		assert_true(bh_runtime_is_detector(names[i]));
		assert_non_null(bh_detector_find(names[i]));
	}
	assert_false(bh_runtime_is_detector("violation"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_bad_input),
		cmocka_unit_test(test_last_good_stays),
		cmocka_unit_test(test_saved_and_restored),
		cmocka_unit_test(test_names_of_detectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
