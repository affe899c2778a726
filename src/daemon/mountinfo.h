/* mountinfo.h - the mounts that a process sees (proc_pid_mountinfo(5)), and which of them answer by
 * themselves. Reading the list asks nobody but the kernel; opening what is below a mount that is
 * not local may wait for a server that never answers. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct bh_mount {
	uint64_t id, dev;     /* as statx(2) has them */
	char root[PATH_MAX];  /* what of its file system is mounted */
	char point[PATH_MAX]; /* in the process's tree; symbolic links are resolved */
	bool is_local;	      /* nothing beyond this machine's disks and memory is asked */
};

/* A list that is being read; owns everything in it. Zeroed is one that is not open. */
struct bh_mounts {
	FILE *f;
	char *line;
	size_t cap;
};

/* false: the process is gone. bh_mounts_done in any case. */
bool bh_mounts_open(struct bh_mounts *m, uint32_t pid);
/* The next mount, in the kernel's order; false: that was all. Lines of another form are passed
 * over. */
bool bh_mounts_next(struct bh_mounts *m, struct bh_mount *ret);
/* Reads the list from its beginning, as it is by now. */
void bh_mounts_rewind(struct bh_mounts *m);
void bh_mounts_done(struct bh_mounts *m);

/* Whether path is the mount point or below it; both absolute. */
bool bh_mount_has(const char *point, const char *path);
