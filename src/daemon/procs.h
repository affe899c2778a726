/* procs.h - the processes of a pod, found by the network namespace they are in. */
#pragma once

#include <dirent.h>
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
/* One look at every process of a namespace: those that have not ended are killed, or those that do
 * not stand still stopped, by the cgroup freezer where a cgroup holds nothing but the namespace's
 * processes, else by SIGSTOP. Who makes children needs several (stopping.h). */
enum bh_procs_act { BH_PROCS_KILL, BH_PROCS_FREEZE };
struct bh_procs_round {
	struct bh_netns_id ns;
	enum bh_procs_act act;
	uint32_t n;    /* told to */
	uint32_t left; /* had not ended, or did not stand still, when they were looked at */
	pid_t named[8];
	DIR *dir; /* owned; NULL: the next look begins */
};
/* Looks for about budget_ns. 1: at all of them now; 0: call again for the rest. */
int bh_procs_round(struct bh_procs_round *o, uint64_t budget_ns, struct bh_err *err);
void bh_procs_round_done(struct bh_procs_round *o);
/* Lets all go on that were stopped. */
int bh_procs_thaw(const struct bh_netns_id *ns, struct bh_err *err);
/* Kills the process that had this number at ts_ns (CLOCK_MONOTONIC). Gone: it has ended, and
 * whoever has its number now is left alone. */
enum bh_procs_end { BH_PROCS_KILLED, BH_PROCS_GONE, BH_PROCS_FAILED };
enum bh_procs_end bh_procs_kill_since(pid_t pid, uint64_t ts_ns);
/* Mount point of the cgroup2 hierarchy, "" when there is none. */
const char *bh_cgroup2_mount(void);
