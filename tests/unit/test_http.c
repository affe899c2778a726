#include "bh_test.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http/server.h"

#define HANGS_MS 60000 /* longer than anything takes on the slowest machine */

static struct {
	struct bh_loop *loop;
	struct bh_http_server *server;
	bool is_ready;
	unsigned calls;
	struct bh_str got;
	struct bh_err err;
} fx;

static void metrics(struct bh_str *out, void *arg)
{
	assert_ptr_equal(arg, &fx);
	fx.calls++;
	bh_str_add(out, "# TYPE x gauge\nx 1\n# TYPE y counter\n# HELP y Of x.\ny_total 2\n");
}

static bool is_ready(struct bh_str *why, void *arg)
{
	assert_ptr_equal(arg, &fx);
	if (!fx.is_ready)
		bh_str_add(why, "the manifests cannot be read");
	return fx.is_ready;
}

static const struct bh_http_pages pages = {metrics, is_ready, &fx};

static int setup(void **state)
{
	(void)state;
	memset(&fx, 0, sizeof(fx));
	if (bh_loop_new(&fx.loop, &fx.err))
		return -1;
	return bh_http_server_open(fx.loop, "127.0.0.1:0", &pages, &fx.server, &fx.err);
}

static int teardown(void **state)
{
	(void)state;
	bh_http_server_closep(&fx.server);
	bh_loop_free(fx.loop);
	bh_str_done(&fx.got);
	return 0;
}

