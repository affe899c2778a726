/* test_odd.c - packets that few people ever see: rare protocols, rare headers, rare flags. */
#include "rows.h"

#define F_URG 0x20
#define F_ECN 0xc0
#define HOP8  "000000000000" /* the rest of an empty extension header */

static const struct spec syn_odd = {TCP(POD, WEB, 1000, 80, F_SYN)};
static const struct spec rst_in = {TCP(WEB, POD, 80, 1000, F_RST)};
static const struct spec syn_ack_in = {TCP(WEB, POD, 80, 1000, F_SYN | F_ACK)};
static const struct spec sctp_out = {SCTP(POD, WEB, 1000, 99)};
static const struct spec gre_out = {RAW(POD, PAL, 47)};
static const struct spec v4_udp = {UDP(POD, WEB, 1000, 53)};
static const struct spec v6_udp = {UDP(POD_6, WEB_6, 1000, 53)};

static const struct row rows[] = {
	/* ethertypes */
	{"two service tags", NULL, .dir = OUT, .spec = {.ethertype = 0x9100, .body = "00010800"},
	 .want = BH_R_ETHERTYPE},
	{"PPPoE", NULL, .dir = OUT, .spec = {.ethertype = 0x8864, .body = "1100000100160021"},
	 .want = BH_R_ETHERTYPE},
	{"LLDP", NULL, .dir = IN, .spec = {.ethertype = 0x88cc, .body = "0207040200000001"},
	 .want = BH_R_ETHERTYPE},
	{"EAPOL", NULL, .dir = OUT, .spec = {.ethertype = 0x888e, .body = "01010000"},
	 .want = BH_R_ETHERTYPE},
	{"MACsec", NULL, .dir = OUT, .spec = {.ethertype = 0x88e5, .body = "2c00000000010800"},
	 .want = BH_R_ETHERTYPE},
	/* other protocols ask for a rule without ports */
	{"IGMP", NULL, .dir = OUT, .spec = {RAW(POD, "224.0.0.22", 2)}, .want = BH_R_MULTICAST},
	{"IP in IP", NULL, .dir = OUT, .spec = {RAW(POD, WEB, 4)}, .want = BH_R_DEFAULT_DENY},
	{"IPv6 in IPv4", NULL, .dir = OUT, .spec = {RAW(POD, WEB, 41)}, .want = BH_R_DEFAULT_DENY},
	{"IPv6 in IPv4, everything allowed", NULL, .dir = OUT, .spec = {RAW(POD, PAL, 41)},
	 .want = BH_R_POLICY},
	{"UDP-Lite is not UDP", NULL, .dir = OUT,
	 .spec = {.src = POD, .dst = WEB, .proto = 136, .body = "03e8003500080000"},
	 .want = BH_R_DEFAULT_DENY},
	{"DCCP is not TCP", NULL, .dir = OUT,
	 .spec = {.src = POD, .dst = WEB, .proto = 33, .body = "03e8005003000000"},
	 .want = BH_R_DEFAULT_DENY},
	{"protocol 255", NULL, .dir = OUT, .spec = {RAW(POD, WEB, 255)}, .want = BH_R_DEFAULT_DENY},
	{"answer in GRE",
	 NULL,
	 {{&gre_out, OUT}},
	 .dir = IN,
	 .spec = {RAW(PAL, POD, 47)},
	 .want = BH_R_ESTABLISHED},
	{"ESP is no answer to GRE",
	 NULL,
	 {{&gre_out, OUT}},
	 .dir = IN,
	 .spec = {RAW(FAR, POD, 50)},
	 .want = BH_R_DEFAULT_DENY},
	{"SCTP abort in answer",
	 NULL,
	 {{&sctp_out, OUT}},
	 .dir = IN,
	 .spec = {SCTP(WEB, POD, 99, 1000), .payload = 4},
	 .want = BH_R_ESTABLISHED},
	{"SCTP from another port",
	 NULL,
	 {{&sctp_out, OUT}},
	 .dir = IN,
	 .spec = {SCTP(WEB, POD, 98, 1000), .payload = 4},
	 .want = BH_R_DEFAULT_DENY},
	/* ports */
	{"UDP from port 0", NULL, .dir = OUT, .spec = {UDP(POD, WEB, 0, 53)}, .want = BH_R_POLICY},
	{"UDP to port 0", NULL, .dir = OUT, .spec = {UDP(POD, WEB, 1000, 0)},
	 .want = BH_R_DEFAULT_DENY},
	{"TCP to port 0", NULL, .dir = OUT, .spec = {TCP(POD, WEB, 1000, 0, F_SYN)},
	 .want = BH_R_DEFAULT_DENY},
	/* TCP flags */
	{"SYN with ECN", NULL, .dir = OUT, .spec = {TCP(POD, WEB, 1, 80, F_SYN | F_ECN)},
	 .want = BH_R_POLICY},
	{"urgent SYN", NULL, .dir = OUT, .spec = {TCP(POD, WEB, 1, 80, F_SYN | F_URG)},
	 .want = BH_R_POLICY},
	{"SYN with data", NULL, .dir = OUT, .spec = {TCP(POD, WEB, 1, 80, F_SYN), .payload = 600},
	 .want = BH_R_POLICY},
	{"SYN with data, denied", NULL, .dir = OUT,
	 .spec = {TCP(POD, FAR, 1, 80, F_SYN), .payload = 600}, .want = BH_R_DEFAULT_DENY},
	{"SYN and RST", NULL, .dir = OUT, .spec = {TCP(POD, FAR, 1, 80, F_SYN | F_RST)},
	 .want = BH_R_DEFAULT_DENY},
	{"everything at once", NULL, .dir = OUT, .spec = {TCP(POD, WEB, 1, 80, 0xff)},
	 .want = BH_R_NO_CONNECTION},
	{"ECN alone", NULL, .dir = OUT, .spec = {TCP(POD, WEB, 1, 80, F_ECN)},
	 .want = BH_R_NO_CONNECTION},
	{"both open at once, the other's SYN",
	 NULL,
	 {{&syn_odd, OUT}},
	 .dir = IN,
	 .spec = {TCP(WEB, POD, 80, 1000, F_SYN)},
	 .want = BH_R_DEFAULT_DENY},
	{"both open at once, our second SYN-ACK",
	 NULL,
	 {{&syn_odd, OUT}, {&syn_ack_in, IN}},
	 .dir = OUT,
	 .spec = {TCP(POD, WEB, 1000, 80, F_SYN | F_ACK)},
	 .want = BH_R_ESTABLISHED},
	{"data after a reset that was none",
	 NULL,
	 {{&syn_odd, OUT}, {&syn_ack_in, IN}, {&rst_in, IN}},
	 .dir = IN,
	 .spec = {TCP(WEB, POD, 80, 1000, F_ACK), .payload = 9},
	 .want = BH_R_ESTABLISHED},
	/* IPv4 header */
	{"header length 0", NULL, .dir = OUT, .spec = {RAW(POD, PAL, 47), .total_delta = -36},
	 .want = BH_R_MALFORMED},
	{"router alert", NULL, .dir = OUT, .spec = {UDP(POD, WEB, 1, 53), .ip_opt = "94040000"},
	 .want = BH_R_POLICY},
	{"timestamps", NULL, .dir = OUT,
	 .spec = {UDP(POD, WEB, 1, 53), .ip_opt = "4408050000000000"}, .want = BH_R_POLICY},
	{"security label", NULL, .dir = OUT,
	 .spec = {UDP(POD, WEB, 1, 53), .ip_opt = "86060000000100"
						  "00"},
	 .want = BH_R_POLICY},
	/* addresses */
	{"from this network", NULL, .dir = IN, .spec = {UDP("0.1.2.3", POD, 1, 53)},
	 .want = BH_R_MALFORMED},
	{"from the broadcast address", NULL, .dir = IN,
	 .spec = {UDP("255.255.255.255", POD, 1, 53)}, .want = BH_R_MALFORMED},
	{"from what was class E", NULL, .dir = IN, .spec = {UDP("240.0.0.1", POD, 1, 53)},
	 .want = BH_R_DEFAULT_DENY},
	{"from a group 6", NULL, .dir = IN, .spec = {UDP("ff02::1", POD_6, 1, 53)},
	 .want = BH_R_MALFORMED},
	{"from nobody 6", NULL, .dir = IN, .spec = {UDP("::", POD_6, 1, 53)},
	 .want = BH_R_MALFORMED},
	{"IPv4-compatible is another address", NULL, .dir = OUT,
	 .spec = {UDP(POD_6, "::10.0.0.11", 1, 53)}, .want = BH_R_DEFAULT_DENY},
	{"translated IPv4 is another address", NULL, .dir = OUT,
	 .spec = {UDP(POD_6, "64:ff9b::10.0.0.11", 1, 53)}, .want = BH_R_DEFAULT_DENY},
	{"metadata service", NULL, .dir = OUT, .spec = {TCP(POD, "169.254.169.254", 1, 80, F_SYN)},
	 .want = BH_R_DEFAULT_DENY},
	{"name of the link, v4", NULL, .dir = OUT, .spec = {UDP(POD, "224.0.0.252", 5355, 5355)},
	 .want = BH_R_MULTICAST},
	{"DHCPv6", NULL, .dir = OUT, .spec = {UDP("fe80::2", "ff02::1:2", 546, 547)},
	 .want = BH_R_SPOOFED_IP},
	/* IPv6 headers */
	{"authentication header cut", NULL, .dir = OUT,
	 .spec = {.src = POD_6,
		  .dst = WEB_6,
		  .proto = 6,
		  .body = "",
		  .ext_first = 51,
		  .ext = "0604000000000000"},
	 .want = BH_R_MALFORMED},
	{"mobility header of its own", NULL, .dir = OUT,
	 .spec = {.src = POD_6,
		  .dst = WEB_6,
		  .proto = 59,
		  .body = "",
		  .ext_first = 135,
		  .ext = "3b00" HOP8},
	 .want = BH_R_DEFAULT_DENY},
	{"a header nobody knows", NULL, .dir = OUT,
	 .spec = {.src = POD_6, .dst = WEB_6, .proto = 253, .body = "0600000000000000"},
	 .want = BH_R_DEFAULT_DENY},
	{"jumbogram", NULL, .dir = OUT,
	 .spec = {TCP(POD_6, WEB_6, 1, 80, F_SYN), .ext_first = 0, .ext = "0600c20400000100",
		  .total_delta = -28},
	 .want = BH_R_MALFORMED},
	{"MLD with router alert", NULL, .dir = OUT,
	 .spec = {ICMP6("fe80::2", "ff02::16", 143), .ext_first = 0, .ext = "3a00050200000100"},
	 .want = BH_R_MULTICAST},
	{"MLD query in", NULL, .dir = IN,
	 .spec = {ICMP6("fe80::1", "ff02::1", 130), .ext_first = 0, .ext = "3a00050200000100"},
	 .want = BH_R_MULTICAST},
	{"segment routing, no segments left", NULL, .dir = OUT,
	 .spec = {UDP(POD_6, WEB_6, 1, 53), .ext_first = 43, .ext = "1100040000000000"},
	 .want = BH_R_POLICY},
	/* ICMP */
	{"timestamp request", NULL, .dir = OUT,
	 .spec = {ICMP(POD, PAL, 13), .id = 7, .payload = 12}, .want = BH_R_POLICY},
	{"address mask request, ports allowed only", NULL, .dir = OUT, .spec = {ICMP(POD, WEB, 17)},
	 .want = BH_R_DEFAULT_DENY},
	{"node information query", NULL, .dir = OUT, .spec = {ICMP6(POD_6, WEB_6, 139)},
	 .want = BH_R_DEFAULT_DENY},
	{"ICMP type 255", NULL, .dir = OUT, .spec = {ICMP(POD, WEB, 255)},
	 .want = BH_R_DEFAULT_DENY},
	{"duplicate address detection with a nonce", NULL, .dir = OUT,
	 .spec = {ICMP6("::", "ff02::1:ff00:2", 135), .ttl = 255,
		  .body = "8700000000000000fd000000000000000000000000000002"
			  "0e01010203040506"},
	 .want = BH_R_NEIGHBOUR},
	{"somebody checks the pod's address", NULL, .dir = IN,
	 .spec = {ICMP6("::", "ff02::1:ff00:2", 135), .ttl = 255, .broadcast = 1,
		  .body = "8700000000000000fd000000000000000000000000000002"},
	 .want = BH_R_NEIGHBOUR},
	{"RS from nobody", NULL, .dir = OUT,
	 .spec = {ICMP6("::", "ff02::2", 133), .ttl = 255, .body = "8500000000000000"},
	 .want = BH_R_ND},
	{"error quoting the other family",
	 NULL,
	 {{&v6_udp, OUT}},
	 .dir = IN,
	 .spec = {ICMP(FAR, POD, 3), .quote = &v6_udp},
	 .want = BH_R_ICMP_ORPHAN},
	{"error 6 quoting the other family",
	 NULL,
	 {{&v4_udp, OUT}},
	 .dir = IN,
	 .spec = {ICMP6(PAL_6, POD_6, 1), .quote = &v4_udp},
	 .want = BH_R_ICMP_ORPHAN},
	{"error in fragments",
	 NULL,
	 {{&v4_udp, OUT}},
	 .dir = IN,
	 .spec = {ICMP(PAL, POD, 3), .quote = &v4_udp, .more = 1, .payload = 4, .frag_id = 3},
	 .want = BH_R_ICMP_ORPHAN},
	{"error about a denied packet of the pod", NULL, .dir = IN,
	 .spec = {ICMP(FAR, POD, 3), .quote = &v4_udp}, .want = BH_R_ICMP_ORPHAN},
};

static void test_rows(void **state)
{
	run_rows(*state, rows, BH_ARRAY_SIZE(rows));
}

/* Some paths leave the number of segments empty. */
static void test_aggregates_without_a_count(void **state)
{
	struct __sk_buff ctx = {.ifindex = RIG_IFINDEX, .gso_size = 500};
	struct spec s = udp_out;
	struct rig *r = fresh(state);
	struct frame f;
	struct bh_flow flow;

	s.payload = 1200;
	frame_build(&f, OUT, &s);
	assert_int_equal(rig_frame(r, OUT, f.b, f.n, &ctx), 0);
	assert_int_equal(rig_flows(r, NULL, &flow), 1);
	assert_int_equal(flow.packets, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_aggregates_without_a_count),
	};

	return cmocka_run_group_tests(tests, rows_setup, rows_teardown);
}
