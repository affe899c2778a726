#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/world.h"
#include "refeval/report.h"

static const struct bh_option options[] = {
	BH_CLI_MANIFESTS,
	BH_CLI_DEFAULT,
	{0},
};

static void show_half(const struct bh_cli *cli, const json_t *cell, const char *side,
		      const char *whose)
{
	const json_t *half = json_object_get(cell, side);
	const char *verdict = bh_show_str(half, "verdict");
	const char *file = bh_show_str(half, "file");
	BH_CLEANUP(bh_freep) char *processes = bh_show_list(half, "processes");
	const struct bh_out *o = &cli->out;

	fprintf(o->f, "\n");
	bh_out_line(o, bh_show_paint(verdict), "%s of %s: %s", side, whose, verdict);
	bh_out_line(o, BH_PLAIN, "  by    %s", bh_show_str(half, "rule"));
	if (json_object_get(half, "why"))
		bh_out_wrap(o, 8, bh_show_str(half, "why"));
	if (strcmp(file, "-"))
		bh_out_line(o, BH_PLAIN, "  at    %s:%lld", file, bh_show_int(half, "line"));
	if (processes && strcmp(processes, "-"))
		bh_out_line(o, BH_PLAIN, "  only  %s", processes);
}

static void show_kernel(const struct bh_cli *cli, const json_t *cell)
{
	static const char *const sides[] = {"egress", "ingress"};
	const json_t *kernel = json_object_get(cell, "kernel");
	const struct bh_out *o = &cli->out;

	if (!json_is_object(kernel))
		return;
	fprintf(o->f, "\n%sThe kernel's own tables%s\n", bh_out_on(o, BH_BOLD),
		bh_out_off(o, BH_BOLD));
	for (size_t i = 0; i < BH_ARRAY_SIZE(sides); i++) {
		const json_t *k = json_object_get(kernel, sides[i]);

		if (!json_is_object(k)) {
			bh_out_line(o, BH_PLAIN, "  %-8s no pod of this node on that side",
				    sides[i]);
			continue;
		}
		bh_out_line(o, bh_show_paint(bh_show_str(k, "verdict")),
			    "  %-8s %s (%s), ruleset %lld, peer class %lld, port class %lld",
			    sides[i], bh_show_str(k, "verdict"), bh_show_str(k, "reason"),
			    bh_show_int(k, "ruleset"), bh_show_int(k, "class"),
			    bh_show_int(k, "portClass"));
	}
}

static int show(struct bh_cli *cli, const json_t *cell)
{
	const char *verdict = bh_show_str(cell, "verdict");
	const char *from = bh_show_str(cell, "from"), *to = bh_show_str(cell, "to");

	bh_out_line(&cli->out, bh_show_paint(verdict), "%s -> %s %s: %s", from, to,
		    bh_show_str(cell, "port"), verdict);
	show_half(cli, cell, "egress", from);
	show_half(cli, cell, "ingress", to);
	show_kernel(cli, cell);
	return BH_EXIT_OK;
}

static int from_directory(struct bh_cli *cli, const struct bh_args *args, const char *dir,
			  bool default_allow)
{
	BH_CLEANUP(bh_world_unrefp) struct bh_world *w = NULL;
	BH_CLEANUP(bh_json_decrefp) json_t *cell = NULL;
	uint16_t port = 0;
	uint8_t proto = 0;
	struct bh_err err;
	int r;

	if (bh_cli_port(cli, bh_args_operand(args, 2), &port, &proto))
		return BH_EXIT_USAGE;
	r = bh_cli_world(cli, &dir, 1, default_allow, &w);
	if (r)
		return r;
	if (bh_report_explain(w, bh_args_operand(args, 0), bh_args_operand(args, 1), port, proto,
			      &cell, &err))
		return bh_cli_fail(cli, "%s", err.text);
	if (!cli->wants_json)
		return show(cli, cell);
	bh_out_json(&cli->out, cell, false);
	return BH_EXIT_OK;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	struct bh_call call = {.verb = "policy.explain"};
	bool default_allow;
	const char *dir;
	uint16_t port;
	uint8_t proto;
	int r = bh_cli_source(cli, args, &dir, &default_allow);

	if (r)
		return r;
	if (dir)
		return from_directory(cli, args, dir, default_allow);
	r = bh_cli_port(cli, bh_args_operand(args, 2), &port, &proto);
	if (r)
		return r;
	call.take_args = json_pack("{s:s s:s s:s}", "from", bh_args_operand(args, 0), "to",
				   bh_args_operand(args, 1), "port", bh_args_operand(args, 2));
	return bh_cli_call_and_show(cli, call, show);
}

const struct bh_command bh_cmd_policy_explain = {
	.name = "policy explain",
	.operands = "FROM TO PORT/PROTO",
	.summary = "why a connection is allowed or denied, with file and line",
	.more = "FROM and TO are NAMESPACE/POD or an address. Live, the kernel's own tables answer "
		"beside the reference evaluator.",
	.example = "bulkhead policy explain shop/web shop/db 5432/TCP",
	.options = options,
	.min_operands = 3,
	.max_operands = 3,
	.shows = true,
	.run = run,
};
