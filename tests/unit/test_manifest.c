/* One row per rule of the manifest syntax: what is said, where, and whether the policy is in force.
 */
#include "objects_kit.h"

struct row {
	const char *spec; /* line 4 of the manifest */
	bool is_in_force;
	const char *want; /* "line:col: level: sentence" lines */
};

static const struct row structure_rows[] = {
	{"spec: {podSelector: {}, policyTypes: [Ingress, Egress]}", true, ""},
	{"spec: {podSelector: {}, extra: 1}", false, "4:25: error: unknown field 'extra'\n"},
	{"sepc: {}", false, "4:1: error: unknown field 'sepc'\n"},
	{"spec: []", false, "4:7: error: 'spec': expected a map, found a list\n"},
	{"spec:", true,
	 "1:1: warning: 'spec' is missing: every pod of namespace 'n' is selected and all ingress "
	 "denied\n"},
	{"spec: {podSelector: [], ingress: {}, egress: x}", false,
	 "4:21: error: selector: expected a map, found a list\n"
	 "4:34: error: 'ingress': expected a list, found a map\n"
	 "4:46: error: 'egress': expected a list, found a string\n"},
	{"spec: {policyTypes: [Ingress, Both]}", false,
	 "4:31: error: policy type 'Both' is neither Ingress nor Egress\n"},
	{"spec: {policyTypes: [Ingress, Egress, Ingress]}", false,
	 "4:21: error: 'policyTypes' has more than two entries\n"},
	{"spec: {policyTypes: [yes]}", false,
	 "4:22: error: 'policyTypes': expected a string, found a boolean; quote it\n"},
	{"spec: {policyTypes: Ingress}", false,
	 "4:21: error: 'policyTypes': expected a list, found a string\n"},
	{"spec: {ingress: [null]}", false,
	 "4:18: error: an empty rule; write {} to allow everything\n"},
	{"spec: {ingress: [[]]}", false, "4:18: error: rule: expected a map, found a list\n"},
	{"spec: {ingress: [{to: [{podSelector: {}}]}]}", true,
	 "4:19: error: unknown field 'to'; the rule allows nothing\n"},
	{"spec: {egress: [{from: [{podSelector: {}}]}]}", true,
	 "4:18: error: unknown field 'from'; the rule allows nothing\n"},
	{"spec: {ingress: [{from: null, ports: null}]}", true,
	 "4:19: warning: 'from' is empty, which means every peer\n"
	 "4:31: warning: 'ports' is empty, which means every port and protocol\n"},
	{"spec: {ingress: [{action: Allow}]}", true,
	 "4:19: error: unknown field 'action'; the rule allows nothing\n"},
	{"spec: {}, status: {conditions: []}", false,
	 "4:9: error: the document cannot be read: did not find expected key, while parsing a "
	 "block mapping\n"},
};

static const struct row selectors_rows[] = {
	{"spec: {podSelector: {matchLabels: {app: yes}}}", false,
	 "4:41: error: label 'app': expected a string, found a boolean; quote it\n"},
	{"spec: {podSelector: {matchLabels: {app: 1, b: 1.5, c: null, d: [x]}}}", false,
	 "4:41: error: label 'app': expected a string, found a number; quote it\n"
	 "4:47: error: label 'b': expected a string, found a number; quote it\n"
	 "4:55: error: label 'c': expected a string, found nothing\n"
	 "4:64: error: label 'd': expected a string, found a list\n"},
	{"spec: {podSelector: {matchLabels: {yes: a}}}", false,
	 "4:36: error: label key: expected a string, found a boolean; quote it\n"},
	{"spec: {podSelector: {matchLabels: {-a: b, a/b/c: d, app: 'a b'}}}", false,
	 "4:36: error: '-a' is not a valid label key\n"
	 "4:43: error: 'a/b/c' is not a valid label key\n"
	 "4:58: error: 'a b' is not a valid label value\n"},
	{"spec: {podSelector: {matchLabels: [app]}}", false,
	 "4:35: error: 'matchLabels': expected a map, found a list\n"},
	{"spec: {podSelector: {app: web}}", false, "4:22: error: unknown field 'app'\n"},
	{"spec: {podSelector: {matchExpressions: [{key: a, operator: In}]}}", false,
	 "4:41: error: operator 'In' needs values\n"},
	{"spec: {podSelector: {matchExpressions: [{key: a, operator: NotIn, values: []}]}}", false,
	 "4:75: error: operator 'NotIn' needs values\n"},
	{"spec: {podSelector: {matchExpressions: [{key: a, operator: Exists, values: [x]}]}}",
	 false, "4:76: error: operator 'Exists' takes no values\n"},
	{"spec: {podSelector: {matchExpressions: [{key: a, operator: DoesNotExist, values: [x]}]}}",
	 false, "4:82: error: operator 'DoesNotExist' takes no values\n"},
	{"spec: {podSelector: {matchExpressions: [{key: a, operator: Exists, values: []}]}}", true,
	 ""},
	{"spec: {podSelector: {matchExpressions: [{key: a, operator: Gt, values: ['1']}]}}", false,
	 "4:60: error: unknown operator 'Gt'\n"},
	{"spec: {podSelector: {matchExpressions: [{operator: Exists}, {key: a}, {key: '!', "
	 "operator: Exists}]}}",
	 false,
	 "4:41: error: 'key' is missing\n"
	 "4:61: error: 'operator' is missing\n"
	 "4:77: error: '!' is not a valid label key\n"},
	{"spec: {podSelector: {matchExpressions: [{key: a, operator: In, values: [true, 'a b']}]}}",
	 false,
	 "4:73: error: label value: expected a string, found a boolean; quote it\n"
	 "4:79: error: 'a b' is not a valid label value\n"},
	{"spec: {podSelector: {matchExpressions: [{key: a, operator: In, values: x}, x]}}", false,
	 "4:72: error: 'values': expected a list, found a string\n"
	 "4:76: error: expected a map, found a string\n"},
	{"spec: {podSelector: {matchExpressions: [{key: a, operator: Exists, weight: 1}]}}", false,
	 "4:68: error: unknown field 'weight'\n"},
	{"spec: {podSelector: {matchExpressions: {}}}", false,
	 "4:40: error: 'matchExpressions': expected a list, found a map\n"},
};

