/* Calls to the daemon, and what their failures mean as exit codes. */
#include <errno.h>

#include "base/json.h"
#include "cli/cli.h"
#include "ctl/client.h"

#define DEFAULT_TIMEOUT_MS 30000

/* Codes that say that nobody is there, rather than that somebody refused. */
static bool is_absent(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED || r == -ENOTDIR || r == -ENOTSOCK;
}

static int open_client(const struct bh_cli *cli, int timeout_ms, struct bh_client **ret)
{
	struct bh_err err;
	int r = bh_client_open(cli->socket, timeout_ms ? timeout_ms : DEFAULT_TIMEOUT_MS, ret,
			       &err);

	if (!r)
		return BH_EXIT_OK;
	bh_cli_fail(cli, "%s", err.text);
	return is_absent(r) ? BH_EXIT_NO_DAEMON : BH_EXIT_FAILED;
}

static int explain_failure(const struct bh_cli *cli, int r, const struct bh_err *err)
{
	bh_cli_fail(cli, "%s", err->text);
	return r == -ECONNRESET ? BH_EXIT_NO_DAEMON : BH_EXIT_FAILED;
}

int bh_cli_call(const struct bh_cli *cli, struct bh_call call, json_t **ret)
{
	BH_CLEANUP(bh_json_decrefp) json_t *args = BH_TAKE(call.take_args);
	BH_CLEANUP(bh_client_closep) struct bh_client *c = NULL;
	struct bh_progress progress = {0};
	struct bh_err err;
	int r = open_client(cli, call.timeout_ms, &c);

	if (r)
		return r;
	if (call.progress)
		bh_progress_start(&progress, call.progress);
	r = bh_client_call(c, call.verb, args, ret, NULL, &err);
	bh_progress_stop(&progress);
	return r ? explain_failure(cli, r, &err) : BH_EXIT_OK;
}

int bh_cli_stream(const struct bh_cli *cli, struct bh_call call,
		  int (*fn)(const json_t *result, void *arg), void *arg)
{
	BH_CLEANUP(bh_json_decrefp) json_t *args = BH_TAKE(call.take_args);
	BH_CLEANUP(bh_client_closep) struct bh_client *c = NULL;
	struct bh_err err;
	int r = open_client(cli, call.timeout_ms, &c);

	if (r)
		return r;
	r = bh_client_stream(c, call.verb, args, fn, arg, &err);
	return r < 0 ? explain_failure(cli, r, &err) : BH_EXIT_OK;
}

int bh_cli_call_and_show(struct bh_cli *cli, struct bh_call call,
			 int (*show)(struct bh_cli *cli, const json_t *answer))
{
	BH_CLEANUP(bh_json_decrefp) json_t *answer = NULL;
	int r = bh_cli_call(cli, call, &answer);

	if (r)
		return r;
	if (!cli->wants_json)
		return show(cli, answer);
	bh_out_json(&cli->out, answer, false);
	return BH_EXIT_OK;
}
