/* Files come, change, break and go; what is in force follows. */
#include "objects_kit.h"

#include <errno.h>

#define NP(name, ns, spec)                                                                         \
	"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: " name            \
	", namespace: " ns "}\nspec: " spec "\n"
#define GOOD  "{podSelector: {}, ingress: []}"
#define OTHER "{podSelector: {}, ingress: [{}]}"
#define BAD   "{podSelector: {}, ingress: [{ports: [{port: 0}]}]}"

static int add_state(const struct bh_policy_state *s, void *arg)
{
	struct bh_str *out = arg;

	bh_str_fmt(out, "%s %s/%s %s: %s\n", s->kind, s->ns, s->name, s->file,
		   s->is_live ? "live" : s->why);
	return 0;
}

static void assert_states(const struct bh_objects *o, const char *want)
{
	struct bh_str out = {0};

	assert_int_equal(bh_objects_policies(o, add_state, &out), 0);
	assert_string_equal(bh_str_text(&out), want);
	bh_str_done(&out);
}

/* Names of policies in force with the number of their ingress rules. */
static void assert_policies(const struct bh_objects *o, const char *want)
{
	struct bh_world *w = ok_world(o);
	struct bh_str out = {0};

	for (size_t i = 0; i < w->n_policies; i++)
		bh_str_fmt(&out, "%s%s/%s:%u", i ? " " : "", w->policies[i]->ns,
			   w->policies[i]->name, w->policies[i]->n_rules[BH_INGRESS]);
	assert_string_equal(bh_str_text(&out), want);
	bh_str_done(&out);
	bh_world_unref(w);
}

static void test_change(void **state)
{
	struct bh_objects *o = ok_new();
	bool changed;

	(void)state;
	assert_true(ok_load(o, "a.yaml", NP("a", "n", GOOD) "---\n" NP("b", "n", GOOD)));
	assert_policies(o, "n/a:0 n/b:0");
	assert_false(ok_load(o, "a.yaml", NP("a", "n", GOOD) "---\n" NP("b", "n", GOOD)));
	/* Another line: what explain says changes, so the set does. */
	assert_true(ok_load(o, "a.yaml", "\n" NP("a", "n", GOOD) "---\n" NP("b", "n", GOOD)));
	assert_false(
		ok_load(o, "a.yaml", "\n" NP("a", "n", GOOD) "---\n" NP("b", "n", GOOD) "#\n"));
	assert_true(ok_load(o, "a.yaml", NP("b", "n", OTHER)));
	assert_policies(o, "n/b:1");
	assert_true(ok_load(o, "b.yaml", NP("c", "m", GOOD)));
	assert_policies(o, "m/c:0 n/b:1");
	assert_string_equal(bh_objects_files(o)[0], "a.yaml");
	assert_string_equal(bh_objects_files(o)[1], "b.yaml");
	assert_null(bh_objects_files(o)[2]);
	assert_int_equal(bh_objects_unload(o, "a.yaml", &changed), 0);
	assert_true(changed);
	assert_int_equal(bh_objects_unload(o, "a.yaml", &changed), 0);
	assert_false(changed);
	assert_policies(o, "m/c:0");
	assert_string_equal(bh_objects_files(o)[0], "b.yaml");
	assert_true(ok_load(o, "b.yaml", ""));
	assert_policies(o, "");
	bh_objects_free(o);
}

#define A_POD "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: n}\n"

/* What says something about policies counts, whatever it says, and nothing else. */
static void test_policy_revision(void **state)
{
	struct bh_objects *o = ok_new();
	uint64_t was = bh_objects_policy_revision(o);
	bool changed;

	(void)state;
	assert_true(ok_load(o, "p.yaml", A_POD));
	assert_true(ok_load(o, "p.yaml", A_POD "spec: {hostNetwork: true}\n"));
	assert_int_equal(bh_objects_policy_revision(o), was);
	for (int i = 0; i < 3; i++) {
		static const char *const texts[] = {NP("a", "n", GOOD), NP("a", "n", BAD), A_POD};

		was = bh_objects_policy_revision(o);
		ok_load(o, "a.yaml", texts[i]);
		assert_true(bh_objects_policy_revision(o) > was);
	}
	was = bh_objects_policy_revision(o);
	assert_int_equal(bh_objects_unload(o, "p.yaml", &changed), 0);
	assert_int_equal(bh_objects_policy_revision(o), was);
	ok_load(o, "a.yaml", NP("a", "n", GOOD));
	was = bh_objects_policy_revision(o);
	assert_int_equal(bh_objects_unload(o, "a.yaml", &changed), 0);
	assert_true(bh_objects_policy_revision(o) > was);
	bh_objects_free(o);
}

