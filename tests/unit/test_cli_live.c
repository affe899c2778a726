/* Commands that ask the daemon: what they send, and what they make of the answer. */
#include "cli_fixture.h"

static char dir[BH_TEST_DIR];
static char path[BH_TEST_DIR + 16];
static pid_t fake;

#define LONG_NAME                                                                                  \
	"a-namespace-of-a-rather-long-name/and-a-pod-whose-name-is-longer-still-0123456789"

static const struct canned rows[] = {
	{"status", NULL,
	 "{\"result\":{\"version\":\"1\",\"pid\":7,\"node\":\"n\",\"uptimeSeconds\":3,\"revision\":"
	 "5,"
	 "\"ready\":true,\"default\":\"deny\",\"sources\":[{\"type\":\"manifests\",\"directory\":"
	 "\"/etc/m\",\"state\":\"missing\",\"why\":\"it is gone\"}],\"capabilities\":[{\"name\":"
	 "\"tcx\",\"has\":false,\"text\":\"links\"}],\"degraded\":[{\"what\":\"services\",\"why\":"
	 "\"no netfilter\"}],\"maps\":[{\"name\":\"flow\",\"used\":90,\"max\":100,\"bytes\":2048}],"
	 "\"policies\":[{\"kind\":\"NetworkPolicy\",\"namespace\":\"a\",\"name\":\"b\",\"file\":"
	 "\"f.yaml\",\"live\":false,\"why\":\"port 70000\"}],\"problems\":[{\"level\":\"error\","
	 "\"file\":\"f.yaml\",\"line\":3,\"column\":4,\"object\":null,\"text\":\"bad\"}],"
	 "\"memory\":{\"rssBytes\":1048576,\"mapsBytes\":0},\"endpoints\":{\"open\":2,\"shut\":1,"
	 "\"quarantined\":0},\"drops\":[{\"reason\":\"policy-deny\",\"packets\":4,\"bytes\":9}],"
	 "\"publish\":{\"epoch\":2,\"lastMilliseconds\":1,\"failures\":1,\"lastFailure\":\"full\"}}"
	 "}"},
	{"sync", "\"timeoutMs\":500", "{\"result\":{\"revision\":42}}"},
	{"sync", NULL, "{\"error\":{\"code\":110,\"message\":\"still writing\",\"retry\":true}}"},
	{"pods", NULL,
	 "{\"result\":{\"pods\":[{\"pod\":\"" LONG_NAME "\",\"uid\":\"u\",\"interface\":\"eth0\","
	 "\"addresses\":[\"10.0.0.1\",\"fd00::1234:5678:9abc:def0\"],\"state\":\"shut\",\"why\":"
	 "\"no table\",\"rulesets\":{\"ingress\":3,\"egress\":4},\"image\":null,\"counters\":"
	 "{\"passedPackets\":10,\"droppedPackets\":2,\"flows\":1}}]}}"},
	{"policy.matrix", "80/TCP",
	 "{\"result\":{\"port\":\"80/TCP\",\"pods\":[\"a/x\",\"a/y\"],\"cells\":[{\"from\":\"a/x\","
	 "\"to\":\"a/y\",\"verdict\":\"denied\"}]}}"},
	{"policy.explain", "\"to\":\"a/y\"",
	 "{\"result\":{\"from\":\"a/x\",\"to\":\"a/y\",\"port\":\"80/TCP\",\"verdict\":\"denied\","
	 "\"egress\":{\"verdict\":\"denied\",\"rule\":\"default\",\"why\":\"nothing selects it\"},"
	 "\"ingress\":{\"verdict\":\"allowed\",\"rule\":\"NetworkPolicy a/p ingress[0]\",\"file\":"
	 "\"p.yaml\",\"line\":9},\"kernel\":{\"egress\":{\"verdict\":\"denied\",\"reason\":"
	 "\"default-deny\",\"class\":1,\"ruleset\":2,\"portClass\":3},\"ingress\":null}}}"},
	{"policy.verify", NULL,
	 "{\"result\":{\"cells\":7,\"revision\":1,\"mismatches\":[{\"pod\":\"a/x\",\"direction\":"
	 "\"egress\",\"peer\":\"a/y\",\"port\":\"1/TCP\",\"kernel\":\"allowed\",\"reference\":"
	 "\"denied\"}]}}"},
	{"policy.exceptions", NULL,
	 "{\"result\":[{\"policy\":\"p\",\"rule\":\"SegmentationPolicy a/p egress[0]\",\"why\":"
	 "\"backup\",\"useCase\":\"OPS-1\",\"owner\":\"o\",\"expires\":\"2027-01-31T00:00:00Z\","
	 "\"expired\":false,\"lastUsed\":null}]}"},
	{"policy.world", NULL,
	 "{\"result\":{\"default\":\"kubernetes\",\"documents\":[\"apiVersion: v1\\nkind: Pod\\n"
	 "metadata: {name: a, namespace: shop}\\nstatus: {podIP: 10.0.0.1}\\n\",\"apiVersion: v1\\n"
	 "kind: Pod\\nmetadata: {name: b, namespace: shop}\\nstatus: {podIP: 10.0.0.2}\\n\"]}}"},
	{"quarantine",
	 "\"ttlSeconds\":7200,\"allow\":[\"10.0.0.9/32:22/TCP\",\"::1/128\"],\"kill\":false",
	 "{\"result\":{\"pod\":\"a/"
	 "x\",\"since\":\"2026-01-01T00:00:00Z\",\"reason\":\"beacon\",\"by\":"
	 "\"uid 0\",\"expires\":null,\"verdictMicroseconds\":120,\"socketsDestroyed\":3,"
	 "\"lastPacketMicroseconds\":80,\"packetsAfter\":0}}"},
	{"quarantine", "\"freeze\":true",
	 "{\"error\":{\"code\":1,\"message\":\"only root may\",\"retry\":false}}"},
	{"quarantine.list", NULL,
	 "{\"result\":{\"quarantines\":[{\"pod\":\"a/"
	 "x\",\"since\":\"s\",\"reason\":\"r\",\"by\":\"b\","
	 "\"expires\":null,\"allow\":[],\"active\":true}]}}"},
	{"release", "\"reason\":\"over\"",
	 "{\"result\":{\"pod\":\"a/"
	 "x\",\"since\":\"s\",\"released\":\"t\",\"reason\":\"over\",\"by\":"
	 "\"b\"}}"},
	{"flows", "\"follow\":true",
	 "{\"result\":{\"flows\":[{\"from\":\"a/x\",\"to\":null,\"toAddress\":\"9.9.9.9\",\"port\":"
	 "\"1/"
	 "TCP\",\"verdict\":\"denied\",\"reason\":\"default-deny\",\"packets\":1,\"last\":\"t\"}]}}"
	 "\n{\"result\":{\"flows\":[]}}"},
	{"flows", "\"verdict\":\"denied\"",
	 "{\"result\":{\"flows\":[{\"from\":\"a/x\",\"to\":\"" LONG_NAME "\",\"port\":\"1/TCP\","
	 "\"verdict\":\"denied\",\"reason\":\"default-deny\",\"rule\":null,\"process\":\"/bin/"
	 "\\u001bsh\","
	 "\"packets\":1,\"last\":\"2026-01-01T00:00:00Z\"}]}}"},
	{"events.verify", NULL,
	 "{\"result\":{\"whole\":false,\"problem\":\"line 7: changed\",\"lines\":6,\"firstSeq\":1,"
	 "\"lastSeq\":6}}"},
	{"events", NULL,
	 "{\"result\":{\"event\":{\"time\":1767225600123,\"severity\":\"High\",\"class_name\":"
	 "\"Network Activity\",\"message\":\"m\",\"unmapped\":{\"bulkhead\":{\"pod\":\"a/x\"}}}}}\n"
	 "{\"result\":{\"lost\":3}}\n{\"result\":{\"end\":true}}"},
	{"top", NULL,
	 "{\"result\":{\"pods\":[{\"pod\":\"a/"
	 "x\",\"packets\":5,\"bytes\":6,\"drops\":0,\"flows\":1,"
	 "\"connections\":2}],\"programs\":[{\"name\":\"pod\",\"runCount\":1,\"runNanoseconds\":50}"
	 "],"
	 "\"intervalSeconds\":1}}"},
	{0},
};

