/* cmd_baseline.c - `bulkhead baseline`: what workloads were seen to do, shown, moved, forgotten.
 *
 * Files are signed here, so that private keys stay with the operator. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/commands.h"
#include "detect/baseline.h"
#include "verify/ref.h"

#define MAX_FILE (16u << 20)
#define MAX_KEY	 (64u << 10)

static const struct bh_option key_option[] = {
	{.name = "key", .value = "FILE", .help = "Ed25519 key in PEM"}, {0}};

static const struct bh_option import_options[] = {
	{.name = "key", .value = "FILE", .help = "Ed25519 key in PEM"},
	{.name = "as",
	 .value = "NS/[KIND/]NAME",
	 .help = "another workload that it is to count for"},
	{.name = "image", .value = "DIGEST", .help = "another image that it is to count for"},
	{0}};

static int read_file(const struct bh_cli *cli, const char *path, size_t max, char **ret)
{
	struct bh_err err;
	size_t n;

	return bh_fs_read(path, max, ret, &n, &err) ? bh_cli_fail(cli, "%s", err.text) : BH_EXIT_OK;
}

static int read_key(const struct bh_cli *cli, const struct bh_args *args, char **ret)
{
	const char *path = bh_args_get(args, "key");

	return path ? read_file(cli, path, MAX_KEY, ret)
		    : bh_cli_usage(cli, "--key FILE is needed: files are signed");
}

static struct bh_call about(const char *verb, const struct bh_args *args)
{
	return (struct bh_call){.verb = verb,
				.take_args =
					json_pack("{s:s}", "workload", bh_args_operand(args, 0))};
}

/* ---- list ---- */

static long long keys_of(const json_t *row, const char *what)
{
	const char *kind;
	long long n = 0;
	json_t *v;

	json_object_foreach(json_object_get(row, "keys"), kind, v) n += bh_show_int(v, what);
	return n;
}

static int show_list(struct bh_cli *cli, const json_t *answer)
{
	static const struct bh_column columns[] = {
		{"WORKLOAD", false, 16}, {"STATE", false, 0},	 {"STARTS", true, 0},
		{"KEYS", true, 0},	 {"CONFIRMED", true, 0}, {"WAITS FOR", false, 20}};
	BH_CLEANUP(bh_table_freep)
	struct bh_table *t = bh_table_new(columns, BH_ARRAY_SIZE(columns));
	const json_t *rows = json_object_get(answer, "baselines"), *row;
	size_t i;

	if (!json_array_size(rows)) {
		fputs("No workload has a baseline. They are learnt in mode learn: bulkhead runtime "
		      "learn\n",
		      cli->out.f);
		return BH_EXIT_OK;
	}
	json_array_foreach(rows, i, row)
	{
		bool is_closed = !strcmp(bh_show_str(row, "state"), "closed");

		bh_table_add(t, BH_PLAIN, bh_show_str(row, "workload"));
		bh_table_add(t, is_closed ? BH_GOOD : BH_PLAIN, bh_show_str(row, "state"));
		bh_table_fmt(t, BH_PLAIN, "%lld", bh_show_int(row, "starts"));
		bh_table_fmt(t, BH_PLAIN, "%lld", keys_of(row, "seen"));
		bh_table_fmt(t, BH_PLAIN, "%lld", keys_of(row, "confirmed"));
		bh_table_add(t, BH_FAINT, bh_show_str(row, "waitsFor"));
	}
	return bh_table_print(t, &cli->out) ? bh_cli_fail(cli, "out of memory") : BH_EXIT_OK;
}

static int run_list(struct bh_cli *cli, const struct bh_args *args)
{
	(void)args;
	return bh_cli_call_and_show(cli, (struct bh_call){.verb = "baseline.list"}, show_list);
}

const struct bh_command bh_cmd_baseline_list = {
	.name = "baseline list",
	.operands = "",
	.summary = "workloads with a baseline: learning or closed, and what is waited for",
	.example = "bulkhead baseline list",
	.shows = true,
	.run = run_list,
};