static void test_last_good(void **state)
{
	struct bh_objects *o = ok_new();

	(void)state;
	ok_load(o, "a.yaml", NP("a", "n", OTHER) "---\n" NP("b", "n", GOOD));
	/* The broken one stays as it was, the other one follows, the new broken one is nothing. */
	assert_true(
		ok_load(o, "a.yaml",
			NP("a", "n", BAD) "---\n" NP("b", "n", OTHER) "---\n" NP("c", "n", BAD)));
	assert_policies(o, "n/a:1 n/b:1");
	assert_states(o,
		      "NetworkPolicy n/a a.yaml: a.yaml:4:51: 'port': 0 is not 1-65535; the last "
		      "good version stays in force\n"
		      "NetworkPolicy n/b a.yaml: live\n"
		      "NetworkPolicy n/c a.yaml: a.yaml:14:51: 'port': 0 is not 1-65535; it is "
		      "new, so nothing of it is in force\n");
	/* It survives further bad versions and ends with a good one. */
	ok_load(o, "a.yaml", NP("a", "n", BAD) "# more\n---\n" NP("b", "n", OTHER));
	assert_policies(o, "n/a:1 n/b:1");
	ok_load(o, "a.yaml", NP("a", "n", GOOD));
	assert_policies(o, "n/a:0");
	assert_states(o, "NetworkPolicy n/a a.yaml: live\n");
	ok_assert_problems(o, "");
	bh_objects_free(o);
}

/* A file caught half-written. */
static void test_unreadable(void **state)
{
	struct bh_objects *o = ok_new();

	(void)state;
	ok_load(o, "a.yaml", NP("a", "n", OTHER) "---\n" NP("b", "n", OTHER));
	/* The first document is seen and followed, what the second was cannot be known. */
	assert_true(ok_load(o, "a.yaml",
			    NP("a", "n", GOOD) "---\napiVersion: networking.k8s.io/v1\n"
					       "kind: NetworkPolicy\nmetadata: {na"));
	assert_policies(o, "n/a:0 n/b:1");
	ok_assert_problems(o,
			   "a.yaml:9:1: error: -: the document cannot be read: did not find "
			   "expected ',' or '}', while parsing a flow mapping\n");
	assert_states(o,
		      "NetworkPolicy n/a a.yaml: live\n"
		      "NetworkPolicy n/b a.yaml: a.yaml:9:1: the document cannot be read: did not "
		      "find expected ',' or '}', while parsing a flow mapping; the last good "
		      "version stays in force\n");
	/* Not text at all: nothing changes. */
	assert_false(ok_load(o, "a.yaml", "\xff\xfe"));
	assert_policies(o, "n/a:0 n/b:1");
	/* No name: it may be any of them. */
	assert_false(ok_load(o, "a.yaml",
			     "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
			     "metadata:\n  name:\n"));
	assert_policies(o, "n/a:0 n/b:1");
	assert_false(ok_load(o, "a.yaml", "[]"));
	assert_false(ok_load(o, "a.yaml", "kind: NetworkPolicy\n"));
	assert_policies(o, "n/a:0 n/b:1");
	/* Readable again, without b. */
	ok_load(o, "a.yaml", NP("a", "n", GOOD));
	assert_policies(o, "n/a:0");
	bh_objects_free(o);
}

/* The first file in the order of names wins, whatever is loaded first. */
static void test_duplicates(void **state)
{
	struct bh_objects *o = ok_new();
	bool changed;

	(void)state;
	ok_load(o, "b.yaml", NP("a", "n", OTHER));
	assert_true(ok_load(o, "a.yaml", NP("x", "n", GOOD) "---\n" NP("a", "n", GOOD)));
	assert_policies(o, "n/a:0 n/x:0");
	ok_assert_problems(o,
			   "b.yaml:1:1: error: NetworkPolicy n/a: NetworkPolicy n/a is already "
			   "defined at a.yaml:6:1, which stays\n");
	assert_states(o,
		      "NetworkPolicy n/a a.yaml: live\n"
		      "NetworkPolicy n/a b.yaml: already defined at a.yaml:6:1, which stays\n"
		      "NetworkPolicy n/x a.yaml: live\n");
	/* A change of the second changes nothing. */
	assert_false(ok_load(o, "b.yaml", NP("a", "n", GOOD)));
	assert_int_equal(bh_objects_unload(o, "a.yaml", &changed), 0);
	assert_true(changed);
	assert_policies(o, "n/a:0");
	ok_assert_problems(o, "");
	/* In one file, by position. */
	ok_load(o, "b.yaml", NP("a", "n", OTHER) "---\n" NP("a", "n", GOOD));
	assert_policies(o, "n/a:1");
	ok_assert_problems(o,
			   "b.yaml:6:1: error: NetworkPolicy n/a: NetworkPolicy n/a is already "
			   "defined at b.yaml:1:1, which stays\n");
	/* The same name elsewhere is another policy (case 10), and so is the same name of another
	 * kind. */
	ok_load(o, "b.yaml", NP("a", "n", OTHER) "---\n" NP("a", "m", GOOD)
		"---\napiVersion: bulkhead.io/v1alpha1\nkind: SegmentationPolicy\n"
		"metadata: {name: a, namespace: n}\nspec: {}\n");
	assert_policies(o, "m/a:0 n/a:1 n/a:0");
	bh_objects_free(o);
}

