/* Reports of the reference evaluator: what users see of matrix, explain, diff, test, exceptions. */
#include "bh_test.h"

#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>

#include "base/json.h"
#include "base/str.h"
#include "policy/objects.h"
#include "refeval/report.h"

#define NOW 1780000000 /* 2026-05-28T20:26:40Z */

static const char pods[] =
	"apiVersion: v1\n"
	"kind: Pod\n"
	"metadata: {name: web, namespace: shop, labels: {app: web}}\n"
	"spec: {containers: [{name: c, image: i}]}\n"
	"status: {phase: Running, podIP: 10.1.0.1}\n"
	"---\n"
	"apiVersion: v1\n"
	"kind: Pod\n"
	"metadata: {name: db, namespace: shop, labels: {app: db}}\n"
	"spec: {containers: [{name: c, image: i}]}\n"
	"status: {phase: Running, podIP: 10.1.0.2}\n"
	"---\n"
	"apiVersion: v1\n"
	"kind: Pod\n"
	"metadata: {name: agent, namespace: ops}\n"
	"spec: {hostNetwork: true, containers: [{name: c, image: i}]}\n"
	"status: {phase: Running, podIP: 10.0.0.1}\n"
	"---\n"
	"apiVersion: v1\n"
	"kind: Pod\n"
	"metadata: {name: job, namespace: ops}\n"
	"spec: {containers: [{name: c, image: i}]}\n"
	"status: {phase: Succeeded, podIP: 10.1.0.9}\n";

static const char policy_in[] =
	"apiVersion: networking.k8s.io/v1\n"
	"kind: NetworkPolicy\n"
	"metadata: {name: db-in, namespace: shop}\n"
	"spec:\n"
	"  podSelector: {matchLabels: {app: db}}\n"
	"  policyTypes: [Ingress]\n"
	"  ingress:\n"
	"  - from:\n"
	"    - podSelector: {matchLabels: {app: web}}\n"
	"    ports:\n"
	"    - port: 5432\n";

static const char policy_out[] =
	"apiVersion: bulkhead.io/v1alpha1\n"
	"kind: SegmentationPolicy\n"
	"metadata: {name: web-out, namespace: shop}\n"
	"spec:\n"
	"  podSelector: {matchLabels: {app: web}}\n"
	"  policyTypes: [Egress]\n"
	"  egress:\n"
	"  - to: [{podSelector: {}}]\n"
	"    ports: [{port: 5432}]\n"
	"    processes: [/usr/bin/psql, /usr/bin/pg_dump]\n"
	"    reason: {why: backup, useCase: OPS-1, owner: me@example.org,\n"
	"             expires: 2027-01-31T00:00:00Z}\n"
	"  - to: [{podSelector: {}}]\n"
	"    ports: [{port: 22}]\n"
	"    reason: {why: old, expires: 2026-01-31T00:00:00Z}\n"
	"  - action: Deny\n"
	"    to: [{ipBlock: {cidr: 203.0.113.0/24}}]\n";

static void load(struct bh_objects *o, const char *file, const char *text)
{
	struct bh_err err;
	bool changed;

	bh_assert_ok(&err, bh_objects_load(o, file, text, strlen(text), &changed, &err));
}

/* A world of the pods above and up to two policies; NULL: none. */
static struct bh_world *world(const char *one, const char *two)
{
	struct bh_objects *o = NULL;
	struct bh_world *w = NULL;
	struct bh_err err;

	bh_assert_ok(&err, bh_objects_new(&(struct bh_objects_options){0}, &o, &err));
	load(o, "pods.yaml", pods);
	if (one)
		load(o, "one.yaml", one);
	if (two)
		load(o, "two.yaml", two);
	bh_assert_ok(&err, bh_world_new(&w, &err));
	bh_assert_ok(&err, bh_objects_fill(o, w, &err));
	w->default_allow = true;
	w->now_s = NOW;
	bh_assert_ok(&err, bh_world_seal(w, &err));
	bh_objects_free(o);
	return w;
}

