#include "base/ip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define V4_OFFSET 96 /* bits of the v4-mapped prefix ::ffff:0:0/96 */

static const struct {
	const char *name;
	uint8_t number;
	bool has_ports;
} protos[] = {
	{"TCP", IPPROTO_TCP, true},	   {"UDP", IPPROTO_UDP, true},
	{"SCTP", IPPROTO_SCTP, true},	   {"ICMP", IPPROTO_ICMP, false},
	{"ICMPV6", IPPROTO_ICMPV6, false},
};

/* ---- addresses ---- */

bool bh_ip_is4(const struct bh_ip *ip)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(ip->b, mapped, sizeof(mapped)) == 0;
}

struct bh_ip bh_ip_from4(uint32_t host_order)
{
	return (struct bh_ip){.b = {[10] = 0xff,
				    [11] = 0xff,
				    [12] = (uint8_t)(host_order >> 24),
				    [13] = (uint8_t)(host_order >> 16),
				    [14] = (uint8_t)(host_order >> 8),
				    [15] = (uint8_t)host_order}};
}

uint32_t bh_ip_to4(const struct bh_ip *ip)
{
	return (uint32_t)ip->b[12] << 24 | (uint32_t)ip->b[13] << 16 | (uint32_t)ip->b[14] << 8 |
	       ip->b[15];
}

int bh_ip_cmp(const struct bh_ip *a, const struct bh_ip *b)
{
	return memcmp(a->b, b->b, sizeof(a->b));
}

/* Reads a decimal number the strict way: digits only, no sign, no leading zero, at most max.
 * Returns the number of characters used, 0 when there is no such number. */
static size_t read_decimal(const char *s, unsigned max, unsigned *ret)
{
	unsigned value = 0;
	size_t n = 0;

	while (s[n] >= '0' && s[n] <= '9') {
		if (n > 0 && value == 0)
			return 0;
		value = value * 10 + (unsigned)(s[n++] - '0');
		if (value > max)
			return 0;
	}
	if (n)
		*ret = value;
	return n;
}

static bool is_decimal(const char *s, unsigned max, unsigned *ret)
{
	size_t n = read_decimal(s, max, ret);

	return n && s[n] == '\0';
}

static bool parse4(const char *s, struct bh_ip *ret)
{
	uint32_t addr = 0;
	unsigned octet;

	for (int i = 0; i < 4; i++) {
		size_t n = read_decimal(s, 255, &octet);

		if (!n || s[n] != (i < 3 ? '.' : '\0'))
			return false;
		addr = addr << 8 | octet;
		s += n + 1;
	}
	*ret = bh_ip_from4(addr);
	return true;
}

int bh_ip_parse(const char *text, struct bh_ip *ret_ip, struct bh_err *err)
{
	struct bh_ip ip;

	if (strchr(text, '%'))
		return bh_fail(err, EINVAL, "'%.64s' has a zone, which means nothing here", text);
	if (!strchr(text, ':')) {
		if (!parse4(text, &ip))
			return bh_fail(err, EINVAL, "'%.64s' is not an IP address", text);
		*ret_ip = ip;
		return 0;
	}
	if (inet_pton(AF_INET6, text, ip.b) != 1)
		return bh_fail(err, EINVAL, "'%.64s' is not an IP address", text);
	if (bh_ip_is4(&ip))
		return bh_fail(err, EINVAL, "'%.64s' is a v4-mapped address; write it as IPv4",
			       text);
	*ret_ip = ip;
	return 0;
}

const char *bh_ip_format(const struct bh_ip *ip, char out[BH_IP_TEXT])
{
	if (bh_ip_is4(ip))
		snprintf(out, BH_IP_TEXT, "%u.%u.%u.%u", ip->b[12], ip->b[13], ip->b[14],
			 ip->b[15]);
	else if (!inet_ntop(AF_INET6, ip->b, out, BH_IP_TEXT))
		out[0] = '\0'; /* cannot happen: BH_IP_TEXT holds every address */
	return out;
}

/* ---- prefixes ---- */

static bool cidr_is4(const struct bh_cidr *c)
{
	return c->len >= V4_OFFSET && bh_ip_is4(&c->ip);
}

static bool same_prefix(const struct bh_ip *a, const struct bh_ip *b, unsigned len)
{
	unsigned bytes = len / 8, bits = len % 8;
	uint8_t mask = (uint8_t)(0xff00 >> bits);

	if (memcmp(a->b, b->b, bytes) != 0)
		return false;
	return !bits || ((a->b[bytes] ^ b->b[bytes]) & mask) == 0;
}

static bool clear_host_bits(struct bh_ip *ip, unsigned len)
{
	struct bh_ip whole = *ip;

	for (unsigned i = len; i < 128; i++)
		ip->b[i / 8] &= (uint8_t) ~(0x80u >> (i % 8));
	return bh_ip_cmp(&whole, ip) != 0;
}

