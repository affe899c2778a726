/* exefile.h - opens the very file that a pod executed, for reading, without ever waiting for it.
 *
 * The record names a process that may be gone and an inode. The process's own link to its image
 * serves memory files and deleted ones too; else the path is walked inside the tree of a process
 * of the pod. Whatever is found counts only when it is the recorded inode of the recorded file
 * system. What answers only when somebody else does (FUSE, network file systems, anything mounted
 * in a user namespace that the pod made itself) is never opened: it could stop the daemon. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/vec.h"
#include "daemon/mountinfo.h"

enum bh_exefile_why {
	BH_EXEFILE_OK,
	BH_EXEFILE_GONE,    /* no process and no path leads to it any more */
	BH_EXEFILE_OTHER,   /* what is there now is another file */
	BH_EXEFILE_REMOTE,  /* a file system that could make us wait */
	BH_EXEFILE_FOREIGN, /* a user namespace that the pod's runtime did not make */
	BH_EXEFILE_ERROR,
};

struct bh_exefile_mount {
	uint64_t id, dev;
	char *point; /* owned; NULL: local, and so never in the way */
};

/* The mounts that a process saw last: read once for the files of a whole turn of the loop, as long
 * as nothing about them changed. Zeroed: none were read. Holds on to the process's namespace, so it
 * ends with the turn: bh_exefile_view_done. */
struct bh_exefile_view {
	struct bh_mounts list;
	uint32_t pid;
	char root[PATH_MAX]; /* the process's, as /proc shows it */
	BH_VEC(struct bh_exefile_mount) mounts;
	bool has_root;
};
void bh_exefile_view_done(struct bh_exefile_view *v);

struct bh_exefile_want {
	uint32_t pid;	      /* that executed it */
	uint32_t helpers[2];  /* other processes of the pod, 0: none; for the path */
	uint32_t mntns;	      /* whose tree path belongs to; 0: not known */
	uint64_t pod_userns;  /* that the runtime gave to the pod; 0: not known */
	uint64_t ino, dev;    /* as the kernel has them */
	const char *path;     /* in the pod's tree, "" when not known */
	bool is_image_of_pid; /* pid executes it; else it only has it mapped */
	bool is_memory;	      /* of no mounted file system */
	struct bh_exefile_view *view; /* borrowed; NULL: mounts are read anew */
};

/* What tells one state of one file from every other. */
struct bh_exefile_id {
	uint64_t dev, ino;	     /* as the kernel has them */
	uint64_t stat_dev;	     /* as stat(2) shows it: overlays show another one */
	uint64_t ctime_ns, btime_ns; /* Unix time; btime 0: not known */
	uint64_t size;
};

static inline bool bh_exefile_same(const struct bh_exefile_id *a, const struct bh_exefile_id *b)
{
	return a->ino == b->ino && a->dev == b->dev && a->stat_dev == b->stat_dev &&
	       a->ctime_ns == b->ctime_ns && a->btime_ns == b->btime_ns && a->size == b->size;
}

/* Identity of the process's image without opening it. false: gone, or another file. One that is
 * true may still be of another file system: see bh_exefile_open. */
bool bh_exefile_look(const struct bh_exefile_want *w, struct bh_exefile_id *ret);
/* *ret_fd, which only names the file, is the caller's. */
enum bh_exefile_why bh_exefile_find(const struct bh_exefile_want *w, struct bh_exefile_id *ret,
				    int *ret_fd);
/* A descriptor that reads what one of bh_exefile_find names; negative: there is none. */
int bh_exefile_reopen(int path_fd);
/* The identity of an open file, whose dev is taken from `of`. false when it cannot be told. */
bool bh_exefile_again(int fd, const struct bh_exefile_id *of, struct bh_exefile_id *ret);
/* true when the mount namespace with this inode is the node's, not a container's. */
bool bh_exefile_is_node(uint32_t mntns);
/* Inode of the process's user namespace; 0: it is gone. */
uint64_t bh_exefile_userns(uint32_t pid);
/* "gone", "other" ... */
const char *bh_exefile_why_name(enum bh_exefile_why why);
