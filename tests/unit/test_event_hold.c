/* Events that wait for a digest: order, patience, what comes late, what is too much. */
#include "bh_test.h"

#include "base/json.h"
#include "event/hold.h"

static struct {
	struct bh_hold *hold;
	char text[4096]; /* numbers of what was written, with what was filled in */
	char late[256];
	struct bh_err err;
} fx;

static void write_event(json_t *take_event, void *arg)
{
	char one[64];

	(void)arg;
	snprintf(one, sizeof(one), "%d%s ",
		 (int)json_integer_value(json_object_get(take_event, "n")),
		 json_object_get(take_event, "fill")
			 ? json_string_value(json_object_get(take_event, "fill"))
			 : "");
	strncat(fx.text, one, sizeof(fx.text) - strlen(fx.text) - 1);
	json_decref(take_event);
}

static void fill(json_t *event, const char *sha256, const char *why, void *arg)
{
	(void)arg;
	json_object_set_new(event, "fill", json_string(sha256 ? sha256 : why));
}

static void on_late(const json_t *event, const char *sha256, void *arg)
{
	(void)arg;
	snprintf(fx.late + strlen(fx.late), sizeof(fx.late) - strlen(fx.late), "%d%s ",
		 (int)json_integer_value(json_object_get(event, "n")), sha256);
}

static int setup(void **state)
{
	const struct bh_hold_options opt = {write_event, fill, on_late, NULL};

	(void)state;
	memset(&fx, 0, sizeof(fx));
	bh_assert_ok(&fx.err, bh_hold_new(&opt, &fx.hold, &fx.err));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bh_hold_free(fx.hold);
	fx.hold = NULL;
	return 0;
}

static void add(int n, uint64_t ticket, int64_t now_ms)
{
	const struct bh_hold_event e = {json_pack("{s:i}", "n", n), ticket, ticket % 2 == 1};

	bh_hold_add(fx.hold, &e, now_ms);
}

static void test_nothing_waits_without_need(void **state)
{
	(void)state;
	add(1, 0, 0);
	add(2, 0, 0);
	assert_string_equal(fx.text, "1 2 ");
	assert_int_equal(bh_hold_flush(fx.hold, 0), INT64_MAX);
	assert_int_equal(bh_hold_count(fx.hold).written, 2);
}

static void test_order_is_kept(void **state)
{
	(void)state;
	add(1, 7, 0);
	add(2, 0, 1);
	add(3, 9, 2);
	add(4, 7, 3);
	assert_string_equal(fx.text, "");
	assert_int_equal(bh_hold_count(fx.hold).added, 4);
	bh_hold_resolve(fx.hold, 7, "s", NULL, 4);
	assert_string_equal(fx.text, "1s 2 ");
	bh_hold_resolve(fx.hold, 9, NULL, "changed", 5);
	assert_string_equal(fx.text, "1s 2 3changed 4s ");
	assert_int_equal(bh_hold_count(fx.hold).written, bh_hold_count(fx.hold).added);
	assert_string_equal(fx.late, "");
}

static void test_patience_ends(void **state)
{
	(void)state;
	add(1, 7, 0);
	add(2, 8, 10);
	add(3, 0, 10);
	assert_int_equal(bh_hold_flush(fx.hold, BH_HOLD_MS - 1), BH_HOLD_MS);
	assert_string_equal(fx.text, "");
	assert_int_equal(bh_hold_flush(fx.hold, BH_HOLD_MS), BH_HOLD_MS + 10);
	assert_string_equal(fx.text, "1pending ");
	assert_int_equal(bh_hold_flush(fx.hold, BH_HOLD_MS + 10), INT64_MAX);
	assert_string_equal(fx.text, "1pending 2pending 3 ");
	/* the even one is not worth telling */
	bh_hold_resolve(fx.hold, 8, "t", NULL, 200);
	bh_hold_resolve(fx.hold, 7, "s", NULL, 200);
	bh_hold_resolve(fx.hold, 7, "s", NULL, 200);
	assert_string_equal(fx.late, "1s ");
}

