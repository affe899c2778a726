/* creds.h - registry credentials out of docker configuration files: {"auths": {PATTERN: ...}} as in
 * kubernetes.io/dockerconfigjson, or the legacy form without "auths".
 *
 * A pattern is host[:port][/path]. The host is compared label by label ('*' stands for something
 * inside one label), the port exactly, the path at its '/' borders; the longest path wins, then a
 * host without '*'. Never a
 * substring. Secrets are wiped when the set is freed. Pure. */
#pragma once

#include <stddef.h>

#include "base/err.h"

struct bh_cred {
	char *user, *password; /* both or neither */
	char *identity_token;  /* or this one */
};

struct bh_creds;

int bh_creds_new(struct bh_creds **ret, struct bh_err *err);
/* Adds what a file says; of equal patterns the first one stays. -EINVAL names the bad entry, never
 * its secret. */
int bh_creds_add(struct bh_creds *c, const char *json, size_t len, struct bh_err *err);
void bh_creds_free(struct bh_creds *c);
void bh_creds_freep(struct bh_creds **c);
/* For "host[:port]" and the repository's path. NULL: none; borrowed. c may be NULL. Docker Hub's
 * three names are one. */
const struct bh_cred *bh_creds_find(const struct bh_creds *c, const char *host,
				    const char *repository);
