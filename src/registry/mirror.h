/* mirror.h - which servers to ask for something, and how: the entries of policy/mirrors.h at work.
 * Inside registry/ only. */
#pragma once

#include "registry/registry.h"

/* A server to ask. Everything but url is borrowed. */
struct bh_target {
	char *url;
	char *host;		/* "host[:port]", by which its credentials are known */
	const char *repository; /* the image's name there */
	const char *ca_pem, *cert_pem, *key_pem;
	char *const *headers; /* NULL-terminated; NULL: none */
	uint64_t deadline_ms;
};

void bh_target_done(struct bh_target *t);

/* Whether it is asked for that: tags only from those that may resolve. */
bool bh_mirror_serves(const struct bh_mirror *m, const struct bh_registry_get *get);
/* -EPERM: it is plain http and not listed. */
int bh_target_of_mirror(const struct bh_registry_options *opt, const struct bh_mirror *m,
			const struct bh_registry_get *get, struct bh_target *ret,
			struct bh_err *err);
/* The registry itself. */
int bh_target_of_registry(const struct bh_registry_options *opt, const struct bh_registry_get *get,
			  struct bh_target *ret, struct bh_err *err);
/* A page of a list, from the same server as the one before. */
int bh_target_of_page(const struct bh_mirror *from, const struct bh_registry_get *get,
		      const char *next, struct bh_target *ret, struct bh_err *err);
/* Whether "host[:port]" may be plain http. */
bool bh_is_insecure(const struct bh_registry_options *opt, const char *host);
