/* refparse.h - a second, plain parser of frames, to compare the BPF one with.
 *
 * Written from the list of rules, byte by byte and for clarity only; it shares nothing with bpf/.
 * It predicts the reason of a drop, or the tuple; policy and state are none of its business. */
#pragma once

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "bulkhead/abi.h"

struct ref_world {
	const uint8_t *mac;
	uint8_t own[4][16]; /* v4-mapped; the first two are IPv4 */
};

enum ref_kind { REF_DROP, REF_NEIGHBOUR, REF_TUPLE, REF_LATER, REF_ERROR };

struct ref_result {
	enum ref_kind kind;
	int reason; /* of REF_DROP */
	struct bh_flow_key key;
};

struct ref_ip {
	const uint8_t *b; /* the IP packet */
	unsigned len;	  /* as its header says */
	bool is_v6;
	uint8_t src[16], dst[16];
	unsigned proto, l4; /* offset */
	bool is_fragment, has_fragment_header, has_more;
	unsigned frag_off;
	unsigned hop_limit;
};

static inline unsigned ref_be16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

static inline struct ref_result ref_drop(int reason)
{
	return (struct ref_result){.kind = REF_DROP, .reason = reason};
}

static inline int ref_own(const struct ref_world *w, const uint8_t a[16], bool is_v6)
{
	int i;

	for (i = is_v6 ? 2 : 0; i < (is_v6 ? 4 : 2); i++)
		if (memcmp(w->own[i], a, 16) == 0)
			return i;
	return -1;
}

static inline bool ref_zero(const uint8_t *p, unsigned n)
{
	while (n--)
		if (*p++)
			return false;
	return true;
}

static inline bool ref_link_local(const uint8_t a[16])
{
	return a[0] == 0xfe && (a[1] >> 6) == 2;
}

/* ---- fragments ---- */
static inline int ref_fragment(struct ref_ip *ip, unsigned proto, unsigned offset, unsigned bytes)
{
	unsigned header = proto == 6 ? 20 : proto == 132 ? 12 : 8;

	ip->is_fragment = true;
	ip->frag_off = offset;
	if (bytes == 0 || offset + bytes > 65535)
		return BH_R_MALFORMED;
	if (ip->has_more && bytes % 8 != 0)
		return BH_R_MALFORMED;
	if (offset != 0 && (offset < header || offset == 8))
		return BH_R_MALFORMED;
	return 0;
}

/* ---- IPv4 ---- */
static inline int ref_options(const uint8_t *o, unsigned n)
{
	unsigned i = 0;

	while (i < n) {
		if (o[i] == 0)
			return 0;
		if (o[i] == 1) {
			i++;
			continue;
		}
		if (i + 1 == n || o[i + 1] < 2 || o[i + 1] > n - i)
			return BH_R_MALFORMED;
		if (o[i] == 131 || o[i] == 137)
			return BH_R_SOURCE_ROUTE;
		i += o[i + 1];
	}
	return 0;
}

static inline int ref_ip4(struct ref_ip *ip, const uint8_t *b, unsigned avail)
{
	unsigned header, field;
	int r;

	if (avail < 20)
		return BH_R_MALFORMED;
	header = (b[0] & 15) * 4;
	ip->b = b;
	ip->len = ref_be16(b + 2);
	if (b[0] >> 4 != 4 || header < 20 || ip->len < header || ip->len > avail)
		return BH_R_MALFORMED;
	memset(ip->src, 0, 10);
	memset(ip->src + 10, 255, 2);
	memcpy(ip->src + 12, b + 12, 4);
	memcpy(ip->dst, ip->src, 12);
	memcpy(ip->dst + 12, b + 16, 4);
	ip->proto = b[9];
	ip->l4 = header;
	r = ref_options(b + 20, header - 20);
	if (r)
		return r;
	field = ref_be16(b + 6);
	ip->has_more = field & 0x2000;
	if (field & 0x3fff)
		return ref_fragment(ip, ip->proto, (field & 0x1fff) * 8, ip->len - header);
	return 0;
}

/* ---- IPv6 ---- */
static inline bool ref_is_extension(unsigned proto)
{
	static const uint8_t list[] = {0, 43, 44, 51, 60, 135, 139, 140};

	return memchr(list, proto, sizeof(list)) != NULL;
}

