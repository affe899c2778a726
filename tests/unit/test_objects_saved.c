/* Saved versions against what was loaded since, texts that are held no longer than needed, and
 * documents that are taken over unread because they did not change. */
#include "objects_kit.h"

#define NP(name, spec)                                                                             \
	"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: " name            \
	", namespace: n}\nspec: " spec "\n"
#define GOOD   "{podSelector: {}, ingress: []}"
#define OTHER  "{podSelector: {}, ingress: [{}]}"
#define BAD    "{podSelector: {}, ingress: [{ports: [{port: 0}]}]}"
#define DOUBT  "{podSelector: {}, ingress: [{new: 1}]}"
#define POD(a) "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {a: " a "}}\n"
#define MAX    8

struct rows {
	char *key[MAX], *file[MAX], *text[MAX]; /* text NULL: was saved before */
	size_t n;
};

static int add_row(const char *key, const char *file, const char *text, void *arg)
{
	struct rows *r = arg;

	assert_true(r->n < MAX);
	r->key[r->n] = strdup(key);
	r->file[r->n] = strdup(file);
	r->text[r->n++] = text ? strdup(text) : NULL;
	return 0;
}

static void rows_done(struct rows *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->key[i]);
		free(r->file[i]);
		free(r->text[i]);
	}
	*r = (struct rows){0};
}

static struct rows saved(const struct bh_objects *o)
{
	struct rows r = {0};

	assert_int_equal(bh_objects_saved(o, add_row, &r), 0);
	return r;
}

static int add_unsaved(const struct bh_unsaved *u, void *arg)
{
	assert_null(u->displaced);
	return add_row(u->key, u->file, u->text, arg);
}

static int add_gone(const char *key, void *arg)
{
	return add_row(key, "gone", NULL, arg);
}

/* "file key" of what the database lacks, "gone key" of what it has too many of, in one line. */
static void assert_unsaved(const struct bh_objects *o, const char *want)
{
	struct bh_str out = {0};
	struct rows r = {0};

	assert_int_equal(bh_objects_unsaved(o, add_unsaved, &r), 0);
	assert_int_equal(bh_objects_unsaved_gone(o, add_gone, &r), 0);
	for (size_t i = 0; i < r.n; i++)
		bh_str_fmt(&out, "%s%s %s", i ? ", " : "", r.file[i], r.key[i]);
	assert_string_equal(bh_str_text(&out), want);
	bh_str_done(&out);
	rows_done(&r);
}

/* "name:number of ingress rules" of the policies in force. */
static void assert_policies(const struct bh_objects *o, const char *want)
{
	struct bh_world *w = ok_world(o);
	struct bh_str out = {0};

	for (size_t i = 0; i < w->n_policies; i++)
		bh_str_fmt(&out, "%s%s:%u", i ? " " : "", w->policies[i]->name,
			   w->policies[i]->n_rules[BH_INGRESS]);
	assert_string_equal(bh_str_text(&out), want);
	bh_str_done(&out);
	bh_world_unref(w);
}

static void *policy_named(const struct bh_objects *o, const char *name)
{
	struct bh_world *w = ok_world(o);
	void *found = NULL;

	for (size_t i = 0; i < w->n_policies; i++) {
		if (!strcmp(w->policies[i]->name, name))
			found = w->policies[i];
	}
	bh_world_unref(w);
	return found;
}

static enum bh_row_state state_of(struct bh_objects *o, const struct rows *r, size_t i)
{
	struct bh_row_text row = {r->key[i], r->file[i], r->text[i]};

	return bh_objects_row_state(o, &row);
}

static void restore(struct bh_objects *o, const struct rows *r, size_t i)
{
	struct bh_row_text row = {r->key[i], r->file[i], r->text[i]};
	struct bh_err err;

	bh_assert_ok(&err, bh_objects_restore_row(o, &row, &err));
}

/* ---- rows ---- */

