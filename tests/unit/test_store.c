#include "bh_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "store/store.h"

static struct {
	char dir[BH_TEST_DIR];
	char path[BH_TEST_DIR + 32];
	struct bh_store *s;
	struct bh_str seen;
	bool was_damaged;
	struct bh_err err;
} fx;

static int setup(void **state)
{
	(void)state;
	memset(&fx, 0, sizeof(fx));
	bh_test_mkdir(fx.dir);
	snprintf(fx.path, sizeof(fx.path), "%s/bulkhead.db", fx.dir);
	return bh_store_open(fx.dir, &fx.s, &fx.was_damaged, &fx.err);
}

static int teardown(void **state)
{
	(void)state;
	bh_store_closep(&fx.s);
	bh_str_done(&fx.seen);
	bh_test_rmdir(fx.dir);
	return 0;
}

static void reopen(void)
{
	bh_store_closep(&fx.s);
	bh_assert_ok(&fx.err, bh_store_open(fx.dir, &fx.s, &fx.was_damaged, &fx.err));
}

static void put(const char *table, const char *key, const char *json)
{
	bh_assert_ok(&fx.err, bh_store_put(fx.s, table, key, json, &fx.err));
}

static int see(const char *key, const char *json, void *arg)
{
	(void)arg;
	bh_str_fmt(&fx.seen, "%s=%s;", key, json);
	return 0;
}

static void expect(const char *table, const char *want)
{
	bh_str_done(&fx.seen);
	bh_assert_ok(&fx.err, bh_store_each(fx.s, table, see, NULL, &fx.err));
	assert_string_equal(bh_str_text(&fx.seen), want);
}

/* ---- rows ---- */

static void test_put_replace_delete(void **state)
{
	(void)state;
	assert_false(fx.was_damaged);
	put("endpoint", "b", "{\"n\":2}");
	put("endpoint", "a", "{\"n\":1}");
	put("edge", "a", "[]");
	expect("endpoint", "a={\"n\":1};b={\"n\":2};");
	put("endpoint", "a", "{\"n\":3}");
	expect("endpoint", "a={\"n\":3};b={\"n\":2};");
	bh_assert_ok(&fx.err, bh_store_del(fx.s, "endpoint", "b", &fx.err));
	bh_assert_ok(&fx.err, bh_store_del(fx.s, "endpoint", "none", &fx.err));
	expect("endpoint", "a={\"n\":3};");
	expect("edge", "a=[];");
}

static void expect_row(const char *table, const char *key, const char *want)
{
	char *json = NULL;

	bh_assert_ok(&fx.err, bh_store_get(fx.s, table, key, &json, &fx.err));
	assert_true(bh_streq(json, want));
	free(json);
}

static void test_get(void **state)
{
	char *json = NULL;

	(void)state;
	put("object", "a'\"%", "{\"n\":1}");
	expect_row("object", "a'\"%", "{\"n\":1}");
	expect_row("object", "a", NULL);
	expect_row("endpoint", "a'\"%", NULL);
	bh_assert_ok(&fx.err, bh_store_begin(fx.s, &fx.err));
	put("object", "b", "2");
	expect_row("object", "b", "2");
	bh_store_rollback(fx.s);
	expect_row("object", "b", NULL);
	bh_assert_fails(&fx.err, -EINVAL, "pods", bh_store_get(fx.s, "pods", "a", &json, &fx.err));
}

static void test_every_table_survives(void **state)
{
	static const char *const names[] = {"endpoint", "quarantine", "object",
					    "edge",	"meta",	      "cursor"};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(names); i++)
		put(names[i], "k'\"; DROP", "\"\xc3\xbc\"");
	reopen();
	assert_false(fx.was_damaged);
	for (size_t i = 0; i < BH_ARRAY_SIZE(names); i++)
		expect(names[i], "k'\"; DROP=\"\xc3\xbc\";");
}

static void test_unknown_table(void **state)
{
	(void)state;
	bh_assert_fails(&fx.err, -EINVAL, "no table 'pods'",
			bh_store_put(fx.s, "pods", "a", "1", &fx.err));
	bh_assert_fails(&fx.err, -EINVAL, "no table 'edge\"'",
			bh_store_del(fx.s, "edge\"", "a", &fx.err));
	bh_assert_fails(&fx.err, -EINVAL, "no table ''",
			bh_store_each(fx.s, "", see, NULL, &fx.err));
}

static int stop_at_b(const char *key, const char *json, void *arg)
{
	(void)json;
	++*(int *)arg;
	return strcmp(key, "b") ? 0 : 17;
}

