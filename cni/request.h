/* request.h - environment and standard input of one CNI call > one checked struct.
 *
 * Format: Container Network Interface specification 0.3.0 to 1.1.0
 * (github.com/containernetworking/cni, SPEC.md) and CONVENTIONS.md there for CNI_ARGS and args.cni.
 * Pure: opens nothing, asks nobody. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define BH_CNI_MAX_CONFIG (1024u * 1024) /* bytes on standard input */
#define BH_CNI_NEWEST	  "1.1.0"

enum bh_cni_command {
	BH_CNI_ADD,
	BH_CNI_DEL,
	BH_CNI_CHECK,
	BH_CNI_GC,
	BH_CNI_STATUS,
	BH_CNI_VERSION,
	BH_CNI_COMMANDS
};

/* Error codes: below 100 the specification's, from 100 ours. */
enum bh_cni_code {
	BH_CNI_E_VERSION = 1,	  /* cniVersion is none of ours */
	BH_CNI_E_ENVIRONMENT = 4, /* an environment variable is missing or bad */
	BH_CNI_E_IO = 5,
	BH_CNI_E_DECODE = 6,
	BH_CNI_E_CONFIG = 7,
	BH_CNI_E_AGAIN = 11,
	BH_CNI_E_STATUS = 50,	/* not available, ADD would fail */
	BH_CNI_E_REFUSED = 100, /* the daemon says no */
	BH_CNI_E_CHECK = 101,	/* what is attached is not what should be */
};

/* The variables a runtime sets; NULL where it did not. Borrowed. */
struct bh_cni_env {
	const char *command, *container_id, *netns, *ifname, *args;
};

/* Strings without a remark are borrowed from the environment or from config. */
struct bh_cni_request {
	enum bh_cni_command command;
	enum bh_cni_code code; /* what a failure of the step reached so far is called */
	json_t *config;	       /* owned */
	const char *version;   /* cniVersion; BH_CNI_NEWEST until a supported one was read */
	const char *network;   /* NULL only for VERSION and STATUS */
	const char *socket;
	unsigned timeout_ms; /* 1000-600000 */
	const char *container_id, *netns, *ifname;
	char *pod_namespace, *pod_name; /* owned; never NULL after ADD */
	char *pod_uid, *sandbox_id;	/* owned; NULL when not given */
	json_t *labels;			/* owned; [{"key","value"}], from args.cni.labels */
	json_t *prev;		   /* prevResult, borrowed from config; NULL when there is none */
	json_t *addresses;	   /* owned; addresses of ifname, without prefix lengths */
	const char *mac, *sandbox; /* of ifname; NULL when not known */
	const char *cgroup_path;   /* runtimeConfig.cgroupPath; NULL when not given */
	json_t *valid;		   /* owned; GC: [{"containerId","ifname"}] */
};

/* Fills *rq. On failure rq->code and rq->version say how to report it. rq is to be ended with
 * bh_cni_request_done in any case. */
int bh_cni_request_read(const struct bh_cni_env *env, const char *config, size_t len,
			struct bh_cni_request *rq, struct bh_err *err);
void bh_cni_request_done(struct bh_cni_request *rq);

const char *bh_cni_command_name(enum bh_cni_command c);
/* Supported versions, oldest first, NULL-terminated. */
extern const char *const bh_cni_versions[];
/* true for 0.3.0 to 0.4.0, whose ips[] have a "version". */
bool bh_cni_version_is_old(const char *version);
