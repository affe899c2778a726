/* doctor_containerd.c - whether containerd asks our verifier before it pulls an image. Each setting
 * named here was tried with containerd 2.1: with it, CRI pulled what the verifier refuses. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/duration.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/child.h"
#include "cli/doctor.h"

#include "policy/toml.h"

#define NAME	       "containerd"
#define VERIFIER       "bulkhead-image-verifier"
#define BIN_DIR	       "/opt/containerd/image-verifier/bin"
#define PLUGIN_BINDIR  "io.containerd.image-verifier.v1.bindir"
#define PLUGIN_IMAGES  "io.containerd.cri.v1.images"
#define PLUGIN_CRI     "io.containerd.grpc.v1.cri" /* where version 2 of the format has it all */
#define ASK_MS	       10000
#define MIN_TIMEOUT_MS 10000 /* judging ends after 8 s, the verifier's own limit is 9.5 */

struct look {
	const struct bh_doctor *d;
	struct bh_findings *f;
	json_t *conf;
	char *ours; /* path of our verifier; NULL: containerd has none of ours */
	int64_t position;
	bool is_past; /* something lets pulls go past it */
};

static json_t *plugin(const struct look *l, const char *name)
{
	return json_object_get(json_object_get(l->conf, "plugins"), name);
}

/* A setting of CRI's images, wherever the version of the format has it. */
static json_t *image_setting(const struct look *l, const char *key)
{
	json_t *old = plugin(l, PLUGIN_CRI), *v;

	v = json_object_get(plugin(l, PLUGIN_IMAGES), key);
	if (!v)
		v = json_object_get(old, key);
	return v ? v : json_object_get(json_object_get(old, "containerd"), key);
}

/* With our verifier in place somebody counts on it; without, it is all advice. */
static struct bh_finding finding(const struct look *l, const char *mend)
{
	return (struct bh_finding){
		.name = NAME, .health = l->ours ? BH_HEALTH_WRONG : BH_HEALTH_WARN, .mend = mend};
}

/* ---- the configuration ---- */

static int parse(struct look *l, const char *text, struct bh_err *err)
{
	return bh_toml_parse(text, strlen(text), &l->conf, err);
}

/* As containerd itself understands it: with defaults, imports, and older formats converted. */
static int ask_conf(struct look *l, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *text = NULL, *flag = NULL;
	char program[PATH_MAX], config[] = "config", dump[] = "dump";
	char *argv[] = {program, NULL, config, dump, NULL};
	char *const plain[] = {program, config, dump, NULL};
	int r;

	snprintf(program, sizeof(program), "%s", l->d->containerd);
	if (l->d->containerd_conf) {
		flag = bh_strf("--config=%s", l->d->containerd_conf);
		argv[1] = flag;
		if (!flag)
			return bh_fail(err, ENOMEM, NAME);
	}
	r = bh_child_output(flag ? argv : plain, ASK_MS, BH_TOML_MAX_BYTES, &text, err);
	return r ? r : parse(l, text, err);
}

/* The file alone, where the program cannot be asked, as in a container. */
static int read_conf(struct look *l, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	const char *path =
		l->d->containerd_conf ? l->d->containerd_conf : "/etc/containerd/config.toml";
	size_t len;
	int r = bh_fs_read(path, BH_TOML_MAX_BYTES, &text, &len, err);

	if (!r)
		r = parse(l, text, err);
	if (!r && json_array_size(json_object_get(l->conf, "imports")))
		bh_finding_add(
			l->f,
			(struct bh_finding){.name = NAME,
					    .health = BH_HEALTH_WARN,
					    .mend = "Run this where containerd can be "
						    "started, or name it with --containerd."},
			"%s imports other files, which were not looked at", path);
	return r;
}

