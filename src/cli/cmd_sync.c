#include "cli/commands.h"

static const struct bh_option options[] = {
	{"timeout", "10s", "give up after this long (10s)", 0, false, false},
	{0},
};

static int show(struct bh_cli *cli, const json_t *answer)
{
	fprintf(cli->out.f, "%lld\n", bh_show_int(answer, "revision"));
	return BH_EXIT_OK;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	uint64_t timeout_ms = 10000;
	struct bh_call call = {.verb = "sync", .progress = "waiting for the kernel's tables"};
	int r = bh_cli_duration(cli, args, "timeout", &timeout_ms);

	if (r)
		return r;
	if (timeout_ms < 1 || timeout_ms > 24ull * 3600 * 1000)
		return bh_cli_usage(cli, "--timeout: between 1ms and 24h");
	call.take_args = json_pack("{s:I}", "timeoutMs", (json_int_t)timeout_ms);
	call.timeout_ms = (int)timeout_ms + 2000;
	return bh_cli_call_and_show(cli, call, show);
}

const struct bh_command bh_cmd_sync = {
	.name = "sync",
	.operands = "",
	.summary = "wait until every change made before the call is enforced; prints the revision",
	.example =
		"kubectl get networkpolicy -A -o yaml > /etc/bulkhead/manifests/np.yaml && "
		"bulkhead sync",
	.options = options,
	.shows = true,
	.run = run,
};
