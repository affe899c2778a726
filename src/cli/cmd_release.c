#include "cli/commands.h"

static const struct bh_option options[] = {
	{"reason", "TEXT", "why; kept in the event log (needed)", 0, false, false},
	{0},
};

static int show(struct bh_cli *cli, const json_t *r)
{
	const struct bh_out *o = &cli->out;

	bh_out_line(o, BH_GOOD, "%s is released", bh_show_str(r, "pod"));
	bh_out_line(o, BH_PLAIN, "quarantined since  %s", bh_show_str(r, "since"));
	bh_out_line(o, BH_PLAIN, "released           %s", bh_show_str(r, "released"));
	bh_out_line(o, BH_PLAIN, "reason             %s", bh_show_str(r, "reason"));
	bh_out_line(o, BH_PLAIN, "by                 %s", bh_show_str(r, "by"));
	return BH_EXIT_OK;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	struct bh_call call = {.verb = "release"};
	const char *pod = bh_args_operand(args, 0);
	const char *reason = NULL;
	int r = bh_cli_pod(cli, pod);

	if (!r)
		r = bh_cli_reason(cli, args, &reason);
	if (r)
		return r;
	call.take_args = json_pack("{s:s s:s}", "pod", pod, "reason", reason);
	if (!call.take_args)
		return bh_cli_usage(cli, "an argument is not UTF-8");
	return bh_cli_call_and_show(cli, call, show);
}

const struct bh_command bh_cmd_release = {
	.name = "release",
	.operands = "NS/POD",
	.summary = "end a quarantine",
	.example = "bulkhead release shop/web --reason 'false alarm, see OPS-88'",
	.options = options,
	.min_operands = 1,
	.max_operands = 1,
	.shows = true,
	.run = run,
};
