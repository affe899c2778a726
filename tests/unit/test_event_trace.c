/* test_event_trace.c - tracing records from hostile or broken memory: refused, or whole. */
#include "bh_test.h"

#include <errno.h>

#include "event/trace.h"

#define MAX 8192

struct record {
	size_t len;
	union {
		uint64_t alignment;
		char bytes[MAX];
	} u;
};

/* The record's beginning as one of the layouts, whose tails follow. */
#define HEAD(r) ((struct bh_trace_head *)(void *)(r)->u.bytes)
#define EXEC(r) ((struct bh_trace_exec *)(void *)(r)->u.bytes)
#define EXIT(r) ((struct bh_trace_exit *)(void *)(r)->u.bytes)
#define ACT(r)	((struct bh_trace_act *)(void *)(r)->u.bytes)

static void head(struct record *r, uint16_t kind, size_t len)
{
	memset(r, 0, sizeof(*r));
	r->len = len;
	HEAD(r)->version = BH_TRACE_VERSION;
	HEAD(r)->kind = kind;
	HEAD(r)->len = (uint32_t)len;
	HEAD(r)->slot = 7;
	HEAD(r)->generation = 3;
	HEAD(r)->pid = 42;
	memcpy(HEAD(r)->comm, "0123456789abcdef", BH_COMM_LEN); /* no NUL */
}

static uint16_t append(struct record *r, const char *text, size_t n)
{
	memcpy(r->u.bytes + r->len, text, n);
	r->len += n;
	HEAD(r)->len = (uint32_t)r->len;
	return (uint16_t)n;
}

static void make_exec(struct record *r)
{
	head(r, BH_TRACE_EXEC, sizeof(struct bh_trace_exec));
	EXEC(r)->string_len[BH_TRACE_S_PATH] = append(r, "/bin/sh", 8);
	EXEC(r)->string_len[BH_TRACE_S_PARENT] = append(r, "/sbin/init", 11);
	EXEC(r)->string_len[BH_TRACE_S_CWD] = append(r, "/", 2);
	EXEC(r)->args_len = append(r, "sh\0-c\0id\0", 9);
	EXEC(r)->args_total = 12;
	EXEC(r)->args_rest = 77;
	EXEC(r)->origin = BH_TRACE_O_NEW;
	EXEC(r)->dev = (8u << 20) | 1;
}

static void make_act(struct record *r)
{
	head(r, BH_TRACE_FILE, sizeof(struct bh_trace_act));
	ACT(r)->op = BH_TRACE_OP_RENAME;
	ACT(r)->string_len[BH_TRACE_A_PATH] = append(r, "/a", 3);
	ACT(r)->string_len[BH_TRACE_A_TARGET] = append(r, "/b", 3);
	ACT(r)->string_len[BH_TRACE_A_IMAGE] = append(r, "/bin/mv", 8);
	ACT(r)->arg[2] = 5;
}

static void refused(const struct record *r, size_t len, const char *why)
{
	struct bh_trace_event ev;
	struct bh_err err;

	bh_assert_fails(&err, -EBADMSG, why, bh_trace_decode(r->u.bytes, len, &ev, &err));
}

static void test_an_exec(void **state)
{
	struct bh_trace_event ev;
	struct bh_err err;
	struct record r;

	(void)state;
	make_exec(&r);
	bh_assert_ok(&err, bh_trace_decode(r.u.bytes, r.len, &ev, &err));
	assert_int_equal(ev.kind, BH_TRACE_EXEC);
	assert_string_equal(ev.path, "/bin/sh");
	assert_string_equal(ev.parent_path, "/sbin/init");
	assert_string_equal(ev.script, "");
	assert_string_equal(ev.cwd, "/");
	assert_int_equal(ev.args_len, 9);
	assert_memory_equal(ev.args, "sh\0-c\0id", 9);
	assert_int_equal(ev.args_total, 12);
	assert_int_equal(ev.args_rest, 77);
	assert_string_equal(ev.comm, "0123456789abcdef");
	assert_int_equal(ev.dev, 0x801);
	assert_int_equal(ev.slot, 7);
	assert_string_equal(bh_trace_origin_name(ev.origin), "new");
}

