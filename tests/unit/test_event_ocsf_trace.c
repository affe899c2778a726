/* What the tracer sees as OCSF objects: digests, jobs, drivers, kills, and every kind of event
 * there is for the strict reader (see BH_OCSF_DUMP). */
#include "bh_test.h"

#include "base/json.h"
#include "base/str.h"
#include "detect/detect.h"
#include "event/attack.h"
#include "event/ocsf_process.h"

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct bh_ocsf source;

static int setup(void **state)
{
	(void)state;
	source = (struct bh_ocsf){.node = "node1", .version = "0.1.0", .instance = "abc"};
	return 0;
}

static const struct bh_ocsf_pod web = {
	.ns = "shop", .name = "web", .uid = "u-1", .container_id = "cid"};

static const struct bh_ocsf_rule narrow = {.name = "RuntimePolicy shop/narrow",
					   .uid = "a-b-c",
					   .version = 0xabc,
					   .file = "/etc/bulkhead/manifests/narrow.yaml",
					   .line = 7};
static struct bh_ocsf_rule rule; /* that executions and acts break */

static struct bh_trace_event plain(enum bh_trace_kind kind)
{
	return (struct bh_trace_event){.kind = kind,
				       .ts_ns = 5,
				       .exec_id = 7,
				       .pid = 42,
				       .uid = 1000,
				       .count = 1,
				       .comm = "sh",
				       .path = "/opt/tool",
				       .parent_path = "/bin/sh",
				       .script = "",
				       .cwd = "/",
				       .target = "",
				       .args = "sh\0-c\0",
				       .args_len = 6,
				       .ino = 9,
				       .origin = BH_TRACE_O_NEW,
				       .sha256 = "",
				       .parent_sha256 = "",
				       .sha256_why = ""};
}

static void dump(json_t *take_event)
{
	BH_CLEANUP(bh_json_decrefp) json_t *e = take_event;
	const char *path = getenv("BH_OCSF_DUMP");
	FILE *f = path ? fopen(path, "a") : NULL;

	assert_non_null(e);
	if (!f)
		return;
	json_dumpf(e, f, JSON_COMPACT);
	fputc('\n', f);
	fclose(f);
}

static const json_t *at(const json_t *j, const char *path)
{
	char copy[128];
	char *save = NULL;

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *p = strtok_r(copy, ".", &save); p && j; p = strtok_r(NULL, ".", &save))
		j = json_is_array(j) ? json_array_get(j, (size_t)atoi(p)) : json_object_get(j, p);
	return j;
}

static const char *text(const json_t *j, const char *path)
{
	const char *s = json_string_value(at(j, path));

	return s ? s : "";
}

static int class_of(const json_t *j)
{
	return (int)json_integer_value(json_object_get(j, "class_uid"));
}

static json_t *exec_event(struct bh_trace_event *ev)
{
	const struct bh_ocsf_process p = {1700000000123, ev, web, rule};

	return bh_ocsf_process(&source, &p);
}

static json_t *act_event(struct bh_trace_event *ev)
{
	const struct bh_ocsf_act a = {1700000000123, ev, "openat", web, rule};

	return bh_ocsf_act(&source, &a);
}

static json_t *finding_event(struct bh_trace_event *ev, bool is_posture)
{
	static const char *const attack[] = {"T1204", "T1059.004", NULL};
	const struct bh_ocsf_finding f = {.time_ms = 1700000000123,
					  .score = 9.5,
					  .usual = is_posture ? 0 : 4,
					  .detector = "foreign-exec",
					  .title = "Code that is not the image's",
					  .key = "/opt/tool",
					  .uid = "shop/Deployment/web/foreign-exec//opt/tool",
					  .first_ms = 1699999990000,
					  .analytic = BH_ANALYTIC_RULE,
					  .outcome = BH_OUTCOME_ALERT,
					  .rule = narrow,
					  .text = "it was executed",
					  .response = "alert",
					  .attack = attack,
					  .severity = 4,
					  .count = 1,
					  .is_new = true,
					  .is_posture = is_posture,
					  .event = ev,
					  .pod = web};

	return bh_ocsf_finding(&source, &f);
}

