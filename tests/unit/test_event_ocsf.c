/* Every event class against what OCSF 1.5.0 requires of it: attributes that must be there, types,
 * and numbers that its enumerations know. */
#include "bh_test.h"

#include <errno.h>

#include "base/json.h"
#include "base/str.h"
#include "event/ocsf_image.h"
#include "event/ocsf_process.h"

static struct bh_ocsf source;
static struct bh_err err;
static json_t *event;

static int setup(void **state)
{
	(void)state;
	source = (struct bh_ocsf){.node = "node1", .version = "0.1.0", .instance = "abc"};
	return 0;
}

/* Every event that was made goes to the file BH_OCSF_DUMP too, where a stricter reader looks at it:
 * tests/e2e/ocsf_events.py. */
static int teardown(void **state)
{
	const char *path = getenv("BH_OCSF_DUMP");
	FILE *f = path && event ? fopen(path, "a") : NULL;

	(void)state;
	if (f) {
		json_dumpf(event, f, JSON_COMPACT);
		fputc('\n', f);
		fclose(f);
	}
	json_decref(event);
	event = NULL;
	return 0;
}

static const struct bh_ocsf_pod web = {.ns = "shop",
				       .name = "web",
				       .uid = "u-1",
				       .container_id = "cid",
				       .image = "nginx",
				       .image_digest = "sha256:1"};

/* The member at a dotted path; NULL when absent. Numbers are positions in arrays. */
static json_t *at(const char *path)
{
	BH_CLEANUP(bh_freep) char *copy = strdup(path);
	json_t *j = event;
	char *save = NULL;

	for (char *p = strtok_r(copy, ".", &save); p && j; p = strtok_r(NULL, ".", &save))
		j = json_is_array(j) ? json_array_get(j, (size_t)atoi(p)) : json_object_get(j, p);
	return j;
}

static int64_t number(const char *path)
{
	if (!json_is_integer(at(path)))
		fail_msg("'%s' is not a number", path);
	return json_integer_value(at(path));
}

static const char *string(const char *path)
{
	if (!json_is_string(at(path)))
		fail_msg("'%s' is not a string", path);
	return json_string_value(at(path));
}

static void check_base(int class_uid, const int *activities)
{
	bool is_known = false;

	assert_non_null(event);
	assert_int_equal(number("class_uid"), class_uid);
	assert_int_equal(number("category_uid"), class_uid / 1000);
	assert_int_equal(number("type_uid"), class_uid * 100 + number("activity_id"));
	for (; *activities; activities++)
		is_known |= *activities == number("activity_id");
	assert_true(is_known);
	assert_in_range(number("severity_id"), 1, 5);
	assert_int_equal(number("time"), 1700000000123);
	assert_string_equal(string("metadata.version"), "1.5.0");
	assert_string_equal(string("metadata.product.name"), "Bulkhead");
	assert_string_equal(string("metadata.product.vendor_name"), "Bulkhead");
	assert_string_equal(string("metadata.product.version"), "0.1.0");
	assert_string_equal(string("metadata.uid"), "abc-1");
	assert_string_equal(string("device.hostname"), "node1");
	assert_int_equal(number("device.type_id"), 1);
	for (const char *const *p =
		     (const char *const[]){"class_name", "category_name", "activity_name",
					   "severity", "unmapped.bulkhead", NULL};
	     *p; p++)
		assert_non_null(at(*p));
}

static void check_pod(void)
{
	assert_string_equal(string("container.name"), "web");
	assert_string_equal(string("container.uid"), "cid");
	assert_string_equal(string("container.pod_uuid"), "u-1");
	assert_string_equal(string("container.image.name"), "nginx");
	assert_string_equal(string("container.image.uid"), "sha256:1");
	assert_string_equal(string("unmapped.bulkhead.pod"), "shop/web");
	assert_string_equal(string("unmapped.bulkhead.namespace"), "shop");
}