static int setup(void **state)
{
	(void)state;
	bh_test_mkdir(dir);
	snprintf(path, sizeof(path), "%s/sock", dir);
	fake = fake_start(path, rows);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_stop(fake);
	bh_test_rmdir(dir);
	return 0;
}

static void test_answers(void **state)
{
	static const struct {
		char *argv[14];
		int code;
		const char *out, *err;
	} cases[] = {
		{{"status"}, 0, "policy-deny", ""},
		{{"status"}, 0, "f.yaml:3:4: bad", ""},
		{{"status"}, 0, "last failure: full", ""},
		{{"status", "-o", "json"}, 0, "\"ready\": true", ""},
		{{"sync", "--timeout", "500ms"}, 0, "42\n", ""},
		{{"sync", "--timeout", "500ms", "-o", "json"}, 0, "\"revision\": 42", ""},
		{{"sync"}, 1, "", "still writing"},
		{{"pods"}, 0, "is shut: no table", ""},
		{{"policy", "matrix", "--port", "80/TCP"}, 0, "0 of 2 pairs allowed", ""},
		{{"policy", "explain", "a/x", "a/y", "80/TCP"}, 0, "p.yaml:9", ""},
		{{"policy", "explain", "a/x", "a/y", "80/TCP"}, 0, "default-deny", ""},
		{{"policy", "verify"}, 1, "1 differ", ""},
		{{"policy", "exceptions"}, 0, "OPS-1", ""},
		{{"quarantine", "a/x", "--reason", "beacon", "--ttl=2h", "--allow",
		  "10.0.0.9/32:22/TCP", "--allow", "::1/128"},
		 0,
		 "sockets destroyed     3",
		 ""},
		{{"quarantine", "a/x", "--reason", "r", "--freeze"}, 1, "", "only root may"},
		{{"quarantine", "--list"}, 0, "a/x", ""},
		{{"release", "a/x", "--reason", "over"}, 0, "is released", ""},
		{{"release", "a/x", "--reason", "else"}, 1, "", "not canned"},
		{{"flows", "--verdict", "denied"}, 0, "default-", ""},
		{{"flows", "--verdict", "denied"}, 0, "/bin/", ""},
		{{"flows", "--follow"}, 0, "a/x -> 9.9.9.9 1/TCP", ""},
		{{"flows", "--follow", "-o", "json"}, 0, "{\"flows\":[]}\n", ""},
		{{"events"}, 0, "2026-01-01T00:00:00.123Z High", "3 events were not shown"},
		{{"events"}, 0, "Network Activity: a/x: m", "the log has them"},
		{{"events", "verify"}, 1, "line 7: changed", ""},
		{{"events", "-o", "json"}, 0, "\"class_name\":\"Network Activity\"", "not shown"},
		{{"top", "--once", "--interval", "100ms"}, 0, "BPF PROGRAM", ""},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(cases); i++) {
		char *argv[20] = {"bulkhead", "--socket", path};
		struct shot s;

		memcpy(argv + 3, cases[i].argv, sizeof(cases[i].argv));
		cli_run(&s, argv);
		if (!strchr(s.out, '{'))
			shot_is_narrow(&s);
		assert_null(strchr(s.out, '\033'));
		shot_is(&s, cases[i].code, cases[i].out, cases[i].err);
	}
}