static void test_late_without_a_digest_is_silent(void **state)
{
	(void)state;
	add(1, 7, 0);
	bh_hold_flush(fx.hold, INT64_MAX);
	bh_hold_resolve(fx.hold, 7, NULL, "slow", 200);
	bh_hold_resolve(fx.hold, 7, "s", NULL, 200);
	assert_string_equal(fx.late, "");
}

/* An event whose text has about so many bytes. */
static void add_large(int n, uint64_t ticket, size_t bytes)
{
	struct bh_hold_event e = {json_pack("{s:i}", "n", n), ticket, true};
	char *text = calloc(1, bytes + 1);

	memset(text, 'x', bytes);
	json_object_set_new(e.take_event, "text", json_string(text));
	free(text);
	bh_hold_add(fx.hold, &e, 0);
}

/* Beyond the room the first ones go as they are, and are told later as far as there is room. */
static void test_room_is_bounded(void **state)
{
	const int all = 3 * BH_HOLD_BYTES / 50000;
	struct bh_hold_count c;

	(void)state;
	for (int i = 0; i < all; i++) {
		add_large(i, 1001 + (uint64_t)i, 50000);
		assert_true(bh_hold_count(fx.hold).bytes <= BH_HOLD_BYTES + BH_HOLD_LATE_BYTES);
	}
	c = bh_hold_count(fx.hold);
	assert_int_equal(c.added, all);
	assert_int_equal(c.written, c.pending);
	assert_in_range(c.added - c.written, BH_HOLD_BYTES / 50000 - 2, BH_HOLD_BYTES / 50000);
	assert_in_range(c.pending - c.forgotten, BH_HOLD_LATE_BYTES / 50000 - 1,
			BH_HOLD_LATE_BYTES / 50000);
	bh_hold_resolve(fx.hold, 1001, "s", NULL, 0);
	assert_string_equal(fx.late, ""); /* pushed out by younger ones */
	bh_hold_resolve(fx.hold, 1001 + c.written - 1, "s", NULL, 0);
	assert_int_equal(atoi(fx.late), c.written - 1);
	bh_hold_flush(fx.hold, INT64_MAX);
	c = bh_hold_count(fx.hold);
	assert_int_equal(c.written, all);
	assert_true(c.bytes <= BH_HOLD_LATE_BYTES);
}

/* Small ones are bounded alike: by what they take. */
static void test_room_counts_what_is_taken(void **state)
{
	struct bh_hold_count c;

	(void)state;
	for (int i = 0; i < 100000; i++)
		add(i, 1001, 0);
	c = bh_hold_count(fx.hold);
	assert_in_range(c.bytes, BH_HOLD_BYTES, BH_HOLD_BYTES + BH_HOLD_LATE_BYTES);
	assert_int_equal(c.written, c.pending);
	assert_in_range(c.added - c.written, 1000, BH_HOLD_BYTES / 64);
}

/* One that never finds room waits for nobody, but for its turn. */
static void test_too_large_goes_at_once(void **state)
{
	(void)state;
	add(1, 7, 0);
	add_large(2, 9, BH_HOLD_BYTES);
	assert_string_equal(fx.text, "1pending 2pending ");
	assert_int_equal(bh_hold_count(fx.hold).pending, 2);
	assert_int_equal(bh_hold_count(fx.hold).forgotten, 1);
	bh_hold_resolve(fx.hold, 9, "s", NULL, 0);
	bh_hold_resolve(fx.hold, 7, "s", NULL, 0);
	assert_string_equal(fx.late, "1s ");
}

/* The end writes what waits. */
static void test_end(void **state)
{
	(void)state;
	add(1, 7, 0);
	add(2, 0, 0);
	bh_hold_free(fx.hold);
	fx.hold = NULL;
	assert_string_equal(fx.text, "1pending 2 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_waits_without_need, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_patience_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late_without_a_digest_is_silent, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_room_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_room_counts_what_is_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_large_goes_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