static void test_row_states(void **state)
{
	static const struct {
		const char *file, *text; /* of the policy a, which was OTHER in a.yaml */
		const char *more;	 /* what else a.yaml holds */
		enum bh_row_state want;
	} table[] = {
		{"a.yaml", NP("a", OTHER), "", BH_ROW_CURRENT},
		{"a.yaml", NP("a", GOOD), "", BH_ROW_OLD},
		{"b.yaml", NP("a", OTHER), "", BH_ROW_OLD},
		{"a.yaml", NP("a", BAD), "", BH_ROW_NEEDED},
		{"b.yaml", NP("a", BAD), "", BH_ROW_NEEDED},
		{"a.yaml", "", "", BH_ROW_NEEDED},
		{"a.yaml", "{", "", BH_ROW_NEEDED},
		/* Live elsewhere, but what a.yaml holds cannot be seen. */
		{"b.yaml", NP("a", OTHER), "{", BH_ROW_NEEDED},
	};
	struct bh_objects *o = ok_new();
	struct rows r;

	(void)state;
	ok_load(o, "a.yaml", NP("a", OTHER));
	r = saved(o);
	bh_objects_free(o);
	for (size_t i = 0; i < BH_ARRAY_SIZE(table); i++) {
		o = ok_new();
		ok_load(o, table[i].file, table[i].text);
		if (*table[i].more)
			ok_load(o, "a.yaml", table[i].more);
		assert_int_equal(state_of(o, &r, 0), table[i].want);
		if (table[i].want == BH_ROW_CURRENT)
			assert_unsaved(o, "");
		bh_objects_free(o);
	}
	rows_done(&r);
}

static void test_row_of_pod(void **state)
{
	struct bh_objects *o = ok_new();
	struct rows r;

	(void)state;
	ok_load(o, "a.yaml", POD("x"));
	assert_unsaved(o, "a.yaml Pod/default/p");
	r = saved(o);
	assert_int_equal(state_of(o, &r, 0), BH_ROW_CURRENT);
	assert_unsaved(o, "");
	ok_load(o, "a.yaml", POD("y"));
	assert_unsaved(o, "a.yaml Pod/default/p");
	assert_int_equal(state_of(o, &r, 0), BH_ROW_OLD);
	assert_unsaved(o, "a.yaml Pod/default/p");
	ok_load(o, "a.yaml", "#");
	assert_int_equal(state_of(o, &r, 0), BH_ROW_NEEDED);
	restore(o, &r, 0);
	assert_unsaved(o, "gone Pod/default/p");
	bh_objects_free(o);
	rows_done(&r);
}

/* Whose a pod is outlives the manifest too. */
static void test_pod_of_a_workload(void **state)
{
	static const char text[] =
		"apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  labels: {pod-template-hash: "
		"h1}\n"
		"  ownerReferences: [{kind: ReplicaSet, name: web-h1, controller: true}]\n"
		"spec:\n  containers: [{name: main, image: \"img/app:v1\"}]\n";
	struct bh_objects *o = ok_new();
	const struct bh_pod *pod;
	struct rows r;

	(void)state;
	ok_load(o, "a.yaml", text);
	assert_string_equal(bh_objects_pod(o, "default", "p")->owner, "Deployment/web");
	r = saved(o);
	bh_objects_free(o);
	o = ok_new();
	ok_load(o, "a.yaml", "{");
	restore(o, &r, 0);
	pod = bh_objects_pod(o, "default", "p");
	assert_non_null(pod);
	assert_string_equal(pod->owner, "Deployment/web");
	assert_string_equal(pod->sole, "main img/app:v1");
	bh_objects_free(o);
	rows_done(&r);
}

/* Rows that are no object's are left to bh_objects_restore, which says what is wrong with them. */
static void test_row_of_nothing(void **state)
{
	static const char *const keys[] = {"", "a", "Pod/a", "Thing/a/b", "Pod/default/q"};
	struct bh_objects *o = ok_new();

	(void)state;
	ok_load(o, "a.yaml", POD("x"));
	for (size_t i = 0; i < BH_ARRAY_SIZE(keys); i++) {
		struct bh_row_text row = {keys[i], "a.yaml", ""};

		assert_int_equal(bh_objects_row_state(o, &row), BH_ROW_NEEDED);
	}
	bh_objects_free(o);
}

/* Loading first and then restoring what is needed ends like restoring everything and then loading.
 */
