#include <string.h>

#include "cli/commands.h"

static const struct bh_option options[] = {
	{"follow", NULL, "go on showing new and changed ones", 0, false, false},
	{"pod", "NS/POD", "only those of this pod", 0, false, false},
	{"verdict", "denied|allowed", "only these", 0, false, false},
	{0},
};

static const struct bh_column columns[] = {
	{"FROM", false, 12}, {"TO", false, 12},	    {"PORT", false, 0},	  {"VERDICT", false, 0},
	{"WHY", false, 10},  {"PROCESS", false, 8}, {"PACKETS", true, 0}, {"LAST", false, 10}};

static const char *end_name(const json_t *flow, const char *name, const char *address)
{
	const char *s = bh_show_str(flow, name);

	return strcmp(s, "-") ? s : bh_show_str(flow, address);
}

static int print(const struct bh_cli *cli, const json_t *answer)
{
	BH_CLEANUP(bh_table_freep)
	struct bh_table *t = bh_table_new(columns, BH_ARRAY_SIZE(columns));
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(answer, "flows"), i, v)
	{
		const char *verdict = bh_show_str(v, "verdict");
		const char *rule = bh_show_str(v, "rule");

		bh_table_add(t, BH_PLAIN, end_name(v, "from", "fromAddress"));
		bh_table_add(t, BH_PLAIN, end_name(v, "to", "toAddress"));
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "port"));
		bh_table_add(t, bh_show_paint(verdict), verdict);
		bh_table_add(t, BH_PLAIN, strcmp(rule, "-") ? rule : bh_show_str(v, "reason"));
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "process"));
		bh_table_fmt(t, BH_PLAIN, "%lld", bh_show_int(v, "packets"));
		bh_table_add(t, BH_FAINT, bh_show_str(v, "last"));
	}
	return bh_table_print(t, &cli->out) ? bh_cli_fail(cli, "out of memory") : BH_EXIT_OK;
}

static int show(struct bh_cli *cli, const json_t *answer)
{
	if (json_array_size(json_object_get(answer, "flows")))
		return print(cli, answer);
	fputs("There are no flows.\n", cli->out.f);
	return BH_EXIT_OK;
}

/* One result of the stream; a line of JSON, or one line per flow. */
static int follow(const json_t *result, void *arg)
{
	const struct bh_cli *cli = arg;
	json_t *v;
	size_t i;

	if (cli->wants_json) {
		bh_out_json(&cli->out, result, true);
		return fflush(cli->out.f) ? 1 : 0;
	}
	json_array_foreach(json_object_get(result, "flows"), i, v)
	{
		const char *verdict = bh_show_str(v, "verdict");
		const char *rule = bh_show_str(v, "rule");

		bh_out_line(&cli->out, bh_show_paint(verdict),
			    "%s %s %s -> %s %s, %lld packets, %s", bh_show_str(v, "last"), verdict,
			    end_name(v, "from", "fromAddress"), end_name(v, "to", "toAddress"),
			    bh_show_str(v, "port"), bh_show_int(v, "packets"),
			    strcmp(rule, "-") ? rule : bh_show_str(v, "reason"));
	}
	return fflush(cli->out.f) ? 1 : 0;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	const char *pod = bh_args_get(args, "pod");
	const char *verdict = bh_args_get(args, "verdict");
	bool is_following = bh_args_has(args, "follow");
	struct bh_call call = {.verb = "flows"};

	if (pod && bh_cli_pod(cli, pod))
		return BH_EXIT_USAGE;
	if (verdict && strcmp(verdict, "denied") && strcmp(verdict, "allowed"))
		return bh_cli_usage(cli, "--verdict takes denied or allowed, not '%s'", verdict);
	call.take_args = json_pack("{s:s? s:s? s:b}", "pod", pod, "verdict", verdict, "follow",
				   is_following);
	if (!call.take_args)
		return bh_cli_usage(cli, "an argument is not UTF-8");
	if (is_following)
		return bh_cli_stream(cli, call, follow, cli);
	return bh_cli_call_and_show(cli, call, show);
}

const struct bh_command bh_cmd_flows = {
	.name = "flows",
	.operands = "",
	.summary = "who talked, or tried to, with whom; verdict, rule, process, packets",
	.more = "With --follow -o json each line is one JSON object {\"flows\":[...]}.",
	.example = "bulkhead flows --follow --verdict denied",
	.options = options,
	.shows = true,
	.run = run,
};
