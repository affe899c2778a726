/* worker_start.h - starts bulkhead-worker, which is installed beside the daemon or in its libexec
 * directory. */
#pragma once

#include <sys/types.h>

#include "base/err.h"

/* fd becomes its standard input; the caller keeps its own copy. mode: its one argument, or NULL. It
 * gets no other descriptor of ours but standard error, and no environment. The caller waits for
 * *ret. */
int bh_worker_start(int fd, const char *mode, pid_t *ret, struct bh_err *err);
