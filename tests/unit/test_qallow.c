/* What may be written behind `quarantine --allow`. */
#include <string.h>

#include "bh_test.h"
#include "daemon/isolate.h"

static void takes_prefixes_and_addresses(void **state)
{
	static const struct {
		const char *text, *cidr;
		uint16_t port;
		uint8_t proto;
	} rows[] = {
		{"10.0.0.0/8", "10.0.0.0/8", 0, 0},
		{"10.0.0.5", "10.0.0.5/32", 0, 0},
		{"10.0.0.5/32:22/TCP", "10.0.0.5/32", 22, 6},
		{"10.0.0.5:22/TCP", "10.0.0.5/32", 22, 6},
		{"0.0.0.0/0:53/UDP", "0.0.0.0/0", 53, 17},
		{"::/0", "::/0", 0, 0},
		{"fd00::/64:80/TCP", "fd00::/64", 80, 6},
		{"fd00::5", "fd00::5/128", 0, 0},
		{"[fd00::5]:80/TCP", "fd00::5/128", 80, 6},
		{"[fd00::/64]", "fd00::/64", 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_qallow_entry e;
		char text[BH_CIDR_TEXT];
		struct bh_err err;

		bh_assert_ok(&err, bh_qallow_parse(rows[i].text, &e, &err));
		assert_string_equal(bh_cidr_format(&e.cidr, text), rows[i].cidr);
		assert_int_equal(e.port, rows[i].port);
		assert_int_equal(e.proto, rows[i].proto);
	}
}

static void refuses_what_is_neither(void **state)
{
	static const char *const rows[] = {
		"",
		":",
		":80/TCP",
		"[]",
		"[fd00::5",
		"[fd00::5]80",
		"[",
		"10.0.0.5:22",
		"10.0.0.5:70000/TCP",
		"10.0.0.5/33",
		"010.0.0.5",
		"fd00::5:80/TCP",
		"::ffff:10.0.0.5",
		"pod",
		"10.0.0.5 ",
		"10.0.0.5/32/32",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc"};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_qallow_entry e;
		struct bh_err err = {0};

		if (bh_qallow_parse(rows[i], &e, &err) >= 0)
			fail_msg("'%s' was taken", rows[i]);
		assert_true(err.text[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_prefixes_and_addresses),
		cmocka_unit_test(refuses_what_is_neither),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