static void test_an_act(void **state)
{
	struct bh_trace_event ev;
	struct bh_err err;
	struct record r;

	(void)state;
	make_act(&r);
	bh_assert_ok(&err, bh_trace_decode(r.u.bytes, r.len, &ev, &err));
	assert_string_equal(ev.path, "/a");
	assert_string_equal(ev.target, "/b");
	assert_string_equal(ev.parent_path, "/bin/mv");
	assert_int_equal(ev.op, BH_TRACE_OP_RENAME);
	assert_int_equal(ev.arg[2], 5);
}

/* Where it is besides, and in which file system. */
static void test_places(void **state)
{
	struct bh_trace_event ev;
	struct bh_err err;
	struct record r;

	(void)state;
	make_act(&r);
	bh_assert_ok(&err, bh_trace_decode(r.u.bytes, r.len, &ev, &err));
	assert_string_equal(ev.place[0], "");
	assert_string_equal(ev.place[1], "");
	ACT(&r)->string_len[BH_TRACE_A_PLACE] = append(&r, "/etc/a", 7);
	ACT(&r)->string_len[BH_TRACE_A_TARGET_PLACE] = append(&r, "/b", 3);
	ACT(&r)->place_dev[1] = (8u << 20) | 1;
	bh_assert_ok(&err, bh_trace_decode(r.u.bytes, r.len, &ev, &err));
	assert_string_equal(ev.place[0], "/etc/a");
	assert_string_equal(ev.place[1], "/b");
	assert_int_equal(ev.place_dev[0], 0);
	assert_int_equal(ev.place_dev[1], 0x801);
	ACT(&r)->string_len[BH_TRACE_A_TARGET_PLACE] = 4;
	refused(&r, r.len, "a string of 4 bytes is broken");
}

static void make_claim(struct record *r, const char *path, const char *target)
{
	head(r, BH_TRACE_FILE, sizeof(struct bh_trace_act));
	HEAD(r)->flags = BH_TRACE_F_CLAIMED;
	ACT(r)->op = BH_TRACE_OP_RENAME;
	ACT(r)->string_len[BH_TRACE_A_PATH] = append(r, path, strlen(path) + 1);
	ACT(r)->string_len[BH_TRACE_A_TARGET] = append(r, target, strlen(target) + 1);
}

/* What the caller wrote, as the one path that it means. */
static void test_claimed_paths(void **state)
{
	static const char *const rows[][2] = {
		{"/etc/cron.d/job", "/etc/cron.d/job"},
		{"/etc/./cron.d//job/", "/etc/cron.d/job"},
		{"/usr/share/../bin/../../etc/x", "/etc/x"},
		{"/../../x", "/x"},
		{"/..", "/"},
		{"//", "/"},
		{"/.../..x/.y", "/.../..x/.y"},
		{"not/../whole", "not/../whole"},
	};
	struct bh_trace_event ev;
	struct bh_err err;
	struct record r;

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		make_claim(&r, rows[i][0], rows[i][0]);
		bh_assert_ok(&err, bh_trace_decode(r.u.bytes, r.len, &ev, &err));
		assert_string_equal(ev.path, rows[i][1]);
		assert_string_equal(ev.target, rows[i][1]);
	}
	make_claim(&r, "/a/../b", "/c");
	HEAD(&r)->flags = 0; /* the kernel's own path is not touched */
	bh_assert_ok(&err, bh_trace_decode(r.u.bytes, r.len, &ev, &err));
	assert_string_equal(ev.path, "/a/../b");
}

static void test_an_exit(void **state)
{
	struct bh_trace_event ev;
	struct bh_err err;
	struct record r;

	(void)state;
	head(&r, BH_TRACE_EXIT, sizeof(struct bh_trace_exit));
	EXIT(&r)->status = 9;
	bh_assert_ok(&err, bh_trace_decode(r.u.bytes, r.len, &ev, &err));
	assert_int_equal(ev.status, 9);
	assert_string_equal(ev.path, "");
	append(&r, "x", 1);
	refused(&r, r.len, "no exit");
}

