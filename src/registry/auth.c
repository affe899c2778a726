#include "registry/auth.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "base/vec.h"
#include "registry/challenge.h"
#include "verify/bytes.h"

#define MAX_TOKEN  (16u * 1024)
#define MAX_ANSWER (64u * 1024)
#define MAX_KEPT   16

struct kept {
	char *server;	  /* "https://host:port" */
	char *repository; /* NULL: all of the server's */
	char *header;
};

struct bh_auth {
	struct bh_http_client *http;
	const struct bh_creds *creds;
	BH_VEC(struct kept) kept;
};

static void wipe(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	bh_freep(s);
}

static void kept_done(struct kept *k)
{
	free(k->server);
	free(k->repository);
	wipe(&k->header);
}

static char *server_text(const struct bh_url *u)
{
	return bh_strf("%s://%s:%s", u->is_tls ? "https" : "http", u->host, u->port);
}

static struct kept *find(const struct bh_auth *a, const char *server, const char *repository)
{
	for (size_t i = 0; i < a->kept.n; i++) {
		struct kept *k = &a->kept.v[i];

		if (!strcmp(k->server, server) &&
		    (!k->repository || !strcmp(k->repository, repository)))
			return k;
	}
	return NULL;
}

const char *bh_auth_header(const struct bh_auth *a, const struct bh_url *server,
			   const char *repository)
{
	BH_CLEANUP(bh_freep) char *text = server_text(server);
	const struct kept *k = text ? find(a, text, repository) : NULL;

	return k ? k->header : NULL;
}

/* repository NULL: for all of them. header is taken, and wiped when it cannot be kept. */
static int keep(struct bh_auth *a, const struct bh_auth_question *q, const char *repository,
		char *take_header)
{
	struct kept k = {.server = server_text(q->server), .header = take_header}, *old;

	k.repository = repository ? strdup(repository) : NULL;
	if (!k.server || !k.header || (repository && !k.repository)) {
		kept_done(&k);
		return -ENOMEM;
	}
	old = find(a, k.server, q->repository);
	if (!old && a->kept.n >= MAX_KEPT)
		old = &a->kept.v[0];
	if (old) {
		kept_done(old);
		*old = k;
		return 0;
	}
	if (!bh_vec_push(&a->kept, k))
		return 0;
	kept_done(&k);
	return -ENOMEM;
}

/* ---- encodings ---- */

static char *basic_header(const struct bh_cred *c)
{
	char *pair = bh_strf("%s:%s", c->user, c->password);
	char *text = pair ? bh_b64_encode(pair, strlen(pair)) : NULL;
	char *header = text ? bh_strf("Authorization: Basic %s", text) : NULL;

	wipe(&pair);
	wipe(&text);
	return header;
}

/* application/x-www-form-urlencoded; registries want ':' and '/' in scopes to be readable or not,
 * both are the same to them. */
static void add_param(struct bh_str *to, char separator, const char *name, const char *value)
{
	if (!value)
		return;
	bh_str_fmt(to, "%c%s=", separator, name);
	for (; *value; value++) {
		if (isalnum((unsigned char)*value) || strchr("-._~", *value))
			bh_str_addn(to, value, 1);
		else
			bh_str_fmt(to, "%%%02X", (unsigned char)*value);
	}
}

/* ---- tokens ---- */

static bool is_token(const char *s)
{
	size_t n = 0;

	for (; s[n]; n++) {
		if ((unsigned char)s[n] <= ' ' || (unsigned char)s[n] >= 0x7f || n >= MAX_TOKEN)
			return false;
	}
	return n > 0;
}

static int take_token(struct bh_auth *a, const struct bh_auth_question *q,
		      const struct bh_http_reply *reply, struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *doc = NULL;
	const char *token = NULL;
	int r;

	if (reply->status == 401 || reply->status == 403)
		return bh_fail(err, EACCES, "status %ld", reply->status);
	if (reply->status != 200)
		return bh_fail(err, EIO, "status %ld", reply->status);
	r = bh_json_parse(reply->body, reply->len, MAX_ANSWER, &doc, err);
	if (!r)
		r = bh_json_get_str(doc, "token", false, &token, err);
	if (!r && (!token || !*token))
		r = bh_json_get_str(doc, "access_token", true, &token, err);
	if (r)
		return r == -ENOMEM ? r : bh_note(err, -EIO, "answer");
	if (!is_token(token))
		return bh_fail(err, EIO, "the answer holds no usable token");
	if (keep(a, q, q->repository, bh_strf("Authorization: Bearer %s", token)))
		return bh_fail(err, ENOMEM, "token");
	return 0;
}

/* What the registry asks for may only be narrower than this repository, in words of ours. */
static char *scope_of(const struct bh_auth_question *q)
{
	return bh_strf("repository:%s:pull", q->repository);
}

static int token_url(const struct bh_auth_question *q, const struct bh_challenge *c,
		     struct bh_url *ret, struct bh_err *err)
{
	int r = bh_url_parse(c->realm, ret, err);

