#include "bh_test.h"

#include <unistd.h>

#include "base/log.h"

static struct {
	enum bh_log_level level;
	char line[4096];
	unsigned count;
} last;

static void record(enum bh_log_level level, const char *line)
{
	last.level = level;
	last.count++;
	snprintf(last.line, sizeof(last.line), "%s", line);
}

static int setup(void **state)
{
	(void)state;
	memset(&last, 0, sizeof(last));
	bh_log_set_sink(record);
	bh_log_set_level(BH_LOG_INFO);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bh_log_set_sink(NULL);
	bh_log_set_level(BH_LOG_INFO);
	return 0;
}

static void test_line_has_level_and_fields(void **state)
{
	(void)state;
	bh_error("pod is shut pod=%s n=%d", "shop/db", 3);
	assert_int_equal(last.level, BH_LOG_ERROR);
	assert_string_equal(last.line, "error: pod is shut pod=shop/db n=3");
	bh_warn("w");
	assert_string_equal(last.line, "warning: w");
	bh_info("i");
	assert_string_equal(last.line, "info: i");
}

static void test_level_filters(void **state)
{
	(void)state;
	bh_debug("hidden");
	assert_int_equal(last.count, 0);
	bh_log_set_level(BH_LOG_DEBUG);
	bh_debug("shown");
	assert_string_equal(last.line, "debug: shown");
	bh_log_set_level(BH_LOG_ERROR);
	bh_warn("hidden");
	assert_int_equal(last.count, 1);
	bh_error("never hidden");
	assert_int_equal(last.count, 2);
}

static void test_no_forged_lines(void **state)
{
	(void)state;
	bh_info("name=%s", "x\nerror: forged\r\x1b[2J\x7f\ttab");
	assert_string_equal(last.line, "info: name=x?error: forged??[2J??tab");
}

static void test_long_line_is_cut(void **state)
{
	char text[5000];

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	bh_info("%s", text);
	assert_int_equal(strlen(last.line), 2047);
	assert_memory_equal(last.line, "info: aaa", 9);
}

/* Logs one warning to a stderr that is a pipe and returns what arrived. */
static void log_through_stderr(char *out, size_t cap)
{
	int fds[2], saved = dup(STDERR_FILENO);
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	bh_log_set_sink(NULL);
	bh_warn("to stderr a=%d", 1);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fds[1]);
	n = read(fds[0], out, cap - 1);
	close(fds[0]);
	assert_true(n >= 0);
	out[n] = '\0';
}

static void test_default_sink_is_stderr(void **state)
{
	char out[256];

	(void)state;
	unsetenv("JOURNAL_STREAM");
	log_through_stderr(out, sizeof(out));
	assert_string_equal(out, "warning: to stderr a=1\n");
}

static void test_journal_gets_priorities(void **state)
{
	char out[256];

	(void)state;
	setenv("JOURNAL_STREAM", "9:9", 1);
	log_through_stderr(out, sizeof(out));
	unsetenv("JOURNAL_STREAM");
	assert_string_equal(out, "<4>warning: to stderr a=1\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_line_has_level_and_fields, setup, teardown),
		cmocka_unit_test_setup_teardown(test_level_filters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_forged_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_line_is_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_default_sink_is_stderr, setup, teardown),
		cmocka_unit_test_setup_teardown(test_journal_gets_priorities, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
