#include "bh_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/str.h"

static struct {
	struct bh_loop *loop;
	struct bh_err err;
	struct bh_str trace; /* what happened, in order */
	struct bh_source *source, *other;
	unsigned calls;
} fx;

static int setup(void **state)
{
	(void)state;
	memset(&fx, 0, sizeof(fx));
	return bh_loop_new(&fx.loop, &fx.err);
}

static int teardown(void **state)
{
	(void)state;
	bh_source_freep(&fx.source);
	bh_source_freep(&fx.other);
	bh_loop_free(fx.loop);
	bh_str_done(&fx.trace);
	return 0;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void stop(void *arg)
{
	(void)arg;
	bh_loop_stop(fx.loop);
}

static void note(void *arg)
{
	bh_str_add(&fx.trace, arg);
}

static void run(void)
{
	bh_assert_ok(&fx.err, bh_loop_run(fx.loop, &fx.err));
}

/* A source that stops the loop after ms. The caller frees it. */
static struct bh_source *stop_after(uint64_t ms)
{
	struct bh_source *s = NULL;

	bh_assert_ok(&fx.err, bh_loop_timer(fx.loop, ms, 0, stop, NULL, &s, &fx.err));
	return s;
}

/* ---- timers ---- */

static void note_and_stop(void *arg)
{
	note(arg);
	bh_loop_stop(fx.loop);
}

static void test_timers_fire_in_order(void **state)
{
	struct bh_source *a = NULL, *b = NULL, *c = NULL;
	uint64_t start;

	(void)state;
	do { /* until the machine lets us make all of them within the ms that lie between them */
		bh_source_free(a);
		bh_source_free(b);
		bh_source_free(c);
		start = now_ms();
		bh_assert_ok(&fx.err,
			     bh_loop_timer(fx.loop, 30, 0, note_and_stop, "c", &c, &fx.err));
		bh_assert_ok(&fx.err, bh_loop_timer(fx.loop, 10, 0, note, "a", &a, &fx.err));
		bh_assert_ok(&fx.err, bh_loop_timer(fx.loop, 20, 0, note, "b", &b, &fx.err));
	} while (now_ms() - start >= 9);
	run();
	assert_string_equal(bh_str_text(&fx.trace), "abc");
	assert_true(now_ms() - start >= 29);
	bh_source_free(a);
	bh_source_free(b);
	bh_source_free(c);
}

static void stop_at_fifth(void *arg)
{
	(void)arg;
	if (++fx.calls == 5)
		bh_loop_stop(fx.loop);
}

static void test_periodic_timer(void **state)
{
	uint64_t start = now_ms();

	(void)state;
	bh_assert_ok(&fx.err,
		     bh_loop_timer(fx.loop, 0, 5, stop_at_fifth, NULL, &fx.source, &fx.err));
	run();
	assert_int_equal(fx.calls, 5);
	assert_true(now_ms() - start >= 19);
}

static void test_after_rearms_once(void **state)
{
	struct bh_source *end;

	(void)state;
	bh_assert_ok(&fx.err, bh_loop_timer(fx.loop, 60000, 1, note, "x", &fx.source, &fx.err));
	assert_int_equal(bh_source_after(fx.source, 5), 0);
	end = stop_after(30);
	run();
	assert_string_equal(bh_str_text(&fx.trace), "x"); /* the period is gone */
	bh_source_free(end);
	assert_int_equal(bh_source_after(fx.source, 5), 0);
	end = stop_after(20);
	run();
	assert_string_equal(bh_str_text(&fx.trace), "xx");
	bh_source_free(end);
	assert_int_equal(bh_source_set(fx.source, BH_LOOP_READ), -EINVAL);
}

/* a delay longer than anything is a timer that does not fire now */
static void test_huge_delay(void **state)
{
	struct bh_source *end = stop_after(10);

	(void)state;
	bh_assert_ok(&fx.err,
		     bh_loop_timer(fx.loop, UINT64_MAX, 0, note, "x", &fx.source, &fx.err));
	run();
	assert_string_equal(bh_str_text(&fx.trace), "");
	bh_source_free(end);
}

/* deadlines count from the call, not from when the loop last woke up */
static void busy_then_arm(void *arg)
{
	uint64_t end = now_ms() + 30;

	(void)arg;
	while (now_ms() < end)
		continue;
	fx.calls = (unsigned)now_ms();
	bh_assert_ok(&fx.err, bh_loop_timer(fx.loop, 20, 0, stop, NULL, &fx.other, &fx.err));
}

static void test_deadline_counts_from_the_call(void **state)
{
	(void)state;
	bh_assert_ok(&fx.err,
		     bh_loop_timer(fx.loop, 0, 0, busy_then_arm, NULL, &fx.source, &fx.err));
	run();
	assert_true((unsigned)now_ms() - fx.calls >= 19);
}

static void free_self(void *arg)
{
	bh_str_add(&fx.trace, arg);
	bh_source_freep(&fx.source);
}

static void free_other(void *arg)
{
	bh_str_add(&fx.trace, arg);
	bh_source_freep(&fx.other);
}

static void test_timer_may_free_itself_or_another(void **state)
{
	struct bh_source *end, *killer;

	(void)state;
	bh_assert_ok(&fx.err,
		     bh_loop_timer(fx.loop, 0, 1, free_self, "self ", &fx.source, &fx.err));
	bh_assert_ok(&fx.err, bh_loop_timer(fx.loop, 3, 0, free_other, "kill ", &killer, &fx.err));
	bh_assert_ok(&fx.err, bh_loop_timer(fx.loop, 6, 0, note, "victim ", &fx.other, &fx.err));
	end = stop_after(20); /* the last to be made, so the last to be due */
	run();
	assert_string_equal(bh_str_text(&fx.trace), "self kill ");
	bh_source_free(killer);
	bh_source_free(end);
}

/* ---- run and stop ---- */

static void test_stop_before_run(void **state)
{
	struct bh_source *end;

	(void)state;
	bh_loop_stop(fx.loop);
	run(); /* returns at once */
	end = stop_after(5);
	run(); /* and may be run again */
	bh_source_free(end);
}

static void test_loop_and_sources_in_any_order(void **state)
{
	struct bh_source *t = stop_after(60000), *s = NULL;
	int fd = eventfd(0, EFD_CLOEXEC);

	(void)state;
	bh_assert_ok(&fx.err, bh_loop_fd(fx.loop, fd, BH_LOOP_READ, NULL, NULL, &s, &fx.err));
	bh_loop_free(fx.loop);
	fx.loop = NULL;
	assert_int_equal(bh_source_after(t, 1), -EINVAL);
	assert_int_equal(bh_source_set(s, 0), -EINVAL);
	bh_source_free(t);
	bh_source_free(s);
	bh_source_free(NULL);
	bh_loop_free(NULL);
	close(fd);
}

static void test_base_is_there(void **state)
{
	(void)state;
	assert_non_null(bh_loop_base(fx.loop));
}

/* ---- descriptors ---- */

static void on_fd(int fd, unsigned events, void *arg)
{
	char byte;

	(void)arg;
	if (events & BH_LOOP_READ) {
		if (read(fd, &byte, 1) == 1)
			bh_str_fmt(&fx.trace, "r%c ", byte);
		else
			bh_str_add(&fx.trace, "end ");
	}
	if (events & BH_LOOP_WRITE)
		bh_str_add(&fx.trace, "w ");
	bh_loop_stop(fx.loop);
}

static void test_read_events(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	bh_assert_ok(&fx.err,
		     bh_loop_fd(fx.loop, fds[0], BH_LOOP_READ, on_fd, NULL, &fx.source, &fx.err));
	assert_int_equal(write(fds[1], "ab", 2), 2);
	run();
	run(); /* level triggered: the second byte is announced again */
	close(fds[1]);
	run();
	assert_string_equal(bh_str_text(&fx.trace), "ra rb end ");
	bh_source_freep(&fx.source);
	close(fds[0]);
}

static void test_write_events(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	bh_assert_ok(&fx.err,
		     bh_loop_fd(fx.loop, fds[1], BH_LOOP_WRITE, on_fd, NULL, &fx.source, &fx.err));
	run();
	assert_string_equal(bh_str_text(&fx.trace), "w ");
	bh_source_freep(&fx.source);
	close(fds[0]);
	close(fds[1]);
}

static void test_pause_and_change(void **state)
{
	int fds[2];
	struct bh_source *end;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(write(fds[1], "a", 1), 1);
	bh_assert_ok(&fx.err, bh_loop_fd(fx.loop, fds[0], 0, on_fd, NULL, &fx.source, &fx.err));
	end = stop_after(10);
	run();
	assert_string_equal(bh_str_text(&fx.trace), "");
	assert_int_equal(bh_source_set(fx.source, BH_LOOP_READ), 0);
	run();
	assert_string_equal(bh_str_text(&fx.trace), "ra ");
	assert_int_equal(write(fds[1], "b", 1), 1);
	assert_int_equal(bh_source_set(fx.source, 0), 0);
	assert_int_equal(bh_source_set(fx.source, 0), 0);
	assert_int_equal(bh_source_after(end, 10), 0);
	run();
	assert_string_equal(bh_str_text(&fx.trace), "ra ");
	assert_int_equal(bh_source_after(fx.source, 1), -EINVAL);
	bh_source_freep(&fx.source);
	bh_source_free(end);
	close(fds[0]);
	close(fds[1]);
}

static void free_self_fd(int fd, unsigned events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	fx.calls++;
	bh_source_freep(&fx.source);
}

static void test_fd_source_may_free_itself(void **state)
{
	struct bh_source *end = stop_after(10);
	int fd = eventfd(1, EFD_CLOEXEC);

	(void)state;
	bh_assert_ok(&fx.err, bh_loop_fd(fx.loop, fd, BH_LOOP_READ | BH_LOOP_WRITE, free_self_fd,
					 NULL, &fx.source, &fx.err));
	run();
	assert_int_equal(fx.calls, 1);
	bh_source_free(end);
	close(fd);
}

static void test_unwatchable_descriptors(void **state)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	bh_assert_fails(&fx.err, -EPERM, "watch descriptor",
			bh_loop_fd(fx.loop, fd, BH_LOOP_READ, on_fd, NULL, &fx.source, &fx.err));
	assert_null(fx.source);
	close(fd);
	bh_assert_fails(&fx.err, -EBADF, "watch descriptor",
			bh_loop_fd(fx.loop, fd, BH_LOOP_READ, on_fd, NULL, &fx.source, &fx.err));
	bh_assert_fails(&fx.err, -EBADF, "watch descriptor -1",
			bh_loop_fd(fx.loop, -1, BH_LOOP_READ, on_fd, NULL, &fx.source, &fx.err));
}

