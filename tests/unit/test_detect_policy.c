/* Violations of a RuntimePolicy, and what it does with other detectors' findings. */
#include "detect_rig.h"

#include "base/own.h"
#include "base/str.h"
#include "detect/baseline.h"
#include "detect/policy.h"
#include "policy/objects.h"

#define HEAD                                                                                       \
	"apiVersion: bulkhead.io/v1alpha1\n"                                                       \
	"kind: RuntimePolicy\n"                                                                    \
	"metadata: {name: web, namespace: shop}\n"                                                 \
	"spec:\n"                                                                                  \
	"  podSelector: {}\n"

static int keep(struct bh_runtime_policy *p, void *arg)
{
	*(struct bh_runtime_policy **)arg = bh_runtime_policy_ref(p);
	return 0;
}

static struct bh_runtime_policy *parse(const char *text)
{
	BH_CLEANUP(bh_objects_freep) struct bh_objects *o = NULL;
	struct bh_runtime_policy *p = NULL;
	struct bh_err err;
	bool changed;

	bh_assert_ok(&err, bh_objects_new(&(struct bh_objects_options){0}, &o, &err));
	bh_assert_ok(&err, bh_objects_load(o, "f", text, strlen(text), &changed, &err));
	assert_int_equal(bh_objects_runtime_policies(o, keep, &p), 0);
	assert_non_null(p);
	return p;
}

static void begin(struct rig *r, const char *spec)
{
	char *text = bh_strf(HEAD "%s", spec);
	struct bh_runtime_policy *p = parse(text);

	rig_init(r, 600);
	assert_int_equal(
		bh_detect_set_pod(r->d, &r->subject, &(struct bh_detect_pod){.policies = {&p, 1}}),
		0);
	bh_runtime_policy_unref(p); /* the pod has its own reference */
	free(text);
}

static void exec_from(struct rig *r, const char *path, enum bh_provenance p)
{
	struct bh_activity a = rig_act(r, BH_ACT_EXEC, path);

	a.process.provenance = p;
	rig_feed(r, &a);
}

static void test_exec(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	begin(&r, "  exec: {origin: [image, volume], allow: [/usr/sbin/app, /opt/run.sh]}\n");
	exec_from(&r, "/usr/sbin/app", BH_PROV_IMAGE);
	exec_from(&r, "/usr/sbin/app", BH_PROV_METACOPY);
	exec_from(&r, "/usr/sbin/app", BH_PROV_VOLUME);
	exec_from(&r, "/usr/sbin/app", BH_PROV_UNKNOWN);
	a = rig_act(&r, BH_ACT_EXEC, "/bin/sh");
	a.process.script = "/opt/run.sh";
	a.process.script_provenance = BH_PROV_IMAGE;
	rig_feed(&r, &a);
	assert_null(rig_found(&r, "policy-exec"));
	a.process.script_provenance = BH_PROV_NEW;
	rig_feed(&r, &a);
	assert_non_null(strstr(rig_found(&r, "policy-exec")->text, "/opt/run.sh"));
	rig_clear(&r);
	exec_from(&r, "/bin/sh", BH_PROV_IMAGE);
	rig_expect(&r, "policy-exec", BH_SEVERITY_HIGH);
	exec_from(&r, "/usr/sbin/app", BH_PROV_NEW);
	rig_expect(&r, "policy-exec", BH_SEVERITY_HIGH);
	rig_clear(&r);
	a = rig_act(&r, BH_ACT_EXEC, "/usr/sbin/app");
	a.process.flags |= BH_PROC_OWN_NS; /* whatever is mounted there */
	rig_feed(&r, &a);
	rig_expect(&r, "policy-exec", BH_SEVERITY_HIGH);
	a = rig_act(&r, BH_ACT_MAP_EXEC, "/usr/sbin/app");
	a.u.map.path = "/opt/x.so";
	a.u.map.provenance = BH_PROV_NEW;
	rig_feed(&r, &a);
	rig_expect(&r, "policy-exec", BH_SEVERITY_HIGH);
	rig_done(&r);
}

static void test_files(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	begin(&r, "  files: {writable: [/var/log/app, /tmp]}\n");
	rig_file(&r, BH_FILE_WRITE, "/usr/sbin/app", "/var/log/app/a.log");
	rig_file(&r, BH_FILE_CREATE, "/usr/sbin/app", "/tmp/x");
	rig_file(&r, BH_FILE_WRITE, "/usr/sbin/app", "/dev/null");
	rig_file(&r, BH_FILE_READ, "/usr/sbin/app", "/etc/passwd");
	rig_expect_silent(&r);
	rig_file(&r, BH_FILE_WRITE, "/usr/sbin/app", "/etc/passwd");
	rig_expect(&r, "policy-file", BH_SEVERITY_MEDIUM);
	rig_file(&r, BH_FILE_UNLINK, "/usr/sbin/app", "/srv/data");
	rig_expect(&r, "policy-file", BH_SEVERITY_MEDIUM);
	a = rig_act(&r, BH_ACT_FILE, "/bin/mv");
	a.u.file =
		(struct bh_act_file){.op = BH_FILE_RENAME, .path = "/tmp/x", .target = "/srv/data"};
	rig_feed(&r, &a);
	rig_expect(&r, "policy-file", BH_SEVERITY_MEDIUM);
	a.u.file.path = "/srv/data";
	a.u.file.target = "/tmp/x";
	rig_feed(&r, &a);
	rig_expect(&r, "policy-file", BH_SEVERITY_MEDIUM);
	rig_done(&r);
}