static struct bh_edge_event edge(void)
{
	struct bh_edge_event e = {.dir = BH_EGRESS,
				  .verdict = BH_DENIED,
				  .reason = BH_R_DEFAULT_DENY,
				  .proto = 6,
				  .port = 5432,
				  .pid = 77,
				  .uid = 1000,
				  .comm = "bash",
				  .path = "/bin/bash"};

	bh_assert_ok(&err, bh_ip_parse("10.0.0.9", &e.remote, &err));
	return e;
}

static void test_denied_edge(void **state)
{
	struct bh_edge_event e = edge();
	struct bh_ip local;
	struct bh_ocsf_edge x = {.time_ms = 1700000000123,
				 .event = &e,
				 .pod = web,
				 .local = &local,
				 .peer = "shop/db",
				 .rule = "default",
				 .place = "a.yaml:3",
				 .who = {.exec_id = 0xab,
					 .parent_exec_id = 0xaa,
					 .provenance = "new",
					 .sha256 = "0123456789abcdef0123456789abcdef"
						   "0123456789abcdef0123456789abcdef"},
				 .packets = 2,
				 .bytes = 120};

	(void)state;
	bh_assert_ok(&err, bh_ip_parse("10.0.0.1", &local, &err));
	event = bh_ocsf_edge(&source, &x);
	check_base(4001, (const int[]){5, 0});
	check_pod();
	assert_int_equal(number("action_id"), 2);
	assert_int_equal(number("disposition_id"), 2);
	assert_string_equal(string("src_endpoint.ip"), "10.0.0.1");
	assert_string_equal(string("src_endpoint.name"), "shop/web");
	assert_null(at("src_endpoint.port"));
	assert_string_equal(string("dst_endpoint.ip"), "10.0.0.9");
	assert_string_equal(string("dst_endpoint.name"), "shop/db");
	assert_int_equal(number("dst_endpoint.port"), 5432);
	assert_int_equal(number("connection_info.direction_id"), 2);
	assert_int_equal(number("connection_info.protocol_num"), 6);
	assert_int_equal(number("connection_info.protocol_ver_id"), 4);
	assert_string_equal(string("connection_info.protocol_name"), "TCP");
	assert_string_equal(string("firewall_rule.name"), "default");
	assert_string_equal(string("firewall_rule.desc"), "a.yaml:3");
	assert_int_equal(number("actor.process.pid"), 77);
	assert_string_equal(string("actor.process.name"), "bash");
	assert_string_equal(string("actor.process.file.path"), "/bin/bash");
	assert_string_equal(string("actor.process.file.name"), "bash");
	assert_int_equal(number("actor.process.file.type_id"), 1);
	assert_string_equal(string("actor.process.user.uid"), "1000");
	assert_string_equal(string("actor.process.uid"), "00000000000000ab");
	assert_string_equal(string("actor.process.parent_process.uid"), "00000000000000aa");
	assert_int_equal(number("actor.process.file.hashes.0.algorithm_id"), 3);
	assert_string_equal(string("unmapped.bulkhead.processProvenance"), "new");
	assert_int_equal(number("traffic.packets"), 2);
	assert_int_equal(number("traffic.bytes"), 120);
	assert_string_equal(string("unmapped.bulkhead.reason"), "default-deny");
	assert_string_equal(string("unmapped.bulkhead.verdict"), "denied");
	assert_string_equal(string("metadata.profiles.2"), "security_control");
}

