/* Each lint fires, with its place, and stays silent where nothing is wrong. */
#include "objects_kit.h"

#define POLICY(spec)                                                                               \
	"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: "   \
	"n}\n"                                                                                     \
	"spec: " spec "\n"
#define POD(name, ns, app, ip)                                                                     \
	"---\napiVersion: v1\nkind: Pod\nmetadata: {name: " name ", namespace: " ns                \
	", labels: {app: " app                                                                     \
	"}}\n"                                                                                     \
	"spec: {containers: [{ports: [{name: http, containerPort: 80}]}]}\nstatus: {podIP: " ip    \
	"}\n"

static void check_at(int64_t now_s, const char *text, const char *want)
{
	struct bh_objects *o = ok_new();

	bh_objects_set_time(o, now_s);
	ok_load(o, "f", text);
	ok_assert_problems(o, want);
	bh_objects_free(o);
}

static void check(const char *text, const char *want)
{
	check_at(0, text, want);
}

/* Case 13. */
static void test_split_peer(void **state)
{
	static const char want[] =
		"f:4:45: warning: NetworkPolicy n/p: podSelector and namespaceSelector are two "
		"peers "
		"here (either matches); for pods in those namespaces put both into one item\n";

	(void)state;
	check(POLICY("{ingress: [{from: [{podSelector: {}}, {namespaceSelector: {}}]}]}"), want);
	check(POLICY("{ingress: [{from: [{namespaceSelector: {}}, {podSelector: {}}]}]}"),
	      "f:4:51: warning: NetworkPolicy n/p: podSelector and namespaceSelector are two peers "
	      "here (either matches); for pods in those namespaces put both into one item\n");
	check(POLICY("{ingress: [{from: [{podSelector: {}, namespaceSelector: {}}]}]}"), "");
	check(POLICY("{ingress: [{from: [{podSelector: {}}, {podSelector: {}, namespaceSelector: "
		     "{}}, {namespaceSelector: {}}]}]}"),
	      "");
	check(POLICY("{ingress: [{from: [{podSelector: {}}, {podSelector: {}}]}]}"), "");
	check(POLICY("{ingress: [{from: [{podSelector: {}}]}, {from: [{namespaceSelector: {}}]}]}"),
	      "");
}

/* Cases 3 and 4. */
static void test_sections(void **state)
{
	(void)state;
	check(POLICY("{egress: []}"),
	      "f:4:16: warning: NetworkPolicy n/p: an empty egress section "
	      "isolates nothing; add policyTypes: [Egress]\n");
	check(POLICY("{egress: [], policyTypes: [Ingress, Egress]}"), "");
	check(POLICY("{ingress: []}"), "");
	check(POLICY("{ingress: [{}], policyTypes: [Egress]}"),
	      "f:4:17: warning: NetworkPolicy n/p: the ingress section has no effect: policyTypes "
	      "does not have Ingress\n");
	check(POLICY("{egress: [{}], policyTypes: [Ingress]}"),
	      "f:4:16: warning: NetworkPolicy n/p: the egress section has no effect: policyTypes "
	      "does "
	      "not have Egress\n");
	check(POLICY("{ingress: [{}], egress: [{}]}"), "");
}

static void test_empty_lists(void **state)
{
	(void)state;
	check(POLICY("{ingress: [{from: [], ports: []}]}"),
	      "f:4:19: warning: NetworkPolicy n/p: 'from' is empty, which means every peer\n"
	      "f:4:29: warning: NetworkPolicy n/p: 'ports' is empty, which means every port and "
	      "protocol\n");
	check(POLICY("{egress: [{to: null}]}"),
	      "f:4:18: warning: NetworkPolicy n/p: 'to' is empty, which means every peer\n");
	check(POLICY("{ingress: [{}]}"), "");
}

/* Case 61. */
static void test_metadata_service(void **state)
{
	(void)state;
	check(POLICY("{egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}"),
	      "f:4:23: warning: NetworkPolicy n/p: 0.0.0.0/0 also opens the metadata service; "
	      "except "
	      "169.254.169.254/32 if that is not meant\n");
	check(POLICY("{egress: [{to: [{ipBlock: {cidr: 160.0.0.0/4}}]}]}"),
	      "f:4:23: warning: NetworkPolicy n/p: 160.0.0.0/4 also opens the metadata service; "
	      "except "
	      "169.254.169.254/32 if that is not meant\n");
	check(POLICY("{egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.0.0/16]}}]}]}"),
	      "");
	check(POLICY("{egress: [{to: [{ipBlock: {cidr: 169.254.169.254/32}}]}]}"), "");
	check(POLICY("{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}, {ipBlock: {cidr: "
		     "'::/0'}}]}]}"),
	      "");
	check(POLICY("{ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}"), "");
}

