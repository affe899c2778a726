/* auth.h - credentials at work: answers 401s, keeps tokens for the batch. Inside registry/ only. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "http/client.h"
#include "registry/creds.h"
#include "registry/url.h"

struct bh_auth;

/* http and creds are borrowed. */
int bh_auth_new(struct bh_http_client *http, const struct bh_creds *creds, struct bh_auth **ret,
		struct bh_err *err);
/* Wipes every secret. */
void bh_auth_free(struct bh_auth *a);

struct bh_auth_question {
	const struct bh_url *server;
	const char *host; /* of the reference: credentials are looked up by it */
	const char *repository;
	const char *challenge; /* WWW-Authenticate, may be NULL */
	unsigned where;	       /* BH_HTTP_ flags of the server's address */
	const char *ca_pem;
	uint64_t deadline_ms;
};

/* Gets what the challenge asks for and remembers it for the server and repository. -EACCES: there
 * are no credentials of the kind, or the token server says no; -ETIMEDOUT, -EIO. */
int bh_auth_answer(struct bh_auth *a, const struct bh_auth_question *q, struct bh_err *err);
/* "Authorization: ..." for a request to the server, NULL: none. Borrowed until the next answer. */
const char *bh_auth_header(const struct bh_auth *a, const struct bh_url *server,
			   const char *repository);
