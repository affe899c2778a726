/* The file behind an exec: the recorded one or none, and nothing that could make us wait. */
#include "bh_test.h"

#include <fcntl.h>
#include <signal.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "daemon/exefile.h"

static struct {
	pid_t pid; /* executes memory that nobody else has */
	struct stat st;
} fx;

static void copy(int from, int to)
{
	char buf[65536];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0)
		assert_int_equal(write(to, buf, (size_t)n), n);
}

static int setup(void **state)
{
	BH_CLEANUP(bh_closep) int mem = memfd_create("test", MFD_CLOEXEC);
	BH_CLEANUP(bh_closep) int from = open("/bin/sleep", O_RDONLY | O_CLOEXEC);
	int p[2];
	char byte;

	(void)state;
	copy(from, mem);
	assert_int_equal(fstat(mem, &fx.st), 0);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	fx.pid = fork();
	if (fx.pid == 0) {
		char *const argv[] = {(char[]){"x"}, (char[]){"100"}, NULL}, *const env[] = {NULL};
		char path[32];

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", mem);
		execve(path, argv, env);
		_exit(1);
	}
	close(p[1]);
	/* closed by the exec */
	assert_int_equal(read(p[0], &byte, 1), 0);
	close(p[0]);
	return 0;
}

static void end(void)
{
	if (fx.pid > 0) {
		kill(fx.pid, SIGKILL);
		waitpid(fx.pid, NULL, 0);
	}
	fx.pid = 0;
}

static int teardown(void **state)
{
	(void)state;
	end();
	return 0;
}

static struct bh_exefile_want want(void)
{
	return (struct bh_exefile_want){.pid = (uint32_t)fx.pid,
					.ino = fx.st.st_ino,
					.dev = fx.st.st_dev,
					.path = "",
					.is_image_of_pid = true,
					.is_memory = true};
}

static void test_memory(void **state)
{
	struct bh_exefile_want w = want();
	struct bh_exefile_id looked, id, again;
	BH_CLEANUP(bh_closep) int fd = -1;
	BH_CLEANUP(bh_closep) int reads = -1;
	struct stat st;
	char magic[4];

	(void)state;
	assert_true(bh_exefile_look(&w, &looked));
	assert_int_equal(bh_exefile_find(&w, &id, &fd), BH_EXEFILE_OK);
	assert_memory_equal(&looked, &id, sizeof(id));
	reads = bh_exefile_reopen(fd);
	assert_int_equal(read(reads, magic, sizeof(magic)), sizeof(magic));
	assert_memory_equal(magic, "\177ELF", sizeof(magic));
	assert_int_equal(fstat(reads, &st), 0);
	assert_int_equal(st.st_ino, fx.st.st_ino);
	assert_int_equal(id.size, fx.st.st_size);
	assert_true(bh_exefile_again(fd, &id, &again));
	assert_memory_equal(&again, &id, sizeof(id));
}

static void test_another_file(void **state)
{
	struct bh_exefile_want w[2] = {want(), want()};
	struct bh_exefile_id id;
	int fd = -1;

	(void)state;
	w[0].ino++;
	w[1].dev++;
	assert_false(bh_exefile_look(&w[0], &id));
	for (int i = 0; i < 2; i++)
		assert_int_equal(bh_exefile_find(&w[i], &id, &fd), BH_EXEFILE_OTHER);
	assert_int_equal(fd, -1);
}

static void test_gone(void **state)
{
	struct bh_exefile_want w = want();
	struct bh_exefile_id id;
	int fd = -1;

	(void)state;
	end();
	assert_false(bh_exefile_look(&w, &id));
	assert_int_equal(bh_exefile_find(&w, &id, &fd), BH_EXEFILE_GONE);
}

/* By its path, since nobody executes it: a file of procfs is nothing that we read. */
static void test_other_file_systems(void **state)
{
	struct bh_exefile_want w = {.helpers = {(uint32_t)getpid(), 0}, .path = "/proc/version"};
	struct bh_exefile_id id;
	int fd = -1;

	(void)state;
	assert_int_equal(bh_exefile_find(&w, &id, &fd), BH_EXEFILE_REMOTE);
	assert_int_equal(fd, -1);
}

