#include <string.h>
#include <time.h>

#include "cli/commands.h"
#include "event/ocsf.h"

#define INDENT 25 /* what does not fit goes on beside the time */

static const struct bh_option options[] = {
	{"follow", NULL, "go on showing new ones", 0, false, false},
	{"since", "1h", "those of this last stretch of time (all)", 0, false, false},
	{"class", "NAME", "only this class", 0, false, false},
	{"pod", "NS/POD", "only those about this pod", 0, false, false},
	{0},
};

/* Whose it is, where the sentence does not begin with that. */
static const char *pod_of(const json_t *e)
{
	const json_t *ours = json_object_get(json_object_get(e, "unmapped"), "bulkhead");
	const char *pod = json_string_value(json_object_get(ours, "pod"));

	return pod && strncmp(bh_show_str(e, "message"), pod, strlen(pod)) ? pod : "";
}

static void print_event(const struct bh_cli *cli, const json_t *e)
{
	long long ms = bh_show_int(e, "time");
	time_t t = (time_t)(ms / 1000);
	const char *severity = bh_show_str(e, "severity");
	bool is_bad = !strcmp(severity, "High") || !strcmp(severity, "Critical") ||
		      !strcmp(severity, "Medium");
	const char *pod = pod_of(e);
	char at[32] = "";
	struct tm tm;

	if (gmtime_r(&t, &tm))
		strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%S", &tm);
	bh_out_hang(&cli->out, is_bad ? BH_WARN : BH_PLAIN, INDENT, "%s.%03lldZ %-13s %s: %s%s%s",
		    at, ms % 1000, severity, bh_show_str(e, "class_name"), pod, *pod ? ": " : "",
		    bh_show_str(e, "message"));
}

/* One result of the stream: an event, or the end of what was asked for. */
static int on_result(const json_t *result, void *arg)
{
	const struct bh_cli *cli = arg;
	const json_t *e = json_object_get(result, "event");

	if (json_object_get(result, "lost"))
		bh_cli_fail(cli,
			    "%lld events were not shown: they came faster than they were "
			    "read; the log has them",
			    bh_show_int(result, "lost"));
	if (!e)
		return 0;
	if (cli->wants_json)
		bh_out_json(&cli->out, e, true);
	else
		print_event(cli, e);
	return fflush(cli->out.f) ? 1 : 0;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	const char *pod = bh_args_get(args, "pod"), *class = bh_args_get(args, "class");
	struct bh_call call = {.verb = "events"};
	uint64_t since_ms = 0;
	struct bh_err err;
	int class_uid;
	int r = bh_cli_duration(cli, args, "since", &since_ms);

	if (r)
		return r;
	if (pod && bh_cli_pod(cli, pod))
		return BH_EXIT_USAGE;
	if (class && bh_ocsf_class_parse(class, &class_uid, &err))
		return bh_cli_usage(cli, "--class: %s", err.text);
	call.take_args =
		json_pack("{s:b s:o s:s? s:s?}", "follow", bh_args_has(args, "follow"), "since",
			  bh_args_has(args, "since") ? json_integer((json_int_t)(since_ms / 1000))
						     : json_null(),
			  "class", class, "pod", pod);
	if (!call.take_args)
		return bh_cli_usage(cli, "an argument is not UTF-8");
	return bh_cli_stream(cli, call, on_result, cli);
}

const struct bh_command bh_cmd_events = {
	.name = "events",
	.operands = "",
	.summary = "the event log; -o json prints one OCSF event a line",
	.more = "Classes: network, dns, process, file, module, extension, kernel, job, finding "
		"(detection and compliance), kill, quarantine, policy, pod; or OCSF's own names.",
	.example = "bulkhead events --follow --since 1h",
	.options = options,
	.shows = true,
	.run = run,
};