static void test_either_order(void **state)
{
	static const char *const now[][2] = {
		/* a.yaml, b.yaml; the rows: a is OTHER in a.yaml, b is OTHER in b.yaml */
		{NP("a", GOOD), NP("b", OTHER)},
		{NP("a", BAD), NP("b", OTHER)},
		{NP("a", BAD), "{"},
		{"#", NP("b", OTHER)},
		{"#", NP("b", OTHER) "---\n" NP("a", GOOD)},
		{NP("b", BAD), NP("a", BAD)},
		{"{", NP("b", BAD)},
		{"---\n{\n---\n" NP("a", BAD), NP("b", GOOD)},
	};
	struct bh_objects *o = ok_new(), *first, *last;
	char *a, *b;
	struct rows r;

	(void)state;
	ok_load(o, "a.yaml", NP("a", OTHER));
	ok_load(o, "b.yaml", NP("b", OTHER));
	r = saved(o);
	bh_objects_free(o);
	for (size_t i = 0; i < BH_ARRAY_SIZE(now); i++) {
		struct bh_world *wa, *wb;

		first = ok_new();
		last = ok_new();
		for (size_t k = 0; k < r.n; k++)
			restore(first, &r, k);
		/* the one that loses an object comes last, for then it is handed over */
		ok_load(first, "b.yaml", now[i][1]);
		ok_load(first, "a.yaml", now[i][0]);
		ok_load(last, "a.yaml", now[i][0]);
		ok_load(last, "b.yaml", now[i][1]);
		for (size_t k = 0; k < r.n; k++) {
			if (state_of(last, &r, k) == BH_ROW_NEEDED)
				restore(last, &r, k);
		}
		a = ok_problems(first);
		b = ok_problems(last);
		assert_string_equal(a, b);
		wa = ok_world(first);
		wb = ok_world(last);
		/* Moved and broken at once is seen in either order only by the later one. */
		assert_true(wb->n_policies >= wa->n_policies);
		for (size_t k = 0; k < wa->n_policies; k++)
			assert_int_equal(wa->policies[k]->n_rules[0], wb->policies[k]->n_rules[0]);
		bh_world_unref(wa);
		bh_world_unref(wb);
		free(a);
		free(b);
		bh_objects_free(first);
		bh_objects_free(last);
	}
	rows_done(&r);
}

/* Moved to another file and broken there while nobody looked. */
static void test_moved_and_broken(void **state)
{
	struct bh_objects *o = ok_new();
	struct rows r;

	(void)state;
	ok_load(o, "a.yaml", NP("a", OTHER));
	r = saved(o);
	bh_objects_free(o);
	o = ok_new();
	ok_load(o, "a.yaml", "#");
	ok_load(o, "b.yaml", NP("a", BAD));
	assert_policies(o, "");
	restore(o, &r, 0);
	assert_policies(o, "a:1");
	ok_load(o, "b.yaml", NP("a", GOOD));
	assert_policies(o, "a:0");
	/* Not where a good one is. */
	ok_load(o, "c.yaml", NP("a", BAD));
	restore(o, &r, 0);
	assert_policies(o, "a:0");
	bh_objects_free(o);
	rows_done(&r);
}

/* ---- texts ---- */

static void test_texts_go(void **state)
{
	struct bh_objects *o = ok_new();
	struct rows r;

	(void)state;
	ok_load(o, "a.yaml", NP("a", OTHER) "---\n" NP("b", OTHER));
	ok_load(o, "b.yaml", NP("a", GOOD));
	bh_objects_saved_done(o);
	r = saved(o);
	assert_int_equal(r.n, 2);
	assert_null(r.text[0]);
	assert_null(r.text[1]);
	rows_done(&r);
	/* Only what changed has its text again. */
	ok_load(o, "a.yaml", NP("a", OTHER) "---\n" NP("b", GOOD));
	r = saved(o);
	assert_null(r.text[0]);
	assert_string_equal(r.text[1], "# bulkhead: line 5\n---\n" NP("b", GOOD));
	rows_done(&r);
	bh_objects_saved_done(o);
	/* The other a, which was not in force, still had its own. */
	ok_load(o, "a.yaml", NP("b", GOOD));
	r = saved(o);
	assert_string_equal(r.file[0], "b.yaml");
	assert_string_equal(r.text[0], "# bulkhead: line 1\n" NP("a", GOOD));
	rows_done(&r);
	bh_objects_free(o);
}

/* The last good version keeps its words until they are saved, whatever becomes of its file. */
static void test_texts_stay(void **state)
{
	struct bh_objects *o = ok_new();
	struct rows r;

	(void)state;
	ok_load(o, "a.yaml", NP("a", OTHER));
	ok_load(o, "a.yaml", NP("a", BAD));
	ok_load(o, "a.yaml", "{");
	r = saved(o);
	assert_string_equal(r.text[0], "# bulkhead: line 1\n" NP("a", OTHER));
	rows_done(&r);
	bh_objects_saved_done(o);
	assert_unsaved(o, "");
	assert_policies(o, "a:1");
	r = saved(o);
	assert_null(r.text[0]);
	rows_done(&r);
	bh_objects_free(o);
}

