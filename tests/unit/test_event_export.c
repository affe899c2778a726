/* Events as syslog, OTLP and webhook bodies: what RFC 5424, RFC 6587, the OpenTelemetry protocol
 * and the header's own promises demand of them, byte by byte where they do. */
#include "bh_test.h"

#include <errno.h>

#include "base/json.h"
#include "event/export.h"

static struct bh_err err;
static json_t *event;

static int setup(void **state)
{
	static const char text[] =
		"{\"class_uid\":4001,\"class_name\":\"Network Activity\",\"severity_id\":2,"
		"\"severity\":\"Low\",\"time\":1795000000123,\"device\":{\"hostname\":\"node 1\"},"
		"\"chain\":{\"seq\":42},\"unmapped\":{\"bulkhead\":{\"pod\":\"shop/web\","
		"\"reason\":\"quote \\\" bracket ] back \\\\ slash\",\"verdict\":\"denied\"}}}";

	(void)state;
	bh_assert_ok(&err, bh_json_parse(text, strlen(text), 4096, &event, &err));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	json_decref(event);
	event = NULL;
	return 0;
}

static void test_syslog(void **state)
{
	BH_CLEANUP(bh_str_done) struct bh_str out = {0};
	BH_CLEANUP(bh_freep) char *json = json_dumps(event, JSON_COMPACT | JSON_SORT_KEYS);
	char *rest = NULL;
	size_t len;

	(void)state;
	bh_assert_ok(&err, bh_export_syslog(event, 13, &out, &err));
	len = strtoul(out.s, &rest, 10);
	assert_int_equal(*rest, ' ');
	assert_int_equal(strlen(rest + 1), len);
	/* 13 * 8 + notice; the host's blank is not allowed in a HOSTNAME */
	assert_ptr_equal(strstr(rest,
				" <109>1 2026-11-18T11:06:40.123Z node1 bulkheadd - ocsf-4001 "
				"[bulkhead@32473 class=\"Network Activity\" severity=\"Low\" "
				"pod=\"shop/web\" verdict=\"denied\" reason=\"quote \\\" bracket "
				"\\] back \\\\ slash\" seq=\"42\"] \xef\xbb\xbf{"),
			 rest);
	assert_string_equal(strstr(rest, "\xef\xbb\xbf") + 3, json);
}

/* A receiver that does not look into JSON still knows who did what, and which rule says so. */
static const char finding[] =
	"{\"class_uid\":2004,\"class_name\":\"Detection Finding\",\"severity_id\":4,"
	"\"severity\":\"High\",\"time\":1795000000123,\"disposition\":\"Isolated\","
	"\"metadata\":{\"correlation_uid\":\"shop/Pod/web/cron/k\"},"
	"\"container\":{\"name\":\"web\",\"uid\":\"cid\"},\"policy\":{\"desc\":\"/m/a.yaml:7\"},"
	"\"evidences\":[{\"process\":{\"pid\":42,\"uid\":\"00ab\",\"file\":{\"path\":\"/opt/x\","
	"\"hashes\":[{\"value\":\"abc\"}]}}}],\"chain\":{\"seq\":9},\"unmapped\":{\"bulkhead\":{"
	"\"pod\":\"shop/"
	"web\",\"peer\":\"shop/"
	"db\",\"namespace\":\"shop\",\"imageVerdict\":\"accept\",\"image\":\"nginx\","
	"\"provenance\":\"new\",\"rule\":\"RuntimePolicy shop/a\",\"detector\":\"cron\","
	"\"workload\":{\"name\":\"web\"}}}}";

static void test_fields(void **state)
{
	BH_CLEANUP(bh_str_done) struct bh_str out = {0};
	BH_CLEANUP(bh_json_decrefp) json_t *e = NULL;

	(void)state;
	bh_assert_ok(&err, bh_json_parse(finding, strlen(finding), 4096, &e, &err));
	bh_assert_ok(&err, bh_export_syslog(e, 13, &out, &err));
	assert_non_null(strstr(
		out.s,
		" [bulkhead@32473 class=\"Detection Finding\" severity=\"High\" "
		"pod=\"shop/web\" peer=\"shop/db\" namespace=\"shop\" container=\"web\" "
		"containerId=\"cid\" "
		"image=\"nginx\" imageVerdict=\"accept\" workload=\"web\" process=\"/opt/x\" "
		"pid=\"42\" exec=\"00ab\" sha256=\"abc\" provenance=\"new\" "
		"rule=\"RuntimePolicy shop/a\" place=\"/m/a.yaml:7\" detector=\"cron\" "
		"disposition=\"Isolated\" correlation=\"shop/Pod/web/cron/k\" seq=\"9\"] "));
}

