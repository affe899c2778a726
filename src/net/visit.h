/* visit.h - one thread's short visit to another network namespace. Private to this folder. */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* Enters the namespace of fd. *ret_home: descriptor of the one left, for bh_visit_leave. */
int bh_visit_enter(int fd, int *ret_home, struct bh_err *err);
/* Goes back and closes home. r: what the visit came to; a failure to return outweighs it. */
int bh_visit_leave(int home, int r, struct bh_err *err);
/* Opens a namespace file; -ENOENT with a sentence when it is gone or is not a network namespace. */
int bh_visit_open(const char *path, int *ret_fd, struct bh_err *err);
/* Cookie of the namespace that a socket belongs to. */
int bh_visit_cookie(int sock, uint64_t *ret_cookie, struct bh_err *err);
