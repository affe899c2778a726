/* Following the event log over rotation and restarts: every event once, in order, or counted as
 * lost.
 */
#include "bh_test.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/json.h"
#include "sink/file.h"
#include "sink/tail.h"

static struct {
	char dir[BH_TEST_DIR];
	char path[BH_TEST_DIR + 16];
	struct bh_event_log *log;
	struct bh_tail *tail;
	struct bh_err err;
	uint64_t next; /* number that the tail should give */
} fx;

static int setup(void **state)
{
	(void)state;
	memset(&fx, 0, sizeof(fx));
	bh_test_mkdir(fx.dir);
	snprintf(fx.path, sizeof(fx.path), "%s/events.jsonl", fx.dir);
	fx.next = 1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bh_tail_closep(&fx.tail);
	bh_event_log_closep(&fx.log);
	bh_test_rmdir(fx.dir);
	return 0;
}

static void open_log(uint64_t max_bytes, unsigned keep)
{
	const struct bh_event_log_options opt = {
		.path = fx.path, .max_bytes = max_bytes, .keep = keep};

	bh_assert_ok(&fx.err, bh_event_log_open(&opt, &fx.log, &fx.err));
}

static void write_events(int n)
{
	for (int i = 0; i < n; i++) {
		BH_CLEANUP(bh_json_decrefp) json_t *e = json_pack("{s:i}", "class_uid", 4001);

		bh_assert_ok(&fx.err, bh_event_log_append(fx.log, e, &fx.err));
	}
}

static void open_tail(uint64_t after)
{
	bh_tail_closep(&fx.tail);
	bh_assert_ok(&fx.err, bh_tail_open(fx.path, after, &fx.tail, &fx.err));
}

/* Reads up to max events; each must be the next one. */
static int read_events(int max)
{
	int n = 0;

	while (n < max) {
		BH_CLEANUP(bh_json_decrefp) json_t *e = NULL;
		uint64_t seq = 0;
		int r = bh_tail_next(fx.tail, &e, &seq, &fx.err);

		if (r == -EAGAIN)
			continue;
		assert_true(r >= 0);
		if (!r)
			break;
		assert_int_equal(seq, fx.next);
		assert_int_equal(
			json_integer_value(json_object_get(json_object_get(e, "chain"), "seq")),
			fx.next);
		fx.next++;
		n++;
	}
	return n;
}

static void test_before_the_log_exists(void **state)
{
	(void)state;
	open_tail(0);
	assert_int_equal(read_events(10), 0);
	open_log(0, 0);
	write_events(3);
	assert_int_equal(read_events(10), 3);
	assert_int_equal(read_events(10), 0);
	write_events(1);
	assert_int_equal(read_events(10), 1);
	assert_int_equal(bh_tail_lost(fx.tail), 0);
}

/* Emptied in place, as some log rotators do: what comes then is read at once. */
static void test_emptied_file(void **state)
{
	(void)state;
	open_log(0, 0);
	write_events(9);
	open_tail(0);
	assert_int_equal(read_events(20), 9);
	assert_int_equal(truncate(fx.path, 0), 0);
	write_events(3);
	assert_int_equal(read_events(20), 3);
	assert_int_equal(bh_tail_lost(fx.tail), 0);
}

/* Files of a few lines, so that reading and rotation cross in every way. */
static void test_over_rotation(void **state)
{
	unsigned seed = 1;
	int written = 0, seen = 0;

	(void)state;
	open_log(1200, 60);
	open_tail(0);
	for (int round = 0; round < 60; round++) {
		int n = rand_r(&seed) % 5;

		write_events(n);
		written += n;
		seen += read_events(rand_r(&seed) % 6);
	}
	seen += read_events(written);
	assert_int_equal(seen, written);
	assert_int_equal(bh_tail_lost(fx.tail), 0);
}

static void test_after_a_restart(void **state)
{
	(void)state;
	open_log(1200, 60);
	write_events(40);
	for (uint64_t after = 0; after <= 40; after++) {
		open_tail(after);
		fx.next = after + 1;
		assert_int_equal(read_events(100), 40 - (int)after);
		assert_int_equal(bh_tail_lost(fx.tail), 0);
	}
}

static void test_more_than_one_slice(void **state)
{
	(void)state;
	open_log(0, 0);
	write_events(2000);
	open_tail(1990);
	fx.next = 1991;
	assert_int_equal(read_events(100), 10);
}

/* What is rotated away before it was read is lost, to the last event, and said so. */
static void test_rotated_away(void **state)
{
	(void)state;
	open_log(1200, 2);
	write_events(2);
	open_tail(0);
	assert_int_equal(read_events(1), 1);
	write_events(200);
	{
		BH_CLEANUP(bh_json_decrefp) json_t *e = NULL;
		uint64_t seq = 0;
		int r;

		/* what the open file still holds comes first */
		while ((r = bh_tail_next(fx.tail, &e, &seq, &fx.err)) == 1 && seq == fx.next) {
			json_decref(e);
			e = NULL;
			fx.next++;
		}
		assert_int_equal(r, 1);
		assert_true(seq > fx.next);
		assert_int_equal(bh_tail_lost(fx.tail), seq - fx.next);
		fx.next = seq + 1;
	}
	read_events(1000);
	assert_int_equal(fx.next, 203);
}

static void test_foreign_lines(void **state)
{
	FILE *f;

	(void)state;
	open_log(0, 0);
	write_events(2);
	bh_event_log_closep(&fx.log);
	f = fopen(fx.path, "a");
	assert_non_null(f);
	fputs("not an event\n{\"half\":", f);
	fclose(f);
	open_tail(0);
	assert_int_equal(read_events(10), 2);
	assert_int_equal(bh_tail_lost(fx.tail), 0);
}

/* Somebody's rubbish without a newline for longer than any line may be holds nobody up. */
static void test_far_too_long_a_line(void **state)
{
	FILE *f;

	(void)state;
	open_log(0, 0);
	write_events(2);
	f = fopen(fx.path, "a");
	assert_non_null(f);
	for (size_t i = 0; i < 5 * (size_t)BH_CHAIN_MAX_LINE; i++)
		fputc('x', f);
	fputc('\n', f);
	fclose(f);
	write_events(2);
	open_tail(0);
	assert_int_equal(read_events(10), 4);
	assert_int_equal(bh_tail_lost(fx.tail), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_before_the_log_exists, setup, teardown),
		cmocka_unit_test_setup_teardown(test_over_rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_emptied_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_after_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_than_one_slice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rotated_away, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_far_too_long_a_line, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
