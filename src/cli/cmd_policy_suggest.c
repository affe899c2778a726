#include <string.h>

#include "base/json.h"
#include "cli/commands.h"

static int show(struct bh_cli *cli, const json_t *answer)
{
	const json_t *policies = json_object_get(answer, "policies"), *p;
	const json_t *failed = json_object_get(answer, "failed");
	const struct bh_out err = {.f = cli->err, .width = BH_OUT_WIDTH};
	size_t i;

	json_array_foreach(policies, i, p)
	{
		fprintf(cli->out.f, "%s# %s: admits %lld of %lld observed, and %lld more of %lld\n",
			i ? "---\n" : "", bh_show_str(p, "workload"), bh_show_int(p, "admitted"),
			bh_show_int(p, "observed"), bh_show_int(p, "slack"),
			bh_show_int(p, "asked"));
		fputs(bh_show_str(p, "text"), cli->out.f);
	}
	json_array_foreach(failed, i, p) bh_out_line(
		&err, BH_WARN, "%s: %s", bh_show_str(p, "workload"), bh_show_str(p, "why"));
	if (!json_array_size(policies) && !json_array_size(failed))
		bh_out_line(&err, BH_PLAIN, "nothing was observed to be allowed");
	return json_array_size(failed) ? BH_EXIT_FAILED : BH_EXIT_OK;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	const char *pod = bh_args_operand(args, 0), *ns = bh_args_get(args, "namespace");
	struct bh_call call = {
		.verb = "policy.suggest",
		.take_args = json_pack("{s:s?, s:s?}", "pod", pod, "namespace", ns),
	};

	if (pod && ns) {
		json_decref(call.take_args);
		return bh_cli_usage(cli, "either --namespace or a pod");
	}
	return bh_cli_call_and_show(cli, call, show);
}

static const struct bh_option options[] = {
	{.name = "namespace", .value = "NS", .help = "workloads of this namespace only"}, {0}};

const struct bh_command bh_cmd_policy_suggest = {
	.name = "policy suggest",
	.operands = "[NS/POD]",
	.summary = "least-privilege NetworkPolicies from what was observed, replayed against it",
	.more = "A policy for each workload whose allowed connections are known; `bulkhead flows` "
		"shows them. Each is read back and asked about every connection before it is "
		"printed.",
	.example = "bulkhead policy suggest --namespace shop > suggested.yaml",
	.options = options,
	.max_operands = 1,
	.shows = true,
	.run = run,
};