static const char *text_at(const json_t *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j, key));

	if (!text)
		fail_msg("no text '%s' in %s", key, json_dumps(j, 0));
	return text;
}

static json_t *explain(const struct bh_world *w, const char *from, const char *to, const char *port)
{
	struct bh_err err;
	json_t *out = NULL;
	uint16_t number;
	uint8_t proto;

	bh_assert_ok(&err, bh_port_proto_parse(port, &number, &proto, &err));
	bh_assert_ok(&err, bh_report_explain(w, from, to, number, proto, &out, &err));
	return out;
}

static void assert_json(const json_t *got, const char *want)
{
	BH_CLEANUP(bh_freep) char *text = json_dumps(got, JSON_COMPACT);
	json_error_t why;
	json_t *j = json_loads(want, JSON_DECODE_ANY, &why);

	if (!j)
		fail_msg("%s: %s", want, why.text);
	if (!json_equal(got, j))
		fail_msg("got %s", text);
	json_decref(j);
}

/* ---- matrix ---- */

static const json_t *cell(const json_t *matrix, const char *from, const char *to)
{
	json_t *cells = json_object_get(matrix, "cells");

	for (size_t i = 0; i < json_array_size(cells); i++) {
		const json_t *j = json_array_get(cells, i);

		if (!strcmp(text_at(j, "from"), from) && !strcmp(text_at(j, "to"), to))
			return j;
	}
	fail_msg("no cell %s to %s", from, to);
	return NULL;
}

static void test_matrix(void **state)
{
	struct bh_world *w = world(policy_in, policy_out);
	struct bh_err err;
	json_t *m = NULL;

	(void)state;
	bh_assert_ok(&err, bh_report_matrix(w, 5432, IPPROTO_TCP, &m, &err));
	assert_string_equal(text_at(m, "port"), "5432/TCP");
	assert_json(json_object_get(m, "pods"), "[\"ops/agent\",\"shop/db\",\"shop/web\"]");
	assert_int_equal(json_array_size(json_object_get(m, "cells")), 9);
	assert_json(cell(m, "shop/web", "shop/db"),
		    "{\"from\":\"shop/web\",\"to\":\"shop/db\",\"verdict\":\"allowed\","
		    "\"egress\":{\"verdict\":\"allowed\","
		    "\"rule\":\"SegmentationPolicy shop/web-out egress[0]\","
		    "\"processes\":[\"/usr/bin/pg_dump\",\"/usr/bin/psql\"]},"
		    "\"ingress\":{\"verdict\":\"allowed\","
		    "\"rule\":\"NetworkPolicy shop/db-in ingress[0]\"}}");
	assert_json(cell(m, "ops/agent", "shop/db"),
		    "{\"from\":\"ops/agent\",\"to\":\"shop/db\",\"verdict\":\"denied\","
		    "\"egress\":{\"verdict\":\"allowed\",\"rule\":\"default\"},"
		    "\"ingress\":{\"verdict\":\"denied\",\"rule\":\"default\","
		    "\"isolatedBy\":\"NetworkPolicy shop/db-in\"}}");
	assert_json(cell(m, "shop/db", "shop/db"),
		    "{\"from\":\"shop/db\",\"to\":\"shop/db\",\"verdict\":\"allowed\","
		    "\"egress\":{\"verdict\":\"allowed\",\"rule\":\"self\"},"
		    "\"ingress\":{\"verdict\":\"allowed\",\"rule\":\"self\"}}");
	json_decref(m);
	bh_world_unref(w);
}