/* ---- signals ---- */

static void raise_usr1(void *arg)
{
	(void)arg;
	raise(SIGUSR1);
}

static void test_signal(void **state)
{
	struct bh_source *kick;

	(void)state;
	bh_assert_ok(&fx.err,
		     bh_loop_signal(fx.loop, SIGUSR1, note_and_stop, "usr1 ", &fx.source, &fx.err));
	bh_assert_ok(&fx.err, bh_loop_timer(fx.loop, 0, 0, raise_usr1, NULL, &kick, &fx.err));
	run();
	assert_string_equal(bh_str_text(&fx.trace), "usr1 ");
	assert_int_equal(bh_source_after(kick, 0), 0);
	run();
	assert_string_equal(bh_str_text(&fx.trace), "usr1 usr1 ");
	bh_source_free(kick);
}

static void free_self_and_stop(void *arg)
{
	free_self(arg);
	bh_loop_stop(fx.loop);
}

static void test_signal_source_may_free_itself(void **state)
{
	struct bh_source *kick;

	(void)state;
	bh_assert_ok(&fx.err, bh_loop_signal(fx.loop, SIGUSR1, free_self_and_stop, "once ",
					     &fx.source, &fx.err));
	bh_assert_ok(&fx.err, bh_loop_timer(fx.loop, 0, 0, raise_usr1, NULL, &kick, &fx.err));
	run();
	assert_string_equal(bh_str_text(&fx.trace), "once ");
	assert_null(fx.source);
	bh_source_free(kick);
}