static void test_calls_users_age(void **state)
{
	uint64_t set[8] = {1ull << 0}; /* read */
	struct bh_activity a;
	struct rig r;

	(void)state;
	begin(&r,
	      "  syscalls: {deny: [ptrace, mount]}\n  users: {deny: [0]}\n"
	      "  maxLifetime: 1h\n");
	a = rig_act(&r, BH_ACT_SYSCALLS, "");
	a.u.syscalls.set = set;
	a.u.syscalls.n_words = 8;
	rig_feed(&r, &a);
	exec_from(&r, "/usr/sbin/app", BH_PROV_IMAGE);
	rig_expect_silent(&r);
	set[101 / 64] |= 1ull << (101 % 64); /* ptrace on x86-64 */
#ifdef __x86_64__
	rig_feed(&r, &a);
	rig_expect(&r, "policy-syscall", BH_SEVERITY_HIGH);
#endif
	a = rig_act(&r, BH_ACT_PTRACE, "/usr/bin/gdb");
	rig_feed(&r, &a);
	rig_expect(&r, "policy-syscall", BH_SEVERITY_HIGH);
	a = rig_act(&r, BH_ACT_EXEC, "/usr/sbin/app");
	a.process.uid = a.parent.uid = 0;
	rig_feed(&r, &a);
	rig_expect(&r, "policy-user", BH_SEVERITY_HIGH);
	r.now_ns = (1000 + 3601) * S;
	a = rig_act(&r, BH_ACT_RATE, "");
	rig_feed(&r, &a);
	rig_expect(&r, "max-lifetime", BH_SEVERITY_LOW);
	rig_done(&r);
}

/* Of two policies the pod may do what both allow, and the stricter answer is given. */
static void test_two_policies(void **state)
{
	struct bh_runtime_policy *one = parse(HEAD
					      "  exec: {allow: [/usr/sbin/app, /bin/sh]}\n"
					      "  on: {violation: kill}\n");
	struct bh_runtime_policy *two = parse(HEAD
					      "  exec:\n"
					      "    origin: [image]\n"
					      "    allow: [/usr/sbin/app]\n"
					      "  on: {foreign-code: freeze, anomaly: kill}\n");
	struct bh_runtime_policy *const both[] = {one, two};
	const struct rig_finding *f;
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	assert_int_equal(
		bh_detect_set_pod(r.d, &r.subject, &(struct bh_detect_pod){.policies = {both, 2}}),
		0);
	bh_runtime_policy_unref(one);
	bh_runtime_policy_unref(two);
	exec_from(&r, "/usr/sbin/app", BH_PROV_IMAGE);
	rig_expect_silent(&r);
	exec_from(&r, "/bin/sh", BH_PROV_IMAGE); /* the second one does not */
	f = rig_found(&r, "policy-exec");
	assert_true(f && strstr(f->text, "shop/web (f:8)"));
	assert_int_equal(f->response, BH_RESPOND_KILL);
	rig_clear(&r);
	exec_from(&r, "/usr/sbin/app", BH_PROV_NEW);
	assert_non_null(strstr(rig_found(&r, "policy-exec")->text, "(f:7)"));
	assert_int_equal(rig_found(&r, "foreign-code")->response, BH_RESPOND_FREEZE);
	rig_done(&r);
}

/* A policy that says nothing about baselines leaves them to the others. */
static void test_baseline_of_several(void **state)
{
	static const struct {
		const char *specs[2];
		enum bh_baseline_use use;
	} rows[] = {
		{{"  users: {deny: [7]}\n", "  users: {deny: [8]}\n"}, BH_BASELINE_OBSERVE},
		{{"  users: {deny: [7]}\n", "  baseline: off\n"}, BH_BASELINE_OFF},
		{{"  baseline: observe\n", "  baseline: off\n"}, BH_BASELINE_OBSERVE},
		{{"  baseline: off\n", "  baseline: required\n"}, BH_BASELINE_REQUIRED},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		BH_CLEANUP(bh_freep) char *a = bh_strf(HEAD "%s", rows[i].specs[0]);
		BH_CLEANUP(bh_freep) char *b = bh_strf(HEAD "%s", rows[i].specs[1]);
		BH_CLEANUP(bh_runtime_policy_unrefp) struct bh_runtime_policy *one = parse(a);
		BH_CLEANUP(bh_runtime_policy_unrefp) struct bh_runtime_policy *two = parse(b);
		struct bh_runtime_policy *const both[] = {one, two};

		assert_int_equal(bh_runtime_baseline_use(&(struct bh_runtime_set){both, 2}),
				 rows[i].use);
	}
}

