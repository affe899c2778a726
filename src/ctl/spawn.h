/* spawn.h - starts bulkhead-worker, which lies beside this program in a build and in the prefix's
 * libexec/bulkhead once installed. */
#pragma once

#include <sys/types.h>

#include "base/err.h"

/* fd becomes its standard input; the caller keeps its own copy. mode is its one argument. It gets
 * no other descriptor of ours but standard error, and no environment. The caller waits for *ret.
 * -ENOENT when it is not installed. */
int bh_spawn_worker(int fd, const char *mode, pid_t *ret, struct bh_err *err);
