#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/world.h"
#include "refeval/report.h"

static const struct bh_option options[] = {
	{"port", "80/TCP", "destination port and protocol, or ICMP", 0, false, false},
	BH_CLI_MANIFESTS,
	BH_CLI_DEFAULT,
	{0},
};

/* Answers arrive as one array of cells; this finds the cell of a pair. */
struct grid {
	const json_t *pods;
	size_t n;
	char *mark; /* [from * n + to]: '.', 'X', or ' ' when there is no such cell */
};

static void grid_done(struct grid *g)
{
	free(g->mark);
}

struct place {
	const char *name;
	size_t index;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct place *)a)->name, ((const struct place *)b)->name);
}

static size_t index_of(const struct place *places, size_t n, const char *name)
{
	struct place key = {.name = name};
	const struct place *p = bsearch(&key, places, n, sizeof(key), by_name);

	return p ? p->index : n;
}

static int grid_fill(struct grid *g, const json_t *answer)
{
	BH_CLEANUP(bh_freep) struct place *places = NULL;
	json_t *v;
	size_t i;

	g->pods = json_object_get(answer, "pods");
	g->n = json_array_size(g->pods);
	g->mark = malloc(g->n * g->n + 1);
	places = calloc(g->n + 1, sizeof(*places));
	if (!g->mark || !places)
		return -1;
	memset(g->mark, ' ', g->n * g->n);
	json_array_foreach(g->pods, i, v) places[i] =
		(struct place){json_is_string(v) ? json_string_value(v) : "", i};
	qsort(places, g->n, sizeof(*places), by_name);
	json_array_foreach(json_object_get(answer, "cells"), i, v)
	{
		size_t from = index_of(places, g->n, bh_show_str(v, "from"));
		size_t to = index_of(places, g->n, bh_show_str(v, "to"));
		bool is_allowed = !strcmp(bh_show_str(v, "verdict"), "allowed");

		if (from < g->n && to < g->n)
			g->mark[from * g->n + to] = is_allowed ? '.' : 'X';
	}
	return 0;
}

static const char *pod_name(const struct grid *g, size_t i)
{
	const char *s = json_string_value(json_array_get(g->pods, i));

	return s ? s : "-";
}

static size_t longest(const struct grid *g)
{
	size_t n = 4;

	for (size_t i = 0; i < g->n; i++) {
		size_t c = bh_out_columns(pod_name(g, i));

		n = c > n ? c : n;
	}
	return n;
}

/* Rows open connections, columns are numbered like the rows. */
static void print_grid(const struct bh_out *o, const struct grid *g, size_t name_width)
{
	fprintf(o->f, "%s%*s  %-*s", bh_out_on(o, BH_BOLD), 3, "", (int)name_width, "FROM \\ TO");
	for (size_t i = 0; i < g->n; i++)
		fprintf(o->f, " %2zu", i + 1);
	fprintf(o->f, "%s\n", bh_out_off(o, BH_BOLD));
	for (size_t i = 0; i < g->n; i++) {
		const char *name = pod_name(g, i);
		size_t pad = name_width - bh_out_columns(name);

		fprintf(o->f, "%3zu  %s%*s", i + 1, name, (int)pad, "");
		for (size_t k = 0; k < g->n; k++) {
			char m = g->mark[i * g->n + k];
			enum bh_paint p = m == '.' ? BH_GOOD : BH_BAD;

			fprintf(o->f, "  %s%c%s", bh_out_on(o, p), m, bh_out_off(o, p));
		}
		fputc('\n', o->f);
	}
}

