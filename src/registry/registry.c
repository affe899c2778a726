#include "registry/registry.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/str.h"
#include "http/client.h"
#include "registry/auth.h"
#include "registry/link.h"
#include "registry/mirror.h"
#include "registry/url.h"
#include "verify/bytes.h"

#define MAX_RETRIES  2
#define MAX_WAIT_S   4
#define MIRROR_SHARE 3 /* of the time that is left, a mirror may take so much */
#define MAX_HEADERS  32
#define ACCEPT_MANIFEST                                                                            \
	"Accept: application/vnd.oci.image.manifest.v1+json, "                                     \
	"application/vnd.oci.image.index.v1+json, "                                                \
	"application/vnd.docker.distribution.manifest.v2+json, "                                   \
	"application/vnd.docker.distribution.manifest.list.v2+json"
#define ACCEPT_INDEX "Accept: application/vnd.oci.image.index.v1+json"
#define ACCEPT_ANY   "Accept: */*"

struct bh_registry {
	struct bh_registry_options opt;
	struct bh_http_client *http;
	struct bh_auth *auth;
	unsigned n_requests;
	bool *is_down; /* mirrors that did not answer, by their number */
};

/* One question on its way through redirects, credentials and retries. */
struct exchange {
	struct bh_registry *r;
	const struct bh_registry_get *get;
	struct bh_url home; /* the server that was asked first */
	struct bh_url at;   /* the one being asked now */
	const struct bh_target *target;
	unsigned where; /* the home server's address, for what a redirect may lead to */
	unsigned redirects, retries;
	bool has_authenticated;
};

/* ---- one request ---- */

static bool is_home(const struct exchange *x)
{
	return bh_url_same_server(&x->home, &x->at);
}

/* A redirect or token server must not be nearer to this machine than the registry is. A registry
 * itself may be anywhere but at the addresses of metadata services, unless somebody listed it. */
static unsigned refused(const struct exchange *x)
{
	if (is_home(x))
		return bh_is_insecure(&x->r->opt, x->target->host) ? 0 : BH_HTTP_LINKLOCAL;
	return (BH_HTTP_LOOPBACK | BH_HTTP_LINKLOCAL) & ~x->where;
}

static const char *accept_of(enum bh_registry_kind kind)
{
	static const char *const rows[] = {[BH_REGISTRY_MANIFEST] = ACCEPT_MANIFEST,
					   [BH_REGISTRY_BLOB] = ACCEPT_ANY,
					   [BH_REGISTRY_REFERRERS] = ACCEPT_INDEX};

	return rows[kind];
}

static int spend(struct bh_registry *r, struct bh_err *err)
{
	if (r->n_requests >= BH_REGISTRY_MAX_REQUESTS)
		return bh_fail(err, E2BIG, "more than %d requests", BH_REGISTRY_MAX_REQUESTS);
	r->n_requests++;
	return 0;
}

/* What belongs to the server goes to no other. */
static void add_own(const struct exchange *x, const char **headers, struct bh_http_request *rq)
{
	char *const *own = x->target->headers;
	size_t n = 1;

	for (size_t i = 0; own && own[i] && n < MAX_HEADERS - 1; i++)
		headers[n++] = own[i];
	headers[n] = bh_auth_header(x->r->auth, &x->home, x->target->repository);
	rq->cert_pem = x->target->cert_pem;
	rq->key_pem = x->target->key_pem;
}

static int send_once(struct exchange *x, struct bh_http_reply *ret, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *url = bh_url_text(&x->at);
	const char *headers[MAX_HEADERS + 1] = {accept_of(x->get->kind)};
	struct bh_http_request rq = {
		.url = url,
		.headers = headers,
		.ca_pem = x->target->ca_pem,
		.deadline_ms = x->target->deadline_ms,
		.max_body = x->get->limit,
		.is_plain_allowed = !x->home.is_tls,
		.refuse = refused(x),
	};
	int r = spend(x->r, err);

	if (r)
		return r;
	if (!url)
		return bh_fail(err, ENOMEM, "URL");
	if (is_home(x))
		add_own(x, headers, &rq);
	r = bh_http_client_do(x->r->http, &rq, ret, err);
	if (!r && is_home(x))
		x->where = ret->where;
	return r;
}

