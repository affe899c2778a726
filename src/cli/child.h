/* child.h - what another program says. */
#pragma once

#include <stddef.h>

#include "base/err.h"

/* Runs argv[0], looked for in PATH, with no input, and returns its standard output, NUL-terminated
 * and owned by the caller. -ENOENT when there is no such program; -ETIMEDOUT and -EFBIG end it;
 * -EIO with the last line of its standard error when it fails. */
int bh_child_output(char *const argv[], int timeout_ms, size_t max, char **ret, struct bh_err *err);