/* A name that leads out of the tree, or over a symbolic link, leads nowhere. */
static void test_paths(void **state)
{
	struct bh_exefile_want w = {.helpers = {(uint32_t)getpid(), 0}};
	char dir[BH_TEST_DIR], path[BH_TEST_DIR + 8], link[BH_TEST_DIR + 8];
	struct bh_exefile_id id;
	struct stat st;
	int fd = -1;

	(void)state;
	bh_test_mkdir(dir);
	snprintf(path, sizeof(path), "%s/file", dir);
	snprintf(link, sizeof(link), "%s/link", dir);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(stat(path, &st), 0);
	w.ino = st.st_ino;
	w.dev = st.st_dev;
	w.path = link;
	assert_int_equal(bh_exefile_find(&w, &id, &fd), BH_EXEFILE_OTHER);
	w.path = "relative";
	assert_int_equal(bh_exefile_find(&w, &id, &fd), BH_EXEFILE_GONE);
	w.path = path;
	w.mntns = 1; /* the helper's tree is another one */
	assert_int_equal(bh_exefile_find(&w, &id, &fd), BH_EXEFILE_GONE);
	w.mntns = 0;
	w.ino++;
	assert_int_equal(bh_exefile_find(&w, &id, &fd), BH_EXEFILE_OTHER);
	bh_test_rmdir(dir);
	assert_int_equal(bh_exefile_find(&w, &id, &fd), BH_EXEFILE_GONE);
}

/* The one that executed it has ended and is not yet waited for: it has a user namespace, but no
 * mounts. The way is another's; as it is when nothing is left of the process. */
static void test_ending(void **state)
{
	struct bh_exefile_want w = {.helpers = {(uint32_t)getpid(), 0}};
	char dir[BH_TEST_DIR], path[BH_TEST_DIR + 8];
	BH_CLEANUP(bh_closep) int fd = -1;
	struct bh_exefile_id id;
	struct stat st;
	siginfo_t info;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	bh_test_mkdir(dir);
	snprintf(path, sizeof(path), "%s/file", dir);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(stat(path, &st), 0);
	w.pid = (uint32_t)pid;
	w.ino = st.st_ino;
	w.dev = st.st_dev;
	w.path = path;
	assert_int_equal(bh_exefile_find(&w, &id, &fd), BH_EXEFILE_OK);
	waitpid(pid, NULL, 0);
	bh_closep(&fd);
	assert_int_equal(bh_exefile_find(&w, &id, &fd), BH_EXEFILE_OK);
	bh_test_rmdir(dir);
}

/* fn's result, in a mount namespace of its own; 77: there is none to be had. */
static int in_own_mounts(int (*fn)(const char *dir), const char *dir)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
			_exit(77);
		_exit(fn(dir));
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static enum bh_exefile_why find_with(struct bh_exefile_view *v, const char *path,
				     const struct stat *st)
{
	const struct bh_exefile_want w = {.helpers = {(uint32_t)getpid(), 0},
					  .path = path,
					  .ino = st->st_ino,
					  .dev = st->st_dev,
					  .view = v};
	BH_CLEANUP(bh_closep) int fd = -1;
	struct bh_exefile_id id;

	return bh_exefile_find(&w, &id, &fd);
}

/* What was read is used again, and noticed to be no longer so. */
static int mounts_change(const char *dir)
{
	BH_CLEANUP(bh_exefile_view_done) struct bh_exefile_view v = {0};
	char sub[BH_TEST_DIR + 8], path[BH_TEST_DIR + 16];
	struct stat st;
	FILE *was;

	snprintf(sub, sizeof(sub), "%s/sub", dir);
	snprintf(path, sizeof(path), "%s/file", sub);
	if (mkdir(sub, 0700) || close(open(path, O_CREAT | O_WRONLY, 0600)) || stat(path, &st))
		return 1;
	if (find_with(&v, path, &st) != BH_EXEFILE_OK || !v.list.f)
		return 2;
	was = v.list.f;
	if (find_with(&v, path, &st) != BH_EXEFILE_OK || v.list.f != was)
		return 3;
	/* nothing that we walk over */
	if (mount("none", sub, "proc", 0, NULL) || find_with(&v, path, &st) != BH_EXEFILE_REMOTE)
		return 4;
	return umount(sub) || find_with(&v, path, &st) != BH_EXEFILE_OK ? 5 : 0;
}

static void test_view(void **state)
{
	char dir[BH_TEST_DIR];
	int r;

	(void)state;
	bh_test_mkdir(dir);
	r = in_own_mounts(mounts_change, dir);
	bh_test_rmdir(dir);
	if (r == 77)
		skip();
	assert_int_equal(r, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test(test_other_file_systems),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_ending),
		cmocka_unit_test(test_view),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
