/* YAML in, compiled tables out: tests/golden/compile/NAME.yaml must print as NAME.tables.
 *
 * `golden_test_golden --update` writes the files anew; review then reads the diff. All pods of a
 * file are local; it is 2026-01-01, the node is node1, and directions that nothing selects are
 * shut. */
#include "bh_test.h"

#include <errno.h>

#include "base/fs.h"
#include "base/str.h"
#include "policy/objects.h"
#include "policy/tables.h"

#define NOW	 1767225600
#define MAX_FILE (1u << 20)

static bool is_update; /* set once by main */

static struct bh_world *load(const char *path)
{
	struct bh_objects *o = NULL;
	struct bh_problems problems = {0};
	struct bh_world *w = NULL;
	char *text = NULL;
	size_t len;
	bool is_changed;
	struct bh_err err;

	bh_assert_ok(&err, bh_fs_read(path, MAX_FILE, &text, &len, &err));
	bh_assert_ok(&err, bh_objects_new(&(struct bh_objects_options){0}, &o, &err));
	bh_assert_ok(&err, bh_objects_load(o, path, text, len, &is_changed, &err));
	assert_int_equal(bh_objects_problems(o, &problems), 0);
	for (size_t i = 0; i < problems.n; i++) {
		if (problems.v[i].level == BH_PROBLEM_ERROR)
			fail_msg("%s:%u: %s", path, problems.v[i].line, problems.v[i].text);
	}
	bh_problems_done(&problems);
	bh_assert_ok(&err, bh_world_new(&w, &err));
	w->now_s = NOW;
	bh_assert_ok(&err, bh_objects_fill(o, w, &err));
	assert_int_equal(bh_objects_fill_node(o, "node1", w), 0);
	bh_assert_ok(&err, bh_world_seal(w, &err));
	bh_objects_free(o);
	free(text);
	return w;
}

static char *compile(const char *path)
{
	struct bh_world *w = load(path);
	struct bh_subject *s = calloc(w->n_pods + 1, sizeof(*s));
	struct bh_tables *t = NULL;
	struct bh_err err;
	char *text;

	assert_non_null(s);
	for (size_t i = 0; i < w->n_pods; i++)
		s[i] = (struct bh_subject){w->pods[i]->ident->ns, w->pods[i]->name};
	bh_assert_ok(&err, bh_compile(w, s, w->n_pods, &t, &err));
	text = bh_tables_print(t);
	assert_non_null(text);
	bh_tables_free(t);
	bh_world_unref(w);
	free(s);
	return text;
}

static int check_file(const char *path, void *arg)
{
	size_t *n = arg, len, stem = strlen(path) - strlen(".yaml");
	char *got, *want = NULL, *tables;
	struct bh_err err;

	if (strcmp(path + stem, ".yaml") != 0)
		return 0;
	tables = bh_strf("%.*s.tables", (int)stem, path);
	assert_non_null(tables);
	got = compile(path);
	if (is_update)
		bh_assert_ok(&err, bh_fs_replace(tables, got, strlen(got), 0644, &err));
	bh_assert_ok(&err, bh_fs_read(tables, MAX_FILE, &want, &len, &err));
	print_message("%s\n", path);
	assert_string_equal(got, want);
	free(want);
	free(got);
	free(tables);
	(*n)++;
	return 0;
}

static void test_compile(void **state)
{
	const char *source = getenv("BH_SOURCE_DIR");
	char *dir = bh_strf("%s/tests/golden/compile", source ? source : ".");
	size_t n = 0;
	struct bh_err err;

	(void)state;
	assert_non_null(dir);
	bh_assert_ok(&err, bh_fs_walk(dir, check_file, &n, &err));
	assert_true(n >= 6);
	free(dir);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compile),
	};

	is_update = argc > 1 && strcmp(argv[1], "--update") == 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
