/* Who is killed by a number: the process that had it then, and nobody who has it since. */
#include "bh_test.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/procs.h"

#define S 1000000000ull

static uint64_t monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * S + (uint64_t)t.tv_nsec;
}

static pid_t start(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	return pid;
}

static void test_kills_who_was_there(void **state)
{
	pid_t pid = start();
	int status = 0;

	(void)state;
	assert_true(bh_procs_kill_since(pid, monotonic_ns()));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_spares_who_came_later(void **state)
{
	uint64_t before_ns = monotonic_ns() - S;
	pid_t pid = start();
	bool is_killed = bh_procs_kill_since(pid, before_ns);

	(void)state;
	kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(is_killed);
}

static void test_nobody_is_there(void **state)
{
	pid_t pid = start();

	(void)state;
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(bh_procs_kill_since(pid, monotonic_ns()));
	assert_false(bh_procs_kill_since(0, monotonic_ns()));
	assert_false(bh_procs_kill_since(1, monotonic_ns()));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kills_who_was_there),
		cmocka_unit_test(test_spares_who_came_later),
		cmocka_unit_test(test_nobody_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
