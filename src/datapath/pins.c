/* Directories and pins. Layout below the directory given at open:
 *   abi<N>[-<k>]/maps/<map> progs/<program> links/<ifindex>-{ingress,egress} links/cgroup-<hook>
 * "ingress" is tc's, on the host side: packets from the pod. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/magic.h>

#include "datapath/private.h"

#define BPFFS "/sys/fs/bpf"

int bh_dp_path(char out[BH_DP_PATH], const char *dir, const char *kind, const char *name)
{
	int n = snprintf(out, BH_DP_PATH, "%s/%s%s%s", dir, kind, name ? "/" : "",
			 name ? name : "");

	return n < BH_DP_PATH ? 0 : -ENAMETOOLONG;
}

int bh_dp_pin(int fd, const char *path, struct bh_err *err)
{
	int r;

	if (unlink(path) != 0 && errno != ENOENT)
		return bh_fail_sys(err, errno, "unlink '%s'", path);
	r = bpf_obj_pin(fd, path);
	return r ? bh_fail_sys(err, -r, "pin '%s'", path) : 0;
}

int bh_dp_each_name(const char *dir, int (*fn)(const char *dir, const char *name, void *arg),
		    void *arg)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	int r = 0;

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (e = readdir(d)))
		if (e->d_name[0] != '.')
			r = fn(dir, e->d_name, arg);
	closedir(d);
	return r;
}

/* true when path, or what exists of it, is on a bpffs. */
static bool is_on_bpffs(const char *path)
{
	char part[BH_DP_PATH];
	struct statfs st;
	char *slash;

	snprintf(part, sizeof(part), "%s", path);
	while (statfs(part, &st) != 0) {
		slash = strrchr(part, '/');
		if (errno != ENOENT || !slash || slash == part)
			return false;
		*slash = '\0';
	}
	return st.f_type == BPF_FS_MAGIC;
}

/* systemd mounts it; a machine without systemd may not. */
static void mount_default(const char *path)
{
	size_t n = strlen(BPFFS);

	if (strncmp(path, BPFFS, n) == 0 && (path[n] == '/' || path[n] == '\0'))
		mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700");
}

static int make_dirs(const char *path, struct bh_err *err)
{
	char part[BH_DP_PATH];

	snprintf(part, sizeof(part), "%s", path);
	for (char *p = part + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(part, 0700) != 0 && errno != EEXIST)
			return bh_fail_sys(err, errno, "mkdir '%s'", part);
		*p = '/';
	}
	if (mkdir(part, 0700) != 0 && errno != EEXIST)
		return bh_fail_sys(err, errno, "mkdir '%s'", part);
	return 0;
}

int bh_dp_pins_base(const char *bpffs, char out[BH_DP_PATH], struct bh_err *err)
{
	size_t n = bpffs ? strlen(bpffs) : 0;

	while (n > 1 && bpffs[n - 1] == '/')
		n--;
	/* room for "/abi<N>-<k>/maps/<name>" */
	if (n == 0 || n > BH_DP_PATH - 64 || bpffs[0] != '/')
		return bh_fail(err, EINVAL,
			       "bpffs directory '%s' is not an absolute path of at "
			       "most %d bytes",
			       bpffs ? bpffs : "", BH_DP_PATH - 64);
	memcpy(out, bpffs, n);
	out[n] = '\0';
	if (!is_on_bpffs(out))
		mount_default(out);
	if (!is_on_bpffs(out))
		return bh_fail(err, EINVAL, "'%s' is not on a bpffs (mount -t bpf bpf %s)", out,
			       BPFFS);
	return make_dirs(out, err);
}

int bh_dp_pins_make(const char *dir, struct bh_err *err)
{
	static const char *const kinds[] = {"maps", "progs", "links"};
	char path[BH_DP_PATH];
	int r = 0;

	for (size_t i = 0; r == 0 && i < BH_ARRAY_SIZE(kinds); i++) {
		r = bh_dp_path(path, dir, kinds[i], NULL);
		if (r)
			return bh_fail(err, -r, "'%s' is too long", dir);
		r = make_dirs(path, err);
	}
	return r;
}

static int unlink_one(const char *dir, const char *name, void *arg)
{
	char path[BH_DP_PATH];

	(void)arg;
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path))
		unlink(path);
	return 0;
}

/* A link whose last pin goes is detached unless somebody holds a descriptor: make sure. */
static int detach_one(const char *dir, const char *name, void *arg)
{
	char path[BH_DP_PATH];
	int fd;

	(void)arg;
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return 0;
	fd = bpf_obj_get(path);
	if (fd >= 0) {
		bpf_link_detach(fd);
		close(fd);
	}
	unlink(path);
	return 0;
}

int bh_dp_set_remove(const char *dir, struct bh_err *err)
{
	static const char *const kinds[] = {"links", "progs", "maps"};
	char path[BH_DP_PATH];

	bh_dp_filters_remove(dir);
	for (size_t i = 0; i < BH_ARRAY_SIZE(kinds); i++) {
		if (bh_dp_path(path, dir, kinds[i], NULL))
			continue;
		bh_dp_each_name(path, i == 0 ? detach_one : unlink_one, NULL);
		rmdir(path);
	}
	if (rmdir(dir) != 0 && errno != ENOENT)
		return bh_fail_sys(err, errno, "rmdir '%s'", dir);
	return 0;
}

struct remove_arg {
	struct bh_err *err;
};

static int remove_set(const char *dir, const char *name, void *arg)
{
	struct remove_arg *a = arg;
	char path[BH_DP_PATH];

	if (strncmp(name, "abi", 3) != 0)
		return 0;
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return 0;
	return bh_dp_set_remove(path, a->err);
}

int bh_datapath_remove_all(const char *bpffs, struct bh_err *err)
{
	struct remove_arg a = {.err = err};
	struct stat st;
	int r;

	if (stat(bpffs, &st) != 0)
		return errno == ENOENT ? 0 : bh_fail_sys(err, errno, "'%s'", bpffs);
	err->code = 0;
	r = bh_dp_each_name(bpffs, remove_set, &a);
	if (r)
		return err->code ? r : bh_fail_sys(err, -r, "'%s'", bpffs);
	/* not ours alone when something else is pinned there; the mount point itself is busy */
	if (rmdir(bpffs) != 0 && errno != ENOTEMPTY && errno != EBUSY && errno != ENOENT)
		return bh_fail_sys(err, errno, "rmdir '%s'", bpffs);
	return 0;
}
