/* Pods, namespaces, nodes, lists, and the kinds that are only looked at. */
#include "objects_kit.h"

static void assert_one(const char *text, const char *want)
{
	struct bh_objects *o = ok_new();

	ok_load(o, "f", text);
	ok_assert_problems(o, want);
	bh_objects_free(o);
}

static void add_ports(struct bh_str *out, const struct bh_ident *id)
{
	char proto[8];

	for (size_t i = 0; i < id->n_ports; i++)
		bh_str_fmt(out, " %s=%u/%s", id->ports[i].name, id->ports[i].port,
			   bh_proto_format(id->ports[i].proto, proto));
}

static void assert_pod(const char *text, const char *want)
{
	struct bh_objects *o = ok_new();
	const struct bh_pod *pod;
	struct bh_str out = {0};
	char ip[BH_IP_TEXT];

	ok_load(o, "f", text);
	ok_assert_problems(o, "");
	pod = bh_objects_pod(o, "default", "p");
	assert_non_null(pod);
	bh_str_fmt(&out, "node=%s uid=%s%s%s", pod->node ? pod->node : "-",
		   pod->uid ? pod->uid : "-", pod->host_network ? " host" : "",
		   pod->phase == BH_POD_DONE ? " done" : "");
	for (size_t i = 0; i < pod->ident->labels.n; i++)
		bh_str_fmt(&out, " %s:%s", pod->ident->labels.v[i].key,
			   pod->ident->labels.v[i].value);
	for (size_t i = 0; i < pod->n_ips; i++)
		bh_str_fmt(&out, " %s", bh_ip_format(&pod->ips[i], ip));
	add_ports(&out, pod->ident);
	assert_string_equal(bh_str_text(&out), want);
	bh_str_done(&out);
	bh_objects_free(o);
}

#define POD "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"

static void test_pods(void **state)
{
	(void)state;
	assert_pod(POD, "node=- uid=-");
	assert_pod(POD "spec: {nodeName: n1, hostNetwork: true}\nstatus: {phase: Running}\n",
		   "node=n1 uid=- host");
	assert_pod(POD "spec: {nodeName: '', hostNetwork: no}\nstatus: {phase: Succeeded}\n",
		   "node=- uid=- done");
	assert_pod(POD "status: {phase: Failed, podIP: ''}\n", "node=- uid=- done");
	assert_pod(POD "status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}\n",
		   "node=- uid=- 10.0.0.1 fd00::1");
	assert_pod(POD "status: {podIP: 10.0.0.1}\n", "node=- uid=- 10.0.0.1");
	assert_pod(POD "spec: null\nstatus: null\n", "node=- uid=-");
	/* Terminating pods match like any other (case 29). */
	assert_pod(
		"apiVersion: v1\nkind: Pod\nmetadata: {name: p, uid: u1, namespace: null,\n"
		" creationTimestamp: null, deletionTimestamp: 2027-01-31T00:00:00Z,\n"
		" managedFields: [{fieldsV1: {'f:metadata': {.: {}}}}], labels: {b: x, a: ''}}\n",
		"node=- uid=u1 a: b:x");
}

/* Cases 43 and 44. */
static void test_named_ports(void **state)
{
	(void)state;
	assert_pod(POD
		   "spec:\n  containers:\n"
		   "  - ports: [{name: http, containerPort: 80, hostPort: 8080}, {containerPort: "
		   "81}]\n"
		   "  - {name: two, ports: [{name: http, containerPort: 82, protocol: TCP},\n"
		   "     {name: dns, containerPort: 53, protocol: UDP},\n"
		   "     {name: ss7, containerPort: 9, protocol: SCTP}]}\n"
		   "  - {name: none, ports: null}\n"
		   "  initContainers:\n"
		   "  - {restartPolicy: Always, ports: [{name: http, containerPort: 83}]}\n"
		   "  - {ports: [{name: http, containerPort: 84}]}\n"
		   "  - {restartPolicy: OnFailure, ports: [{name: http, containerPort: 85}]}\n",
		   "node=- uid=- dns=53/UDP http=80/TCP http=82/TCP http=83/TCP ss7=9/SCTP");
}

