/* procs.h - the processes of a pod, found by the network namespace they are in. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Identity of a namespace file: device and inode. */
struct bh_netns_id {
	uint64_t dev, ino;
};
/* Of the namespace behind an open descriptor. */
int bh_netns_id(int netns_fd, struct bh_netns_id *ret, struct bh_err *err);
/* Opens the namespace at path, or that of any process whose cookie is known by path no more. */
int bh_netns_open(const char *path, int *ret_fd, struct bh_err *err);

/* Calls fn for each process in the namespace; nonzero ends the walk and is returned. */
int bh_procs_each(const struct bh_netns_id *ns, int (*fn)(pid_t pid, void *arg), void *arg,
		  struct bh_err *err);
/* Kills them all, again and again until none is left (a fork bomb races; bounded rounds). -EBUSY
 * when some survive. */
int bh_procs_kill(const struct bh_netns_id *ns, uint32_t *ret_killed, struct bh_err *err);
/* Kills the process that had this number at ts_ns (CLOCK_MONOTONIC); false: it is gone, and whoever
 * has its number now is left alone. */
bool bh_procs_kill_since(pid_t pid, uint64_t ts_ns);
/* Stops or lets go on: by the cgroup freezer where a cgroup holds nothing but the namespace's
 * processes, else by SIGSTOP and SIGCONT. *ret_n: processes reached. Freezing waits until all have
 * stopped, also those they made meanwhile, but not longer than half a second. */
int bh_procs_freeze(const struct bh_netns_id *ns, bool freeze, uint32_t *ret_n, struct bh_err *err);
/* Mount point of the cgroup2 hierarchy, "" when there is none. */
const char *bh_cgroup2_mount(void);
