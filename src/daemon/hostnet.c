#include "daemon/hostnet.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/procs.h"

#define MAX_PROCS_BYTES (1u << 20)
#define MIN_UID		32 /* a UUID, or the hash of a static pod: nothing else ends like one */

/* Calls fn for every cgroup from dir on; nonzero ends the walk and is returned. */
static int each_cgroup(const char *dir, int (*fn)(const FTSENT *e, void *arg), void *arg)
{
	char *const roots[] = {(char *)dir, NULL};
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	int r = fts ? 0 : -errno;
	FTSENT *e;

	while (!r && (e = fts_read(fts))) {
		if (e->fts_info == FTS_D)
			r = fn(e, arg);
	}
	if (fts)
		fts_close(fts);
	return r;
}

/* ---- which ---- */

struct wanted {
	const char *uid;
	char *dir; /* owned */
	uint64_t id;
};

/* A kubelet names the pod's cgroup "pod<uid>" (cgroupfs) or "...pod<uid with _>.slice" (systemd).
 */
static bool is_cgroup_of(const char *dir_name, const char *uid)
{
	BH_CLEANUP(bh_freep) char *plain = bh_strf("pod%s", uid);
	BH_CLEANUP(bh_freep) char *slice = bh_strf("pod%s.slice", uid);
	size_t n;

	if (!plain || !slice)
		return false;
	if (!strcmp(dir_name, plain))
		return true;
	for (char *c = slice + 3; *c; c++)
		*c = *c == '-' ? '_' : *c;
	n = strlen(dir_name);
	return n >= strlen(slice) && !strcmp(dir_name + n - strlen(slice), slice);
}

static int compare(const FTSENT *e, void *arg)
{
	struct wanted *w = arg;

	if (!is_cgroup_of(e->fts_name, w->uid))
		return 0;
	w->dir = bh_strf("%s", e->fts_path);
	w->id = e->fts_statp->st_ino;
	return w->dir ? 1 : -ENOMEM;
}

int bh_hostnet_find(struct bh_daemon *d, const struct bh_hostnet_who *who, char **ret_dir,
		    uint64_t *ret_id, struct bh_err *err)
{
	const struct bh_pod *pod = bh_objects_pod(d->objects, who->ns, who->name);
	struct wanted w = {0};

	if (pod ? !pod->host_network : !who->uid)
		return bh_fail(err, ENOENT, "no pod '%s/%s' on this node", who->ns, who->name);
	w.uid = pod && pod->uid ? pod->uid : who->uid;
	if (!w.uid)
		return bh_fail(err, ENOENT, "hostNetwork pod '%s/%s': its manifest has no uid",
			       who->ns, who->name);
	if ((w.uid == who->uid && strlen(w.uid) < MIN_UID) ||
	    each_cgroup(bh_cgroup2_mount(), compare, &w) <= 0)
		return bh_fail(err, ENOENT, "hostNetwork pod '%s/%s': no cgroup of uid %s here",
			       who->ns, who->name, w.uid);
	*ret_dir = w.dir;
	*ret_id = w.id;
	return 0;
}

/* ---- cutting ---- */

int bh_hostnet_cut(struct bh_daemon *d, uint64_t id, struct bh_err *err)
{
	return bh_datapath_quarantine_cgroup(d->dp, id, true, err);
}

void bh_hostnet_uncut(struct bh_daemon *d, uint64_t id)
{
	struct bh_err ignored;

	bh_datapath_uncut_cgroup(d->dp, id);
	bh_datapath_quarantine_cgroup(d->dp, id, false, &ignored);
}

int bh_hostnet_stop_packets(struct bh_daemon *d, const char *dir, uint64_t id, struct bh_err *err)
{
	BH_CLEANUP(bh_closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return bh_fail_sys(err, errno, "cgroup '%s'", dir);
	if (st.st_ino != id)
		return bh_fail(err, ESTALE, "'%s' is another cgroup by now", dir);
	return bh_datapath_cut_cgroup(d->dp, fd, id, err);
}

struct ending {
	struct bh_daemon *d;
	uint64_t cookie;
	uint32_t n;
	struct bh_err *err;
};

static int end_sockets_of(const FTSENT *e, void *arg)
{
	struct ending *end = arg;
	uint32_t n = 0;
	int r = bh_datapath_destroy_cgroup_sockets(end->d->dp, end->cookie, e->fts_statp->st_ino,
						   &n, end->err);

	end->n += n;
	return r;
}

int bh_hostnet_end_sockets(struct bh_daemon *d, const char *dir, uint32_t *ret_n,
			   struct bh_err *err)
{
	struct ending end = {.d = d, .err = err};
	int r = bh_netns_cookie("/proc/self/ns/net", &end.cookie, err);

	if (!r)
		r = each_cgroup(dir, end_sockets_of, &end);
	*ret_n = end.n;
	return r;
}

/* ---- processes ---- */

static int list_procs(const FTSENT *e, void *arg)
{
	BH_CLEANUP(bh_freep) char *path = bh_strf("%s/cgroup.procs", e->fts_path);
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_procs_round *o = arg;
	struct bh_err ignored;
	size_t len = 0;

	if (!path || bh_fs_read(path, MAX_PROCS_BYTES, &text, &len, &ignored))
		return 0;
	for (char *at = text, *end; *at; at = end) {
		long pid = strtol(at, &end, 10);

		if (end == at)
			break;
		if (o->left < BH_ARRAY_SIZE(o->named))
			o->named[o->left] = (pid_t)pid;
		o->left++;
	}
	return 0;
}

static bool all_frozen(const char *dir)
{
	BH_CLEANUP(bh_freep) char *path = bh_strf("%s/cgroup.events", dir);
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_err ignored;
	size_t len = 0;

	return path && !bh_fs_read(path, MAX_PROCS_BYTES, &text, &len, &ignored) &&
	       strstr(text, "frozen 1");
}

void bh_hostnet_left(const char *dir, struct bh_procs_round *o)
{
	o->left = 0;
	memset(o->named, 0, sizeof(o->named));
	if (o->act == BH_PROCS_FREEZE && all_frozen(dir))
		return;
	each_cgroup(dir, list_procs, o);
	if (o->act == BH_PROCS_FREEZE) /* the kernel does not say which of them */
		memset(o->named, 0, sizeof(o->named));
}

int bh_hostnet_act(const char *dir, enum bh_hostnet_act act, uint32_t *ret_n, struct bh_err *err)
{
	static const struct {
		const char *file, *value;
	} acts[] = {
		[BH_HOSTNET_KILL] = {"cgroup.kill", "1"},
		[BH_HOSTNET_FREEZE] = {"cgroup.freeze", "1"},
		[BH_HOSTNET_THAW] = {"cgroup.freeze", "0"},
	};
	BH_CLEANUP(bh_freep) char *path = bh_strf("%s/%s", dir, acts[act].file);
	BH_CLEANUP(bh_closep) int fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;
	struct bh_procs_round all = {0};

	each_cgroup(dir, list_procs, &all);
	if (fd < 0 || write(fd, acts[act].value, 1) != 1)
		return bh_fail_sys(err, errno, "write to '%s/%s'", dir, acts[act].file);
	*ret_n = all.left;
	return 0;
}
