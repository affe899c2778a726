/* url.h - http and https URLs: parts, references relative to one, same server or not (RFC 3986, as
 * much as the distribution API needs). Pure. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

#define BH_URL_MAX 4096

struct bh_url {
	char *host; /* lower case, IPv6 in brackets; with userinfo the URL is refused */
	char *port; /* digits; the scheme's own when none is written */
	char *path; /* "/..." with the query, without the fragment */
	bool is_tls;
};

/* -EINVAL for anything but http and https, for userinfo, control characters and blanks. */
int bh_url_parse(const char *text, struct bh_url *ret, struct bh_err *err);
/* What a Location or Link header means that came with base: absolute, "//host/x", "/x", "x", "?x".
 */
int bh_url_resolve(const struct bh_url *base, const char *text, struct bh_url *ret,
		   struct bh_err *err);
/* Scheme, host and port are the same: what may see the same credentials. */
bool bh_url_same_server(const struct bh_url *a, const struct bh_url *b);
/* Heap text, NULL without memory. */
char *bh_url_text(const struct bh_url *u);
void bh_url_done(struct bh_url *u);