static const struct row peers_rows[] = {
	{"spec: {ingress: [{from: [{}]}]}", false,
	 "4:26: error: an empty peer selects nothing; write podSelector, namespaceSelector or "
	 "ipBlock\n"},
	{"spec: {ingress: [{from: [{podSelector: null}]}]}", false,
	 "4:26: error: an empty peer selects nothing; write podSelector, namespaceSelector or "
	 "ipBlock\n"},
	{"spec: {ingress: [{from: [null]}]}", false,
	 "4:26: error: peer: expected a map, found nothing\n"},
	{"spec: {ingress: [{from: {podSelector: {}}}]}", false,
	 "4:25: error: 'from': expected a list, found a map\n"},
	{"spec: {ingress: [{from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}", false,
	 "4:26: error: a peer has either ipBlock or selectors, not both\n"},
	{"spec: {ingress: [{from: [{namespaceSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}", false,
	 "4:26: error: a peer has either ipBlock or selectors, not both\n"},
	{"spec: {ingress: [{from: [{podSelector: null, ipBlock: {cidr: 10.0.0.0/8}}]}]}", true, ""},
	{"spec: {ingress: [{from: [{serviceSelector: {}}]}]}", true,
	 "4:27: error: unknown field 'serviceSelector'; the rule allows nothing\n"},
	{"spec: {ingress: [{from: [{podSelector: {}, fqdn: x}]}]}", true,
	 "4:44: error: unknown field 'fqdn'; the rule allows nothing\n"},
	{"spec: {ingress: [{from: [{podSelector: {matchExpressions: [{key: a, operator: Gt, "
	 "values: ['1']}]}}]}]}",
	 true, "4:79: error: unknown operator 'Gt'; the rule allows nothing\n"},
	{"spec: {ingress: [{from: [{podSelector: {matchNames: [a]}}]}]}", true,
	 "4:41: error: unknown field 'matchNames'; the rule allows nothing\n"},
	{"spec: {ingress: [{from: [{podSelector: {matchExpressions: [{key: a, operator: In}]}}]}]}",
	 false, "4:60: error: operator 'In' needs values\n"},
	{"spec: {ingress: [{from: [{podSelector: x}]}]}", false,
	 "4:40: error: selector: expected a map, found a string\n"},
};

