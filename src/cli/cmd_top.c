#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "cli/commands.h"

static const struct bh_option options[] = {
	{"interval", "2s", "time between two readings (2s)", 0, false, false},
	{"once", NULL, "show one interval and end, also on a terminal", 0, false, false},
	{0},
};

/* Totals of the entry of `list` whose `id` member is name; an empty object when it was not there.
 */
static const json_t *same(const json_t *list, const char *id, const char *name)
{
	json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
	{
		if (!strcmp(bh_show_str(v, id), name))
			return v;
	}
	return NULL;
}

static double rate(const json_t *now, const json_t *before, const char *key, double seconds)
{
	double d = (double)(bh_show_int(now, key) - bh_show_int(before, key));

	return d > 0 ? d / seconds : 0;
}

/* What only tracing knows; left out without it. */
static void add_used(json_t *row, const json_t *now, const json_t *before, double seconds)
{
	if (!json_object_get(now, "cpuNanoseconds"))
		return;
	json_object_set_new(row, "cpuPercent",
			    json_real(rate(now, before, "cpuNanoseconds", seconds) / 1e7));
	json_object_set_new(row, "execsPerSecond", json_real(rate(now, before, "execs", seconds)));
	json_object_set_new(row, "dnsPerSecond", json_real(rate(now, before, "dns", seconds)));
}

/* {"pods":[rates],"programs":[rates],"intervalSeconds"} out of two readings of totals. */
static json_t *rates(const json_t *before, const json_t *now, double seconds)
{
	json_t *pods = json_array(), *programs = json_array();
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(now, "pods"), i, v)
	{
		const char *name = bh_show_str(v, "pod");
		const json_t *old = same(json_object_get(before, "pods"), "pod", name);

		json_array_append_new(
			pods, json_pack("{s:s s:f s:f s:f s:I s:f}", "pod", name,
					"packetsPerSecond", rate(v, old, "packets", seconds),
					"bytesPerSecond", rate(v, old, "bytes", seconds),
					"dropsPerSecond", rate(v, old, "drops", seconds), "flows",
					(json_int_t)bh_show_int(v, "flows"), "connectionsPerSecond",
					rate(v, old, "connections", seconds)));
		add_used(json_array_get(pods, json_array_size(pods) - 1), v, old, seconds);
	}
	json_array_foreach(json_object_get(now, "programs"), i, v)
	{
		const char *name = bh_show_str(v, "name");
		const json_t *old = same(json_object_get(before, "programs"), "name", name);
		double ns = rate(v, old, "runNanoseconds", seconds);
		double runs = rate(v, old, "runCount", seconds);

		json_array_append_new(programs,
				      json_pack("{s:s s:f s:f s:f}", "name", name, "runsPerSecond",
						runs, "cpuPercent", ns / 1e7, "nanosecondsPerRun",
						runs > 0 ? ns / runs : 0.0));
	}
	return json_pack("{s:o s:o s:f}", "pods", pods, "programs", programs, "intervalSeconds",
			 seconds);
}

static double real(const json_t *obj, const char *key)
{
	return json_number_value(json_object_get(obj, key));
}

static int show_pods(const struct bh_cli *cli, const json_t *r)
{
	static const struct bh_column columns[] = {
		{"POD", false, 20},   {"PACKETS/S", true, 0}, {"BYTES/S", true, 0},
		{"DROPS/S", true, 0}, {"CONNS/S", true, 0},   {"FLOWS", true, 0},
		{"EXECS/S", true, 0}, {"DNS/S", true, 0},     {"CPU", true, 0}};
	BH_CLEANUP(bh_table_freep)
	struct bh_table *t = bh_table_new(columns, BH_ARRAY_SIZE(columns));
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(r, "pods"), i, v)
	{
		double drops = real(v, "dropsPerSecond");
		char bytes[16];

		bh_table_add(t, BH_PLAIN, bh_show_str(v, "pod"));
		bh_table_fmt(t, BH_PLAIN, "%.0f", real(v, "packetsPerSecond"));
		bh_table_add(t, BH_PLAIN,
			     bh_show_bytes((unsigned long long)real(v, "bytesPerSecond"), bytes));
		bh_table_fmt(t, drops > 0 ? BH_BAD : BH_PLAIN, "%.1f", drops);
		bh_table_fmt(t, BH_PLAIN, "%.1f", real(v, "connectionsPerSecond"));
		bh_table_fmt(t, BH_PLAIN, "%lld", bh_show_int(v, "flows"));
		bh_table_fmt(t, BH_PLAIN, "%.1f", real(v, "execsPerSecond"));
		bh_table_fmt(t, BH_PLAIN, "%.1f", real(v, "dnsPerSecond"));
		bh_table_fmt(t, BH_PLAIN, "%.1f%%", real(v, "cpuPercent"));
	}
	return bh_table_print(t, &cli->out);
}