static inline int ref_extension(struct ref_ip *ip, unsigned count)
{
	const uint8_t *h = ip->b + ip->l4;
	unsigned size;
	int r = 0;

	if (ip->proto == 0 && count > 0)
		return BH_R_EXTENSION_HEADERS;
	if (ip->len - ip->l4 < 8)
		return BH_R_MALFORMED;
	if (ip->proto == 44) {
		if (ip->has_fragment_header)
			return BH_R_EXTENSION_HEADERS;
		ip->has_fragment_header = true;
		ip->has_more = h[3] & 1;
		if (h[2] || (h[3] & ~6))
			r = ref_fragment(ip, h[0], ref_be16(h + 2) & 0xfff8, ip->len - ip->l4 - 8);
		ip->proto = h[0];
		ip->l4 += 8;
		return r;
	}
	if (ip->proto == 43 && (h[2] == 0 || h[3] > 0))
		return BH_R_SOURCE_ROUTE;
	size = ip->proto == 51 ? 4 * (h[1] + 2) : 8 * (h[1] + 1);
	if (size > ip->len - ip->l4)
		return BH_R_MALFORMED;
	if (ip->l4 + size - 40 > 512)
		return BH_R_EXTENSION_HEADERS;
	ip->proto = h[0];
	ip->l4 += size;
	return 0;
}

static inline int ref_ip6(struct ref_ip *ip, const uint8_t *b, unsigned avail)
{
	unsigned count = 0;
	int r;

	if (avail < 40)
		return BH_R_MALFORMED;
	ip->b = b;
	ip->is_v6 = true;
	ip->len = 40 + ref_be16(b + 4);
	if (b[0] >> 4 != 6 || ip->len == 40 || ip->len > avail)
		return BH_R_MALFORMED;
	memcpy(ip->src, b + 8, 16);
	memcpy(ip->dst, b + 24, 16);
	ip->proto = b[6];
	ip->hop_limit = b[7];
	ip->l4 = 40;
	while (ref_is_extension(ip->proto)) {
		if (count == 8)
			return BH_R_EXTENSION_HEADERS;
		r = ref_extension(ip, count++);
		if (r)
			return r;
		if (ip->frag_off)
			return 0;
	}
	return 0;
}

/* ---- neighbour discovery and ARP ---- */
static inline bool ref_mine(const struct ref_world *w, const uint8_t *a)
{
	return ref_link_local(a) || ref_own(w, a, true) >= 0;
}

static inline bool ref_nd_options_ok(const struct ref_world *w, const uint8_t *o, unsigned n)
{
	unsigned count = 0;

	while (n > 0) {
		if (count++ == 8 || n < 8 || o[1] == 0 || o[1] * 8u > n)
			return false;
		if ((o[0] == 1 || o[0] == 2) && (o[1] != 1 || memcmp(o + 2, w->mac, 6)))
			return false;
		n -= o[1] * 8;
		o += o[1] * 8;
	}
	return true;
}

static inline int ref_nd_out(const struct ref_world *w, const struct ref_ip *ip, const uint8_t *h,
			     unsigned n)
{
	switch (h[0]) {
	case 134:
		return BH_R_ROUTER_ADVERTISEMENT;
	case 133:
		return ref_mine(w, ip->src) && ref_nd_options_ok(w, h + 8, n - 8) ? 0 : BH_R_ND;
	case 135:
		if (!ref_mine(w, ip->src) && !(ref_zero(ip->src, 16) && ref_mine(w, h + 8)))
			return BH_R_ND;
		return ref_nd_options_ok(w, h + 24, n - 24) ? 0 : BH_R_ND;
	case 136:
		if (!ref_mine(w, ip->src) || !ref_mine(w, h + 8))
			return BH_R_ND;
		return ref_nd_options_ok(w, h + 24, n - 24) ? 0 : BH_R_ND;
	default:
		return BH_R_ND;
	}
}

static inline int ref_nd(const struct ref_world *w, const struct ref_ip *ip, enum bh_dir dir)
{
	const uint8_t *h = ip->b + ip->l4;
	unsigned n = ip->len - ip->l4;

	if (ip->has_fragment_header || ip->hop_limit != 255 || h[1] != 0)
		return BH_R_ND;
	if ((h[0] == 135 || h[0] == 136) && n < 24)
		return BH_R_ND;
	if (dir == BH_EGRESS)
		return ref_nd_out(w, ip, h, n);
	if (!(ip->dst[0] == 0xff && (ip->dst[1] & 15) == 2) && !ref_mine(w, ip->dst))
		return BH_R_ND;
	if (h[0] == 135)
		return ref_mine(w, h + 8) ? 0 : BH_R_ND;
	return h[0] == 136 || h[0] == 134 ? 0 : BH_R_ND;
}

