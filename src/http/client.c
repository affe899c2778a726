#include "http/client.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/ip.h"
#include "base/str.h"

#define MAX_HEADERS (64u * 1024)

#define MAX_SOCKETS 16

struct bh_http_client {
	CURL *easy;
	int sockets[MAX_SOCKETS]; /* open ones of the library's; beyond these, only time is lost */
	size_t n_sockets;
};

/* One request while it runs. */
struct transfer {
	const struct bh_http_request *rq;
	struct bh_http_reply *reply;
	struct bh_http_client *client;
	size_t cap, n_headers;
	bool is_too_long, is_refused, has_no_memory;
	bool is_in_body; /* the head of the last answer came whole */
};

uint64_t bh_http_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- addresses ---- */

/* Metadata services that do not live on link-local addresses: AWS over IPv6, Alibaba. */
static bool is_metadata(const struct bh_ip *ip)
{
	static const struct bh_ip aws6 = {{0xfd, 0, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}};
	const struct bh_ip alibaba = bh_ip_from4(0x646464c8);

	return !bh_ip_cmp(ip, &aws6) || !bh_ip_cmp(ip, &alibaba);
}

static unsigned where_is(const struct bh_ip *ip)
{
	static const struct bh_ip loop6 = {{[15] = 1}}, any6;
	uint32_t v4 = bh_ip_is4(ip) ? bh_ip_to4(ip) : 0;

	if (bh_ip_is4(ip) ? v4 >> 24 == 127 : !bh_ip_cmp(ip, &loop6))
		return BH_HTTP_LOOPBACK;
	if (is_metadata(ip))
		return BH_HTTP_LINKLOCAL;
	if (bh_ip_is4(ip))
		return v4 >> 24 == 0 || v4 >> 16 == 0xa9fe || v4 >> 28 >= 0xe ? BH_HTTP_LINKLOCAL
									      : 0;
	if (!bh_ip_cmp(ip, &any6) || ip->b[0] == 0xff || (ip->b[0] == 0xfe && ip->b[1] >> 6 == 2))
		return BH_HTTP_LINKLOCAL;
	return 0;
}

static bool address_of(const struct sockaddr *sa, struct bh_ip *ret)
{
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		*ret = bh_ip_from4(ntohl(in.sin_addr.s_addr));
		return true;
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		memcpy(ret->b, &in6.sin6_addr, sizeof(ret->b));
		return true;
	}
	return false;
}

/* Names are resolved by then, so no name can lead to an address that its number could not. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct transfer *t = arg;
	struct bh_http_client *c = t->client;
	struct bh_ip ip;
	int fd;

	(void)purpose;
	if (!address_of(&a->addr, &ip) || (where_is(&ip) & t->rq->refuse)) {
		t->is_refused = true;
		return CURL_SOCKET_BAD;
	}
	fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
	if (fd >= 0 && c->n_sockets < MAX_SOCKETS)
		c->sockets[c->n_sockets++] = fd;
	return fd;
}

/* Connections outlive requests, so this belongs to the client. */
static int on_close(void *arg, curl_socket_t fd)
{
	struct bh_http_client *c = arg;

	for (size_t i = 0; i < c->n_sockets; i++) {
		if (c->sockets[i] == fd)
			c->sockets[i--] = c->sockets[--c->n_sockets];
	}
	return close(fd);
}

/* ---- what comes back ---- */

static int reserve(struct transfer *t, size_t want)
{
	size_t cap = t->cap ? t->cap : 16384;
	char *body;

	while (cap < want)
		cap *= 2;
	if (cap == t->cap)
		return 0;
	body = realloc(t->reply->body, cap);
	if (!body)
		return -ENOMEM;
	t->reply->body = body;
	t->cap = cap;
	return 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	n *= size;
	if (n > t->rq->max_body - t->reply->len) {
		t->is_too_long = true;
		return 0;
	}
	if (reserve(t, t->reply->len + n + 1)) {
		t->has_no_memory = true;
		return 0;
	}
	memcpy(t->reply->body + t->reply->len, data, n);
	t->reply->len += n;
	t->reply->body[t->reply->len] = '\0';
	return n;
}

/* A repeated header is joined, as RFC 9110 5.3 says; of the others the first counts. */
static bool keep(char **to, const char *value, size_t n, bool is_joined)
{
	char *text;

	if (*to && !is_joined)
		return true;
	text = *to ? bh_strf("%s, %.*s", *to, (int)n, value) : strndup(value, n);
	if (!text)
		return false;
	free(*to);
	*to = text;
	return true;
}

