/* Commands that need no daemon, their exit codes, help, and what happens when there is none. */
#include "cli_fixture.h"

#include <sys/stat.h>

#include "event/chain.h"

static char dir[BH_TEST_DIR];

static const char world[] =
	"apiVersion: v1\n"
	"kind: Pod\n"
	"metadata: {name: web, namespace: shop, labels: {app: web}}\n"
	"status: {podIP: 10.0.0.1}\n"
	"---\n"
	"apiVersion: v1\n"
	"kind: Pod\n"
	"metadata: {name: db, namespace: shop, labels: {app: db}}\n"
	"status: {podIP: 10.0.0.2}\n";
static const char policy[] =
	"apiVersion: networking.k8s.io/v1\n"
	"kind: NetworkPolicy\n"
	"metadata: {name: db, namespace: shop}\n"
	"spec:\n"
	"  podSelector: {matchLabels: {app: db}}\n"
	"  policyTypes: [Ingress]\n"
	"  ingress:\n"
	"  - from: [{podSelector: {matchLabels: {app: web}}}]\n"
	"    ports: [{port: 5432}]\n";
static const char open_out[] =
	"apiVersion: networking.k8s.io/v1\n"
	"kind: NetworkPolicy\n"
	"metadata: {name: out, namespace: shop}\n"
	"spec: {podSelector: {}, policyTypes: [Egress], egress: [{}]}\n";
static const char broken[] =
	"apiVersion: networking.k8s.io/v1\n"
	"kind: NetworkPolicy\n"
	"metadata: {name: bad, namespace: shop}\n"
	"spec: {podSelector: {}, ingress: [{ports: [{port: 70000}]}]}\n";

static const char *put(const char *name, const char *text)
{
	static char paths[8][BH_TEST_DIR + 32];
	static unsigned next;
	char *path = paths[next++ % 8];
	FILE *f;

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return path;
}

static int setup(void **state)
{
	(void)state;
	bh_test_mkdir(dir);
	put("world.yaml", world);
	put("db.yaml", policy);
	put("out.yaml", open_out);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bh_test_rmdir(dir);
	return 0;
}

