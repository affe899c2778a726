#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "bulkhead/ctl.h"
#include "bulkhead_version.h"
#include "cli/commands.h"
#include "base/duration.h"

const struct bh_command *const bh_commands[] = {
	&bh_cmd_status,
	&bh_cmd_doctor,
	&bh_cmd_sync,
	&bh_cmd_pods,
	&bh_cmd_policy_check,
	&bh_cmd_policy_matrix,
	&bh_cmd_policy_explain,
	&bh_cmd_policy_diff,
	&bh_cmd_policy_test,
	&bh_cmd_policy_verify,
	&bh_cmd_policy_suggest,
	&bh_cmd_policy_exceptions,
	&bh_cmd_policy_export,
	&bh_cmd_quarantine,
	&bh_cmd_release,
	&bh_cmd_flows,
	&bh_cmd_events,
	&bh_cmd_events_verify,
	&bh_cmd_runtime,
	&bh_cmd_detectors,
	&bh_cmd_baseline_list,
	&bh_cmd_baseline_show,
	&bh_cmd_baseline_export,
	&bh_cmd_baseline_import,
	&bh_cmd_baseline_diff,
	&bh_cmd_baseline_reset,
	&bh_cmd_profile_seccomp,
	&bh_cmd_profile_runtime,
	&bh_cmd_image_verify,
	&bh_cmd_image_exception,
	&bh_cmd_verify_bundle,
	&bh_cmd_top,
	NULL,
};

static const struct bh_option common[] = {
	{"socket", "PATH", "the daemon's socket (" BH_CTL_DEFAULT_SOCKET ")", 0, false, false},
	{"help", NULL, "show this help", 'h', false, false},
	{"version", NULL, "show the version", 'V', false, false},
	{0},
};
static const struct bh_option output[] = {
	{"output", "json|table", "how answers are written (table)", 'o', false, false},
	{0},
};

int bh_cli_fail(const struct bh_cli *cli, const char *fmt, ...)
{
	struct bh_out o = {.f = cli->err, .width = BH_OUT_WIDTH};
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	bh_out_line(&o, BH_PLAIN, "bulkhead: %s", n < 0 ? "out of memory" : text);
	if (n >= 0)
		free(text);
	return BH_EXIT_FAILED;
}

int bh_cli_usage(const struct bh_cli *cli, const char *fmt, ...)
{
	struct bh_out o = {.f = cli->err, .width = BH_OUT_WIDTH};
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	bh_out_line(&o, BH_PLAIN, "bulkhead: %s (see --help)", n < 0 ? "out of memory" : text);
	if (n >= 0)
		free(text);
	return BH_EXIT_USAGE;
}

/* ---- help ---- */

static void print_options(const struct bh_out *o, const struct bh_option *table)
{
	for (; table && table->name; table++) {
		char left[64];
		const char *v = table->value ? table->value : "";
		const char *repeats = table->repeats ? "..." : "";

		if (table->letter)
			snprintf(left, sizeof(left), "-%c, --%s %s", table->letter, table->name, v);
		else if (table->may_be_bare)
			snprintf(left, sizeof(left), "--%s [%s]", table->name, v);
		else
			snprintf(left, sizeof(left), "--%s %s%s", table->name, v, repeats);
		fprintf(o->f, "  %-28s %s\n", left, table->help);
	}
}

static void print_command_help(const struct bh_out *o, const struct bh_command *c)
{
	fprintf(o->f, "%sbulkhead %s%s%s%s%s\n\n", bh_out_on(o, BH_BOLD), c->name,
		*c->operands ? " " : "", c->operands, c->options || c->shows ? " [OPTIONS]" : "",
		bh_out_off(o, BH_BOLD));
	bh_out_wrap(o, 2, c->summary);
	if (c->more) {
		fputc('\n', o->f);
		bh_out_wrap(o, 2, c->more);
	}
	fputs("\nOptions:\n", o->f);
	print_options(o, c->options);
	if (c->shows)
		print_options(o, output);
	print_options(o, common);
	fprintf(o->f, "\nExample:\n  %s\n", c->example);
}