/* Every shorter length, and every longer one that the header does not know. */
static void test_lengths(void **state)
{
	struct record r;

	(void)state;
	make_exec(&r);
	for (size_t n = 0; n < r.len; n++)
		refused(&r, n, "bytes");
	refused(&r, r.len + 1, "bytes");
	make_act(&r);
	for (size_t n = 0; n < r.len; n++) {
		HEAD(&r)->len = (uint32_t)n;
		refused(&r, n, "");
	}
}

static void test_bad_values(void **state)
{
	struct record r;

	(void)state;
	make_exec(&r);
	HEAD(&r)->version++;
	refused(&r, r.len, "version");
	make_exec(&r);
	HEAD(&r)->kind = BH_TRACE_KINDS;
	refused(&r, r.len, "kind");
	make_exec(&r);
	HEAD(&r)->slot = 0;
	refused(&r, r.len, "slot");
	make_exec(&r);
	HEAD(&r)->slot = BH_TRACE_SLOTS;
	refused(&r, r.len, "slot");
	make_exec(&r);
	EXEC(&r)->origin = BH_TRACE_O_COUNT;
	refused(&r, r.len, "origin");
	make_exec(&r);
	EXEC(&r)->stdio[2] = BH_TSTDIO_FIFO + 1;
	refused(&r, r.len, "stdio");
	make_act(&r);
	ACT(&r)->op = BH_TRACE_OPS;
	refused(&r, r.len, "op");
	make_act(&r);
	HEAD(&r)->kind = BH_TRACE_CALL;
	ACT(&r)->op = BH_CALL_CLASSES;
	refused(&r, r.len, "op");
}

static void test_broken_strings(void **state)
{
	struct record r;

	(void)state;
	make_exec(&r);
	r.u.bytes[sizeof(struct bh_trace_exec) + 3] = '\0'; /* ends early */
	refused(&r, r.len, "string");
	make_exec(&r);
	r.u.bytes[sizeof(struct bh_trace_exec) + 7] = 'x'; /* does not end */
	refused(&r, r.len, "string");
	make_exec(&r);
	EXEC(&r)->string_len[BH_TRACE_S_SCRIPT] = 60000;
	refused(&r, r.len, "string");
	make_exec(&r);
	EXEC(&r)->args_len++;
	refused(&r, r.len, "arguments");
	make_act(&r);
	append(&r, "x", 1);
	refused(&r, r.len, "behind its strings");
}

static void test_facts(void **state)
{
	struct bh_fact_key key = {.slot = 7, .kind = BH_TRACE_EXEC, .origin = BH_TRACE_O_MEMFD};
	struct bh_fact fact = {
		.count = 9, .generation = 2, .flags = BH_TRACE_F_UNSENT, .path = "/x"};
	struct bh_trace_event ev;
	struct bh_err err;

	(void)state;
	memcpy(key.name, "0123456789abcdef", BH_TRACE_NAME);
	bh_assert_ok(&err, bh_trace_decode_fact(&key, &fact, &ev, &err));
	assert_string_equal(ev.path, "/x");
	assert_string_equal(ev.comm, "0123456789abcdef");
	assert_int_equal(ev.count, 9);
	assert_int_equal(ev.flags, 0);
	memset(fact.path, 'x', sizeof(fact.path));
	bh_assert_fails(&err, -EBADMSG, "fact", bh_trace_decode_fact(&key, &fact, &ev, &err));
	fact.path[0] = '\0';
	key.kind = BH_TRACE_EXIT; /* never in the set */
	bh_assert_fails(&err, -EBADMSG, "fact", bh_trace_decode_fact(&key, &fact, &ev, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_exec),	   cmocka_unit_test(test_an_act),
		cmocka_unit_test(test_places),	   cmocka_unit_test(test_claimed_paths),
		cmocka_unit_test(test_an_exit),	   cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_bad_values), cmocka_unit_test(test_broken_strings),
		cmocka_unit_test(test_facts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
