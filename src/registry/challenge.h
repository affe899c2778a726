/* challenge.h - what a registry asks for with 401: WWW-Authenticate (RFC 9110 11.6.1, and the token
 * scheme of the distribution project). Pure. */
#pragma once

#include "base/err.h"

enum bh_auth_scheme { BH_AUTH_NONE, BH_AUTH_BASIC, BH_AUTH_BEARER };

struct bh_challenge {
	enum bh_auth_scheme scheme;
	char *realm, *service, *scope; /* of Bearer; NULL when not given */
};

/* Takes Bearer when it is offered, else Basic; anything else is BH_AUTH_NONE. header may be NULL.
 * -EINVAL for text that does not parse, -ENOMEM. */
int bh_challenge_parse(const char *header, struct bh_challenge *ret, struct bh_err *err);
void bh_challenge_done(struct bh_challenge *c);
