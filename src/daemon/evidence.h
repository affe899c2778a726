/* evidence.h - what a quarantined pod was, written down before it changes: JSON files and a SHA-256
 * manifest (SHA256SUMS, as sha256sum -c reads it, and manifest.json). */
#pragma once

#include "base/err.h"

struct bh_daemon;

struct bh_evidence_request {
	const char *dir; /* absolute; created when absent; must be empty */
	const char *ns, *name;
	int netns_fd;
};
/* processes.json, sockets.json, edges.json, addresses.json, executables.json. */
int bh_evidence_write(struct bh_daemon *d, const struct bh_evidence_request *rq,
		      struct bh_err *err);
/* Refuses a directory that is not usable before anything is cut. */
int bh_evidence_check(const char *dir, struct bh_err *err);
