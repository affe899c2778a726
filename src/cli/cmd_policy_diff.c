#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "cli/commands.h"
#include "cli/world.h"
#include "refeval/report.h"

static const struct bh_option options[] = {
	{"manifests", "DIR",
	 "lay OLD and NEW over this directory; without DIR: compare as they are", 0, false, true},
	BH_CLI_DEFAULT,
	{0},
};

static int show(struct bh_cli *cli, const json_t *changes)
{
	static const struct bh_column columns[] = {{"FROM", false, 20},
						   {"TO", false, 20},
						   {"PORT", false, 0},
						   {"BEFORE", false, 0},
						   {"AFTER", false, 0}};
	BH_CLEANUP(bh_table_freep)
	struct bh_table *t = bh_table_new(columns, BH_ARRAY_SIZE(columns));
	json_t *v;
	size_t i;

	if (!json_array_size(changes)) {
		fputs("Nothing changes.\n", cli->out.f);
		return BH_EXIT_OK;
	}
	json_array_foreach(changes, i, v)
	{
		const char *before = bh_show_str(v, "before"), *after = bh_show_str(v, "after");

		bh_table_add(t, BH_PLAIN, bh_show_str(v, "from"));
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "to"));
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "port"));
		bh_table_add(t, bh_show_paint(before), before);
		bh_table_add(t, bh_show_paint(after), after);
	}
	return bh_table_print(t, &cli->out) ? bh_cli_fail(cli, "out of memory") : BH_EXIT_OK;
}

/* ---- policies on paper, pods of the daemon ---- */

static int load_documents(struct bh_objects *o, const json_t *documents, struct bh_err *err)
{
	json_t *v;
	size_t i;

	json_array_foreach(documents, i, v)
	{
		const char *text = json_string_value(v);
		bool is_changed;
		char name[32];
		int r;

		snprintf(name, sizeof(name), "daemon#%zu", i);
		r = text ? bh_objects_load(o, name, text, strlen(text), &is_changed, err) : 0;
		if (r)
			return r;
	}
	return 0;
}

/* What the daemon has in force now. */
static int live_world(const struct bh_cli *cli, struct bh_world **ret)
{
	struct bh_call call = {.verb = "policy.world", .progress = "asking the daemon"};
	BH_CLEANUP(bh_objects_freep) struct bh_objects *o = NULL;
	BH_CLEANUP(bh_json_decrefp) json_t *answer = NULL;
	struct bh_objects_options none = {0};
	struct bh_err err;
	int r = bh_cli_call(cli, call, &answer);

	if (r)
		return r;
	if (bh_objects_new(&none, &o, &err) ||
	    load_documents(o, json_object_get(answer, "documents"), &err))
		return bh_cli_fail(cli, "%s", err.text);
	return bh_cli_seal(cli, o, !strcmp(bh_show_str(answer, "default"), "kubernetes"), ret);
}

/* Namespaces and pods of `live` under the policies (and namespaces) of `paper`. */
static int combine(const struct bh_world *live, const struct bh_world *paper, struct bh_world **ret,
		   struct bh_err *err)
{
	BH_CLEANUP(bh_world_unrefp) struct bh_world *w = NULL;
	int r = bh_world_new(&w, err);

	for (size_t i = 0; !r && i < live->n_namespaces; i++) {
		if (!bh_world_namespace(paper, live->namespaces[i]->name))
			r = bh_world_add_namespace(w, live->namespaces[i]);
	}
	for (size_t i = 0; !r && i < paper->n_namespaces; i++)
		r = bh_world_add_namespace(w, paper->namespaces[i]);
	for (size_t i = 0; !r && i < live->n_pods; i++)
		r = bh_world_add_pod(w, live->pods[i]);
	for (size_t i = 0; !r && i < paper->n_policies; i++)
		r = bh_world_add_policy(w, paper->policies[i]);
	if (r)
		return bh_fail(err, -r, "out of memory");
	w->default_allow = live->default_allow;
	w->now_s = live->now_s;
	r = bh_world_seal(w, err);
	if (!r)
		*ret = BH_TAKE(w);
	return r;
}

/* Puts the daemon's pods under both worlds, in place. */
static int populate(const struct bh_cli *cli, struct bh_world *worlds[2])
{
	BH_CLEANUP(bh_world_unrefp) struct bh_world *live = NULL;
	struct bh_err err;
	int r = live_world(cli, &live);

	for (size_t i = 0; !r && i < 2; i++) {
		struct bh_world *w = NULL;

		if (combine(live, worlds[i], &w, &err))
			return bh_cli_fail(cli, "%s", err.text);
		bh_world_unref(worlds[i]);
		worlds[i] = w;
	}
	return r;
}

/* ---- both sides ---- */

struct sides {
	struct bh_world *w[2]; /* before, after */
};

static void sides_done(struct sides *s)
{
	bh_world_unref(s->w[0]);
	bh_world_unref(s->w[1]);
}

static int read_sides(const struct bh_cli *cli, const struct bh_args *args, const char *base,
		      struct sides *s)
{
	bool default_allow = !strcmp(
		"kubernetes", bh_args_has(args, "default") ? bh_args_get(args, "default") : "deny");

	for (size_t i = 0; i < 2; i++) {
		const char *paths[] = {bh_args_operand(args, i), base};
		int r = bh_cli_world(cli, paths, base && *base ? 2 : 1, default_allow, &s->w[i]);

		if (r)
			return r;
	}
	if (!base && !s->w[0]->n_pods && !s->w[1]->n_pods)
		return populate(cli, s->w);
	return BH_EXIT_OK;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	BH_CLEANUP(bh_json_decrefp) json_t *changes = NULL;
	BH_CLEANUP(sides_done) struct sides s = {0};
	const char *base = bh_args_get(args, "manifests");
	const char *mode = bh_args_get(args, "default");
	struct bh_progress progress;
	struct bh_err err;
	int r;

	if (mode && strcmp(mode, "deny") && strcmp(mode, "kubernetes"))
		return bh_cli_usage(cli, "--default takes deny or kubernetes, not '%s'", mode);
	r = read_sides(cli, args, base, &s);
	if (r)
		return r;
	bh_progress_start(&progress, "comparing");
	r = bh_report_diff(s.w[0], s.w[1], &changes, &err);
	bh_progress_stop(&progress);
	if (r)
		return bh_cli_fail(cli, "%s", err.text);
	if (!cli->wants_json)
		return show(cli, changes);
	bh_out_json(&cli->out, changes, false);
	return BH_EXIT_OK;
}

const struct bh_command bh_cmd_policy_diff = {
	.name = "policy diff",
	.operands = "OLD NEW",
	.summary = "which (from, to, port) become allowed or denied",
	.more = "OLD and NEW are files or directories. When neither describes a pod and "
		"--manifests "
		"is not given, the pods and namespaces are the daemon's, with only the policies of "
		"OLD "
		"and NEW.",
	.example = "bulkhead policy diff ./manifests ./manifests.new --manifests",
	.options = options,
	.min_operands = 2,
	.max_operands = 2,
	.shows = true,
	.run = run,
};
