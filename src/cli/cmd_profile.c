/* cmd_profile.c - profiles that come of a workload's baseline. */
#include "base/json.h"
#include "cli/commands.h"

/* The text to standard output, what it admits beyond the observed to standard error. */
static int make(struct bh_cli *cli, const struct bh_args *args, const char *kind)
{
	BH_CLEANUP(bh_json_decrefp) json_t *made = NULL;
	struct bh_call call = {.verb = "baseline.make",
			       .take_args = json_pack("{s:s, s:s}", "workload",
						      bh_args_operand(args, 0), "kind", kind)};
	const struct bh_out err = {.f = cli->err, .width = BH_OUT_WIDTH};
	int r = bh_cli_call(cli, call, &made);

	if (r)
		return r;
	fputs(bh_show_str(made, "text"), cli->out.f);
	bh_out_line(&err, BH_PLAIN, "%s: admits %lld of %lld observed, and %lld more of %lld (%s)",
		    bh_show_str(made, "workload"), bh_show_int(made, "admitted"),
		    bh_show_int(made, "observed"), bh_show_int(made, "slack"),
		    bh_show_int(made, "asked"), bh_show_str(made, "what"));
	return BH_EXIT_OK;
}

static int run_seccomp(struct bh_cli *cli, const struct bh_args *args)
{
	return make(cli, args, "seccomp");
}

const struct bh_command bh_cmd_profile_seccomp = {
	.name = "profile seccomp",
	.operands = "NS/POD",
	.summary = "a seccomp profile (OCI JSON) of the system calls that were observed",
	.example = "bulkhead profile seccomp shop/web > web-seccomp.json",
	.min_operands = 1,
	.max_operands = 1,
	.run = run_seccomp,
};

static int run_runtime(struct bh_cli *cli, const struct bh_args *args)
{
	return make(cli, args, "runtime");
}

const struct bh_command bh_cmd_profile_runtime = {
	.name = "profile runtime",
	.operands = "NS/POD",
	.summary = "a RuntimePolicy of the programs and files that were observed",
	.example = "bulkhead profile runtime shop/web > web-runtime.yaml",
	.min_operands = 1,
	.max_operands = 1,
	.run = run_runtime,
};