static void test_matrix_of_a_protocol_without_ports(void **state)
{
	struct bh_world *w = world(policy_in, NULL);
	struct bh_err err;
	json_t *m = NULL;

	(void)state;
	bh_assert_ok(&err, bh_report_matrix(w, 0, IPPROTO_ICMP, &m, &err));
	assert_string_equal(text_at(m, "port"), "ICMP");
	assert_string_equal(text_at(cell(m, "shop/web", "shop/db"), "verdict"), "denied");
	assert_string_equal(text_at(cell(m, "shop/db", "shop/web"), "verdict"), "allowed");
	json_decref(m);
	bh_world_unref(w);
}

static void test_except_processes(void **state)
{
	static const char deny[] =
		"apiVersion: bulkhead.io/v1alpha1\n"
		"kind: SegmentationPolicy\n"
		"metadata: {name: no-curl, namespace: shop}\n"
		"spec:\n"
		"  podSelector: {matchLabels: {app: web}}\n"
		"  policyTypes: [Egress]\n"
		"  egress:\n"
		"  - {action: Deny, processes: [/usr/bin/curl]}\n"
		"  - {}\n";
	struct bh_world *w = world(deny, NULL);
	json_t *j = explain(w, "shop/web", "203.0.113.1", "443/TCP");
	const json_t *egress = json_object_get(j, "egress");

	(void)state;
	assert_string_equal(text_at(j, "verdict"), "allowed");
	assert_json(json_object_get(egress, "exceptProcesses"), "[\"/usr/bin/curl\"]");
	assert_null(json_object_get(egress, "processes"));
	assert_string_equal(text_at(egress, "why"),
			    "SegmentationPolicy shop/no-curl egress[1] "
			    "allows it, but not for /usr/bin/curl");
	json_decref(j);
	bh_world_unref(w);
}

/* ---- explain ---- */

static void test_explain_allowed(void **state)
{
	struct bh_world *w = world(policy_in, policy_out);
	json_t *j = explain(w, "shop/web", "shop/db", "5432/TCP");
	const json_t *egress = json_object_get(j, "egress");
	const json_t *ingress = json_object_get(j, "ingress");

	(void)state;
	assert_string_equal(text_at(j, "from"), "shop/web");
	assert_string_equal(text_at(j, "port"), "5432/TCP");
	assert_string_equal(text_at(egress, "file"), "two.yaml");
	assert_int_equal(json_integer_value(json_object_get(egress, "line")), 8);
	assert_string_equal(text_at(egress, "why"),
			    "SegmentationPolicy shop/web-out egress[0] allows it, only for "
			    "/usr/bin/pg_dump, /usr/bin/psql");
	assert_string_equal(text_at(ingress, "file"), "one.yaml");
	assert_int_equal(json_integer_value(json_object_get(ingress, "line")), 8);
	assert_string_equal(text_at(ingress, "why"),
			    "NetworkPolicy shop/db-in ingress[0] allows it");
	json_decref(j);
	bh_world_unref(w);
}

static void test_explain_unmatched_and_expired(void **state)
{
	struct bh_world *w = world(policy_in, policy_out);
	json_t *j = explain(w, "shop/web", "shop/db", "22/TCP");
	const json_t *egress = json_object_get(j, "egress");
	const json_t *ingress = json_object_get(j, "ingress");

	(void)state;
	assert_string_equal(text_at(j, "verdict"), "denied");
	assert_string_equal(text_at(egress, "isolatedBy"), "SegmentationPolicy shop/web-out");
	assert_string_equal(text_at(egress, "why"),
			    "1 policy selects shop/web for egress, and no rule of it matches "
			    "shop/db on 22/TCP; SegmentationPolicy shop/web-out egress[1] allowed "
			    "it until it expired at 2026-01-31T00:00:00Z");
	assert_string_equal(text_at(egress, "file"), "two.yaml");
	assert_string_equal(text_at(ingress, "why"),
			    "1 policy selects shop/db for ingress, and no rule of it matches "
			    "shop/web on 22/TCP");
	json_decref(j);
	bh_world_unref(w);
}

