/* The hash-chained log on real files: rotation, crashes, every kind of tampering. */
#include "bh_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/str.h"
#include "logkit.h"
#include "sink/file.h"

static void verify_ok(uint64_t lines)
{
	bh_assert_ok(&fx.err, bh_event_log_verify(fx.path, &nothing, &fx.check, &fx.err));
	assert_int_equal(fx.check.lines, lines);
}

static void verify_fails(const struct bh_chain *known, const char *part)
{
	bh_assert_fails(&fx.err, -EBADMSG, part,
			bh_event_log_verify(fx.path, known, &fx.check, &fx.err));
}

static char *read_log(size_t *len)
{
	char *text = NULL;

	bh_assert_ok(&fx.err, bh_fs_read(fx.path, 1 << 26, &text, len, &fx.err));
	return text;
}

static void write_log(const char *text, size_t len)
{
	int fd = open(fx.path, O_WRONLY | O_TRUNC | O_CREAT, 0600);

	assert_int_equal(write(fd, text, len), len);
	close(fd);
}

/* ---- writing ---- */

static void test_lines(void **state)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	BH_CLEANUP(bh_json_decrefp) json_t *e = NULL;
	struct bh_chain head;
	struct stat st;
	size_t len;

	(void)state;
	open_log();
	append_all(1, 3);
	head = bh_event_log_head(fx.log);
	assert_int_equal(head.seq, 3);
	verify_ok(3);
	assert_int_equal(fx.check.first_seq, 1);
	assert_memory_equal(fx.check.at.hash, head.hash, BH_CHAIN_HASH);
	assert_int_equal(stat(fx.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	text = read_log(&len);
	bh_assert_ok(&fx.err,
		     bh_json_parse(text, (size_t)(strchr(text, '\n') - text), len, &e, &fx.err));
	assert_int_equal(json_integer_value(json_object_get(json_object_get(e, "chain"), "seq")),
			 1);
	bh_assert_ok(&fx.err, bh_event_log_sync(fx.log, &fx.err));
}

/* made with another implementation: python3 hashlib and json.dumps(sort_keys=True,
 * separators=(",", ":"), ensure_ascii=False) */
static void test_known_hash(void **state)
{
	BH_CLEANUP(bh_freep) char *line = NULL;
	BH_CLEANUP(bh_json_decrefp)
	json_t *e = json_pack("{s:i, s:{s:s}}", "b", 1, "a", "z", "\xc3\xbc");
	struct bh_chain next;
	size_t len;

	(void)state;
	bh_assert_ok(&fx.err, bh_chain_line(&nothing, e, &(struct bh_chain_gap){0}, &line, &len,
					    &next, &fx.err));
	assert_string_equal(
		line,
		"{\"a\":{\"z\":\"\xc3\xbc\"},\"b\":1,"
		"\"chain\":{\"hash\":"
		"\"e19c68a0fec20514bc4078bda9c7303ae2380dfdaf95cfba9f287ef045f88a7e\","
		"\"prev\":\"0000000000000000000000000000000000000000000000000000000000000000\","
		"\"seq\":1}}"
		"\n");
}

static void test_goes_on_after_restart(void **state)
{
	struct bh_chain head;

	(void)state;
	open_log();
	append_all(1, 2);
	head = bh_event_log_head(fx.log);
	bh_event_log_closep(&fx.log);
	bh_assert_ok(&fx.err, try_open(0, 0, &head));
	append_all(3, 4);
	verify_ok(4);
	assert_int_equal(fx.check.gaps.torn, 0);
}

/* What was never written is told by the line that comes after it, once. */
static void test_missed(void **state)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	size_t len;

	(void)state;
	open_log();
	append_all(1, 2);
	bh_event_log_missed(fx.log, 40);
	bh_event_log_missed(fx.log, 2);
	append_all(3, 4);
	verify_ok(4);
	assert_int_equal(fx.check.gaps.missed, 42);
	text = read_log(&len);
	assert_non_null(strstr(text, "\"missed\":42,"));
}

