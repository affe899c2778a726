#include "bh_test.h"

#include <endian.h>
#include <errno.h>

#include "base/json.h"
#include "ctl/frame.h"

static struct bh_frame_reader reader;
static struct bh_err err;

static int teardown(void **state)
{
	(void)state;
	bh_frame_done(&reader);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	memset(&reader, 0, sizeof(reader));
	reader.max = 1024;
	return 0;
}

/* A frame around any bytes, so that bad ones can be made too. */
static size_t make(char *out, struct bh_ctl_header h, const void *body, size_t n)
{
	h.magic = htole32(h.magic);
	h.version = htole16(h.version);
	h.flags = htole16(h.flags);
	h.length = htole32(h.length);
	memcpy(out, &h, sizeof(h));
	memcpy(out + sizeof(h), body, n);
	return sizeof(h) + n;
}

static size_t make_good(char *out, const char *body)
{
	struct bh_ctl_header h = {
		.magic = BH_CTL_MAGIC, .version = BH_CTL_VERSION, .length = (uint32_t)strlen(body)};

	return make(out, h, body, strlen(body));
}

static void test_encoded_bytes(void **state)
{
	static const unsigned char want[] = {'B', 'K', 'H', '1', 1, 0, 1, 0, 7, 0, 0, 0};
	json_t *body = json_pack("{s:i}", "a", 1);
	char *frame = NULL;
	size_t len = 0;

	(void)state;
	bh_assert_ok(&err, bh_frame_encode(body, BH_CTL_MORE, &frame, &len, &err));
	assert_int_equal(len, sizeof(want) + 7);
	assert_memory_equal(frame, want, sizeof(want));
	assert_memory_equal(frame + sizeof(want), "{\"a\":1}", 7);
	free(frame);
	json_decref(body);
}

static void test_round_trip_byte_by_byte(void **state)
{
	json_t *body = json_pack("{s:s, s:[i,i]}", "text", "gr\xc3\xbc\xc3\x9f", "v", 1, 2);
	json_t *back = NULL;
	unsigned flags = 99;
	char *frame = NULL;
	size_t len = 0;

	(void)state;
	bh_assert_ok(&err, bh_frame_encode(body, BH_CTL_MORE, &frame, &len, &err));
	for (size_t i = 0; i < len; i++) {
		assert_int_equal(bh_frame_next(&reader, &back, &flags, &err), 0);
		assert_int_equal(bh_frame_is_partial(&reader), i > 0);
		bh_assert_ok(&err, bh_frame_feed(&reader, frame + i, 1, &err));
	}
	assert_int_equal(bh_frame_next(&reader, &back, &flags, &err), 1);
	assert_int_equal(flags, BH_CTL_MORE);
	assert_true(json_equal(back, body));
	assert_false(bh_frame_is_partial(&reader));
	assert_null(reader.buf);
	json_decref(back);
	json_decref(body);
	free(frame);
}

static void test_two_frames_in_one_read(void **state)
{
	char bytes[256];
	size_t n = make_good(bytes, "{\"n\":1}");
	json_t *body = NULL;
	unsigned flags;

	(void)state;
	n += make_good(bytes + n, "{\"n\":22}");
	bh_assert_ok(&err, bh_frame_feed(&reader, bytes, n, &err));
	assert_int_equal(bh_frame_next(&reader, &body, &flags, &err), 1);
	assert_int_equal(json_integer_value(json_object_get(body, "n")), 1);
	json_decref(body);
	assert_true(bh_frame_is_partial(&reader));
	assert_int_equal(bh_frame_next(&reader, &body, &flags, &err), 1);
	assert_int_equal(json_integer_value(json_object_get(body, "n")), 22);
	json_decref(body);
	assert_int_equal(bh_frame_next(&reader, &body, &flags, &err), 0);
}

