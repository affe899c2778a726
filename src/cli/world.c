#include "cli/world.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fs.h"

#define MAX_FILE (64u * 1024 * 1024)

static bool is_manifest(const char *path)
{
	static const char *const endings[] = {".yaml", ".yml", ".json"};
	size_t n = strlen(path);

	for (size_t i = 0; i < BH_ARRAY_SIZE(endings); i++) {
		size_t e = strlen(endings[i]);

		if (n > e && !strcmp(path + n - e, endings[i]))
			return true;
	}
	return false;
}

struct reading {
	struct bh_objects *o;
	struct bh_err *err;
};

static int load(const char *path, struct reading *r)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	bool is_changed;
	size_t len;
	int code = bh_fs_read(path, MAX_FILE, &text, &len, r->err);

	if (code)
		return code;
	return bh_objects_load(r->o, path, text, len, &is_changed, r->err);
}

static int load_manifest(const char *path, void *arg)
{
	return is_manifest(path) ? load(path, arg) : 0;
}

int bh_cli_read(const struct bh_cli *cli, struct bh_objects *o, const char *path)
{
	struct bh_err err = {0};
	struct reading r = {o, &err};
	struct stat st;
	int code;

	if (stat(path, &st))
		return bh_cli_fail(cli, "%s: %s", path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		code = bh_fs_walk(path, load_manifest, &r, &err);
	else
		code = load(path, &r);
	return code ? bh_cli_fail(cli, "%s: %s", path, err.text) : BH_EXIT_OK;
}

int bh_cli_print_errors(const struct bh_cli *cli, const struct bh_objects *o)
{
	BH_CLEANUP(bh_problems_done) struct bh_problems problems = {0};
	struct bh_out out = {.f = cli->err, .width = BH_OUT_WIDTH};

	if (bh_objects_problems(o, &problems))
		return bh_cli_fail(cli, "out of memory");
	for (size_t i = 0; i < problems.n; i++) {
		const struct bh_problem *p = &problems.v[i];

		if (p->level != BH_PROBLEM_ERROR)
			continue;
		bh_out_line(&out, BH_PLAIN, "%s:%u:%u: %s", p->file ? p->file : "-", p->line,
			    p->col, p->text);
	}
	return BH_EXIT_OK;
}

int bh_cli_seal(const struct bh_cli *cli, const struct bh_objects *o, bool default_allow,
		struct bh_world **ret)
{
	BH_CLEANUP(bh_world_unrefp) struct bh_world *w = NULL;
	struct bh_err err;

	if (bh_world_new(&w, &err) || bh_objects_fill(o, w, &err))
		return bh_cli_fail(cli, "%s", err.text);
	w->default_allow = default_allow;
	w->now_s = time(NULL);
	if (bh_world_seal(w, &err))
		return bh_cli_fail(cli, "%s", err.text);
	*ret = BH_TAKE(w);
	return BH_EXIT_OK;
}

int bh_cli_world(const struct bh_cli *cli, const char *const *paths, size_t n, bool default_allow,
		 struct bh_world **ret)
{
	BH_CLEANUP(bh_objects_freep) struct bh_objects *o = NULL;
	struct bh_objects_options options = {0};
	struct bh_err err;

	if (bh_objects_new(&options, &o, &err))
		return bh_cli_fail(cli, "%s", err.text);
	for (size_t i = 0; i < n; i++) {
		int r = bh_cli_read(cli, o, paths[i]);

		if (r)
			return r;
	}
	if (bh_cli_print_errors(cli, o))
		return BH_EXIT_FAILED;
	return bh_cli_seal(cli, o, default_allow, ret);
}

int bh_cli_source(const struct bh_cli *cli, const struct bh_args *args, const char **ret_dir,
		  bool *ret_default_allow)
{
	const char *dir = bh_args_get(args, "manifests");
	const char *mode = bh_args_get(args, "default");

	if (mode && strcmp(mode, "deny") && strcmp(mode, "kubernetes"))
		return bh_cli_usage(cli, "--default takes deny or kubernetes, not '%s'", mode);
	if (mode && !dir)
		return bh_cli_usage(cli, "--default goes with --manifests; a daemon has its own");
	*ret_dir = dir;
	*ret_default_allow = mode && !strcmp(mode, "kubernetes");
	return BH_EXIT_OK;
}

int bh_cli_port(const struct bh_cli *cli, const char *text, uint16_t *ret_port, uint8_t *ret_proto)
{
	struct bh_err err;

	if (bh_port_proto_parse(text, ret_port, ret_proto, &err))
		return bh_cli_usage(cli, "%s", err.text);
	return BH_EXIT_OK;
}
