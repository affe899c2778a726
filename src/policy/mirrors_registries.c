/* mirrors_registries.c - containers-registries.conf(5), version 2 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/str.h"
#include "policy/mirrors_parts.h"

#define MAX_MIRRORS 16

/* The [[registry]] that is about the image, and how much of the image's name its prefix takes. */
struct match {
	const json_t *registry;
	size_t len;
	const char *rest; /* of the name, behind the prefix: "" or "/..." */
};

static const char *text(const json_t *table, const char *key)
{
	const char *s = json_string_value(json_object_get(table, key));

	return s && *s ? s : NULL;
}

static bool is_border(const char *s)
{
	return !*s || *s == '/';
}

/* "host/path" matches at '/', "*.example" a name below it. NULL: it does not. */
static const char *rest_behind(const char *of, const char *prefix)
{
	size_t n = strlen(prefix), host = strcspn(of, "/");

	if (prefix[0] == '*' && prefix[1] == '.')
		return n - 1 < host && !strncasecmp(of + host - (n - 1), prefix + 1, n - 1)
			       ? of + host
			       : NULL;
	return !strncmp(of, prefix, n) && is_border(of + n) ? of + n : NULL;
}

static int check_types(const json_t *registry, struct bh_err *err)
{
	static const struct {
		const char *key;
		int type;
	} rows[] = {{"prefix", JSON_STRING},
		    {"location", JSON_STRING},
		    {"pull-from-mirror", JSON_STRING},
		    {"mirror", JSON_ARRAY}};
	static const char *const flags[] = {"blocked", "insecure", "mirror-by-digest-only"};

	if (!json_is_object(registry))
		return bh_fail(err, EINVAL, "'registry': expected tables");
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		const json_t *j = json_object_get(registry, rows[i].key);

		if (j && (int)json_typeof(j) != rows[i].type)
			return bh_fail(err, EINVAL, "'%s' is of another type", rows[i].key);
	}
	for (size_t i = 0; i < BH_ARRAY_SIZE(flags); i++) {
		const json_t *j = json_object_get(registry, flags[i]);

		if (j && !json_is_boolean(j))
			return bh_fail(err, EINVAL, "'%s': expected true or false", flags[i]);
	}
	if (!text(registry, "prefix") && !text(registry, "location"))
		return bh_fail(err, EINVAL, "a 'registry' without prefix and location");
	return 0;
}

/* The longest prefix counts; of equal ones the one of the later file. */
static int match_file(const struct bh_mirror_reading *r, const json_t *root, struct match *best,
		      struct bh_err *err)
{
	const json_t *list = json_object_get(root, "registry"), *registry;
	size_t i;

	if (json_object_get(root, "registries"))
		return bh_fail(err, EINVAL, "it is of version 1, which nobody reads any more");
	if (list && !json_is_array(list))
		return bh_fail(err, EINVAL, "'registry': expected tables");
	json_array_foreach(list, i, registry)
	{
		const char *prefix, *rest;
		int res = check_types(registry, err);

		if (res)
			return res;
		prefix = text(registry, "prefix");
		if (!prefix)
			prefix = text(registry, "location");
		rest = rest_behind(r->of, prefix);
		if (rest && strlen(prefix) >= best->len)
			*best = (struct match){registry, strlen(prefix), rest};
	}
	return 0;
}

/* ---- entries ---- */

/* "host/path" in place of the prefix. */
static int push_location(struct bh_mirror_reading *r, const struct match *m, const char *location,
			 const char *pull, struct bh_err *err)
{
	size_t host = strcspn(location, "/");
	const char *path = location[host] ? location + host + 1 : "";
	const char *rest = *path ? m->rest : m->rest + (*m->rest == '/');
	BH_CLEANUP(bh_freep) char *base = bh_strf("//%.*s/v2", (int)host, location);
	BH_CLEANUP(bh_freep) char *repository = bh_strf("%s%s", path, rest);

	if (!host || strstr(location, "://"))
		return bh_fail(err, EINVAL, "'%.200s' is not host[:port][/path]", location);
	if (!base || !repository)
		return bh_fail(err, ENOMEM, "mirrors");
	return bh_mirror_push(r,
			      json_pack("{s:s, s:s, s:s, s:n, s:b, s:b, s:b, s:[]}", "of", r->of,
					"base", base, "repository", repository, "ns", "tags",
					!pull || strcmp(pull, "digest-only"), "digests",
					!pull || strcmp(pull, "tag-only"), "isServer", !pull,
					"headers"),
			      err);
}

