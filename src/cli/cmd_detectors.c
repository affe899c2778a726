/* cmd_detectors.c - `bulkhead detectors`: what is looked for, under the names that events use and a
 * RuntimePolicy's `on` takes. Needs no daemon. */
#include "base/json.h"
#include "cli/commands.h"
#include "detect/detect.h"

static const char *const severities[] = {"", "informational", "low", "medium", "high"};
static const char *const needs[] = {
	[BH_DETECT_ALWAYS] = "nothing",
	[BH_DETECT_BASELINE] = "baseline",
	[BH_DETECT_CHAIN] = "several deeds",
	[BH_DETECT_VIOLATION] = "RuntimePolicy",
};

static json_t *row_json(const struct bh_detector *d)
{
	json_t *attack = json_array();

	for (size_t i = 0; i < BH_ARRAY_SIZE(d->attack) && d->attack[i]; i++)
		json_array_append_new(attack, json_string(d->attack[i]));
	return json_pack("{ss ss ss ss so ss}", "name", d->name, "title", d->title, "severity",
			 severities[d->severity], "needs", needs[d->family], "attack", attack,
			 "response", bh_response_name(d->response));
}

static int show_json(struct bh_cli *cli)
{
	BH_CLEANUP(bh_json_decrefp) json_t *all = json_pack("{s[]}", "detectors");

	for (size_t i = 0; all && i < bh_n_detectors; i++)
		json_array_append_new(json_object_get(all, "detectors"),
				      row_json(&bh_detectors[i]));
	if (!all)
		return bh_cli_fail(cli, "out of memory");
	bh_out_json(&cli->out, all, false);
	return BH_EXIT_OK;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	static const struct bh_column columns[] = {{"DETECTOR", false, 0},
						   {"SEVERITY", false, 0},
						   {"NEEDS", false, 0},
						   {"ATT&CK", false, 0},
						   {"FINDS", false, 24}};
	BH_CLEANUP(bh_table_freep)
	struct bh_table *t = bh_table_new(columns, BH_ARRAY_SIZE(columns));

	(void)args;
	if (cli->wants_json)
		return show_json(cli);
	for (size_t i = 0; i < bh_n_detectors; i++) {
		const struct bh_detector *d = &bh_detectors[i];

		bh_table_add(t, BH_PLAIN, d->name);
		bh_table_add(t, d->severity == BH_SEVERITY_HIGH ? BH_WARN : BH_PLAIN,
			     severities[d->severity]);
		bh_table_add(t, BH_PLAIN, needs[d->family]);
		bh_table_add(t, BH_PLAIN, d->attack[0]);
		bh_table_add(t, BH_PLAIN, d->title);
	}
	return bh_table_print(t, &cli->out) ? bh_cli_fail(cli, "out of memory") : BH_EXIT_OK;
}

const struct bh_command bh_cmd_detectors = {
	.name = "detectors",
	.operands = "",
	.summary = "what is looked for in pods: names, ATT&CK techniques, usual severities",
	.more = "The names are those of events (bulkhead events --class finding) and of `on` in a "
		"RuntimePolicy. What needs a baseline is silent until the workload's is closed.",
	.example = "bulkhead detectors",
	.shows = true,
	.run = run,
};
