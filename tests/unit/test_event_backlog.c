/* Events that wait for a log: order, bound, and what found no room. */
#include "bh_test.h"

#include "base/json.h"
#include "base/own.h"
#include "event/backlog.h"

static void freep(struct bh_backlog **b)
{
	bh_backlog_free(*b);
}

static void add(struct bh_backlog *b, int n)
{
	BH_CLEANUP(bh_json_decrefp) json_t *e = json_pack("{s:i, s:s}", "n", n, "text", "\xc3\xbc");

	bh_backlog_add(b, e);
}

/* The number of the oldest one, which is removed; -1: there is none. */
static int take(struct bh_backlog *b)
{
	BH_CLEANUP(bh_json_decrefp) json_t *e = bh_backlog_first(b);
	int n = e ? (int)json_integer_value(json_object_get(e, "n")) : -1;

	bh_backlog_done(b);
	return n;
}

static void test_order(void **state)
{
	BH_CLEANUP(freep) struct bh_backlog *b = NULL;
	struct bh_err err;

	(void)state;
	bh_assert_ok(&err, bh_backlog_new(0, &b, &err));
	assert_int_equal(take(b), -1);
	for (int i = 0; i < 3; i++)
		add(b, i);
	assert_int_equal(take(b), 0);
	add(b, 3);
	assert_int_equal(bh_backlog_count(b), 3);
	for (int i = 1; i < 4; i++)
		assert_int_equal(take(b), i);
	assert_int_equal(take(b), -1);
	assert_int_equal(bh_backlog_count(b), 0);
	add(b, 7);
	assert_int_equal(take(b), 7);
	assert_int_equal(bh_backlog_dropped(b), 0);
}

/* What comes after a dropped one is dropped too, though there be room again. */
static void test_bound(void **state)
{
	BH_CLEANUP(freep) struct bh_backlog *b = NULL;
	struct bh_err err;
	size_t kept;

	(void)state;
	bh_assert_ok(&err, bh_backlog_new(100, &b, &err));
	for (int i = 0; i < 50; i++)
		add(b, i);
	kept = bh_backlog_count(b);
	assert_in_range(kept, 3, 7);
	assert_int_equal(bh_backlog_dropped(b), 50 - kept);
	assert_int_equal(take(b), 0);
	add(b, 50);
	assert_int_equal(bh_backlog_count(b), kept - 1);
	for (size_t i = 1; i < kept; i++)
		assert_int_equal(take(b), i);
	assert_int_equal(bh_backlog_take_dropped(b), 51 - kept);
	assert_int_equal(bh_backlog_take_dropped(b), 0);
	add(b, 51);
	assert_int_equal(take(b), 51);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
