#include "daemon/hostnet.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/procs.h"

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

static int find_cgroup(const char *uid, uint64_t *ret_id)
{
	char *const roots[] = {(char *)bh_cgroup2_mount(), NULL};
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	int r = -ENOENT;
	FTSENT *e;

	while (fts && r && (e = fts_read(fts))) {
		if (e->fts_info == FTS_D && is_cgroup_of(e->fts_name, uid)) {
			*ret_id = e->fts_statp->st_ino;
			r = 0;
		}
	}
	if (fts)
		fts_close(fts);
	return r;
}

static int cgroup_of(struct bh_daemon *d, const char *ns, const char *name, uint64_t *ret_id,
		     struct bh_err *err)
{
	const struct bh_pod *pod = bh_objects_pod(d->objects, ns, name);

	if (!pod || !pod->host_network)
		return bh_fail(err, ENOENT, "no pod '%s/%s' on this node", ns, name);
	if (!pod->uid)
		return bh_fail(err, ENOENT, "hostNetwork pod '%s/%s': its manifest has no uid", ns,
			       name);
	if (find_cgroup(pod->uid, ret_id) < 0)
		return bh_fail(err, ENOENT, "hostNetwork pod '%s/%s': no cgroup of uid %s here", ns,
			       name, pod->uid);
	return 0;
}

int bh_hostnet_check(struct bh_daemon *d, const char *ns, const char *name, struct bh_err *err)
{
	uint64_t id;

	return cgroup_of(d, ns, name, &id, err);
}

int bh_hostnet_quarantine(struct bh_daemon *d, const char *ns, const char *name, bool on,
			  uint32_t *ret_sockets, struct bh_err *err)
{
	uint64_t id;
	int r = cgroup_of(d, ns, name, &id, err);

	if (r < 0)
		return r;
	if (ret_sockets)
		*ret_sockets = 0;
	return bh_datapath_quarantine_cgroup(d->dp, id, on, err);
}