/* Moved to another file and broken on the way. */
static void test_moved(void **state)
{
	struct bh_objects *o = ok_new();
	bool changed;

	(void)state;
	ok_load(o, "a.yaml", NP("a", "n", OTHER));
	assert_false(ok_load(o, "b.yaml", NP("a", "n", BAD)));
	assert_states(o,
		      "NetworkPolicy n/a a.yaml: live\n"
		      "NetworkPolicy n/a b.yaml: b.yaml:4:51: 'port': 0 is not 1-65535; the one at "
		      "a.yaml:1:1 is in force\n");
	assert_int_equal(bh_objects_unload(o, "a.yaml", &changed), 0);
	assert_false(changed);
	assert_policies(o, "n/a:1");
	assert_int_equal(bh_objects_unload(o, "b.yaml", &changed), 0);
	assert_true(changed);
	assert_policies(o, "");
	bh_objects_free(o);
}

static void test_wrong_version(void **state)
{
	struct bh_objects *o = ok_new();

	(void)state;
	ok_load(o, "a.yaml", NP("a", "n", OTHER));
	assert_false(ok_load(o, "a.yaml",
			     "apiVersion: extensions/v1beta1\nkind: NetworkPolicy\n"
			     "metadata: {name: a, namespace: n}\nspec: {podSelector: {}}\n"));
	assert_policies(o, "n/a:1");
	ok_assert_problems(o,
			   "a.yaml:1:13: error: NetworkPolicy n/a: NetworkPolicy has apiVersion "
			   "'networking.k8s.io/v1', not 'extensions/v1beta1'\n");
	bh_objects_free(o);
}

static void test_require_reason(void **state)
{
	struct bh_objects *o = NULL;
	struct bh_err err;

	(void)state;
	bh_assert_ok(&err, bh_objects_new(&(struct bh_objects_options){.require_reason = true}, &o,
					  &err));
	ok_load(o, "a.yaml",
		NP("a", "n", OTHER) "---\n" NP("b", "n", GOOD)
		"---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: c, "
		"annotations: {bulkhead.io/reason: because}}\nspec: {ingress: [{}]}\n");
	assert_policies(o, "default/c:1 n/b:0");
	ok_assert_problems(o,
			   "a.yaml:4:35: error: NetworkPolicy n/a: an allow rule without a reason "
			   "(requireReason is set)\n");
	bh_objects_free(o);
}

static void test_fill_node(void **state)
{
	struct bh_objects *o = ok_new();
	struct bh_world *w = NULL;
	struct bh_err err;
	char text[BH_IP_TEXT];

	(void)state;
	ok_load(o, "a.yaml",
		"apiVersion: v1\nkind: Node\nmetadata: {name: n1}\nstatus: {addresses: [{type: "
		"InternalIP, address: 192.0.2.1}, {type: Hostname, address: n1}, {type: "
		"ExternalIP, "
		"address: '2001:db8::1'}]}\n---\n"
		"apiVersion: v1\nkind: Pod\nmetadata: {name: h}\nspec: {hostNetwork: true, "
		"nodeName: "
		"n1}\nstatus: {podIP: 192.0.2.2}\n---\n"
		"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {nodeName: n1}\n"
		"status: {podIP: 192.0.2.3}\n");
	ok_assert_problems(o, "");
	bh_assert_ok(&err, bh_world_new(&w, &err));
	assert_int_equal(bh_objects_fill_node(o, "n1", w), 0);
	assert_int_equal(bh_objects_fill_node(o, "n2", w), 0);
	bh_assert_ok(&err, bh_world_seal(w, &err));
	assert_int_equal(w->n_node_addresses, 3);
	assert_string_equal(bh_ip_format(&w->node_addresses[0], text), "192.0.2.1");
	assert_string_equal(bh_ip_format(&w->node_addresses[1], text), "192.0.2.2");
	assert_string_equal(bh_ip_format(&w->node_addresses[2], text), "2001:db8::1");
	bh_world_unref(w);
	bh_objects_free(o);
}

