#include <string.h>

#include "cli/commands.h"

static int show(struct bh_cli *cli, const json_t *rows)
{
	static const struct bh_column columns[] = {{"RULE", false, 20},
						   {"WHY", false, 12},
						   {"OWNER", false, 10},
						   {"EXPIRES", false, 10},
						   {"LAST USED", false, 10}};
	BH_CLEANUP(bh_table_freep)
	struct bh_table *t = bh_table_new(columns, BH_ARRAY_SIZE(columns));
	json_t *v;
	size_t i;

	if (!json_array_size(rows)) {
		fputs("No rule carries a reason.\n", cli->out.f);
		return BH_EXIT_OK;
	}
	json_array_foreach(rows, i, v)
	{
		const char *use = bh_show_str(v, "useCase");
		bool has_use = strcmp(use, "-");
		bool is_over = bh_show_bool(v, "expired");

		bh_table_add(t, BH_PLAIN, bh_show_str(v, "rule"));
		bh_table_fmt(t, BH_PLAIN, "%s%s%s%s", bh_show_str(v, "why"), has_use ? " (" : "",
			     has_use ? use : "", has_use ? ")" : "");
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "owner"));
		bh_table_fmt(t, is_over ? BH_FAINT : BH_PLAIN, "%s%s", bh_show_str(v, "expires"),
			     is_over ? " (over)" : "");
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "lastUsed"));
	}
	return bh_table_print(t, &cli->out) ? bh_cli_fail(cli, "out of memory") : BH_EXIT_OK;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	(void)args;
	return bh_cli_call_and_show(cli, (struct bh_call){.verb = "policy.exceptions"}, show);
}

const struct bh_command bh_cmd_policy_exceptions = {
	.name = "policy exceptions",
	.operands = "",
	.summary = "rules with a reason: owner, expiry, when last used",
	.example = "bulkhead policy exceptions",
	.shows = true,
	.run = run,
};