static int dial(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
				 .sin_port = htons(bh_http_server_port(fx.server)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Turns the loop until the server has closed, at most ms. */
static bool read_to_end(int fd, int ms)
{
	int64_t end = now_ms() + ms;

	while (now_ms() < end) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		char buf[4096];
		ssize_t n;

		event_base_loop(bh_loop_base(fx.loop), EVLOOP_NONBLOCK);
		poll(&p, 1, 1);
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return true;
		if (n > 0)
			bh_str_addn(&fx.got, buf, (size_t)n);
	}
	return false;
}

static const char *ask(const char *request)
{
	BH_CLEANUP(bh_closep) int fd = dial();

	bh_str_done(&fx.got);
	(void)!send(fd, request, strlen(request), MSG_NOSIGNAL);
	assert_true(read_to_end(fd, HANGS_MS));
	return bh_str_text(&fx.got);
}

static void has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' does not contain '%s'", text, part);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static void test_metrics(void **state)
{
	const char *got =
		ask("GET /metrics HTTP/1.1\r\nHost: x\r\n"
		    "Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n\r\n");

	(void)state;
	has(got, "HTTP/1.1 200 ");
	has(got, "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n");
	has(got,
	    "\r\n\r\n# TYPE x gauge\nx 1\n# TYPE y counter\n# HELP y Of x.\ny_total 2\n"
	    "# EOF\n");
	has(got, "Connection: close\r\n");
	assert_int_equal(fx.calls, 1);
	has(ask(GET("/metrics?x=1")), "x 1\n");
}

/* The older format, for those who do not ask for the newer one. */
static void test_classic(void **state)
{
	const char *got = ask(GET("/metrics"));

	(void)state;
	has(got, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
	has(got,
	    "\r\n\r\n# TYPE x gauge\nx 1\n# TYPE y_total counter\n# HELP y_total Of x.\n"
	    "y_total 2\n");
	assert_null(strstr(got, "EOF"));
}

static void test_head_has_no_body(void **state)
{
	const char *got = ask("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");

	(void)state;
	has(got, "HTTP/1.1 200 ");
	has(got, "Content-Length: 73\r\n");
	assert_string_equal(strstr(got, "\r\n\r\n"), "\r\n\r\n");
}

static void test_health_and_readiness(void **state)
{
	(void)state;
	has(ask(GET("/healthz")), "\r\n\r\nok\n");
	has(ask(GET("/readyz")), "HTTP/1.1 503 ");
	has(bh_str_text(&fx.got), "\r\n\r\nthe manifests cannot be read\n");
	fx.is_ready = true;
	has(ask(GET("/readyz")), "HTTP/1.1 200 ");
}

static void test_nothing_else(void **state)
{
	static const char *const bad[] = {
		"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"PUT /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
		"OPTIONS /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
		"TRACE /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
		"nonsense\r\n\r\n",
	};

	(void)state;
	has(ask(GET("/")), "HTTP/1.1 404 ");
	has(ask(GET("/metrics/")), "HTTP/1.1 404 ");
	has(ask(GET("/../etc/passwd")), "HTTP/1.1 404 ");
	for (size_t i = 0; i < BH_ARRAY_SIZE(bad); i++)
		assert_null(strstr(ask(bad[i]), "HTTP/1.1 200"));
	assert_int_equal(fx.calls, 0);
}

/* Methods that exist, but not here: 405, and which do. */
static void test_other_methods(void **state)
{
	static const char *const methods[] = {"POST",  "PUT",	  "DELETE", "OPTIONS",
					      "TRACE", "CONNECT", "PATCH"};
	static const char *const paths[] = {"/metrics", "/healthz", "/readyz", "/"};
	char request[128];

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(methods); i++) {
		for (size_t k = 0; k < BH_ARRAY_SIZE(paths); k++) {
			/* CONNECT has no path of its own */
			snprintf(request, sizeof(request),
				 "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
				 methods[i],
				 strcmp(methods[i], "CONNECT") ? paths[k] : "x.example:443");
			has(ask(request), "HTTP/1.1 405 ");
			has(bh_str_text(&fx.got), "Allow: GET, HEAD\r\n");
		}
	}
	assert_int_equal(fx.calls, 0);
}

static void test_limits(void **state)
{
	BH_CLEANUP(bh_str_done) struct bh_str request = {0};

	(void)state;
	bh_str_add(&request, "GET /metrics HTTP/1.1\r\nHost: x\r\nX: ");
	for (int i = 0; i < 20000; i++)
		bh_str_add(&request, "x");
	bh_str_add(&request, "\r\n\r\n");
	assert_null(strstr(ask(bh_str_text(&request)), "HTTP/1.1 200"));
	assert_null(
		strstr(ask("GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"),
		       "HTTP/1.1 200"));
	assert_int_equal(fx.calls, 0);
	has(ask(GET("/healthz")), "ok");
}

/* a client that says nothing, or half a request, is let go */
static void test_slow_client(void **state)
{
	BH_CLEANUP(bh_closep) int silent = dial();
	BH_CLEANUP(bh_closep) int half = dial();

	(void)state;
	(void)!send(half, "GET /metr", 9, MSG_NOSIGNAL);
	assert_true(read_to_end(half, HANGS_MS));
	assert_true(read_to_end(silent, HANGS_MS));
	assert_int_equal(fx.calls, 0);
}

/* with few descriptors left the rest of the daemon still gets some */
static void test_descriptors_are_spared(void **state)
{
	struct rlimit old, few;
	int fds[40], n = 0, probe;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &old);
	few = old;
	probe = dup(0);
	/* the server's ends take as many again: more than are left before the reserve */
	few.rlim_cur = (rlim_t)probe + 256 + 50;
	close(probe);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (; n < 40; n++)
		fds[n] = dial();
	for (int i = 0; i < 200; i++)
		event_base_loop(bh_loop_base(fx.loop), EVLOOP_NONBLOCK);
	probe = dup(0);
	assert_true(probe >= 0);
	assert_true((rlim_t)probe + 250 < few.rlim_cur);
	close(probe);
	while (n)
		close(fds[--n]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	/* and it comes back */
	has(ask(GET("/healthz")), "ok");
}

static void test_listen_text(void **state)
{
	static const char *const good[] = {"127.0.0.1:9473", "0.0.0.0:0", "[::1]:65535", "[::]:1"};
	static const char *const bad[] = {"",
					  ":",
					  "9473",
					  ":9473",
					  "localhost:80",
					  "::1:80",
					  "[::1]",
					  "[::1:80",
					  "::1]:80",
					  "[127.0.0.1]:80",
					  "1.2.3.4:",
					  "1.2.3.4:65536",
					  "1.2.3.4:-1",
					  "1.2.3.4:8 ",
					  "1.2.3:80",
					  "[]:80"};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(good); i++)
		bh_assert_ok(&fx.err, bh_http_listen_check(good[i], &fx.err));
	for (size_t i = 0; i < BH_ARRAY_SIZE(bad); i++)
		bh_assert_fails(&fx.err, -EINVAL, "'", bh_http_listen_check(bad[i], &fx.err));
}

static void test_port_in_use(void **state)
{
	struct bh_http_server *second = NULL;
	char listen[32];

	(void)state;
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", bh_http_server_port(fx.server));
	bh_assert_fails(&fx.err, -EADDRINUSE, "listen on",
			bh_http_server_open(fx.loop, listen, &pages, &second, &fx.err));
	assert_null(second);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_metrics),
		T(test_classic),
		T(test_head_has_no_body),
		T(test_health_and_readiness),
		T(test_nothing_else),
		T(test_other_methods),
		T(test_limits),
		T(test_slow_client),
		T(test_descriptors_are_spared),
		T(test_listen_text),
		T(test_port_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