static void test_known_digest(void **state)
{
	struct bh_trace_event ev = plain(BH_TRACE_EXEC);
	json_t *e;

	(void)state;
	ev.sha256 = SHA;
	ev.parent_exec_id = 3;
	ev.parent_sha256 = SHA;
	e = exec_event(&ev);
	assert_string_equal(text(e, "process.file.hashes.0.value"), SHA);
	assert_string_equal(text(e, "actor.process.file.hashes.0.value"), SHA);
	assert_int_equal(json_integer_value(at(e, "process.file.hashes.0.algorithm_id")), 3);
	assert_null(at(e, "unmapped.bulkhead.sha256Missing"));
	dump(e);
}

static void test_digest_that_comes(void **state)
{
	struct bh_trace_event ev = plain(BH_TRACE_EXEC);
	json_t *e = exec_event(&ev), *late, *f = finding_event(&ev, false);

	(void)state;
	assert_null(at(e, "process.file.hashes"));
	bh_ocsf_put_digest(f, SHA, NULL);
	assert_string_equal(text(f, "evidences.0.process.file.hashes.0.value"), SHA);
	assert_null(at(f, "unmapped.bulkhead.sha256Missing"));
	json_object_set_new(json_object_get(json_object_get(e, "unmapped"), "bulkhead"), "workload",
			    json_pack("{s:s}", "name", "web"));
	late = bh_ocsf_late_digest(&source, e, SHA, 1700000000456);
	assert_string_equal(text(late, "unmapped.bulkhead.workload.name"), "web");
	assert_int_equal(json_integer_value(at(late, "type_uid")), 100799);
	assert_string_equal(text(late, "process.file.hashes.0.value"), SHA);
	assert_string_equal(text(late, "process.uid"), text(e, "process.uid"));
	assert_string_equal(text(late, "unmapped.bulkhead.completes"), text(e, "metadata.uid"));
	assert_string_not_equal(text(late, "metadata.uid"), text(e, "metadata.uid"));
	assert_null(at(e, "process.file.hashes"));
	bh_ocsf_put_digest(e, NULL, "gone");
	assert_string_equal(text(e, "unmapped.bulkhead.sha256Missing"), "gone");
	dump(e);
	dump(late);
	dump(f);
}

/* Of arguments that found no room in the record. */
static void test_rest_of_arguments(void **state)
{
	struct bh_trace_event ev = plain(BH_TRACE_EXEC);
	json_t *whole, *cut, *unread;

	(void)state;
	ev.args_total = ev.args_len;
	whole = exec_event(&ev);
	assert_null(at(whole, "unmapped.bulkhead.argsBytes"));
	assert_null(at(whole, "unmapped.bulkhead.argsRest"));
	ev.args_total = 5000;
	unread = exec_event(&ev);
	assert_int_equal(json_integer_value(at(unread, "unmapped.bulkhead.argsBytes")), 5000);
	assert_null(at(unread, "unmapped.bulkhead.argsRest"));
	ev.args_rest = 0x1234;
	cut = exec_event(&ev);
	assert_string_equal(text(cut, "unmapped.bulkhead.argsRest"), "xxh64:0000000000001234");
	dump(whole);
	dump(unread);
	dump(cut);
}

/* A mapped library's finding carries the library's digest, not the process's. */
static void test_digest_of_a_library(void **state)
{
	struct bh_trace_event ev = plain(BH_TRACE_MAP);
	json_t *e, *f;

	(void)state;
	ev.path = "/opt/evil.so";
	e = act_event(&ev);
	f = finding_event(&ev, false);
	bh_ocsf_put_digest(e, SHA, NULL);
	bh_ocsf_put_digest(f, SHA, NULL);
	assert_int_equal(class_of(e), 1005);
	assert_string_equal(text(e, "module.file.hashes.0.value"), SHA);
	assert_string_equal(text(f, "evidences.0.file.hashes.0.value"), SHA);
	assert_null(at(f, "evidences.0.process.file.hashes"));
	dump(e);
	dump(f);
}

