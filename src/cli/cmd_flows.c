#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/commands.h"

static const struct bh_option options[] = {
	{"follow", NULL, "go on showing new and changed ones", 0, false, false},
	{"pod", "NS/POD", "only those of this pod", 0, false, false},
	{"verdict", "denied|allowed", "only these", 0, false, false},
	{0},
};

static const struct bh_column columns[] = {
	{"FROM", false, 12}, {"TO", false, 12},	    {"PORT", false, 0},	  {"VERDICT", false, 0},
	{"WHY", false, 10},  {"PROCESS", false, 8}, {"PACKETS", true, 0}, {"LAST", false, 10}};

static const char *end_name(const json_t *flow, const char *name, const char *address)
{
	const char *s = bh_show_str(flow, name);

	return strcmp(s, "-") ? s : bh_show_str(flow, address);
}

/* The deciding rule; where no rule did, the reason. */
static const char *why(const json_t *flow)
{
	const char *rule = bh_show_str(flow, "rule");

	return strcmp(rule, "-") && strcmp(rule, "default") ? rule : bh_show_str(flow, "reason");
}

/* Newest first; times of RFC 3339 in UTC compare as text. */
static int by_last(const void *a, const void *b)
{
	return strcmp(bh_show_str(*(json_t *const *)b, "last"),
		      bh_show_str(*(json_t *const *)a, "last"));
}

static json_t **sorted(const json_t *flows)
{
	json_t **v = calloc(json_array_size(flows) + 1, sizeof(*v));
	json_t *flow;
	size_t i;

	if (!v)
		return NULL;
	json_array_foreach(flows, i, flow) v[i] = flow;
	qsort(v, i, sizeof(*v), by_last);
	return v;
}

/* "16:18:27" for a time of today (UTC), else as it is. */
static const char *short_time(const char *text, char out[16])
{
	time_t now = time(NULL);
	char today[16] = "";
	struct tm tm;

	if (gmtime_r(&now, &tm))
		strftime(today, sizeof(today), "%Y-%m-%dT", &tm);
	if (strncmp(text, today, strlen(today)) || strlen(text) < 19)
		return text;
	snprintf(out, 16, "%.8s", text + strlen(today));
	return out;
}

static int print(const struct bh_cli *cli, const json_t *answer)
{
	BH_CLEANUP(bh_table_freep)
	struct bh_table *t = bh_table_new(columns, BH_ARRAY_SIZE(columns));
	BH_CLEANUP(bh_freep) json_t **v = sorted(json_object_get(answer, "flows"));

	for (size_t i = 0; v && v[i]; i++) {
		const char *verdict = bh_show_str(v[i], "verdict");
		char at[16];

		bh_table_add(t, BH_PLAIN, end_name(v[i], "from", "fromAddress"));
		bh_table_add(t, BH_PLAIN, end_name(v[i], "to", "toAddress"));
		bh_table_add(t, BH_PLAIN, bh_show_str(v[i], "port"));
		bh_table_add(t, bh_show_paint(verdict), verdict);
		bh_table_add(t, BH_PLAIN, why(v[i]));
		bh_table_add(t, BH_PLAIN, bh_show_str(v[i], "process"));
		bh_table_fmt(t, BH_PLAIN, "%lld", bh_show_int(v[i], "packets"));
		bh_table_add(t, BH_FAINT, short_time(bh_show_str(v[i], "last"), at));
	}
	return !v || bh_table_print(t, &cli->out) ? bh_cli_fail(cli, "out of memory") : BH_EXIT_OK;
}

static int show(struct bh_cli *cli, const json_t *answer)
{
	if (json_array_size(json_object_get(answer, "flows")))
		return print(cli, answer);
	fputs("There are no flows.\n", cli->out.f);
	return BH_EXIT_OK;
}

/* One result of the stream; a line of JSON, or one line per flow. */
static int follow(const json_t *result, void *arg)
{
	const struct bh_cli *cli = arg;
	json_t *v;
	size_t i;

	if (cli->wants_json) {
		bh_out_json(&cli->out, result, true);
		return fflush(cli->out.f) ? 1 : 0;
	}
	json_array_foreach(json_object_get(result, "flows"), i, v)
	{
		const char *verdict = bh_show_str(v, "verdict");

		bh_out_line(&cli->out, bh_show_paint(verdict),
			    "%s %s %s -> %s %s, %lld packets, %s", bh_show_str(v, "last"), verdict,
			    end_name(v, "from", "fromAddress"), end_name(v, "to", "toAddress"),
			    bh_show_str(v, "port"), bh_show_int(v, "packets"), why(v));
	}
	return fflush(cli->out.f) ? 1 : 0;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	const char *pod = bh_args_get(args, "pod");
	const char *verdict = bh_args_get(args, "verdict");
	bool is_following = bh_args_has(args, "follow");
	struct bh_call call = {.verb = "flows"};

	if (pod && bh_cli_pod(cli, pod))
		return BH_EXIT_USAGE;
	if (verdict && strcmp(verdict, "denied") && strcmp(verdict, "allowed"))
		return bh_cli_usage(cli, "--verdict takes denied or allowed, not '%s'", verdict);
	call.take_args = json_pack("{s:s? s:s? s:b}", "pod", pod, "verdict", verdict, "follow",
				   is_following);
	if (!call.take_args)
		return bh_cli_usage(cli, "an argument is not UTF-8");
	if (is_following)
		return bh_cli_stream(cli, call, follow, cli);
	return bh_cli_call_and_show(cli, call, show);
}

const struct bh_command bh_cmd_flows = {
	.name = "flows",
	.operands = "",
	.summary = "who talked, or tried to, with whom; verdict, rule, process, packets",
	.more = "With --follow -o json each line is one JSON object {\"flows\":[...]}.",
	.example = "bulkhead flows --follow --verdict denied",
	.options = options,
	.shows = true,
	.run = run,
};