/* ---- across restarts ---- */

#define MAX_SAVED 16

struct saved {
	char *key[MAX_SAVED], *file[MAX_SAVED], *text[MAX_SAVED];
	size_t n;
};

static int save_one(const char *key, const char *file, const char *text, void *arg)
{
	struct saved *s = arg;

	assert_true(s->n < MAX_SAVED);
	s->key[s->n] = strdup(key);
	s->file[s->n] = strdup(file);
	s->text[s->n++] = strdup(text);
	return 0;
}

static void saved_done(struct saved *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->key[i]);
		free(s->file[i]);
		free(s->text[i]);
	}
}

static struct bh_objects *restored(const struct saved *s)
{
	struct bh_objects *o = ok_new();
	struct bh_err err;

	for (size_t i = s->n; i-- > 0;)
		bh_assert_ok(&err, bh_objects_restore(o, s->key[i], s->file[i], s->text[i], &err));
	return o;
}

static const char whole[] =
	"apiVersion: v1\nkind: Namespace\nmetadata: {name: n, labels: {team: x}}\n---\n"
	"apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n"
	"status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}\n---\n"
	"apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: n, uid: 'a\"b', labels: {app: web}}\n"
	"spec: {nodeName: n1, containers: [{ports: [{name: http, containerPort: 80}, {name: dns, "
	"containerPort: 53, protocol: UDP}]}]}\n"
	"status: {phase: Running, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}\n---\n"
	"# about\n" NP("a", "n", OTHER) "---\n"
	"{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[\n"
	"{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"NetworkPolicy\",\"metadata\":{\"name\":\"b\","
	"\"namespace\":\"n\",\"annotations\":{\"x\":\"a\\n\\\"b\\\" \\ud83d\\ude00\"}},\"spec\":{\"ingress\":[{}]}}]}\n";

static void test_saved(void **state)
{
	struct bh_objects *o = ok_new(), *again;
	struct saved s = {0};
	struct bh_world *w;

	(void)state;
	ok_load(o, "a.yaml", whole);
	ok_assert_problems(o, "");
	assert_int_equal(bh_objects_saved(o, save_one, &s), 0);
	assert_int_equal(s.n, 5);
	assert_string_equal(s.key[0], "Namespace//n");
	assert_string_equal(s.key[1], "Pod/n/p");
	assert_string_equal(s.key[2], "Node//n1");
	assert_string_equal(s.key[3], "NetworkPolicy/n/a");
	assert_string_equal(s.key[4], "NetworkPolicy/n/b");
	again = restored(&s);
	/* In force at once, for the source may not be there. */
	assert_policies(again, "n/a:1 n/b:1");
	assert_states(again,
		      "NetworkPolicy n/a a.yaml: a.yaml has not been read yet; the last good "
		      "version stays in force\n"
		      "NetworkPolicy n/b a.yaml: a.yaml has not been read yet; the last good "
		      "version stays in force\n");
	w = ok_world(again);
	assert_int_equal(w->policies[0]->place.line, 17);
	assert_int_equal(
		bh_rule_place(w->policies[0], BH_INGRESS, &w->policies[0]->rules[BH_INGRESS][0])
			.line,
		20);
	assert_int_equal(w->policies[1]->place.line, 23);
	bh_world_unref(w);
	/* Everything came back as it was: reading the same file changes nothing but the item of a
	 * list, whose columns were lost. */
	assert_true(ok_load(again, "a.yaml", whole));
	assert_false(ok_load(again, "a.yaml", whole));
	assert_states(again, "NetworkPolicy n/a a.yaml: live\nNetworkPolicy n/b a.yaml: live\n");
	bh_objects_free(again);
	bh_objects_free(o);
	saved_done(&s);
}

static void test_restored_same(void **state)
{
	struct bh_objects *o = ok_new(), *again;
	struct saved s = {0};
	const char *end = strstr(whole, "{\"apiVersion\"");

	(void)state;
	ok_load_n(o, "a.yaml", whole, (size_t)(end - whole));
	assert_int_equal(bh_objects_saved(o, save_one, &s), 0);
	again = restored(&s);
	assert_false(ok_load_n(again, "a.yaml", whole, (size_t)(end - whole)));
	bh_objects_free(again);
	bh_objects_free(o);
	saved_done(&s);
}