static void test_explain_other_ends(void **state)
{
	struct bh_world *w = world(policy_in, policy_out);
	json_t *j = explain(w, "shop/web", "203.0.113.4", "80/TCP");

	(void)state;
	assert_string_equal(text_at(json_object_get(j, "egress"), "why"),
			    "SegmentationPolicy shop/web-out egress[2] denies it, and a Deny wins "
			    "over every Allow");
	assert_string_equal(text_at(json_object_get(j, "ingress"), "why"),
			    "203.0.113.4 is no pod known here, so no policy applies on this side");
	json_decref(j);
	j = explain(w, "ops/agent", "shop/web", "80/TCP");
	assert_string_equal(text_at(json_object_get(j, "egress"), "why"),
			    "ops/agent uses its node's network, so it counts as the node and no "
			    "policy applies on this side");
	assert_string_equal(text_at(json_object_get(j, "ingress"), "why"),
			    "no policy selects shop/web for ingress, and the default is to allow");
	json_decref(j);
	j = explain(w, "10.1.0.1", "10.1.0.2", "5432/TCP"); /* addresses of pods */
	assert_string_equal(text_at(j, "verdict"), "allowed");
	assert_string_equal(text_at(j, "from"), "10.1.0.1");
	json_decref(j);
	bh_world_unref(w);
}

static void test_explain_refuses(void **state)
{
	struct bh_world *w = world(NULL, NULL);
	struct bh_err err;
	json_t *j = NULL;

	(void)state;
	bh_assert_fails(&err, -ENOENT, "shop/none",
			bh_report_explain(w, "shop/none", "shop/db", 80, 6, &j, &err));
	bh_assert_fails(&err, -EINVAL, "NS/POD",
			bh_report_explain(w, "shop/db", "web", 80, 6, &j, &err));
	assert_null(j);
	bh_world_unref(w);
}

static void test_explain_inert(void **state)
{
	static const char future[] =
		"apiVersion: networking.k8s.io/v1\n"
		"kind: NetworkPolicy\n"
		"metadata: {name: future, namespace: shop}\n"
		"spec:\n"
		"  podSelector: {matchLabels: {app: db}}\n"
		"  ingress: [{ports: [{protocol: QUIC}]}]\n";
	struct bh_world *w = world(future, NULL);
	json_t *j = explain(w, "shop/web", "shop/db", "80/TCP");

	(void)state;
	assert_string_equal(
		text_at(json_object_get(j, "ingress"), "why"),
		"1 policy selects shop/db for ingress, and no rule of it matches "
		"shop/web on 80/TCP; NetworkPolicy shop/future ingress[0] matches nothing, "
		"for it holds something unknown");
	json_decref(j);
	bh_world_unref(w);
}

/* ---- diff ---- */

static void test_diff_of_nothing(void **state)
{
	struct bh_world *a = world(policy_in, policy_out), *b = world(policy_in, policy_out);
	struct bh_err err;
	json_t *d = NULL;

	(void)state;
	bh_assert_ok(&err, bh_report_diff(a, b, &d, &err));
	assert_int_equal(json_array_size(d), 0);
	json_decref(d);
	bh_world_unref(a);
	bh_world_unref(b);
}

static void test_diff_of_a_policy(void **state)
{
	struct bh_world *a = world(NULL, NULL), *b = world(policy_in, NULL);
	bool has_neighbour = false, has_icmp = false;
	struct bh_err err;
	json_t *d = NULL;

	(void)state;
	bh_assert_ok(&err, bh_report_diff(a, b, &d, &err));
	for (size_t i = 0; i < json_array_size(d); i++) {
		const json_t *j = json_array_get(d, i);

		assert_string_equal(text_at(j, "to"), "shop/db");
		assert_string_equal(text_at(j, "before"), "allowed");
		assert_string_equal(text_at(j, "after"), "denied");
		if (!strcmp(text_at(j, "from"), "shop/web")) {
			assert_string_not_equal(text_at(j, "port"), "5432/TCP");
			has_neighbour |= !strcmp(text_at(j, "port"), "5433/TCP");
			has_icmp |= !strcmp(text_at(j, "port"), "ICMP");
		}
	}
	/* web: 5431, 5433, UDP, SCTP, ICMP; agent: 5432 too */
	assert_int_equal(json_array_size(d), 11);
	assert_true(has_neighbour && has_icmp);
	json_decref(d);
	bh_world_unref(a);
	bh_world_unref(b);
}

