/* config.h - the daemon's typed configuration (contract section 3): defaults, file, checks. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/ip.h"
#include "bulkhead/abi.h"

#define BH_CONFIG_DEFAULT_FILE "/etc/bulkhead/config.yaml"

enum bh_runtime_mode { BH_RUNTIME_OFF, BH_RUNTIME_LIGHT, BH_RUNTIME_WATCH, BH_RUNTIME_LEARN };

struct bh_config {
	char *node_name;
	struct bh_ip *node_addresses; /* besides every local one */
	size_t n_node_addresses;
	char *run, *state, *log, *bpffs; /* directories */
	char *manifests;		 /* directory, NULL: no such source */
	bool default_allow;		 /* enforcement.default: kubernetes */
	enum bh_node_mode node_mode;
	bool keep_established;
	bool require_reason;
	enum bh_runtime_mode runtime_mode;
	char *http_listen; /* "host:port"; "" none */
};

/* Reads path, or takes the defaults when path is NULL. Unknown keys, wrong types and impossible
 * values are refused: every problem is "file:line:column: sentence", one a line, in *ret_problems
 * (owned by the caller, NULL when there are none); err then holds the first. */
int bh_config_load(const char *path, struct bh_config **ret, char **ret_problems,
		   struct bh_err *err);
void bh_config_free(struct bh_config *c);
void bh_config_freep(struct bh_config **c);