static void test_bad_pods(void **state)
{
	(void)state;
	assert_one(POD "status: {podIP: 10.0.0.256}\n",
		   "f:4:17: error: Pod default/p: '10.0.0.256' is not an IP address\n");
	assert_one(POD "spec: {containers: [{ports: [{name: http, containerPort: 0}]}]}\n",
		   "f:4:58: error: Pod default/p: 'containerPort': 0 is not 1-65535\n");
	assert_one(POD "spec: {containers: [{ports: [{name: a_b, containerPort: 1}]}]}\n",
		   "f:4:37: error: Pod default/p: 'a_b' is not a valid port name\n");
	assert_one(POD "spec: {containers: [{ports: [{name: http}]}]}\n",
		   "f:4:30: error: Pod default/p: 'containerPort' is missing\n");
	assert_one(POD
		   "spec: {containers: [{ports: [{name: a, protocol: X, containerPort: 1}]}]}\n",
		   "f:4:50: warning: Pod default/p: unknown protocol 'X'; the port's name is not "
		   "used\n");
	assert_one(POD "spec: {hostNetwork: maybe}\n",
		   "f:4:21: error: Pod default/p: 'hostNetwork': expected a boolean, found a "
		   "string\n");
	assert_one("apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: on}}\n",
		   "f:3:35: error: Pod default/p: label 'app': expected a string, found a boolean; "
		   "quote it\n");
	assert_one("apiVersion: v1\nkind: Pod\nmetadata: {name: p_p}\n",
		   "f:3:18: error: -: 'p_p' is not a valid name\n");
	assert_one("apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: a.b}\n",
		   "f:3:32: error: -: 'a.b' is not a valid namespace\n");
	assert_one("apiVersion: v1\nkind: Pod\nmetadata: {generateName: p-}\n",
		   "f:3:11: error: -: 'name' is missing\n");
	assert_one("apiVersion: v1\nkind: Pod\n", "f:1:1: error: -: 'metadata' is missing\n");
	assert_one("apiVersion: v1\nkind: Pod\nmetadata: {name: 12}\n",
		   "f:3:18: error: -: 'name': expected a string, found a number; quote it\n");
}

static void test_namespaces(void **state)
{
	struct bh_objects *o = ok_new();
	struct bh_world *w;

	(void)state;
	ok_load(o, "f",
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: n, labels: {team: x, "
		"kubernetes.io/metadata.name: n}}\nspec: {finalizers: [kubernetes]}\n"
		"status: {phase: Active}\n---\n"
		"apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: implicit}\n");
	ok_assert_problems(o, "");
	w = ok_world(o);
	assert_int_equal(w->n_namespaces, 2);
	assert_string_equal(w->namespaces[0]->name, "implicit");
	assert_string_equal(w->namespaces[1]->name, "n");
	assert_int_equal(w->namespaces[1]->labels.n, 2);
	assert_string_equal(bh_labels_get(&w->namespaces[1]->labels, "team"), "x");
	bh_world_unref(w);
	bh_objects_free(o);
	assert_one("apiVersion: v1\nkind: Namespace\nmetadata: {name: a.b}\n",
		   "f:3:18: error: -: 'a.b' is not a valid name\n");
}

/* Labels of pods and namespaces change what the set holds; places alone do not. */
static void test_changes(void **state)
{
	struct bh_objects *o = ok_new();

	(void)state;
	assert_true(ok_load(o, "f", POD));
	assert_false(ok_load(o, "f", "\n\n" POD));
	assert_int_equal(bh_objects_pod(o, "default", "p")->place.line, 3);
	assert_true(ok_load(o, "f", POD "status: {podIP: 10.0.0.1}\n"));
	assert_false(ok_load(o, "f", POD "status: {podIP: 10.0.0.1, qosClass: x}\n"));
	assert_true(ok_load(o, "f", POD "status: {podIP: 10.0.0.1, phase: Failed}\n"));
	assert_null(bh_objects_pod(o, "default", "q"));
	bh_objects_free(o);
}

static void test_lists(void **state)
{
	struct bh_objects *o = ok_new();

	(void)state;
	/* kubectl get -o yaml, and a list of the API as it is, whose items have no kind. */
	ok_load(o, "a",
		"apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n"
		"- apiVersion: v1\n  kind: List\n  items:\n  - {apiVersion: v1, kind: Pod, "
		"metadata: "
		"{name: b}}\nkind: List\nmetadata: {resourceVersion: \"\"}\n");
	ok_load(o, "b",
		"{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[{"
		"\"metadata\":{\"name\":\"c\"}}]}");
	ok_load(o, "c",
		"{\"kind\":\"NetworkPolicyList\",\"apiVersion\":\"networking.k8s.io/v1\","
		"\"items\":[{\"metadata\":{\"name\":\"d\"},\"spec\":{\"egress\":[{}]}}]}");
	ok_load(o, "d", "{kind: PodList, apiVersion: v1, items: null}");
	ok_load(o, "e", "{kind: ConfigMapList, apiVersion: v1, items: [{metadata: {name: x}}]}");
	ok_assert_problems(o, "e:1:47: note: -: kind 'ConfigMap' is ignored\n");
	assert_non_null(bh_objects_pod(o, "default", "a"));
	assert_non_null(bh_objects_pod(o, "default", "b"));
	assert_non_null(bh_objects_pod(o, "default", "c"));
	bh_objects_free(o);
}

static void test_other_kinds(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: []}\n", ""},
		{"apiVersion: v1\nkind: Service\nmetadata: {name: S}\n",
		 "f:3:18: error: -: 'S' is not a valid name\n"},
		{"apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: s}\n",
		 "f:1:1: note: -: kind 'Service' is ignored\n"},
		{"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s}\n", ""},
		{"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n",
		 "f:1:1: note: -: kind 'Deployment' is ignored\n"},
		{"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: d}\n",
		 "f:1:1: warning: -: kind 'CiliumNetworkPolicy' is not enforced\n"},
		{"{\"mediaType\":\"application/vnd.dev.sigstore.trustedroot+json;version=0.1\"}",
		 ""},
		{"apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata: {name: d}\n",
		 "f:1:1: note: -: kind 'ImagePolicy' is ignored\n"},
		{"apiVersion: bulkhead.io/v1alpha1\nkind: ImagePolicy\nmetadata: {name: d}\n",
		 "f:1:1: error: ImagePolicy d: 'spec' is missing\n"},
		{"apiVersion: bulkhead.io/v1alpha1\nkind: RuntimePolicy\nmetadata: {name: d}\n",
		 "f:1:1: error: RuntimePolicy default/d: 'spec' is missing\n"},
		{"apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\n",
		 "f:1:1: error: -: ClusterNetworkPolicy is not supported by this version and not "
		 "in "
		 "force\n"},
		{"apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\n",
		 "f:1:1: error: -: apiVersion 'policy.networking.k8s.io/v1alpha1' is not supported "
		 "by "
		 "this version and not in force\n"},
		{"apiVersion: v2\nkind: Pod\nmetadata: {name: d}\n",
		 "f:1:13: error: Pod default/d: Pod has apiVersion 'v1', not 'v2'\n"},
		{"apiVersion: v1\nkind: SegmentationPolicy\nmetadata: {name: d}\n",
		 "f:1:13: error: SegmentationPolicy default/d: SegmentationPolicy has apiVersion "
		 "'bulkhead.io/v1alpha1', not 'v1'\n"},
		{"kind: Pod\n", "f:1:1: error: -: 'apiVersion' is missing\n"},
		{"apiVersion: v1\n", "f:1:1: error: -: 'kind' is missing\n"},
		{"apiVersion: v1\nkind: [Pod]\n",
		 "f:2:7: error: -: 'kind': expected a string, found a list\n"},
		{"text\n",
		 "f:1:1: error: -: expected an object with apiVersion and kind, found a "
		 "string\n"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++)
		assert_one(rows[i].text, rows[i].want);
}