static const struct row blocks_rows[] = {
	{"spec: {ingress: [{from: [{ipBlock: {}}]}]}", false, "4:36: error: 'cidr' is missing\n"},
	{"spec: {ingress: [{from: [{ipBlock: {cidr: 10.1.2.3/8}}]}]}", true,
	 "4:43: warning: '10.1.2.3/8' has bits behind its prefix; it is taken as 10.0.0.0/8\n"},
	{"spec: {ingress: [{from: [{ipBlock: {cidr: 010.0.0.0/8}}]}]}", false,
	 "4:43: error: '010.0.0.0' is not an IP address\n"},
	{"spec: {ingress: [{from: [{ipBlock: {cidr: '::ffff:10.0.0.0/104'}}]}]}", false,
	 "4:43: error: '::ffff:10.0.0.0' is a v4-mapped address; write it as IPv4\n"},
	{"spec: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/33}}]}]}", false,
	 "4:43: error: '10.0.0.0/33': the prefix length is not 0-32\n"},
	{"spec: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.1}}]}]}", false,
	 "4:43: error: '10.0.0.1' is not a CIDR: '/length' is missing\n"},
	{"spec: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]}", false,
	 "4:64: error: except '10.0.0.0/8' is not strictly inside of the cidr\n"},
	{"spec: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, "
	 "11.0.0.0/16]}}]}]}",
	 false, "4:77: error: except '11.0.0.0/16' is not strictly inside of the cidr\n"},
	{"spec: {ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: ['fd00::/8']}}]}]}", false,
	 "4:63: error: except 'fd00::/8' is not strictly inside of the cidr\n"},
	{"spec: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: 10.1.0.0/16}}]}]}", false,
	 "4:63: error: 'except': expected a list, found a string\n"},
	{"spec: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.2.3/16, 5]}}]}]}",
	 false,
	 "4:64: warning: '10.1.2.3/16' has bits behind its prefix; it is taken as 10.1.0.0/16\n"
	 "4:77: error: 'except': expected a string, found a number; quote it\n"},
	{"spec: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, ports: []}}]}]}", true,
	 "4:55: error: unknown field 'ports'; the rule allows nothing\n"},
	{"spec: {ingress: [{from: [{ipBlock: {cidr: 10}}]}]}", false,
	 "4:43: error: 'cidr': expected a string, found a number; quote it\n"},
};

static const struct row ports_rows[] = {
	{"spec: {ingress: [{ports: [{port: 0}, {port: 65536}, {port: -1}, {port: 1.5}, {port: "
	 "yes}]}]}",
	 false,
	 "4:34: error: 'port': 0 is not 1-65535\n"
	 "4:45: error: 'port': 65536 is not 1-65535\n"
	 "4:60: error: 'port': -1 is not 1-65535\n"
	 "4:72: error: 'port': 1.5 is not 1-65535\n"
	 "4:85: error: 'port': expected a number or a name, found a boolean\n"},
	{"spec: {ingress: [{ports: [{port: '80'}]}]}", false,
	 "4:34: error: 'port': '80' is a string; write the number unquoted\n"},
	{"spec: {ingress: [{ports: [{port: http}, {port: HTTP}, {port: a--b}, {port: "
	 "abcdefghijklmnop}]}]}",
	 false,
	 "4:48: error: 'port': 'HTTP' is not a valid port name\n"
	 "4:62: error: 'port': 'a--b' is not a valid port name\n"
	 "4:76: error: 'port': 'abcdefghijklmnop' is not a valid port name\n"},
	{"spec: {ingress: [{ports: [{protocol: tcp}]}]}", true,
	 "4:38: error: unknown protocol 'tcp'; the rule allows nothing\n"},
	{"spec: {ingress: [{ports: [{protocol: ICMP, port: 1}]}]}", true,
	 "4:38: error: unknown protocol 'ICMP'; the rule allows nothing\n"},
	{"spec: {ingress: [{ports: [{protocol: 6}]}]}", false,
	 "4:38: error: 'protocol': expected a string, found a number; quote it\n"},
	{"spec: {ingress: [{ports: [{port: 80, endPort: 79}]}]}", false,
	 "4:47: error: 'endPort': 79 is smaller than port 80\n"},
	{"spec: {ingress: [{ports: [{port: 80, endPort: 80}, {port: 1, endPort: 65535}]}]}", true,
	 ""},
	{"spec: {ingress: [{ports: [{port: 80, endPort: 65536}]}]}", false,
	 "4:47: error: 'endPort': 65536 is not 1-65535\n"},
	{"spec: {ingress: [{ports: [{port: http, endPort: 90}]}]}", false,
	 "4:49: error: 'endPort' needs a numeric port, not a named one\n"},
	{"spec: {ingress: [{ports: [{endPort: 90}]}]}", false,
	 "4:37: error: 'endPort' needs 'port'\n"},
	{"spec: {ingress: [{ports: [{port: 80, endPort: x}]}]}", false,
	 "4:47: error: 'endPort': expected a number, found a string\n"},
	{"spec: {ingress: [{ports: [{port: 80, targetPort: 8080}]}]}", true,
	 "4:38: error: unknown field 'targetPort'; the rule allows nothing\n"},
	{"spec: {ingress: [{ports: [80]}]}", false,
	 "4:27: error: port: expected a map, found a number\n"},
	{"spec: {ingress: [{ports: {port: 80}}]}", false,
	 "4:26: error: 'ports': expected a list, found a map\n"},
};