/* For worlds too wide for a grid: whom each pod reaches. */
static int print_list(const struct bh_out *o, const struct grid *g)
{
	for (size_t i = 0; i < g->n; i++) {
		BH_CLEANUP(bh_str_done) struct bh_str s = {0};
		size_t reached = 0;

		for (size_t k = 0; k < g->n; k++) {
			if (k == i || g->mark[i * g->n + k] != '.')
				continue;
			bh_str_fmt(&s, "%s%s", reached++ ? ", " : "", pod_name(g, k));
		}
		if (s.failed)
			return -1;
		bh_out_line(o, BH_BOLD, "%s reaches %zu of %zu%s", pod_name(g, i), reached,
			    g->n - 1, reached ? ":" : "");
		if (reached)
			bh_out_wrap(o, 4, bh_str_text(&s));
	}
	return 0;
}

static int show(struct bh_cli *cli, const json_t *answer)
{
	BH_CLEANUP(grid_done) struct grid g = {0};
	const struct bh_out *o = &cli->out;
	size_t width, allowed = 0;

	if (grid_fill(&g, answer))
		return bh_cli_fail(cli, "out of memory");
	if (!g.n) {
		fputs("There are no pods.\n", o->f);
		return BH_EXIT_OK;
	}
	for (size_t i = 0; i < g.n * g.n; i++)
		allowed += g.mark[i] == '.' && i / g.n != i % g.n;
	bh_out_line(o, BH_BOLD, "%s: %zu of %zu pairs allowed", bh_show_str(answer, "port"),
		    allowed, g.n * (g.n - 1));
	width = longest(&g);
	width = width < 9 ? 9 : width;
	if (g.n < 100 && 5 + width + 3 * g.n <= o->width)
		print_grid(o, &g, width);
	else if (print_list(o, &g))
		return bh_cli_fail(cli, "out of memory");
	return BH_EXIT_OK;
}

static int from_directory(struct bh_cli *cli, const struct bh_args *args, const char *dir,
			  bool default_allow)
{
	BH_CLEANUP(bh_world_unrefp) struct bh_world *w = NULL;
	BH_CLEANUP(bh_json_decrefp) json_t *answer = NULL;
	struct bh_progress progress;
	uint16_t port = 0;
	uint8_t proto = 0;
	struct bh_err err;
	int r;

	r = bh_cli_port(cli, bh_args_get(args, "port"), &port, &proto);
	if (r)
		return r;
	r = bh_cli_world(cli, &dir, 1, default_allow, &w);
	if (r)
		return r;
	bh_progress_start(&progress, "deciding every pair");
	r = bh_report_matrix(w, port, proto, &answer, &err);
	bh_progress_stop(&progress);
	if (r)
		return bh_cli_fail(cli, "%s", err.text);
	if (!cli->wants_json)
		return show(cli, answer);
	bh_out_json(&cli->out, answer, false);
	return BH_EXIT_OK;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	struct bh_call call = {
		.verb = "policy.matrix", .timeout_ms = 120000, .progress = "deciding every pair"};
	bool default_allow;
	const char *dir;
	uint16_t port;
	uint8_t proto;
	int r = bh_cli_source(cli, args, &dir, &default_allow);

	if (r)
		return r;
	if (!bh_args_has(args, "port"))
		return bh_cli_usage(cli, "policy matrix needs --port, as in --port 80/TCP");
	if (dir)
		return from_directory(cli, args, dir, default_allow);
	r = bh_cli_port(cli, bh_args_get(args, "port"), &port, &proto);
	if (r)
		return r;
	call.take_args = json_pack("{s:s}", "port", bh_args_get(args, "port"));
	return bh_cli_call_and_show(cli, call, show);
}

const struct bh_command bh_cmd_policy_matrix = {
	.name = "policy matrix",
	.operands = "",
	.summary = "who reaches whom on a port ('.' allowed, 'X' denied)",
	.more = "With --manifests the answer is what would be in force: objects that are refused "
		"are "
		"named on standard error and left out, and the exit status is still 0 "
		"(use policy check to fail on them).",
	.example = "bulkhead policy matrix --manifests ./manifests --port 80/TCP",
	.options = options,
	.shows = true,
	.run = run,
};