static void test_one_writer(void **state)
{
	struct bh_event_log *first;

	(void)state;
	open_log();
	first = fx.log;
	bh_assert_fails(&fx.err, -EBUSY, "another process writes", try_open(0, 0, &nothing));
	fx.log = first;
}

static void test_rotation(void **state)
{
	char name[BH_TEST_DIR + 32];
	struct stat st;

	(void)state;
	bh_assert_ok(&fx.err, try_open(2000, 3, &nothing));
	append_all(1, 100);
	assert_int_equal(bh_event_log_head(fx.log).seq, 100);
	for (int i = 1; i <= 3; i++) {
		snprintf(name, sizeof(name), "%s.%d", fx.path, i);
		assert_int_equal(stat(name, &st), 0);
		assert_true(st.st_size <= 2000 && st.st_size > 1000);
	}
	snprintf(name, sizeof(name), "%s.4", fx.path);
	assert_int_not_equal(stat(name, &st), 0);
	bh_assert_ok(&fx.err, bh_event_log_verify(fx.path, &nothing, &fx.check, &fx.err));
	assert_int_equal(fx.check.at.seq, 100);
	assert_int_equal(fx.check.first_seq + fx.check.lines - 1, 100);
	assert_true(fx.check.first_seq > 1);
}

/* a crash between the renaming and the new file */
static void test_crash_in_rotation(void **state)
{
	char name[BH_TEST_DIR + 32];

	(void)state;
	open_log();
	append_all(1, 5);
	bh_event_log_closep(&fx.log);
	snprintf(name, sizeof(name), "%s.1", fx.path);
	assert_int_equal(rename(fx.path, name), 0);
	open_log();
	append_all(6, 7);
	verify_ok(7);
}

static void test_too_long_an_event(void **state)
{
	BH_CLEANUP(bh_freep) char *text = malloc(BH_CHAIN_MAX_LINE + 1);
	BH_CLEANUP(bh_json_decrefp) json_t *e = NULL;

	(void)state;
	memset(text, 'x', BH_CHAIN_MAX_LINE);
	text[BH_CHAIN_MAX_LINE] = '\0';
	e = json_pack("{s:s}", "text", text);
	open_log();
	append_all(1, 1);
	bh_assert_fails(&fx.err, -EMSGSIZE, "event of", bh_event_log_append(fx.log, e, &fx.err));
	append_all(2, 2);
	verify_ok(2);
}

/* a full disk, played with a limit on file sizes: half a line must not stay */
static void test_full_disk(void **state)
{
	struct rlimit old, few;
	size_t len;

	(void)state;
	open_log();
	append_all(1, 2);
	free(read_log(&len));
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	few = old;
	few.rlim_cur = len + 50;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &few), 0);
	assert_true(append(3) < 0);
	assert_true(append(4) < 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	append_all(5, 6);
	verify_ok(4);
}

/* ---- crashes ---- */

/* every possible cut of the last line */
static void test_torn_line(void **state)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	size_t len, whole;

	(void)state;
	open_log();
	append_all(1, 3);
	bh_event_log_closep(&fx.log);
	text = read_log(&len);
	whole = len - 1;
	while (text[whole - 1] != '\n')
		whole--;
	for (size_t cut = whole; cut < len; cut += 7) {
		write_log(text, cut);
		open_log();
		append_all(10, 11);
		verify_ok(4);
		assert_int_equal(fx.check.gaps.torn, cut - whole);
		bh_event_log_closep(&fx.log);
	}
	write_log(text, 10); /* of the very first line */
	open_log();
	append_all(1, 1);
	verify_ok(1);
	assert_int_equal(fx.check.gaps.torn, 10);
}

static void test_killed_writer(void **state)
{
	uint64_t last = 0;

	(void)state;
	for (int round = 0; round < 5; round++) {
		int status, p[2];
		pid_t pid;
		char byte;

		assert_int_equal(pipe(p), 0);
		pid = fork();
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			const struct bh_event_log_options opt = {
				.path = fx.path, .max_bytes = 20000, .keep = 50};

			if (bh_event_log_open(&opt, &fx.log, &fx.err))
				_exit(1);
			for (int i = 0;; i++) {
				if (append(i))
					_exit(2);
				if (i == 200)
					(void)!write(p[1], "x", 1);
			}
		}
		close(p[1]);
		assert_int_equal(read(p[0], &byte, 1), 1);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		close(p[0]);
		bh_assert_ok(&fx.err, bh_event_log_verify(fx.path, &nothing, &fx.check, &fx.err));
		assert_true(fx.check.at.seq > last + 200);
		last = fx.check.at.seq;
	}
}