static const struct row segmentation_rows[] = {
	{"spec: {egress: [{action: Deny}, {action: Allow}]}", true, ""},
	{"spec: {egress: [{action: Log}]}", true,
	 "4:26: error: unknown action 'Log'; the rule denies everything\n"},
	{"spec: {egress: [{action: Deny, weight: 1}]}", true,
	 "4:32: error: unknown field 'weight'; the rule denies everything\n"},
	{"spec: {egress: [{processes: [/usr/bin/psql], ports: [{port: 53, protocol: UDP}]}]}", true,
	 ""},
	{"spec: {egress: [{processes: [psql, /usr/../bin/psql, 5]}]}", false,
	 "4:30: error: 'psql' is not an absolute, normalised path of at most 255 bytes\n"
	 "4:36: error: '/usr/../bin/psql' is not an absolute, normalised path of at most 255 "
	 "bytes\n"
	 "4:54: error: 'processes': expected a string, found a number; quote it\n"},
	{"spec: {egress: [{processes: []}]}", false,
	 "4:29: error: 'processes' is empty; leave it out for any process\n"},
	{"spec: {egress: [{processes: /bin/sh}]}", false,
	 "4:29: error: 'processes': expected a list, found a string\n"},
	{"spec: {ingress: [{processes: [/bin/sh]}]}", false,
	 "4:30: error: 'processes' is for egress rules only\n"},
	{"spec: {ingress: [{reason: {why: x, useCase: y, owner: z, expires: "
	 "2027-01-31T00:00:00Z}}]}",
	 true, ""},
	{"spec: {ingress: [{reason: {expires: 2027-01-31}}]}", false,
	 "4:37: error: 'expires': '2027-01-31' is not a time like 2027-01-31T00:00:00Z\n"},
	{"spec: {ingress: [{reason: {why: x, until: 2027-01-31T00:00:00Z}}]}", true,
	 "4:36: error: unknown field 'until'; the rule allows nothing\n"},
	{"spec: {ingress: [{reason: nightly}]}", false,
	 "4:27: error: 'reason': expected a map, found a string\n"},
	{"spec: {ingress: [{reason: {why: 5}}]}", false,
	 "4:33: error: 'why': expected a string, found a number; quote it\n"},
};

/* The object's name is the same in all rows and left out. */
static void format(const struct bh_problems *all, struct bh_str *out)
{
	static const char *const levels[] = {"error", "warning", "note"};

	for (size_t i = 0; i < all->n; i++)
		bh_str_fmt(out, "%u:%u: %s: %s\n", all->v[i].line, all->v[i].col,
			   levels[all->v[i].level], all->v[i].text);
}

static void check_row(const char *api, const char *kind, const struct row *row)
{
	struct bh_str text = {0}, got = {0};
	struct bh_objects *o = ok_new();
	struct bh_problems all = {0};
	struct bh_world *w;

	bh_str_fmt(&text, "apiVersion: %s\nkind: %s\nmetadata: {name: p, namespace: n}\n%s\n", api,
		   kind, row->spec);
	ok_load(o, "f", bh_str_text(&text));
	assert_int_equal(bh_objects_problems(o, &all), 0);
	format(&all, &got);
	if (strcmp(bh_str_text(&got), row->want))
		fail_msg("%s\ngot:\n%swant:\n%s", row->spec, bh_str_text(&got), row->want);
	w = ok_world(o);
	if (w->n_policies != row->is_in_force)
		fail_msg("%s: in force: %zu", row->spec, w->n_policies);
	bh_world_unref(w);
	bh_problems_done(&all);
	bh_objects_free(o);
	bh_str_done(&got);
	bh_str_done(&text);
}

static void check_rows(const char *api, const char *kind, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check_row(api, kind, &rows[i]);
}

#define NETWORK_POLICY(name)                                                                       \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		check_rows("networking.k8s.io/v1", "NetworkPolicy", name##_rows,                   \
			   BH_ARRAY_SIZE(name##_rows));                                            \
	}

NETWORK_POLICY(structure)
NETWORK_POLICY(selectors)
NETWORK_POLICY(peers)
NETWORK_POLICY(blocks)
NETWORK_POLICY(ports)

/* What NetworkPolicy says is a SegmentationPolicy's too, but for the fields that are its own. */
static void test_segmentation(void **state)
{
	(void)state;
	check_rows("bulkhead.io/v1alpha1", "SegmentationPolicy", segmentation_rows,
		   BH_ARRAY_SIZE(segmentation_rows));
	check_rows("bulkhead.io/v1alpha1", "SegmentationPolicy", peers_rows,
		   BH_ARRAY_SIZE(peers_rows));
	check_rows("bulkhead.io/v1alpha1", "SegmentationPolicy", ports_rows,
		   BH_ARRAY_SIZE(ports_rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_structure), cmocka_unit_test(test_selectors),
		cmocka_unit_test(test_peers),	  cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_ports),	  cmocka_unit_test(test_segmentation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
