#include <string.h>

#include "base/str.h"
#include "cli/commands.h"

static void heading(const struct bh_cli *cli, const char *text)
{
	fprintf(cli->out.f, "\n%s%s%s\n", bh_out_on(&cli->out, BH_BOLD), text,
		bh_out_off(&cli->out, BH_BOLD));
}

static void show_head(const struct bh_cli *cli, const json_t *s)
{
	const json_t *memory = json_object_get(s, "memory");
	const json_t *publish = json_object_get(s, "publish");
	const json_t *ends = json_object_get(s, "endpoints");
	bool is_ready = bh_show_bool(s, "ready");
	const struct bh_out *o = &cli->out;
	char rss[16], maps[16];

	bh_out_line(o, is_ready ? BH_GOOD : BH_BAD, "%s",
		    is_ready ? "Enforcing" : "Not ready: the daemon does not enforce yet");
	bh_out_line(o, BH_PLAIN, "Version     %s, pid %lld, node %s, up %lld s",
		    bh_show_str(s, "version"), bh_show_int(s, "pid"), bh_show_str(s, "node"),
		    bh_show_int(s, "uptimeSeconds"));
	bh_out_line(o, BH_PLAIN, "Revision    %lld, default %s", bh_show_int(s, "revision"),
		    bh_show_str(s, "default"));
	bh_out_line(o, BH_PLAIN, "Endpoints   %lld open, %lld shut, %lld quarantined",
		    bh_show_int(ends, "open"), bh_show_int(ends, "shut"),
		    bh_show_int(ends, "quarantined"));
	bh_out_line(o, BH_PLAIN, "Memory      %s resident, %s in maps",
		    bh_show_bytes((unsigned long long)bh_show_int(memory, "rssBytes"), rss),
		    bh_show_bytes((unsigned long long)bh_show_int(memory, "mapsBytes"), maps));
	bh_out_line(o, BH_PLAIN, "Published   epoch %lld, last took %lld ms, %lld failures",
		    bh_show_int(publish, "epoch"), bh_show_int(publish, "lastMilliseconds"),
		    bh_show_int(publish, "failures"));
	if (bh_show_int(publish, "failures") && strcmp(bh_show_str(publish, "lastFailure"), "-"))
		bh_out_line(o, BH_WARN, "            last failure: %s",
			    bh_show_str(publish, "lastFailure"));
}

static int show_sources(const struct bh_cli *cli, const json_t *s)
{
	static const struct bh_column columns[] = {{"SOURCE", false, 0},
						   {"STATE", false, 0},
						   {"WHERE", false, 20},
						   {"WHY", false, 20}};
	BH_CLEANUP(bh_table_freep) struct bh_table *t = bh_table_new(columns, 4);
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(s, "sources"), i, v)
	{
		const char *state = bh_show_str(v, "state");

		bh_table_add(t, BH_PLAIN, bh_show_str(v, "type"));
		bh_table_add(t, bh_show_paint(state), state);
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "directory"));
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "why"));
	}
	fputc('\n', cli->out.f);
	return bh_table_print(t, &cli->out);
}

static int show_capabilities(const struct bh_cli *cli, const json_t *s)
{
	static const struct bh_column columns[] = {
		{"KERNEL CAPABILITY", false, 0}, {"HAS", false, 0}, {"WHAT IT GIVES", false, 30}};
	BH_CLEANUP(bh_table_freep) struct bh_table *t = bh_table_new(columns, 3);
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(s, "capabilities"), i, v)
	{
		bool has = bh_show_bool(v, "has");

		bh_table_add(t, BH_PLAIN, bh_show_str(v, "name"));
		bh_table_add(t, has ? BH_GOOD : BH_WARN, has ? "yes" : "no");
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "text"));
	}
	fputc('\n', cli->out.f);
	return bh_table_print(t, &cli->out);
}

static int show_maps(const struct bh_cli *cli, const json_t *s)
{
	static const struct bh_column columns[] = {{"MAP", false, 0},
						   {"USED", true, 0},
						   {"MAX", true, 0},
						   {"FILL", true, 0},
						   {"BYTES", true, 0}};
	BH_CLEANUP(bh_table_freep) struct bh_table *t = bh_table_new(columns, 5);
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(s, "maps"), i, v)
	{
		long long used = bh_show_int(v, "used"), max = bh_show_int(v, "max");
		double fill = max ? 100.0 * (double)used / (double)max : 0;
		char bytes[16];

		bh_table_add(t, BH_PLAIN, bh_show_str(v, "name"));
		bh_table_fmt(t, BH_PLAIN, "%lld", used);
		bh_table_fmt(t, BH_PLAIN, "%lld", max);
		bh_table_fmt(t, fill >= 80 ? BH_BAD : BH_PLAIN, "%.1f%%", fill);
		bh_table_add(t, BH_PLAIN,
			     bh_show_bytes((unsigned long long)bh_show_int(v, "bytes"), bytes));
	}
	fputc('\n', cli->out.f);
	return bh_table_print(t, &cli->out);
}