/* Case 62. */
static void test_dns(void **state)
{
	static const char want[] =
		"f:1:1: warning: NetworkPolicy n/p: egress is isolated and no policy allows DNS "
		"(port "
		"53/UDP) to pod 'n/a'\n";
	static const char elsewhere[] =
		"---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: dns, "
		"namespace: n}\nspec: {egress: [{ports: [{port: 53, protocol: UDP}]}]}\n";
	char both[4096];

	(void)state;
	check(POLICY("{egress: [{ports: [{port: 443}]}]}") POD("b", "n", "x", "10.0.0.2")
		      POD("a", "n", "x", "10.0.0.1"),
	      want);
	check(POLICY("{egress: [{ports: [{port: 53}]}]}") POD("a", "n", "x", "10.0.0.1"), want);
	check(POLICY("{egress: [{ports: [{port: 53, protocol: UDP}]}]}")
		      POD("a", "n", "x", "10.0.0.1"),
	      "");
	check(POLICY("{egress: [{ports: [{port: 1, endPort: 99, protocol: UDP}]}]}")
		      POD("a", "n", "x", "10.0.0.1"),
	      "");
	check(POLICY("{egress: [{ports: [{protocol: UDP}]}]}") POD("a", "n", "x", "10.0.0.1"), "");
	check(POLICY("{egress: [{to: [{podSelector: {}}]}]}") POD("a", "n", "x", "10.0.0.1"), "");
	/* Nothing may leave at all: that is meant. */
	check(POLICY("{policyTypes: [Egress]}") POD("a", "n", "x", "10.0.0.1"), "");
	check(POLICY("{ingress: []}") POD("a", "n", "x", "10.0.0.1"), "");
	/* Another policy may allow it to the same pods. */
	snprintf(both, sizeof(both), "%s%s",
		 POLICY("{egress: [{ports: [{port: 443}]}]}") POD("a", "n", "x", "10.0.0.1"),
		 elsewhere);
	check(both, "");
}

static void test_selects_nothing(void **state)
{
	static const char want[] =
		"f:1:1: warning: NetworkPolicy n/p: selects no known pod of namespace 'n'\n";

	(void)state;
	check(POLICY("{podSelector: {matchLabels: {app: y}}}") POD("a", "n", "x", "10.0.0.1"),
	      want);
	check(POLICY("{podSelector: {matchLabels: {app: x}}}") POD("a", "m", "x", "10.0.0.1"),
	      want);
	check(POLICY("{podSelector: {matchLabels: {app: x}}}") POD("a", "n", "x", "10.0.0.1"), "");
	check(POLICY("{podSelector: {matchExpressions: [{key: app, operator: In, values: [x, z]}, "
		     "{key: tier, operator: Exists}]}}") POD("a", "n", "x", "10.0.0.1"),
	      want);
	check(POLICY("{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: "
		     "[z]}]}}") POD("a", "n", "x", "10.0.0.1"),
	      "");
	/* Without any pod nobody can know. */
	check(POLICY("{podSelector: {matchLabels: {app: y}}}"), "");
}

static void test_named_ports(void **state)
{
	(void)state;
	check(POLICY("{ingress: [{ports: [{port: web}]}]}") POD("a", "n", "x", "10.0.0.1"),
	      "f:4:18: warning: NetworkPolicy n/p: no selected pod has a port named 'web' of "
	      "protocol "
	      "TCP\n");
	check(POLICY("{ingress: [{ports: [{port: http, protocol: UDP}]}]}")
		      POD("a", "n", "x", "10.0.0.1"),
	      "f:4:18: warning: NetworkPolicy n/p: no selected pod has a port named 'http' of "
	      "protocol "
	      "UDP\n");
	check(POLICY("{ingress: [{ports: [{port: http}]}]}") POD("a", "n", "x", "10.0.0.1"), "");
	/* Egress: on the peer. */
	check(POLICY("{egress: [{to: [{namespaceSelector: {matchLabels: "
		     "{kubernetes.io/metadata.name: "
		     "m}}}], ports: [{port: web}, {port: 53, protocol: UDP}]}]}")
		      POD("a", "n", "x", "10.0.0.1") POD("b", "m", "x", "10.0.0.2"),
	      "f:4:17: warning: NetworkPolicy n/p: no peer pod has a port named 'web' of protocol "
	      "TCP\n");
	check(POLICY("{egress: [{to: [{namespaceSelector: {}}], ports: [{port: http}, {port: 53, "
		     "protocol: UDP}]}]}") POD("a", "n", "x", "10.0.0.1"),
	      "");
	check(POLICY("{egress: [{ports: [{port: http}, {port: 53, protocol: UDP}]}]}")
		      POD("a", "n", "x", "10.0.0.1"),
	      "");
	/* No peer is known: nothing to compare with. */
	check(POLICY("{egress: [{to: [{podSelector: {matchLabels: {app: z}}}], ports: [{port: "
		     "web}, "
		     "{port: 53, protocol: UDP}]}]}") POD("a", "n", "x", "10.0.0.1"),
	      "");
}