static void set_type(struct bh_http_reply *r)
{
	char *end = r->type + strcspn(r->type, "; \t");

	*end = '\0';
	for (char *c = r->type; *c; c++)
		*c = (char)tolower((unsigned char)*c);
}

static bool take_header(struct bh_http_reply *r, const char *line, size_t n)
{
	const struct {
		const char *name;
		char **to;
		bool is_joined;
	} rows[] = {{"content-type:", &r->type, false},
		    {"location:", &r->location, false},
		    {"www-authenticate:", &r->authenticate, true},
		    {"link:", &r->link, true},
		    {"retry-after:", &r->retry_after, false}};

	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		size_t len = strlen(rows[i].name);

		if (n < len || strncasecmp(line, rows[i].name, len))
			continue;
		for (line += len, n -= len; n && (*line == ' ' || *line == '\t'); n--)
			line++;
		while (n && isspace((unsigned char)line[n - 1]))
			n--;
		if (!memchr(line, '\0', n) && !keep(rows[i].to, line, n, rows[i].is_joined))
			return false;
		break;
	}
	return true;
}

static void forget_headers(struct bh_http_reply *r)
{
	char **all[] = {&r->type, &r->location, &r->authenticate, &r->link, &r->retry_after};

	for (size_t i = 0; i < BH_ARRAY_SIZE(all); i++)
		bh_freep(all[i]);
}

/* Servers that write head and body apart hold the body back until the head is acknowledged, which a
 * receiver with nothing to send does 40 ms later. */
static int on_progress(void *arg, curl_off_t to_come, curl_off_t came, curl_off_t to_go,
		       curl_off_t gone)
{
	const struct bh_http_client *c = arg;
	int on = 1;

	(void)to_come;
	(void)came;
	(void)to_go;
	(void)gone;
	for (size_t i = 0; i < c->n_sockets; i++)
		setsockopt(c->sockets[i], IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
	return 0;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	n *= size;
	t->n_headers += n;
	if (t->n_headers > MAX_HEADERS) {
		t->is_too_long = true;
		return 0;
	}
	if (n > 5 && !strncmp(line, "HTTP/", 5)) { /* 100 Continue came before */
		forget_headers(t->reply);
		t->is_in_body = false;
	}
	t->is_in_body |= n <= 2; /* the blank line */
	if (!take_header(t->reply, line, n)) {
		t->has_no_memory = true;
		return 0;
	}
	return n;
}

/* ---- one request ---- */

static int header_list(const struct bh_http_request *rq, struct curl_slist **ret,
		       struct bh_err *err)
{
	struct curl_slist *list = NULL, *longer;

	for (size_t i = 0; rq->headers && rq->headers[i]; i++) {
		longer = curl_slist_append(list, rq->headers[i]);
		if (!longer) {
			curl_slist_free_all(list);
			return bh_fail(err, ENOMEM, "HTTP headers");
		}
		list = longer;
	}
	*ret = list;
	return 0;
}

static void free_headers(struct curl_slist *list)
{
	for (struct curl_slist *h = list; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(list);
}

static void set_pem(CURL *e, CURLoption option, const char *pem)
{
	struct curl_blob blob = {.data = (void *)(uintptr_t)pem, .flags = CURL_BLOB_NOCOPY};

	if (!pem)
		return;
	blob.len = strlen(pem);
	curl_easy_setopt(e, option, &blob);
}

static void set_options(CURL *e, struct transfer *t, long timeout_ms)
{
	const struct bh_http_request *rq = t->rq;

	curl_easy_setopt(e, CURLOPT_URL, rq->url);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, rq->is_plain_allowed ? "http,https" : "https");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, timeout_ms);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
	if (!rq->may_cut)
		curl_easy_setopt(e, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)rq->max_body);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
	curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, on_close);
	curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, t->client);
	curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(e, CURLOPT_XFERINFODATA, t->client);
	curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "bulkhead");
	if (rq->form)
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, rq->form);
	set_pem(e, CURLOPT_CAINFO_BLOB, rq->ca_pem);
	set_pem(e, CURLOPT_SSLCERT_BLOB, rq->cert_pem);
	set_pem(e, CURLOPT_SSLKEY_BLOB, rq->key_pem);
}

