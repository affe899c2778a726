/* logkit.h - a log in a directory of its own, for the tests of the hash-chained log. */
#pragma once

#include "bh_test.h"

#include "base/json.h"
#include "base/str.h"
#include "sink/file.h"

static struct {
	char dir[BH_TEST_DIR];
	char path[BH_TEST_DIR + 16];
	struct bh_event_log *log;
	struct bh_chain_check check;
	struct bh_err err;
} fx;

static const struct bh_chain nothing;

static inline int setup(void **state)
{
	(void)state;
	memset(&fx, 0, sizeof(fx));
	bh_test_mkdir(fx.dir);
	snprintf(fx.path, sizeof(fx.path), "%s/events.jsonl", fx.dir);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	bh_event_log_closep(&fx.log);
	bh_test_rmdir(fx.dir);
	return 0;
}

static inline int try_open(uint64_t max_bytes, unsigned keep, const struct bh_chain *known)
{
	const struct bh_event_log_options opt = {
		.path = fx.path, .max_bytes = max_bytes, .keep = keep, .known = *known};

	return bh_event_log_open(&opt, &fx.log, &fx.err);
}

static inline void open_log(void)
{
	bh_assert_ok(&fx.err, try_open(0, 0, &nothing));
}

static inline json_t *event(int n)
{
	return json_pack("{s:i, s:i, s:s, s:{s:{s:s}}}", "class_uid", n % 2 ? 4001 : 7004, "time",
			 n, "text", "gr\xc3\xbc\xc3\x9f \"quoted\"", "unmapped", "bulkhead", "pod",
			 n % 3 ? "shop/web" : "shop/db");
}

static inline int append(int n)
{
	BH_CLEANUP(bh_json_decrefp) json_t *e = event(n);

	return bh_event_log_append(fx.log, e, &fx.err);
}

static inline void append_all(int from, int to)
{
	for (int i = from; i <= to; i++)
		bh_assert_ok(&fx.err, append(i));
}