/* ---- what to do about an answer ---- */

static int follow(struct exchange *x, const char *location, struct bh_err *err)
{
	struct bh_url next;
	int r;

	if (!location)
		return bh_fail(err, EPROTO, "a redirect to nowhere");
	if (++x->redirects > BH_REGISTRY_MAX_REDIRECTS)
		return bh_fail(err, EPERM, "more than %d redirects", BH_REGISTRY_MAX_REDIRECTS);
	r = bh_url_resolve(&x->at, location, &next, err);
	if (r)
		return r == -EINVAL ? bh_note(err, -EPERM, "redirect") : r;
	if (x->at.is_tls && !next.is_tls) {
		bh_url_done(&next);
		return bh_fail(err, EPERM, "a redirect from https to http");
	}
	bh_url_done(&x->at);
	x->at = next;
	return 0;
}

static int authenticate(struct exchange *x, const char *challenge, struct bh_err *err)
{
	struct bh_auth_question q = {
		.server = &x->home,
		.host = x->target->host,
		.repository = x->target->repository,
		.challenge = challenge,
		.where = x->where,
		.ca_pem = x->target->ca_pem,
		.deadline_ms = x->target->deadline_ms,
	};
	int r;

	if (!is_home(x))
		return bh_fail(err, EACCES, "credentials are asked for behind a redirect");
	if (x->has_authenticated)
		return bh_fail(err, EACCES, "the registry refuses the credentials");
	x->has_authenticated = true;
	r = spend(x->r, err);
	return r ? r : bh_auth_answer(x->r->auth, &q, err);
}

/* 429 and the gateway's troubles pass; how long to wait is the registry's word, within our time. */
static int wait_for(struct exchange *x, const struct bh_http_reply *reply, struct bh_err *err)
{
	uint64_t now = bh_http_now_ms(), left;
	long s = reply->retry_after ? strtol(reply->retry_after, NULL, 10) : 0;
	struct timespec pause;

	if (++x->retries > MAX_RETRIES)
		return bh_fail(err, EIO, "status %ld, again and again", reply->status);
	left = x->target->deadline_ms > now ? x->target->deadline_ms - now : 0;
	if (s < 0 || s > MAX_WAIT_S || (uint64_t)s * 1000 >= left)
		return bh_fail(err, EIO, "status %ld, to be tried again in %ld s", reply->status,
			       s);
	pause = (struct timespec){.tv_sec = s, .tv_nsec = s ? 0 : 100000000};
	nanosleep(&pause, NULL);
	return 0;
}

static bool is_web_page(const struct bh_http_reply *reply)
{
	return reply->type &&
	       (!strcmp(reply->type, "text/html") || !strcmp(reply->type, "application/xhtml+xml"));
}

static int final_status(const struct exchange *x, const struct bh_http_reply *reply,
			struct bh_err *err)
{
	bool is_list = x->get->kind == BH_REGISTRY_REFERRERS;

	if (reply->status == 200 && is_web_page(reply))
		return bh_fail(err, EPROTO, "a web page instead of an answer of a registry");
	if (reply->status == 200)
		return 0;
	/* registries that do not know the interface say so in several ways */
	if (reply->status == 404 || (is_list && (reply->status == 405 || reply->status == 400)))
		return bh_fail(err, ENOENT, "status %ld", reply->status);
	if (reply->status == 403)
		return bh_fail(err, EACCES, "status 403");
	return bh_fail(err, EIO, "status %ld", reply->status);
}