static void print_help(const struct bh_out *o)
{
	fprintf(o->f, "%sbulkhead [--socket PATH] COMMAND%s\n\n", bh_out_on(o, BH_BOLD),
		bh_out_off(o, BH_BOLD));
	fputs("Sees and steers what the Bulkhead daemon of this node enforces.\n\nCommands:\n",
	      o->f);
	for (const struct bh_command *const *c = bh_commands; *c; c++)
		fprintf(o->f, "  %-18s %s\n", (*c)->name, (*c)->summary);
	fputs("\nOptions:\n", o->f);
	print_options(o, output);
	print_options(o, common);
	fputs("\nbulkhead COMMAND --help shows the options of a command and an example.\n"
	      "Exit status: 0 done; 1 it failed, or what was checked does not hold; 2 usage; "
	      "3 no daemon.\n",
	      o->f);
}

/* ---- finding the command ---- */

/* How many words of argv name c: 0, 1 or 2. */
static int words_of(const struct bh_command *c, int argc, char *const *argv)
{
	const char *blank = strchr(c->name, ' ');
	size_t n = blank ? (size_t)(blank - c->name) : strlen(c->name);

	if (argc < 1 || strlen(argv[0]) != n || strncmp(argv[0], c->name, n))
		return 0;
	if (!blank)
		return 1;
	return argc > 1 && !strcmp(argv[1], blank + 1) ? 2 : 0;
}

/* The longest match; *ret_words is how many words it took. */
static const struct bh_command *find(int argc, char *const *argv, int *ret_words)
{
	const struct bh_command *best = NULL;

	*ret_words = 0;
	for (const struct bh_command *const *c = bh_commands; *c; c++) {
		int n = words_of(*c, argc, argv);

		if (n > *ret_words) {
			*ret_words = n;
			best = *c;
		}
	}
	return best;
}

/* Help for the commands that start with `word`, such as "policy". false when there are none. */
static bool print_group(const struct bh_out *o, const char *word)
{
	size_t n = strlen(word);
	bool found = false;

	for (const struct bh_command *const *c = bh_commands; *c; c++) {
		if (strncmp((*c)->name, word, n) || (*c)->name[n] != ' ')
			continue;
		fprintf(o->f, "  bulkhead %-18s %s\n", (*c)->name, (*c)->summary);
		found = true;
	}
	return found;
}

static int no_command(struct bh_cli *cli, int argc, char *const *argv)
{
	struct bh_out err = {.f = cli->err, .width = BH_OUT_WIDTH};

	if (argc < 1) {
		print_help(&err);
		return BH_EXIT_USAGE;
	}
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) &&
	    print_group(&cli->out, argv[0]))
		return BH_EXIT_OK;
	if (print_group(&err, argv[0]))
		return BH_EXIT_USAGE;
	return bh_cli_usage(cli, "there is no command '%s'", argv[0]);
}

/* ---- running it ---- */

static int set_output(struct bh_cli *cli, const struct bh_args *args)
{
	const char *o = bh_args_get(args, "output");

	if (!o || !strcmp(o, "table"))
		return BH_EXIT_OK;
	if (strcmp(o, "json"))
		return bh_cli_usage(cli, "-o takes json or table, not '%s'", o);
	cli->wants_json = true;
	return BH_EXIT_OK;
}

static int run(struct bh_cli *cli, const struct bh_command *c, const struct bh_args *args)
{
	const char *socket = bh_args_get(args, "socket");
	int r;

	if (bh_args_has(args, "help")) {
		print_command_help(&cli->out, c);
		return BH_EXIT_OK;
	}
	if (socket)
		cli->socket = socket;
	r = set_output(cli, args);
	if (r)
		return r;
	if (args->operands.n < c->min_operands)
		return bh_cli_usage(cli, "%s needs %s", c->name, c->operands);
	if (args->operands.n > c->max_operands)
		return bh_cli_usage(cli, "%s: unexpected '%s'", c->name,
				    args->operands.v[c->max_operands]);
	return c->run(cli, args);
}

