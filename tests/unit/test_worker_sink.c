/* What a sink's worker makes of receivers' answers. The receiver is a process of the test's own on
 * loopback; what it saw is in memory that both share. */
#include "bh_test.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "worker/sink.h"

#define EVENTS 100

/* An answer to a body, as it goes out; *ret_endless: something goes on after it for ever. */
typedef const char *answer_fn(const char *body, size_t len, bool *ret_endless);

static struct seen {
	unsigned requests, taken; /* events of requests with status 200 */
	bool has[EVENTS + 1];
} * seen;

static struct {
	struct bh_sink_sender *sender;
	pid_t receiver;
	struct bh_err err;
} fx;

/* ---- the receiver ---- */

#define HEAD(status, len)                                                                          \
	"HTTP/1.1 " status "\r\nConnection: close\r\nContent-Length: " len "\r\n\r\n"

static void take_all(const char *body)
{
	for (const char *at = body; (at = strstr(at, "\"number\":")); at++) {
		long n = strtol(at + 9, NULL, 10);

		seen->taken++;
		if (n > 0 && n <= EVENTS)
			seen->has[n] = true;
	}
}

static void write_all(int fd, const char *s, size_t n)
{
	while (n) {
		ssize_t put = send(fd, s, n, MSG_NOSIGNAL);

		if (put <= 0)
			return;
		s += put;
		n -= (size_t)put;
	}
}

static void serve_one(int fd, answer_fn *answer)
{
	static char buf[4 << 20];
	size_t n = 0, want = SIZE_MAX;
	bool is_endless = false;
	const char *body = NULL, *text;

	while (n < want && n < sizeof(buf) - 1) {
		ssize_t got = read(fd, buf + n, sizeof(buf) - 1 - n);

		if (got <= 0)
			return;
		n += (size_t)got;
		buf[n] = '\0';
		body = body ? body : strstr(buf, "\r\n\r\n");
		if (body && want == SIZE_MAX)
			want = (size_t)(body + 4 - buf) +
			       strtoul(strcasestr(buf, "content-length:") + 15, NULL, 10);
	}
	seen->requests++;
	text = answer(body + 4, n - (size_t)(body + 4 - buf), &is_endless);
	if (!strncmp(text, "HTTP/1.1 200", 12))
		take_all(body + 4);
	write_all(fd, text, strlen(text));
	memset(buf, 'x', sizeof(buf));
	for (int i = 0; is_endless && i < 8; i++)
		write_all(fd, buf, sizeof(buf));
}

static void receive(int listening, answer_fn *answer)
{
	for (;;) {
		int fd = accept(listening, NULL, NULL);

		if (fd < 0)
			_exit(0);
		serve_one(fd, answer);
		close(fd);
	}
}

static void begin(const char *type, answer_fn *answer)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(sa);
	BH_CLEANUP(bh_json_decrefp) json_t *first = NULL;
	BH_CLEANUP(bh_freep) char *url = NULL;

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	fx.receiver = fork();
	assert_true(fx.receiver >= 0);
	if (!fx.receiver)
		receive(fd, answer);
	close(fd);
	url = bh_strf("http://127.0.0.1:%u/", ntohs(sa.sin_port));
	first = json_pack("{s:{s:s, s:s, s:b}, s:s, s:s}", "sink", "type", type, "url", url,
			  "insecure", 1, "node", "n", "version", "1");
	bh_assert_ok(&fx.err, bh_sink_sender_new(first, &fx.sender, &fx.err));
}

static int setup(void **state)
{
	(void)state;
	memset(&fx, 0, sizeof(fx));
	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return seen == MAP_FAILED ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	bh_sink_sender_free(fx.sender);
	if (fx.receiver > 0) {
		kill(fx.receiver, SIGKILL);
		waitpid(fx.receiver, NULL, 0);
	}
	munmap(seen, sizeof(*seen));
	return 0;
}

/* ---- the daemon's side ---- */

struct total {
	uint64_t done, refused, asked;
	json_int_t retry; /* of the last answer; 0: it was done */
	char text[512];
};

