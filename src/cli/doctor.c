#include "cli/doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/str.h"

#define BPFFS_MAGIC  0xcafe4a11
#define PLUGIN	     "bulkhead-cni"
#define MAX_CONFLIST (1024u * 1024)

void bh_finding_add(struct bh_findings *f, struct bh_finding finding, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	finding.text = text;
	if (text && !bh_vec_push(&f->list, finding))
		return;
	free(text);
	f->failed = true;
}

void bh_findings_done(struct bh_findings *f)
{
	bh_vec_each (it, &f->list)
		free(it->text);
	bh_vec_done(&f->list);
}

/* ---- kernel ---- */

void bh_doctor_release(const char *release, struct bh_findings *f)
{
	struct bh_finding is = {.name = "kernel"};
	unsigned major = 0, minor = 0;

	if (sscanf(release, "%u.%u", &major, &minor) != 2) {
		is.health = BH_HEALTH_WARN;
		is.mend = "See what uname -r says.";
		bh_finding_add(f, is, "the kernel's release is no number: '%s'", release);
		return;
	}
	if (major < 6 || (major == 6 && minor < 1)) {
		bool lacks = major < 5 || (major == 5 && minor < 15);

		is.health = lacks ? BH_HEALTH_WRONG : BH_HEALTH_WARN;
		is.mend = "Install a kernel of 6.1 or later; none before was tried.";
	}
	bh_finding_add(f, is, "Linux %s", release);
}

static void check_btf(struct bh_findings *f)
{
	struct bh_finding is = {.name = "BTF"};

	if (access("/sys/kernel/btf/vmlinux", R_OK)) {
		is.health = BH_HEALTH_WRONG;
		is.mend = "Use a kernel built with CONFIG_DEBUG_INFO_BTF=y.";
		bh_finding_add(f, is, "/sys/kernel/btf/vmlinux: %s", strerror(errno));
		return;
	}
	bh_finding_add(f, is, "/sys/kernel/btf/vmlinux is there");
}

static void check_bpffs(struct bh_findings *f)
{
	struct bh_finding is = {.name = "bpffs"};
	struct statfs s;

	if (statfs("/sys/fs/bpf", &s) || (unsigned)s.f_type != BPFFS_MAGIC) {
		is.health = BH_HEALTH_WRONG;
		is.mend = "mount -t bpf bpf /sys/fs/bpf";
		bh_finding_add(f, is, "no BPF file system at /sys/fs/bpf");
		return;
	}
	bh_finding_add(f, is, "mounted at /sys/fs/bpf");
}

static void check_cgroup2(struct bh_findings *f)
{
	struct bh_finding is = {.name = "cgroup2"};
	BH_CLEANUP(bh_freep) char *line = NULL;
	FILE *mounts = fopen("/proc/self/mounts", "re");
	char where[256], type[64];
	bool found = false;
	size_t cap = 0;

	while (mounts && !found && getline(&line, &cap, mounts) > 0)
		found = sscanf(line, "%*s %255s %63s", where, type) == 2 &&
			!strcmp(type, "cgroup2");
	if (mounts)
		fclose(mounts);
	if (!found) {
		is.health = BH_HEALTH_WRONG;
		is.mend = "mount -t cgroup2 none /sys/fs/cgroup/unified";
		bh_finding_add(f, is,
			       "no cgroup2 hierarchy is mounted: connections would be "
			       "refused at the interface only");
		return;
	}
	bh_finding_add(f, is, "mounted at %s", where);
}

static void check_rights(struct bh_findings *f)
{
	struct bh_finding is = {.name = "rights"};

	if (geteuid()) {
		is.health = BH_HEALTH_WARN;
		is.mend = "Run bulkhead doctor as root.";
		bh_finding_add(f, is, "not root: some of this cannot be seen");
		return;
	}
	bh_finding_add(f, is, "running as root");
}

void bh_doctor_kernel(struct bh_findings *f)
{
	struct utsname u = {0};

	uname(&u); /* fails for no reason but the address */
	bh_doctor_release(u.release, f);
	check_btf(f);
	check_bpffs(f);
	check_cgroup2(f);
	check_rights(f);
}

/* ---- CNI ---- */

struct conf {
	char *path; /* the first configuration in byte order, as runtimes choose it */
};

static int first_conf(const char *path, void *arg)
{
	static const char *const endings[] = {".conflist", ".conf", ".json"};
	struct conf *c = arg;
	size_t n = strlen(path);

	for (size_t i = 0; i < BH_ARRAY_SIZE(endings); i++) {
		size_t e = strlen(endings[i]);

		if (n > e && !strcmp(path + n - e, endings[i])) {
			c->path = strdup(path);
			return 1;
		}
	}
	return 0;
}

