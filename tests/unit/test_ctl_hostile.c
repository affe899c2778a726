/* What clients that are broken, hostile or too many get, and that the server lives through it. */
#include "ctl_fixture.h"

/* ---- bad clients ---- */

static void test_bad_bytes_are_answered(void **state)
{
	char f[256];
	size_t n;

	(void)state;
	expect_refusal("GET / HTTP/1.1\r\n\r\n", 18, "not the control protocol");
	expect_refusal("\x16\x03\x01\x02", 4, "not the control protocol");
	expect_refusal(f, frame_of(f, "{\"verb\":7}"), "'verb': expected a string");
	expect_refusal(f, frame_of(f, "{}"), "'verb' is missing");
	expect_refusal(f, frame_of(f, "{\"verb\":\"echo\",\"args\":[]}"), "expected an object");
	expect_refusal(f, frame_of(f, "{\"verb\":\"echo\""), "control frame");
	expect_refusal(f, frame_of(f, "[1]"), "not an object");
	n = frame_of(f, "{\"verb\":\"echo\"}");
	f[6] = BH_CTL_MORE;
	expect_refusal(f, n, "a client sends no streams");
	memcpy(f, "BKH1\1\0\0\0\1\0\0\1", 12); /* more than root may send */
	expect_refusal(f, 12, "16777217 bytes");
	assert_int_equal(fx.calls, 0);
}

static void test_pipelining_ends_the_connection(void **state)
{
	char f[256];
	size_t n = frame_of(f, "{\"verb\":\"echo\"}");

	(void)state;
	n += frame_of(f + n, "{\"verb\":\"echo\"}");
	expect_refusal(f, n, "before it is answered");
	assert_int_equal(fx.calls, 0);
}

static void test_bytes_during_a_call_end_the_connection(void **state)
{
	BH_CLEANUP(bh_str_done) struct bh_str got = {0};
	BH_CLEANUP(bh_closep) int fd = raw_connect();
	char f[256];

	(void)state;
	raw_send(fd, f, frame_of(f, "{\"verb\":\"hold\"}"));
	pump_until(&fx.calls, 1);
	raw_send(fd, f, frame_of(f, "{\"verb\":\"hold\"}"));
	assert_true(raw_read_to_end(fd, &got, 5000));
	assert_int_equal(got.n, 0);
	assert_int_equal(fx.gone, 1);
	assert_int_equal(fx.calls, 1);
}

static void test_half_frame_times_out(void **state)
{
	BH_CLEANUP(bh_str_done) struct bh_str got = {0};
	BH_CLEANUP(bh_closep) int silent = -1;
	BH_CLEANUP(bh_closep) int half = -1;
	BH_CLEANUP(bh_closep) int idle = -1;
	char f[256];

	(void)state;
	bh_server_set_idle(fx.server, 100);
	silent = raw_connect();
	half = raw_connect();
	idle = raw_connect();
	raw_send(half, f, frame_of(f, "{\"verb\":\"echo\"}") - 3);
	raw_send(idle, f, frame_of(f, "{\"verb\":\"echo\"}"));
	assert_true(raw_read_to_end(half, &got, 5000));
	assert_true(raw_read_to_end(silent, &got, 5000));
	assert_int_equal(got.n, 0);
	/* between two requests a client may rest */
	assert_false(raw_read_to_end(idle, &got, 300));
	assert_int_equal(fx.calls, 1);
}

static void test_answer_nobody_reads_times_out(void **state)
{
	BH_CLEANUP(bh_closep) int fd = -1;
	struct pollfd p;
	char f[256];

	(void)state;
	bh_server_set_idle(fx.server, 100);
	fd = raw_connect();
	raw_send(fd, f, frame_of(f, "{\"verb\":\"big\"}"));
	p = (struct pollfd){.fd = fd, .events = POLLRDHUP};
	for (int i = 0; i < 5000 && !p.revents; i++) {
		pump();
		poll(&p, 1, 1);
	}
	assert_true(p.revents & POLLHUP);
}

static void test_client_leaves(void **state)
{
	int fd = raw_connect();
	char f[256];

	(void)state;
	raw_send(fd, f, frame_of(f, "{\"verb\":\"hold\"}"));
	pump_until(&fx.calls, 1);
	assert_non_null(fx.held);
	close(fd);
	pump_until(&fx.gone, 1);
	fd = raw_connect();
	raw_send(fd, f, frame_of(f, "{\"verb\":\"orphan\"}"));
	pump_until(&fx.calls, 2);
	close(fd);
	pump();
	pump();
	assert_int_equal(bh_request_more(fx.held, json_true()), -EPIPE);
	bh_request_reply(BH_TAKE(fx.held), json_true());
}