int bh_cidr_parse(const char *text, struct bh_cidr *ret_cidr, bool *ret_masked, struct bh_err *err)
{
	const char *slash = strchr(text, '/');
	char addr[BH_IP_TEXT];
	unsigned len, offset;
	struct bh_cidr c;
	bool is_masked;
	int r;

	if (!slash)
		return bh_fail(err, EINVAL, "'%.64s' is not a CIDR: '/length' is missing", text);
	if ((size_t)(slash - text) >= sizeof(addr))
		return bh_fail(err, EINVAL, "'%.64s' is not a CIDR", text);
	memcpy(addr, text, (size_t)(slash - text));
	addr[slash - text] = '\0';
	r = bh_ip_parse(addr, &c.ip, err);
	if (r)
		return r;
	offset = bh_ip_is4(&c.ip) ? V4_OFFSET : 0;
	if (!is_decimal(slash + 1, 128 - offset, &len))
		return bh_fail(err, EINVAL, "'%.64s': the prefix length is not 0-%u", text,
			       128 - offset);
	c.len = (uint8_t)(len + offset);
	is_masked = clear_host_bits(&c.ip, c.len);
	if (ret_masked)
		*ret_masked = is_masked;
	*ret_cidr = c;
	return 0;
}

const char *bh_cidr_format(const struct bh_cidr *c, char out[BH_CIDR_TEXT])
{
	char addr[BH_IP_TEXT];
	unsigned len = cidr_is4(c) ? c->len - (unsigned)V4_OFFSET : c->len;

	snprintf(out, BH_CIDR_TEXT, "%s/%u", bh_ip_format(&c->ip, addr), len & 0xff);
	return out;
}

bool bh_cidr_has(const struct bh_cidr *c, const struct bh_ip *ip)
{
	return cidr_is4(c) == bh_ip_is4(ip) && same_prefix(&c->ip, ip, c->len);
}

bool bh_cidr_covers(const struct bh_cidr *outer, const struct bh_cidr *inner)
{
	return cidr_is4(outer) == cidr_is4(inner) && outer->len <= inner->len &&
	       same_prefix(&outer->ip, &inner->ip, outer->len);
}

int bh_cidr_cmp(const struct bh_cidr *a, const struct bh_cidr *b)
{
	int r = bh_ip_cmp(&a->ip, &b->ip);

	return r ? r : (int)a->len - (int)b->len;
}

/* ---- protocols ---- */

const char *bh_proto_format(uint8_t proto, char out[8])
{
	for (size_t i = 0; i < BH_ARRAY_SIZE(protos); i++) {
		if (protos[i].number == proto) {
			snprintf(out, 8, "%s", protos[i].name);
			return out;
		}
	}
	snprintf(out, 8, "%u", proto);
	return out;
}

int bh_proto_parse(const char *text, uint8_t *ret_proto)
{
	unsigned number;

	for (size_t i = 0; i < BH_ARRAY_SIZE(protos); i++) {
		if (strcasecmp(protos[i].name, text) == 0) {
			*ret_proto = protos[i].number;
			return 0;
		}
	}
	if (!is_decimal(text, 255, &number))
		return -EINVAL;
	*ret_proto = (uint8_t)number;
	return 0;
}

static bool proto_has_ports(uint8_t proto)
{
	for (size_t i = 0; i < BH_ARRAY_SIZE(protos); i++) {
		if (protos[i].number == proto)
			return protos[i].has_ports;
	}
	return false;
}

int bh_port_proto_parse(const char *text, uint16_t *ret_port, uint8_t *ret_proto,
			struct bh_err *err)
{
	const char *slash = strchr(text, '/');
	unsigned port = 0;
	uint8_t proto;
	size_t n;

	if (!slash && is_decimal(text, UINT16_MAX, &port))
		return bh_fail(err, EINVAL, "'%s' needs a protocol, as in '%s/TCP'", text, text);
	if (bh_proto_parse(slash ? slash + 1 : text, &proto))
		return bh_fail(err, EINVAL,
			       "'%.64s': protocol is not TCP, UDP, SCTP, ICMP, ICMPV6 "
			       "or 0-255",
			       text);
	if (!slash && proto_has_ports(proto))
		return bh_fail(err, EINVAL, "'%.64s' needs a port, as in '80/%s'", text, text);
	if (slash) {
		n = read_decimal(text, UINT16_MAX, &port);
		if (!n || text + n != slash)
			return bh_fail(err, EINVAL, "'%.64s': port is not 0-65535", text);
		if (port && !proto_has_ports(proto))
			return bh_fail(err, EINVAL, "'%.64s': '%s' has no ports", text, slash + 1);
	}
	*ret_port = (uint16_t)port;
	*ret_proto = proto;
	return 0;
}