static int delete_each(const char *key, const char *json, void *arg)
{
	(void)json;
	(void)arg;
	expect("meta", "x=1;");
	return bh_store_del(fx.s, "edge", key, &fx.err);
}

static void test_each_stops_and_nests(void **state)
{
	int n = 0;

	(void)state;
	put("edge", "a", "1");
	put("edge", "b", "1");
	put("edge", "c", "1");
	put("meta", "x", "1");
	assert_int_equal(bh_store_each(fx.s, "edge", stop_at_b, &n, &fx.err), 17);
	assert_int_equal(n, 2);
	bh_assert_ok(&fx.err, bh_store_each(fx.s, "edge", delete_each, NULL, &fx.err));
	expect("edge", "");
}

/* ---- batches ---- */

static void test_batch(void **state)
{
	(void)state;
	bh_assert_ok(&fx.err, bh_store_begin(fx.s, &fx.err));
	bh_assert_fails(&fx.err, -EBUSY, "open already", bh_store_begin(fx.s, &fx.err));
	for (int i = 0; i < 1000; i++) {
		char key[16];

		snprintf(key, sizeof(key), "%04d", i);
		put("edge", key, "{}");
	}
	put("quarantine", "shop/web", "{}");
	bh_assert_ok(&fx.err, bh_store_commit(fx.s, &fx.err));
	bh_assert_fails(&fx.err, -EINVAL, "no batch", bh_store_commit(fx.s, &fx.err));
	reopen();
	expect("quarantine", "shop/web={};");
}

static void test_rollback(void **state)
{
	(void)state;
	put("edge", "kept", "1");
	bh_assert_ok(&fx.err, bh_store_begin(fx.s, &fx.err));
	put("edge", "lost", "1");
	bh_store_rollback(fx.s);
	bh_store_rollback(fx.s);
	expect("edge", "kept=1;");
	bh_assert_ok(&fx.err, bh_store_begin(fx.s, &fx.err));
	bh_assert_ok(&fx.err, bh_store_commit(fx.s, &fx.err));
}

/* ---- the file ---- */

