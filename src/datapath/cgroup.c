/* Socket hooks, attached once at the root of the cgroup2 hierarchy; links, so several daemons'
 * hooks run side by side and each is replaced in place. */
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "datapath/private.h"

static bool find_cgroup2(char out[BH_DP_PATH])
{
	FILE *f = setmntent("/proc/self/mounts", "re");
	struct mntent *m;
	bool is_found = false;

	while (f && !is_found && (m = getmntent(f))) {
		if (strcmp(m->mnt_type, "cgroup2") != 0 || strlen(m->mnt_dir) >= BH_DP_PATH)
			continue;
		snprintf(out, BH_DP_PATH, "%s", m->mnt_dir);
		is_found = true;
	}
	if (f)
		endmntent(f);
	return is_found;
}

int bh_dp_cgroup_open(struct bh_datapath *dp, const char *cgroup, struct bh_err *err)
{
	char found[BH_DP_PATH];

	if (!cgroup) {
		if (!find_cgroup2(found))
			return bh_fail(err, ENOENT, "no cgroup2 hierarchy is mounted");
		cgroup = found;
	}
	dp->cgroup_fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dp->cgroup_fd < 0)
		return bh_fail_sys(err, errno, "cgroup '%s'", cgroup);
	return 0;
}

/* The pinned link when it is attached to our cgroup, else -1. */
static int open_link(const struct bh_datapath *dp, const char *path)
{
	struct bpf_link_info info = {0};
	uint32_t len = sizeof(info);
	int fd = bpf_obj_get(path);
	struct stat st;

	if (fd < 0)
		return -1;
	if (bpf_link_get_info_by_fd(fd, &info, &len) || info.type != BPF_LINK_TYPE_CGROUP ||
	    fstat(dp->cgroup_fd, &st) || info.cgroup.cgroup_id != st.st_ino) {
		close(fd);
		return -1;
	}
	return fd;
}

static int attach_one(struct bh_datapath *dp, enum bh_dp_prog p, struct bh_err *err)
{
	const struct bh_dp_prog_info *info = &bh_dp_prog_info[p];
	BH_CLEANUP(bh_closep) int fd = -1;
	char name[32], path[BH_DP_PATH];
	int r;

	snprintf(name, sizeof(name), "cgroup-%s", info->name + strlen("bh_"));
	r = bh_dp_path(path, dp->dir, "links", name);
	if (r)
		return bh_fail(err, -r, "the pin's path is too long");
	fd = open_link(dp, path);
	if (fd >= 0) {
		r = bpf_link_update(fd, dp->prog[p].fd, NULL);
		return r ? bh_fail_sys(err, -r, "replace socket hook %s", info->name) : 0;
	}
	fd = bpf_link_create(dp->prog[p].fd, dp->cgroup_fd, (enum bpf_attach_type)info->hook, NULL);
	if (fd < 0)
		return bh_fail_sys(err, -fd, "attach socket hook %s", info->name);
	return bh_dp_pin(fd, path, err);
}

int bh_dp_cgroup_attach(struct bh_datapath *dp, struct bh_err *err)
{
	int r = 0;

	for (int p = 0; r == 0 && p < BH_P_COUNT; p++) {
		if (!bh_dp_prog_info[p].hook)
			continue;
		if (dp->prog[p].fd < 0)
			return bh_fail(err, ENOENT, "socket hook %s is not loaded",
				       bh_dp_prog_info[p].name);
		r = attach_one(dp, (enum bh_dp_prog)p, err);
	}
	return r;
}