/* ---- show ---- */

/* The baseline's text from the daemon. */
static int fetch(const struct bh_cli *cli, const char *workload, char **ret)
{
	BH_CLEANUP(bh_json_decrefp) json_t *answer = NULL;
	struct bh_call call = {.verb = "baseline.get",
			       .take_args = json_pack("{s:s}", "workload", workload)};
	int r = bh_cli_call(cli, call, &answer);

	if (r)
		return r;
	*ret = bh_strf("%s", bh_show_str(answer, "text"));
	return *ret ? BH_EXIT_OK : bh_cli_fail(cli, "out of memory");
}

static int parse(const struct bh_cli *cli, const char *text, struct bh_baseline **ret)
{
	struct bh_err err;

	return bh_baseline_read(text, strlen(text), ret, &err) ? bh_cli_fail(cli, "%s", err.text)
							       : BH_EXIT_OK;
}

static void show_kind(const struct bh_cli *cli, const struct bh_baseline *b, enum bh_base_kind k)
{
	struct bh_map_entry *e;
	size_t pos = 0;

	while ((e = bh_map_next(&b->facts[k], &pos))) {
		const struct bh_base_fact *f = e->value;

		bh_out_hang(&cli->out, f->is_confirmed ? BH_PLAIN : BH_FAINT, 9, "%-8s %s%s",
			    bh_base_kind_name(k), (const char *)e->key,
			    f->is_confirmed ? "" : " (unconfirmed)");
	}
}

static int run_show(struct bh_cli *cli, const struct bh_args *args)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = NULL;
	BH_CLEANUP(bh_freep) char *text = NULL;
	BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
	struct bh_err err;
	int r = fetch(cli, bh_args_operand(args, 0), &text);

	if (!r && cli->wants_json) {
		if (bh_json_parse(text, strlen(text), MAX_FILE, &j, &err))
			return bh_cli_fail(cli, "%s", err.text);
		bh_out_json(&cli->out, j, false);
		return BH_EXIT_OK;
	}
	if (!r)
		r = parse(cli, text, &b);
	if (r)
		return r;
	bh_out_line(&cli->out, BH_BOLD, "%s/%s: %s after %u starts", b->ns, b->owner,
		    b->is_closed ? "closed" : "learning", b->starts);
	for (int k = 0; k < BH_BASE_KINDS; k++)
		show_kind(cli, b, (enum bh_base_kind)k);
	return BH_EXIT_OK;
}

const struct bh_command bh_cmd_baseline_show = {
	.name = "baseline show",
	.operands = "NS/WORKLOAD",
	.summary = "everything that one workload was seen to do",
	.example = "bulkhead baseline show shop/web",
	.min_operands = 1,
	.max_operands = 1,
	.shows = true,
	.run = run_show,
};

/* ---- export, import ---- */

static int run_export(struct bh_cli *cli, const struct bh_args *args)
{
	BH_CLEANUP(bh_freep) char *text = NULL, *key = NULL;
	BH_CLEANUP(bh_str_done) struct bh_str out = {0};
	struct bh_err err;
	int r = read_key(cli, args, &key);

	if (!r)
		r = fetch(cli, bh_args_operand(args, 0), &text);
	if (r)
		return r;
	r = bh_signed_write(text, key, &out, &err);
	explicit_bzero(key, strlen(key));
	if (r < 0)
		return bh_cli_fail(cli, "--key: %s", err.text);
	fputs(bh_str_text(&out), cli->out.f);
	return BH_EXIT_OK;
}

const struct bh_command bh_cmd_baseline_export = {
	.name = "baseline export",
	.operands = "NS/WORKLOAD",
	.summary = "a baseline as a signed file on standard output, to be imported elsewhere",
	.more = "The file is a DSSE envelope, signed with the private key of --key (openssl "
		"genpkey "
		"-algorithm ed25519).",
	.example = "bulkhead baseline export shop/web --key release.pem > web.json",
	.options = key_option,
	.min_operands = 1,
	.max_operands = 1,
	.run = run_export,
};

