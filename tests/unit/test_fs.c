#include "bh_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"

struct fixture {
	char dir[BH_TEST_DIR];
	char path[BH_TEST_DIR + 64];
};

static struct fixture fx;

static int setup(void **state)
{
	(void)state;
	bh_test_mkdir(fx.dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bh_test_rmdir(fx.dir);
	return 0;
}

/* The path of a name in the test's directory; overwritten by the next call. */
static const char *at(const char *name)
{
	snprintf(fx.path, sizeof(fx.path), "%s/%s", fx.dir, name);
	return fx.path;
}

static void put(const char *name, const char *text)
{
	int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static unsigned count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));)
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	closedir(d);
	return n;
}

/* ---- read ---- */

static void test_read(void **state)
{
	struct bh_err err = {0};
	char *data = NULL;
	size_t len = 99;

	(void)state;
	put("f", "hello");
	bh_assert_ok(&err, bh_fs_read(at("f"), 5, &data, &len, &err));
	assert_int_equal(len, 5);
	assert_string_equal(data, "hello");
	free(data);
	put("f", "");
	bh_assert_ok(&err, bh_fs_read(at("f"), 0, &data, &len, &err));
	assert_int_equal(len, 0);
	assert_string_equal(data, "");
	free(data);
}

static void test_read_limits(void **state)
{
	struct bh_err err;
	char *data = NULL;
	size_t len = 99;

	(void)state;
	put("f", "hello");
	bh_assert_fails(&err, -EFBIG, "is larger than 4 bytes",
			bh_fs_read(at("f"), 4, &data, &len, &err));
	bh_assert_fails(&err, -EFBIG, "is larger than 0 bytes",
			bh_fs_read(at("f"), 0, &data, &len, &err));
	assert_null(data);
	assert_int_equal(len, 99);
}

static void test_read_big_file(void **state)
{
	size_t want = 3 * 16384 + 17, len = 0;
	BH_CLEANUP(bh_freep) char *text = malloc(want);
	struct bh_err err = {0};
	char *data = NULL;

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < want; i++)
		text[i] = (char)(i * 31 % 251);
	bh_assert_ok(&err, bh_fs_replace(at("big"), text, want, 0600, &err));
	bh_assert_ok(&err, bh_fs_read(at("big"), want, &data, &len, &err));
	assert_int_equal(len, want);
	assert_memory_equal(data, text, want);
	assert_int_equal(data[want], '\0');
	free(data);
	bh_assert_fails(&err, -EFBIG, "larger", bh_fs_read(at("big"), want - 1, &data, &len, &err));
}

/* kernel files say size 0 and still have text */
static void test_read_proc(void **state)
{
	struct bh_err err = {0};
	char *data = NULL;
	size_t len = 0;

	(void)state;
	bh_assert_ok(&err, bh_fs_read("/proc/self/status", 65536, &data, &len, &err));
	assert_true(len > 0);
	assert_memory_equal(data, "Name:", 5);
	free(data);
}

static void test_read_refuses_other_kinds(void **state)
{
	struct bh_err err;
	char *data = NULL;
	size_t len;

	(void)state;
	bh_assert_fails(&err, -ENOENT, "No such file",
			bh_fs_read(at("none"), 9, &data, &len, &err));
	bh_assert_fails(&err, -EINVAL, "not a regular file",
			bh_fs_read(fx.dir, 9, &data, &len, &err));
	bh_assert_fails(&err, -EINVAL, "not a regular file",
			bh_fs_read("/dev/zero", 9, &data, &len, &err));
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	bh_assert_fails(&err, -EINVAL, "not a regular file",
			bh_fs_read(at("fifo"), 9, &data, &len, &err));
	assert_null(data);
}

/* ---- replace ---- */

