/* Whose replica a pod is: what its controller says, and what its name lets guess. */
#include "bh_test.h"

#include "base/own.h"
#include "policy/workload.h"

static void test_owner(void **state)
{
	static const struct {
		const char *kind, *name, *hash, *want;
	} rows[] = {
		{"ReplicaSet", "web-5d4f8c7b9", "5d4f8c7b9", "Deployment/web"},
		{"ReplicaSet", "web-5d4f8c7b9", NULL, "ReplicaSet/web-5d4f8c7b9"},
		{"ReplicaSet", "web-5d4f8c7b9", "other", "ReplicaSet/web-5d4f8c7b9"},
		{"ReplicaSet", "5d4f8c7b9", "5d4f8c7b9", "ReplicaSet/5d4f8c7b9"},
		{"ReplicaSet", "-5d4f8c7b9", "5d4f8c7b9", "ReplicaSet/-5d4f8c7b9"},
		{"ReplicaSet", "my-web-app-5d4f8c7b9", "5d4f8c7b9", "Deployment/my-web-app"},
		{"Job", "backup-28394715", NULL, "CronJob/backup"},
		{"Job", "backup-20261122", NULL, "Job/backup-20261122"},
		{"Job", "backup-283947150", NULL, "Job/backup-283947150"},
		{"Job", "28394715", NULL, "Job/28394715"},
		{"Job", "backup", NULL, "Job/backup"},
		{"StatefulSet", "db", NULL, "StatefulSet/db"},
		{"DaemonSet", "agent", NULL, "DaemonSet/agent"},
		{"Node", "node7", NULL, "Pod/etcd"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_label hash = {.key = "pod-template-hash", .value = rows[i].hash};
		const struct bh_labels labels = {.v = &hash, .n = rows[i].hash ? 1 : 0};
		const struct bh_controller c = {rows[i].kind, rows[i].name, &labels, "etcd-node7",
						NULL};
		char out[BH_WORKLOAD_TEXT];

		assert_string_equal(bh_workload_owner(&c, out), rows[i].want);
	}
}

static void test_guesses(void **state)
{
	static const char *const rows[][2] = {
		{"web-5d4f8c7b9-x2x4z", "web"},
		{"agent-x2x4z", "agent"},
		{"db-0", "db-0"},
		{"web", "web"},
		{"my-app-server", "my-app-server"},
	};
	struct bh_workload w;

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		bh_workload_of(NULL, rows[i][0], &w);
		assert_string_equal(w.kind, "Pod");
		assert_string_equal(w.name, rows[i][1]);
		assert_true(w.is_guessed);
	}
}

static void pod_of(struct bh_pod_init init, struct bh_workload *ret)
{
	struct bh_pod *pod = NULL;
	struct bh_err err;

	init.ns = "shop";
	init.name = "web-5d4f8c7b9-x2x4z";
	bh_assert_ok(&err, bh_pod_new(&init, &pod, &err));
	bh_workload_of(pod, init.name, ret);
	bh_pod_unref(pod);
}

/* An object that has no controller is its own workload, whatever its name looks like. */
static void test_objects(void **state)
{
	struct bh_workload w;

	(void)state;
	pod_of((struct bh_pod_init){.owner = "Deployment/web", .file = "x.yaml"}, &w);
	assert_string_equal(w.kind, "Deployment");
	assert_string_equal(w.name, "web");
	assert_false(w.is_guessed);
	pod_of((struct bh_pod_init){.file = "x.yaml"}, &w);
	assert_string_equal(w.name, "web-5d4f8c7b9-x2x4z");
	assert_false(w.is_guessed);
	pod_of((struct bh_pod_init){0}, &w);
	assert_string_equal(w.name, "web");
	assert_true(w.is_guessed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_guesses),
		cmocka_unit_test(test_objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
