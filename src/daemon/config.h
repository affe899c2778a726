/* config.h - the daemon's typed settings (contract section 3): defaults, file, checks. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/ip.h"
#include "bulkhead/abi.h"
#include "daemon/config_runtime.h"

#define BH_CONFIG_DEFAULT_FILE "/etc/bulkhead/config.yaml"

enum bh_images_mode { BH_IMAGES_OFF, BH_IMAGES_AUDIT, BH_IMAGES_ENFORCE };

struct bh_settings {
	char *node_name;
	struct bh_ip *node_addresses; /* besides every local one */
	size_t n_node_addresses;
	char *run, *state, *log, *bpffs; /* directories */
	char *manifests;		 /* directory, NULL: no such source */
	bool default_allow;		 /* enforcement.default: kubernetes */
	enum bh_node_mode node_mode;
	bool keep_established;
	bool require_reason;
	struct bh_runtime_settings runtime;
	enum bh_images_mode images_mode;
	json_t *images_break_glass; /* paths of public keys; NULL: none */
	char *images_runtime;	    /* the runtime's socket, NULL: to be found */
	char *images_credentials;   /* docker configuration with registry passwords, NULL: none */
	bool is_kubelets;	    /* it is the kubelet's, and need not be there */
	char *images_hosts;	    /* containerd's certs.d; need not be there */
	char *images_registries;    /* registries.conf, NULL: none */
	char *http_listen;	    /* "host:port"; "" none */
	json_t *sinks;		    /* as in config_sinks.h; NULL: none */
};

/* Reads path, or takes the defaults when path is NULL. Unknown keys, wrong types and impossible
 * values are refused with "file:line:column: sentence". What this version cannot do yet
 * (kubernetes as a source) is refused too when it is asked for, never ignored. */
int bh_settings_load(const char *path, struct bh_settings **ret, struct bh_err *err);
void bh_settings_free(struct bh_settings *c);
void bh_settings_freep(struct bh_settings **c);