static void test_replace_creates_with_mode(void **state)
{
	struct bh_err err = {0};
	mode_t old = umask(077);
	struct stat st;

	(void)state;
	bh_assert_ok(&err, bh_fs_replace(at("f"), "abc", 3, 0644, &err));
	umask(old);
	assert_int_equal(stat(at("f"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(st.st_size, 3);
	bh_assert_ok(&err, bh_fs_replace(at("f"), NULL, 0, 0600, &err));
	assert_int_equal(stat(at("f"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(count_entries(fx.dir), 1);
}

static void test_replace_in_working_directory(void **state)
{
	struct bh_err err = {0};
	char before[4096];

	(void)state;
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(fx.dir), 0);
	bh_assert_ok(&err, bh_fs_replace("bare", "x", 1, 0600, &err));
	assert_int_equal(chdir(before), 0);
	assert_int_equal(access(at("bare"), F_OK), 0);
}

static void assert_content(const char *name, const char *want)
{
	struct bh_err err = {0};
	char *data = NULL;
	size_t len;

	bh_assert_ok(&err, bh_fs_read(at(name), 1 << 20, &data, &len, &err));
	assert_string_equal(data, want);
	free(data);
}

static void test_failed_replace_changes_nothing(void **state)
{
	struct bh_err err;

	(void)state;
	bh_assert_fails(&err, -ENOENT, "create",
			bh_fs_replace(at("no/such/dir"), "x", 1, 0600, &err));
	assert_int_equal(mkdir(at("d"), 0700), 0);
	put("d/inside", "x");
	bh_assert_fails(&err, -EISDIR, "replace", bh_fs_replace(at("d"), "x", 1, 0600, &err));
	assert_int_equal(count_entries(fx.dir), 1);
}

/* a full disk, played by the file size limit */
static void test_replace_on_full_disk(void **state)
{
	struct rlimit old, small;
	char text[8192];
	struct bh_err err;
	int r;

	(void)state;
	memset(text, 'x', sizeof(text));
	put("f", "old");
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = (struct rlimit){.rlim_cur = 4096, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	r = bh_fs_replace(at("f"), text, sizeof(text), 0600, &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_int_equal(r, -EFBIG);
	assert_content("f", "old");
	assert_int_equal(count_entries(fx.dir), 1);
}

/* Reads the file for ever; exit code 1 as soon as a read sees anything but a whole version. */
static void read_versions(const char *path, int stop_fd)
{
	struct bh_err err;
	char byte;

	while (read(stop_fd, &byte, 1) < 0) {
		BH_CLEANUP(bh_freep) char *data = NULL;
		size_t len;

		if (bh_fs_read(path, 1 << 20, &data, &len, &err))
			_exit(1);
		if (len < 1000 || strspn(data, (char[]){data[0], '\0'}) != len)
			_exit(1);
	}
	_exit(0);
}

static void test_readers_see_whole_versions(void **state)
{
	char text[40000];
	struct bh_err err = {0};
	int fds[2], status;
	pid_t reader;

	(void)state;
	memset(text, 'a', sizeof(text));
	bh_assert_ok(&err, bh_fs_replace(at("f"), text, 1000, 0600, &err));
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	reader = fork();
	assert_true(reader >= 0);
	if (reader == 0) {
		close(fds[1]);
		read_versions(fx.path, fds[0]);
	}
	close(fds[0]);
	for (size_t i = 0; i < 200; i++) {
		memset(text, 'a' + (int)(i % 26), sizeof(text));
		bh_assert_ok(&err,
			     bh_fs_replace(at("f"), text, 1000 + i * 7919 % 39000, 0600, &err));
	}
	close(fds[1]);
	assert_int_equal(waitpid(reader, &status, 0), reader);
	assert_int_equal(status, 0);
	assert_int_equal(count_entries(fx.dir), 1);
}

/* ---- mkdirs ---- */

static void test_mkdirs(void **state)
{
	struct bh_err err = {0};
	struct stat st;

	(void)state;
	bh_assert_ok(&err, bh_fs_mkdirs(at("a/b/c"), 0750, &err));
	assert_int_equal(stat(at("a/b/c"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0750 & ~022);
	bh_assert_ok(&err, bh_fs_mkdirs(at("a/b/c"), 0700, &err));
	assert_int_equal(stat(at("a/b/c"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0750 & ~022);
	bh_assert_ok(&err, bh_fs_mkdirs(at("x//y/"), 0700, &err));
	assert_int_equal(access(at("x/y"), F_OK), 0);
	bh_assert_ok(&err, bh_fs_mkdirs("/", 0700, &err));
	bh_assert_ok(&err, bh_fs_mkdirs(".", 0700, &err));
}

static void test_mkdirs_refuses(void **state)
{
	struct bh_err err;
	char text[5000];

	(void)state;
	put("file", "x");
	bh_assert_fails(&err, -ENOTDIR, "is not a directory", bh_fs_mkdirs(at("file"), 0700, &err));
	bh_assert_fails(&err, -ENOTDIR, "is not a directory",
			bh_fs_mkdirs(at("file/below"), 0700, &err));
	bh_assert_fails(&err, -EINVAL, "empty", bh_fs_mkdirs("", 0700, &err));
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	bh_assert_fails(&err, -ENAMETOOLONG, "aaa", bh_fs_mkdirs(text, 0700, &err));
}

/* ---- walk ---- */

static int gather(const char *path, void *arg)
{
	bh_str_fmt(arg, "%s ", path + strlen(fx.dir) + 1);
	return 0;
}

static int stop_at_second(const char *path, void *arg)
{
	unsigned *n = arg;

	(void)path;
	return ++*n == 2 ? 77 : 0;
}

static void test_walk_order_and_kinds(void **state)
{
	BH_CLEANUP(bh_str_done) struct bh_str seen = {0};
	struct bh_err err = {0};

	(void)state;
	assert_int_equal(mkdir(at("a"), 0700), 0);
	assert_int_equal(mkdir(at("a/deep"), 0700), 0);
	assert_int_equal(mkdir(at(".hidden"), 0700), 0);
	assert_int_equal(mkdir(at("empty"), 0700), 0);
	put("a/z", "");
	put("a/deep/f", "");
	put("a.yaml", "");
	put("a-x", "");
	put("B", "");
	put(".dot", "");
	put(".hidden/f", "");
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	bh_assert_ok(&err, bh_fs_walk(fx.dir, gather, &seen, &err));
	assert_string_equal(bh_str_text(&seen), "B a-x a.yaml a/deep/f a/z ");
}

/* a ConfigMap volume: visible names link through ..data into a dated directory */
static void test_walk_kubernetes_volume(void **state)
{
	BH_CLEANUP(bh_str_done) struct bh_str seen = {0};
	struct bh_err err = {0};

	(void)state;
	assert_int_equal(mkdir(at("..2026_01_01"), 0700), 0);
	put("..2026_01_01/policy.yaml", "");
	assert_int_equal(symlink("..2026_01_01", at("..data")), 0);
	assert_int_equal(symlink("..data/policy.yaml", at("policy.yaml")), 0);
	assert_int_equal(symlink("..data/gone.yaml", at("gone.yaml")), 0);
	bh_assert_ok(&err, bh_fs_walk(fx.dir, gather, &seen, &err));
	assert_string_equal(bh_str_text(&seen), "policy.yaml ");
}

static void test_walk_follows_directory_links_once(void **state)
{
	BH_CLEANUP(bh_str_done) struct bh_str seen = {0};
	struct bh_err err = {0};

	(void)state;
	assert_int_equal(mkdir(at("real"), 0700), 0);
	put("real/f", "");
	assert_int_equal(symlink("real", at("link")), 0);
	bh_assert_ok(&err, bh_fs_walk(fx.dir, gather, &seen, &err));
	assert_string_equal(bh_str_text(&seen), "link/f real/f ");
	assert_int_equal(symlink("..", at("real/up")), 0);
	bh_assert_fails(&err, -ELOOP, "links to a directory above it",
			bh_fs_walk(fx.dir, gather, &seen, &err));
}

static void test_walk_stops_and_fails(void **state)
{
	struct bh_err err;
	unsigned n = 0;

	(void)state;
	put("1", "");
	put("2", "");
	put("3", "");
	assert_int_equal(bh_fs_walk(fx.dir, stop_at_second, &n, &err), 77);
	assert_int_equal(n, 2);
	bh_assert_fails(&err, -ENOENT, "open directory",
			bh_fs_walk(at("none"), gather, NULL, &err));
	bh_assert_fails(&err, -ENOTDIR, "open directory", bh_fs_walk(at("1"), gather, NULL, &err));
}

#define ROW(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(test_read),
		ROW(test_read_limits),
		ROW(test_read_big_file),
		ROW(test_read_proc),
		ROW(test_read_refuses_other_kinds),
		ROW(test_replace_creates_with_mode),
		ROW(test_replace_in_working_directory),
		ROW(test_failed_replace_changes_nothing),
		ROW(test_replace_on_full_disk),
		ROW(test_readers_see_whole_versions),
		ROW(test_mkdirs),
		ROW(test_mkdirs_refuses),
		ROW(test_walk_order_and_kinds),
		ROW(test_walk_kubernetes_volume),
		ROW(test_walk_follows_directory_links_once),
		ROW(test_walk_stops_and_fails),
	};

	umask(022);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
