#include "cli/commands.h"

static void add_row(struct bh_table *t, const json_t *pod)
{
	static const char *const columns[] = {"seen",	  "delivered", "deduplicated",
					      "deferred", "lost",      "killed"};
	const json_t *books = json_object_get(pod, "books");

	bh_table_add(t, BH_PLAIN, bh_show_str(pod, "pod"));
	bh_table_fmt(t, BH_PLAIN, "%lld", bh_show_int(books, "execs"));
	bh_table_fmt(t, BH_PLAIN, "%lld", bh_show_int(pod, "facts"));
	for (size_t i = 0; i < BH_ARRAY_SIZE(columns); i++)
		bh_table_fmt(t, BH_PLAIN, "%lld", bh_show_int(books, columns[i]));
}

static int show(struct bh_cli *cli, const json_t *answer)
{
	static const struct bh_column columns[] = {
		{"POD", false, 16},    {"EXECS", true, 0},     {"FACTS", true, 0},
		{"SEEN", true, 0},     {"DELIVERED", true, 0}, {"DEDUPLICATED", true, 0},
		{"DEFERRED", true, 0}, {"LOST", true, 0},      {"KILLED", true, 0}};
	BH_CLEANUP(bh_table_freep)
	struct bh_table *t = bh_table_new(columns, BH_ARRAY_SIZE(columns));
	const json_t *pods = json_object_get(answer, "pods");
	const json_t *hooks = json_object_get(answer, "securityHooks");
	json_t *pod;
	size_t i;

	bh_out_line(&cli->out, BH_PLAIN, "mode %s", bh_show_str(answer, "mode"));
	if (json_is_string(json_object_get(answer, "trouble")))
		bh_out_line(&cli->out, BH_WARN, "%s", bh_show_str(answer, "trouble"));
	if (json_is_string(json_object_get(hooks, "why")))
		bh_out_line(&cli->out, BH_PLAIN, "%s", bh_show_str(hooks, "why"));
	if (!json_array_size(pods))
		return BH_EXIT_OK;
	json_array_foreach(pods, i, pod) add_row(t, pod);
	return bh_table_print(t, &cli->out) ? bh_cli_fail(cli, "out of memory") : BH_EXIT_OK;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	struct bh_call call = {.verb = "runtime"};
	const char *mode = bh_args_operand(args, 0);

	if (mode)
		call.take_args = json_pack("{s:s}", "mode", mode);
	if (mode && !call.take_args)
		return bh_cli_usage(cli, "an argument is not UTF-8");
	return bh_cli_call_and_show(cli, call, show);
}

const struct bh_command bh_cmd_runtime = {
	.name = "runtime",
	.operands = "[MODE]",
	.summary =
		"tracing: its mode and its books; with MODE off, light, watch or learn: change it",
	.more = "The mode changes while everything runs and lasts until the daemon ends; the "
		"configuration key runtime.mode says how it starts. Of what was seen in a pod, "
		"each "
		"event was delivered, deduplicated, deferred (kept in the kernel's sets while the "
		"ring was full) or lost.",
	.example = "bulkhead runtime watch",
	.max_operands = 1,
	.shows = true,
	.run = run,
};
