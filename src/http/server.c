#include "http/server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/ip.h"

#define MAX_HEADERS	8192
#define MAX_BODY	1024
#define CLIENT_S	5
#define SPARE_FDS	256 /* left for everything else the daemon does */
#define PAUSE_MS	1000
#define METRICS_TYPE	"application/openmetrics-text; version=1.0.0; charset=utf-8"
#define CLASSIC_TYPE	"text/plain; version=0.0.4; charset=utf-8"
#define TEXT_TYPE	"text/plain; charset=utf-8"
#define MAX_PORT_DIGITS 5

struct bh_http_server {
	struct evhttp *http;
	struct evhttp_bound_socket *bound;
	struct bh_source *resume;
	struct bh_http_pages pages;
	uint16_t port;
};

/* ---- answers ---- */

static void answer(struct evhttp_request *req, int status, const char *type,
		   const struct bh_str *body)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
	struct evbuffer *buf = evbuffer_new();
	char length[24];

	if (body->failed || !buf) {
		evhttp_send_error(req, HTTP_INTERNAL, NULL);
	} else {
		snprintf(length, sizeof(length), "%zu", body->n);
		evhttp_add_header(headers, "Content-Type", type);
		evhttp_add_header(headers, "Content-Length", length);
		evhttp_add_header(headers, "Cache-Control", "no-store");
		evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
		evhttp_add_header(headers, "Connection", "close");
		if (evhttp_request_get_command(req) != EVHTTP_REQ_HEAD)
			evbuffer_add(buf, bh_str_text(body), body->n);
		evhttp_send_reply(req, status, NULL, buf);
	}
	if (buf)
		evbuffer_free(buf);
}

/* Whether the answer is given: these pages are only read (RFC 9110 section 15.5.6). */
static bool is_refused(struct evhttp_request *req)
{
	BH_CLEANUP(bh_str_done) struct bh_str out = {0};
	enum evhttp_cmd_type method = evhttp_request_get_command(req);

	if (method == EVHTTP_REQ_GET || method == EVHTTP_REQ_HEAD)
		return false;
	evhttp_add_header(evhttp_request_get_output_headers(req), "Allow", "GET, HEAD");
	bh_str_add(&out, "only GET and HEAD\n");
	answer(req, HTTP_BADMETHOD, TEXT_TYPE, &out);
	return true;
}

/* OpenMetrics names a counter's family without "_total", the older text format with it. The TYPE of
 * a family comes before its HELP. */
static void add_classic(struct bh_str *out, const char *text)
{
	char counter[256] = "";

	while (*text) {
		size_t n = strcspn(text, "\n");
		char line[320] = "", word[8] = "", name[256] = "", type[16] = "";

		/* sscanf measures all that it is given, and samples are many */
		if (*text == '#')
			snprintf(line, sizeof(line), "%.*s", (int)n, text);
		sscanf(line, "# %7s %255s %15s", word, name, type);
		if (!strncmp(text, "# TYPE ", 7) && !strcmp(type, "counter"))
			snprintf(counter, sizeof(counter), "%s", name);
		if (text[0] == '#' && name[0] && !strcmp(name, counter)) {
			size_t head = strlen("# TYPE ") + strlen(name);

			bh_str_addn(out, text, head);
			bh_str_add(out, "_total");
			bh_str_addn(out, text + head, n - head);
		} else {
			bh_str_addn(out, text, n);
		}
		bh_str_add(out, "\n");
		text += n + (text[n] == '\n');
	}
}

/* Who does not ask for OpenMetrics gets what every reader of Prometheus's formats understands. */
static void on_metrics(struct evhttp_request *req, void *arg)
{
	const struct bh_http_server *s = arg;
	BH_CLEANUP(bh_str_done) struct bh_str out = {0};
	BH_CLEANUP(bh_str_done) struct bh_str classic = {0};
	const char *accept = evhttp_find_header(evhttp_request_get_input_headers(req), "Accept");

	if (is_refused(req))
		return;
	s->pages.metrics(&out, s->pages.arg);
	if (accept && strstr(accept, "application/openmetrics-text")) {
		bh_str_add(&out, "# EOF\n");
		answer(req, HTTP_OK, METRICS_TYPE, &out);
		return;
	}
	add_classic(&classic, bh_str_text(&out));
	answer(req, HTTP_OK, CLASSIC_TYPE, &classic);
}

static void on_healthz(struct evhttp_request *req, void *arg)
{
	BH_CLEANUP(bh_str_done) struct bh_str out = {0};

	(void)arg;
	if (is_refused(req))
		return;
	bh_str_add(&out, "ok\n");
	answer(req, HTTP_OK, TEXT_TYPE, &out);
}

static void on_readyz(struct evhttp_request *req, void *arg)
{
	const struct bh_http_server *s = arg;
	BH_CLEANUP(bh_str_done) struct bh_str why = {0};
	BH_CLEANUP(bh_str_done) struct bh_str out = {0};
	bool is_ready;

	if (is_refused(req))
		return;
	is_ready = s->pages.is_ready(&why, s->pages.arg);
	bh_str_fmt(&out, "%s\n", is_ready ? "ok" : bh_str_text(&why));
	answer(req, is_ready ? HTTP_OK : HTTP_SERVUNAVAIL, TEXT_TYPE, &out);
}

static void on_other(struct evhttp_request *req, void *arg)
{
	BH_CLEANUP(bh_str_done) struct bh_str out = {0};

	(void)arg;
	if (is_refused(req))
		return;
	bh_str_add(&out, "not found: /metrics, /healthz and /readyz exist\n");
	answer(req, HTTP_NOTFOUND, TEXT_TYPE, &out);
}

