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

struct attempt {
	const struct bh_call *call;
	const json_t *args;
	json_t **ret;				    /* of a call */
	int (*fn)(const json_t *result, void *arg); /* of a stream; NULL: it is a call */
	void *arg;
	struct bh_patience patience;
	bool is_crowded; /* turned away, and it is time to come again */
	bool is_heard;	 /* there is a daemon */
	struct bh_err err;
};

static int attempt(const struct bh_cli *cli, struct attempt *a)
{
	BH_CLEANUP(bh_client_closep) struct bh_client *c = NULL;
	int r = bh_client_open(cli->socket, bh_patience_left_ms(&a->patience), &c, &a->err);

	a->is_heard = !r;
	if (!r && a->fn)
		r = bh_client_stream(c, a->call->verb, a->args, a->fn, a->arg, &a->err);
	else if (!r)
		r = bh_client_call(c, a->call->verb, a->args, a->ret, NULL, &a->err);
	a->is_crowded = bh_patience_again(&a->patience, r, c);
	return r;
}

/* The exit code. */
static int try_patiently(const struct bh_cli *cli, struct attempt *a)
{
	struct bh_progress progress = {0};
	int r;

	bh_patience_start(&a->patience,
			  a->call->timeout_ms ? a->call->timeout_ms : DEFAULT_TIMEOUT_MS);
	if (a->call->progress)
		bh_progress_start(&progress, a->call->progress);
	do
		r = attempt(cli, a);
	while (a->is_crowded);
	bh_progress_stop(&progress);
	if (r >= 0)
		return BH_EXIT_OK;
	bh_cli_fail(cli, "%s", a->err.text);
	return (a->is_heard ? r == -ECONNRESET : is_absent(r)) ? BH_EXIT_NO_DAEMON : BH_EXIT_FAILED;
}

int bh_cli_call(const struct bh_cli *cli, struct bh_call call, json_t **ret)
{
	BH_CLEANUP(bh_json_decrefp) json_t *args = BH_TAKE(call.take_args);
	struct attempt a = {.call = &call, .args = args, .ret = ret};

	return try_patiently(cli, &a);
}

int bh_cli_stream(const struct bh_cli *cli, struct bh_call call,
		  int (*fn)(const json_t *result, void *arg), void *arg)
{
	BH_CLEANUP(bh_json_decrefp) json_t *args = BH_TAKE(call.take_args);
	struct attempt a = {.call = &call, .args = args, .fn = fn, .arg = arg};

	return try_patiently(cli, &a);
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