static void test_close_with_open_request(void **state)
{
	BH_CLEANUP(bh_closep) int fd = raw_connect();
	char f[256];

	(void)state;
	raw_send(fd, f, frame_of(f, "{\"verb\":\"hold\"}"));
	pump_until(&fx.calls, 1);
	bh_server_close(fx.server);
	fx.server = NULL;
	assert_int_equal(fx.gone, 1);
}

/* every byte string that is no frame, then a good call: the server is still there */
static void test_garbage_flood(void **state)
{
	struct job j;

	(void)state;
	srandom(1);
	for (int i = 0; i < 2000; i++) {
		unsigned char bytes[512];
		size_t n = 1 + (size_t)random() % sizeof(bytes);
		int fd = raw_connect();

		for (size_t k = 0; k < n; k++)
			bytes[k] = (unsigned char)random();
		if (i % 3 == 0)
			memcpy(bytes, "BKH1\1\0\0\0", n < 8 ? n : 8);
		(void)!send(fd, bytes, n, MSG_NOSIGNAL);
		if (i % 7)
			pump();
		close(fd);
	}
	j = run_job(job_echo);
	assert_int_equal(j.r, 0);
	json_decref(j.result);
}

static void test_quick_clients(void **state)
{
	struct job j;

	(void)state;
	for (int i = 0; i < 5000; i++) {
		close(raw_connect());
		if (i % 50 == 49)
			pump();
	}
	pump();
	j = run_job(job_echo);
	assert_int_equal(j.r, 0);
	json_decref(j.result);
}

/* ---- caps ---- */

static void test_cap_per_uid(void **state)
{
	BH_CLEANUP(bh_str_done) struct bh_str got = {0};
	int fds[BH_CTL_MAX_PER_UID], over;
	char f[256];

	(void)state;
	for (unsigned i = 0; i < BH_CTL_MAX_PER_UID; i++)
		fds[i] = raw_connect();
	pump();
	over = raw_connect();
	assert_true(raw_read_to_end(over, &got, 5000));
	close(over);
	bh_str_addn(&got, "", 1);
	assert_non_null(strstr(got.s + 12, "too many connections"));
	assert_non_null(strstr(got.s + 12, "\"retry\":true"));
	/* the others live, and a place that becomes free is given away again */
	raw_send(fds[0], f, frame_of(f, "{\"verb\":\"null\"}"));
	pump_until(&fx.calls, 1);
	close(fds[1]);
	pump();
	fds[1] = raw_connect();
	raw_send(fds[1], f, frame_of(f, "{\"verb\":\"null\"}"));
	pump_until(&fx.calls, 2);
	for (unsigned i = 0; i < BH_CTL_MAX_PER_UID; i++)
		close(fds[i]);
}

static int connect_as(uid_t uid)
{
	int fd;

	assert_int_equal(seteuid(uid), 0);
	fd = raw_connect();
	assert_int_equal(seteuid(0), 0);
	return fd;
}

/* two users who fill every place that is theirs do not lock root out */
static void test_root_always_gets_in(void **state)
{
	int fds[2 * BH_CTL_MAX_PER_UID];
	struct job j;

	(void)state;
	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
	assert_int_equal(chmod(fx.dir, 0755), 0);
	assert_int_equal(chmod(fx.path, 0666), 0);
	for (unsigned i = 0; i < BH_ARRAY_SIZE(fds); i++)
		fds[i] = connect_as(i % 2 ? 65533 : 65534);
	pump();
	pump();
	j = run_job(job_echo);
	assert_int_equal(j.r, 0);
	json_decref(j.result);
	for (unsigned i = 0; i < BH_ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

static void test_no_descriptors_left(void **state)
{
	struct rlimit old, few;
	int fds[64], n = 0;
	struct job j;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &old);
	for (; n < 8; n++)
		fds[n] = raw_connect();
	few = old;
	few.rlim_cur = (rlim_t)fds[n - 1] + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (int i = 0; i < 50; i++)
		pump();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	while (n)
		close(fds[--n]);
	j = run_job(job_echo);
	assert_int_equal(j.r, 0);
	json_decref(j.result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_bad_bytes_are_answered),
		T(test_pipelining_ends_the_connection),
		T(test_bytes_during_a_call_end_the_connection),
		T(test_half_frame_times_out),
		T(test_answer_nobody_reads_times_out),
		T(test_client_leaves),
		T(test_close_with_open_request),
		T(test_garbage_flood),
		T(test_quick_clients),
		T(test_cap_per_uid),
		T(test_root_always_gets_in),
		T(test_no_descriptors_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
