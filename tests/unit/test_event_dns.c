/* Names as they travel: what is one, what is not, how it reads. */
#include "bh_test.h"

#include <errno.h>

#include "event/dns.h"
#include "event/trace.h"

struct row {
	const char *wire;
	size_t len;
	const char *text; /* NULL: refused */
};
#define ROW(wire, text)                                                                            \
	{                                                                                          \
		wire, sizeof(wire) - 1, text                                                       \
	}

#define L63                                                                                        \
	"\x3f"                                                                                     \
	"abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0"
#define T63 "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0"
#define L61                                                                                        \
	"\x3d"                                                                                     \
	"abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxy"

static void test_names(void **state)
{
	static const struct row rows[] = {
		ROW("\0", "."),
		ROW("\1a\0", "a"),
		ROW("\3www\7example\3org\0", "www.example.org"),
		ROW("\3w.w\2a\\\0", "w\\.w.a\\\\"),
		ROW("\2\xff \0", "\\255\\032"),
		ROW(L63 L63 L63 L61 "\0", T63 "." T63 "." T63 "."
					      "abcdefghijklmnopqrstuvwxyz"
					      "0123456789abcdefghijklmnopqrstuvwxy"),
		ROW("", NULL),	  /* nothing */
		ROW("\1a", NULL), /* no root */
		ROW("\1", NULL),
		ROW("\2a\0", NULL),    /* the label is longer than what is there */
		ROW("\1a\0\0", NULL),  /* something behind the root */
		ROW("\xc0\x0c", NULL), /* compression */
		ROW("\1a\xc0\0", NULL),
		ROW("\x40" T63 "a\0", NULL),	 /* 64 */
		ROW(L63 L63 L63 L63 "\0", NULL), /* 257 */
	};
	char text[BH_DNS_TEXT];
	struct bh_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int r = bh_dns_text((const uint8_t *)rows[i].wire, rows[i].len, text, &err);

		if (r != (rows[i].text ? 0 : -EBADMSG))
			fail_msg("row %zu: %d", i, r);
		if (rows[i].text)
			assert_string_equal(text, rows[i].text);
	}
}

/* The longest text there can be fits. */
static void test_longest(void **state)
{
	uint8_t wire[255];
	char text[BH_DNS_TEXT];
	struct bh_err err;

	(void)state;
	memset(wire, 0xff, sizeof(wire));
	wire[0] = wire[64] = wire[128] = 63;
	wire[192] = 61;
	wire[254] = 0;
	bh_assert_ok(&err, bh_dns_text(wire, sizeof(wire), text, &err));
	assert_int_equal(strlen(text), 250 * 4 + 3);
}

static void test_words(void **state)
{
	char out[16];

	(void)state;
	assert_string_equal(bh_dns_type(1, out), "A");
	assert_string_equal(bh_dns_type(16, out), "TXT");
	assert_string_equal(bh_dns_type(65280, out), "TYPE65280");
	assert_string_equal(bh_dns_rcode(0), "NoError");
	assert_string_equal(bh_dns_rcode(3), "NXDomain");
	assert_string_equal(bh_dns_rcode(11), "Other");
}

#define NAMED 6 /* bytes of the name in the record below */
#define LEN   (sizeof(struct bh_trace_dns) + NAMED)

static int decode(const char wire[NAMED], uint16_t name_len, uint8_t is_answer,
		  struct bh_trace_event *ev)
{
	const struct bh_trace_dns r = {.head = {.version = BH_TRACE_VERSION,
						.kind = BH_TRACE_DNS,
						.len = LEN,
						.slot = 3,
						.generation = 9},
				       .type = 16,
				       .name_len = name_len,
				       .is_answer = is_answer,
				       .rcode = 3};
	uint8_t bytes[LEN];
	struct bh_err err;

	memcpy(bytes, &r, sizeof(r));
	memcpy(bytes + sizeof(r), wire, NAMED);
	return bh_trace_decode(bytes, LEN, ev, &err);
}

static void test_records(void **state)
{
	struct bh_trace_event ev;

	(void)state;
	assert_int_equal(decode("\1a\2bc", NAMED, 1, &ev), 0);
	assert_string_equal(ev.name, "a.bc");
	assert_int_equal(ev.type, 16);
	assert_int_equal(ev.rcode, 3);
	assert_true(ev.is_answer);
	assert_int_equal(decode("\1a\2bc", NAMED - 1, 1, &ev), -EBADMSG);
	assert_int_equal(decode("\1a\2bc", NAMED + 1, 1, &ev), -EBADMSG);
	assert_int_equal(decode("\1a\3bc", NAMED, 1, &ev), -EBADMSG);
	assert_int_equal(decode("\1a\2bc", NAMED, 2, &ev), -EBADMSG);
}

static void test_entries(void **state)
{
	struct bh_dns_key key = {.slot = 2, .type = 28, .name = "\1x"};
	struct bh_dns value = {.name_len = 3, .generation = 4, .questions = 6, .first_ns = 77};
	struct bh_trace_event ev;
	struct bh_err err;

	(void)state;
	bh_assert_ok(&err, bh_trace_decode_name(&key, &value, &ev, &err));
	assert_string_equal(ev.name, "x");
	assert_int_equal(ev.count, 6);
	assert_int_equal(ev.ts_ns, 77);
	value.name_len = 257;
	assert_int_equal(bh_trace_decode_name(&key, &value, &ev, &err), -EBADMSG);
	value.name_len = 3;
	key.slot = 0;
	assert_int_equal(bh_trace_decode_name(&key, &value, &ev, &err), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	cmocka_unit_test(test_longest),
		cmocka_unit_test(test_words),	cmocka_unit_test(test_records),
		cmocka_unit_test(test_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