/* Where else they are: the first place that there is counts. */
static void test_other_places(void **state)
{
	static const struct {
		const char *event, *want;
	} rows[] = {
		{"{\"process\":{\"pid\":1},\"actor\":{\"process\":{\"pid\":2}}}", "pid=\"1\""},
		{"{\"actor\":{\"process\":{\"pid\":2}},\"evidences\":[{\"process\":{\"pid\":3}}]}",
		 "pid=\"2\""},
		{"{\"actor\":{\"process\":{\"uid\":\"ab\"}}}", "exec=\"ab\""},
		{"{\"process\":{\"file\":{\"path\":\"/x\"}}}", "process=\"/x\""},
		{"{\"process\":{\"file\":{\"hashes\":[{\"value\":\"ff\"}]}}}", "sha256=\"ff\""},
		{"{\"unmapped\":{\"bulkhead\":{\"processProvenance\":\"image\"}}}",
		 "provenance=\"image\""},
		{"{\"unmapped\":{\"bulkhead\":{\"place\":\"/m/b:1\"}}}", "place=\"/m/b:1\""},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		BH_CLEANUP(bh_str_done) struct bh_str out = {0};
		BH_CLEANUP(bh_json_decrefp) json_t *e = NULL;

		bh_assert_ok(&err,
			     bh_json_parse(rows[i].event, strlen(rows[i].event), 4096, &e, &err));
		bh_assert_ok(&err, bh_export_syslog(e, 13, &out, &err));
		if (!strstr(out.s, rows[i].want))
			fail_msg("%s: %s", rows[i].want, out.s);
	}
}

/* Messages follow each other with nothing in between. */
static void test_syslog_frames(void **state)
{
	BH_CLEANUP(bh_str_done) struct bh_str out = {0};
	const char *at;

	(void)state;
	for (int i = 0; i < 3; i++)
		bh_assert_ok(&err, bh_export_syslog(event, 13, &out, &err));
	at = out.s;
	for (int i = 0; i < 3; i++) {
		char *rest = NULL;
		size_t len = strtoul(at, &rest, 10);

		at = rest + 1 + len;
		assert_int_equal(at[-1], '}');
	}
	assert_int_equal(*at, 0);
}

/* An event that says nothing of itself gets nil values, never a broken header. */
static void test_syslog_of_little(void **state)
{
	BH_CLEANUP(bh_str_done) struct bh_str out = {0};
	BH_CLEANUP(bh_json_decrefp) json_t *bare = json_object();

	(void)state;
	bh_assert_ok(&err, bh_export_syslog(bare, 13, &out, &err));
	assert_non_null(
		strstr(out.s, " <109>1 - - bulkheadd - ocsf-0 [bulkhead@32473 seq=\"0\"] "));
}

static const json_t *at(const json_t *j, const char *path)
{
	BH_CLEANUP(bh_freep) char *copy = strdup(path);
	char *save = NULL;

	for (char *p = strtok_r(copy, ".", &save); p && j; p = strtok_r(NULL, ".", &save))
		j = json_is_array(j) ? json_array_get(j, (size_t)atoi(p)) : json_object_get(j, p);
	return j;
}

static void test_otlp(void **state)
{
	BH_CLEANUP(bh_freep) char *json = json_dumps(event, JSON_COMPACT | JSON_SORT_KEYS);
	BH_CLEANUP(bh_json_decrefp) json_t *events = json_pack("[O, O]", event, event);
	BH_CLEANUP(bh_json_decrefp) json_t *rq = NULL;
	const json_t *r;

	(void)state;
	bh_assert_ok(&err, bh_export_otlp(events, "node1", "0.1", &rq, &err));
	assert_int_equal(json_array_size(at(rq, "resourceLogs.0.scopeLogs.0.logRecords")), 2);
	r = at(rq, "resourceLogs.0.scopeLogs.0.logRecords.1");
	assert_string_equal(json_string_value(at(r, "timeUnixNano")), "1795000000123000000");
	assert_int_equal(json_integer_value(at(r, "severityNumber")), 10);
	assert_string_equal(json_string_value(at(r, "body.stringValue")), json);
	assert_string_equal(json_string_value(at(r, "attributes.2.key")), "bulkhead.pod");
	assert_string_equal(json_string_value(at(r, "attributes.2.value.stringValue")), "shop/web");
	assert_string_equal(
		json_string_value(at(rq, "resourceLogs.0.resource.attributes.2.value.stringValue")),
		"node1");
}

