/* cmd_image.c - `bulkhead image verify`: judges one image by the policies of a file, without a
 * daemon. The judging is done by bulkhead-worker, confined as the daemon's are. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/fs.h"
#include "bulkhead_version.h"
#include "cli/commands.h"
#include "cli/image_files.h"
#include "ctl/batch.h"
#include "policy/image_bundle.h"

#define EXIT_UNDECIDED 4
#define MAX_FILE       (4u << 20)
#define SLACK_MS       2000 /* beyond the worker's own deadline of 8 s */
#define DEADLINE_MS    8000

/* Errors to stderr; with any of them nothing is judged. */
static int check_problems(const struct bh_cli *cli, const struct bh_problems *problems)
{
	struct bh_out out = {.f = cli->err, .width = BH_OUT_WIDTH};
	bool has_error = false;

	for (size_t i = 0; i < problems->n; i++) {
		const struct bh_problem *p = &problems->v[i];

		has_error |= p->level == BH_PROBLEM_ERROR;
		bh_out_line(&out, BH_PLAIN, "%s:%u:%u: %s%s", p->file ? p->file : "-", p->line,
			    p->col, p->level == BH_PROBLEM_WARNING ? "warning: " : "", p->text);
	}
	return has_error ? BH_EXIT_FAILED : BH_EXIT_OK;
}

static int read_policies(const struct bh_cli *cli, const char *path, struct bh_image_bundle **ret)
{
	BH_CLEANUP(bh_problems_done) struct bh_problems problems = {0};
	BH_CLEANUP(bh_image_bundle_freep) struct bh_image_bundle *b = NULL;
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_err err;
	size_t n;

	if (bh_fs_read(path, MAX_FILE, &text, &n, &err) ||
	    bh_image_bundle_new(&bh_cli_image_files, &b, &err))
		return bh_cli_fail(cli, "%s", err.text);
	if (bh_image_bundle_add(b, path, text, n, &problems))
		return bh_cli_fail(cli, "out of memory");
	if (check_problems(cli, &problems))
		return BH_EXIT_FAILED;
	if (!bh_image_bundle_policies(b)->n)
		return bh_cli_fail(cli, "%s: there is no ImagePolicy in it", path);
	*ret = BH_TAKE(b);
	return BH_EXIT_OK;
}

static int read_time(const struct bh_cli *cli, const struct bh_args *args, int64_t *ret)
{
	const char *text = bh_args_get(args, "now");

	*ret = (int64_t)time(NULL);
	if (text && bh_time_parse(text, ret))
		return bh_cli_usage(cli, "--now: '%s' is not a time like 2027-01-31T00:00:00Z",
				    text);
	return BH_EXIT_OK;
}

/* An array with the configuration's text, or an empty one. */
static int read_credentials(const struct bh_cli *cli, const struct bh_args *args, json_t **ret)
{
	const char *path = bh_args_get(args, "credentials");
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_err err;
	size_t n = 0;

	if (path && bh_fs_read(path, MAX_FILE, &text, &n, &err))
		return bh_cli_fail(cli, "%s", err.text);
	*ret = path ? json_pack("[s%]", text, n) : json_array();
	if (text)
		explicit_bzero(text, n);
	return *ret ? BH_EXIT_OK
		    : bh_cli_fail(cli, "%s: the credentials are not text", path ? path : "-");
}

/* Where the node's runtime would fetch it from, as far as the options say. */
static int read_mirrors(const struct bh_cli *cli, const struct bh_args *args, json_t **ret)
{
	const struct bh_mirror_paths paths = {
		.hosts_dir = bh_args_get(args, "registry-hosts"),
		.registries_conf = bh_args_get(args, "registries-conf"),
		.files = &bh_cli_mirror_files,
	};
	struct bh_err err;

	*ret = json_array();
	if (!*ret)
		return bh_cli_fail(cli, "out of memory");
	if (bh_mirrors_add(&paths, bh_args_operand(args, 0), *ret, &err))
		return bh_cli_fail(cli, "%s", err.text);
	return BH_EXIT_OK;
}

static int make_question(const struct bh_cli *cli, const struct bh_args *args, json_t **ret)
{
	BH_CLEANUP(bh_image_bundle_freep) struct bh_image_bundle *bundle = NULL;
	const char *policy = bh_args_get(args, "policy");
	json_t *credentials = NULL, *mirrors = NULL;
	int64_t now_s;
	int r;

	if (!policy)
		return bh_cli_usage(cli, "--policy FILE says whom to trust");
	r = read_time(cli, args, &now_s);
	if (!r)
		r = read_policies(cli, policy, &bundle);
	if (!r)
		r = read_credentials(cli, args, &credentials);
	if (!r)
		r = read_mirrors(cli, args, &mirrors);
	if (r) {
		json_decref(credentials);
		json_decref(mirrors);
		return r;
	}
	*ret = json_pack("{s:[{s:s, s:s?}], s:O, s:I, s:I, s:i, s:s?, s:o, s:o}", "images",
			 "reference", bh_args_operand(args, 0), "namespace",
			 bh_args_get(args, "namespace"), "policies", bh_image_bundle_json(bundle),
			 "now", (json_int_t)now_s, "clockMin",
			 bh_args_get(args, "now") ? (json_int_t)0 : (json_int_t)BH_CLOCK_MIN_S,
			 "deadlineMs", DEADLINE_MS, "layout", bh_args_get(args, "layout"),
			 "credentials", credentials, "mirrors", mirrors);
	return *ret ? BH_EXIT_OK : bh_cli_fail(cli, "the reference is not text");
}

