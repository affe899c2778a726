/* Runs the catalogue in tests/cases against the reference evaluator and the compiled tables: one
 * test per case, named by its directory. */
#include "bh_agree.h"
#include "bh_cases.h"

#include "refeval/report.h"

static const char *const step_keys[] = {"title", "default",  "now",    "node",
					"files", "problems", "expect", NULL};
static const char *const row_keys[] = {"from",	 "to",		"port",	  "expect", "process",
				       "packet", "established", "listen", NULL};

/* ---- the catalogue itself ---- */

static bool is_known(const char *key, const char *const *keys)
{
	while (*keys && strcmp(*keys, key) != 0)
		keys++;
	return *keys;
}

/* A misspelt key would silently test nothing. */
static void check_keys(const json_t *obj, const char *const *keys)
{
	const char *key;
	json_t *value;

	assert_true(json_is_object(obj));
	json_object_foreach((json_t *)obj, key, value)
	{
		if (!is_known(key, keys))
			fail_msg("unknown key '%s'", key);
	}
}

static void check_step(const json_t *step)
{
	const json_t *expect = json_object_get(step, "expect"), *row;
	size_t i;

	check_keys(step, step_keys);
	assert_true(json_array_size(expect) > 0);
	json_array_foreach(expect, i, row) check_keys(row, row_keys);
}

/* ---- problems ---- */

static enum bh_problem_level level_of(const char *text)
{
	if (strcmp(text, "error") == 0)
		return BH_PROBLEM_ERROR;
	assert_string_equal(text, "warning");
	return BH_PROBLEM_WARNING;
}

static bool is_wanted(const json_t *wanted, const struct bh_problem *p)
{
	const char *object = json_string_value(json_object_get(wanted, "object"));
	const char *level = json_string_value(json_object_get(wanted, "level"));
	const char *text = json_string_value(json_object_get(wanted, "text"));

	return level_of(level) == p->level && bh_streq(object, p->object) &&
	       (!text || strstr(p->text, text));
}

/* Every problem the step lists is reported, and no error that it does not list. */
static void check_problems(const struct bh_case *c, const json_t *step)
{
	const json_t *list = json_object_get(step, "problems"), *wanted;
	struct bh_problems all = {0};
	size_t i, k;

	assert_int_equal(bh_objects_problems(c->objects, &all), 0);
	json_array_foreach(list, i, wanted)
	{
		for (k = 0; k < all.n && !is_wanted(wanted, &all.v[k]); k++)
			;
		if (k == all.n)
			fail_msg("no such problem: %s", json_dumps(wanted, 0));
	}
	for (k = 0; k < all.n; k++) {
		bool is_listed = all.v[k].level != BH_PROBLEM_ERROR;

		json_array_foreach(list, i, wanted) is_listed |= is_wanted(wanted, &all.v[k]);
		if (!is_listed)
			fail_msg("unexpected problem: %s:%u: %s", all.v[k].file, all.v[k].line,
				 all.v[k].text);
	}
	bh_problems_done(&all);
}

/* ---- rows ---- */

static void check_rows(const struct bh_world *w, const json_t *rows)
{
	json_t *out = NULL, *result;
	struct bh_err err;
	size_t i;

	bh_assert_ok(&err, bh_report_test(w, rows, &out, &err));
	json_array_foreach(json_object_get(out, "results"), i, result)
	{
		if (!json_is_true(json_object_get(result, "ok")))
			fail_msg("reference: row %zu: %s", i + 1, json_dumps(result, 0));
	}
	json_decref(out);
}

/* The first address of a row's end that goes with `with` (NULL: any); a pod may have none. */
static struct bh_end end_of(const struct bh_world *w, const char *text, const struct bh_end *with)
{
	const char *slash = strchr(text, '/');
	BH_CLEANUP(bh_freep) char *ns = NULL;
	int family = 0;
	struct bh_err err;
	struct bh_ip ip;

	if (!slash) {
		bh_assert_ok(&err, bh_ip_parse(text, &ip, &err));
		return bh_refeval_end(w, &ip);
	}
	ns = strndup(text, (size_t)(slash - text));
	if (with && with->has_ip)
		family = bh_ip_is4(&with->ip) ? 4 : 6;
	return bh_refeval_pod_end(bh_world_pod(w, ns, slash + 1), family);
}

/* The tables agree about the row itself, and about the row's port between all other pods. */
static void check_tables(const struct bh_world *w, const struct bh_tables *t, const json_t *row)
{
	const char *from = json_string_value(json_object_get(row, "from"));
	const char *to = json_string_value(json_object_get(row, "to"));
	struct bh_ask ask = {.dir = BH_EGRESS,
			     .exe = json_string_value(json_object_get(row, "process"))};
	struct bh_err err;

	bh_assert_ok(&err, bh_port_proto_parse(json_string_value(json_object_get(row, "port")),
					       &ask.port, &ask.proto, &err));
	ask.peer = end_of(w, to, NULL);
	ask.self = end_of(w, from, &ask.peer);
	if (!ask.self.has_ip) { /* the destination has the other family first */
		ask.self = end_of(w, from, NULL);
		ask.peer = end_of(w, to, &ask.self);
	}
	if (ask.self.has_ip && ask.peer.has_ip)
		bh_agree_cell(w, t, &ask);
	bh_agree_all(w, t, &ask);
}

static void run_step(struct bh_case *c, json_t *step)
{
	const json_t *rows = json_object_get(step, "expect"), *row;
	struct bh_world *w;
	struct bh_tables *t;
	size_t i;

	check_step(step);
	w = bh_case_step(c, step);
	check_problems(c, step);
	check_rows(w, rows);
	t = bh_agree_compile(w);
	json_array_foreach(rows, i, row) check_tables(w, t, row);
	bh_tables_free(t);
	bh_world_unref(w);
}

static void run_case(void **state)
{
	struct bh_case c;
	json_t *step;
	size_t i;

	bh_case_open(*state, &c);
	assert_int_equal(json_integer_value(json_object_get(c.json, "number")),
			 strtol(*state, NULL, 10));
	assert_true(json_array_size(bh_case_steps(&c)) > 0);
	json_array_foreach(bh_case_steps(&c), i, step)
	{
		const char *title = json_string_value(json_object_get(step, "title"));

		print_message("step %zu %s\n", i + 1, title ? title : "");
		run_step(&c, step);
	}
	bh_case_close(&c);
}

/* NetworkPolicy has cases 1 to 64; a missing one is a mistake. */
static void test_catalogue_is_complete(void **state)
{
	char **names = *state;
	bool has[65] = {0};

	for (; *names; names++) {
		long number = strtol(*names, NULL, 10);

		if (number > 0 && number < 65)
			has[number] = true;
	}
	for (int i = 1; i < 65; i++) {
		if (!has[i])
			fail_msg("case %d is missing", i);
	}
}

int main(void)
{
	static char *names[BH_CASES_MAX + 1];
	static struct CMUnitTest tests[BH_CASES_MAX + 1];
	size_t n = bh_cases_list(names);
	int failed;

	tests[0] = (struct CMUnitTest){.name = "catalogue",
				       .test_func = test_catalogue_is_complete,
				       .initial_state = names};
	for (size_t i = 0; i < n; i++)
		tests[i + 1] = (struct CMUnitTest){
			.name = names[i], .test_func = run_case, .initial_state = names[i]};
	failed = _cmocka_run_group_tests("cases", tests, n + 1, NULL, NULL);
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	return failed;
}