static void test_damaged_file_is_moved_aside(void **state)
{
	char name[BH_TEST_DIR + 40];
	struct bh_chain head;

	(void)state;
	open_log();
	append_all(1, 5);
	head = bh_event_log_head(fx.log);
	bh_event_log_closep(&fx.log);
	write_log("not ours\n", 9);
	bh_assert_ok(&fx.err, try_open(0, 0, &head));
	append_all(6, 7);
	snprintf(name, sizeof(name), "%s.damaged-1", fx.path);
	assert_int_equal(access(name, F_OK), 0);
	verify_ok(2);
	assert_int_equal(fx.check.first_seq, 6);
	assert_int_equal(fx.check.gaps.torn, 9);
}

/* ---- tampering ---- */

/* whatever single byte is changed, it shows */
static void test_every_changed_byte_shows(void **state)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_chain head;
	size_t len;

	(void)state;
	open_log();
	append_all(1, 3);
	head = bh_event_log_head(fx.log);
	text = read_log(&len);
	for (size_t i = 0; i < len; i++) {
		text[i] ^= 1;
		write_log(text, len);
		if (bh_event_log_verify(fx.path, &head, &fx.check, &fx.err) == 0)
			fail_msg("byte %zu of %zu was changed unseen", i, len);
		text[i] ^= 1;
	}
	write_log(text, len);
	bh_assert_ok(&fx.err, bh_event_log_verify(fx.path, &head, &fx.check, &fx.err));
}

static void test_removed_lines_show(void **state)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_chain head;
	char *second, *third;
	size_t len;

	(void)state;
	open_log();
	append_all(1, 3);
	head = bh_event_log_head(fx.log);
	text = read_log(&len);
	second = strchr(text, '\n') + 1;
	third = strchr(second, '\n') + 1;
	/* the end: only what was noted elsewhere can tell */
	write_log(text, (size_t)(third - text));
	verify_ok(2);
	verify_fails(&head, "ends with line 2, but 3 were written");
	/* everything */
	write_log("", 0);
	verify_fails(&head, "ends with line 0, but 3 were written");
	/* the middle */
	memmove(second, third, len - (size_t)(third - text));
	write_log(text, len - (size_t)(third - second));
	verify_fails(&nothing, "line 2: 1 lines before it are missing");
}

static void test_added_and_swapped_lines_show(void **state)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	BH_CLEANUP(bh_freep) char *twice = NULL;
	size_t len;

	(void)state;
	open_log();
	append_all(1, 2);
	text = read_log(&len);
	twice = bh_strf("%s%s", text, text);
	write_log(twice, 2 * len);
	verify_fails(&nothing, "line 3: line 1 comes again");
	write_log(text, len - 1);
	bh_assert_ok(&fx.err, bh_event_log_verify(fx.path, &nothing, &fx.check, &fx.err));
	assert_int_equal(fx.check.lines, 1);
	assert_true(fx.check.open_tail > 0);
}

/* somebody who writes the whole chain anew is caught by the noted head */
static void test_rewritten_log_shows(void **state)
{
	struct bh_chain head;

	(void)state;
	open_log();
	append_all(1, 3);
	head = bh_event_log_head(fx.log);
	bh_event_log_closep(&fx.log);
	assert_int_equal(unlink(fx.path), 0);
	open_log();
	append_all(11, 14);
	verify_ok(4);
	verify_fails(&head, "not the line 3 that was noted");
}

