/* ip.h - addresses, CIDRs and IP protocols: parse, print, compare.
 *
 * An address is 16 bytes in network order; IPv4 is held v4-mapped (::ffff:a.b.c.d, RFC 4291
 * 2.5.5.2), so that one key serves both families, here and in the kernel maps. Text that spells a
 * v4-mapped IPv6 address, has leading zeros in a dotted quad or carries a zone is refused. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define BH_IP_TEXT   46
#define BH_CIDR_TEXT 50

struct bh_ip {
	uint8_t b[16];
};

struct bh_cidr {
	struct bh_ip ip; /* host bits are zero */
	uint8_t len;	 /* prefix length over 128 bits: IPv4 /8 is 104 */
};

bool bh_ip_is4(const struct bh_ip *ip);
struct bh_ip bh_ip_from4(uint32_t host_order);
/* Host-order IPv4 of a v4-mapped address. */
uint32_t bh_ip_to4(const struct bh_ip *ip);
int bh_ip_cmp(const struct bh_ip *a, const struct bh_ip *b);
int bh_ip_parse(const char *text, struct bh_ip *ret_ip, struct bh_err *err);
const char *bh_ip_format(const struct bh_ip *ip, char out[BH_IP_TEXT]);

/* Parses "addr/len". Host bits set are masked away and reported through *ret_masked (may be NULL).
 */
int bh_cidr_parse(const char *text, struct bh_cidr *ret_cidr, bool *ret_masked,
		  struct bh_err *err);
const char *bh_cidr_format(const struct bh_cidr *c, char out[BH_CIDR_TEXT]);
bool bh_cidr_has(const struct bh_cidr *c, const struct bh_ip *ip);
/* true when inner is inside outer or equal, and of the same family. */
bool bh_cidr_covers(const struct bh_cidr *outer, const struct bh_cidr *inner);
int bh_cidr_cmp(const struct bh_cidr *a, const struct bh_cidr *b);

/* IANA numbers: TCP 6, UDP 17, SCTP 132, ICMP 1, ICMPv6 58. Name in upper case, or the number. */
const char *bh_proto_format(uint8_t proto, char out[8]);
/* "TCP", "UDP", "SCTP", "ICMP", "ICMPV6" in any case, or 0-255; -EINVAL otherwise. */
int bh_proto_parse(const char *text, uint8_t *ret_proto);
/* "80/TCP" (port 0-65535; "/ICMP" and other protocols may stand without a port: "ICMP"). */
int bh_port_proto_parse(const char *text, uint16_t *ret_port, uint8_t *ret_proto,
			struct bh_err *err);
