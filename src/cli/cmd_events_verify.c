#include <errno.h>

#include "base/json.h"
#include "cli/commands.h"
#include "event/chain.h"

/* What was found, in the words of the daemon's answer. */
static json_t *found(const struct bh_chain_check *k, const char *problem)
{
	return json_pack("{s:b s:s? s:I s:I s:I s:I s:I s:I}", "whole", !problem, "problem",
			 problem, "lines", (json_int_t)k->lines, "firstSeq",
			 (json_int_t)k->first_seq, "lastSeq", (json_int_t)k->at.seq, "missed",
			 (json_int_t)k->gaps.missed, "tornBytes", (json_int_t)k->gaps.torn,
			 "openBytes", (json_int_t)k->open_tail);
}

static int check_file(struct bh_chain_check *k, const char *path, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *line = NULL;
	FILE *f = fopen(path, "re");
	size_t cap = 0;
	ssize_t n;
	int r;

	if (!f)
		return bh_fail_sys(err, errno, "open '%s'", path);
	r = bh_chain_check_file(k, path, err);
	while (!r && (n = getline(&line, &cap, f)) > 0)
		r = bh_chain_check_text(k, line, (size_t)n, err);
	if (!r && ferror(f))
		r = bh_fail_sys(err, EIO, "read '%s'", path);
	fclose(f);
	return r;
}

static int check_files(const struct bh_cli *cli, const struct bh_args *args, json_t **ret)
{
	struct bh_chain_check k = {0};
	struct bh_err err = {0};
	int r = 0;

	for (size_t i = 0; !r && i < args->operands.n; i++)
		r = check_file(&k, args->operands.v[i], &err);
	if (!r)
		r = bh_chain_check_end(&k, &err);
	if (r && r != -EBADMSG)
		return bh_cli_fail(cli, "%s", err.text);
	*ret = found(&k, r ? err.text : NULL);
	return *ret ? BH_EXIT_OK : bh_cli_fail(cli, "out of memory");
}

static void show(const struct bh_cli *cli, const json_t *answer)
{
	if (!bh_show_bool(answer, "whole"))
		bh_out_line(&cli->out, BH_BAD, "The log is not whole: %s",
			    bh_show_str(answer, "problem"));
	else if (!bh_show_int(answer, "lines"))
		bh_out_line(&cli->out, BH_PLAIN, "The log is empty");
	else
		bh_out_line(&cli->out, BH_GOOD,
			    "The log is whole: %lld events, number %lld to %lld",
			    bh_show_int(answer, "lines"), bh_show_int(answer, "firstSeq"),
			    bh_show_int(answer, "lastSeq"));
	if (bh_show_int(answer, "missed"))
		bh_out_line(&cli->out, BH_BAD,
			    "%lld events could not be written, which the log says itself",
			    bh_show_int(answer, "missed"));
	if (bh_show_int(answer, "openBytes"))
		bh_out_line(&cli->out, BH_WARN,
			    "It ends within a line, of which %lld bytes are there: it is being "
			    "written, or was cut",
			    bh_show_int(answer, "openBytes"));
	if (bh_show_int(answer, "tornBytes"))
		bh_out_line(&cli->out, BH_WARN, "Crashes cut off %lld bytes of lines",
			    bh_show_int(answer, "tornBytes"));
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	struct bh_call call = {
		.verb = "events.verify", .timeout_ms = 600000, .progress = "proving the event log"};
	BH_CLEANUP(bh_json_decrefp) json_t *answer = NULL;
	int r = args->operands.n ? check_files(cli, args, &answer)
				 : bh_cli_call(cli, call, &answer);

	if (r)
		return r;
	if (cli->wants_json)
		bh_out_json(&cli->out, answer, false);
	else
		show(cli, answer);
	return bh_show_bool(answer, "whole") ? BH_EXIT_OK : BH_EXIT_FAILED;
}

const struct bh_command bh_cmd_events_verify = {
	.name = "events verify",
	.operands = "[FILE...]",
	.summary = "prove that no event was changed, removed or put in",
	.more = "Without FILE the daemon checks its own log against the end it noted. With FILEs, "
		"oldest first, they are checked here, without a daemon. Exit status 1 when the "
		"chain is broken. Events that a full disk did not take are told: the log itself "
		"says how many are missing, and where.",
	.example =
		"bulkhead events verify /var/log/bulkhead/events.jsonl.1 "
		"/var/log/bulkhead/events.jsonl",
	.max_operands = 1024,
	.shows = true,
	.run = run,
};
