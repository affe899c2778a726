#include "daemon/exefile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/own.h"

#define MASK (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)
#define NS   1000000000ull

/* What a file is, and the mount it was reached through. */
struct seen {
	struct bh_exefile_id id;
	uint64_t mnt_id;
	bool is_regular;
};

/* ---- looking ---- */

static uint64_t in_ns(const struct statx_timestamp *t)
{
	return (uint64_t)t->tv_sec * NS + t->tv_nsec;
}

/* Never asks anybody but the kernel: DONT_SYNC. */
static int look(int dir, const char *path, int flags, struct seen *ret)
{
	struct statx x;

	if (statx(dir, path, flags | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, MASK, &x))
		return -errno;
	*ret = (struct seen){
		.id = {.ino = x.stx_ino,
		       .stat_dev = makedev(x.stx_dev_major, x.stx_dev_minor),
		       .ctime_ns = in_ns(&x.stx_ctime),
		       .btime_ns = x.stx_mask & STATX_BTIME ? in_ns(&x.stx_btime) : 0,
		       .size = x.stx_size},
		.mnt_id = x.stx_mask & STATX_MNT_ID ? x.stx_mnt_id : 0,
		.is_regular = S_ISREG(x.stx_mode),
	};
	return 0;
}

bool bh_exefile_look(const struct bh_exefile_want *w, struct bh_exefile_id *ret)
{
	struct seen s;
	char path[40];

	snprintf(path, sizeof(path), "/proc/%u/exe", w->pid);
	if (!w->is_image_of_pid || look(AT_FDCWD, path, 0, &s) || s.id.ino != w->ino)
		return false;
	*ret = s.id;
	ret->dev = w->dev;
	return true;
}

bool bh_exefile_again(int fd, const struct bh_exefile_id *of, struct bh_exefile_id *ret)
{
	struct seen s;

	if (look(fd, "", AT_EMPTY_PATH, &s))
		return false;
	*ret = s.id;
	ret->dev = of->dev;
	return true;
}

/* ---- namespaces ---- */

static uint64_t ns_inode(const char *pid, const char *which)
{
	char path[48];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%s/ns/%s", pid, which);
	return stat(path, &st) ? 0 : st.st_ino;
}

static uint64_t ns_of(uint32_t pid, const char *which)
{
	char text[12];

	snprintf(text, sizeof(text), "%u", pid);
	return ns_inode(text, which);
}

bool bh_exefile_is_node(uint32_t mntns)
{
	return mntns && (mntns == ns_inode("self", "mnt") || mntns == ns_inode("1", "mnt"));
}

uint64_t bh_exefile_userns(uint32_t pid)
{
	return ns_of(pid, "user");
}

/* What a user namespace of the pod's own making mounted may be answered by the pod itself. */
static enum bh_exefile_why check_userns(const struct bh_exefile_want *w, uint32_t pid)
{
	uint64_t userns = bh_exefile_userns(pid);

	if (!userns)
		return BH_EXEFILE_GONE;
	if (userns == w->pod_userns || userns == ns_inode("self", "user"))
		return BH_EXEFILE_OK;
	return BH_EXEFILE_FOREIGN;
}

/* ---- mounts ---- */

static void forget_mounts(struct bh_exefile_view *v)
{
	bh_vec_each (it, &v->mounts)
		free(it->point);
	v->mounts.n = 0;
	v->has_root = false;
	v->pid = 0;
	bh_mounts_done(&v->list);
}

void bh_exefile_view_done(struct bh_exefile_view *v)
{
	forget_mounts(v);
	bh_vec_done(&v->mounts);
}

/* Text only: asking for what it names could ask somebody else. */
static bool read_root(uint32_t pid, char out[PATH_MAX])
{
	char path[40];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/root", pid);
	n = readlink(path, out, PATH_MAX - 1);
	out[n < 0 ? 0 : n] = '\0';
	return n > 0;
}

/* The kernel marks the list's descriptor when mounts change. */
static bool is_as_read(const struct bh_exefile_view *v)
{
	struct pollfd fd = {.fd = v->list.f ? fileno(v->list.f) : -1, .events = POLLPRI};

	return v->list.f && poll(&fd, 1, 0) == 0;
}

static bool add_mount(struct bh_exefile_view *v, const struct bh_mount *one)
{
	struct bh_exefile_mount m = {one->id, one->dev, one->is_local ? NULL : strdup(one->point)};

	v->has_root |= !strcmp(one->point, "/");
	if ((one->is_local || m.point) && bh_vec_push(&v->mounts, m) == 0)
		return true;
	free(m.point);
	return false;
}

/* Its mounts as they are now. false: it is gone, or there is no memory. */
static bool read_mounts(struct bh_exefile_view *v, uint32_t pid)
{
	struct bh_mount one;

	forget_mounts(v);
	if (!read_root(pid, v->root) || !bh_mounts_open(&v->list, pid))
		return false;
	while (bh_mounts_next(&v->list, &one)) {
		if (!add_mount(v, &one)) {
			forget_mounts(v);
			return false;
		}
	}
	v->pid = pid;
	return true;
}

static bool view_of(struct bh_exefile_view *v, uint32_t pid)
{
	char root[PATH_MAX];

	if (v->pid == pid && read_root(pid, root) && !strcmp(root, v->root) && is_as_read(v))
		return true;
	return read_mounts(v, pid);
}