/* Asks as the daemon does, until all is done or is to be tried again. */
static struct total deliver(void)
{
	struct total t = {0};

	while (t.done < EVENTS && t.asked < 1000) {
		BH_CLEANUP(bh_json_decrefp) json_t *question = NULL;
		BH_CLEANUP(bh_json_decrefp) json_t *answer = NULL;
		json_t *events = json_array();
		const char *text;

		for (uint64_t i = t.done + 1; i <= EVENTS; i++)
			json_array_append_new(events, json_pack("{s:I, s:s, s:{s:I}}", "number",
								(json_int_t)i, "pad",
								i == 37 ? "poison" : "good",
								"chain", "seq", (json_int_t)i));
		question = json_pack("{s:o}", "events", events);
		answer = bh_sink_sender_ask(fx.sender, question, 1795000000);
		t.asked++;
		assert_non_null(answer);
		text = json_string_value(json_object_get(answer, "text"));
		text = text ? text : json_string_value(json_object_get(answer, "error"));
		snprintf(t.text, sizeof(t.text), "%s", text ? text : "");
		t.retry = json_integer_value(json_object_get(answer, "retry"));
		if (!json_object_get(answer, "done"))
			return t;
		t.done += (uint64_t)json_integer_value(json_object_get(answer, "done"));
		t.refused += (uint64_t)json_integer_value(json_object_get(answer, "refused"));
	}
	return t;
}

static const char *ok(const char *body, size_t len, bool *endless)
{
	(void)body, (void)len, (void)endless;
	return HEAD("200 OK", "0");
}

static void test_one_request(void **state)
{
	struct total t;

	(void)state;
	begin("webhook", ok);
	t = deliver();
	assert_int_equal(t.done, EVENTS);
	assert_int_equal(t.refused, 0);
	assert_int_equal(seen->requests, 1);
}

static const char *no_poison(const char *body, size_t len, bool *endless)
{
	(void)len;
	return strstr(body, "poison") ? HEAD("400 Bad Request", "0") : ok(body, len, endless);
}

/* One event that a receiver does not want takes no other one with it. */
static void test_poison(void **state)
{
	static const char *const types[] = {"webhook", "otlp"};

	for (size_t i = 0; i < BH_ARRAY_SIZE(types); i++) {
		struct total t;

		if (i) {
			teardown(state);
			setup(state);
		}
		begin(types[i], no_poison);
		t = deliver();
		assert_int_equal(t.done, EVENTS);
		assert_int_equal(t.refused, 1);
		for (int k = 1; k <= EVENTS && !i; k++)
			assert_int_equal(seen->has[k], k != 37);
		assert_true(seen->requests < 40);
	}
}

static const char *too_large(const char *body, size_t len, bool *endless)
{
	return len > 2000 ? HEAD("413 Content Too Large", "0") : ok(body, len, endless);
}

static void test_too_large(void **state)
{
	struct total t;

	(void)state;
	begin("webhook", too_large);
	t = deliver();
	assert_int_equal(t.done, EVENTS);
	assert_int_equal(t.refused, 0);
	assert_int_equal(seen->taken, EVENTS);
	assert_true(seen->requests < 40);
}

static const char *nothing_at_all(const char *body, size_t len, bool *endless)
{
	(void)body, (void)len, (void)endless;
	return HEAD("413 Content Too Large", "0");
}

/* A receiver that refuses each one gets each one once, and there is an end. */
static void test_nothing_wanted(void **state)
{
	struct total t;

	(void)state;
	begin("webhook", nothing_at_all);
	t = deliver();
	assert_int_equal(t.done, EVENTS);
	assert_int_equal(t.refused, EVENTS);
	assert_true(seen->requests < EVENTS + 10);
}

static const char *endless_body(const char *body, size_t len, bool *endless)
{
	(void)body, (void)len;
	*endless = true;
	return "HTTP/1.1 200 OK\r\n\r\n";
}