static void test_unsaved(void **state)
{
	struct bh_objects *o = ok_new();
	bool changed;

	(void)state;
	ok_load(o, "a.yaml", NP("a", OTHER) "---\n" NP("b", OTHER) "---\n" POD("x"));
	assert_unsaved(o,
		       "a.yaml Pod/default/p, a.yaml NetworkPolicy/n/a, "
		       "a.yaml NetworkPolicy/n/b");
	bh_objects_saved_done(o);
	assert_unsaved(o, "");
	/* Only what changed; what is broken stays what it was. */
	ok_load(o, "a.yaml", NP("a", BAD) "---\n" NP("b", GOOD) "---\n" POD("x"));
	assert_unsaved(o, "a.yaml NetworkPolicy/n/b");
	bh_objects_saved_done(o);
	/* On another line it is another row. */
	ok_load(o, "a.yaml", "#\n" NP("a", BAD) "---\n" NP("b", GOOD) "---\n" POD("x"));
	assert_unsaved(o, "a.yaml Pod/default/p, a.yaml NetworkPolicy/n/b");
	/* Gone, or in another file. */
	ok_load(o, "b.yaml", POD("x"));
	ok_load(o, "a.yaml", NP("b", GOOD));
	assert_unsaved(o,
		       "b.yaml Pod/default/p, a.yaml NetworkPolicy/n/b, gone "
		       "NetworkPolicy/n/a");
	bh_objects_saved_done(o);
	assert_unsaved(o, "");
	/* Gone and back before anybody saved it. */
	assert_int_equal(bh_objects_unload(o, "a.yaml", &changed), 0);
	assert_unsaved(o, "gone NetworkPolicy/n/b");
	ok_load(o, "a.yaml", NP("b", OTHER));
	assert_unsaved(o, "a.yaml NetworkPolicy/n/b");
	bh_objects_saved_done(o);
	/* What was never saved leaves nothing. */
	ok_load(o, "c.yaml", NP("c", GOOD));
	assert_int_equal(bh_objects_unload(o, "c.yaml", &changed), 0);
	assert_unsaved(o, "");
	bh_objects_free(o);
}

static int see_displaced(const struct bh_unsaved *u, void *arg)
{
	*(struct bh_unsaved *)arg = *u;
	return 0;
}

/* An earlier file claims the object, and leaves it again: the later one has its words back. */
static void test_displaced(void **state)
{
	static const char row[] = "# bulkhead: line 1\n" NP("a", OTHER);
	struct bh_objects *o = ok_new();
	struct bh_unsaved u = {0};
	bool changed;
	struct rows r;

	(void)state;
	ok_load(o, "b.yaml", NP("a", OTHER));
	bh_objects_saved_done(o);
	ok_load(o, "a.yaml", NP("a", GOOD));
	assert_int_equal(bh_objects_unsaved(o, see_displaced, &u), 0);
	assert_non_null(u.displaced);
	assert_int_equal(bh_objects_keep_words(u.displaced, row), 0);
	assert_unsaved(o, "a.yaml NetworkPolicy/n/a");
	bh_objects_saved_done(o);
	assert_int_equal(bh_objects_unload(o, "a.yaml", &changed), 0);
	assert_unsaved(o, "b.yaml NetworkPolicy/n/a");
	r = saved(o);
	bh_objects_free(o);
	/* On the line it always was. */
	o = ok_new();
	restore(o, &r, 0);
	assert_policies(o, "a:1");
	assert_int_equal(((struct bh_policy *)policy_named(o, "a"))->place.line, 1);
	bh_objects_free(o);
	rows_done(&r);
}

/* ---- documents that did not change ---- */

