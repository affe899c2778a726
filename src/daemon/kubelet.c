#include "daemon/kubelet.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "daemon/procs.h"

static bool is_kubelet(const char *pid)
{
	BH_CLEANUP(bh_freep) char *comm = NULL;
	char path[300];
	struct bh_err err;
	size_t len;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	return !bh_fs_read(path, 64, &comm, &len, &err) && !strcmp(comm, "kubelet\n");
}

static int cgroup_id(const char *pid, uint64_t *ret_id)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	char path[300], dir[PATH_MAX];
	struct bh_err err;
	struct stat st;
	const char *line;
	size_t len;

	snprintf(path, sizeof(path), "/proc/%s/cgroup", pid);
	if (bh_fs_read(path, 65536, &text, &len, &err) < 0)
		return -ENOENT;
	line = strstr(text, "0::/");
	if (!line)
		return -ENOENT;
	line += strlen("0::");
	len = strcspn(line, "\n");
	if (snprintf(dir, sizeof(dir), "%s%.*s", bh_cgroup2_mount(), (int)len, line) >=
		    (int)sizeof(dir) ||
	    stat(dir, &st))
		return -ENOENT;
	*ret_id = st.st_ino;
	return 0;
}

int bh_kubelet_cgroup(uint64_t *ret_id)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	int r = -ENOENT;

	while (dir && r && (e = readdir(dir))) {
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && is_kubelet(e->d_name))
			r = cgroup_id(e->d_name, ret_id);
	}
	if (dir)
		closedir(dir);
	return r;
}
