/* Ring records and the bus. */
#include "bh_test.h"

#include <endian.h>
#include <errno.h>

#include "base/json.h"
#include "base/own.h"
#include "event/bus.h"
#include "event/event.h"

static struct bh_err err;

static struct bh_event_edge good(void)
{
	struct bh_event_edge r = {
		.version = BH_EVENT_VERSION,
		.type = BH_EVENT_EDGE,
		.len = sizeof(r),
		.ts_ns = 123456789,
		.key = {.slot = 7,
			.port = htobe16(443),
			.dir = BH_EGRESS,
			.proto = 6,
			.verdict = BH_DENIED,
			.reason = BH_R_POLICY_DENY},
		.generation = 3,
		.pid = 4711,
		.uid = 1000,
		.path_len = 13,
	};

	memcpy(r.key.remote, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x05", 16);
	memcpy(r.comm, "exactly16bytes!!", 16); /* no NUL */
	memcpy(r.path, "/usr/bin/curljunk behind", 24);
	return r;
}

static void test_decode(void **state)
{
	struct bh_event_edge r = good();
	char ip[BH_IP_TEXT];
	struct bh_edge_event e;

	(void)state;
	bh_assert_ok(&err, bh_event_decode(&r, sizeof(r), &e, &err));
	assert_int_equal(e.ts_ns, 123456789);
	assert_int_equal(e.slot, 7);
	assert_int_equal(e.generation, 3);
	assert_int_equal(e.dir, BH_EGRESS);
	assert_int_equal(e.verdict, BH_DENIED);
	assert_int_equal(e.reason, BH_R_POLICY_DENY);
	assert_int_equal(e.port, 443);
	assert_int_equal(e.pid, 4711);
	assert_string_equal(bh_ip_format(&e.remote, ip), "10.0.0.5");
	assert_string_equal(e.comm, "exactly16bytes!!");
	assert_string_equal(e.path, "/usr/bin/curl");
}

static void test_every_short_length_is_refused(void **state)
{
	struct bh_event_edge r = good();
	struct bh_edge_event e = {.slot = 99};

	(void)state;
	for (size_t n = 0; n < sizeof(r); n++) {
		/* exactly n bytes, so that reading beyond them is caught */
		void *copy = malloc(n ? n : 1);

		memcpy(copy, &r, n);
		assert_int_equal(bh_event_decode(copy, n, &e, &err), -EBADMSG);
		free(copy);
	}
	assert_int_equal(e.slot, 99);
}

static void test_impossible_values(void **state)
{
	struct bh_event_edge r[8];
	struct bh_edge_event e;

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(r); i++)
		r[i] = good();
	r[0].version = 2;
	r[1].type = 2;
	r[2].len--;
	r[3].key.dir = 2;
	r[4].key.verdict = 2;
	r[5].key.reason = BH_R_COUNT;
	r[6].path_len = BH_PATH_MAX + 1;
	r[7].key.slot = BH_MAX_SLOTS;
	for (size_t i = 0; i < BH_ARRAY_SIZE(r); i++)
		assert_int_equal(bh_event_decode(&r[i], sizeof(r[i]), &e, &err), -EBADMSG);
}

/* ---- bus ---- */

static json_t *event(int class_uid, const char *pod, int n)
{
	return json_pack("{s:i, s:i, s:{s:{s:s}}, s:i}", "class_uid", class_uid, "time", n,
			 "unmapped", "bulkhead", "pod", pod, "n", n);
}

static void publish(struct bh_bus *b, int class_uid, const char *pod, int n)
{
	json_t *e = event(class_uid, pod, n);

	bh_bus_publish(b, e);
	json_decref(e);
}

static int take(struct bh_follower *f, uint64_t *lost)
{
	json_t *e = bh_follower_take(f, lost);
	int n = e ? (int)json_integer_value(json_object_get(e, "n")) : -1;

	json_decref(e);
	return n;
}

static void count_wake(void *arg)
{
	++*(int *)arg;
}

/* What was lost is told where it would have been. */
static void test_bus_is_bounded(void **state)
{
	const struct bh_event_filter all = {.since_ms = INT64_MIN};
	BH_CLEANUP(bh_json_decrefp) json_t *one = event(4001, "a/b", 1);
	const size_t len = json_dumpb(one, NULL, 0, JSON_COMPACT);
	struct bh_follower *slow, *fast;
	struct bh_bus *b = NULL;
	uint64_t lost;
	int wakes = 0;

	(void)state;
	bh_assert_ok(&err, bh_bus_new(&b, &err));
	bh_assert_ok(&err, bh_bus_follow(b, &all, 3 * len, count_wake, &wakes, &slow, &err));
	bh_assert_ok(&err, bh_bus_follow(b, &all, 100 * len, NULL, NULL, &fast, &err));
	for (int i = 0; i < 10; i++)
		publish(b, 4001, "a/b", i);
	assert_int_equal(wakes, 1);
	assert_int_equal(take(slow, &lost), 0);
	assert_int_equal(lost, 0);
	publish(b, 4001, "a/b", 10);
	assert_int_equal(take(slow, &lost), 1);
	assert_int_equal(take(slow, &lost), 2);
	assert_int_equal(lost, 0);
	assert_int_equal(take(slow, &lost), -1);
	assert_int_equal(lost, 8);
	publish(b, 4001, "a/b", 11);
	assert_int_equal(wakes, 2);
	assert_int_equal(take(slow, &lost), 11);
	assert_int_equal(lost, 0);
	for (int i = 0; i < 12; i++)
		assert_int_equal(take(fast, &lost), i);
	bh_bus_leave(fast);
	publish(b, 4001, "a/b", 12);
	/* with events still waiting for a follower */
	bh_bus_free(b);
}

static void test_bus_wakes_only(void **state)
{
	const struct bh_event_filter all = {.since_ms = INT64_MIN};
	struct bh_follower *f;
	struct bh_bus *b = NULL;
	uint64_t lost;
	int wakes = 0;

	(void)state;
	bh_assert_ok(&err, bh_bus_new(&b, &err));
	bh_assert_ok(&err, bh_bus_follow(b, &all, 0, count_wake, &wakes, &f, &err));
	for (int i = 0; i < 10; i++)
		publish(b, 4001, "a/b", i);
	assert_int_equal(wakes, 1);
	assert_int_equal(take(f, &lost), -1);
	assert_int_equal(lost, 0);
	publish(b, 4001, "a/b", 10);
	assert_int_equal(wakes, 2);
	bh_bus_free(b);
}

static void test_bus_filters(void **state)
{
	char pod[] = "shop/web";
	const struct bh_event_filter filter = {.since_ms = 5, .class_uid = 7004, .pod = pod};
	struct bh_follower *f;
	struct bh_bus *b = NULL;
	uint64_t lost;

	(void)state;
	bh_assert_ok(&err, bh_bus_new(&b, &err));
	bh_assert_ok(&err, bh_bus_follow(b, &filter, 1000, NULL, NULL, &f, &err));
	pod[0] = 'X'; /* the bus has its own copy */
	publish(b, 7004, "shop/web", 4);
	publish(b, 4001, "shop/web", 6);
	publish(b, 7004, "shop/db", 7);
	publish(b, 7004, "shop/web", 8);
	assert_int_equal(take(f, &lost), 8);
	assert_int_equal(take(f, &lost), -1);
	assert_int_equal(lost, 0);
	bh_bus_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_every_short_length_is_refused),
		cmocka_unit_test(test_impossible_values),
		cmocka_unit_test(test_bus_is_bounded),
		cmocka_unit_test(test_bus_wakes_only),
		cmocka_unit_test(test_bus_filters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