static void test_jobs(void **state)
{
	static const struct {
		enum bh_trace_op op;
		const char *path, *target;
		int class_uid, activity;
	} rows[] = {
		{BH_TRACE_OP_CREATE, "/etc/cron.d/x", "", 1006, 1},
		{BH_TRACE_OP_WRITE, "/var/spool/cron/crontabs/root", "", 1006, 2},
		{BH_TRACE_OP_RENAME, "/tmp/x", "/var/spool/cron/crontabs/root", 1006, 1},
		{BH_TRACE_OP_RENAME, "/etc/cron.d/x", "/tmp/x", 1001, 5},
		{BH_TRACE_OP_UNLINK, "/var/spool/at/a1", "", 1006, 3},
		{BH_TRACE_OP_CREATE, "/etc/systemd/system/x.timer", "", 1006, 1},
		{BH_TRACE_OP_CREATE, "/opt/x.timer", "", 1001, 1},
		{BH_TRACE_OP_READ, "/etc/crontab", "", 1001, 2},
		{BH_TRACE_OP_CREATE, "/home/cron", "", 1001, 1},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_trace_event ev = plain(BH_TRACE_FILE);
		json_t *e;

		ev.op = (uint8_t)rows[i].op;
		ev.path = rows[i].path;
		ev.target = rows[i].target;
		e = act_event(&ev);
		assert_int_equal(class_of(e), rows[i].class_uid);
		assert_int_equal(json_integer_value(at(e, "activity_id")), rows[i].activity);
		dump(e);
	}
}

/* Every operation and class of calls is told somehow, killed or not. */
static void test_all_acts(void **state)
{
	(void)state;
	for (unsigned kind = BH_TRACE_FILE; kind <= BH_TRACE_CALL; kind++) {
		unsigned n = kind == BH_TRACE_FILE  ? (unsigned)BH_TRACE_OPS
			     : kind == BH_TRACE_MAP ? BH_TRACE_MAP_OPS
						    : (unsigned)BH_CALL_CLASSES;

		for (unsigned op = 0; op < n; op++) {
			struct bh_trace_event ev = plain((enum bh_trace_kind)kind);
			json_t *e;

			ev.op = (uint8_t)op;
			ev.path = op % 2 ? "" : ev.path;
			ev.flags = op % 3 ? 0 : BH_TRACE_F_KILLED;
			e = act_event(&ev);
			if (kind == BH_TRACE_CALL)
				assert_int_equal(class_of(e), op == BH_CALL_MODULE ? 1002 : 1003);
			dump(e);
		}
	}
}

static void test_findings(void **state)
{
	struct bh_trace_event exec = plain(BH_TRACE_EXEC), file = plain(BH_TRACE_FILE);
	struct bh_trace_event nobody = {.path = "", .parent_path = "", .target = "", .args = ""};
	json_t *e = finding_event(&exec, true);

	(void)state;
	assert_int_equal(class_of(e), 2003);
	assert_int_equal(json_integer_value(at(e, "compliance.status_id")), 3);
	dump(e);
	e = finding_event(&file, false);
	assert_int_equal(class_of(e), 2004);
	assert_string_equal(text(e, "evidences.0.file.path"), "/opt/tool");
	assert_string_equal(text(e, "anomaly_analyses.0.anomalies.0.observations.0.value"), "9.50");
	assert_string_equal(text(e, "anomaly_analyses.0.baselines.0.observations.0.value"), "4.00");
	dump(e);
	dump(finding_event(&nobody, false));
	exec.args = ""; /* as execve("...", {""}) leaves them: one that is empty */
	exec.args_len = 1;
	e = exec_event(&exec);
	assert_null(at(e, "process.cmd_line"));
	dump(e);
}

/* What is broken is said in the same words everywhere, and in OCSF's place for it. */
static void check_rule(const json_t *e)
{
	assert_string_equal(text(e, "policy.name"), "RuntimePolicy shop/narrow");
	assert_string_equal(text(e, "policy.uid"), "a-b-c");
	assert_string_equal(text(e, "policy.version"), "0000000000000abc");
	assert_string_equal(text(e, "policy.desc"), "/etc/bulkhead/manifests/narrow.yaml:7");
	assert_string_equal(text(e, "unmapped.bulkhead.rule"), "RuntimePolicy shop/narrow");
	assert_int_equal(json_integer_value(at(e, "unmapped.bulkhead.line")), 7);
}