static void test_usage(void **state)
{
	static const struct {
		char *argv[8];
		int code;
		const char *out, *err;
	} rows[] = {
		{{"bulkhead"}, 2, "", "Commands:"},
		{{"bulkhead", "--help"}, 0, "policy matrix", ""},
		{{"bulkhead", "--version"}, 0, "bulkhead ", ""},
		{{"bulkhead", "nonsense"}, 2, "", "there is no command 'nonsense'"},
		{{"bulkhead", "policy"}, 2, "", "policy check"},
		{{"bulkhead", "policy", "--help"}, 0, "policy explain", ""},
		{{"bulkhead", "status", "--nonsense"}, 2, "", "unknown option"},
		{{"bulkhead", "status", "extra"}, 2, "", "unexpected 'extra'"},
		{{"bulkhead", "status", "-o", "xml"}, 2, "", "json or table"},
		{{"bulkhead", "-o", "xml", "status"}, 2, "", "json or table"},
		{{"bulkhead", "policy", "check"}, 2, "", "needs PATH..."},
		{{"bulkhead", "policy", "matrix"}, 2, "", "--port"},
		{{"bulkhead", "policy", "matrix", "--port", "80"}, 2, "", "80/TCP"},
		{{"bulkhead", "policy", "explain", "a/b", "c/d", "80"}, 2, "", "80/TCP"},
		{{"bulkhead", "policy", "matrix", "--port", "80/TCP", "--default", "deny"},
		 2,
		 "",
		 "--manifests"},
		{{"bulkhead", "quarantine"}, 2, "", "NAMESPACE/POD"},
		{{"bulkhead", "quarantine", "a/b"}, 2, "", "--reason"},
		{{"bulkhead", "quarantine", "a/b", "--reason", " "}, 2, "", "--reason"},
		{{"bulkhead", "quarantine", "ab", "--reason", "x"}, 2, "", "'ab' is not"},
		{{"bulkhead", "quarantine", "--list", "--kill"}, 2, "", "stands alone"},
		{{"bulkhead", "release", "a/b/c", "--reason", "x"}, 2, "", "is not"},
		{{"bulkhead", "sync", "--timeout", "soon"}, 2, "", "length of time"},
		{{"bulkhead", "flows", "--verdict", "maybe"}, 2, "", "denied or allowed"},
		{{"bulkhead", "events", "--class", "maybe"}, 2, "", "no event class 'maybe'"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct shot s;

		cli_run(&s, (char **)rows[i].argv);
		shot_is(&s, rows[i].code, rows[i].out, rows[i].err);
	}
}

static void test_every_command_has_help_with_an_example(void **state)
{
	(void)state;
	for (const struct bh_command *const *c = bh_commands; *c; c++) {
		BH_CLEANUP(bh_freep) char *words = strdup((*c)->name);
		char *second = strchr(words, ' ');
		struct shot s;

		if (second) {
			*second++ = '\0';
			RUN(&s, words, second, "--help");
		} else {
			RUN(&s, words, "--help");
		}
		shot_is_narrow(&s);
		assert_non_null(strstr(s.out, (*c)->example));
		shot_is(&s, 0, "Example:\n  ", "");
	}
}

static void test_no_daemon_is_3(void **state)
{
	static const struct {
		char *argv[8];
	} rows[] = {
		{{"status"}},
		{{"sync"}},
		{{"pods"}},
		{{"policy", "verify"}},
		{{"policy", "matrix", "--port", "80/TCP"}},
		{{"quarantine", "a/b", "--reason", "x"}},
		{{"flows", "--follow"}},
		{{"events"}},
		{{"top"}},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		char *argv[12] = {"bulkhead", "--socket", "/nonexistent/bulkheadd.sock"};
		struct shot s;

		memcpy(argv + 3, rows[i].argv, sizeof(rows[i].argv));
		cli_run(&s, argv);
		shot_is(&s, 3, "", "no daemon answers");
	}
}

static void test_matrix(void **state)
{
	struct shot s;

	(void)state;
	RUN(&s, "policy", "matrix", "--manifests", dir, "--port", "5432/tcp");
	shot_is(&s, 0,
		"5432/TCP: 1 of 2 pairs allowed\n"
		"     FROM \\ TO  1  2\n"
		"  1  shop/db    .  X\n"
		"  2  shop/web   .  .\n",
		"");
	RUN(&s, "policy", "matrix", "--manifests", dir, "--port", "80/TCP", "--default",
	    "kubernetes", "-o", "json");
	shot_is(&s, 0, "\"port\": \"80/TCP\"", "");
}

static void test_explain(void **state)
{
	struct shot s;

	(void)state;
	RUN(&s, "policy", "explain", "shop/web", "shop/db", "5432/TCP", "--manifests", dir);
	shot_is(&s, 0, "NetworkPolicy shop/db ingress[0]", "");
	RUN(&s, "policy", "explain", "shop/web", "shop/none", "5432/TCP", "--manifests", dir);
	shot_is(&s, 1, "", "shop/none");
}

static void test_check(void **state)
{
	const char *bad = put("bad.yaml.txt", broken);
	struct shot s;
	char want[128];

	(void)state;
	RUN(&s, "policy", "check", (char *)put("one.txt", policy));
	assert_null(strstr(s.out, "error"));
	shot_is(&s, 0, "", "");
	RUN(&s, "policy", "check", (char *)bad);
	snprintf(want, sizeof(want), "%s:4:", bad);
	shot_is(&s, 1, want, "");
	RUN(&s, "policy", "check", (char *)bad, "-o", "json");
	shot_is(&s, 1, "\"errors\": 1", "");
	RUN(&s, "policy", "check", "/nonexistent");
	shot_is(&s, 1, "", "No such file");
}

/* What is refused is named, what is left is answered for. */
static void test_refused_object_is_named(void **state)
{
	const char *bad = put("z-bad.yaml", broken);
	struct shot s;

	(void)state;
	RUN(&s, "policy", "matrix", "--manifests", dir, "--port", "5432/TCP");
	shot_is(&s, 0, "1 of 2 pairs allowed", "z-bad.yaml:4:");
	unlink(bad);
}

static void test_assertions(void **state)
{
	const char *good = put("good.txt",
			       "- {from: shop/web, to: shop/db, port: 5432/TCP, "
			       "expect: allowed}\n");
	const char *json = put("json.txt",
			       "[{\"from\": \"shop/db\", \"to\": \"shop/web\", "
			       "\"port\": \"80/TCP\", \"expect\": \"allowed\"}]");
	struct shot s;

	(void)state;
	RUN(&s, "policy", "test", (char *)good, "--manifests", dir);
	shot_is(&s, 0, "1 hold, 0 do not", "");
	RUN(&s, "policy", "test", (char *)json, "--manifests", dir);
	shot_is(&s, 1, "0 hold, 1 do not", "");
	RUN(&s, "policy", "test", (char *)put("k.txt", "- {from: a/b, where: c}\n"), "--manifests",
	    dir);
	shot_is(&s, 1, "", ":1:");
	RUN(&s, "policy", "test", (char *)put("e.txt", ""), "--manifests", dir);
	shot_is(&s, 1, "", "no assertions");
}

static void test_diff(void **state)
{
	const char *empty = put("none.txt", "");
	struct shot s;

	(void)state;
	RUN(&s, "policy", "diff", dir, dir, "--manifests");
	shot_is(&s, 0, "Nothing changes", "");
	/* policy alone, laid over pods that stay */
	RUN(&s, "policy", "diff", (char *)empty, (char *)put("n.txt", policy), "--manifests",
	    (char *)put("w.txt", world), "--default", "kubernetes", "-o", "json");
	shot_is(&s, 0, "\"after\": \"denied\"", "");
	RUN(&s, "--socket", "/nonexistent", "policy", "diff", (char *)empty,
	    (char *)put("n.txt", policy));
	shot_is(&s, 3, "", "no daemon");
}

/* Three events as the daemon writes them. */
static void write_log(char *path, size_t changed)
{
	BH_CLEANUP(bh_json_decrefp) json_t *event = json_pack("{s:s}", "message", "m");
	struct bh_chain at = {0}, next;
	FILE *f = fopen(path, "w");
	struct bh_err err;

	for (size_t i = 0; i < 3; i++) {
		BH_CLEANUP(bh_freep) char *line = NULL;
		size_t len;

		bh_assert_ok(&err, bh_chain_line(&at, event, &(struct bh_chain_gap){0}, &line, &len,
						 &next, &err));
		if (i == changed)
			strchr(line, 'm')[0] = 'n';
		fwrite(line, 1, len, f);
		at = next;
	}
	fclose(f);
}

static void test_events_verify(void **state)
{
	char path[BH_TEST_DIR + 32];
	struct shot s;
	struct stat st;

	(void)state;
	snprintf(path, sizeof(path), "%s/events.jsonl", dir);
	write_log(path, 9);
	RUN(&s, "events", "verify", path);
	shot_is(&s, 0, "whole: 3 events, number 1 to 3", "");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size - 7), 0);
	RUN(&s, "events", "verify", path);
	shot_is(&s, 0, "It ends within a line, of which", "");
	write_log(path, 9);
	RUN(&s, "events", "verify", path, path);
	shot_is(&s, 1, "line 1", "");
	write_log(path, 1);
	RUN(&s, "events", "verify", path, "-o", "json");
	shot_is(&s, 1, "\"whole\": false", "");
	RUN(&s, "events", "verify", "/nonexistent");
	shot_is(&s, 1, "", "/nonexistent");
	unlink(path);
}

static void test_doctor_without_daemon(void **state)
{
	struct shot s;

	(void)state;
	RUN(&s, "--socket", "/nonexistent", "doctor", "--cni-conf", dir);
	shot_is_narrow(&s);
	shot_is(&s, 1, "Start bulkheadd", "");
	put("10-pods.conflist",
	    "{\"cniVersion\":\"1.0.0\",\"name\":\"pods\",\"plugins\":["
	    "{\"type\":\"bridge\"},{\"type\":\"bulkhead-cni\"}]}");
	put("bridge", "");
	RUN(&s, "--socket", "/nonexistent", "doctor", "--cni-conf", dir, "--cni-bin", dir, "-o",
	    "json");
	shot_is(&s, 1, "chains bulkhead-cni as number 2 of 2", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_every_command_has_help_with_an_example),
		cmocka_unit_test(test_no_daemon_is_3),
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_explain),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_refused_object_is_named),
		cmocka_unit_test(test_assertions),
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_events_verify),
		cmocka_unit_test(test_doctor_without_daemon),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