static inline int ref_arp(const struct ref_world *w, const uint8_t *a, unsigned n, enum bh_dir dir)
{
	static const uint8_t head[6] = {0, 1, 8, 0, 6, 4};
	uint8_t sender[16] = {[10] = 255, [11] = 255}, target[16] = {[10] = 255, [11] = 255};

	if (n < 28)
		return BH_R_MALFORMED;
	memcpy(sender + 12, a + 14, 4);
	memcpy(target + 12, a + 24, 4);
	if (memcmp(a, head, 6) || a[6] != 0 || a[7] < 1 || a[7] > 2)
		return BH_R_ARP;
	if (dir == BH_INGRESS && !ref_zero(a + 14, 4) && memcmp(a + 14, a + 24, 4) == 0)
		return 0; /* an announcement */
	if (dir == BH_INGRESS)
		return ref_own(w, target, false) >= 0 ? 0 : BH_R_ARP;
	if (memcmp(a + 8, w->mac, 6))
		return BH_R_ARP;
	if (ref_own(w, sender, false) >= 0)
		return 0;
	if (ref_zero(a + 14, 4) && a[7] == 1 && ref_own(w, target, false) >= 0)
		return 0;
	return BH_R_ARP;
}

/* ---- layer 4 ---- */
struct ref_ports {
	unsigned src, dst;
	bool is_error, is_nd;
};

static inline int ref_icmp(const struct ref_ip *ip, const uint8_t *h, enum bh_dir dir,
			   struct ref_ports *p)
{
	unsigned request = ip->is_v6 ? 128 : 8, reply = ip->is_v6 ? 129 : 0, t = h[0];

	if (t == request || t == reply) {
		p->src = t == request ? ref_be16(h + 4) : request;
		p->dst = t == request ? request : ref_be16(h + 4);
		return 0;
	}
	if (!ip->is_v6) {
		p->is_error = t == 3 || t == 11 || t == 12;
		if (t == 9)
			return dir == BH_EGRESS ? BH_R_ROUTER_ADVERTISEMENT : BH_R_MULTICAST;
		return t == 4 || t == 5 ? BH_R_ICMP_ORPHAN : 0;
	}
	p->is_error = t >= 1 && t <= 4;
	if (t < 128)
		return p->is_error ? 0 : BH_R_ICMP_ORPHAN;
	if ((t >= 130 && t <= 132) || t == 143 || (t >= 151 && t <= 153))
		return BH_R_MULTICAST;
	if (t == 141 || t == 142 || t == 148 || t == 149)
		return BH_R_ND;
	p->is_nd = t >= 133 && t <= 137;
	return p->is_nd && ip->has_fragment_header ? BH_R_ND : 0;
}

static inline int ref_l4(const struct ref_ip *ip, enum bh_dir dir, struct ref_ports *p)
{
	const uint8_t *h = ip->b + ip->l4;
	unsigned n = ip->len - ip->l4;

	switch (ip->proto) {
	case 6:
		if (n < 20 || (h[12] >> 4) < 5 || (h[12] >> 4) * 4u > n)
			return BH_R_MALFORMED;
		break;
	case 17:
		if (n < 8 || ref_be16(h + 4) < 8 || (!ip->is_fragment && ref_be16(h + 4) > n))
			return BH_R_MALFORMED;
		break;
	case 132:
		if (n < 12)
			return BH_R_MALFORMED;
		break;
	case 1:
	case 58:
		if ((ip->proto == 58) != ip->is_v6 || n < 8)
			return BH_R_MALFORMED;
		return ref_icmp(ip, h, dir, p);
	default:
		return 0;
	}
	p->src = ref_be16(h);
	p->dst = ref_be16(h + 2);
	return 0;
}

/* ---- addresses ---- */
static inline bool ref_multicast(const uint8_t a[16], bool is_v6)
{
	if (is_v6)
		return a[0] == 255;
	return (a[12] >= 224 && a[12] < 240) || !memcmp(a + 12, "\xff\xff\xff\xff", 4);
}

