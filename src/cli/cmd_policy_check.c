#include <errno.h>

#include "cli/commands.h"
#include "cli/world.h"

static const char *const levels[] = {
	[BH_PROBLEM_ERROR] = "error",
	[BH_PROBLEM_WARNING] = "warning",
	[BH_PROBLEM_NOTE] = "note",
};

static void print_problem(const struct bh_cli *cli, const struct bh_problem *p)
{
	static const char *const prefixes[] = {
		[BH_PROBLEM_ERROR] = "",
		[BH_PROBLEM_WARNING] = "warning: ",
		[BH_PROBLEM_NOTE] = "note: ",
	};
	static const enum bh_paint paints[] = {
		[BH_PROBLEM_ERROR] = BH_BAD,
		[BH_PROBLEM_WARNING] = BH_WARN,
		[BH_PROBLEM_NOTE] = BH_FAINT,
	};

	if (p->file)
		bh_out_line(&cli->out, paints[p->level], "%s:%u:%u: %s%s", p->file, p->line, p->col,
			    prefixes[p->level], p->text);
	else
		bh_out_line(&cli->out, paints[p->level], "%s%s", prefixes[p->level], p->text);
}

static int print_json(const struct bh_cli *cli, const struct bh_problems *problems,
		      const size_t *counts)
{
	json_t *list = json_array();
	json_t *all;

	for (size_t i = 0; list && i < problems->n; i++) {
		const struct bh_problem *p = &problems->v[i];

		json_array_append_new(list, json_pack("{s:s s:s? s:i s:i s:s? s:s}", "level",
						      levels[p->level], "file", p->file, "line",
						      (int)p->line, "column", (int)p->col, "object",
						      p->object, "text", p->text));
	}
	all = json_pack("{s:o s:I s:I}", "problems", list, "errors",
			(json_int_t)counts[BH_PROBLEM_ERROR], "warnings",
			(json_int_t)counts[BH_PROBLEM_WARNING]);
	if (!all)
		return bh_cli_fail(cli, "out of memory");
	bh_out_json(&cli->out, all, false);
	json_decref(all);
	return BH_EXIT_OK;
}

static int report(const struct bh_cli *cli, const struct bh_objects *o, const struct bh_args *args)
{
	BH_CLEANUP(bh_problems_done) struct bh_problems problems = {0};
	size_t counts[3] = {0};

	if (bh_objects_problems(o, &problems) || bh_cli_check_images(args, &problems))
		return bh_cli_fail(cli, "out of memory");
	for (size_t i = 0; i < problems.n; i++) {
		counts[problems.v[i].level]++;
		if (!cli->wants_json)
			print_problem(cli, &problems.v[i]);
	}
	if (cli->wants_json && print_json(cli, &problems, counts))
		return BH_EXIT_FAILED;
	return counts[BH_PROBLEM_ERROR] ? BH_EXIT_FAILED : BH_EXIT_OK;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	BH_CLEANUP(bh_objects_freep) struct bh_objects *o = NULL;
	struct bh_objects_options options = {
		.require_reason = bh_args_has(args, "require-reason"),
	};
	struct bh_err err;

	if (bh_objects_new(&options, &o, &err))
		return bh_cli_fail(cli, "%s", err.text);
	for (size_t i = 0; i < args->operands.n; i++) {
		int r = bh_cli_read(cli, o, args->operands.v[i]);

		if (r)
			return r;
	}
	return report(cli, o, args);
}

static const struct bh_option options[] = {
	{"require-reason", NULL, "refuse allow rules without a reason", 0, false, false},
	{0},
};

const struct bh_command bh_cmd_policy_check = {
	.name = "policy check",
	.operands = "PATH...",
	.summary = "validate manifests: file:line:column: sentence, lints as warnings",
	.more = "PATH is a file, or a directory of .yaml, .yml and .json files. Several paths are "
		"checked as one set. Exit status 1 when there is an error; warnings alone are 0.",
	.example = "bulkhead policy check /etc/bulkhead/manifests",
	.options = options,
	.min_operands = 1,
	.max_operands = 4096,
	.shows = true,
	.run = run,
};