/* lines that vanished before a restart are not papered over */
static void test_gap_over_a_restart_shows(void **state)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_chain head;
	size_t len;

	(void)state;
	open_log();
	append_all(1, 3);
	head = bh_event_log_head(fx.log);
	bh_event_log_closep(&fx.log);
	text = read_log(&len);
	write_log(text, (size_t)(strchr(text, '\n') + 1 - text));
	bh_assert_ok(&fx.err, try_open(0, 0, &head));
	append_all(4, 4);
	verify_fails(&nothing, "2 lines before it are missing");
}

static void test_missing_file_shows(void **state)
{
	char name[BH_TEST_DIR + 32];

	(void)state;
	bh_assert_ok(&fx.err, try_open(2000, 10, &nothing));
	append_all(1, 40);
	snprintf(name, sizeof(name), "%s.2", fx.path);
	assert_int_equal(unlink(name), 0);
	verify_fails(&nothing, "lines before it are missing");
}

/* ---- reading ---- */

static int read_matching(const struct bh_event_filter *f, int64_t *ret_first, bool rotate_meanwhile)
{
	BH_CLEANUP(bh_event_reader_closep) struct bh_event_reader *r = NULL;
	int n = 0, res;

	bh_assert_ok(&fx.err, bh_event_reader_open(fx.path, f, &r, &fx.err));
	if (rotate_meanwhile)
		append_all(1000, 1100);
	for (;;) {
		json_t *e = NULL;

		res = bh_event_reader_next(r, &e, &fx.err);
		if (res == -EAGAIN)
			continue;
		if (res <= 0)
			break;
		if (!n++)
			*ret_first = json_integer_value(json_object_get(e, "time"));
		json_decref(e);
	}
	assert_int_equal(res, 0);
	return n;
}

static void test_reader(void **state)
{
	const struct bh_event_filter all = {.since_ms = INT64_MIN};
	const struct bh_event_filter late = {.since_ms = 51};
	const struct bh_event_filter class = {.since_ms = INT64_MIN, .class_uid = 7004};
	const struct bh_event_filter pod = {.since_ms = 31, .class_uid = 4001, .pod = "shop/db"};
	int64_t first = -1;

	(void)state;
	bh_assert_ok(&fx.err, try_open(5000, 90, &nothing));
	assert_int_equal(read_matching(&all, &first, false), 0);
	append_all(1, 60);
	assert_int_equal(read_matching(&all, &first, false), 60);
	assert_int_equal(first, 1);
	assert_int_equal(read_matching(&late, &first, false), 10);
	assert_int_equal(first, 51);
	assert_int_equal(read_matching(&class, &first, false), 30);
	assert_int_equal(read_matching(&pod, &first, false), 5); /* 33 39 45 51 57 */
	assert_int_equal(read_matching(&all, &first, true), 60);
	assert_int_equal(read_matching(&all, &first, false), 161);
}

static void test_reader_works_in_slices(void **state)
{
	const struct bh_event_filter none = {.since_ms = INT64_MIN, .pod = "no/pod"};
	BH_CLEANUP(bh_event_reader_closep) struct bh_event_reader *r = NULL;
	json_t *e = NULL;

	(void)state;
	open_log();
	append_all(1, 1200);
	bh_assert_ok(&fx.err, bh_event_reader_open(fx.path, &none, &r, &fx.err));
	assert_int_equal(bh_event_reader_next(r, &e, &fx.err), -EAGAIN);
	assert_int_equal(bh_event_reader_next(r, &e, &fx.err), -EAGAIN);
	assert_int_equal(bh_event_reader_next(r, &e, &fx.err), 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_lines),
		T(test_known_hash),
		T(test_goes_on_after_restart),
		T(test_missed),
		T(test_one_writer),
		T(test_rotation),
		T(test_crash_in_rotation),
		T(test_too_long_an_event),
		T(test_full_disk),
		T(test_torn_line),
		T(test_killed_writer),
		T(test_damaged_file_is_moved_aside),
		T(test_every_changed_byte_shows),
		T(test_removed_lines_show),
		T(test_added_and_swapped_lines_show),
		T(test_rewritten_log_shows),
		T(test_gap_over_a_restart_shows),
		T(test_missing_file_shows),
		T(test_reader),
		T(test_reader_works_in_slices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
