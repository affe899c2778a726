#include "registry/creds.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/str.h"
#include "base/vec.h"
#include "policy/image.h"
#include "verify/bytes.h"

#define MAX_FILE    (1u << 20)
#define MAX_ENTRIES 1024
#define MAX_SECRET  16384

struct entry {
	char *host, *path; /* path "" or "/x/y" */
	struct bh_cred cred;
};

struct bh_creds {
	BH_VEC(struct entry) entries;
};

static void wipe(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	bh_freep(s);
}

static void entry_done(struct entry *e)
{
	free(e->host);
	free(e->path);
	wipe(&e->cred.user);
	wipe(&e->cred.password);
	wipe(&e->cred.identity_token);
}

/* Base64 of "user:password"; padding may be missing, as docker's own reader has it. NULL: bad
 * text. */
static char *decode(const char *auth)
{
	static const char *const pads[] = {"", "===", "==", "="};
	size_t n = strcspn(auth, "=");
	char *full = bh_strf("%.*s%s", (int)n, auth, pads[n % 4]), *text = NULL;
	struct bh_blob b = {0};

	if (full && !auth[n + strspn(auth + n, "=")] && !bh_b64_decode(full, strlen(full), &b) &&
	    b.n && !memchr(b.v, '\0', b.n))
		text = strndup((const char *)b.v, b.n);
	if (b.v)
		explicit_bzero(b.v, b.n);
	bh_blob_done(&b);
	wipe(&full);
	return text;
}

static int split_auth(const char *auth, struct bh_cred *to)
{
	char *pair = decode(auth), *colon = pair ? strchr(pair, ':') : NULL;

	if (colon) {
		to->user = strndup(pair, (size_t)(colon - pair));
		to->password = strdup(colon + 1);
	}
	wipe(&pair);
	return to->user && to->password ? 0 : -EINVAL;
}

/* ---- reading ---- */

static int read_cred(const json_t *j, struct bh_cred *to, struct bh_err *err)
{
	const char *auth = NULL, *user = NULL, *password = NULL, *token = NULL;
	int r = bh_json_get_str(j, "auth", false, &auth, err);

	if (!r)
		r = bh_json_get_str(j, "username", false, &user, err);
	if (!r)
		r = bh_json_get_str(j, "password", false, &password, err);
	if (!r)
		r = bh_json_get_str(j, "identitytoken", false, &token, err);
	if (r)
		return r;
	if (token && *token) {
		to->identity_token = strdup(token);
		return to->identity_token ? 0 : bh_fail(err, ENOMEM, "credentials");
	}
	/* where both are given the kubelet goes by this one */
	if (auth && *auth)
		return strlen(auth) > MAX_SECRET || split_auth(auth, to)
			       ? bh_fail(err, EINVAL, "'auth' is not base64 of user:password")
			       : 0;
	if (!user || !password || !*user)
		return bh_fail(err, ENODATA, "no credentials");
	to->user = strdup(user);
	to->password = strdup(password);
	return to->user && to->password ? 0 : bh_fail(err, ENOMEM, "credentials");
}

/* "https://index.docker.io/v1/" is how docker writes its own registry. */
static int read_pattern(const char *key, struct entry *to)
{
	const char *s = key;
	size_t host;

	if (!strncasecmp(s, "https://", 8))
		s += 8;
	else if (!strncasecmp(s, "http://", 7))
		s += 7;
	host = strcspn(s, "/");
	to->host = strndup(s, host);
	to->path = strdup(!strcmp(s + host, "/v1/") || !strcmp(s + host, "/v2/") ||
					  !strcmp(s + host, "/")
				  ? ""
				  : s + host);
	if (to->path && *to->path && to->path[strlen(to->path) - 1] == '/')
		to->path[strlen(to->path) - 1] = '\0';
	return to->host && to->path ? 0 : -ENOMEM;
}

