#include "base/json.h"
#include "cli/commands.h"

static int show(struct bh_cli *cli, const json_t *answer)
{
	static const struct bh_column columns[] = {{"POD", false, 16},	 {"DIRECTION", false, 0},
						   {"PEER", false, 16},	 {"PORT", false, 0},
						   {"KERNEL", false, 0}, {"REFERENCE", false, 0}};
	BH_CLEANUP(bh_table_freep)
	struct bh_table *t = bh_table_new(columns, BH_ARRAY_SIZE(columns));
	const json_t *list = json_object_get(answer, "mismatches");
	json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
	{
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "pod"));
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "direction"));
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "peer"));
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "port"));
		bh_table_add(t, BH_BAD, bh_show_str(v, "kernel"));
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "reference"));
	}
	if (json_array_size(list) && bh_table_print(t, &cli->out))
		return bh_cli_fail(cli, "out of memory");
	bh_out_line(&cli->out, json_array_size(list) ? BH_BAD : BH_GOOD,
		    "%lld cells compared at revision %lld, %zu differ",
		    bh_show_int(answer, "cells"), bh_show_int(answer, "revision"),
		    json_array_size(list));
	return BH_EXIT_OK;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	struct bh_call call = {.verb = "policy.verify",
			       .timeout_ms = 600000,
			       .progress = "reading the kernel's tables back"};
	BH_CLEANUP(bh_json_decrefp) json_t *answer = NULL;
	int r = bh_cli_call(cli, call, &answer);

	(void)args;
	if (r)
		return r;
	if (cli->wants_json)
		bh_out_json(&cli->out, answer, false);
	else if (show(cli, answer))
		return BH_EXIT_FAILED;
	return json_array_size(json_object_get(answer, "mismatches")) ? BH_EXIT_FAILED : BH_EXIT_OK;
}

const struct bh_command bh_cmd_policy_verify = {
	.name = "policy verify",
	.operands = "",
	.summary = "compare the kernel's tables, read back, with the reference evaluator",
	.more = "Exit status 1 when a cell differs.",
	.example = "bulkhead policy verify",
	.shows = true,
	.run = run,
};