static void test_diff_of_processes(void **state)
{
	static const char all[] =
		"apiVersion: bulkhead.io/v1alpha1\n"
		"kind: SegmentationPolicy\n"
		"metadata: {name: web-out, namespace: shop}\n"
		"spec:\n"
		"  podSelector: {matchLabels: {app: web}}\n"
		"  policyTypes: [Egress]\n"
		"  egress:\n"
		"  - {to: [{podSelector: {}}], ports: [{port: 5432}]}\n";
	struct bh_world *a = world(policy_out, NULL), *b = world(all, NULL);
	struct bh_err err;
	json_t *d = NULL;

	(void)state;
	bh_assert_ok(&err, bh_report_diff(a, b, &d, &err));
	assert_json(d,
		    "[{\"from\":\"shop/web\",\"to\":\"shop/db\",\"port\":\"5432/TCP\","
		    "\"before\":\"allowed\",\"after\":\"allowed\","
		    "\"beforeProcesses\":[\"/usr/bin/pg_dump\",\"/usr/bin/psql\"],"
		    "\"afterProcesses\":\"any\"}]");
	json_decref(d);
	bh_world_unref(a);
	bh_world_unref(b);
}

static void test_diff_of_pods(void **state)
{
	static const char more[] =
		"apiVersion: v1\n"
		"kind: Pod\n"
		"metadata: {name: cache, namespace: shop}\n"
		"spec: {containers: [{name: c, image: i}]}\n"
		"status: {phase: Running, podIP: 10.1.0.3}\n";
	struct bh_world *a = world(NULL, NULL), *b = world(more, NULL);
	struct bh_err err;
	json_t *d = NULL;

	(void)state;
	bh_assert_ok(&err, bh_report_diff(a, b, &d, &err));
	/* Three others to it and back; ICMP and a port of three protocols. */
	assert_int_equal(json_array_size(d), (3 + 3) * 4);
	for (size_t i = 0; i < json_array_size(d); i++) {
		assert_string_equal(text_at(json_array_get(d, i), "before"), "absent");
		assert_string_equal(text_at(json_array_get(d, i), "after"), "allowed");
	}
	json_decref(d);
	bh_world_unref(a);
	bh_world_unref(b);
}

/* ---- test ---- */

static json_t *parse(const char *text)
{
	json_error_t why;
	json_t *j = json_loads(text, 0, &why);

	if (!j)
		fail_msg("%s: %s", text, why.text);
	return j;
}

static void test_assertions(void **state)
{
	struct bh_world *w = world(policy_in, policy_out);
	json_t *list =
		parse("[{\"from\":\"shop/web\",\"to\":\"shop/db\",\"port\":\"5432/TCP\","
		      "\"expect\":\"allowed\"},"
		      "{\"from\":\"shop/web\",\"to\":\"shop/db\",\"port\":\"5432/TCP\","
		      "\"expect\":\"denied\",\"process\":\"/bin/sh\"},"
		      "{\"from\":\"203.0.113.1\",\"to\":\"shop/db\",\"port\":\"5432/TCP\","
		      "\"expect\":\"allowed\"},"
		      "{\"from\":\"shop/none\",\"to\":\"shop/db\",\"port\":\"5432/TCP\","
		      "\"expect\":\"denied\"}]");
	struct bh_err err;
	json_t *out = NULL, *results;

	(void)state;
	bh_assert_ok(&err, bh_report_test(w, list, &out, &err));
	assert_int_equal(json_integer_value(json_object_get(out, "passed")), 2);
	assert_int_equal(json_integer_value(json_object_get(out, "failed")), 2);
	results = json_object_get(out, "results");
	assert_json(json_array_get(results, 0),
		    "{\"from\":\"shop/web\",\"to\":\"shop/db\",\"port\":\"5432/TCP\","
		    "\"expect\":\"allowed\",\"verdict\":\"allowed\","
		    "\"rule\":\"NetworkPolicy shop/db-in ingress[0]\",\"ok\":true}");
	assert_string_equal(text_at(json_array_get(results, 2), "verdict"), "denied");
	assert_string_equal(text_at(json_array_get(results, 2), "rule"), "default");
	assert_non_null(strstr(text_at(json_array_get(results, 3), "error"), "shop/none"));
	assert_true(json_is_false(json_object_get(json_array_get(results, 3), "ok")));
	json_decref(out);
	json_decref(list);
	bh_world_unref(w);
}

