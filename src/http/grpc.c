#include "http/grpc.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/str.h"

#define PREFIX	    5 /* "compressed" flag, length in network byte order */
#define MAX_HEADERS (64u * 1024)
#define NO_STATUS   (-1)
#define NEVER_S	    (10L * 365 * 86400)

struct bh_grpc {
	CURL *easy;
	char *path;
	bool is_connected; /* was, at least */
};

/* One call while it runs. */
struct call {
	struct bh_grpc *g;
	size_t max, n_headers;
	struct bh_str body;
	int status;
	char sentence[256];
	bool is_grpc, is_too_long, has_no_socket;
};

/* ---- the connection ---- */

static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct call *c = arg;

	(void)purpose;
	c->has_no_socket = c->g->is_connected;
	c->g->is_connected = true;
	return c->has_no_socket ? CURL_SOCKET_BAD
				: socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* ---- what comes back ---- */

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct call *c = arg;

	n *= size;
	if (c->body.n + n > c->max + PREFIX) {
		c->is_too_long = true;
		return 0;
	}
	bh_str_addn(&c->body, data, n);
	return c->body.failed ? 0 : n;
}

static bool has_name(const char *line, size_t n, const char *name, const char **ret, size_t *ret_n)
{
	size_t len = strlen(name);

	if (n < len || strncasecmp(line, name, len))
		return false;
	for (line += len, n -= len; n && *line == ' '; n--)
		line++;
	while (n && (line[n - 1] == '\r' || line[n - 1] == '\n' || line[n - 1] == ' '))
		n--;
	*ret = line;
	*ret_n = n;
	return true;
}

static int hex_of(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
				      : -1;
}

/* grpc-message is percent-encoded UTF-8; here it becomes plain ASCII, for it ends in logs. */
static void take_sentence(struct call *c, const char *text, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n && len + 1 < sizeof(c->sentence); i++) {
		int high = text[i] == '%' && i + 2 < n ? hex_of(text[i + 1]) : -1;
		int low = high >= 0 ? hex_of(text[i + 2]) : -1;
		int byte = low >= 0 ? high << 4 | low : (unsigned char)text[i];

		i += low >= 0 ? 2 : 0;
		c->sentence[len++] = byte >= 0x20 && byte < 0x7f ? (char)byte : '?';
	}
	c->sentence[len] = '\0';
}

static void take_status(struct call *c, const char *text, size_t n)
{
	c->status = n && n < 3 ? 0 : 2; /* UNKNOWN */
	for (size_t i = 0; i < n && n < 3; i++)
		c->status = text[i] >= '0' && text[i] <= '9' ? c->status * 10 + text[i] - '0' : 2;
}

/* The library hands trailers to the same function. */
static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct call *c = arg;
	const char *value;
	size_t len;

	n *= size;
	c->n_headers += n;
	if (c->n_headers > MAX_HEADERS) {
		c->is_too_long = true;
		return 0;
	}
	if (has_name(line, n, "content-type:", &value, &len))
		c->is_grpc = len >= 16 && !strncasecmp(value, "application/grpc", 16);
	else if (has_name(line, n, "grpc-status:", &value, &len))
		take_status(c, value, len);
	else if (has_name(line, n, "grpc-message:", &value, &len))
		take_sentence(c, value, len);
	return n;
}

static int say(const struct call *c, struct bh_err *err)
{
	static const struct {
		int status, code;
	} known[] = {{4, ETIMEDOUT}, {5, ENOENT}, {8, EFBIG}, {12, ENOTSUP}, {14, EAGAIN}};
	int code = EIO;

	for (size_t i = 0; i < BH_ARRAY_SIZE(known); i++)
		code = known[i].status == c->status ? known[i].code : code;
	return bh_fail(err, code, "gRPC status %d: %s", c->status, c->sentence);
}

/* Exactly one message, as it is. */
static int unwrap(struct call *c, unsigned char **ret, size_t *ret_n, struct bh_err *err)
{
	const unsigned char *b = (const unsigned char *)c->body.s;
	size_t n = c->body.n < PREFIX
			   ? 0
			   : (size_t)b[1] << 24 | (size_t)b[2] << 16 | (size_t)b[3] << 8 | b[4];

	if (c->body.n < PREFIX || b[0] || n != c->body.n - PREFIX)
		return bh_fail(err, EPROTO, "the answer is not one whole gRPC message");
	*ret = malloc(n + 1);
	if (!*ret)
		return bh_fail(err, ENOMEM, "gRPC answer");
	memcpy(*ret, b + PREFIX, n);
	*ret_n = n;
	return 0;
}

