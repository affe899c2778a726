#include "registry/challenge.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

#define MAX_HEADER 8192
#define MAX_VALUE  2048

struct cursor {
	const char *s;
};

static void skip_blanks(struct cursor *c)
{
	c->s += strspn(c->s, " \t");
}

static size_t token_len(const char *s)
{
	size_t n = 0;

	while (s[n] && (isalnum((unsigned char)s[n]) || strchr("!#$%&'*+-.^_`|~", s[n])))
		n++;
	return n;
}

/* A token, or a quoted string with its escapes. NULL: neither, or no memory. */
static char *take_value(struct cursor *c)
{
	struct bh_str out = {0};
	size_t n = token_len(c->s);

	if (*c->s != '"') {
		/* some registries leave the quotes away around a URL */
		n = strcspn(c->s, ", \t");
		c->s += n;
		return n && n < MAX_VALUE ? strndup(c->s - n, n) : NULL;
	}
	for (c->s++; *c->s && *c->s != '"' && out.n < MAX_VALUE; c->s++) {
		if (*c->s == '\\' && c->s[1])
			c->s++;
		bh_str_addn(&out, c->s, 1);
	}
	if (*c->s != '"') {
		bh_str_done(&out);
		return NULL;
	}
	c->s++;
	return out.n ? bh_str_take(&out) : strdup("");
}

/* "name=value" into the challenge that is being read. */
static int take_param(struct cursor *c, struct bh_challenge *to)
{
	const struct {
		const char *name;
		char **to;
	} rows[] = {{"realm", &to->realm}, {"service", &to->service}, {"scope", &to->scope}};
	size_t n = token_len(c->s);
	const char *name = c->s;
	char *value;

	c->s += n;
	skip_blanks(c);
	if (!n || *c->s != '=')
		return -EINVAL;
	c->s++;
	skip_blanks(c);
	value = take_value(c);
	if (!value)
		return -EINVAL;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		if (strlen(rows[i].name) != n || strncasecmp(rows[i].name, name, n) || *rows[i].to)
			continue;
		*rows[i].to = value;
		return 0;
	}
	free(value);
	return 0;
}

static enum bh_auth_scheme scheme_of(const char *s, size_t n)
{
	if (n == 6 && !strncasecmp(s, "Bearer", 6))
		return BH_AUTH_BEARER;
	return n == 5 && !strncasecmp(s, "Basic", 5) ? BH_AUTH_BASIC : BH_AUTH_NONE;
}

/* Whether what follows is "name=", and not the next scheme. */
static bool at_param(const struct cursor *c)
{
	const char *s = c->s + token_len(c->s);

	s += strspn(s, " \t");
	return s > c->s && *s == '=';
}

static int take_challenge(struct cursor *c, struct bh_challenge *ret)
{
	size_t n = token_len(c->s);

	if (!n)
		return -EINVAL;
	ret->scheme = scheme_of(c->s, n);
	c->s += n;
	skip_blanks(c);
	while (*c->s && at_param(c)) {
		if (take_param(c, ret))
			return -EINVAL;
		c->s += strspn(c->s, " \t,");
	}
	/* token68 of a scheme we do not speak */
	if (*c->s && *c->s != ',' && ret->scheme == BH_AUTH_NONE && !at_param(c) &&
	    strchr(c->s, ','))
		c->s = strchr(c->s, ',');
	c->s += strspn(c->s, " \t,");
	return 0;
}

int bh_challenge_parse(const char *header, struct bh_challenge *ret, struct bh_err *err)
{
	struct bh_challenge best = {0};
	struct cursor c = {header ? header : ""};

	if (strnlen(c.s, MAX_HEADER + 1) > MAX_HEADER)
		return bh_fail(err, EINVAL, "WWW-Authenticate is too long");
	c.s += strspn(c.s, " \t,");
	while (*c.s) {
		struct bh_challenge next = {0};

		if (take_challenge(&c, &next)) {
			bh_challenge_done(&next);
			bh_challenge_done(&best);
			return bh_fail(err, EINVAL, "WWW-Authenticate does not parse");
		}
		if (next.scheme <= best.scheme) {
			bh_challenge_done(&next);
			continue;
		}
		bh_challenge_done(&best);
		best = next;
	}
	if (best.scheme == BH_AUTH_BEARER && !best.realm) {
		bh_challenge_done(&best);
		return bh_fail(err, EINVAL, "WWW-Authenticate: Bearer without a realm");
	}
	*ret = best;
	return 0;
}

void bh_challenge_done(struct bh_challenge *c)
{
	free(c->realm);
	free(c->service);
	free(c->scope);
	*c = (struct bh_challenge){0};
}
