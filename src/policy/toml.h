/* toml.h - reads TOML 1.0 (toml.io/en/v1.0.0) into JSON, for the configuration of container
 * runtimes: certs.d/HOST/hosts.toml, registries.conf and containerd's config.toml.
 *
 * Every rule of the language about tables, keys, strings, numbers, booleans, arrays and inline
 * tables is kept, what is defined twice is refused. Dates, times, inf and nan are refused too: no
 * setting that is read here has one. Pure; bounded in size, depth and number of tables. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"

#define BH_TOML_MAX_BYTES (1u << 20)
#define BH_TOML_MAX_DEPTH 32

/* The document as one object, owned by the caller. -EINVAL "line 3: ..."; -EFBIG, -ENOMEM. */
int bh_toml_parse(const char *text, size_t len, json_t **ret, struct bh_err *err);