static void test_mode_and_single_user(void **state)
{
	struct bh_store *second = NULL;
	char wal[BH_TEST_DIR + 40];
	bool was_damaged = false;
	struct stat st;

	(void)state;
	put("meta", "a", "1");
	assert_int_equal(stat(fx.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	snprintf(wal, sizeof(wal), "%s-wal", fx.path);
	assert_int_equal(stat(wal, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	bh_assert_fails(&fx.err, -EBUSY, "another daemon uses it",
			bh_store_open(fx.dir, &second, &was_damaged, &fx.err));
	expect("meta", "a=1;");
}

static void test_killed_writer(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	bh_store_closep(&fx.s);
	pid = fork();
	if (pid == 0) {
		struct bh_store *s = NULL;
		struct bh_err err;
		bool was_damaged;

		if (bh_store_open(fx.dir, &s, &was_damaged, &err) ||
		    bh_store_put(s, "quarantine", "a", "1", &err) ||
		    bh_store_put(s, "endpoint", "b", "2", &err) || bh_store_begin(s, &err) ||
		    bh_store_put(s, "endpoint", "c", "3", &err))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	reopen();
	assert_false(fx.was_damaged);
	expect("quarantine", "a=1;");
	expect("endpoint", "b=2;");
}

/* what a quarantine write promises: it is in the database proper, not only in the log */
static void test_quarantine_reaches_the_database(void **state)
{
	char copy[BH_TEST_DIR + 32], *data = NULL;
	size_t len = 0;

	(void)state;
	put("quarantine", "shop/web", "{\"by\":\"me\"}");
	bh_assert_ok(&fx.err, bh_fs_read(fx.path, 1 << 24, &data, &len, &fx.err));
	bh_store_closep(&fx.s);
	snprintf(copy, sizeof(copy), "%s/copy", fx.dir);
	assert_int_equal(mkdir(copy, 0700), 0);
	strcat(copy, "/bulkhead.db");
	bh_assert_ok(&fx.err, bh_fs_replace(copy, data, len, 0600, &fx.err));
	free(data);
	*strrchr(copy, '/') = '\0';
	bh_assert_ok(&fx.err, bh_store_open(copy, &fx.s, &fx.was_damaged, &fx.err));
	expect("quarantine", "shop/web={\"by\":\"me\"};");
}

static void overwrite(off_t at, size_t n)
{
	int fd = open(fx.path, O_WRONLY);

	assert_true(fd >= 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(pwrite(fd, "\xa5", 1, at + (off_t)i), 1);
	close(fd);
}

static void test_damaged_file_is_moved_aside(void **state)
{
	char moved[BH_TEST_DIR + 64];

	(void)state;
	for (int i = 1; i <= 2; i++) {
		put("endpoint", "a", "1");
		bh_store_closep(&fx.s);
		overwrite(0, 100);
		bh_assert_ok(&fx.err, bh_store_open(fx.dir, &fx.s, &fx.was_damaged, &fx.err));
		assert_true(fx.was_damaged);
		expect("endpoint", "");
		snprintf(moved, sizeof(moved), "%s.damaged-%d", fx.path, i);
		assert_int_equal(access(moved, F_OK), 0);
	}
}

/* a page of `edge` is lost; the quarantines on other pages must not be */
static void test_quarantines_are_rescued(void **state)
{
	struct stat st;
	char key[16];

	(void)state;
	put("quarantine", "shop/web", "{\"x\":1}");
	bh_assert_ok(&fx.err, bh_store_begin(fx.s, &fx.err));
	for (int i = 0; i < 5000; i++) {
		snprintf(key, sizeof(key), "%05d", i);
		put("edge", key, "{\"some\":\"text that fills pages\"}");
	}
	bh_assert_ok(&fx.err, bh_store_commit(fx.s, &fx.err));
	bh_store_closep(&fx.s);
	assert_int_equal(stat(fx.path, &st), 0);
	overwrite(st.st_size - 8192, 8192);
	bh_assert_ok(&fx.err, bh_store_open(fx.dir, &fx.s, &fx.was_damaged, &fx.err));
	assert_true(fx.was_damaged);
	expect("quarantine", "shop/web={\"x\":1};");
	expect("edge", "");
}

static void test_garbage_and_truncated_files(void **state)
{
	(void)state;
	put("endpoint", "a", "1");
	bh_store_closep(&fx.s);
	assert_int_equal(truncate(fx.path, 5000), 0);
	bh_assert_ok(&fx.err, bh_store_open(fx.dir, &fx.s, &fx.was_damaged, &fx.err));
	assert_true(fx.was_damaged);
	bh_store_closep(&fx.s);
	bh_assert_ok(&fx.err, bh_fs_replace(fx.path, "hello\n", 6, 0644, &fx.err));
	bh_assert_ok(&fx.err, bh_store_open(fx.dir, &fx.s, &fx.was_damaged, &fx.err));
	assert_true(fx.was_damaged);
	put("endpoint", "a", "1");
	/* an empty file is a new one */
	bh_store_closep(&fx.s);
	assert_int_equal(truncate(fx.path, 0), 0);
	bh_assert_ok(&fx.err, bh_store_open(fx.dir, &fx.s, &fx.was_damaged, &fx.err));
	assert_false(fx.was_damaged);
	expect("endpoint", "");
}

static void test_newer_schema_is_left_alone(void **state)
{
	int fd;

	(void)state;
	bh_store_closep(&fx.s);
	/* user_version: big-endian, at offset 60 of the header (sqlite.org/fileformat2.html) */
	fd = open(fx.path, O_WRONLY);
	assert_int_equal(pwrite(fd, "\0\0\0\x02", 4, 60), 4);
	close(fd);
	bh_assert_fails(&fx.err, -EPROTONOSUPPORT, "version 2",
			bh_store_open(fx.dir, &fx.s, &fx.was_damaged, &fx.err));
	assert_null(fx.s);
	assert_int_equal(access(fx.path, F_OK), 0);
}

static void test_symlink_is_refused(void **state)
{
	char target[BH_TEST_DIR + 16];

	(void)state;
	bh_store_closep(&fx.s);
	snprintf(target, sizeof(target), "%s/elsewhere", fx.dir);
	assert_int_equal(rename(fx.path, target), 0);
	assert_int_equal(symlink(target, fx.path), 0);
	bh_assert_fails(&fx.err, -ELOOP, "open",
			bh_store_open(fx.dir, &fx.s, &fx.was_damaged, &fx.err));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_put_replace_delete),
		T(test_get),
		T(test_every_table_survives),
		T(test_unknown_table),
		T(test_each_stops_and_nests),
		T(test_batch),
		T(test_rollback),
		T(test_mode_and_single_user),
		T(test_killed_writer),
		T(test_quarantine_reaches_the_database),
		T(test_damaged_file_is_moved_aside),
		T(test_quarantines_are_rescued),
		T(test_garbage_and_truncated_files),
		T(test_newer_schema_is_left_alone),
		T(test_symlink_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