/* Options before the command: only --socket, -o, --help and --version. *ret_used: how many words.
 */
static int leading(struct bh_cli *cli, int argc, char *const *argv, int *ret_used)
{
	const struct bh_option *const tables[2] = {common, output};
	BH_CLEANUP(bh_args_done) struct bh_args args = {0};
	struct bh_err err;
	int n = 0;

	while (n < argc && argv[n][0] == '-')
		n += !strcmp(argv[n], "--socket") || !strcmp(argv[n], "-o") ||
				     !strcmp(argv[n], "--output")
			     ? 2
			     : 1;
	if (bh_args_parse(&args, tables, n < argc ? n : argc, argv, &err))
		return bh_cli_usage(cli, "%s", err.text);
	*ret_used = n < argc ? n : argc;
	if (bh_args_has(&args, "socket"))
		cli->socket = bh_args_get(&args, "socket");
	if (bh_args_has(&args, "version")) {
		fprintf(cli->out.f, "bulkhead %s\n", BH_VERSION);
		*ret_used = -1;
	} else if (bh_args_has(&args, "help")) {
		print_help(&cli->out);
		*ret_used = -1;
	}
	return set_output(cli, &args);
}

static int dispatch(struct bh_cli *cli, int argc, char *const *argv)
{
	BH_CLEANUP(bh_args_done) struct bh_args args = {0};
	const struct bh_option *tables[2] = {common, NULL};
	struct bh_option all[24] = {0};
	const struct bh_command *c;
	int used = 0, words, r;
	struct bh_err err;
	size_t n = 0;

	r = leading(cli, argc, argv, &used);
	if (r || used < 0)
		return r;
	argc -= used;
	argv += used;
	c = find(argc, argv, &words);
	if (!c)
		return no_command(cli, argc, argv);
	for (const struct bh_option *o = c->options; o && o->name; o++)
		all[n++] = *o;
	if (c->shows)
		all[n++] = output[0];
	tables[1] = all;
	if (bh_args_parse(&args, tables, argc - words, argv + words, &err))
		return bh_cli_usage(cli, "%s: %s", c->name, err.text);
	return run(cli, c, &args);
}

int bh_cli_main(int argc, char *const *argv, FILE *out, FILE *err)
{
	struct bh_cli cli = {
		.out = {.f = out, .has_colour = bh_out_wants_colour(out), .width = BH_OUT_WIDTH},
		.err = err,
		.socket = BH_CTL_DEFAULT_SOCKET,
	};
	int r = dispatch(&cli, argc - 1, argv + 1);

	if (fflush(out) || ferror(out))
		return bh_cli_fail(&cli, "the answer could not be written");
	return r;
}

/* ---- values ---- */

int bh_cli_reason(const struct bh_cli *cli, const struct bh_args *args, const char **ret)
{
	const char *reason = bh_args_get(args, "reason");

	if (!reason || !reason[strspn(reason, " \t\n")])
		return bh_cli_usage(cli, "--reason TEXT says why; it is kept in the event log");
	*ret = reason;
	return BH_EXIT_OK;
}

int bh_cli_pod(const struct bh_cli *cli, const char *text)
{
	const char *slash = strchr(text, '/');

	if (!slash || slash == text || !slash[1] || strchr(slash + 1, '/'))
		return bh_cli_usage(cli, "'%s' is not NAMESPACE/POD", text);
	return BH_EXIT_OK;
}

int bh_cli_duration(const struct bh_cli *cli, const struct bh_args *args, const char *name,
		    uint64_t *ret_ms)
{
	const char *text = bh_args_get(args, name);
	struct bh_err err;

	if (text && bh_duration_parse(text, ret_ms, &err))
		return bh_cli_usage(cli, "--%s: %s", name, err.text);
	return BH_EXIT_OK;
}