static void test_bad_assertions(void **state)
{
	static const struct {
		const char *list, *say;
	} rows[] = {
		{"{}", "expected a list"},
		{"[1]", "assertion 1"},
		{"[{\"from\":\"a/b\",\"to\":\"a/b\",\"port\":\"80/TCP\"}]", "expect"},
		{"[{\"from\":\"a/b\",\"to\":\"a/b\",\"port\":\"80\",\"expect\":\"denied\"}]",
		 "protocol"},
		{"[{\"from\":\"a/b\",\"to\":\"a/b\",\"port\":\"80/TCP\",\"expect\":\"no\"}]",
		 "'no' is neither"},
	};
	struct bh_world *w = world(NULL, NULL);

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		json_t *list = parse(rows[i].list), *out = NULL;
		struct bh_err err;

		bh_assert_fails(&err, -EINVAL, rows[i].say, bh_report_test(w, list, &out, &err));
		assert_null(out);
		json_decref(list);
	}
	bh_world_unref(w);
}

/* ---- exceptions ---- */

static void test_exceptions(void **state)
{
	struct bh_world *w = world(policy_in, policy_out);
	struct bh_err err;
	json_t *out = NULL;

	(void)state;
	bh_assert_ok(&err, bh_report_exceptions(w, &out, &err));
	assert_json(out,
		    "[{\"policy\":\"SegmentationPolicy shop/web-out\","
		    "\"rule\":\"SegmentationPolicy shop/web-out egress[0]\","
		    "\"why\":\"backup\",\"useCase\":\"OPS-1\",\"owner\":\"me@example.org\","
		    "\"expires\":\"2027-01-31T00:00:00Z\",\"expired\":false,"
		    "\"file\":\"two.yaml\",\"line\":8},"
		    "{\"policy\":\"SegmentationPolicy shop/web-out\","
		    "\"rule\":\"SegmentationPolicy shop/web-out egress[1]\","
		    "\"why\":\"old\",\"useCase\":null,\"owner\":null,"
		    "\"expires\":\"2026-01-31T00:00:00Z\",\"expired\":true,"
		    "\"file\":\"two.yaml\",\"line\":13}]");
	json_decref(out);
	bh_world_unref(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_matrix_of_a_protocol_without_ports),
		cmocka_unit_test(test_except_processes),
		cmocka_unit_test(test_explain_allowed),
		cmocka_unit_test(test_explain_unmatched_and_expired),
		cmocka_unit_test(test_explain_other_ends),
		cmocka_unit_test(test_explain_refuses),
		cmocka_unit_test(test_explain_inert),
		cmocka_unit_test(test_diff_of_nothing),
		cmocka_unit_test(test_diff_of_a_policy),
		cmocka_unit_test(test_diff_of_processes),
		cmocka_unit_test(test_diff_of_pods),
		cmocka_unit_test(test_assertions),
		cmocka_unit_test(test_bad_assertions),
		cmocka_unit_test(test_exceptions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
