/* Where the log begins, and that its file is the one people read. */
#include "logkit.h"

#include <errno.h>
#include <unistd.h>

static void prove_fails(const char *part)
{
	struct bh_event_log_state s = bh_event_log_state(fx.log);

	bh_assert_fails(&fx.err, -EBADMSG, part,
			bh_event_log_prove(fx.path, &s, &fx.check, &fx.err));
}

static void prove_ok(void)
{
	struct bh_event_log_state s = bh_event_log_state(fx.log);

	bh_assert_ok(&fx.err, bh_event_log_prove(fx.path, &s, &fx.check, &fx.err));
}

/* the oldest file, which rotation could have taken, but did not */
static void test_missing_first_file_shows(void **state)
{
	struct bh_event_log_options opt = {.path = fx.path, .max_bytes = 2000, .keep = 10};
	struct bh_event_log_state s;
	char name[BH_TEST_DIR + 32];

	(void)state;
	bh_assert_ok(&fx.err, bh_event_log_open(&opt, &fx.log, &fx.err));
	append_all(1, 40);
	prove_ok();
	s = bh_event_log_state(fx.log);
	assert_int_equal(s.first, 1);
	for (int i = 10; i > 0; i--) {
		snprintf(name, sizeof(name), "%s.%d", fx.path, i);
		if (!unlink(name))
			break;
	}
	prove_fails("but 1 was kept");
	/* neither writing on nor a restart forgets it */
	append_all(41, 50);
	prove_fails("but 1 was kept");
	s = bh_event_log_state(fx.log);
	bh_event_log_closep(&fx.log);
	opt.known = s.head;
	opt.known_first = s.first;
	bh_assert_ok(&fx.err, bh_event_log_open(&opt, &fx.log, &fx.err));
	prove_fails("but 1 was kept");
	/* until rotation would have taken it anyway */
	append_all(51, 300);
	prove_ok();
	assert_true(bh_event_log_state(fx.log).first > 41);
}

/* rotation that nobody noted before a crash is no tampering */
static void test_unnoted_rotation(void **state)
{
	struct bh_event_log_options opt = {.path = fx.path, .max_bytes = 2000, .keep = 3};
	struct bh_event_log_state s;

	(void)state;
	bh_assert_ok(&fx.err, bh_event_log_open(&opt, &fx.log, &fx.err));
	append_all(1, 30);
	s = bh_event_log_state(fx.log);
	append_all(31, 100);
	bh_event_log_closep(&fx.log);
	opt.known = s.head;
	opt.known_first = s.first;
	bh_assert_ok(&fx.err, bh_event_log_open(&opt, &fx.log, &fx.err));
	prove_ok();
	append_all(101, 130);
	prove_ok();
}

/* the file that is being written: moved away, it is begun anew and the gap shows */
static void test_moved_file_shows(void **state)
{
	char name[BH_TEST_DIR + 32];
	struct stat st;

	(void)state;
	open_log();
	append_all(1, 5);
	snprintf(name, sizeof(name), "%s/elsewhere", fx.dir);
	assert_int_equal(rename(fx.path, name), 0);
	append_all(6, 7);
	assert_int_equal(stat(fx.path, &st), 0);
	prove_fails("the log begins with line 6, but 1 was kept");
	assert_int_equal(unlink(fx.path), 0);
	append_all(8, 8);
	prove_fails("the log begins with line 8, but 1 was kept");
	/* put back it is whole but for what was written elsewhere */
	assert_int_equal(rename(name, fx.path), 0);
	append_all(9, 9);
	prove_fails("line 6: 3 lines before it are missing");
}

/* the directory, too: the log is begun anew in another one */
static void test_removed_directory_shows(void **state)
{
	struct stat st;

	(void)state;
	open_log();
	append_all(1, 5);
	assert_int_equal(unlink(fx.path), 0);
	assert_int_equal(rmdir(fx.dir), 0);
	append_all(6, 7);
	assert_int_equal(stat(fx.path, &st), 0);
	prove_fails("the log begins with line 6, but 1 was kept");
}

/* whatever number a crash in the middle of a rotation leaves unused */
static void test_crash_at_any_step_of_rotation(void **state)
{
	struct bh_event_log_options opt = {.path = fx.path, .max_bytes = 2000, .keep = 4};
	char from[BH_TEST_DIR + 32], to[BH_TEST_DIR + 32];

	(void)state;
	for (int hole = 1; hole <= 4; hole++) {
		bh_assert_ok(&fx.err, bh_event_log_open(&opt, &fx.log, &fx.err));
		append_all(1, 60);
		opt.known = bh_event_log_head(fx.log);
		opt.known_first = bh_event_log_state(fx.log).first;
		bh_event_log_closep(&fx.log);
		for (int n = 4; n > hole; n--) {
			snprintf(from, sizeof(from), "%s.%d", fx.path, n - 1);
			snprintf(to, sizeof(to), "%s.%d", fx.path, n);
			assert_int_equal(rename(from, to), 0);
		}
		bh_assert_ok(&fx.err, bh_event_log_open(&opt, &fx.log, &fx.err));
		append_all(61, 90);
		bh_assert_ok(&fx.err, bh_event_log_verify(fx.path, &opt.known, &fx.check, &fx.err));
		opt.known = bh_event_log_head(fx.log);
		opt.known_first = 0;
		bh_event_log_closep(&fx.log);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_missing_first_file_shows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unnoted_rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_moved_file_shows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed_directory_shows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crash_at_any_step_of_rotation, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
