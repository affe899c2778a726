#include "base/json.h"
#include "cli/commands.h"

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	struct bh_call call = {
		.verb = "events.verify", .timeout_ms = 600000, .progress = "proving the event log"};
	BH_CLEANUP(bh_json_decrefp) json_t *answer = NULL;
	int r = bh_cli_call(cli, call, &answer);
	bool whole;

	(void)args;
	if (r)
		return r;
	whole = json_is_true(json_object_get(answer, "whole"));
	if (cli->wants_json)
		bh_out_json(&cli->out, answer, false);
	else if (whole)
		bh_out_line(&cli->out, BH_GOOD, "%lld events, numbers %lld to %lld, no gap",
			    bh_show_int(answer, "lines"), bh_show_int(answer, "firstSeq"),
			    bh_show_int(answer, "lastSeq"));
	else
		bh_out_line(&cli->out, BH_BAD, "the log is not whole: %s",
			    bh_show_str(answer, "problem"));
	return whole ? BH_EXIT_OK : BH_EXIT_FAILED;
}

const struct bh_command bh_cmd_events_verify = {
	.name = "events verify",
	.operands = "",
	.summary = "prove that no event is missing, changed or out of order",
	.more = "Exit status 1 when the log is not whole.",
	.example = "bulkhead events verify",
	.shows = true,
	.run = run,
};