static int push_mirrors(struct bh_mirror_reading *r, const struct match *m, struct bh_err *err)
{
	const json_t *list = json_object_get(m->registry, "mirror"), *mirror;
	bool is_digest_only = json_is_true(json_object_get(m->registry, "mirror-by-digest-only"));
	size_t i;

	if (json_array_size(list) > MAX_MIRRORS)
		return bh_fail(err, EINVAL, "'mirror': more than %d", MAX_MIRRORS);
	json_array_foreach(list, i, mirror)
	{
		const char *location = text(mirror, "location");
		const char *pull = text(mirror, "pull-from-mirror");
		int res;

		if (!location)
			return bh_fail(err, EINVAL, "a 'mirror' without location");
		if (pull && strcmp(pull, "all") && strcmp(pull, "digest-only") &&
		    strcmp(pull, "tag-only"))
			return bh_fail(err, EINVAL, "'pull-from-mirror': '%.50s' is unknown", pull);
		if (is_digest_only || !pull)
			pull = is_digest_only ? "digest-only" : "all";
		res = push_location(r, m, location, pull, err);
		if (res)
			return res;
	}
	return 0;
}

static int push_registry(struct bh_mirror_reading *r, const struct match *m, struct bh_err *err)
{
	const char *location = text(m->registry, "location");
	BH_CLEANUP(bh_freep) char *sentence = NULL;
	int res;

	if (json_is_true(json_object_get(m->registry, "blocked"))) {
		sentence = bh_strf("registries.conf blocks '%s'", r->of);
		return bh_mirror_refuse(r, false, sentence ? sentence : "blocked", err);
	}
	res = push_mirrors(r, m, err);
	/* without a location, or with the prefix for one, the image's own name holds */
	return res || !location ? res : push_location(r, m, location, NULL, err);
}

/* ---- files ---- */

struct walk {
	const struct bh_mirror_reading *r;
	struct match best;
	json_t *roots; /* that best points into */
	struct bh_err *err;
};

static int read_one(const char *path, void *arg)
{
	struct walk *w = arg;
	json_t *root = NULL;
	int res = bh_mirror_toml(w->r, path, &root, w->err);
	if (res)
		return res;
	if (json_array_append_new(w->roots, root))
		return bh_fail(w->err, ENOMEM, "mirrors");
	res = match_file(w->r, root, &w->best, w->err);
	return res ? bh_note(w->err, res, "%s", path) : 0;
}

static int read_drop_in(const char *path, void *arg)
{
	size_t n = strlen(path);

	return n < 5 || strcmp(path + n - 5, ".conf") ? 0 : read_one(path, arg);
}

int bh_mirrors_of_registries(struct bh_mirror_reading *r, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *drop_ins = bh_strf("%s.d", r->p->registries_conf);
	BH_CLEANUP(bh_json_decrefp) json_t *roots = json_array();
	struct walk w = {.r = r, .roots = roots, .err = err};
	struct bh_err ignored;
	int res;

	if (!roots || !drop_ins)
		return bh_fail(err, ENOMEM, "mirrors");
	res = read_one(r->p->registries_conf, &w);
	if (res == -ENOENT) /* it was asked for by name */
		return -EINVAL;
	if (!res)
		res = r->p->files->list(drop_ins, read_drop_in, &w, &ignored);
	if (res && res != -ENOENT)
		return res;
	if (!w.best.registry)
		return 0;
	res = push_registry(r, &w.best, err);
	return res ? res : 1;
}
