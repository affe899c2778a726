/* Workers that hash files: one that ends before it did anything is not started for each file. It is
 * looked for beside the program, so the program is copied to a place with such a worker. */
#include "bh_test.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/hashers.h"

#define FILES 20
#define COPY  "copy"

/* Ends when it is asked. */
static const char worker[] =
	"#!/bin/sh\n"
	"echo started >> \"${0%/*}/count\"\n"
	"head -c 1 > /dev/null\n"
	"exit 1\n";

extern char **environ;

/* ---- in the copy ---- */

static struct {
	struct bh_loop *loop;
	unsigned n;
} fx;

static void on_hashed(uint64_t ticket, int file, const struct bh_hash_answer *a, void *arg)
{
	(void)ticket;
	(void)file;
	(void)arg;
	fx.n += a->error == EPIPE;
	bh_loop_stop(fx.loop);
}

/* Each file is asked about when the one before was given up. Returns how many were. */
static unsigned ask_for_files(void)
{
	struct bh_hashers *h = NULL;
	struct bh_err err;
	unsigned n = 0;

	if (bh_loop_new(&fx.loop, &err) || bh_hashers_open(fx.loop, on_hashed, NULL, &h, &err))
		return 0;
	for (uint64_t i = 1; i <= FILES; i++) {
		const struct bh_hashers_file f = {.ticket = i, .size = 1};

		if (bh_hashers_ask(h, &f, open("/dev/null", O_RDONLY | O_CLOEXEC)) == -EPIPE)
			n++;
		else if (bh_loop_run(fx.loop, &err))
			break;
	}
	bh_hashers_close(h);
	bh_loop_free(fx.loop);
	return n + fx.n;
}

/* ---- the test ---- */

static void copy_self(const char *to)
{
	BH_CLEANUP(bh_freep) char *self = NULL;
	struct bh_err err;
	size_t n;

	bh_assert_ok(&err, bh_fs_read("/proc/self/exe", 64u << 20, &self, &n, &err));
	bh_assert_ok(&err, bh_fs_replace(to, self, n, 0755, &err));
}

static size_t starts(const char *path)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_err err;
	size_t n = 0, lines = 0;

	bh_assert_ok(&err, bh_fs_read(path, 1u << 16, &text, &n, &err));
	for (size_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	return lines;
}

static time_t now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static void test_useless_worker(void **state)
{
	char dir[BH_TEST_DIR], program[BH_TEST_DIR + 8], path[BH_TEST_DIR + 24], flag[] = COPY;
	char *const argv[] = {program, flag, NULL};
	struct bh_err err;
	int status = -1;
	time_t begin;
	pid_t pid;

	(void)state;
	bh_test_mkdir(dir);
	snprintf(program, sizeof(program), "%s/test", dir);
	copy_self(program);
	snprintf(path, sizeof(path), "%s/bulkhead-worker", dir);
	bh_assert_ok(&err, bh_fs_replace(path, worker, strlen(worker), 0755, &err));
	begin = now_s();
	assert_int_equal(posix_spawn(&pid, program, NULL, NULL, argv, environ), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), FILES);
	snprintf(path, sizeof(path), "%s/count", dir);
	/* one, and one more for each second that the machine took */
	assert_in_range(starts(path), 1, 2 + now_s() - begin);
	bh_test_rmdir(dir);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_useless_worker)};

	if (argc == 2 && !strcmp(argv[1], COPY))
		return (int)ask_for_files();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