static void test_bad_second_frame_is_seen(void **state)
{
	char bytes[256];
	size_t n = make_good(bytes, "{}");
	json_t *body = NULL;
	unsigned flags;

	(void)state;
	memcpy(bytes + n, "GET / HTTP/1.0\r\n", 16);
	bh_assert_ok(&err, bh_frame_feed(&reader, bytes, n + 16, &err));
	assert_int_equal(bh_frame_next(&reader, &body, &flags, &err), 1);
	json_decref(body);
	bh_assert_fails(&err, -EPROTO, "not the control protocol",
			bh_frame_next(&reader, &body, &flags, &err));
}

static void test_bad_headers(void **state)
{
	static const struct {
		const char *name;
		struct bh_ctl_header h;
		int code;
		const char *part;
	} rows[] = {
		{"magic", {0x31484b43, 1, 0, 2}, -EPROTO, "not the control protocol"},
		{"version 0", {BH_CTL_MAGIC, 0, 0, 2}, -EPROTO, "version 0"},
		{"version 2", {BH_CTL_MAGIC, 2, 0, 2}, -EPROTO, "version 2"},
		{"flags", {BH_CTL_MAGIC, 1, 2, 2}, -EPROTO, "unknown flags 0x2"},
		{"length 0", {BH_CTL_MAGIC, 1, 0, 0}, -EMSGSIZE, "of 0 bytes"},
		{"length over max", {BH_CTL_MAGIC, 1, 0, 1025}, -EMSGSIZE, "of 1025 bytes"},
		{"length 4 GiB", {BH_CTL_MAGIC, 1, 0, UINT32_MAX}, -EMSGSIZE, "4294967295"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		char bytes[64];
		size_t n = make(bytes, rows[i].h, "{}", 2);

		print_message("%s\n", rows[i].name);
		bh_assert_fails(&err, rows[i].code, rows[i].part,
				bh_frame_feed(&reader, bytes, n, &err));
		bh_frame_done(&reader);
	}
}

static void test_wrong_magic_needs_four_bytes(void **state)
{
	(void)state;
	bh_assert_ok(&err, bh_frame_feed(&reader, "GET", 3, &err));
	bh_assert_fails(&err, -EPROTO, "not the control", bh_frame_feed(&reader, " ", 1, &err));
}

static void test_bad_bodies(void **state)
{
	static const struct {
		const char *body;
		int code;
	} rows[] = {
		{"[]", -EINVAL},
		{"\"x\"", -EINVAL},
		{"{", -EINVAL},
		{"{} x", -EINVAL},
		{"{\"a\":1,\"a\":2}", -EINVAL},
		{"\xff\xfe", -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		json_t *body = NULL;
		unsigned flags;
		char bytes[64];
		size_t n = make_good(bytes, rows[i].body);

		bh_assert_ok(&err, bh_frame_feed(&reader, bytes, n, &err));
		bh_assert_fails(&err, rows[i].code, "control frame",
				bh_frame_next(&reader, &body, &flags, &err));
		assert_null(body);
		bh_frame_done(&reader);
	}
}

/* what a header announces costs nothing until it arrives */
static void test_memory_follows_bytes(void **state)
{
	struct bh_ctl_header h = {BH_CTL_MAGIC, 1, 0, BH_CTL_MAX_REPLY};
	char bytes[64];
	size_t n = make(bytes, h, "{", 1);

	(void)state;
	reader.max = BH_CTL_MAX_REPLY;
	bh_assert_ok(&err, bh_frame_feed(&reader, bytes, n, &err));
	assert_true(reader.cap <= 4096);
}

static void test_encode_refuses_what_is_no_json(void **state)
{
	char *frame = NULL;
	size_t len;

	(void)state;
	bh_assert_fails(&err, -EINVAL, "not a JSON", bh_frame_encode(NULL, 0, &frame, &len, &err));
	assert_null(frame);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_encoded_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_round_trip_byte_by_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_frames_in_one_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_second_frame_is_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_headers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_magic_needs_four_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_bodies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_follows_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_encode_refuses_what_is_no_json, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
