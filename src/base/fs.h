/* fs.h - read with a limit, replace atomically, walk a directory. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/* Reads a whole regular file of at most max bytes. *ret_data is NUL-terminated (the NUL is not
 * counted in *ret_len) and owned by the caller. -EFBIG when it is larger, -EINVAL when it is not a
 * regular file. */
int bh_fs_read(const char *path, size_t max, char **ret_data, size_t *ret_len, struct bh_err *err);
/* Writes data to a temporary file beside path, fsyncs, renames over path. */
int bh_fs_replace(const char *path, const void *data, size_t len, mode_t mode, struct bh_err *err);
/* mkdir -p; existing directories are left as they are. */
int bh_fs_mkdirs(const char *path, mode_t mode, struct bh_err *err);
/* Calls fn for each regular file (symlinks followed) below dir, subdirectories too, in byte order
 * of their paths; names that start with '.' are passed over ("..data" style links of Kubernetes
 * volumes are reached through their visible names). Stops at the first nonzero return of fn and
 * returns it. -ENOENT when dir is absent. */
int bh_fs_walk(const char *dir, int (*fn)(const char *path, void *arg), void *arg,
	       struct bh_err *err);
