#include "bh_test.h"

#include <errno.h>

#include "base/ip.h"

static struct bh_ip ip_of(const char *text)
{
	struct bh_ip ip = {0};
	struct bh_err err = {0};

	bh_assert_ok(&err, bh_ip_parse(text, &ip, &err));
	return ip;
}

static struct bh_cidr cidr_of(const char *text)
{
	struct bh_cidr c = {0};
	struct bh_err err = {0};

	bh_assert_ok(&err, bh_cidr_parse(text, &c, NULL, &err));
	return c;
}

static void test_ip_accepts(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{"0.0.0.0", "0.0.0.0"},
		{"255.255.255.255", "255.255.255.255"},
		{"10.2.30.4", "10.2.30.4"},
		{"127.0.0.1", "127.0.0.1"},
		{"::", "::"},
		{"::1", "::1"},
		{"1::", "1::"},
		{"2001:DB8::A", "2001:db8::a"},
		{"2001:db8:0:0:0:0:0:1", "2001:db8::1"},
		{"2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"},
		{"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
		{"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
		{"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
		{"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
		{"fe80::1", "fe80::1"},
		{"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
		{"::ffff:0:0:1", "::ffff:0:0:1"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	};
	char out[BH_IP_TEXT];

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_ip ip = ip_of(rows[i].in), again;

		assert_ptr_equal(bh_ip_format(&ip, out), out);
		assert_string_equal(out, rows[i].want);
		again = ip_of(out);
		assert_int_equal(bh_ip_cmp(&ip, &again), 0);
		assert_int_equal(bh_ip_is4(&ip), strchr(rows[i].in, ':') == NULL);
	}
}

static const char *const bad_addresses[] = {
	"",
	" ",
	".",
	"1",
	"1.2.3",
	"1.2.3.",
	".1.2.3",
	"1..2.3",
	"1.2.3.4.5",
	"1.2.3.4.",
	"1.2.3.256",
	"1.2.3.999",
	"1.2.3.99999999999",
	"01.2.3.4",
	"1.2.3.04",
	"00.0.0.0",
	"1.2.3.00",
	"+1.2.3.4",
	"-1.2.3.4",
	"1.2.3.4 ",
	" 1.2.3.4",
	"1.2.3.4\n",
	"1. 2.3.4",
	"0x1.2.3.4",
	"1.2.3.a",
	"1.2.3.4/24",
	"16909060",
	"localhost",
	"\xd9\xa1.2.3.4", /* an Arabic digit */
	":",
	":::",
	"1",
	"1::2::3",
	"1:2:3:4:5:6:7",
	"1:2:3:4:5:6:7:8:9",
	"1:2:3:4:5:6:7:8::",
	"::1:2:3:4:5:6:7:8",
	":1:2:3:4:5:6:7",
	"1:2:3:4:5:6:7:",
	"12345::",
	"00001::",
	"g::",
	"::1 ",
	" ::1",
	"[::1]",
	"::1/128",
	"::1.2.3",
	"::1.2.3.256",
	"::1.2.3.04",
	"1.2.3.4::",
	"::1.2.3.4:5",
	"fe80::1%eth0",
	"::1%",
	"1.2.3.4%1",
	/* v4-mapped, in every spelling */
	"::ffff:1.2.3.4",
	"::ffff:102:304",
	"::FFFF:0:0",
	"0:0:0:0:0:ffff:1.2.3.4",
	"0000:0000:0000:0000:0000:ffff:0102:0304",
};

static void test_ip_refuses(void **state)
{
	struct bh_err err;

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(bad_addresses); i++) {
		struct bh_ip ip = bh_ip_from4(0x01020304), before = ip;

		if (bh_ip_parse(bad_addresses[i], &ip, &err) != -EINVAL)
			fail_msg("'%s' is accepted", bad_addresses[i]);
		assert_memory_equal(&ip, &before, sizeof(ip));
	}
}

static void test_ip_says_why(void **state)
{
	struct bh_ip ip;
	struct bh_err err;

	(void)state;
	bh_assert_fails(&err, -EINVAL, "zone", bh_ip_parse("fe80::1%eth0", &ip, &err));
	bh_assert_fails(&err, -EINVAL, "v4-mapped", bh_ip_parse("::ffff:1.2.3.4", &ip, &err));
	bh_assert_fails(&err, -EINVAL, "'a.b' is not an IP address", bh_ip_parse("a.b", &ip, &err));
}

/* every text that a dotted quad's octet can be, against the plain rule */
static void test_every_octet(void **state)
{
	struct bh_err err;
	char text[32];

	(void)state;
	for (unsigned n = 0; n < 1100; n++) {
		for (int width = 1; width <= 4; width++) {
			struct bh_ip ip;
			char octet[16];
			int r;

			snprintf(octet, sizeof(octet), "%0*u", width, n);
			snprintf(text, sizeof(text), "9.%s.8.7", octet);
			r = bh_ip_parse(text, &ip, &err);
			if (n > 255 || (octet[0] == '0' && octet[1])) {
				assert_int_equal(r, -EINVAL);
				continue;
			}
			assert_int_equal(r, 0);
			assert_int_equal(bh_ip_to4(&ip), 9u << 24 | n << 16 | 8u << 8 | 7u);
		}
	}
}

static void test_4_is_mapped(void **state)
{
	static const uint8_t want[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 2, 30, 4};
	struct bh_ip ip = ip_of("10.2.30.4"), v6 = ip_of("::10.2.30.4");

	(void)state;
	assert_memory_equal(ip.b, want, sizeof(want));
	assert_int_equal(bh_ip_to4(&ip), 0x0a021e04);
	assert_true(bh_ip_is4(&ip));
	assert_false(bh_ip_is4(&v6));
	ip = bh_ip_from4(0xffffffff);
	assert_int_equal(bh_ip_to4(&ip), 0xffffffff);
	assert_true(bh_ip_is4(&ip));
}

static void test_ip_order(void **state)
{
	static const char *const sorted[] = {
		"::",	     "::1", "0.0.0.0",	  "9.9.9.9", "10.0.0.0", "10.0.0.1",
		"200.0.0.0", "1::", "2001:db8::", "fe80::",  "ff02::1"};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(sorted); i++) {
		for (size_t j = 0; j < BH_ARRAY_SIZE(sorted); j++) {
			struct bh_ip a = ip_of(sorted[i]), b = ip_of(sorted[j]);
			int r = bh_ip_cmp(&a, &b);

			assert_int_equal((r > 0) - (r < 0), (i > j) - (i < j));
		}
	}
}

static void test_cidr_accepts(void **state)
{
	static const struct {
		const char *in, *want;
		unsigned len;
		bool is_masked;
	} rows[] = {
		{"0.0.0.0/0", "0.0.0.0/0", 96, false},
		{"10.0.0.0/8", "10.0.0.0/8", 104, false},
		{"10.1.2.3/8", "10.0.0.0/8", 104, true},
		{"10.1.2.3/32", "10.1.2.3/32", 128, false},
		{"10.1.2.3/31", "10.1.2.2/31", 127, true},
		{"255.255.255.255/1", "128.0.0.0/1", 97, true},
		{"1.2.3.4/0", "0.0.0.0/0", 96, true},
		{"::/0", "::/0", 0, false},
		{"::1/0", "::/0", 0, true},
		{"2001:db8::/32", "2001:db8::/32", 32, false},
		{"2001:db8::1/32", "2001:db8::/32", 32, true},
		{"2001:db8::1/128", "2001:db8::1/128", 128, false},
		{"ffff::/1", "8000::/1", 1, true},
		{"fe80::/10", "fe80::/10", 10, false},
		{"2001:db8:ffff::/33", "2001:db8:8000::/33", 33, true},
		{"::ffff:0:0:0/90", "::ffff:0:0:0/90", 90, false},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_err err = {0};
		struct bh_cidr c;
		bool is_masked;
		char out[BH_CIDR_TEXT];

		bh_assert_ok(&err, bh_cidr_parse(rows[i].in, &c, &is_masked, &err));
		assert_int_equal(c.len, rows[i].len);
		assert_int_equal(is_masked, rows[i].is_masked);
		assert_ptr_equal(bh_cidr_format(&c, out), out);
		assert_string_equal(out, rows[i].want);
	}
}

static void test_cidr_refuses(void **state)
{
	static const char *const rows[] = {
		"",
		"/",
		"/8",
		"10.0.0.0",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.0/+8",
		"10.0.0.0/08",
		"10.0.0.0/00",
		"10.0.0.0/8 ",
		"10.0.0.0/ 8",
		"10.0.0.0 /8",
		"10.0.0.0/8/8",
		"10.0.0.0/0x8",
		"10.0.0.0/255.0.0.0",
		"10.0.0.0/99999999999999999999",
		"10.0.0/8",
		"010.0.0.0/8",
		"::/129",
		"::/1280",
		"::/a",
		"2001:db8::",
		"fe80::%eth0/10",
		"fe80::/10%eth0",
		"::ffff:10.0.0.0/104",
		"::ffff:0:0/96",
		"::ffff:0:0/0",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc/8",
	};
	struct bh_err err;

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_cidr c;

		if (bh_cidr_parse(rows[i], &c, NULL, &err) != -EINVAL)
			fail_msg("'%s' is accepted", rows[i]);
	}
}

static void test_cidr_has(void **state)
{
	static const struct {
		const char *cidr, *ip;
		bool want;
	} rows[] = {
		{"0.0.0.0/0", "1.2.3.4", true},
		{"0.0.0.0/0", "::", false},
		{"0.0.0.0/0", "2001:db8::1", false},
		{"::/0", "2001:db8::1", true},
		{"::/0", "::", true},
		{"::/0", "1.2.3.4", false},
		{"::/0", "0.0.0.0", false},
		{"::/1", "1.2.3.4", false},
		{"::/80", "1.2.3.4", false},
		{"10.0.0.0/8", "10.255.255.255", true},
		{"10.0.0.0/8", "11.0.0.0", false},
		{"10.0.0.0/8", "9.255.255.255", false},
		{"10.0.0.128/25", "10.0.0.128", true},
		{"10.0.0.128/25", "10.0.0.127", false},
		{"10.0.0.1/32", "10.0.0.1", true},
		{"10.0.0.1/32", "10.0.0.0", false},
		{"10.0.0.0/31", "10.0.0.1", true},
		{"128.0.0.0/1", "127.255.255.255", false},
		{"128.0.0.0/1", "128.0.0.0", true},
		{"2001:db8::/33", "2001:db8:7fff::1", true},
		{"2001:db8::/33", "2001:db8:8000::", false},
		{"2001:db8::1/128", "2001:db8::1", true},
		{"2001:db8::1/128", "2001:db8::2", false},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_cidr c = cidr_of(rows[i].cidr);
		struct bh_ip ip = ip_of(rows[i].ip);

		if (bh_cidr_has(&c, &ip) != rows[i].want)
			fail_msg("%s in %s", rows[i].ip, rows[i].cidr);
	}
}

static void test_cidr_covers(void **state)
{
	static const struct {
		const char *outer, *inner;
		bool want;
	} rows[] = {
		{"10.0.0.0/8", "10.0.0.0/8", true},
		{"10.0.0.0/8", "10.0.0.0/7", false},
		{"10.0.0.0/8", "10.1.0.0/16", true},
		{"10.0.0.0/8", "11.0.0.0/16", false},
		{"0.0.0.0/0", "10.1.0.0/16", true},
		{"0.0.0.0/0", "0.0.0.0/0", true},
		{"::/0", "10.0.0.0/8", false},
		{"::/0", "0.0.0.0/0", false},
		{"0.0.0.0/0", "::/0", false},
		{"0.0.0.0/0", "2001:db8::/32", false},
		{"::/0", "2001:db8::/32", true},
		{"2001:db8::/32", "2001:db8::/31", false},
		{"2001:db8::/32", "2001:db8:ffff::/48", true},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_cidr outer = cidr_of(rows[i].outer), inner = cidr_of(rows[i].inner);

		if (bh_cidr_covers(&outer, &inner) != rows[i].want)
			fail_msg("%s covers %s", rows[i].outer, rows[i].inner);
	}
}

/* has() bit by bit against the definition, over all prefix lengths */
static void test_cidr_has_all_lengths(void **state)
{
	struct bh_ip ip = ip_of("a5a5:5a5a:f00f:0ff0:1234:8765:fedc:cdef");

	(void)state;
	for (unsigned len = 0; len <= 128; len++) {
		char text[BH_CIDR_TEXT + 8], addr[BH_IP_TEXT];
		struct bh_cidr c;

		snprintf(text, sizeof(text), "%s/%u", bh_ip_format(&ip, addr), len);
		c = cidr_of(text);
		assert_int_equal(c.len, len);
		assert_true(bh_cidr_has(&c, &ip));
		for (unsigned bit = 0; bit < 128; bit++) {
			struct bh_ip other = ip;

			other.b[bit / 8] ^= (uint8_t)(0x80 >> (bit % 8));
			assert_int_equal(bh_cidr_has(&c, &other), bit >= len);
		}
	}
}

static void test_cidr_order(void **state)
{
	static const char *const sorted[] = {"::/0",	   "0.0.0.0/0",	  "0.0.0.0/8",
					     "10.0.0.0/8", "10.0.0.0/16", "10.1.0.0/16",
					     "2001::/16",  "2001::/32"};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(sorted); i++) {
		for (size_t j = 0; j < BH_ARRAY_SIZE(sorted); j++) {
			struct bh_cidr a = cidr_of(sorted[i]), b = cidr_of(sorted[j]);
			int r = bh_cidr_cmp(&a, &b);

			assert_int_equal((r > 0) - (r < 0), (i > j) - (i < j));
		}
	}
}