static void put(const char *name, const char *text, char file[BH_TEST_DIR + 16])
{
	FILE *f;

	snprintf(file, BH_TEST_DIR + 16, "%s/%s", dir, name);
	f = fopen(file, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* Pods of the daemon under policies on paper. */
static void test_diff_over_live_pods(void **state)
{
	char none[BH_TEST_DIR + 16], deny[BH_TEST_DIR + 16];
	struct shot s;

	(void)state;
	put("none.yaml", "", none);
	put("deny.yaml",
	    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
	    "metadata: {name: p, namespace: shop}\n"
	    "spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{port: 80}]}]}\n",
	    deny);
	RUN(&s, "--socket", path, "policy", "diff", none, deny, "-o", "json");
	if (!strstr(s.out, "\"before\": \"allowed\""))
		fail_msg("%d %s %s", s.code, s.out, s.err);
	shot_is(&s, 0, "\"after\": \"denied\"", "");
}

static void test_assertions_live(void **state)
{
	char file[BH_TEST_DIR + 16];
	struct shot s;

	(void)state;
	put("t.yaml", "- {from: a/x, to: a/y, port: 80/TCP, expect: denied}\n", file);
	RUN(&s, "--socket", path, "policy", "test", file);
	shot_is(&s, 0, "1 hold, 0 do not", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_diff_over_live_pods),
		cmocka_unit_test(test_assertions_live),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