static void test_restored_broken(void **state)
{
	struct bh_objects *o = ok_new(), *again;
	struct saved s = {0};
	struct bh_err err;
	bool changed;

	(void)state;
	ok_load(o, "a.yaml", NP("a", "n", OTHER) "---\n" NP("b", "n", OTHER));
	ok_load(o, "a.yaml", NP("a", "n", BAD) "---\n" NP("b", "n", OTHER));
	assert_int_equal(bh_objects_saved(o, save_one, &s), 0);
	bh_objects_free(o);
	/* The file still holds the broken a. */
	again = restored(&s);
	ok_load(again, "a.yaml", NP("a", "n", BAD) "---\n" NP("b", "n", OTHER));
	assert_policies(again, "n/a:1 n/b:1");
	bh_objects_free(again);
	/* Restored after the file was read. */
	again = ok_new();
	ok_load(again, "a.yaml", NP("a", "n", BAD));
	for (size_t i = 0; i < s.n; i++)
		bh_assert_ok(&err, bh_objects_restore(again, s.key[i], s.file[i], s.text[i], &err));
	assert_policies(again, "n/a:1");
	bh_objects_free(again);
	/* Not readable at all, then gone. */
	again = restored(&s);
	ok_load(again, "a.yaml", "{");
	assert_policies(again, "n/a:1 n/b:1");
	assert_int_equal(bh_objects_unload(again, "a.yaml", &changed), 0);
	assert_true(changed);
	assert_policies(again, "");
	bh_objects_free(again);
	saved_done(&s);
}

static void test_restore_refuses(void **state)
{
	struct bh_objects *o = ok_new();
	struct bh_err err;

	(void)state;
	bh_assert_fails(&err, -EINVAL, "saved object 'NetworkPolicy/n/a' is 'NetworkPolicy/n/b'",
			bh_objects_restore(o, "NetworkPolicy/n/a", "f", NP("b", "n", GOOD), &err));
	bh_assert_fails(&err, -EINVAL, "cannot be read: 'port': 0 is not 1-65535",
			bh_objects_restore(o, "NetworkPolicy/n/a", "f", NP("a", "n", BAD), &err));
	bh_assert_fails(&err, -EINVAL, "cannot be read: it is not one object",
			bh_objects_restore(o, "NetworkPolicy/n/a", "f", "", &err));
	bh_assert_fails(&err, -EINVAL, "cannot be read: ",
			bh_objects_restore(o, "NetworkPolicy/n/a", "f", "{", &err));
	assert_null(bh_objects_files(o)[0]);
	bh_objects_free(o);
}

/* A hostile file does not eat the memory by its problems. */
static void test_many_problems(void **state)
{
	struct bh_objects *o = ok_new();
	struct bh_problems all = {0};
	struct bh_str text = {0};

	(void)state;
	for (int i = 0; i < 5000; i++)
		bh_str_add(&text, "--- {a: 1}\n");
	ok_load_n(o, "a.yaml", bh_str_text(&text), text.n);
	assert_int_equal(bh_objects_problems(o, &all), 0);
	assert_int_equal(all.n, 1001);
	assert_string_equal(all.v[1000].text,
			    "more than 1000 problems; the rest of the file's are not listed");
	bh_problems_done(&all);
	bh_str_done(&text);
	bh_objects_free(o);
}

/* What is quoted cannot reach a terminal as it is. */
static void test_scrubbed(void **state)
{
	struct bh_objects *o = ok_new();

	(void)state;
	ok_load(o, "a.yaml", NP("a", "n", "{\"x\\e[31m\\n\\u0085\xc3\xa4\": 1}"));
	ok_assert_problems(o,
			   "a.yaml:4:8: error: NetworkPolicy n/a: unknown field "
			   "'x?[31m???\xc3\xa4'\n");
	bh_objects_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_change),		cmocka_unit_test(test_policy_revision),
		cmocka_unit_test(test_last_good),	cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_duplicates),	cmocka_unit_test(test_moved),
		cmocka_unit_test(test_wrong_version),	cmocka_unit_test(test_require_reason),
		cmocka_unit_test(test_fill_node),	cmocka_unit_test(test_saved),
		cmocka_unit_test(test_restored_same),	cmocka_unit_test(test_restored_broken),
		cmocka_unit_test(test_restore_refuses), cmocka_unit_test(test_many_problems),
		cmocka_unit_test(test_scrubbed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