static int failure(CURLcode code, const struct transfer *t, const char *text, struct bh_err *err)
{
	if (t->has_no_memory || code == CURLE_OUT_OF_MEMORY)
		return bh_fail(err, ENOMEM, "the answer takes more memory than there is");
	if (t->is_refused)
		return bh_fail(err, EPERM,
			       "it leads to a loopback, link-local or metadata address");
	if (t->is_too_long || code == CURLE_FILESIZE_EXCEEDED)
		return bh_fail(err, EFBIG, "the answer is longer than %zu bytes", t->rq->max_body);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return bh_fail(err, ETIMEDOUT, "no whole answer in time");
	if (code == CURLE_UNSUPPORTED_PROTOCOL && strstr(text, "HTTP/0.9"))
		return bh_fail(err, EPROTO, "it does not answer in HTTP");
	if (code == CURLE_UNSUPPORTED_PROTOCOL)
		return bh_fail(err, EPERM, "the scheme is not allowed here");
	return bh_fail(err, EIO, "%s", *text ? text : curl_easy_strerror(code));
}

static unsigned answered_from(CURL *e)
{
	const char *text = NULL;
	struct bh_err ignored;
	struct in6_addr in6;
	struct bh_ip ip;

	if (curl_easy_getinfo(e, CURLINFO_PRIMARY_IP, &text) || !text)
		return 0;
	if (inet_pton(AF_INET6, text, &in6) == 1)
		memcpy(ip.b, &in6, sizeof(ip.b));
	else if (bh_ip_parse(text, &ip, &ignored))
		return 0;
	return where_is(&ip);
}

/* Whether what came is enough although the rest did not. */
static bool is_enough(CURL *e, CURLcode code, const struct transfer *t)
{
	long status = 0;

	if (!t->rq->may_cut || !t->is_in_body || t->has_no_memory ||
	    (code != CURLE_OPERATION_TIMEDOUT && !t->is_too_long))
		return false;
	curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &status);
	return status >= 200 && status < 300;
}

int bh_http_client_do(struct bh_http_client *c, const struct bh_http_request *rq,
		      struct bh_http_reply *ret, struct bh_err *err)
{
	struct bh_http_reply reply = {0};
	struct transfer t = {.rq = rq, .reply = &reply, .client = c};
	uint64_t now = bh_http_now_ms();
	char text[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers = NULL;
	CURLcode code;
	int r;

	if (now >= rq->deadline_ms)
		return bh_fail(err, ETIMEDOUT, "no time is left");
	r = header_list(rq, &headers, err);
	if (r)
		return r;
	curl_easy_reset(c->easy);
	set_options(c->easy, &t, (long)(rq->deadline_ms - now));
	curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, text);
	curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, headers);
	code = curl_easy_perform(c->easy);
	free_headers(headers);
	if (code && is_enough(c->easy, code, &t))
		code = CURLE_OK;
	else if (!code && !t.is_in_body) /* the library takes that for an answer */
		code = CURLE_GOT_NOTHING;
	if (!code && !reply.body && reserve(&t, 1))
		t.has_no_memory = true;
	if (code || t.has_no_memory) {
		r = failure(code, &t, text, err);
		bh_http_reply_done(&reply);
		return r;
	}
	if (!reply.len)
		reply.body[0] = '\0';
	if (reply.type)
		set_type(&reply);
	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &reply.status);
	reply.where = answered_from(c->easy);
	*ret = reply;
	return 0;
}

void bh_http_reply_done(struct bh_http_reply *r)
{
	forget_headers(r);
	bh_freep(&r->body);
	r->len = 0;
}

int bh_http_client_new(struct bh_http_client **ret, struct bh_err *err)
{
	struct bh_http_client *c = calloc(1, sizeof(*c));

	if (c && !curl_global_init(CURL_GLOBAL_DEFAULT))
		c->easy = curl_easy_init();
	if (!c || !c->easy) {
		free(c);
		return bh_fail(err, ENOMEM, "HTTP client");
	}
	*ret = c;
	return 0;
}

void bh_http_client_free(struct bh_http_client *c)
{
	if (!c)
		return;
	curl_easy_cleanup(c->easy);
	free(c);
}

void bh_http_client_freep(struct bh_http_client **c)
{
	bh_http_client_free(*c);
	*c = NULL;
}
