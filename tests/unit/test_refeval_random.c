/* Random worlds: the compiled tables must say what the reference evaluator says, about every pair
 * of addresses, at every port where an answer may change, for every executable, before and after
 * expiry. Worlds come from a seed, so a failure repeats: BH_SEED=N plays that one world. */
#include "bh_agree.h"
#include "bh_test.h"

#include <jansson.h>

#include "base/str.h"
#include "policy/objects.h"

#define WORLDS 150
#define NOW    1767225600 /* 2026-01-01T00:00:00Z */
#define LATER  1767312000 /* the day after: when rules that expire have done so */
#define EXPIRY "2026-01-02T00:00:00Z"

struct dice {
	uint64_t state;
};

/* splitmix64 (Steele, Lea, Flood 2014). */
static unsigned roll(struct dice *d, unsigned sides)
{
	uint64_t z = (d->state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (unsigned)((z ^ (z >> 31)) % sides);
}

#define pick(d, list) ((list)[roll((d), BH_ARRAY_SIZE(list))])

/* ---- pieces of manifests ---- */

static const char *const spaces[] = {"x", "y"};
static const char *const values[] = {"a", "b", ""};
static const char *const protos[] = {"TCP", "TCP", "UDP", "SCTP"};
static const char *const names[] = {"http", "dns"};
static const char *const exes[] = {"/bin/a", "/bin/b", "/bin/other"};
static const uint16_t numbers[] = {1, 53, 80, 81, 255, 256, 8080, 65535};
static const struct {
	const char *cidr, *except;
} blocks[] = {
	{"0.0.0.0/0", NULL},
	{"0.0.0.0/0", "10.0.0.0/8"},
	{"10.0.0.0/8", "10.0.0.0/24"},
	{"10.0.0.0/23", "10.0.0.2/32"},
	{"10.0.0.2/32", NULL},
	{"203.0.113.0/25", "203.0.113.0/26"},
	{"203.0.113.0/26", "203.0.113.1/32"},
	{"::/0", NULL},
	{"fd00::/8", "fd00:1::/32"},
	{"2001:db8::/32", NULL},
};
static const char *const outside[] = {"203.0.113.1", "203.0.113.9", "203.0.113.70", "8.8.8.8",
				      "10.9.9.9",    "10.0.0.200",  "2001:db8::1",  "fd00:9::1",
				      "fd00:1::99",  "2001:db9::1"};

static json_t *labels(struct dice *d)
{
	json_t *j = json_object();

	if (roll(d, 3))
		json_object_set_new(j, "k0", json_string(pick(d, values)));
	if (roll(d, 2))
		json_object_set_new(j, "k1", json_string(pick(d, values)));
	return j;
}

static json_t *selector(struct dice *d)
{
	static const char *const ops[] = {"In", "NotIn", "Exists", "DoesNotExist"};
	json_t *list = json_array();

	for (unsigned n = roll(d, 3); n; n--) {
		unsigned op = roll(d, 4);
		json_t *j = json_pack("{s:s, s:s}", "key", roll(d, 2) ? "k0" : "k1", "operator",
				      ops[op]);

		if (op < 2)
			json_object_set_new(j, "values",
					    json_pack("[s, s]", pick(d, values), pick(d, values)));
		json_array_append_new(list, j);
	}
	return json_pack("{s:o}", "matchExpressions", list);
}

static json_t *block(struct dice *d)
{
	unsigned i = roll(d, BH_ARRAY_SIZE(blocks));
	json_t *j = json_pack("{s:s}", "cidr", blocks[i].cidr);

	if (blocks[i].except)
		json_object_set_new(j, "except", json_pack("[s]", blocks[i].except));
	return json_pack("{s:o}", "ipBlock", j);
}

static json_t *peer(struct dice *d)
{
	unsigned kind = roll(d, 4);
	json_t *j;

	if (kind == 3)
		return block(d);
	j = json_object();
	if (kind != 1)
		json_object_set_new(j, "podSelector", selector(d));
	if (kind != 0)
		json_object_set_new(j, "namespaceSelector", selector(d));
	return j;
}

static json_t *port(struct dice *d)
{
	unsigned kind = roll(d, 6), one = pick(d, numbers), two = pick(d, numbers);
	json_t *j = json_pack("{s:s}", "protocol", pick(d, protos));

	if (kind == 1)
		json_object_set_new(j, "port", json_integer(one));
	if (kind == 2 || kind == 5)
		json_object_set_new(j, "port", json_string(pick(d, names)));
	if (kind == 3) {
		json_object_set_new(j, "port", json_integer(one < two ? one : two));
		json_object_set_new(j, "endPort", json_integer(one < two ? two : one));
	}
	if (kind == 4 && !roll(d, 4)) /* makes the rule inert */
		json_object_set_new(j, "protocol", json_string("QUIC"));
	return j;
}

static json_t *list_of(struct dice *d, json_t *(*make)(struct dice *), unsigned max)
{
	json_t *list = json_array();

	for (unsigned n = roll(d, max + 1); n; n--)
		json_array_append_new(list, make(d));
	return list;
}

static json_t *rule(struct dice *d, enum bh_dir dir, bool is_segmentation)
{
	json_t *j = json_object();

	json_object_set_new(j, dir == BH_EGRESS ? "to" : "from", list_of(d, peer, 2));
	json_object_set_new(j, "ports", list_of(d, port, 2));
	if (!is_segmentation)
		return j;
	if (!roll(d, 4))
		json_object_set_new(j, "action", json_string("Deny"));
	if (dir == BH_EGRESS && !roll(d, 3))
		json_object_set_new(j, "processes",
				    roll(d, 2) ? json_pack("[s]", exes[roll(d, 2)])
					       : json_pack("[s, s]", exes[0], exes[1]));
	if (!roll(d, 4))
		json_object_set_new(j, "reason",
				    json_pack("{s:s, s:s}", "why", "w", "expires", EXPIRY));
	return j;
}

static json_t *rules(struct dice *d, enum bh_dir dir, bool is_segmentation)
{
	json_t *list = json_array();

	for (unsigned n = roll(d, 4); n; n--)
		json_array_append_new(list, rule(d, dir, is_segmentation));
	return list;
}

/* ---- worlds ---- */

/* Takes j. */
static void load(struct bh_objects *o, const char *kind, unsigned number, json_t *j)
{
	BH_CLEANUP(bh_freep) char *file = bh_strf("%s%u.json", kind, number);
	BH_CLEANUP(bh_freep) char *text = json_dumps(j, 0);
	struct bh_err err;
	bool changed;

	assert_true(file && text);
	bh_assert_ok(&err, bh_objects_load(o, file, text, strlen(text), &changed, &err));
	json_decref(j);
}

static json_t *object(const char *api, const char *kind, const char *ns, const char *name)
{
	json_t *j = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", api, "kind", kind, "metadata",
			      "name", name);

	if (ns)
		json_object_set_new(json_object_get(j, "metadata"), "namespace", json_string(ns));
	return j;
}