/* Fills found with the file of `plugin` in one of the directories of path. */
static bool find_plugin(const char *path, const char *plugin, char found[512])
{
	while (*path) {
		size_t n = strcspn(path, ":");

		snprintf(found, 512, "%.*s/%s", (int)n, path, plugin);
		if (n && !access(found, X_OK))
			return true;
		path += n + (path[n] == ':');
	}
	return false;
}

static void check_plugin(const struct bh_doctor *d, const char *plugin, struct bh_findings *f)
{
	struct bh_finding is = {.name = "CNI plugin"};
	char file[512];

	if (strchr(plugin, '/') || !find_plugin(d->cni_bin, plugin, file)) {
		is.health = BH_HEALTH_WRONG;
		is.mend = "Install it there, or name the runtime's directory with --cni-bin.";
		bh_finding_add(f, is, "%s is not in %s", plugin, d->cni_bin);
		return;
	}
	bh_finding_add(f, is, "%s", file);
}

static void check_chain(const struct bh_doctor *d, const char *file, const json_t *plugins,
			struct bh_findings *f)
{
	struct bh_finding is = {.name = "CNI chain"};
	size_t ours = SIZE_MAX, i, n = json_array_size(plugins);
	json_t *p;

	json_array_foreach(plugins, i, p)
	{
		const char *type = json_string_value(json_object_get(p, "type"));

		if (type && !strcmp(type, PLUGIN))
			ours = i;
	}
	if (ours == SIZE_MAX || ours == 0) {
		is.health = BH_HEALTH_WRONG;
		is.mend = "Append {\"type\": \"" PLUGIN "\"} to its list of plugins.";
		bh_finding_add(f, is, "%s does not chain " PLUGIN "%s", file,
			       ours ? "" : " after the plugin that makes the interface");
		return;
	}
	if (ours + 1 < n) {
		is.health = BH_HEALTH_WARN;
		is.mend = "Move it to the end, so that no plugin adds interfaces after it.";
	}
	bh_finding_add(f, is, "%s chains " PLUGIN " as number %zu of %zu", file, ours + 1, n);
	json_array_foreach(plugins, i, p)
	{
		const char *type = json_string_value(json_object_get(p, "type"));

		if (type)
			check_plugin(d, type, f);
	}
}

void bh_doctor_cni(const struct bh_doctor *d, struct bh_findings *f)
{
	struct bh_finding is = {.name = "CNI configuration", .health = BH_HEALTH_WRONG};
	BH_CLEANUP(bh_json_decrefp) json_t *conf = NULL;
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct conf c = {0};
	struct bh_err err = {0};
	size_t len;

	is.mend = "See the example chain 10-bulkhead.conflist.";
	if (bh_fs_walk(d->cni_conf, first_conf, &c, &err) < 0)
		bh_finding_add(f, is, "%s", err.text);
	else if (!c.path)
		bh_finding_add(f, is, "there is none in %s", d->cni_conf);
	else if (bh_fs_read(c.path, MAX_CONFLIST, &text, &len, &err) ||
		 bh_json_parse(text, len, MAX_CONFLIST, &conf, &err))
		bh_finding_add(f, is, "%s: %s", c.path, err.text);
	else
		check_chain(d, c.path, json_object_get(conf, "plugins"), f);
	free(c.path);
}

/* ---- socket ---- */

void bh_doctor_socket(const struct bh_doctor *d, struct bh_findings *f)
{
	struct bh_finding is = {.name = "socket"};
	struct stat st;

	if (stat(d->socket, &st)) {
		is.health = BH_HEALTH_WRONG;
		is.mend = "Start bulkheadd, or name its socket with --socket.";
		bh_finding_add(f, is, "%s: %s", d->socket, strerror(errno));
		return;
	}
	if (!S_ISSOCK(st.st_mode) || st.st_uid || (st.st_mode & 07)) {
		is.health = BH_HEALTH_WRONG;
		is.mend = "Remove it and restart bulkheadd, which makes it anew with mode 0600.";
		bh_finding_add(f, is, "%s is not a private socket of root (owner %u, mode %04o)",
			       d->socket, (unsigned)st.st_uid, (unsigned)st.st_mode & 07777);
		return;
	}
	bh_finding_add(f, is, "%s, mode %04o", d->socket, (unsigned)st.st_mode & 07777);
}