static int show_policies(const struct bh_cli *cli, const json_t *s)
{
	static const struct bh_column columns[] = {{"POLICY", false, 24},
						   {"LIVE", false, 0},
						   {"FILE", false, 20},
						   {"WHY NOT", false, 20}};
	BH_CLEANUP(bh_table_freep) struct bh_table *t = bh_table_new(columns, 4);
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(s, "policies"), i, v)
	{
		bool is_live = bh_show_bool(v, "live");

		bh_table_fmt(t, BH_PLAIN, "%s %s/%s", bh_show_str(v, "kind"),
			     bh_show_str(v, "namespace"), bh_show_str(v, "name"));
		bh_table_add(t, is_live ? BH_GOOD : BH_BAD, is_live ? "yes" : "no");
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "file"));
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "why"));
	}
	fputc('\n', cli->out.f);
	return bh_table_print(t, &cli->out);
}

static int show_drops(const struct bh_cli *cli, const json_t *s)
{
	static const struct bh_column columns[] = {
		{"DROP REASON", false, 0}, {"PACKETS", true, 0}, {"BYTES", true, 0}};
	BH_CLEANUP(bh_table_freep) struct bh_table *t = bh_table_new(columns, 3);
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(s, "drops"), i, v)
	{
		if (!bh_show_int(v, "packets"))
			continue;
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "reason"));
		bh_table_fmt(t, BH_PLAIN, "%lld", bh_show_int(v, "packets"));
		bh_table_fmt(t, BH_PLAIN, "%lld", bh_show_int(v, "bytes"));
	}
	fputc('\n', cli->out.f);
	return bh_table_print(t, &cli->out);
}

static void show_troubles(const struct bh_cli *cli, const json_t *s)
{
	const json_t *degraded = json_object_get(s, "degraded");
	const json_t *problems = json_object_get(s, "problems");
	json_t *v;
	size_t i;

	if (json_array_size(degraded))
		heading(cli, "Degraded");
	json_array_foreach(degraded, i, v)
	{
		bh_out_line(&cli->out, BH_WARN, "  %s", bh_show_str(v, "what"));
		bh_out_wrap(&cli->out, 4, bh_show_str(v, "why"));
	}
	if (json_array_size(problems))
		heading(cli, "Problems in the sources");
	json_array_foreach(problems, i, v)
	{
		bool is_error = !strcmp(bh_show_str(v, "level"), "error");

		bh_out_line(&cli->out, is_error ? BH_BAD : BH_PLAIN, "  %s:%lld:%lld: %s%s",
			    bh_show_str(v, "file"), bh_show_int(v, "line"),
			    bh_show_int(v, "column"),
			    is_error ? "" : "warning: ", bh_show_str(v, "text"));
	}
}

static void show_images(const struct bh_cli *cli, const json_t *s)
{
	const json_t *images = json_object_get(s, "images");
	const json_t *runtime = json_object_get(images, "runtime");

	if (!images)
		return;
	heading(cli, "Images");
	bh_out_line(&cli->out, BH_PLAIN, "  mode %s; runtime %s: %s, socket %s",
		    bh_show_str(images, "mode"), bh_show_str(runtime, "state"),
		    bh_show_str(runtime, "runtime"), bh_show_str(runtime, "socket"));
}

static int show(struct bh_cli *cli, const json_t *s)
{
	int r = 0;

	show_head(cli, s);
	r |= show_sources(cli, s);
	r |= show_policies(cli, s);
	r |= show_capabilities(cli, s);
	r |= show_maps(cli, s);
	r |= show_drops(cli, s);
	show_images(cli, s);
	show_troubles(cli, s);
	return r ? bh_cli_fail(cli, "out of memory") : BH_EXIT_OK;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	(void)args;
	return bh_cli_call_and_show(cli, (struct bh_call){.verb = "status"}, show);
}

const struct bh_command bh_cmd_status = {
	.name = "status",
	.operands = "",
	.summary = "what is enforced, kernel capabilities, degraded guarantees, map fill",
	.example = "bulkhead status",
	.shows = true,
	.run = run,
};