static void test_pod_addresses(void **state)
{
	static const char pods[] = POD("a", "m", "x", "10.1.0.1") POD("b", "m", "x", "10.1.0.2")
		POD("c", "n", "x", "fd00::1");
	static const struct {
		const char *block, *want;
	} rows[] = {
		{"{cidr: 10.1.0.2/32}",
		 "f:4:26: warning: NetworkPolicy n/p: 10.1.0.2/32 also covers addresses of pods, "
		 "such "
		 "as 10.1.0.2 of 'm/b'\n"},
		{"{cidr: 10.0.0.0/8, except: [10.1.0.0/31]}",
		 "f:4:26: warning: NetworkPolicy n/p: 10.0.0.0/8 also covers addresses of pods, "
		 "such as "
		 "10.1.0.2 of 'm/b'\n"},
		{"{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}", ""},
		{"{cidr: 10.0.0.0/8, except: [10.1.0.0/31, 10.1.0.2/32]}", ""},
		{"{cidr: 192.0.2.0/24}", ""},
		{"{cidr: 10.2.0.0/16}", ""},
		{"{cidr: 0.0.0.0/0}",
		 "f:4:26: note: NetworkPolicy n/p: 0.0.0.0/0 also covers addresses "
		 "of pods, such as 10.1.0.1 of 'm/a'\n"},
		{"{cidr: '::/0'}",
		 "f:4:26: note: NetworkPolicy n/p: ::/0 also covers addresses of pods, "
		 "such as fd00::1 of 'n/c'\n"},
		{"{cidr: 'fd00::/8', except: ['fd00::/64']}", ""},
	};
	char text[4096];

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		snprintf(text, sizeof(text), POLICY("{ingress: [{from: [{ipBlock: %s}]}]}") "%s",
			 rows[i].block, pods);
		check(text, rows[i].want);
	}
}

static void test_expiry(void **state)
{
	static const char text[] =
		"apiVersion: bulkhead.io/v1alpha1\nkind: SegmentationPolicy\nmetadata: {name: p}\n"
		"spec: {ingress: [{reason: {expires: 2027-01-31T00:00:00Z}}]}\n";

	(void)state;
	check_at(1801353599, text, "");
	check_at(1801353600, text,
		 "f:4:18: warning: SegmentationPolicy default/p: the rule expired at "
		 "2027-01-31T00:00:00Z and is not in force\n");
	check_at(0, text, "");
}

/* What is not in force is not judged. */
static void test_refused_is_silent(void **state)
{
	(void)state;
	check(POLICY("{ingress: [{from: [{podSelector: {}}, {namespaceSelector: {}}], ports: "
		     "[{port: "
		     "0}]}]}"),
	      "f:4:86: error: NetworkPolicy n/p: 'port': 0 is not 1-65535\n");
}

/* Thousands of policies and as many pods, each with labels of its own, in one namespace. */
static void test_many(void **state)
{
	struct bh_objects *o = ok_new();
	struct bh_str text = {0};

	(void)state;
	for (int i = 0; i < 4000; i++)
		bh_str_fmt(&text,
			   "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: "
			   "{name: "
			   "p%d, namespace: n}\nspec: {podSelector: {matchLabels: {app: a%d}}, "
			   "ingress: "
			   "[{ports: [{port: http}]}], egress: [{ports: [{port: 53, protocol: "
			   "UDP}]}]}\n",
			   i, i);
	ok_load(o, "a", bh_str_text(&text));
	bh_str_done(&text);
	for (int i = 0; i < 4000; i++)
		bh_str_fmt(&text,
			   "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p%d, namespace: n, "
			   "labels: "
			   "{app: a%d}}\nspec: {containers: [{ports: [{name: http, containerPort: "
			   "80}]}]}\n",
			   i, i);
	ok_load(o, "b", bh_str_text(&text));
	bh_str_done(&text);
	ok_assert_problems(o, "");
	bh_objects_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split_peer),  cmocka_unit_test(test_sections),
		cmocka_unit_test(test_empty_lists), cmocka_unit_test(test_metadata_service),
		cmocka_unit_test(test_dns),	    cmocka_unit_test(test_selects_nothing),
		cmocka_unit_test(test_named_ports), cmocka_unit_test(test_pod_addresses),
		cmocka_unit_test(test_expiry),	    cmocka_unit_test(test_refused_is_silent),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