	if (r)
		return r == -EINVAL ? bh_note(err, -EACCES, "token server") : r;
	if (ret->is_tls || !q->server->is_tls)
		return 0;
	bh_url_done(ret);
	return bh_fail(err, EACCES, "token server: '%.200s' is not https", c->realm);
}

/* The request's text: in the query of a GET, or the form of a POST for an identity token. */
static int token_text(const struct bh_auth_question *q, const struct bh_challenge *c,
		      const struct bh_cred *cred, struct bh_str *ret)
{
	BH_CLEANUP(bh_freep) char *scope = scope_of(q);
	bool is_post = cred && cred->identity_token;

	if (!scope)
		return -ENOMEM;
	if (is_post) {
		bh_str_add(ret, "grant_type=refresh_token&client_id=bulkhead");
		add_param(ret, '&', "refresh_token", cred->identity_token);
	}
	add_param(ret, is_post ? '&' : strchr(c->realm, '?') ? '&' : '?', "scope", scope);
	add_param(ret, '&', "service", c->service);
	return ret->failed ? -ENOMEM : 0;
}

/* One exchange with the token server; text goes into the query, or with an identity token into the
 * form. */
static int send_token(struct bh_auth *a, const struct bh_auth_question *q, const char *url,
		      const struct bh_cred *cred, const char *text, struct bh_err *err)
{
	bool is_post = cred && cred->identity_token;
	char *full = bh_strf("%s%s", url, is_post ? "" : text);
	char *basic = cred && !is_post ? basic_header(cred) : NULL;
	const char *headers[] = {"Accept: application/json", basic, NULL};
	struct bh_http_request rq = {
		.url = full,
		.headers = headers,
		.form = is_post ? text : NULL,
		.ca_pem = q->ca_pem,
		.deadline_ms = q->deadline_ms,
		.max_body = MAX_ANSWER,
		.is_plain_allowed = !q->server->is_tls,
		.refuse = (BH_HTTP_LOOPBACK | BH_HTTP_LINKLOCAL) & ~q->where,
	};
	struct bh_http_reply reply = {0};
	int r = full ? bh_http_client_do(a->http, &rq, &reply, err)
		     : bh_fail(err, ENOMEM, "token request");

	if (!r)
		r = take_token(a, q, &reply, err);
	if (r == -EFBIG) /* the token server's fault, not the image's */
		r = bh_note(err, -EIO, "token");
	if (reply.body)
		explicit_bzero(reply.body, reply.len);
	bh_http_reply_done(&reply);
	wipe(&basic);
	free(full);
	return r;
}

static int ask_token(struct bh_auth *a, const struct bh_auth_question *q,
		     const struct bh_challenge *c, const struct bh_cred *cred, struct bh_err *err)
{
	BH_CLEANUP(bh_url_done) struct bh_url u = {0};
	BH_CLEANUP(bh_freep) char *url = NULL;
	struct bh_str text = {0};
	int r = token_url(q, c, &u, err);

	if (r)
		return r;
	url = bh_url_text(&u);
	if (!url || token_text(q, c, cred, &text))
		r = bh_fail(err, ENOMEM, "token request");
	else
		r = send_token(a, q, url, cred, bh_str_text(&text), err);
	if (text.s)
		explicit_bzero(text.s, text.n);
	bh_str_done(&text);
	return r ? bh_note(err, r, "token server '%.200s'", u.host) : 0;
}

int bh_auth_answer(struct bh_auth *a, const struct bh_auth_question *q, struct bh_err *err)
{
	const struct bh_cred *cred = bh_creds_find(a->creds, q->host, q->repository);
	BH_CLEANUP(bh_challenge_done) struct bh_challenge c = {0};
	int r = bh_challenge_parse(q->challenge, &c, err);

	if (r)
		return r == -EINVAL ? bh_note(err, -EACCES, "status 401") : r;
	if (c.scheme == BH_AUTH_BEARER)
		return ask_token(a, q, &c, cred, err);
	if (c.scheme == BH_AUTH_NONE)
		return bh_fail(err, EACCES, "status 401 without a challenge we can answer");
	if (!cred || !cred->user)
		return bh_fail(err, EACCES, "the registry wants a password and there is none");
	if (keep(a, q, NULL, basic_header(cred)))
		return bh_fail(err, ENOMEM, "credentials");
	return 0;
}

int bh_auth_new(struct bh_http_client *http, const struct bh_creds *creds, struct bh_auth **ret,
		struct bh_err *err)
{
	struct bh_auth *a = calloc(1, sizeof(*a));

	if (!a)
		return bh_fail(err, ENOMEM, "registry credentials");
	a->http = http;
	a->creds = creds;
	*ret = a;
	return 0;
}

void bh_auth_free(struct bh_auth *a)
{
	if (!a)
		return;
	bh_vec_each (k, &a->kept)
		kept_done(k);
	bh_vec_done(&a->kept);
	free(a);
}