/* 1: ask again; 0: this is the answer; or an error. */
static int judge(struct exchange *x, const struct bh_http_reply *reply, struct bh_err *err)
{
	int r;

	switch (reply->status) {
	case 301:
	case 302:
	case 303:
	case 307:
	case 308:
		r = follow(x, reply->location, err);
		return r ? r : 1;
	case 401:
		r = authenticate(x, reply->authenticate, err);
		return r ? r : 1;
	case 429:
	case 502:
	case 503:
	case 504:
		r = wait_for(x, reply, err);
		return r ? r : 1;
	default:
		return final_status(x, reply, err);
	}
}

/* The next page must be the same server's; a list is not to be assembled from others' answers. */
static char *next_page(const struct exchange *x, const char *link)
{
	BH_CLEANUP(bh_url_done) struct bh_url u = {0};
	BH_CLEANUP(bh_freep) char *target = bh_link_next(link);
	struct bh_err ignored;

	if (!target)
		return NULL;
	if (bh_url_resolve(&x->at, target, &u, &ignored) || !bh_url_same_server(&u, &x->home))
		return strdup("");
	return bh_url_text(&u);
}

static int run(struct exchange *x, struct bh_registry_answer *ret, struct bh_err *err)
{
	struct bh_http_reply reply = {0};
	int r;

	for (;;) {
		r = send_once(x, &reply, err);
		if (r)
			break;
		r = judge(x, &reply, err);
		if (r <= 0)
			break;
		bh_http_reply_done(&reply);
	}
	if (!r) {
		ret->next = NULL;
		if (x->get->kind == BH_REGISTRY_REFERRERS)
			ret->next = next_page(x, reply.link);
		ret->body = BH_TAKE(reply.body);
		ret->len = reply.len;
	}
	bh_http_reply_done(&reply);
	return r;
}

static int ask(struct bh_registry *r, const struct bh_registry_get *get, const struct bh_target *to,
	       struct bh_registry_answer *ret, struct bh_err *err)
{
	struct exchange x = {.r = r, .get = get, .target = to};
	int res = bh_url_parse(to->url, &x.home, err);

	if (!res)
		res = bh_url_parse(to->url, &x.at, err);
	if (!res)
		res = run(&x, ret, err);
	bh_url_done(&x.home);
	bh_url_done(&x.at);
	if (res == -EINVAL) /* the URL, which somebody configured */
		res = -EIO;
	return res ? bh_note(err, res, "%s", to->host) : 0;
}

/* ---- where to ask ---- */

/* A mirror that hangs must leave time for the registry. */
static uint64_t deadline_of_mirror(const struct bh_registry *r)
{
	uint64_t now = bh_http_now_ms(), end = r->opt.deadline_ms;

	return end > now ? now + (end - now) / MIRROR_SHARE : end;
}

/* Bytes by digest are checked here already: another server may have the right ones. */
static bool is_wrong(const struct bh_registry_get *get, const struct bh_registry_answer *a)
{
	return get->kind != BH_REGISTRY_REFERRERS && strchr(get->ref, ':') &&
	       !bh_digest_is_of(get->ref, a->body, a->len);
}

static int ask_mirror(struct bh_registry *r, const struct bh_mirror *m,
		      const struct bh_registry_get *get, struct bh_registry_answer *ret)
{
	BH_CLEANUP(bh_target_done) struct bh_target t = {0};
	struct bh_err ignored;
	int res = bh_target_of_mirror(&r->opt, m, get, &t, &ignored);

	if (res)
		return res;
	t.deadline_ms = deadline_of_mirror(r);
	res = ask(r, get, &t, ret, &ignored);
	if (!res && is_wrong(get, ret)) {
		bh_registry_answer_done(ret);
		res = -EIO;
	}
	ret->from = m;
	return res;
}

/* Whatever a mirror has not or will not say, the registry itself may. */
static bool ask_mirrors(struct bh_registry *r, const struct bh_registry_get *get,
			struct bh_registry_answer *ret)
{
	for (size_t i = 0; i < r->opt.n_mirrors && !get->skips_mirrors; i++) {
		const struct bh_mirror *m = &r->opt.mirrors[i];
		int res;

		if (m->is_server || r->is_down[i] ||
		    !bh_mirror_is_about(m, get->host, get->repository) || !bh_mirror_serves(m, get))
			continue;
		res = ask_mirror(r, m, get, ret);
		if (!res)
			return true;
		r->is_down[i] = res == -ETIMEDOUT || res == -EIO;
	}
	return false;
}

