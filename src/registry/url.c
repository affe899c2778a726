#include "registry/url.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

static bool is_clean(const char *text)
{
	size_t n = 0;

	for (; text[n]; n++) {
		if ((unsigned char)text[n] <= ' ' || (unsigned char)text[n] >= 0x7f ||
		    text[n] == '\\' || n >= BH_URL_MAX)
			return false;
	}
	return n > 0;
}

static bool is_host(const char *s, size_t n)
{
	bool is_v6 = n > 2 && s[0] == '[' && s[n - 1] == ']';
	const char *more = is_v6 ? ":." : ".-_";

	if (is_v6) {
		s++;
		n -= 2;
	}
	for (size_t i = 0; i < n; i++) {
		if (!isalnum((unsigned char)s[i]) && !strchr(more, s[i]))
			return false;
	}
	return n > 0 && n <= 253;
}

static bool is_port(const char *s, size_t n)
{
	unsigned v = 0;

	for (size_t i = 0; i < n; i++) {
		if (!isdigit((unsigned char)s[i]))
			return false;
		v = v * 10 + (unsigned)(s[i] - '0');
		if (v > 65535)
			return false;
	}
	return n && v;
}

/* "host", "host:port", "[v6]:port" */
static int parse_authority(const char *s, size_t n, struct bh_url *u)
{
	const char *colon = memrchr(s, ':', n), *bracket = memrchr(s, ']', n);
	size_t host = n;

	if (colon && bracket && colon < bracket)
		colon = NULL;
	if (colon) {
		host = (size_t)(colon - s);
		if (!is_port(colon + 1, n - host - 1))
			return -EINVAL;
		u->port = strndup(colon + 1, n - host - 1);
	} else {
		u->port = strdup(u->is_tls ? "443" : "80");
	}
	if (!is_host(s, host))
		return -EINVAL;
	u->host = strndup(s, host);
	for (char *c = u->host; c && *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return u->host && u->port ? 0 : -ENOMEM;
}

static int set_path(const char *s, size_t n, struct bh_url *u)
{
	u->path = *s == '/' ? strndup(s, n) : bh_strf("/%.*s", (int)n, s);
	return u->path ? 0 : -ENOMEM;
}

static int fail(struct bh_err *err, int r, const char *text)
{
	if (r == -ENOMEM)
		return bh_fail(err, ENOMEM, "URL");
	return bh_fail(err, EINVAL, "'%.200s' is not an http or https URL", text);
}

int bh_url_parse(const char *text, struct bh_url *ret, struct bh_err *err)
{
	struct bh_url u = {.is_tls = !strncasecmp(text, "https://", 8)};
	size_t authority;
	const char *s;
	int r;

	if (!is_clean(text) || (!u.is_tls && strncasecmp(text, "http://", 7)))
		return fail(err, -EINVAL, text);
	s = text + (u.is_tls ? 8 : 7);
	authority = strcspn(s, "/?#");
	r = parse_authority(s, authority, &u);
	if (!r)
		r = set_path(s + authority, strcspn(s + authority, "#"), &u);
	if (r) {
		bh_url_done(&u);
		return fail(err, r, text);
	}
	*ret = u;
	return 0;
}

/* Everything up to the last '/' of the path, the query left out. */
static size_t folder_of(const char *path)
{
	size_t n = strcspn(path, "?");

	while (n && path[n - 1] != '/')
		n--;
	return n;
}

int bh_url_resolve(const struct bh_url *base, const char *text, struct bh_url *ret,
		   struct bh_err *err)
{
	const char *scheme = base->is_tls ? "https" : "http";
	BH_CLEANUP(bh_freep) char *full = NULL;
	size_t keep;

	if (!is_clean(text))
		return fail(err, -EINVAL, text);
	if (strstr(text, "://") && strcspn(text, ":") < strcspn(text, "/?#"))
		return bh_url_parse(text, ret, err);
	if (text[0] == '/' && text[1] == '/')
		full = bh_strf("%s:%s", scheme, text);
	if (!full) {
		keep = text[0] == '/' ? 0 : folder_of(base->path);
		if (text[0] == '?')
			keep = strcspn(base->path, "?");
		full = bh_strf("%s://%s:%s%.*s%s", scheme, base->host, base->port, (int)keep,
			       base->path, text);
	}
	if (!full)
		return fail(err, -ENOMEM, text);
	return bh_url_parse(full, ret, err);
}

bool bh_url_same_server(const struct bh_url *a, const struct bh_url *b)
{
	return a->is_tls == b->is_tls && !strcmp(a->host, b->host) && !strcmp(a->port, b->port);
}

char *bh_url_text(const struct bh_url *u)
{
	return bh_strf("%s://%s:%s%s", u->is_tls ? "https" : "http", u->host, u->port, u->path);
}

void bh_url_done(struct bh_url *u)
{
	free(u->host);
	free(u->port);
	free(u->path);
	*u = (struct bh_url){0};
}
