#include <string.h>

#include "cli/commands.h"

static void add_row(struct bh_table *t, const json_t *pod)
{
	const json_t *rulesets = json_object_get(pod, "rulesets");
	const json_t *counters = json_object_get(pod, "counters");
	BH_CLEANUP(bh_freep) char *addresses = bh_show_list(pod, "addresses");
	const char *state = bh_show_str(pod, "state");
	long long dropped = bh_show_int(counters, "droppedPackets");

	bh_table_add(t, BH_PLAIN, bh_show_str(pod, "pod"));
	bh_table_add(t, bh_show_paint(state), state);
	bh_table_fmt(t, BH_PLAIN, "%s", bh_show_str(pod, "interface"));
	bh_table_add(t, BH_PLAIN, addresses);
	bh_table_fmt(t, BH_PLAIN, "%lld/%lld", bh_show_int(rulesets, "ingress"),
		     bh_show_int(rulesets, "egress"));
	bh_table_add(t, BH_PLAIN, bh_show_str(pod, "image"));
	bh_table_fmt(t, BH_PLAIN, "%lld", bh_show_int(counters, "passedPackets"));
	bh_table_fmt(t, dropped ? BH_BAD : BH_PLAIN, "%lld", dropped);
	bh_table_fmt(t, BH_PLAIN, "%lld", bh_show_int(counters, "flows"));
}

/* Images that are not accepted, one line each. */
static void show_images(const struct bh_cli *cli, const json_t *pod)
{
	const json_t *image;
	size_t i;

	json_array_foreach(json_object_get(pod, "images"), i, image)
	{
		const char *verdict = bh_show_str(image, "verdict");
		bool is_reject = !strcmp(verdict, "reject");

		if (is_reject || !strcmp(verdict, "undecided"))
			bh_out_line(&cli->out, is_reject ? BH_BAD : BH_WARN,
				    "%s: image %s: %s by ImagePolicy %s: %s",
				    bh_show_str(pod, "pod"), bh_show_str(image, "image"), verdict,
				    bh_show_str(image, "policy"), bh_show_str(image, "reason"));
	}
}

static int show(struct bh_cli *cli, const json_t *answer)
{
	static const struct bh_column columns[] = {
		{"POD", false, 16},	  {"STATE", false, 0},	{"IF", false, 0},
		{"ADDRESSES", false, 16}, {"IN/OUT", false, 0}, {"IMAGE", false, 8},
		{"PASSED", true, 0},	  {"DROPPED", true, 0}, {"FLOWS", true, 0}};
	BH_CLEANUP(bh_table_freep)
	struct bh_table *t = bh_table_new(columns, BH_ARRAY_SIZE(columns));
	const json_t *pods = json_object_get(answer, "pods");
	json_t *pod;
	size_t i;

	if (!json_array_size(pods)) {
		fputs("No pods are registered.\n", cli->out.f);
		return BH_EXIT_OK;
	}
	json_array_foreach(pods, i, pod) add_row(t, pod);
	if (bh_table_print(t, &cli->out))
		return bh_cli_fail(cli, "out of memory");
	json_array_foreach(pods, i, pod)
	{
		if (json_is_string(json_object_get(pod, "why")))
			bh_out_line(&cli->out, BH_WARN, "%s is %s: %s", bh_show_str(pod, "pod"),
				    bh_show_str(pod, "state"), bh_show_str(pod, "why"));
		show_images(cli, pod);
	}
	return BH_EXIT_OK;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	(void)args;
	return bh_cli_call_and_show(cli, (struct bh_call){.verb = "pods"}, show);
}

const struct bh_command bh_cmd_pods = {
	.name = "pods",
	.operands = "",
	.summary = "endpoints: pod, addresses, state, rulesets, image verdict, counters",
	.example = "bulkhead pods",
	.shows = true,
	.run = run,
};