/* "containerd github.com/containerd/containerd/v2 2.1.9+unknown " */
static int ask_version(struct look *l, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	char program[PATH_MAX], flag[] = "--version", version[64] = "";
	char *const argv[] = {program, flag, NULL};
	struct bh_finding is;
	unsigned major, minor;
	int r;

	snprintf(program, sizeof(program), "%s", l->d->containerd);
	r = bh_child_output(argv, ASK_MS, 4096, &text, err);
	if (r)
		return r;
	if (sscanf(text, "%*s %*s %63s", version) != 1 ||
	    sscanf(version + strspn(version, "v"), "%u.%u", &major, &minor) != 2)
		return bh_fail(err, EINVAL, "'%.100s' is no version", text);
	if (major > 2 || (major == 2 && minor > 0))
		return 0;
	l->is_past = true;
	is = finding(l,
		     "Install containerd 2.1 or later. Until then images are judged at ADD only.");
	bh_finding_add(l->f, is, "version %s: %s", version,
		       major < 2
			       ? "image verifiers came with 2.0"
			       : "CRI pulls by itself and asks no verifier, as it does since 2.1");
	return 0;
}

/* ---- what lets CRI pull past verifiers ---- */

static void past(struct look *l, const char *mend, const char *what)
{
	l->is_past = true;
	bh_finding_add(l->f, finding(l, mend), "%s: CRI pulls by itself, past every image verifier",
		       what);
}

static void check_flags(struct look *l)
{
	static const struct {
		const char *key;
		int bad; /* the JSON type that takes pulls past verifiers */
		const char *what, *mend;
	} rows[] = {
		{"use_local_image_pull", JSON_TRUE, "use_local_image_pull = true", "Remove it."},
		{"discard_unpacked_layers", JSON_TRUE, "discard_unpacked_layers = true",
		 "Remove it; containerd's garbage collection cleans up."},
		{"image_pull_with_sync_fs", JSON_TRUE, "image_pull_with_sync_fs = true",
		 "Remove it."},
		{"disable_snapshot_annotations", JSON_FALSE, "disable_snapshot_annotations = false",
		 "Remove it; snapshotters that fetch by themselves need it and cannot be judged."},
	};

	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		const json_t *v = image_setting(l, rows[i].key);

		if (v && (int)json_typeof(v) == rows[i].bad)
			past(l, rows[i].mend, rows[i].what);
	}
}

static void check_downloads(struct look *l)
{
	const json_t *v = image_setting(l, "max_concurrent_downloads");
	char what[64];

	if (!json_is_integer(v) || json_integer_value(v) == 3)
		return;
	snprintf(what, sizeof(what), "max_concurrent_downloads = %lld", json_integer_value(v));
	past(l, "Remove it; set the one of io.containerd.transfer.v1.local instead.", what);
}

static void check_registries(struct look *l)
{
	static const struct {
		const char *key, *what, *mend;
	} rows[] = {
		{"mirrors", "registry.mirrors",
		 "Set registry.config_path and write certs.d/HOST/hosts.toml instead."},
		{"configs", "registry.configs",
		 "Set registry.config_path and write certs.d/HOST/hosts.toml instead."},
		{"auths", "registry.auths", "Use imagePullSecrets instead."},
	};
	const json_t *registry = image_setting(l, "registry");

	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		if (json_object_size(json_object_get(registry, rows[i].key)))
			past(l, rows[i].mend, rows[i].what);
	}
}

static void check_disabled(struct look *l)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(l->conf, "disabled_plugins"), i, v)
	{
		if (!bh_streq(json_string_value(v), PLUGIN_BINDIR))
			continue;
		l->is_past = true;
		bh_finding_add(l->f, finding(l, "Take it out of disabled_plugins."),
			       "disabled_plugins has %s: no image verifier is asked",
			       PLUGIN_BINDIR);
	}
}

/* ---- the directory of verifiers ---- */

