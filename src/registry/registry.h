/* registry.h - read-only client of the OCI distribution API over http/client.
 *
 * Everything is bounded: requests, redirects, retries and the time of one batch. Nothing a registry
 * says about its answers is believed: no Docker-Content-Digest, no Content-Length; callers hash
 * what they got. Credentials go to the registry they belong to and to the token server it names,
 * over TLS unless the registry itself is one that may be plain; never along a redirect to another
 * server. What a mirror does not have is asked of the registry itself; of a mirror it is believed
 * only what hashes to its digest, and what a tag is, if it may resolve. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "registry/creds.h"

#define BH_REGISTRY_MAX_REQUESTS  200
#define BH_REGISTRY_MAX_REDIRECTS 5
#define BH_REGISTRY_DEADLINE_MS	  8000

/* Where a repository is fetched from (policy/mirrors.h says where that comes from). All borrowed.
 */
struct bh_mirror {
	const char *of;	  /* "registry/repository" of images */
	const char *base; /* "https://mirror.example/v2", "//..": plain http if it is listed */
	const char *repository;		/* the name there */
	const char *ns;			/* for ?ns=; NULL: none */
	const char *ca_pem;		/* trusted beside the system's certificates; NULL: none */
	const char *cert_pem, *key_pem; /* shown to it; NULL: none */
	char *const *headers;		/* "Name: value", NULL-terminated; NULL: none */
	const char *refusal;		/* nobody is asked, and why; NULL: it is a server */
	bool has_tags;			/* its answers about tags count */
	bool has_digests;		/* it is asked for content by digest */
	bool is_server;			/* it stands for the registry itself, and is asked last */
	bool is_broken; /* with refusal: nobody can tell, for the settings are wrong */
};

/* Whether the entry is about that repository of that registry. */
bool bh_mirror_is_about(const struct bh_mirror *m, const char *registry, const char *repository);

struct bh_registry_options {
	const struct bh_creds *creds; /* may be NULL */
	char *const *insecure;	      /* "host" (any port) or "host:port" that are plain http */
	size_t n_insecure;
	const struct bh_mirror *mirrors; /* asked in this order before the registry itself */
	size_t n_mirrors;
	uint64_t deadline_ms; /* on the clock of bh_http_now_ms */
};

struct bh_registry;

/* Everything in opt is borrowed until the registry is closed. */
int bh_registry_open(const struct bh_registry_options *opt, struct bh_registry **ret,
		     struct bh_err *err);
void bh_registry_close(struct bh_registry *r);
void bh_registry_closep(struct bh_registry **r);

enum bh_registry_kind {
	BH_REGISTRY_MANIFEST,  /* or index, by tag or digest */
	BH_REGISTRY_BLOB,      /* by digest */
	BH_REGISTRY_REFERRERS, /* of a digest */
};

struct bh_registry_get {
	const char *host;	/* of the reference: "docker.io", "127.0.0.1:5000" */
	const char *repository; /* "library/busybox" */
	enum bh_registry_kind kind;
	const char *ref; /* tag or digest, valid ones */
	size_t limit;	 /* bytes */
	bool skips_mirrors;
};

struct bh_registry_answer {
	char *body; /* NUL-terminated; the NUL is not counted */
	size_t len;
	char *next;		      /* URL of the next page of a list, NULL: this was the last */
	const struct bh_mirror *from; /* NULL: the registry itself */
};

/* 0 and *ret, owned by the caller. -ENOENT: the registry says that there is none (every mirror was
 * asked too). -EINVAL: the mirrors' settings forbid it. -EFBIG: larger than limit. -ETIMEDOUT,
 * -EACCES (credentials), -EPERM (a redirect or address that is refused), -E2BIG (too many
 * requests), -EIO and -EPROTO: nobody knows. */
int bh_registry_get(struct bh_registry *r, const struct bh_registry_get *get,
		    struct bh_registry_answer *ret, struct bh_err *err);
/* A page of a list that an answer to get named, and who gave it. */
struct bh_registry_page {
	const char *next;
	const struct bh_mirror *from;
};
/* Same errors. */
int bh_registry_next(struct bh_registry *r, const struct bh_registry_get *get,
		     const struct bh_registry_page *page, struct bh_registry_answer *ret,
		     struct bh_err *err);
void bh_registry_answer_done(struct bh_registry_answer *a);
/* Requests sent so far. */
unsigned bh_registry_requests(const struct bh_registry *r);
