/* digest.h - SHA-256 of files and bytes (libcrypto), as 64 hex digits. */
#pragma once

#include <stddef.h>

#include "base/err.h"

#define BH_DIGEST_TEXT 65

int bh_digest_bytes(const void *data, size_t len, char out[BH_DIGEST_TEXT], struct bh_err *err);
/* Reads path to its end; at most max bytes, -EFBIG beyond. */
int bh_digest_file(const char *path, size_t max, char out[BH_DIGEST_TEXT], struct bh_err *err);
