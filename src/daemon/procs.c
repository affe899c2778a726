#include "daemon/procs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/fs.h"
#include "base/map.h"

#define LAG_NS 20000000 /* times of packets are a tick or two behind */

int bh_netns_id(int netns_fd, struct bh_netns_id *ret, struct bh_err *err)
{
	struct stat st;

	if (fstat(netns_fd, &st))
		return bh_fail_sys(err, errno, "network namespace");
	*ret = (struct bh_netns_id){st.st_dev, st.st_ino};
	return 0;
}

int bh_netns_open(const char *path, int *ret_fd, struct bh_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return bh_fail_sys(err, errno, "network namespace '%s'", path);
	*ret_fd = fd;
	return 0;
}

/* The rest of the task's stat line behind its name, "" when it is gone. */
static const char *stat_of(pid_t pid, char line[512])
{
	char path[64];
	const char *paren;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return "";
	n = read(fd, line, 511);
	close(fd);
	line[n > 0 ? n : 0] = '\0';
	paren = strrchr(line, ')');
	return paren && paren[1] ? paren + 2 : "";
}

static bool has_ended(pid_t tid)
{
	char line[512];
	const char *state = stat_of(tid, line);

	return !*state || *state == 'Z' || *state == 'X';
}

/* A task that stands for the process: its first one, which may have ended while others go on; 0:
 * all have. */
static pid_t live_task(pid_t pid)
{
	char path[64];
	struct dirent *e;
	pid_t found = 0;
	DIR *dir;

	if (!has_ended(pid))
		return pid;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && !found && (e = readdir(dir))) {
		pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);

		if (tid > 0 && tid != pid && !has_ended(tid))
			found = tid;
	}
	if (dir)
		closedir(dir);
	return found;
}

static bool is_in(pid_t pid, const struct bh_netns_id *ns)
{
	char path[64];
	struct stat st;
	pid_t task;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	if (stat(path, &st)) {
		/* so it is with one that has ended */
		task = live_task(pid);
		snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)task);
		if (!task || stat(path, &st))
			return false;
	}
	return st.st_dev == ns->dev && st.st_ino == ns->ino;
}

/* 0: no process, or we ourselves. */
static pid_t pid_of(const struct dirent *e)
{
	char *end;
	long pid = strtol(e->d_name, &end, 10);

	return *end || pid <= 0 || pid == getpid() ? 0 : (pid_t)pid;
}

int bh_procs_each(const struct bh_netns_id *ns, int (*fn)(pid_t pid, void *arg), void *arg,
		  struct bh_err *err)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	int r = 0;

	if (!dir)
		return bh_fail_sys(err, errno, "/proc");
	while (!r && (e = readdir(dir))) {
		pid_t pid = pid_of(e);

		if (pid && is_in(pid, ns))
			r = fn(pid, arg);
	}
	closedir(dir);
	return r;
}

/* By pidfd, and only if the process still is in the namespace: a pid may have been reused. */
static bool signal_in(pid_t pid, const struct bh_netns_id *ns, int signo)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	bool done = false;

	if (fd < 0)
		return false;
	if (is_in(pid, ns))
		done = !syscall(SYS_pidfd_send_signal, fd, signo, NULL, 0);
	close(fd);
	return done;
}

static bool is_zombie(pid_t pid)
{
	return !live_task(pid);
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* When the process was made, in CLOCK_MONOTONIC; UINT64_MAX when it is gone. */
static uint64_t made_ns(pid_t pid)
{
	/* in this order, or on a machine that never slept the difference is below zero */
	uint64_t awake = clock_ns(CLOCK_MONOTONIC), asleep = clock_ns(CLOCK_BOOTTIME) - awake;
	uint64_t ticks, ns;
	char line[512];
	const char *at = stat_of(pid, line);

	/* proc(5): the 22nd field, of which `at` is the third */
	for (int field = 3; at && field < 22; field++)
		at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL;
	if (!at || !*at)
		return UINT64_MAX;
	ticks = strtoull(at, NULL, 10);
	ns = ticks * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
	return ns > asleep ? ns - asleep : 0;
}

enum bh_procs_end bh_procs_kill_since(pid_t pid, uint64_t ts_ns)
{
	BH_CLEANUP(bh_closep) int fd = pid > 1 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

	if (fd < 0 || made_ns(pid) > ts_ns + LAG_NS || is_zombie(pid))
		return BH_PROCS_GONE;
	if (!syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0))
		return BH_PROCS_KILLED;
	return errno == ESRCH ? BH_PROCS_GONE : BH_PROCS_FAILED;
}

