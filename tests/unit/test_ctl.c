#include "ctl_fixture.h"

#include <sched.h>
#include <fcntl.h>

#define MANY 100

/* ---- calls ---- */

static void test_echo_and_caller(void **state)
{
	struct job j = run_job(job_echo);
	json_t *want = json_pack("{s:s, s:i}", "a", "\xc3\xbc", "b", 7);
	char exe[256] = "";

	(void)state;
	assert_int_equal(j.r, 0);
	assert_true(json_equal(j.result, want));
	assert_int_equal(fx.caller.uid, getuid());
	assert_int_equal(fx.caller.gid, getgid());
	assert_int_equal(fx.caller.pid, getpid());
	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	assert_string_equal(fx.caller.exe, exe);
	json_decref(want);
	json_decref(j.result);
}

static void job_many(struct job *j)
{
	BH_CLEANUP(bh_client_closep) struct bh_client *c = NULL;

	j->r = bh_client_open(fx.path, 10000, &c, &j->err);
	for (int i = 0; !j->r && i < MANY; i++) {
		BH_CLEANUP(bh_json_decrefp) json_t *result = NULL;

		j->r = bh_client_call(c, "null", NULL, &result, NULL, &j->err);
		j->count += json_is_null(result);
	}
}

static void test_many_calls_on_one_connection(void **state)
{
	struct job j = run_job(job_many);

	(void)state;
	assert_int_equal(j.r, 0);
	assert_int_equal(j.count, MANY);
	assert_int_equal(fx.calls, MANY);
}

static void job_fail(struct job *j)
{
	call(j, 5000, "fail", json_pack("{s:b}", "retry", 1));
}

static void job_fail_for_good(struct job *j)
{
	call(j, 5000, "fail", NULL);
}

static void test_errors_arrive_whole(void **state)
{
	struct job j = run_job(job_fail);

	(void)state;
	assert_int_equal(j.r, -ENOENT);
	assert_int_equal(j.err.code, -ENOENT);
	assert_string_equal(j.err.text, "there is no pod 'x'");
	assert_true(j.retry);
	j = run_job(job_fail_for_good);
	assert_int_equal(j.r, -ENOENT);
	assert_false(j.retry);
}

static void job_late(struct job *j)
{
	call(j, 5000, "late", NULL);
}

static void test_answer_later(void **state)
{
	struct job j = run_job(job_late);

	(void)state;
	assert_int_equal(j.r, 0);
	assert_string_equal(json_string_value(j.result), "late");
	assert_int_equal(fx.gone, 0);
	json_decref(j.result);
}

static void job_timeout(struct job *j)
{
	BH_CLEANUP(bh_client_closep) struct bh_client *c = NULL;
	json_t *result = NULL;

	j->r = bh_client_open(fx.path, 100, &c, &j->err);
	if (!j->r)
		j->r = bh_client_call(c, "hold", NULL, &result, NULL, &j->err);
	/* the late answer to the first must not be taken for the second's */
	j->r2 = bh_client_call(c, "null", NULL, &result, NULL, &j->err);
}

static void test_client_deadline(void **state)
{
	struct job j = run_job(job_timeout);

	(void)state;
	assert_int_equal(j.r, -ETIMEDOUT);
	assert_int_equal(j.r2, -ECONNRESET);
	pump_until(&fx.gone, 1);
	assert_null(fx.held);
}

static void job_big(struct job *j)
{
	call(j, 20000, "big", NULL);
}

static void test_big_answer(void **state)
{
	struct job j = run_job(job_big);

	(void)state;
	assert_int_equal(j.r, 0);
	assert_int_equal(json_array_size(j.result), 3000);
	json_decref(j.result);
}

static void job_too_long(struct job *j)
{
	size_t max = geteuid() ? BH_CTL_MAX_REQUEST : BH_CTL_MAX_ROOT_REQUEST;
	char *text = calloc(1, max + 1);

	memset(text, 'x', max);
	call(j, 5000, "echo", json_pack("{s:s}", "a", text));
	free(text);
}

static void test_client_refuses_too_long_a_request(void **state)
{
	struct job j = run_job(job_too_long);

	(void)state;
	assert_int_equal(j.r, -EMSGSIZE);
	assert_int_equal(fx.calls, 0);
}

static void test_no_daemon(void **state)
{
	struct bh_client *c = NULL;
	char path[BH_TEST_DIR + 16];

	(void)state;
	snprintf(path, sizeof(path), "%s/none", fx.dir);
	bh_assert_fails(&fx.err, -ENOENT, "no daemon answers at",
			bh_client_open(path, 100, &c, &fx.err));
	bh_server_close(fx.server);
	fx.server = NULL;
	assert_int_not_equal(access(fx.path, F_OK), 0);
	assert_null(c);
}

/* ---- streams ---- */

static int take_result(const json_t *result, void *arg)
{
	struct job *j = arg;

	if (json_is_integer(result))
		j->count += (unsigned)json_integer_value(result);
	if (json_is_string(result))
		j->count++;
	return 0;
}