static int conclude(struct call *c, CURLcode code, unsigned char **ret, size_t *ret_n,
		    struct bh_err *err)
{
	long http = 0;

	if (c->is_too_long)
		return bh_fail(err, EFBIG, "the answer is longer than %zu bytes", c->max);
	if (c->body.failed || code == CURLE_OUT_OF_MEMORY)
		return bh_fail(err, ENOMEM, "gRPC answer");
	if (code == CURLE_OPERATION_TIMEDOUT)
		return bh_fail(err, ETIMEDOUT, "no whole answer in time");
	/* an answer of trailers alone may come with a reset of the stream */
	if (c->status > 0)
		return say(c, err);
	if (code)
		return bh_fail(err, EPIPE, "%s",
			       c->has_no_socket ? "the connection is gone"
						: curl_easy_strerror(code));
	curl_easy_getinfo(c->g->easy, CURLINFO_RESPONSE_CODE, &http);
	if (http != 200 || !c->is_grpc || c->status == NO_STATUS)
		return bh_fail(err, EPROTO, "the answer (HTTP %ld) is not gRPC", http);
	return unwrap(c, ret, ret_n, err);
}

/* ---- a call ---- */

static struct curl_slist *make_headers(uint64_t timeout_ms)
{
	BH_CLEANUP(bh_freep)
	char *timeout = bh_strf("grpc-timeout: %llum", (unsigned long long)timeout_ms);
	const char *lines[] = {"Content-Type: application/grpc", "TE: trailers",
			       "Expect:", timeout};
	struct curl_slist *list = NULL, *longer;

	for (size_t i = 0; i < BH_ARRAY_SIZE(lines); i++) {
		longer = lines[i] ? curl_slist_append(list, lines[i]) : NULL;
		if (!longer) {
			curl_slist_free_all(list);
			return NULL;
		}
		list = longer;
	}
	return list;
}

static char *wrap(const struct bh_grpc_call *call)
{
	char *body = malloc(PREFIX + call->n);

	if (!body)
		return NULL;
	body[0] = 0;
	for (int i = 0; i < 4; i++)
		body[1 + i] = (char)(call->n >> (24 - 8 * i));
	if (call->n)
		memcpy(body + PREFIX, call->message, call->n);
	return body;
}

static void set_options(CURL *e, struct call *c, const struct bh_grpc_call *call)
{
	curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, c->g->path);
	/* libcurl 7.88 puts another HTTP/2 upon the one that a connection has when it is told again
	 * what to begin with */
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION,
			 (long)(c->g->is_connected ? CURL_HTTP_VERSION_2_0
						   : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE));
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "bulkhead");
	curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, NEVER_S);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
	curl_easy_setopt(e, CURLOPT_POST, 1L);
	curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(PREFIX + call->n));
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, c);
}

int bh_grpc_do(struct bh_grpc *g, const struct bh_grpc_call *call, unsigned char **ret,
	       size_t *ret_n, struct bh_err *err)
{
	struct call c = {.g = g, .max = call->max, .status = NO_STATUS};
	BH_CLEANUP(bh_freep) char *url = bh_strf("http://localhost/%s", call->method);
	BH_CLEANUP(bh_freep) char *body = wrap(call);
	struct curl_slist *headers = make_headers(call->timeout_ms);
	CURLcode code = CURLE_OUT_OF_MEMORY;
	int r;

	if (url && body && headers) {
		curl_easy_reset(g->easy);
		set_options(g->easy, &c, call);
		curl_easy_setopt(g->easy, CURLOPT_URL, url);
		curl_easy_setopt(g->easy, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(g->easy, CURLOPT_HTTPHEADER, headers);
		code = curl_easy_perform(g->easy);
	}
	r = conclude(&c, code, ret, ret_n, err);
	curl_slist_free_all(headers);
	bh_str_done(&c.body);
	return r ? bh_note(err, r, "%s", call->method) : 0;
}

int bh_grpc_new(const char *path, struct bh_grpc **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_grpc_freep) struct bh_grpc *g = calloc(1, sizeof(*g));

	if (g && !curl_global_init(CURL_GLOBAL_DEFAULT))
		g->easy = curl_easy_init();
	if (g)
		g->path = strdup(path);
	if (!g || !g->easy || !g->path)
		return bh_fail(err, ENOMEM, "gRPC client");
	*ret = BH_TAKE(g);
	return 0;
}

void bh_grpc_free(struct bh_grpc *g)
{
	if (!g)
		return;
	curl_easy_cleanup(g->easy);
	free(g->path);
	free(g);
}

void bh_grpc_freep(struct bh_grpc **g)
{
	bh_grpc_free(*g);
	*g = NULL;
}