static bool is_ours(const char *path)
{
	char real[PATH_MAX];
	const char *slash = realpath(path, real) ? strrchr(real, '/') : NULL;

	return slash && !strcmp(slash + 1, VERIFIER) && !access(real, X_OK);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_entry(const struct dirent *e)
{
	return strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
}

/* The first of ours in containerd's order: every entry counts, by the bytes of its name. */
static int find_ours(struct look *l, const char *dir, struct bh_err *err)
{
	struct dirent **list = NULL;
	int n = scandir(dir, &list, is_entry, by_name);

	if (n < 0 && errno == ENOENT)
		return 0;
	if (n < 0)
		return bh_fail_sys(err, errno, "%s", dir);
	for (int i = 0; i < n; i++) {
		char *path = l->ours ? NULL : bh_strf("%s/%s", dir, list[i]->d_name);

		if (path && is_ours(path)) {
			l->ours = BH_TAKE(path);
			l->position = i;
		}
		free(path);
		free(list[i]);
	}
	free(list);
	return 0;
}

static void check_place(struct look *l, const char *dir)
{
	const json_t *max = json_object_get(plugin(l, PLUGIN_BINDIR), "max_verifiers");
	int64_t n = json_is_integer(max) ? json_integer_value(max) : 10;
	static char mend[] = "Link libexec/bulkhead/" VERIFIER
			     " into it. Until then images are "
			     "judged at ADD only.";

	if (!l->ours) {
		l->is_past = true;
		bh_finding_add(l->f, finding(l, mend),
			       "%s has no " VERIFIER ": what is pulled was not judged", dir);
	} else if (n >= 0 && l->position >= n) {
		l->is_past = true;
		bh_finding_add(
			l->f,
			finding(l,
				"Give it a name that comes first, such as 00-bulkhead, or raise "
				"max_verifiers."),
			"%s is number %lld of its directory, and max_verifiers = %lld", l->ours,
			(long long)l->position + 1, (long long)n);
	}
}

static void check_timeout(struct look *l)
{
	const char *text = json_string_value(
		json_object_get(plugin(l, PLUGIN_BINDIR), "per_verifier_timeout"));
	struct bh_finding is = finding(l, "Set per_verifier_timeout = \"10s\".");
	struct bh_err ignored;
	uint64_t ms;

	if (!l->ours || !text || bh_duration_parse(text, &ms, &ignored) || ms >= MIN_TIMEOUT_MS)
		return;
	is.health = BH_HEALTH_WARN;
	bh_finding_add(l->f, is,
		       "per_verifier_timeout = %s: judging may take 8 s, and what is not judged in "
		       "time is not pulled",
		       text);
}

static int examine(struct look *l, struct bh_err *err)
{
	const char *dir = json_string_value(json_object_get(plugin(l, PLUGIN_BINDIR), "bin_dir"));
	int r;

	if (!dir || !*dir)
		dir = BIN_DIR;
	r = find_ours(l, dir, err);
	if (r)
		return r;
	r = l->d->containerd ? ask_version(l, err) : 0;
	if (r && r != -ENOENT)
		return r;
	check_disabled(l);
	check_place(l, dir);
	check_flags(l);
	check_downloads(l);
	check_registries(l);
	check_timeout(l);
	if (!l->is_past)
		bh_finding_add(l->f, (struct bh_finding){.name = NAME}, "asks %s before it pulls",
			       l->ours);
	return 0;
}

void bh_doctor_containerd(const struct bh_doctor *d, struct bh_findings *f)
{
	struct look l = {.d = d, .f = f};
	struct bh_err err = {0};
	int r = d->containerd ? ask_conf(&l, &err) : -ENOENT;

	if (r == -ENOENT)
		r = read_conf(&l, &err);
	if (!r)
		r = examine(&l, &err);
	if (r && (r != -ENOENT || d->containerd_conf))
		bh_finding_add(f,
			       (struct bh_finding){.name = NAME,
						   .health = BH_HEALTH_WARN,
						   .mend = "Name its configuration with "
							   "--containerd-conf."},
			       "%s", err.text);
	json_decref(l.conf);
	free(l.ours);
}