static void test_reuse(void **state)
{
	struct bh_objects *o = ok_new();
	void *a, *b;

	(void)state;
	ok_load(o, "f", NP("a", GOOD) "---\n" NP("b", GOOD) "---\n" NP("c", GOOD));
	a = policy_named(o, "a");
	b = policy_named(o, "b");
	assert_true(ok_load(o, "f", NP("a", GOOD) "---\n" NP("b", OTHER) "---\n" NP("c", GOOD)));
	assert_policies(o, "a:0 b:1 c:0");
	assert_ptr_equal(policy_named(o, "a"), a);
	assert_ptr_not_equal(policy_named(o, "b"), b);
	/* Another line is another place, so what explain says changes. */
	assert_true(ok_load(o, "f", "\n" NP("a", GOOD)));
	assert_policies(o, "a:0");
	assert_int_equal(((struct bh_policy *)policy_named(o, "a"))->place.line, 2);
	/* Twice the same: both are seen. */
	ok_load(o, "f", "\n" NP("a", GOOD) "---\n" NP("a", GOOD));
	ok_load(o, "f", "\n" NP("a", GOOD) "---\n" NP("a", GOOD) "#\n");
	ok_assert_problems(o,
			   "f:7:1: error: NetworkPolicy n/a: NetworkPolicy n/a is already "
			   "defined at f:2:1, which stays\n");
	bh_objects_free(o);
}

/* What was said about a document is said again, each time. */
static void test_reuse_keeps_problems(void **state)
{
	static const char doubt[] =
		"f:4:36: error: NetworkPolicy n/a: unknown field 'new'; the "
		"rule allows nothing\n";
	struct bh_objects *o = ok_new();
	struct bh_str text = {0};

	(void)state;
	ok_load(o, "f", NP("a", DOUBT) "---\n" NP("b", GOOD));
	ok_assert_problems(o, doubt);
	ok_load(o, "f", NP("a", DOUBT) "---\n" NP("b", OTHER));
	ok_assert_problems(o, doubt);
	ok_load(o, "f", NP("a", BAD) "---\n" NP("b", OTHER));
	ok_load(o, "f", NP("a", BAD) "---\n" NP("b", GOOD));
	ok_assert_problems(o, "f:4:51: error: NetworkPolicy n/a: 'port': 0 is not 1-65535\n");
	assert_policies(o, "a:1 b:0");
	/* Also where so much was wrong before that nothing more was written down. */
	for (int i = 0; i < 1100; i++)
		bh_str_add(&text, "---\n{a: 1}\n");
	bh_str_add(&text, "---\n" NP("a", DOUBT));
	ok_load_n(o, "f", bh_str_text(&text), text.n);
	bh_str_done(&text);
	for (int i = 0; i < 2200; i++)
		bh_str_add(&text, "#\n");
	bh_str_add(&text, "---\n" NP("a", DOUBT));
	ok_load_n(o, "f", bh_str_text(&text), text.n);
	ok_assert_problems(o,
			   "f:2205:36: error: NetworkPolicy n/a: unknown field 'new'; the rule "
			   "allows nothing\n");
	bh_str_done(&text);
	bh_objects_free(o);
}

/* The same end, whatever was read before: random edits against a set that never saw another text.
 */
static void test_reuse_random(void **state)
{
	static const char *const specs[] = {GOOD, OTHER, BAD, DOUBT};
	struct bh_objects *o = ok_new();
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct bh_objects *fresh = ok_new();
		struct bh_str text = {0};
		char *a, *b;

		for (int i = 0; i < 6; i++) {
			seed = seed * 1103515245 + 12345;
			if (seed >> 16 & 8)
				bh_str_add(&text, "# text\n");
			bh_str_fmt(&text,
				   "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
				   "metadata: {name: p%d, namespace: n}\nspec: %s\n",
				   i, specs[seed >> 16 & 1 ? 0 : seed >> 20 & 3]);
		}
		ok_load_n(o, "f", bh_str_text(&text), text.n);
		ok_load_n(fresh, "f", bh_str_text(&text), text.n);
		a = ok_problems(o);
		b = ok_problems(fresh);
		assert_string_equal(a, b);
		free(a);
		free(b);
		bh_str_done(&text);
		bh_objects_free(fresh);
	}
	bh_objects_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_row_states),
		cmocka_unit_test(test_row_of_pod),
		cmocka_unit_test(test_pod_of_a_workload),
		cmocka_unit_test(test_row_of_nothing),
		cmocka_unit_test(test_either_order),
		cmocka_unit_test(test_moved_and_broken),
		cmocka_unit_test(test_texts_go),
		cmocka_unit_test(test_texts_stay),
		cmocka_unit_test(test_unsaved),
		cmocka_unit_test(test_displaced),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_reuse_keeps_problems),
		cmocka_unit_test(test_reuse_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