/* ---- the answer ---- */

static void keep_answer(const json_t *answer, void *arg)
{
	*(json_t **)arg = json_incref((json_t *)(uintptr_t)answer);
}

/* A worker that died or ran out of time has not judged. */
static json_t *no_answer(const char *reference, const struct bh_err *err)
{
	return json_pack("{s:s, s:s, s:s, s:n, s:n, s:s, s:n, s:[{s:s, s:b, s:s}]}", "reference",
			 reference, "digest", "", "verdict", "undecided", "policy", "signer",
			 "reason", err->code == -ETIMEDOUT ? "timeout" : "internal", "until",
			 "checks", "name", "worker", "ok", 0, "detail", err->text);
}

static json_t *ask(const json_t *question, const char *reference)
{
	static const struct bh_batch_options opt = {.mode = "image-as-user"};
	BH_CLEANUP(bh_batch_endp) struct bh_batch *w = NULL;
	json_t *answer = NULL;
	struct bh_err err = {0};
	int r = bh_batch_start(&opt, question, &w, &err);

	if (!r)
		r = bh_batch_ask(w, 1, DEADLINE_MS + SLACK_MS, keep_answer, &answer, &err);
	return r ? no_answer(reference, &err) : answer;
}

static void show(const struct bh_cli *cli, const json_t *answer)
{
	const char *verdict = bh_show_str(answer, "verdict");
	enum bh_paint paint = !strcmp(verdict, "accept")   ? BH_GOOD
			      : !strcmp(verdict, "reject") ? BH_BAD
							   : BH_WARN;
	const char *reason = bh_show_str(answer, "reason");
	const json_t *check;
	size_t i;

	bh_out_line(&cli->out, paint, "%s%s%s", verdict, *reason ? ": " : "", reason);
	bh_out_line(&cli->out, BH_PLAIN, "image   %s", bh_show_str(answer, "reference"));
	bh_out_line(&cli->out, BH_PLAIN, "digest  %s", bh_show_str(answer, "digest"));
	bh_out_line(&cli->out, BH_PLAIN, "policy  %s", bh_show_str(answer, "policy"));
	bh_out_line(&cli->out, BH_PLAIN, "signer  %s", bh_show_str(answer, "signer"));
	json_array_foreach(json_object_get(answer, "checks"), i, check)
	{
		bool ok = bh_show_bool(check, "ok");

		bh_out_line(&cli->out, ok ? BH_GOOD : BH_BAD, "  %-3s %s: %s", ok ? "ok" : "no",
			    bh_show_str(check, "name"), bh_show_str(check, "detail"));
	}
}

static int exit_of(const json_t *answer)
{
	const char *verdict = bh_show_str(answer, "verdict");

	if (!strcmp(verdict, "accept"))
		return BH_EXIT_OK;
	return strcmp(verdict, "reject") ? EXIT_UNDECIDED : BH_EXIT_FAILED;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	json_t *question = NULL, *answer;
	struct bh_progress progress;
	int r = make_question(cli, args, &question);

	if (r)
		return r;
	bh_progress_start(&progress, "judging the image");
	answer = ask(question, bh_args_operand(args, 0));
	bh_progress_stop(&progress);
	json_decref(question);
	if (!answer)
		return bh_cli_fail(cli, "out of memory");
	if (cli->wants_json)
		bh_out_json(&cli->out, answer, false);
	else
		show(cli, answer);
	r = exit_of(answer);
	json_decref(answer);
	return r;
}

static const struct bh_option options[] = {
	{"policy", "FILE", "the ImagePolicies to judge by", 0, false, false},
	{"layout", "DIR", "take the image from this OCI layout, not its registry", 0, false, false},
	{"namespace", "NS", "judge as for a pod there (any namespace)", 0, false, false},
	{"now", "TIME", "judge as at this time (now)", 0, false, false},
	{"credentials", "FILE", "registry passwords: a docker config.json", 0, false, false},
	{"registry-hosts", "DIR", "containerd's certs.d: mirrors and authorities", 0, false, false},
	{"registries-conf", "FILE", "mirrors as podman and CRI-O have them", 0, false, false},
	{0},
};

const struct bh_command bh_cmd_image_verify = {
	.name = "image verify",
	.operands = "REF",
	.summary = "judge an image's signatures and attestations by a policy",
	.more = "Exit status 0: accepted, 1: rejected, 4: undecided (the registry did not answer, "
		"no time left). Works without a daemon.",
	.example = "bulkhead image verify registry.example/app:v1 --policy production.yaml",
	.options = options,
	.min_operands = 1,
	.max_operands = 1,
	.shows = true,
	.run = run,
};
