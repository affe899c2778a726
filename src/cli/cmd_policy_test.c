#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/json.h"
#include "cli/assertions.h"
#include "cli/commands.h"
#include "cli/world.h"
#include "ctl/client.h"
#include "refeval/report.h"

#define MAX_FILE (64u * 1024 * 1024)

static const struct bh_option options[] = {
	BH_CLI_MANIFESTS,
	BH_CLI_DEFAULT,
	{0},
};

static int show(struct bh_cli *cli, const json_t *answer)
{
	static const struct bh_column columns[] = {{"FROM", false, 16}, {"TO", false, 16},
						   {"PORT", false, 0},	{"EXPECTED", false, 0},
						   {"IS", false, 0},	{"RULE", false, 16}};
	BH_CLEANUP(bh_table_freep)
	struct bh_table *t = bh_table_new(columns, BH_ARRAY_SIZE(columns));
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(answer, "results"), i, row)
	{
		enum bh_paint p = bh_show_bool(row, "ok") ? BH_GOOD : BH_BAD;

		bh_table_add(t, BH_PLAIN, bh_show_str(row, "from"));
		bh_table_add(t, BH_PLAIN, bh_show_str(row, "to"));
		bh_table_add(t, BH_PLAIN, bh_show_str(row, "port"));
		bh_table_add(t, BH_PLAIN, bh_show_str(row, "expect"));
		bh_table_add(t, p, bh_show_str(row, "verdict"));
		bh_table_add(t, BH_PLAIN, bh_show_str(row, "rule"));
	}
	if (bh_table_print(t, &cli->out))
		return bh_cli_fail(cli, "out of memory");
	bh_out_line(&cli->out, bh_show_int(answer, "failed") ? BH_BAD : BH_GOOD,
		    "%lld hold, %lld do not", bh_show_int(answer, "passed"),
		    bh_show_int(answer, "failed"));
	return BH_EXIT_OK;
}

static int from_directory(const struct bh_cli *cli, const char *dir, bool default_allow,
			  const json_t *assertions, json_t **ret)
{
	BH_CLEANUP(bh_world_unrefp) struct bh_world *w = NULL;
	struct bh_err err;
	int r = bh_cli_world(cli, &dir, 1, default_allow, &w);

	if (r)
		return r;
	if (bh_report_test(w, assertions, ret, &err))
		return bh_cli_fail(cli, "%s", err.text);
	return BH_EXIT_OK;
}

/* The rule that decided: of the side that denies, else of both. */
static json_t *rule_of(const json_t *cell)
{
	const json_t *egress = json_object_get(cell, "egress");
	const json_t *ingress = json_object_get(cell, "ingress");

	if (!strcmp(bh_show_str(egress, "verdict"), "denied"))
		return json_string(bh_show_str(egress, "rule"));
	return json_string(bh_show_str(ingress, "rule"));
}

/* Asks the daemon for one assertion and adds the row. *failed counts those that do not hold. */
static int ask(const struct bh_cli *cli, const json_t *assertion, json_t *results, size_t *failed)
{
	BH_CLEANUP(bh_json_decrefp) json_t *cell = NULL;
	struct bh_call call = {.verb = "policy.explain"};
	json_t *row = json_deep_copy(assertion);
	const char *verdict;
	bool is_ok;
	int r;

	call.take_args = json_copy((json_t *)assertion);
	json_object_del(call.take_args, "expect");
	r = bh_cli_call(cli, call, &cell);
	if (r) {
		json_decref(row);
		return r;
	}
	verdict = bh_show_str(cell, "verdict");
	is_ok = !strcmp(verdict, bh_show_str(assertion, "expect"));
	*failed += !is_ok;
	if (json_object_set_new(row, "verdict", json_string(verdict)) ||
	    json_object_set_new(row, "rule", rule_of(cell)) ||
	    json_object_set_new(row, "ok", json_boolean(is_ok)) ||
	    json_array_append_new(results, row))
		return bh_cli_fail(cli, "out of memory");
	return BH_EXIT_OK;
}

static int live(const struct bh_cli *cli, const json_t *assertions, json_t **ret)
{
	BH_CLEANUP(bh_json_decrefp) json_t *results = json_array();
	size_t i, failed = 0;
	json_t *a;

	json_array_foreach(assertions, i, a)
	{
		int r = ask(cli, a, results, &failed);

		if (r)
			return r;
	}
	*ret = json_pack("{s:I s:I s:O}", "passed", (json_int_t)(i - failed), "failed",
			 (json_int_t)failed, "results", results);
	return *ret ? BH_EXIT_OK : bh_cli_fail(cli, "out of memory");
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	BH_CLEANUP(bh_json_decrefp) json_t *assertions = NULL;
	BH_CLEANUP(bh_json_decrefp) json_t *answer = NULL;
	BH_CLEANUP(bh_freep) char *text = NULL;
	const char *file = bh_args_operand(args, 0);
	bool default_allow;
	struct bh_err err;
	const char *dir;
	size_t len;
	int r = bh_cli_source(cli, args, &dir, &default_allow);

	if (r)
		return r;
	if (bh_fs_read(file, MAX_FILE, &text, &len, &err))
		return bh_cli_fail(cli, "%s", err.text);
	if (bh_assertions_parse(file, text, len, &assertions, &err))
		return bh_cli_fail(cli, "%s", err.text);
	r = dir ? from_directory(cli, dir, default_allow, assertions, &answer)
		: live(cli, assertions, &answer);
	if (r)
		return r;
	if (cli->wants_json)
		bh_out_json(&cli->out, answer, false);
	else if (show(cli, answer))
		return BH_EXIT_FAILED;
	return bh_show_int(answer, "failed") ? BH_EXIT_FAILED : BH_EXIT_OK;
}

const struct bh_command bh_cmd_policy_test = {
	.name = "policy test",
	.operands = "FILE",
	.summary =
		"check assertions (from, to, port, expect); exit status 1 when one does not hold",
	.more = "FILE is a YAML or JSON list of {from, to, port, expect}: from and to as in policy "
		"explain, port as in 80/TCP, expect allowed or denied.",
	.example = "bulkhead policy test shop.assertions.yaml --manifests ./manifests",
	.options = options,
	.min_operands = 1,
	.max_operands = 1,
	.shows = true,
	.run = run,
};