static void test_allowed_edge_with_little_known(void **state)
{
	struct bh_edge_event e = edge();
	struct bh_ocsf_edge x = {.time_ms = 1700000000123, .event = &e};

	(void)state;
	e.dir = BH_INGRESS;
	e.verdict = BH_ALLOWED;
	e.reason = BH_R_POLICY;
	e.pid = 0;
	e.proto = 58;
	e.port = 128;
	bh_assert_ok(&err, bh_ip_parse("fd00::9", &e.remote, &err));
	event = bh_ocsf_edge(&source, &x);
	check_base(4001, (const int[]){1, 0});
	assert_int_equal(number("action_id"), 1);
	assert_int_equal(number("disposition_id"), 1);
	assert_int_equal(number("connection_info.direction_id"), 1);
	assert_int_equal(number("connection_info.protocol_ver_id"), 6);
	assert_string_equal(string("src_endpoint.ip"), "fd00::9");
	assert_null(at("dst_endpoint")); /* nothing is known of it */
	assert_int_equal(number("unmapped.bulkhead.icmpType"), 128);
	assert_null(at("actor"));
	assert_null(at("container"));
	assert_null(at("firewall_rule"));
}

static void test_config(void **state)
{
	struct bh_ocsf_config c = {.time_ms = 1700000000123,
				   .change = BH_CHANGE_REFUSED,
				   .object = "NetworkPolicy shop/web",
				   .place = "a.yaml:7",
				   .text = "port '70000' is not 1-65535",
				   .revision = 12,
				   .actor = {true, 5, 0, "/usr/bin/bulkhead"}};

	(void)state;
	event = bh_ocsf_config(&source, &c);
	check_base(5002, (const int[]){1, 0});
	assert_string_equal(string("message"),
			    "NetworkPolicy shop/web refused: "
			    "port '70000' is not 1-65535");
	assert_string_equal(string("unmapped.bulkhead.change"), "refused");
	assert_string_equal(string("unmapped.bulkhead.place"), "a.yaml:7");
	assert_int_equal(number("unmapped.bulkhead.revision"), 12);
	assert_int_equal(number("actor.process.pid"), 5);
	teardown(NULL);
	setup(NULL);
	for (int i = BH_CHANGE_ADDED; i <= BH_CHANGE_FAILED; i++) {
		setup(NULL);
		c.change = (enum bh_ocsf_change)i;
		c.actor.is_known = false;
		event = bh_ocsf_config(&source, &c);
		check_base(5002, (const int[]){1, 0});
		assert_string_equal(string("actor.app_name"), "bulkheadd");
		teardown(NULL);
	}
}

static void test_lifecycle(void **state)
{
	BH_CLEANUP(bh_json_decrefp)
	json_t *details = json_pack("{s:i, s:s}", "slot", 3, "pod", "x");
	struct bh_ocsf_lifecycle l = {
		.time_ms = 1700000000123, .pod = web, .text = "because", .details = details};
	static const int want[] = {3, 4, 7, 8};

	(void)state;
	for (int i = BH_LIFE_STARTED; i <= BH_LIFE_CHANGED; i++) {
		setup(NULL);
		l.life = (enum bh_ocsf_life)i;
		event = bh_ocsf_lifecycle(&source, &l);
		check_base(6002, (const int[]){want[i], 0});
		check_pod();
		assert_string_equal(string("app.name"), "shop/web");
		assert_int_equal(number("unmapped.bulkhead.slot"), 3);
		teardown(NULL);
	}
	setup(NULL);
	l = (struct bh_ocsf_lifecycle){.time_ms = 1700000000123};
	event = bh_ocsf_lifecycle(&source, &l);
	check_base(6002, (const int[]){3, 0});
	assert_string_equal(string("app.name"), "bulkheadd");
	assert_string_equal(string("message"), "bulkheadd started");
	assert_null(at("container"));
}