static int stop_at_two(const json_t *result, void *arg)
{
	struct job *j = arg;

	j->count++;
	return json_integer_value(result) == 2 ? 42 : 0;
}

static void job_count(struct job *j)
{
	BH_CLEANUP(bh_client_closep) struct bh_client *c = NULL;
	json_t *result = NULL;

	j->r = bh_client_open(fx.path, 5000, &c, &j->err);
	if (!j->r)
		j->r = bh_client_stream(c, "count", NULL, take_result, j, &j->err);
	/* after its end the connection takes calls again */
	j->r2 = bh_client_call(c, "null", NULL, &result, NULL, &j->err);
	json_decref(result);
}

static void job_count_break(struct job *j)
{
	BH_CLEANUP(bh_client_closep) struct bh_client *c = NULL;

	j->r = bh_client_open(fx.path, 5000, &c, &j->err);
	if (!j->r)
		j->r = bh_client_stream(c, "count", NULL, stop_at_two, j, &j->err);
}

static void test_stream(void **state)
{
	struct job j = run_job(job_count);

	(void)state;
	assert_int_equal(j.r, 0);
	assert_int_equal(j.r2, 0);
	assert_int_equal(j.count, 0 + 1 + 2 + 3 + 4 + 1);
	j = run_job(job_count_break);
	assert_int_equal(j.r, 42);
	assert_int_equal(j.count, 3);
}

/* Reads on only once the server has had no room, so that it is sure to have been so. */
static int take_when_refused(const json_t *result, void *arg)
{
	while (!__atomic_load_n(&fx.refused, __ATOMIC_ACQUIRE))
		sched_yield();
	return take_result(result, arg);
}

static void job_pour(struct job *j)
{
	BH_CLEANUP(bh_client_closep) struct bh_client *c = NULL;

	j->r = bh_client_open(fx.path, 20000, &c, &j->err);
	if (!j->r)
		j->r = bh_client_stream(c, "pour", NULL, take_when_refused, j, &j->err);
}

/* 20 MB through a 4 MiB buffer: nothing is lost when the handler waits for room */
static void test_stream_with_back_pressure(void **state)
{
	struct job j = run_job(job_pour);

	(void)state;
	assert_int_equal(j.r, 0);
	assert_int_equal(j.count, 20000);
	assert_true(fx.refused > 0);
	assert_int_equal(fx.gone, 0);
}

static void test_slow_stream_reader_is_bounded(void **state)
{
	BH_CLEANUP(bh_closep) int fd = raw_connect();
	char bytes[256];

	(void)state;
	bh_server_set_idle(fx.server, 50);
	raw_send(fd, bytes, frame_of(bytes, "{\"verb\":\"pour\"}"));
	pump_until(&fx.refused, 1);
	assert_true(fx.sent < 6000);
	/* it may read as slowly as it likes */
	for (int i = 0; i < 100; i++) {
		pump();
		poll(NULL, 0, 2);
	}
	assert_int_equal(fx.gone, 0);
	close(BH_TAKE_FD(fd));
	pump_until(&fx.gone, 1);
}

/* ---- the socket file ---- */

static void test_modes(void **state)
{
	struct bh_server *s = NULL;
	char path[BH_TEST_DIR + 16];
	struct stat st;
	mode_t old = umask(0);

	(void)state;
	assert_int_equal(stat(fx.path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0600);
	snprintf(path, sizeof(path), "%s/group", fx.dir);
	bh_assert_ok(&fx.err, bh_server_open(fx.loop, path, getegid(), handle, &fx, &s, &fx.err));
	umask(old);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0660);
	assert_int_equal(st.st_gid, getegid());
	bh_server_close(s);
}

static void test_stale_and_live_socket(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct bh_server *s = NULL;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	bh_assert_fails(&fx.err, -EADDRINUSE, "another process listens",
			bh_server_open(fx.loop, fx.path, (gid_t)-1, handle, &fx, &s, &fx.err));
	assert_int_equal(access(fx.path, F_OK), 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/stale", fx.dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(fd);
	bh_assert_ok(&fx.err,
		     bh_server_open(fx.loop, sa.sun_path, (gid_t)-1, handle, &fx, &s, &fx.err));
	/* a successor's socket is not removed */
	assert_int_equal(unlink(sa.sun_path), 0);
	fd = creat(sa.sun_path, 0600);
	close(fd);
	bh_server_close(s);
	assert_int_equal(access(sa.sun_path, F_OK), 0);
	bh_assert_fails(&fx.err, -EEXIST, "is no socket",
			bh_server_open(fx.loop, sa.sun_path, (gid_t)-1, handle, &fx, &s, &fx.err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_echo_and_caller),
		T(test_many_calls_on_one_connection),
		T(test_errors_arrive_whole),
		T(test_answer_later),
		T(test_client_deadline),
		T(test_big_answer),
		T(test_client_refuses_too_long_a_request),
		T(test_no_daemon),
		T(test_stream),
		T(test_stream_with_back_pressure),
		T(test_slow_stream_reader_is_bounded),
		T(test_modes),
		T(test_stale_and_live_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