static void test_proto_round_trip(void **state)
{
	static const struct {
		const char *in, *out;
		int number;
	} rows[] = {
		{"TCP", "TCP", 6},	  {"tcp", "TCP", 6},   {"Udp", "UDP", 17},
		{"sctp", "SCTP", 132},	  {"icmp", "ICMP", 1}, {"ICMPv6", "ICMPV6", 58},
		{"6", "TCP", 6},	  {"0", "0", 0},       {"47", "47", 47},
		{"255", "255", 255},	  {"256", NULL, 0},    {"-1", NULL, 0},
		{"06", NULL, 0},	  {"", NULL, 0},       {"TC", NULL, 0},
		{"TCPX", NULL, 0},	  {"6 ", NULL, 0},     {"TCP ", NULL, 0},
		{"99999999999", NULL, 0}, {"0x6", NULL, 0},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		uint8_t proto = 99;
		char out[8];

		if (!rows[i].out) {
			assert_int_equal(bh_proto_parse(rows[i].in, &proto), -EINVAL);
			assert_int_equal(proto, 99);
			continue;
		}
		assert_int_equal(bh_proto_parse(rows[i].in, &proto), 0);
		assert_int_equal(proto, rows[i].number);
		assert_string_equal(bh_proto_format(proto, out), rows[i].out);
	}
}