/* The status says that they have them; a body without an end takes nothing of that back. */
static void test_endless_body(void **state)
{
	static const char *const types[] = {"webhook", "otlp"};

	for (size_t i = 0; i < BH_ARRAY_SIZE(types); i++) {
		struct total t;

		if (i) {
			teardown(state);
			setup(state);
		}
		begin(types[i], endless_body);
		t = deliver();
		assert_int_equal(t.done, EVENTS);
		assert_int_equal(t.refused, 0);
		assert_int_equal(seen->requests, 1);
	}
}

static const char *status_line;
static const char *as_told(const char *body, size_t len, bool *endless)
{
	(void)body, (void)len, (void)endless;
	return status_line;
}

/* Nothing is thrown away for what somebody can mend. */
static void test_kept(void **state)
{
	static const struct {
		const char *answer;
		json_int_t retry;
		const char *text;
	} rows[] = {
		{"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nConnection: close\r\n"
		 "Content-Length: 0\r\n\r\n",
		 5, "302, and redirects are not followed"},
		{HEAD("404 Not Found", "0"), 5, "404"},
		{HEAD("405 Method Not Allowed", "0"), 5, "405"},
		{HEAD("415 Unsupported Media Type", "0"), 5, "415"},
		{"HTTP/1.1 429 x\r\nRetry-After: 7\r\nConnection: close\r\nContent-Length: "
		 "0\r\n\r\n",
		 7, "429"},
		{"HTTP/1.1 503 x\r\nRetry-After: -9\r\nConnection: close\r\n"
		 "Content-Length: 0\r\n\r\n",
		 5, "503"},
		{"HTTP/1.1 503 x\r\nRetry-After: 99999999999999999999999\r\nConnection: close\r\n"
		 "Content-Length: 0\r\n\r\n",
		 3600, "503"},
		{"HTTP/1.1 503 x\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
		 "Connection: close\r\nContent-Length: 0\r\n\r\n",
		 0, "503"},
		{"nonsense", 5, ""},
		{"HTTP/1.1 200 OK\r\nContent-Le", 5, ""},
		{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", 5, ""},
		{"", 5, ""},
	};

	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct total t;

		if (i) {
			teardown(state);
			setup(state);
		}
		status_line = rows[i].answer;
		begin("otlp", as_told);
		t = deliver();
		if (t.done || t.retry != rows[i].retry || !strstr(t.text, rows[i].text))
			fail_msg("%s: %llu done, again in %lld s: %s", rows[i].answer,
				 (unsigned long long)t.done, (long long)t.retry, t.text);
	}
}

static char partial_answer[2 << 20];
static const char *partial(const char *body, size_t len, bool *endless)
{
	(void)body, (void)len, (void)endless;
	return partial_answer;
}

/* Numbers that cannot be, and sentences without measure. */
static void test_partial(void **state)
{
	static const struct {
		const char *rejected;
		uint64_t refused;
	} rows[] = {
		{"3", 3},    {"\"3\"", 3},     {"-5", 0},    {"\"-5\"", 0},
		{"1e9", 0},  {"1000000", 100}, {"\"x\"", 0}, {"\"3x\"", 0},
		{"null", 0}, {"[]", 0},	       {"\"\"", 0},  {"\"99999999999999999999999\"", 100},
	};
	size_t n;

	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct total t;

		if (i) {
			teardown(state);
			setup(state);
		}
		n = (size_t)sprintf(partial_answer,
				    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
				    "{\"partialSuccess\":{\"rejectedLogRecords\":%s,"
				    "\"errorMessage\":\"a\\u0007\\u001b[31m\xc3\xa4",
				    rows[i].rejected);
		memset(partial_answer + n, 'y', 1 << 20);
		strcpy(partial_answer + n + (1 << 20), "\"}}");
		begin("otlp", partial);
		t = deliver();
		assert_int_equal(t.done, EVENTS);
		if (t.refused != rows[i].refused)
			fail_msg("%s: %llu", rows[i].rejected, (unsigned long long)t.refused);
		assert_ptr_equal(strstr(t.text, "a??[31m??yyy"), t.text);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_request, setup, teardown),
		cmocka_unit_test_setup_teardown(test_poison, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_large, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_wanted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_endless_body, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_partial, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