/* Whose response counts: the detector's own name, then the kind, then the default. */
static void test_responses(void **state)
{
	struct bh_activity a;
	struct rig r;

	(void)state;
	begin(&r,
	      "  exec: {allow: [/usr/sbin/app]}\n"
	      "  on: {violation: kill, anomaly: quarantine, tmpfs-exec: freeze}\n");
	exec_from(&r, "/dev/shm/x", BH_PROV_TMPFS);
	assert_int_equal(rig_found(&r, "policy-exec")->response, BH_RESPOND_KILL);
	assert_int_equal(rig_found(&r, "tmpfs-exec")->response, BH_RESPOND_FREEZE);
	exec_from(&r, "/opt/x", BH_PROV_NEW);
	assert_int_equal(rig_found(&r, "foreign-code")->response, BH_RESPOND_QUARANTINE);
	a = rig_act(&r, BH_ACT_OVERFLOW, "");
	a.u.name = "paths";
	rig_feed(&r, &a);
	assert_int_equal(rig_found(&r, "overflow")->response, BH_RESPOND_ALERT); /* too slight */
	rig_done(&r);
	rig_init(&r, 600);
	exec_from(&r, "/opt/x", BH_PROV_NEW);
	assert_int_equal(rig_found(&r, "foreign-code")->response, BH_RESPOND_ALERT);
	assert_null(rig_found(&r, "policy-exec"));
	rig_done(&r);
}

/* off, observe and required, against a baseline that knows nothing. */
static void test_baseline_use(void **state)
{
	static const struct {
		const char *use;
		bool is_found;
		enum bh_response response;
	} rows[] = {
		{"off", false, BH_RESPOND_ALERT},
		{"observe", true, BH_RESPOND_ALERT},
		{"required", true, BH_RESPOND_FREEZE},
	};
	size_t i;

	(void)state;
	for (i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		BH_CLEANUP(bh_freep)
		char *spec =
			bh_strf("  baseline: %s\n  users: {deny: [7]}\n  on: {violation: freeze}\n",
				rows[i].use);
		BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = NULL;
		const struct rig_finding *f;
		struct bh_err err;
		struct rig r;

		begin(&r, spec);
		bh_assert_ok(&err, bh_baseline_new(&r.subject, NULL, &b, &err));
		bh_baseline_close(b);
		assert_int_equal(bh_detect_set_baseline(r.d, &r.subject, b), 0);
		rig_exec(&r, "/bin/true");
		f = rig_found(&r, "new-exec");
		assert_int_equal(f != NULL, rows[i].is_found);
		if (f)
			assert_int_equal(f->response, rows[i].response);
		rig_done(&r);
	}
}

/* What one detector measured is not another one's. */
static void test_scores_are_their_own(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = NULL;
	struct bh_err err;
	struct rig r;

	(void)state;
	begin(&r, "  exec: {allow: [/usr/sbin/app]}\n");
	bh_assert_ok(&err, bh_baseline_new(&r.subject, NULL, &b, &err));
	b->units = 100;
	bh_baseline_close(b);
	assert_int_equal(bh_detect_set_baseline(r.d, &r.subject, b), 0);
	for (int i = 0; i < 9 && !rig_found(&r, "anomaly"); i++) {
		char path[24];

		rig_clear(&r);
		snprintf(path, sizeof(path), "/bin/odd%d", i);
		rig_exec(&r, path);
	}
	assert_true(rig_found(&r, "anomaly")->score > 0);
	assert_true(rig_found(&r, "policy-exec")->score == 0);
	rig_done(&r);
}

/* A full table of workloads has room for one more when the pods of another are gone. */
static void test_gone_workloads_make_room(void **state)
{
	struct bh_detect_stats stats;
	struct bh_detect_options opt = {.max_workloads = 2, .on_finding = rig_on_finding};
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	bh_detect_free(r.d);
	opt.arg = &r;
	assert_int_equal(bh_detect_new(&opt, &r.d, &(struct bh_err){0}), 0);
	for (uint64_t i = 1; i <= 4; i++) {
		r.subject.pod_id = i;
		r.subject.workload = i;
		exec_from(&r, "/opt/x", BH_PROV_NEW);
		exec_from(&r, "/opt/x", BH_PROV_NEW);
		assert_int_equal(rig_found(&r, "foreign-code")->count, 2);
		if (i > 1) /* the first one's pod goes on */
			bh_detect_pod_gone(r.d, i);
	}
	r.subject.pod_id = r.subject.workload = 1;
	exec_from(&r, "/opt/x", BH_PROV_NEW);
	assert_int_equal(rig_found(&r, "foreign-code")->count, 3);
	bh_detect_stats(r.d, &stats);
	assert_int_equal(stats.no_memory, 0);
	rig_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exec),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_calls_users_age),
		cmocka_unit_test(test_two_policies),
		cmocka_unit_test(test_baseline_of_several),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_baseline_use),
		cmocka_unit_test(test_scores_are_their_own),
		cmocka_unit_test(test_gone_workloads_make_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
