/* What a daemon remembers of the answers that a former one gave by itself. */
#include "bh_test.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/str.h"
#include "daemon/runtime_memory.h"
#include "store/store.h"

#define DEEDS 4096 /* as many as are kept */

static struct {
	char dir[BH_TEST_DIR];
	struct bh_store *store;
} fx;

static int setup(void **state)
{
	struct bh_err err;
	bool was_damaged;

	(void)state;
	bh_test_mkdir(fx.dir);
	bh_assert_ok(&err, bh_store_open(fx.dir, &fx.store, &was_damaged, &err));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bh_store_close(fx.store);
	bh_test_rmdir(fx.dir);
	return 0;
}

/* The row as a former daemon of this boot leaves it, with names as long as they may be. */
static void leave_row(const char *boot)
{
	BH_CLEANUP(bh_json_decrefp) json_t *deeds = json_array();
	BH_CLEANUP(bh_json_decrefp) json_t *row = NULL;
	BH_CLEANUP(bh_freep) char *text = NULL;
	char ns[64], owner[254];
	struct bh_err err;

	memset(ns, 'n', sizeof(ns) - 1);
	memset(owner, 'o', sizeof(owner) - 1);
	ns[sizeof(ns) - 1] = owner[sizeof(owner) - 1] = '\0';
	for (int i = 0; i < DEEDS; i++)
		json_array_append_new(deeds, json_pack("{s:s, s:s, s:s, s:I}", "ns", ns, "kind",
						       "StatefulSet", "owner", owner, "at",
						       (json_int_t)i));
	row = json_pack("{s:s, s:[], s:O}", "boot", boot, "pids", "isolated", deeds);
	text = json_dumps(row, JSON_COMPACT);
	assert_non_null(text);
	bh_assert_ok(&err, bh_store_put(fx.store, "meta", "runtime", text, &err));
}

static void count(const struct bh_subject *s, enum bh_response response, uint64_t ts_ns, void *arg)
{
	size_t *n = arg;

	assert_int_equal(response, BH_RESPOND_QUARANTINE);
	assert_int_equal(strlen(s->owner), 253);
	assert_int_equal(ts_ns, *n);
	++*n;
}

static size_t remembered(void)
{
	struct bh_runtime_memory *m = NULL;
	struct bh_err err;
	size_t n = 0;

	bh_assert_ok(&err, bh_runtime_memory_open(fx.store, &m, &err));
	bh_runtime_memory_each(m, count, &n);
	bh_runtime_memory_close(m);
	return n;
}

static void test_remembers_all_of_this_boot(void **state)
{
	BH_CLEANUP(bh_freep) char *boot = NULL;
	struct bh_err err;
	size_t len;

	(void)state;
	bh_assert_ok(&err, bh_fs_read("/proc/sys/kernel/random/boot_id", 64, &boot, &len, &err));
	leave_row(boot);
	assert_int_equal(remembered(), DEEDS);
	assert_int_equal(remembered(), DEEDS);
}

static void test_forgets_another_boot(void **state)
{
	(void)state;
	leave_row("another");
	assert_int_equal(remembered(), 0);
}

static void note(const struct bh_subject *s, enum bh_response response, uint64_t ts_ns, void *arg)
{
	char **text = arg;
	char *more = bh_strf("%s%s %s %llu;", *text ? *text : "", s->owner,
			     bh_response_name(response), (unsigned long long)ts_ns);

	free(*text);
	*text = more;
}

/* Kills as well as pods that were cut off. */
static void test_remembers_what_it_was(void **state)
{
	const struct bh_subject s = {.ns = "shop", .owner_kind = "Deployment", .owner = "web"};
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_runtime_memory *m = NULL;
	struct bh_err err;

	(void)state;
	bh_assert_ok(&err, bh_runtime_memory_open(fx.store, &m, &err));
	bh_runtime_memory_spent(m, &s, BH_RESPOND_KILL, 10);
	bh_runtime_memory_spent(m, &s, BH_RESPOND_FREEZE, 20);
	bh_runtime_memory_close(m);
	bh_assert_ok(&err, bh_runtime_memory_open(fx.store, &m, &err));
	bh_runtime_memory_each(m, note, &text);
	bh_runtime_memory_close(m);
	assert_string_equal(text, "web kill 10;web freeze 20;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_remembers_all_of_this_boot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forgets_another_boot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_remembers_what_it_was, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