/* Who stands for the registry itself; NULL: it does. A refusal comes alone. */
static const struct bh_mirror *stand_in(const struct bh_registry *r,
					const struct bh_registry_get *get)
{
	for (size_t i = 0; i < r->opt.n_mirrors; i++) {
		const struct bh_mirror *m = &r->opt.mirrors[i];

		if ((m->is_server || m->refusal) &&
		    bh_mirror_is_about(m, get->host, get->repository))
			return m;
	}
	return NULL;
}

static int ask_server(struct bh_registry *r, const struct bh_mirror *server,
		      const struct bh_registry_get *get, struct bh_registry_answer *ret,
		      struct bh_err *err)
{
	BH_CLEANUP(bh_target_done) struct bh_target t = {0};
	int res;

	if (server && !bh_mirror_serves(server, get))
		return bh_fail(err, EIO, "%s: nobody is to be asked for '%s'", get->host, get->ref);
	res = server ? bh_target_of_mirror(&r->opt, server, get, &t, err)
		     : bh_target_of_registry(&r->opt, get, &t, err);
	if (!res)
		res = ask(r, get, &t, ret, err);
	if (!res)
		ret->from = server;
	return res;
}

int bh_registry_get(struct bh_registry *r, const struct bh_registry_get *get,
		    struct bh_registry_answer *ret, struct bh_err *err)
{
	const struct bh_mirror *server = stand_in(r, get);

	if (server && server->refusal)
		return bh_fail(err, server->is_broken ? EIO : EINVAL, "%s", server->refusal);
	return ask_mirrors(r, get, ret) ? 0 : ask_server(r, server, get, ret, err);
}

int bh_registry_next(struct bh_registry *r, const struct bh_registry_get *get,
		     const struct bh_registry_page *page, struct bh_registry_answer *ret,
		     struct bh_err *err)
{
	BH_CLEANUP(bh_target_done) struct bh_target t = {0};
	int res;

	if (!*page->next)
		return bh_fail(err, EPERM, "%s: the next page of a list is another server's",
			       get->host);
	res = bh_target_of_page(page->from, get, page->next, &t, err);
	if (res)
		return res;
	t.deadline_ms = r->opt.deadline_ms;
	res = ask(r, get, &t, ret, err);
	if (!res)
		ret->from = page->from;
	return res;
}

void bh_registry_answer_done(struct bh_registry_answer *a)
{
	free(a->body);
	free(a->next);
	*a = (struct bh_registry_answer){0};
}

unsigned bh_registry_requests(const struct bh_registry *r)
{
	return r->n_requests;
}

int bh_registry_open(const struct bh_registry_options *opt, struct bh_registry **ret,
		     struct bh_err *err)
{
	BH_CLEANUP(bh_registry_closep) struct bh_registry *r = calloc(1, sizeof(*r));
	int res;

	if (!r)
		return bh_fail(err, ENOMEM, "registry client");
	r->opt = *opt;
	r->is_down = calloc(opt->n_mirrors + 1, sizeof(*r->is_down));
	if (!r->is_down)
		return bh_fail(err, ENOMEM, "registry client");
	res = bh_http_client_new(&r->http, err);
	if (!res)
		res = bh_auth_new(r->http, opt->creds, &r->auth, err);
	if (res)
		return res;
	*ret = BH_TAKE(r);
	return 0;
}

void bh_registry_close(struct bh_registry *r)
{
	if (!r)
		return;
	bh_auth_free(r->auth);
	bh_http_client_free(r->http);
	free(r->is_down);
	free(r);
}

void bh_registry_closep(struct bh_registry **r)
{
	bh_registry_close(*r);
	*r = NULL;
}