static int show_programs(const struct bh_cli *cli, const json_t *r)
{
	static const struct bh_column columns[] = {{"BPF PROGRAM", false, 16},
						   {"RUNS/S", true, 0},
						   {"NS/RUN", true, 0},
						   {"CPU", true, 0}};
	BH_CLEANUP(bh_table_freep)
	struct bh_table *t = bh_table_new(columns, BH_ARRAY_SIZE(columns));
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(r, "programs"), i, v)
	{
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "name"));
		bh_table_fmt(t, BH_PLAIN, "%.0f", real(v, "runsPerSecond"));
		bh_table_fmt(t, BH_PLAIN, "%.0f", real(v, "nanosecondsPerRun"));
		bh_table_fmt(t, BH_PLAIN, "%.2f%%", real(v, "cpuPercent"));
	}
	fputc('\n', cli->out.f);
	return bh_table_print(t, &cli->out);
}

static int show(const struct bh_cli *cli, const json_t *r, bool clears)
{
	if (cli->wants_json) {
		bh_out_json(&cli->out, r, clears);
		return fflush(cli->out.f) ? BH_EXIT_FAILED : BH_EXIT_OK;
	}
	if (clears)
		fputs("\033[H\033[2J", cli->out.f);
	if (show_pods(cli, r) || show_programs(cli, r))
		return bh_cli_fail(cli, "out of memory");
	return fflush(cli->out.f) ? BH_EXIT_FAILED : BH_EXIT_OK;
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void wait_ms(uint64_t ms)
{
	struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	BH_CLEANUP(bh_json_decrefp) json_t *before = NULL;
	bool once = bh_args_has(args, "once") || !isatty(fileno(cli->out.f));
	struct bh_call call = {.verb = "top"};
	uint64_t interval_ms = 2000;
	double at, then;
	int r = bh_cli_duration(cli, args, "interval", &interval_ms);

	if (r)
		return r;
	if (interval_ms < 100 || interval_ms > 3600000)
		return bh_cli_usage(cli, "--interval: between 100ms and 1h");
	call.take_args = json_pack("{s:I}", "interval", (json_int_t)interval_ms);
	r = bh_cli_call(cli, call, &before);
	then = now_s();
	do {
		BH_CLEANUP(bh_json_decrefp) json_t *answer = NULL;
		BH_CLEANUP(bh_json_decrefp) json_t *now = NULL;

		if (r)
			return r;
		wait_ms(interval_ms);
		call.take_args = json_pack("{s:I}", "interval", (json_int_t)interval_ms);
		r = bh_cli_call(cli, call, &now);
		if (r)
			return r;
		at = now_s();
		answer = rates(before, now, at - then);
		r = show(cli, answer, !once);
		json_decref(before);
		before = BH_TAKE(now);
		then = at;
	} while (!once && !r);
	return r;
}

const struct bh_command bh_cmd_top = {
	.name = "top",
	.operands = "",
	.summary =
		"live: pods by packets, drops, connections, execs, CPU; cost of each BPF program",
	.more = "On a terminal it goes on until Ctrl-C; otherwise it shows one interval.",
	.example = "bulkhead top --interval 5s",
	.options = options,
	.shows = true,
	.run = run,
};
