/* Who is killed by a number: the process that had it then, and nobody who has it since. And that
 * who is told to be frozen is. */
#include "bh_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/procs.h"
#include "daemon/stopping.h"

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
	assert_int_equal(bh_procs_kill_since(pid, monotonic_ns()), BH_PROCS_KILLED);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_spares_who_came_later(void **state)
{
	uint64_t before_ns = monotonic_ns() - S;
	pid_t pid = start();
	enum bh_procs_end end = bh_procs_kill_since(pid, before_ns);

	(void)state;
	kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(end, BH_PROCS_GONE);
}

static void test_nobody_is_there(void **state)
{
	pid_t pid = start();

	(void)state;
	kill(pid, SIGKILL);
	/* ended, and its parent has not asked yet */
	assert_int_equal(waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
	assert_int_equal(bh_procs_kill_since(pid, monotonic_ns()), BH_PROCS_GONE);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(bh_procs_kill_since(pid, monotonic_ns()), BH_PROCS_GONE);
	assert_int_equal(bh_procs_kill_since(0, monotonic_ns()), BH_PROCS_GONE);
	assert_int_equal(bh_procs_kill_since(1, monotonic_ns()), BH_PROCS_GONE);
}

/* Makes one child after the other, each of which lives a little. */
static void make_children(void)
{
	for (;;) {
		pid_t pid = fork();

		if (pid == 0) {
			usleep(500);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
}

/* In a network namespace of its own, several who make children all the time; its number. */
static pid_t start_makers(struct bh_netns_id *ret)
{
	char path[64], ok = 0;
	struct bh_err err;
	int ready[2], fd;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ok = unshare(CLONE_NEWNET) == 0;
		for (int i = 0; ok && i < 3; i++) {
			if (fork() == 0)
				make_children();
		}
		if (write(ready[1], &ok, 1) == 1 && ok)
			make_children();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &ok, 1), 1);
	close(ready[0]);
	close(ready[1]);
	if (!ok) {
		waitpid(pid, NULL, 0);
		skip(); /* it takes root to make a network namespace */
	}
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	assert_int_equal(bh_netns_open(path, &fd, &err), 0);
	assert_int_equal(bh_netns_id(fd, ret, &err), 0);
	close(fd);
	return pid;
}

/* All steps, one after the other. */
static int stop_all(enum bh_procs_act act, const struct bh_netns_id *ns, uint32_t *ret_n)
{
	struct bh_stopping *s = NULL;
	struct bh_err err = {0};
	uint64_t pause_ms = 0;
	int r = bh_stopping_of_netns(act, ns, &s, &err);

	assert_int_equal(r, 0);
	while (!(r = bh_stopping_step(s, &pause_ms, &err)))
		usleep((useconds_t)pause_ms * 1000);
	*ret_n = bh_stopping_reached(s);
	bh_stopping_free(s);
	if (r < 0)
		print_message("%s\n", err.text);
	return r < 0 ? r : 0;
}

static int count_moving(pid_t pid, void *arg)
{
	char path[64], line[512] = "";
	const char *state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f && fgets(line, sizeof(line), f) && (state = strrchr(line, ')')))
		*(int *)arg += !strchr("TtZX", state[2]);
	if (f)
		fclose(f);
	return 0;
}

static void test_who_is_frozen_stands_still(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		struct bh_netns_id ns;
		pid_t pid = start_makers(&ns);
		uint32_t frozen = 0, killed = 0;
		struct bh_err err;
		int moving = 0;

		assert_int_equal(stop_all(BH_PROCS_FREEZE, &ns, &frozen), 0);
		assert_int_equal(bh_procs_each(&ns, count_moving, &moving, &err), 0);
		assert_int_equal(stop_all(BH_PROCS_KILL, &ns, &killed), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_true(frozen >= 4);
		assert_int_equal(moving, 0);
	}
}

static void *wait_for_ever(void *unused)
{
	(void)unused;
	for (;;)
		pause();
	return NULL;
}

/* In a network namespace of its own; on a word its first thread ends, and another goes on. */
static void lose_first_thread(int sock)
{
	pthread_t thread;
	char byte = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unshare(CLONE_NEWNET) || pthread_create(&thread, NULL, wait_for_ever, NULL) ||
	    write(sock, &byte, 1) != 1 || read(sock, &byte, 1) != 1)
		_exit(1);
	syscall(SYS_exit, 0);
}

static bool has_lost_it(pid_t pid)
{
	char path[64], line[512] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		line[0] = '\0';
	if (f)
		fclose(f);
	return strstr(line, ") Z ");
}

static pid_t start_headless(struct bh_netns_id *ret)
{
	struct bh_err err;
	char path[64], byte;
	int sock[2], fd = -1;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sock), 0);
	pid = fork();
	if (pid == 0)
		lose_first_thread(sock[1]);
	close(sock[1]);
	assert_int_equal(read(sock[0], &byte, 1), 1);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	assert_int_equal(bh_netns_open(path, &fd, &err), 0);
	assert_int_equal(bh_netns_id(fd, ret, &err), 0);
	close(fd);
	assert_int_equal(write(sock[0], &byte, 1), 1);
	for (int i = 0; i < 10000 && !has_lost_it(pid); i++)
		usleep(1000);
	close(sock[0]);
	return pid;
}

/* It looks like a zombie, and is none. */
static void test_who_lost_the_first_thread_is_there(void **state)
{
	struct bh_netns_id ns;
	uint32_t frozen = 0, killed = 0;
	pid_t pid;

	(void)state;
	if (geteuid())
		skip(); /* it takes root to make a network namespace */
	pid = start_headless(&ns);
	assert_int_equal(stop_all(BH_PROCS_FREEZE, &ns, &frozen), 0);
	assert_int_equal(stop_all(BH_PROCS_KILL, &ns, &killed), 0);
	kill(pid, SIGKILL); /* that a failure leaves nothing */
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(frozen, 1);
	assert_int_equal(killed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kills_who_was_there),
		cmocka_unit_test(test_spares_who_came_later),
		cmocka_unit_test(test_nobody_is_there),
		cmocka_unit_test(test_who_is_frozen_stands_still),
		cmocka_unit_test(test_who_lost_the_first_thread_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
