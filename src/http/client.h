/* client.h - one HTTP request at a time to a server nobody trusts: hard limits on size and time,
 * redirects shown and never followed, addresses looked at before anything is sent to them.
 *
 * It keeps connections open between requests. It takes no proxy, cookie, .netrc or environment
 * variable into account. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct bh_http_client;

/* Where an address lies. A server out in the world must not send its client to its neighbours. */
#define BH_HTTP_LOOPBACK 1u
#define BH_HTTP_LINKLOCAL                                                                          \
	2u /* cloud metadata services, unspecified and multicast addresses too                     \
	    */

struct bh_http_request {
	const char *url;	    /* https://, or http:// with is_plain_allowed */
	const char *const *headers; /* "Name: value", NULL-terminated; NULL: none */
	const char *form;   /* body of a POST (application/x-www-form-urlencoded); NULL: GET */
	const char *ca_pem; /* certificates to trust beside the system's; NULL: those alone */
	const char *cert_pem, *key_pem; /* shown to a server that asks; NULL: none */
	uint64_t deadline_ms;		/* on the clock of bh_http_now_ms */
	size_t max_body;
	bool is_plain_allowed;
	/* With status 2xx a body that is too long, or does not end in time, is cut: what was asked
	 * for is done, and asking again would do it twice. */
	bool may_cut;
	unsigned refuse; /* BH_HTTP_LOOPBACK | BH_HTTP_LINKLOCAL: not to be connected to */
};

struct bh_http_reply {
	long status;
	char *body; /* NUL-terminated, the NUL is not counted */
	size_t len;
	char *type;	    /* Content-Type without parameters, lower case; NULL: none */
	char *location;	    /* the rest as sent, NULL: not there */
	char *authenticate; /* all WWW-Authenticate lines, joined with ", " */
	char *link;
	char *retry_after;
	unsigned where; /* of the address that answered: 0 or one BH_HTTP_ flag */
};

int bh_http_client_new(struct bh_http_client **ret, struct bh_err *err);
void bh_http_client_free(struct bh_http_client *c);
void bh_http_client_freep(struct bh_http_client **c);

/* 0 for every status that arrived whole (but see may_cut); the caller owns *ret. -EFBIG: the body is
 * longer than max_body. -ETIMEDOUT. -EPERM: the address is one to refuse, or the scheme. Others: -EIO with the
 * library's sentence. Wipes the copies of headers and form that it made. */
int bh_http_client_do(struct bh_http_client *c, const struct bh_http_request *rq,
		      struct bh_http_reply *ret, struct bh_err *err);
void bh_http_reply_done(struct bh_http_reply *r);

/* Milliseconds of a clock that only goes forward. */
uint64_t bh_http_now_ms(void);