/* ---- descriptors ---- */

static void on_resume(void *arg)
{
	struct bh_http_server *s = arg;

	evconnlistener_enable(evhttp_bound_socket_get_listener(s->bound));
}

/* The kernel hands out the lowest free descriptor, so a fresh one tells how many are in use. */
static bool is_short_of_fds(int any_fd)
{
	struct rlimit limit;
	int probe = fcntl(any_fd, F_DUPFD_CLOEXEC, 0);

	if (probe < 0)
		return true;
	close(probe);
	return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
	       (rlim_t)probe + SPARE_FDS > limit.rlim_cur;
}

/* libevent asks for the buffer of every connection it accepts: the place to notice too many. */
static struct bufferevent *on_connection(struct event_base *base, void *arg)
{
	struct bh_http_server *s = arg;

	if (is_short_of_fds(evhttp_bound_socket_get_fd(s->bound))) {
		evconnlistener_disable(evhttp_bound_socket_get_listener(s->bound));
		bh_source_after(s->resume, PAUSE_MS);
	}
	return bufferevent_socket_new(base, -1, 0);
}

/* ---- opening ---- */

static int parse_port(const char *text, uint16_t *ret)
{
	size_t n = strspn(text, "0123456789");
	unsigned long port;

	if (!n || n > MAX_PORT_DIGITS || text[n])
		return -EINVAL;
	port = strtoul(text, NULL, 10);
	if (port > UINT16_MAX)
		return -EINVAL;
	*ret = (uint16_t)port;
	return 0;
}

static int parse_listen(const char *text, char host[BH_IP_TEXT], uint16_t *ret_port,
			struct bh_err *err)
{
	const char *colon = strrchr(text, ':');
	bool is_bracketed = text[0] == '[';
	const char *start = text + is_bracketed, *end = colon;
	char copy[BH_IP_TEXT];
	struct bh_ip ip;
	int r;

	if (colon && is_bracketed)
		end = colon > start && colon[-1] == ']' ? colon - 1 : NULL;
	if (!colon || !end || (size_t)(end - start) >= sizeof(copy) ||
	    parse_port(colon + 1, ret_port))
		return bh_fail(err, EINVAL, "'%s' is not ADDRESS:PORT", text);
	memcpy(copy, start, (size_t)(end - start));
	copy[end - start] = '\0';
	r = bh_ip_parse(copy, &ip, err);
	if (r)
		return bh_note(err, r, "'%s' is not ADDRESS:PORT", text);
	if (bh_ip_is4(&ip) == is_bracketed)
		return bh_fail(err, EINVAL, "'%s': brackets are for IPv6 addresses", text);
	bh_ip_format(&ip, host);
	return 0;
}

int bh_http_listen_check(const char *listen, struct bh_err *err)
{
	char host[BH_IP_TEXT];
	uint16_t port;

	return parse_listen(listen, host, &port, err);
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return 0;
	if (ss.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&ss)->sin6_port);
	return ntohs(((struct sockaddr_in *)&ss)->sin_port);
}

static int set_up(struct bh_http_server *s, struct bh_err *err)
{
	/* what is not allowed here is answered with 501, which says that it is not known */
	evhttp_set_allowed_methods(s->http, UINT16_MAX);
	evhttp_set_max_headers_size(s->http, MAX_HEADERS);
	evhttp_set_max_body_size(s->http, MAX_BODY);
	evhttp_set_timeout(s->http, CLIENT_S);
	evhttp_set_bevcb(s->http, on_connection, s);
	evhttp_set_gencb(s->http, on_other, s);
	if (evhttp_set_cb(s->http, "/metrics", on_metrics, s) ||
	    evhttp_set_cb(s->http, "/healthz", on_healthz, s) ||
	    evhttp_set_cb(s->http, "/readyz", on_readyz, s))
		return bh_fail(err, ENOMEM, "HTTP server");
	return 0;
}

int bh_http_server_open(struct bh_loop *l, const char *listen, const struct bh_http_pages *pages,
			struct bh_http_server **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_http_server_closep) struct bh_http_server *s = calloc(1, sizeof(*s));
	char host[BH_IP_TEXT];
	uint16_t port = 0;
	int r = parse_listen(listen, host, &port, err);

	if (r)
		return r;
	if (!s)
		return bh_fail(err, ENOMEM, "HTTP server");
	s->pages = *pages;
	s->http = evhttp_new(bh_loop_base(l));
	if (!s->http)
		return bh_fail(err, ENOMEM, "HTTP server");
	r = set_up(s, err);
	if (!r)
		r = bh_loop_timer(l, PAUSE_MS, 0, on_resume, s, &s->resume, err);
	if (r)
		return r;
	errno = 0;
	s->bound = evhttp_bind_socket_with_handle(s->http, host, port);
	if (!s->bound)
		return bh_fail_sys(err, errno ? errno : EIO, "listen on '%s'", listen);
	s->port = bound_port(evhttp_bound_socket_get_fd(s->bound));
	*ret = BH_TAKE(s);
	return 0;
}

void bh_http_server_close(struct bh_http_server *s)
{
	if (!s)
		return;
	bh_source_free(s->resume);
	if (s->http)
		evhttp_free(s->http);
	free(s);
}

uint16_t bh_http_server_port(const struct bh_http_server *s)
{
	return s->port;
}