/* The payload of a signed file. */
static int open_signed(const struct bh_cli *cli, const char *path, const char *key, char **ret)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_err err;
	int r = read_file(cli, path, MAX_FILE, &text);

	if (r)
		return r;
	return bh_signed_read(text, strlen(text), key, ret, &err)
		       ? bh_cli_fail(cli, "%s: %s", path, err.text)
		       : BH_EXIT_OK;
}

/* "NS/NAME" or "NS/KIND/NAME" in copy, taken apart. */
static bool split_place(char *copy, struct bh_base_place *to)
{
	char *slash = strchr(copy, '/'), *last = strrchr(copy, '/');

	if (!slash || slash == copy || !last[1])
		return false;
	*slash = *last = '\0';
	to->ns = copy;
	to->owner = last + 1;
	to->owner_kind = last > slash ? slash + 1 : NULL;
	return last == slash || (slash[1] && !strchr(slash + 1, '/'));
}

/* Another workload's, when --as or --image ask for it. *text is replaced. */
static int move(const struct bh_cli *cli, const struct bh_args *args, char **text)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = NULL;
	BH_CLEANUP(bh_str_done) struct bh_str out = {0};
	const char *as = bh_args_get(args, "as");
	BH_CLEANUP(bh_freep) char *copy = bh_strf("%s", as ? as : "");
	struct bh_base_place to = {.image_digest = bh_args_get(args, "image")};
	struct bh_err err;
	int r;

	if (!as && !to.image_digest)
		return BH_EXIT_OK;
	if (!copy)
		return bh_cli_fail(cli, "out of memory");
	if (as && !split_place(copy, &to))
		return bh_cli_usage(cli, "--as: '%s' is not NAMESPACE/NAME", as);
	if (to.image_digest && !bh_digest_ok(to.image_digest))
		return bh_cli_usage(cli, "--image: '%s' is no digest like sha256:...",
				    to.image_digest);
	r = parse(cli, *text, &b);
	if (r)
		return r;
	if (bh_baseline_move(b, &to, &err))
		return bh_cli_fail(cli, "%s", err.text);
	if (bh_baseline_write(b, &out))
		return bh_cli_fail(cli, "out of memory");
	free(*text);
	*text = bh_str_take(&out);
	return *text ? BH_EXIT_OK : bh_cli_fail(cli, "out of memory");
}

static int run_import(struct bh_cli *cli, const struct bh_args *args)
{
	BH_CLEANUP(bh_freep) char *key = NULL, *payload = NULL;
	BH_CLEANUP(bh_json_decrefp) json_t *answer = NULL;
	struct bh_call call = {.verb = "baseline.import"};
	int r = read_key(cli, args, &key);

	if (!r)
		r = open_signed(cli, bh_args_operand(args, 0), key, &payload);
	if (!r)
		r = move(cli, args, &payload);
	if (r)
		return r;
	call.take_args = json_pack("{s:s}", "text", payload);
	r = bh_cli_call(cli, call, &answer);
	if (!r)
		bh_out_line(&cli->out, BH_PLAIN, "%s", bh_show_str(answer, "workload"));
	return r;
}

const struct bh_command bh_cmd_baseline_import = {
	.name = "baseline import",
	.operands = "FILE",
	.summary = "adds a signed baseline to the one of its workload, or makes that",
	.more = "--as makes it another workload's: what was learnt in staging counts in "
		"production, "
		"and pods of the old namespace that it talks with are taken for those of the new "
		"one.",
	.example = "bulkhead baseline import web.json --key release.pub --as production/web",
	.options = import_options,
	.min_operands = 1,
	.max_operands = 1,
	.run = run_import,
};

/* ---- diff ---- */