#define ANNOTATED(annotations)                                                                     \
	"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: p\n"            \
	"  annotations: {" annotations "}\nspec: {ingress: [{}, {}]}\n"

static void test_annotations(void **state)
{
	struct bh_objects *o = ok_new();
	const struct bh_policy *p;
	struct bh_world *w;

	(void)state;
	ok_load(o, "f",
		ANNOTATED("other: x, bulkhead.io/reason: why, bulkhead.io/use-case: U-1, "
			  "bulkhead.io/owner: me, bulkhead.io/expires: 2027-01-31T00:00:00Z, "
			  "bulkhead.io/established: keep"));
	ok_assert_problems(o, "");
	w = ok_world(o);
	p = w->policies[0];
	assert_true(p->keep_established);
	for (size_t i = 0; i < 2; i++) {
		const struct bh_reason_note *r = &p->rules[BH_INGRESS][i].reason;

		assert_string_equal(r->why, "why");
		assert_string_equal(r->use_case, "U-1");
		assert_string_equal(r->owner, "me");
		assert_int_equal(r->expires_s, 1801353600);
		assert_int_equal(p->rules[BH_INGRESS][i].index, i);
	}
	bh_world_unref(w);
	bh_objects_free(o);
	assert_one(ANNOTATED("bulkhead.io/expires: tomorrow"),
		   "f:5:38: error: NetworkPolicy default/p: 'bulkhead.io/expires': 'tomorrow' is "
		   "not a "
		   "time like 2027-01-31T00:00:00Z\n");
	assert_one(ANNOTATED("bulkhead.io/established: maybe"),
		   "f:5:42: error: NetworkPolicy default/p: 'bulkhead.io/established': 'maybe' is "
		   "neither keep nor cut\n");
	assert_one(
		ANNOTATED("bulkhead.io/established: cut, bulkhead.io/expire: x"),
		"f:5:47: warning: NetworkPolicy default/p: annotation 'bulkhead.io/expire' is not "
		"known and does nothing\n");
	assert_one(
		ANNOTATED("bulkhead.io/reason: yes"),
		"f:5:37: error: NetworkPolicy default/p: 'bulkhead.io/reason': expected a string, "
		"found a boolean; quote it\n");
}