static json_t *container_ports(struct dice *d)
{
	json_t *list = json_array();

	for (unsigned n = roll(d, 5); n; n--)
		json_array_append_new(list, json_pack("{s:s, s:i, s:s}", "name", pick(d, names),
						      "containerPort", pick(d, numbers), "protocol",
						      pick(d, protos)));
	return list;
}

static json_t *addresses(struct dice *d, unsigned i)
{
	BH_CLEANUP(bh_freep) char *v4 = bh_strf("10.0.%u.%u", i % 2, i + 1);
	BH_CLEANUP(bh_freep) char *v6 = bh_strf("fd00:%u::%u", i % 2, i + 1);
	json_t *list = json_array();
	unsigned families = roll(d, 4);

	if (families != 1)
		json_array_append_new(list, json_pack("{s:s}", "ip", v4));
	if (families == 1 || families == 2)
		json_array_append_new(list, json_pack("{s:s}", "ip", v6));
	return list;
}

static void add_pod(struct bh_objects *o, struct dice *d, unsigned i)
{
	BH_CLEANUP(bh_freep) char *name = bh_strf("p%u", i);
	json_t *j = object("v1", "Pod", pick(d, spaces), name);

	json_object_set_new(json_object_get(j, "metadata"), "labels", labels(d));
	json_object_set_new(j, "spec",
			    json_pack("{s:b, s:[{s:s, s:s, s:o}]}", "hostNetwork", !roll(d, 8),
				      "containers", "name", "c", "image", "i", "ports",
				      container_ports(d)));
	json_object_set_new(j, "status",
			    json_pack("{s:s, s:o}", "phase", roll(d, 10) ? "Running" : "Failed",
				      "podIPs", addresses(d, i)));
	load(o, "pod", i, j);
}

static void add_policy(struct bh_objects *o, struct dice *d, unsigned i)
{
	BH_CLEANUP(bh_freep) char *name = bh_strf("q%u", i);
	bool is_segmentation = roll(d, 2);
	unsigned types = roll(d, 4);
	json_t *spec = json_pack("{s:o}", "podSelector", selector(d));
	json_t *j = is_segmentation ? object("bulkhead.io/v1alpha1", "SegmentationPolicy",
					     pick(d, spaces), name)
				    : object("networking.k8s.io/v1", "NetworkPolicy",
					     pick(d, spaces), name);

	if (types < 3)
		json_object_set_new(spec, "policyTypes",
				    types == 0	 ? json_pack("[s]", "Ingress")
				    : types == 1 ? json_pack("[s]", "Egress")
						 : json_pack("[s, s]", "Ingress", "Egress"));
	json_object_set_new(spec, "ingress", rules(d, BH_INGRESS, is_segmentation));
	json_object_set_new(spec, "egress", rules(d, BH_EGRESS, is_segmentation));
	json_object_set_new(j, "spec", spec);
	load(o, "policy", i, j);
}