static void test_quarantine(void **state)
{
	BH_CLEANUP(bh_json_decrefp) json_t *receipt = json_pack("{s:i}", "socketsDestroyed", 4);
	struct bh_ocsf_quarantine q = {
		.time_ms = 1700000000123,
		.pod = web,
		.reason = "miner found",
		.receipt = receipt,
		.correlation = "shop/Deployment/web/miner/k",
		.rule = {.name = "RuntimePolicy shop/web", .file = "/m/web.yaml", .line = 9},
		.actor = {true, 5, 0, "/usr/bin/bulkhead"}};

	(void)state;
	event = bh_ocsf_quarantine(&source, &q);
	check_base(7004, (const int[]){1, 0});
	check_pod();
	assert_string_equal(string("command_uid"), "abc-1");
	assert_int_equal(number("connection_info.direction_id"), 99);
	assert_string_equal(string("countermeasures.0.d3f_technique.uid"), "D3-NI");
	assert_int_equal(number("status_id"), 1);
	assert_string_equal(string("disposition"), "Isolated");
	assert_string_equal(string("policy.name"), "RuntimePolicy shop/web");
	assert_string_equal(string("policy.desc"), "/m/web.yaml:9");
	assert_int_equal(number("unmapped.bulkhead.line"), 9);
	assert_string_equal(string("metadata.correlation_uid"), "shop/Deployment/web/miner/k");
	assert_int_equal(number("unmapped.bulkhead.receipt.socketsDestroyed"), 4);
	assert_string_equal(string("message"), "shop/web quarantined: miner found");
	assert_string_equal(string("actor.process.file.path"), "/usr/bin/bulkhead");
	teardown(NULL);
	setup(NULL);
	q.is_release = true;
	q.failure = "there is no pod";
	q.receipt = NULL;
	event = bh_ocsf_quarantine(&source, &q);
	check_base(7004, (const int[]){3, 0});
	assert_int_equal(number("status_id"), 2);
	assert_string_equal(string("disposition"), "Restored");
	assert_string_equal(string("status_detail"), "there is no pod");
	teardown(NULL);
	setup(NULL);
	q.is_release = false;
	event = bh_ocsf_quarantine(&source, &q);
	assert_int_equal(number("status_id"), 4);
	assert_string_equal(string("status"), "Partial");
}

/* bytes from outside must neither break the JSON nor the terminal it ends on */
static void test_hostile_text(void **state)
{
	struct bh_edge_event e = edge();
	struct bh_ocsf_edge x = {.time_ms = 1, .event = &e};

	(void)state;
	strcpy(e.comm, "a\x1b[2J\xff");
	strcpy(e.path, "/tmp/\n\"\\\xc3");
	event = bh_ocsf_edge(&source, &x);
	assert_string_equal(string("actor.process.name"), "a?[2J?");
	assert_string_equal(string("actor.process.file.path"), "/tmp/?\"\\?");
}

static void test_uids_differ(void **state)
{
	struct bh_ocsf_lifecycle l = {.time_ms = 1};

	(void)state;
	json_decref(bh_ocsf_lifecycle(&source, &l));
	event = bh_ocsf_lifecycle(&source, &l);
	assert_string_equal(string("metadata.uid"), "abc-2");
	assert_int_equal(number("metadata.sequence"), 2);
}

static void test_filter(void **state)
{
	struct bh_edge_event e = edge();
	struct bh_ocsf_edge x = {.time_ms = 1000, .event = &e, .pod = web, .peer = "shop/db"};
	const struct {
		struct bh_event_filter f;
		bool want;
	} rows[] = {
		{{INT64_MIN, 0, NULL}, true},	  {{1000, 0, NULL}, true},
		{{1001, 0, NULL}, false},	  {{0, 4001, NULL}, true},
		{{0, 7004, NULL}, false},	  {{0, 0, "shop/web"}, true},
		{{0, 0, "shop/db"}, true},	  {{0, 0, "shop/we"}, false},
		{{1000, 4001, "shop/web"}, true},
	};

	(void)state;
	event = bh_ocsf_edge(&source, &x);
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++)
		assert_int_equal(bh_event_matches(&rows[i].f, event), rows[i].want);
}