const char *bh_cgroup2_mount(void)
{
	static char found[PATH_MAX];
	struct mntent *m;
	FILE *f;

	if (found[0])
		return found;
	f = setmntent("/proc/self/mounts", "re");
	while (f && (m = getmntent(f))) {
		if (strcmp(m->mnt_type, "cgroup2"))
			continue;
		snprintf(found, sizeof(found), "%s", m->mnt_dir);
		break;
	}
	if (f)
		endmntent(f);
	return found;
}

/* Directory of the process's cgroup in the cgroup2 hierarchy; false for the root. */
static bool cgroup_dir(pid_t pid, char out[PATH_MAX])
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	char path[64];
	struct bh_err err;
	const char *line;
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	if (bh_fs_read(path, 65536, &text, &len, &err) < 0)
		return false;
	line = strstr(text, "0::/");
	if (!line || !bh_cgroup2_mount()[0])
		return false;
	line += strlen("0::");
	len = strcspn(line, "\n");
	if (len <= 1)
		return false;
	return snprintf(out, PATH_MAX, "%s%.*s", bh_cgroup2_mount(), (int)len, line) < PATH_MAX;
}

/* true when every process of the cgroup is in the namespace. */
static bool is_exclusive(const char *dir, const struct bh_netns_id *ns)
{
	char path[PATH_MAX + 16];
	bool exclusive = true;
	long pid;
	FILE *f;

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (exclusive && fscanf(f, "%ld", &pid) == 1)
		exclusive = is_in((pid_t)pid, ns);
	fclose(f);
	return exclusive;
}

static bool freeze_cgroup(const char *dir, bool freeze)
{
	char path[PATH_MAX + 16];
	bool done;
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.freeze", dir);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	done = write(fd, freeze ? "1" : "0", 1) == 1;
	close(fd);
	return done;
}

/* Every process of the cgroup has stopped. */
static bool is_frozen(const char *dir)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	char path[PATH_MAX + 16];
	struct bh_err err;
	size_t len;

	snprintf(path, sizeof(path), "%s/cgroup.events", dir);
	return !bh_fs_read(path, 4096, &text, &len, &err) && strstr(text, "frozen 1");
}

static bool is_stopped(pid_t pid)
{
	char line[512];
	char state = *stat_of(live_task(pid), line);

	return state == 'T' || state == 't';
}

/* Tells one process to stop or to go on; whether somebody was told. */
static bool tell(pid_t pid, const struct bh_netns_id *ns, bool freeze, bool *ret_was_still)
{
	char dir[PATH_MAX];

	*ret_was_still = is_stopped(pid);
	if (cgroup_dir(pid, dir) && is_exclusive(dir, ns)) {
		*ret_was_still = is_frozen(dir);
		if (freeze_cgroup(dir, freeze))
			return true;
	}
	return signal_in(pid, ns, freeze ? SIGSTOP : SIGCONT);
}

/* ---- rounds ---- */

static void note_left(struct bh_procs_round *o, pid_t pid)
{
	if (o->left < BH_ARRAY_SIZE(o->named))
		o->named[o->left] = pid;
	o->left++;
}

static void act_on(struct bh_procs_round *o, pid_t pid)
{
	bool was_still = false;

	if (is_zombie(pid))
		return;
	if (o->act == BH_PROCS_KILL) {
		o->n += signal_in(pid, &o->ns, SIGKILL);
		note_left(o, pid);
	} else if (tell(pid, &o->ns, true, &was_still)) {
		o->n++;
		if (!was_still)
			note_left(o, pid);
	}
}

int bh_procs_round(struct bh_procs_round *o, uint64_t budget_ns, struct bh_err *err)
{
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + budget_ns;
	struct dirent *e;

	if (!o->dir) {
		o->n = o->left = 0;
		o->dir = opendir("/proc");
	}
	if (!o->dir)
		return bh_fail_sys(err, errno, "/proc");
	while ((e = readdir(o->dir))) {
		pid_t pid = pid_of(e);

		if (pid && is_in(pid, &o->ns))
			act_on(o, pid);
		if (clock_ns(CLOCK_MONOTONIC) >= end_ns)
			return 0;
	}
	bh_procs_round_done(o);
	return 1;
}

void bh_procs_round_done(struct bh_procs_round *o)
{
	if (o->dir)
		closedir(o->dir);
	o->dir = NULL;
}

static int let_go_on(pid_t pid, void *arg)
{
	bool was_still;

	if (!is_zombie(pid))
		tell(pid, arg, false, &was_still);
	return 0;
}

int bh_procs_thaw(const struct bh_netns_id *ns, struct bh_err *err)
{
	struct bh_netns_id own = *ns;

	return bh_procs_each(ns, let_go_on, &own, err);
}