static int add_entry(struct bh_creds *c, const char *key, const json_t *value, struct bh_err *err)
{
	struct entry e = {0};
	int r;

	if (!json_is_object(value))
		return bh_fail(err, EINVAL, "registry '%.200s': expected an object", key);
	r = read_cred(value, &e.cred, err);
	if (r == -ENODATA) /* a credential helper's entry is empty */
		return 0;
	if (!r && read_pattern(key, &e))
		r = bh_fail(err, ENOMEM, "credentials");
	if (!r && bh_vec_push(&c->entries, e))
		r = bh_fail(err, ENOMEM, "credentials");
	if (r)
		entry_done(&e);
	return r ? bh_note(err, r, "registry '%.200s'", key) : 0;
}

int bh_creds_add(struct bh_creds *c, const char *json, size_t len, struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *doc = NULL;
	json_t *auths, *value;
	const char *key;
	int r = bh_json_parse(json, len, MAX_FILE, &doc, err);

	if (r)
		return bh_note(err, r, "registry credentials");
	auths = json_object_get(doc, "auths");
	if (!auths)
		auths = json_object_get(doc, "credHelpers") || json_object_get(doc, "credsStore")
				? NULL
				: doc;
	if (auths && !json_is_object(auths))
		return bh_fail(err, EINVAL, "registry credentials: expected an object");
	json_object_foreach(auths, key, value)
	{
		if (c->entries.n >= MAX_ENTRIES)
			return bh_fail(err, E2BIG, "more than %d registries with credentials",
				       MAX_ENTRIES);
		r = add_entry(c, key, value, err);
		if (r)
			return r;
	}
	return 0;
}

/* ---- finding ---- */

/* Host names label by label; the port is the tail of the last one and has no wildcard. */
static bool host_matches(const char *pattern, const char *host)
{
	const char *pp = strrchr(pattern, ':'), *hp = strrchr(host, ':');

	if (strlen(pattern) > 256 || strlen(host) > 256 || *host == '[' || *pattern == '[')
		return !strcasecmp(pattern, host);
	if (!bh_streq(pp, hp))
		return false;
	for (;;) {
		size_t np = strcspn(pattern, ".:"), n = strcspn(host, ".:");

		if (!bh_glob_part(pattern, np, host, n, true))
			return false;
		pattern += np;
		host += n;
		if (*pattern != *host)
			return false;
		if (*pattern != '.')
			return true;
		pattern++;
		host++;
	}
}

static bool path_matches(const char *pattern, const char *repository)
{
	size_t n = strlen(pattern);

	if (!n)
		return true;
	return !strncmp(pattern + 1, repository, n - 1) &&
	       (repository[n - 1] == '\0' || repository[n - 1] == '/');
}

static bool is_docker_hub(const char *host)
{
	return !strcasecmp(host, "docker.io") || !strcasecmp(host, "index.docker.io") ||
	       !strcasecmp(host, "registry-1.docker.io");
}

/* The longer path, then the host without a '*', then the entry that came first. */
static bool is_better(const struct entry *e, const struct entry *best)
{
	size_t n = strlen(e->path), n_best = best ? strlen(best->path) : 0;

	return !best || n > n_best ||
	       (n == n_best && strchr(best->host, '*') && !strchr(e->host, '*'));
}

const struct bh_cred *bh_creds_find(const struct bh_creds *c, const char *host,
				    const char *repository)
{
	const struct entry *best = NULL;

	for (size_t i = 0; c && i < c->entries.n; i++) {
		const struct entry *e = &c->entries.v[i];
		bool is_host = host_matches(e->host, host) ||
			       (is_docker_hub(e->host) && is_docker_hub(host));

		if (is_host && path_matches(e->path, repository) && is_better(e, best))
			best = e;
	}
	return best ? &best->cred : NULL;
}

int bh_creds_new(struct bh_creds **ret, struct bh_err *err)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : bh_fail(err, ENOMEM, "credentials");
}

void bh_creds_free(struct bh_creds *c)
{
	if (!c)
		return;
	bh_vec_each (e, &c->entries)
		entry_done(e);
	bh_vec_done(&c->entries);
	free(c);
}

void bh_creds_freep(struct bh_creds **c)
{
	bh_creds_free(*c);
	*c = NULL;
}