static void test_name(void **state)
{
	struct bh_trace_event ev = {.kind = BH_TRACE_DNS,
				    .count = 1,
				    .name = "www.example.org",
				    .type = 28,
				    .proto = 17,
				    .pid = 12,
				    .comm = "curl",
				    .server = {[10] = 0xff, 0xff, 10, 0, 0, 10}};
	struct bh_ocsf_name x = {.time_ms = 1700000000123, .event = &ev, .pod = web};

	(void)state;
	event = bh_ocsf_name(&source, &x);
	check_base(4003, (const int[]){1, 0});
	assert_string_equal(string("query.hostname"), "www.example.org");
	assert_string_equal(string("query.type"), "AAAA");
	assert_string_equal(string("dst_endpoint.ip"), "10.0.0.10");
	assert_string_equal(string("src_endpoint.name"), "shop/web");
	assert_int_equal(number("connection_info.protocol_num"), 17);
	assert_int_equal(number("connection_info.direction_id"), 2);
	assert_int_equal(number("actor.process.pid"), 12);
	assert_null(at("rcode_id"));
	json_decref(event);
	ev.is_answer = true;
	ev.rcode = 3;
	source.n = 0;
	event = bh_ocsf_name(&source, &x);
	check_base(4003, (const int[]){2, 0});
	assert_int_equal(number("rcode_id"), 3);
	assert_string_equal(string("rcode"), "NXDomain");
}

static void test_images(void **state)
{
	BH_CLEANUP(bh_json_decrefp)
	json_t *answer = json_pack("{s:s, s:s, s:s, s:s, s:[]}", "digest", "sha256:1", "verdict",
				   "reject", "reason", "no-signature", "policy", "shop", "checks");
	struct bh_ocsf_image i = {
		.time_ms = 1700000000123,
		.pod = web,
		.reference = "nginx:1",
		.mode = "enforce",
		.answer = answer,
		.rule = {.name = "ImagePolicy shop", .file = "/m/p.yaml", .line = 3}};

	(void)state;
	event = bh_ocsf_image_verdict(&source, &i);
	check_base(5002, (const int[]){1, 0});
	check_pod();
	assert_string_equal(string("status"), "Failure");
	assert_string_equal(string("disposition"), "Blocked");
	assert_string_equal(string("policy.desc"), "/m/p.yaml:3");
	assert_string_equal(string("actor.app_name"), "bulkheadd");
	teardown(NULL);
	setup(NULL);
	event = bh_ocsf_image_finding(&source, &i);
	check_base(2003, (const int[]){1, 0});
	assert_string_equal(string("finding_info.uid"), "shop/web/nginx:1/sha256:1");
	assert_string_equal(string("metadata.correlation_uid"), "shop/web/nginx:1/sha256:1");
	assert_string_equal(string("compliance.status"), "Fail");
	assert_string_equal(string("policy.name"), "ImagePolicy shop");
	teardown(NULL);
	setup(NULL);
	i.mode = "audit";
	i.pod = (struct bh_ocsf_pod){0}; /* a pull */
	json_object_set_new(answer, "verdict", json_string("undecided"));
	event = bh_ocsf_image_finding(&source, &i);
	assert_string_equal(string("disposition"), "Alert");
	assert_string_equal(string("compliance.status"), "Warning");
	assert_null(at("container"));
}

static void test_class_names(void **state)
{
	int uid = 0;

	(void)state;
	bh_assert_ok(&err, bh_ocsf_class_parse("network_activity", &uid, &err));
	assert_int_equal(uid, 4001);
	bh_assert_ok(&err, bh_ocsf_class_parse("Network Remediation Activity", &uid, &err));
	assert_int_equal(uid, 7004);
	bh_assert_ok(&err, bh_ocsf_class_parse("policy", &uid, &err));
	assert_int_equal(uid, 5002);
	bh_assert_ok(&err, bh_ocsf_class_parse("6002", &uid, &err));
	assert_int_equal(uid, 6002);
	bh_assert_fails(&err, -EINVAL, "no event class 'x'", bh_ocsf_class_parse("x", &uid, &err));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_name),	      T(test_denied_edge), T(test_allowed_edge_with_little_known),
		T(test_config),	      T(test_lifecycle),   T(test_quarantine),
		T(test_hostile_text), T(test_uids_differ), T(test_filter),
		T(test_class_names),  T(test_images),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