/* A rule's own words win, the earlier expiry counts. */
static void test_own_reason(void **state)
{
	struct bh_objects *o = ok_new();
	const struct bh_rule *r;
	struct bh_world *w;

	(void)state;
	ok_load(o, "f",
		"apiVersion: bulkhead.io/v1alpha1\nkind: SegmentationPolicy\nmetadata:\n  name: p\n"
		"  annotations: {bulkhead.io/reason: all, bulkhead.io/owner: me, "
		"bulkhead.io/expires: "
		"2027-01-31T00:00:00Z}\nspec:\n  egress:\n"
		"  - {reason: {why: own, expires: 2026-01-31T00:00:00Z}}\n"
		"  - {reason: {expires: 2028-01-31T00:00:00Z}, action: Deny, processes: [/bin/a, "
		"/b]}\n");
	ok_assert_problems(o, "");
	w = ok_world(o);
	assert_int_equal(w->policies[0]->kind, BH_SEGMENTATION_POLICY);
	r = w->policies[0]->rules[BH_EGRESS];
	assert_string_equal(r[0].reason.why, "own");
	assert_string_equal(r[0].reason.owner, "me");
	assert_int_equal(r[0].reason.expires_s, 1769817600);
	assert_string_equal(r[1].reason.why, "all");
	assert_int_equal(r[1].reason.expires_s, 1801353600);
	assert_int_equal(r[1].action, BH_ACTION_DENY);
	assert_int_equal(r[1].n_processes, 2);
	assert_string_equal(r[1].processes[1], "/b");
	bh_world_unref(w);
	bh_objects_free(o);
}

/* What the model holds of a policy that uses everything. */
static void test_policy_model(void **state)
{
	struct bh_objects *o = ok_new();
	const struct bh_policy *p;
	const struct bh_rule *r;
	struct bh_world *w;
	char text[BH_CIDR_TEXT];
	struct bh_place place;

	(void)state;
	ok_load(o, "f",
		"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: "
		"p}\nspec:\n"
		"  podSelector: {matchLabels: {b: x}, matchExpressions: [{key: a, operator: "
		"Exists}]}\n"
		"  ingress:\n  - from:\n    - podSelector: {}\n    - {namespaceSelector: "
		"{matchLabels: "
		"{t: u}}, podSelector: {matchLabels: {v: w}}}\n"
		"    - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}\n"
		"    ports:\n    - {}\n    - {port: 53, protocol: UDP}\n    - {port: 1, endPort: "
		"9}\n"
		"    - {port: http, protocol: SCTP}\n");
	ok_assert_problems(o, "");
	w = ok_world(o);
	p = w->policies[0];
	assert_string_equal(p->pods.text, "a,b in (x)");
	assert_true(p->applies[BH_INGRESS]);
	assert_false(p->applies[BH_EGRESS]);
	assert_false(p->keep_established);
	assert_string_equal(p->place.file, "f");
	r = p->rules[BH_INGRESS];
	place = bh_rule_place(p, BH_INGRESS, r);
	assert_int_equal(place.line, 7);
	assert_int_equal(place.col, 5);
	assert_ptr_equal(place.file, p->file);
	assert_false(r->all_peers || r->all_ports || r->is_inert);
	assert_int_equal(r->n_peers, 3);
	assert_true(r->peers[0].has_pods && !r->peers[0].has_namespaces);
	assert_string_equal(r->peers[1].namespaces.text, "t in (u)");
	assert_string_equal(r->peers[1].pods.text, "v in (w)");
	assert_int_equal(r->peers[2].kind, BH_PEER_CIDR);
	assert_string_equal(bh_cidr_format(&r->peers[2].excepts[0], text), "10.1.0.0/16");
	assert_int_equal(r->n_ports, 4);
	assert_int_equal(r->ports[0].kind, BH_PORT_ALL);
	assert_int_equal(r->ports[0].proto, 6);
	assert_int_equal(r->ports[1].first, 53);
	assert_int_equal(r->ports[1].last, 53);
	assert_int_equal(r->ports[1].proto, 17);
	assert_int_equal(r->ports[2].last, 9);
	assert_string_equal(r->ports[3].name, "http");
	assert_int_equal(r->ports[3].proto, 132);
	assert_int_equal(r->reason.expires_s, INT64_MAX);
	bh_world_unref(w);
	bh_objects_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pods),	    cmocka_unit_test(test_named_ports),
		cmocka_unit_test(test_bad_pods),    cmocka_unit_test(test_namespaces),
		cmocka_unit_test(test_changes),	    cmocka_unit_test(test_lists),
		cmocka_unit_test(test_other_kinds), cmocka_unit_test(test_annotations),
		cmocka_unit_test(test_own_reason),  cmocka_unit_test(test_policy_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