/* What the semantic conventions have a name for is called so. */
static void test_otlp_fields(void **state)
{
	static const struct {
		const char *key, *type, *value;
	} want[] = {
		{"bulkhead.pod", "stringValue", "shop/web"},
		{"k8s.namespace.name", "stringValue", "shop"},
		{"k8s.container.name", "stringValue", "web"},
		{"container.id", "stringValue", "cid"},
		{"container.image.name", "stringValue", "nginx"},
		{"process.executable.path", "stringValue", "/opt/x"},
		{"process.pid", "intValue", "42"},
		{"bulkhead.place", "stringValue", "/m/a.yaml:7"},
		{"bulkhead.correlation", "stringValue", "shop/Pod/web/cron/k"},
		{"bulkhead.seq", "stringValue", "9"},
	};
	BH_CLEANUP(bh_json_decrefp) json_t *e = NULL, *events = NULL, *rq = NULL;
	const json_t *all, *one;
	size_t i;

	(void)state;
	bh_assert_ok(&err, bh_json_parse(finding, strlen(finding), 4096, &e, &err));
	events = json_pack("[O]", e);
	bh_assert_ok(&err, bh_export_otlp(events, "node1", "0.1", &rq, &err));
	all = at(rq, "resourceLogs.0.scopeLogs.0.logRecords.0.attributes");
	for (size_t k = 0; k < BH_ARRAY_SIZE(want); k++) {
		const char *value = NULL;

		json_array_foreach(all, i, one)
		{
			if (!strcmp(json_string_value(at(one, "key")), want[k].key))
				value = json_string_value(json_object_get(
					json_object_get(one, "value"), want[k].type));
		}
		assert_non_null(value);
		assert_string_equal(value, want[k].value);
	}
}

static uint64_t rejected(const char *body, char text[32])
{
	uint64_t n = 99;

	bh_assert_ok(&err, bh_export_otlp_answer(body, strlen(body), &n, text, 32, &err));
	return n;
}

static void test_otlp_answer(void **state)
{
	char text[32];
	uint64_t n;

	(void)state;
	assert_int_equal(rejected("", text), 0);
	assert_int_equal(rejected("{}", text), 0);
	assert_int_equal(rejected("{\"partialSuccess\":{}}", text), 0);
	assert_int_equal(rejected("{\"partialSuccess\":{\"rejectedLogRecords\":\"7\","
				  "\"errorMessage\":\"too old\"}}",
				  text),
			 7);
	assert_string_equal(text, "too old");
	assert_int_equal(rejected("{\"partialSuccess\":{\"rejectedLogRecords\":3}}", text), 3);
	bh_assert_fails(&err, -EBADMSG, "answer",
			bh_export_otlp_answer("<", 1, &n, text, 32, &err));
}

static void test_webhook(void **state)
{
	BH_CLEANUP(bh_json_decrefp) json_t *events = json_pack("[O]", event);
	BH_CLEANUP(bh_json_decrefp) json_t *back = NULL;
	BH_CLEANUP(bh_freep) char *body = NULL;

	(void)state;
	bh_assert_ok(&err, bh_export_webhook(events, "node1", &body, &err));
	bh_assert_ok(&err, bh_json_parse(body, strlen(body), 65536, &back, &err));
	assert_int_equal(json_integer_value(at(back, "firstSeq")), 42);
	assert_int_equal(json_integer_value(at(back, "lastSeq")), 42);
	assert_true(json_equal(at(back, "events.0"), event));
}

/* printf '1795000000.{}' | openssl dgst -sha256 -hmac key */
static void test_signature(void **state)
{
	char mac[BH_WEBHOOK_SIGNATURE];

	(void)state;
	bh_assert_ok(&err, bh_export_sign("key", 3, 1795000000, "{}", mac, &err));
	assert_string_equal(mac,
			    "t=1795000000,sha256="
			    "71f6cd81e7ac967a6bfd8d621347e9ee7792b1fde3a9a64c3161a631437c7fb6");
}

static void test_retry_after(void **state)
{
	(void)state;
	assert_int_equal(bh_export_retry_after(NULL, 0, 5, 60), 5);
	assert_int_equal(bh_export_retry_after("7", 0, 5, 60), 7);
	assert_int_equal(bh_export_retry_after("99999999999999999999", 0, 5, 60), 60);
	assert_int_equal(bh_export_retry_after("7 apples", 0, 5, 60), 5);
	assert_int_equal(bh_export_retry_after("-7", 0, 5, 60), 5);
	assert_int_equal(bh_export_retry_after("Wed, 18 Nov 2026 11:06:50 GMT", 1795000000, 5, 60),
			 10);
	assert_int_equal(bh_export_retry_after("Wed, 18 Nov 2026 11:06:30 GMT", 1795000000, 5, 60),
			 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_syslog, setup, teardown),
		cmocka_unit_test_setup_teardown(test_syslog_frames, setup, teardown),
		cmocka_unit_test(test_syslog_of_little),
		cmocka_unit_test_setup_teardown(test_otlp, setup, teardown),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_other_places),
		cmocka_unit_test(test_otlp_fields),
		cmocka_unit_test(test_otlp_answer),
		cmocka_unit_test_setup_teardown(test_webhook, setup, teardown),
		cmocka_unit_test(test_signature),
		cmocka_unit_test(test_retry_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