static void test_rules(void **state)
{
	static const struct {
		uint32_t flags;
		bool is_broken;
		const char *disposition, *status;
	} rows[] = {
		{0, false, "Allowed", "Success"},
		{0, true, "Alert", "Success"},
		{BH_TRACE_F_REFUSED, true, "Alert", "Success"},
		{BH_TRACE_F_REFUSED | BH_TRACE_F_KILLED, true, "Blocked", "Failure"},
		{BH_TRACE_F_BLOCKED, true, "Blocked", "Failure"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_trace_event exec = plain(BH_TRACE_EXEC), act = plain(BH_TRACE_FILE);

		rule = rows[i].is_broken ? narrow : (struct bh_ocsf_rule){0};
		for (int k = 0; k < 2; k++) {
			struct bh_trace_event *ev = k ? &act : &exec;
			json_t *e;

			ev->flags = rows[i].flags;
			e = k ? act_event(ev) : exec_event(ev);
			assert_string_equal(text(e, "disposition"), rows[i].disposition);
			assert_string_equal(text(e, "status"), rows[i].status);
			if (rows[i].is_broken)
				check_rule(e);
			else
				assert_null(at(e, "policy"));
			dump(e);
		}
	}
	rule = (struct bh_ocsf_rule){0};
}

/* A finding about a connection says with whom; one about a name, which. */
static void test_evidence(void **state)
{
	static const char *const attack[] = {"T1046", NULL, NULL};
	struct bh_trace_event ev = plain(BH_TRACE_EXEC);
	struct bh_ocsf_far far = {.proto = 6, .port = 443, .is_egress = true, .name = "shop/db"};
	struct bh_ocsf_finding f = {.time_ms = 1700000000123,
				    .detector = "new-edge",
				    .title = "a new edge",
				    .key = "k",
				    .uid = "u",
				    .text = "somewhere new",
				    .response = "alert",
				    .attack = attack,
				    .severity = 3,
				    .count = 4,
				    .first_ms = 1699999990000,
				    .analytic = BH_ANALYTIC_BEHAVIOR,
				    .outcome = BH_OUTCOME_ALERT,
				    .far = &far,
				    .event = &ev,
				    .pod = web};
	struct bh_err err;
	json_t *e;

	(void)state;
	bh_assert_ok(&err, bh_ip_parse("10.0.0.9", &far.ip, &err));
	ev.kind = 0;
	ev.pid = 0;
	e = bh_ocsf_finding(&source, &f);
	assert_string_equal(text(e, "evidences.0.dst_endpoint.ip"), "10.0.0.9");
	assert_string_equal(text(e, "evidences.0.dst_endpoint.name"), "shop/db");
	assert_int_equal(json_integer_value(at(e, "evidences.0.dst_endpoint.port")), 443);
	assert_string_equal(text(e, "evidences.0.connection_info.direction"), "Outbound");
	assert_string_equal(text(e, "finding_info.analytic.type"), "Behavioral");
	assert_string_equal(text(e, "finding_info.attacks.0.tactic.name"), "Discovery");
	assert_string_equal(text(e, "finding_info.attacks.0.technique.name"),
			    "Network Service Discovery");
	assert_null(at(e, "finding_info.attacks.0.sub_technique"));
	assert_int_equal(json_integer_value(at(e, "count")), 4);
	assert_int_equal(json_integer_value(at(e, "finding_info.first_seen_time")), 1699999990000);
	assert_int_equal(json_integer_value(at(e, "finding_info.last_seen_time")), 1700000000123);
	dump(e);
	f.far = NULL;
	e = bh_ocsf_finding(&source, &f);
	assert_string_equal(text(e, "evidences.0.data.key"), "k");
	dump(e);
	ev.kind = BH_TRACE_DNS;
	snprintf(ev.name, sizeof(ev.name), "a.example.org");
	ev.type = 1;
	e = bh_ocsf_finding(&source, &f);
	assert_string_equal(text(e, "evidences.0.query.hostname"), "a.example.org");
	dump(e);
}

static void test_attacks(void **state)
{
	struct bh_attack a;

	(void)state;
	assert_true(bh_attack_find("T1059.004", &a));
	assert_string_equal(a.name, "Unix Shell");
	assert_string_equal(a.technique_name, "Command and Scripting Interpreter");
	assert_string_equal(a.tactic, "TA0002");
	assert_false(bh_attack_find("T1059.999", &a));
	assert_false(bh_attack_find("", &a));
	/* whatever a detector names has its words */
	for (size_t i = 0; i < bh_n_detectors; i++) {
		for (size_t k = 0; k < 3 && bh_detectors[i].attack[k]; k++) {
			if (!bh_attack_find(bh_detectors[i].attack[k], &a))
				fail_msg("%s: %s", bh_detectors[i].name, bh_detectors[i].attack[k]);
		}
	}
}

static void test_finding_uid(void **state)
{
	const struct bh_ocsf_pod pod = {
		.ns = "shop", .name = "web-1", .owner_kind = "Deployment", .owner = "web"};
	BH_CLEANUP(bh_freep) char *uid = bh_ocsf_finding_uid(&pod, "cron", "/etc/cron.d");

	(void)state;
	assert_string_equal(uid, "shop/Deployment/web/cron//etc/cron.d");
}

static void test_kills(void **state)
{
	struct bh_trace_event ev = plain(BH_TRACE_EXEC);
	BH_CLEANUP(bh_json_decrefp) json_t *details = NULL;
	BH_CLEANUP(bh_json_decrefp) json_t *process = bh_ocsf_suspect(&ev, &details);
	const struct bh_ocsf_kill by_kernel = {.time_ms = 1700000000123,
					       .event = &ev,
					       .reason = "refused",
					       .correlation = "u",
					       .rule = narrow,
					       .pod = web};
	struct bh_ocsf_kill by_us = {.time_ms = 1700000000123,
				     .process = process,
				     .details = details,
				     .reason = "a finding",
				     .end = BH_KILL_FAILED,
				     .detail = "No such process",
				     .correlation = "u",
				     .pod = web};
	json_t *a = bh_ocsf_kill(&source, &by_kernel), *b = bh_ocsf_kill(&source, &by_us);

	(void)state;
	check_rule(a);
	assert_string_equal(text(a, "metadata.correlation_uid"), "u");
	assert_string_equal(text(a, "disposition"), "Blocked");
	assert_string_equal(text(b, "process.file.path"), "/opt/tool");
	assert_string_equal(text(b, "unmapped.bulkhead.provenance"), "new");
	assert_string_equal(text(b, "unmapped.bulkhead.change"), "failed");
	assert_int_equal(class_of(a), 7003);
	assert_string_equal(text(a, "process.file.path"), "/opt/tool");
	assert_int_equal(json_integer_value(at(a, "status_id")), 1);
	assert_int_equal(json_integer_value(at(b, "process.pid")), 42);
	assert_int_equal(json_integer_value(at(b, "status_id")), 2);
	assert_string_equal(text(b, "status_detail"), "No such process");
	dump(a);
	dump(b);
	by_us.end = BH_KILL_GONE;
	b = bh_ocsf_kill(&source, &by_us);
	assert_int_equal(json_integer_value(at(b, "status_id")), 3);
	assert_string_equal(text(b, "status"), "Does Not Exist");
	dump(b);
}

static void test_names(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct bh_trace_event ev = plain(BH_TRACE_DNS);
		const struct bh_ocsf_name n = {1700000000123, &ev, web};

		snprintf(ev.name, sizeof(ev.name), "db.shop.svc");
		ev.type = 1;
		ev.is_answer = i % 2;
		ev.rcode = i == 3 ? 17 : 3;
		ev.proto = i % 2 ? 17 : 6;
		if (i > 1)
			memcpy(ev.server, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x60\0\x0a", 16);
		dump(bh_ocsf_name(&source, &n));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_known_digest, setup),
		cmocka_unit_test_setup(test_digest_that_comes, setup),
		cmocka_unit_test_setup(test_digest_of_a_library, setup),
		cmocka_unit_test_setup(test_rest_of_arguments, setup),
		cmocka_unit_test_setup(test_jobs, setup),
		cmocka_unit_test_setup(test_all_acts, setup),
		cmocka_unit_test_setup(test_findings, setup),
		cmocka_unit_test_setup(test_kills, setup),
		cmocka_unit_test_setup(test_rules, setup),
		cmocka_unit_test_setup(test_evidence, setup),
		cmocka_unit_test_setup(test_attacks, setup),
		cmocka_unit_test_setup(test_finding_uid, setup),
		cmocka_unit_test_setup(test_names, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