static void reap(void *arg)
{
	int status;
	pid_t pid = waitpid(-1, &status, WNOHANG);

	if (pid != *(pid_t *)arg)
		return;
	fx.calls = (unsigned)WEXITSTATUS(status);
	bh_loop_stop(fx.loop);
}

static void test_child_exit(void **state)
{
	pid_t child;

	(void)state;
	bh_assert_ok(&fx.err, bh_loop_signal(fx.loop, SIGCHLD, reap, &child, &fx.source, &fx.err));
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(7);
	run();
	assert_int_equal(fx.calls, 7);
}

static void test_bad_signal_numbers(void **state)
{
	static const int bad[] = {-1, 0, 65, 1000};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(bad); i++)
		bh_assert_fails(&fx.err, -EINVAL, "watch signal",
				bh_loop_signal(fx.loop, bad[i], note, "", &fx.source, &fx.err));
	assert_null(fx.source);
}

#define ROW(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(test_timers_fire_in_order),
		ROW(test_periodic_timer),
		ROW(test_after_rearms_once),
		ROW(test_huge_delay),
		ROW(test_deadline_counts_from_the_call),
		ROW(test_timer_may_free_itself_or_another),
		ROW(test_stop_before_run),
		ROW(test_loop_and_sources_in_any_order),
		ROW(test_base_is_there),
		ROW(test_read_events),
		ROW(test_write_events),
		ROW(test_pause_and_change),
		ROW(test_fd_source_may_free_itself),
		ROW(test_unwatchable_descriptors),
		ROW(test_signal),
		ROW(test_signal_source_may_free_itself),
		ROW(test_child_exit),
		ROW(test_bad_signal_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