/* The mount of that number as the process sees it. */
static enum bh_exefile_why check_mount(struct bh_exefile_view *v, uint32_t pid,
				       const struct seen *s, uint64_t dev)
{
	if (!view_of(v, pid))
		return BH_EXEFILE_GONE;
	bh_vec_each (it, &v->mounts) {
		if (it->id != s->mnt_id)
			continue;
		if (it->dev != dev)
			return BH_EXEFILE_OTHER;
		return it->point ? BH_EXEFILE_REMOTE : BH_EXEFILE_OK;
	}
	return BH_EXEFILE_REMOTE; /* mounted nowhere that we know */
}

/* Walking to path crosses local mounts only. A process that ends has no mounts any more: another
 * one's tree may still show the way. */
static enum bh_exefile_why check_way(struct bh_exefile_view *v, uint32_t pid, const char *path)
{
	if (!view_of(v, pid))
		return BH_EXEFILE_GONE;
	bh_vec_each (it, &v->mounts) {
		if (it->point && bh_mount_has(it->point, path))
			return BH_EXEFILE_REMOTE;
	}
	return v->has_root ? BH_EXEFILE_OK : BH_EXEFILE_REMOTE;
}

/* ---- finding ---- */

static enum bh_exefile_why judge(const struct bh_exefile_want *w, uint32_t pid, int path_fd,
				 struct bh_exefile_id *ret)
{
	enum bh_exefile_why why = BH_EXEFILE_OK;
	struct seen s;

	if (look(path_fd, "", AT_EMPTY_PATH, &s))
		return BH_EXEFILE_GONE;
	if (!s.is_regular || s.id.ino != w->ino)
		return BH_EXEFILE_OTHER;
	if (!w->is_memory)
		why = check_mount(w->view, pid, &s, w->dev);
	else if (s.id.stat_dev != w->dev)
		why = BH_EXEFILE_OTHER;
	*ret = s.id;
	ret->dev = w->dev;
	return why;
}

static enum bh_exefile_why open_image(const struct bh_exefile_want *w, struct bh_exefile_id *ret,
				      int *ret_fd)
{
	BH_CLEANUP(bh_closep) int fd = -1;
	enum bh_exefile_why why;
	char path[40];

	snprintf(path, sizeof(path), "/proc/%u/exe", w->pid);
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return BH_EXEFILE_GONE;
	why = check_userns(w, w->pid);
	if (!why)
		why = judge(w, w->pid, fd, ret);
	if (!why)
		*ret_fd = BH_TAKE_FD(fd);
	return why;
}

static enum bh_exefile_why open_path(const struct bh_exefile_want *w, uint32_t pid,
				     struct bh_exefile_id *ret, int *ret_fd)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
			       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS};
	BH_CLEANUP(bh_closep) int root = -1;
	BH_CLEANUP(bh_closep) int fd = -1;
	enum bh_exefile_why why;
	char path[40];

	if (!pid || w->path[0] != '/' || (w->mntns && ns_of(pid, "mnt") != w->mntns))
		return BH_EXEFILE_GONE;
	why = check_userns(w, pid);
	if (!why)
		why = check_way(w->view, pid, w->path);
	if (why)
		return why;
	snprintf(path, sizeof(path), "/proc/%u/root", pid);
	root = open(path, O_PATH | O_CLOEXEC | O_DIRECTORY);
	if (root < 0)
		return BH_EXEFILE_GONE;
	fd = (int)syscall(SYS_openat2, root, w->path, &how, sizeof(how));
	if (fd < 0)
		return BH_EXEFILE_GONE;
	why = judge(w, pid, fd, ret);
	if (!why)
		*ret_fd = BH_TAKE_FD(fd);
	return why;
}

static enum bh_exefile_why find(const struct bh_exefile_want *w, struct bh_exefile_id *ret,
				int *ret_fd)
{
	const uint32_t pids[] = {w->pid, w->helpers[0], w->helpers[1]};
	enum bh_exefile_why why = BH_EXEFILE_GONE;

	if (w->is_image_of_pid)
		why = open_image(w, ret, ret_fd);
	for (size_t i = 0; i < BH_ARRAY_SIZE(pids) && !w->is_memory; i++) {
		enum bh_exefile_why other;

		if (why != BH_EXEFILE_GONE && why != BH_EXEFILE_OTHER)
			break;
		other = open_path(w, pids[i], ret, ret_fd);
		why = other == BH_EXEFILE_GONE ? why : other;
	}
	return why;
}

enum bh_exefile_why bh_exefile_find(const struct bh_exefile_want *w, struct bh_exefile_id *ret,
				    int *ret_fd)
{
	BH_CLEANUP(bh_exefile_view_done) struct bh_exefile_view own = {0};
	struct bh_exefile_want with_view = *w;

	if (!w->view)
		with_view.view = &own;
	return find(&with_view, ret, ret_fd);
}

int bh_exefile_reopen(int path_fd)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	/* a lease of somebody else must not make us wait either */
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

const char *bh_exefile_why_name(enum bh_exefile_why why)
{
	static const char *const names[] = {
		[BH_EXEFILE_OK] = "ok",		  [BH_EXEFILE_GONE] = "gone",
		[BH_EXEFILE_OTHER] = "other",	  [BH_EXEFILE_REMOTE] = "remote",
		[BH_EXEFILE_FOREIGN] = "foreign", [BH_EXEFILE_ERROR] = "error",
	};

	return names[why];
}