static void test_port_proto_accepts(void **state)
{
	static const struct {
		const char *in;
		uint16_t port;
		uint8_t proto;
	} rows[] = {
		{"80/TCP", 80, 6},  {"0/tcp", 0, 6},   {"65535/UDP", 65535, 17},
		{"1/sctp", 1, 132}, {"ICMP", 0, 1},    {"icmpv6", 0, 58},
		{"0/ICMP", 0, 1},   {"53/17", 53, 17}, {"0/47", 0, 47},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_err err = {0};
		uint16_t port;
		uint8_t proto;

		bh_assert_ok(&err, bh_port_proto_parse(rows[i].in, &port, &proto, &err));
		assert_int_equal(port, rows[i].port);
		assert_int_equal(proto, rows[i].proto);
	}
}

static void test_port_proto_refuses(void **state)
{
	static const struct {
		const char *in, *why;
	} rows[] = {
		{"80", "needs a protocol, as in '80/TCP'"},
		{"", "protocol is not"},
		{"/", "protocol is not"},
		{"80/", "protocol is not"},
		{"80/XTP", "protocol is not"},
		{"80/TCP/", "protocol is not"},
		{"80/256", "protocol is not"},
		{"TCP", "needs a port, as in '80/TCP'"},
		{"/TCP", "port is not 0-65535"},
		{"65536/TCP", "port is not 0-65535"},
		{"-1/TCP", "port is not 0-65535"},
		{"080/TCP", "port is not 0-65535"},
		{" 80/TCP", "port is not 0-65535"},
		{"80 /TCP", "port is not 0-65535"},
		{"http/TCP", "port is not 0-65535"},
		{"99999999999999999999/TCP", "port is not 0-65535"},
		{"8/ICMP", "'ICMP' has no ports"},
		{"80/47", "'47' has no ports"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_err err;
		uint16_t port = 7;
		uint8_t proto = 7;

		bh_assert_fails(&err, -EINVAL, rows[i].why,
				bh_port_proto_parse(rows[i].in, &port, &proto, &err));
		assert_int_equal(port, 7);
		assert_int_equal(proto, 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ip_accepts),
		cmocka_unit_test(test_ip_refuses),
		cmocka_unit_test(test_ip_says_why),
		cmocka_unit_test(test_every_octet),
		cmocka_unit_test(test_4_is_mapped),
		cmocka_unit_test(test_ip_order),
		cmocka_unit_test(test_cidr_accepts),
		cmocka_unit_test(test_cidr_refuses),
		cmocka_unit_test(test_cidr_has),
		cmocka_unit_test(test_cidr_covers),
		cmocka_unit_test(test_cidr_has_all_lengths),
		cmocka_unit_test(test_cidr_order),
		cmocka_unit_test(test_proto_round_trip),
		cmocka_unit_test(test_port_proto_accepts),
		cmocka_unit_test(test_port_proto_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