static inline bool ref_impossible(const uint8_t a[16], bool is_v6)
{
	static const uint8_t one[16] = {[15] = 1};

	if (!is_v6)
		return a[12] == 0 || a[12] == 127;
	return ref_zero(a, 16) || !memcmp(a, one, 16) ||
	       (ref_zero(a, 10) && a[10] == 255 && a[11] == 255);
}

static inline struct ref_result ref_addresses(const struct ref_world *w, const struct ref_ip *ip,
					      enum bh_dir dir, bool is_group)
{
	const uint8_t *local = dir == BH_EGRESS ? ip->src : ip->dst;
	const uint8_t *remote = dir == BH_EGRESS ? ip->dst : ip->src;
	int own = ref_own(w, local, ip->is_v6);
	struct ref_result res = {.kind = REF_TUPLE};

	if (dir == BH_EGRESS && own < 0)
		return ref_drop(BH_R_SPOOFED_IP);
	if (is_group || ref_multicast(ip->dst, ip->is_v6))
		return ref_drop(BH_R_MULTICAST);
	if (own < 0)
		return ref_drop(BH_R_NOT_FOR_POD);
	if (ref_impossible(remote, ip->is_v6) || ref_multicast(remote, ip->is_v6))
		return ref_drop(BH_R_MALFORMED);
	/* nobody else may say that it is the pod */
	if (dir == BH_INGRESS && ref_own(w, remote, ip->is_v6) >= 0)
		res = ref_drop(BH_R_SPOOFED_IP);
	res.key.addr_no = own;
	res.key.proto = ip->proto;
	memcpy(res.key.remote, remote, 16);
	return res;
}

static inline struct ref_result ref_packet(const struct ref_world *w, struct ref_ip *ip,
					   enum bh_dir dir, bool is_group)
{
	struct ref_ports ports = {.src = 0};
	struct ref_result res;
	int r = ip->frag_off ? 0 : ref_l4(ip, dir, &ports);

	if (r)
		return ref_drop(r);
	if (ports.is_nd) {
		r = ref_nd(w, ip, dir);
		return r ? ref_drop(r) : (struct ref_result){.kind = REF_NEIGHBOUR};
	}
	res = ref_addresses(w, ip, dir, is_group);
	if (res.kind == REF_DROP && res.reason != BH_R_SPOOFED_IP)
		return res;
	if (res.kind == REF_DROP && dir == BH_INGRESS && (ip->frag_off || ports.is_error))
		res.kind = REF_TUPLE; /* judged by what it belongs to */
	if (res.kind == REF_DROP)
		return res;
	if (ip->frag_off)
		res.kind = REF_LATER;
	else if (ports.is_error)
		res.kind = REF_ERROR;
	res.key.lport = htons(dir == BH_EGRESS ? ports.src : ports.dst);
	res.key.rport = htons(dir == BH_EGRESS ? ports.dst : ports.src);
	return res;
}

static inline struct ref_result ref_parse(const struct ref_world *w, const uint8_t *f, unsigned n,
					  enum bh_dir dir)
{
	struct ref_ip ip = {.b = NULL};
	unsigned type;
	int r;

	if (n < 14)
		return ref_drop(BH_R_MALFORMED);
	type = ref_be16(f + 12);
	if (type == 0x8100 || type == 0x88a8)
		return ref_drop(BH_R_VLAN);
	if (dir == BH_EGRESS && memcmp(f + 6, w->mac, 6))
		return ref_drop(BH_R_SPOOFED_MAC);
	if (dir == BH_INGRESS && !(f[0] & 1) && memcmp(f, w->mac, 6))
		return ref_drop(BH_R_NOT_FOR_POD);
	if (type == 0x0806) {
		r = ref_arp(w, f + 14, n - 14, dir);
		return r ? ref_drop(r) : (struct ref_result){.kind = REF_NEIGHBOUR};
	}
	if (type != 0x0800 && type != 0x86dd)
		return ref_drop(BH_R_ETHERTYPE);
	r = type == 0x0800 ? ref_ip4(&ip, f + 14, n - 14) : ref_ip6(&ip, f + 14, n - 14);
	if (r)
		return ref_drop(r);
	return ref_packet(w, &ip, dir, f[0] & 1);
}