/* A file, where there is one of that name, else a workload of the daemon. */
static int load_side(const struct bh_cli *cli, const struct bh_args *args, size_t n,
		     struct bh_baseline **ret)
{
	BH_CLEANUP(bh_freep) char *key = NULL, *text = NULL;
	const char *name = bh_args_operand(args, n);
	int r;

	if (access(name, F_OK)) {
		r = fetch(cli, name, &text);
	} else {
		r = read_key(cli, args, &key);
		if (!r)
			r = open_signed(cli, name, key, &text);
	}
	return r ? r : parse(cli, text, ret);
}

static void show_diff(const struct bh_cli *cli, const char *text)
{
	for (size_t n; *text; text += n + (text[n] == '\n')) {
		n = strcspn(text, "\n");
		bh_out_hang(&cli->out, *text == '+' ? BH_GOOD : BH_BAD, 2, "%.*s", (int)n, text);
	}
}

/* The key of a line of bh_baseline_diff as it is. */
static json_t *diff_key(const char *text, size_t n)
{
	BH_CLEANUP(bh_str_done) struct bh_str key = {0};

	for (size_t i = 0; i < n; i++) {
		bool is_escaped = text[i] == '\\' && i + 1 < n;

		i += is_escaped;
		bh_str_addn(&key, is_escaped && text[i] == 'n' ? "\n" : text + i, 1);
	}
	return json_string(bh_str_text(&key));
}

/* {"added": [{"kind", "key"}], "removed": [...]} of its lines. */
static json_t *diff_json(const char *text)
{
	json_t *answer = json_pack("{s:[], s:[]}", "added", "removed");

	for (size_t n; answer && *text; text += n + (text[n] == '\n')) {
		size_t kind = strcspn(text + 2, " ");

		n = strcspn(text, "\n");
		json_array_append_new(json_object_get(answer, *text == '+' ? "added" : "removed"),
				      json_pack("{s:s%, s:o}", "kind", text + 2, kind, "key",
						diff_key(text + kind + 3, n - kind - 3)));
	}
	return answer;
}

static int run_diff(struct bh_cli *cli, const struct bh_args *args)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *a = NULL, *b = NULL;
	BH_CLEANUP(bh_json_decrefp) json_t *answer = NULL;
	BH_CLEANUP(bh_str_done) struct bh_str out = {0};
	int r = load_side(cli, args, 0, &a);
	size_t n;

	if (!r)
		r = load_side(cli, args, 1, &b);
	if (r)
		return r;
	n = bh_baseline_diff(a, b, &out);
	answer = diff_json(bh_str_text(&out));
	if (out.failed || !answer)
		return bh_cli_fail(cli, "out of memory");
	if (cli->wants_json)
		bh_out_json(&cli->out, answer, false);
	else
		show_diff(cli, bh_str_text(&out));
	return n ? BH_EXIT_FAILED : BH_EXIT_OK;
}

const struct bh_command bh_cmd_baseline_diff = {
	.name = "baseline diff",
	.operands = "OLD NEW",
	.summary = "what one baseline has and the other has not; exit 1 when they differ",
	.more = "OLD and NEW are signed files, where there are such files (then --key), else "
		"workloads.",
	.example = "bulkhead baseline diff web.json shop/web --key release.pub",
	.options = key_option,
	.min_operands = 2,
	.max_operands = 2,
	.shows = true,
	.run = run_diff,
};

/* ---- reset ---- */

static int run_reset(struct bh_cli *cli, const struct bh_args *args)
{
	BH_CLEANUP(bh_json_decrefp) json_t *answer = NULL;

	return bh_cli_call(cli, about("baseline.reset", args), &answer);
}

const struct bh_command bh_cmd_baseline_reset = {
	.name = "baseline reset",
	.operands = "NS/WORKLOAD",
	.summary = "forgets a baseline; in mode learn it is learnt anew",
	.example = "bulkhead baseline reset shop/web",
	.min_operands = 1,
	.max_operands = 1,
	.run = run_reset,
};