static struct bh_world *make_world(struct dice *d)
{
	struct bh_objects *o = NULL;
	struct bh_world *w = NULL;
	struct bh_err err;

	bh_assert_ok(&err, bh_objects_new(&(struct bh_objects_options){0}, &o, &err));
	for (unsigned i = 0; i < BH_ARRAY_SIZE(spaces); i++) {
		json_t *j = object("v1", "Namespace", NULL, spaces[i]);

		json_object_set_new(json_object_get(j, "metadata"), "labels", labels(d));
		load(o, "namespace", i, j);
	}
	for (unsigned i = 0, n = 2 + roll(d, 5); i < n; i++)
		add_pod(o, d, i);
	for (unsigned i = 0, n = roll(d, 7); i < n; i++)
		add_policy(o, d, i);
	bh_assert_ok(&err, bh_world_new(&w, &err));
	bh_assert_ok(&err, bh_objects_fill(o, w, &err));
	w->default_allow = roll(d, 2);
	w->now_s = NOW;
	bh_assert_ok(&err, bh_world_seal(w, &err));
	bh_objects_free(o);
	return w;
}

/* ---- comparing ---- */

/* All pods with addresses of no pod, both ways. */
static size_t compare_outside(const struct bh_world *w, const struct bh_tables *t,
			      const struct bh_ask *what)
{
	struct bh_ask ask = *what;
	size_t n = 0;

	for (size_t i = 0; i < w->n_pods; i++) {
		const struct bh_pod *pod = w->pods[i];

		for (size_t k = 0; k < BH_ARRAY_SIZE(outside) && pod->n_ips; k++) {
			struct bh_err err;
			struct bh_ip ip;

			bh_assert_ok(&err, bh_ip_parse(outside[k], &ip, &err));
			ask.self = bh_refeval_end(w, &pod->ips[0]);
			ask.peer = bh_refeval_end(w, &ip);
			ask.dir = BH_EGRESS;
			n += bh_agree_half(w, t, &ask);
			ask.dir = BH_INGRESS;
			n += bh_agree_half(w, t, &ask);
		}
	}
	return n;
}

static size_t compare_exes(const struct bh_world *w, const struct bh_tables *t, uint8_t proto,
			   uint16_t number)
{
	struct bh_ask ask = {.proto = proto, .port = number};
	size_t n = bh_agree_all(w, t, &ask) + compare_outside(w, t, &ask);

	for (size_t i = 0; i < BH_ARRAY_SIZE(exes); i++) {
		ask.exe = exes[i];
		n += bh_agree_all(w, t, &ask) + compare_outside(w, t, &ask);
	}
	return n;
}

/* Every number that rules name, and those beside it. */
static size_t compare_ports(const struct bh_world *w, const struct bh_tables *t)
{
	static const uint8_t with_ports[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP};
	size_t n = compare_exes(w, t, IPPROTO_ICMP, 0) + compare_exes(w, t, 47, 0);

	for (size_t p = 0; p < BH_ARRAY_SIZE(with_ports); p++) {
		for (size_t i = 0; i < BH_ARRAY_SIZE(numbers); i++) {
			n += compare_exes(w, t, with_ports[p], numbers[i]);
			if (numbers[i] < 65535)
				n += compare_exes(w, t, with_ports[p], (uint16_t)(numbers[i] + 1));
		}
	}
	return n;
}

static size_t compare_world(uint64_t seed)
{
	struct dice d = {.state = seed};
	struct bh_world *w = make_world(&d);
	struct bh_tables *t = bh_agree_compile(w);
	size_t n = compare_ports(w, t);

	/* The same tables must follow the expiry, and fresh ones must say the same. */
	w->now_s = LATER;
	n += compare_ports(w, t);
	bh_tables_free(t);
	t = bh_agree_compile(w);
	n += compare_ports(w, t);
	bh_tables_free(t);
	bh_world_unref(w);
	return n;
}

static void test_tables_agree(void **state)
{
	const char *one = getenv("BH_SEED");
	uint64_t first = one ? strtoull(one, NULL, 10) : 1, last = one ? first : WORLDS;
	size_t n = 0;

	(void)state;
	for (uint64_t seed = first; seed <= last; seed++) {
		print_message("BH_SEED=%llu\n", (unsigned long long)seed);
		n += compare_world(seed);
	}
	print_message("%zu halves compared\n", n);
	assert_true(n > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
