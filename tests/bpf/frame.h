/* frame.h - builds test frames from a description; every field can be made to lie. */
#pragma once

#include "rig.h"

#define F_FIN 1
#define F_SYN 2
#define F_RST 4
#define F_ACK 16

/* Zero means what an honest packet has. */
struct spec {
	const char *src, *dst; /* text; decide the family too */
	const uint8_t *smac, *dmac;
	uint16_t ethertype;
	uint8_t proto;
	uint16_t sport, dport;
	uint8_t flags; /* TCP */
	uint8_t doff;
	uint16_t udp_len;
	uint8_t type, code; /* ICMP */
	uint16_t id;	    /* ICMP echo */
	const char *ip_opt; /* hex, multiple of 4 bytes */
	uint8_t ext_first;  /* IPv6: next header of the fixed header, */
	const char *ext;    /* and the chain in hex; ends naming proto */
	const char *body;   /* hex, instead of the layer 4 header */
	uint16_t frag_off;  /* bytes; IPv4 */
	uint8_t more;
	uint32_t frag_id;
	uint8_t version, ihl, ttl;
	uint8_t broadcast;	  /* group destination MAC */
	int total_delta;	  /* added to IPv4 total length or IPv6 payload length */
	int keep;		  /* cut the whole frame to this length */
	int pad;		  /* bytes after the packet */
	int payload;		  /* bytes after the layer 4 header */
	const struct spec *quote; /* what the ICMP error quotes */
	int quote_len;		  /* of the quoted packet; 0: 64 at most */
};

struct frame {
	uint8_t b[3000];
	size_t n;
};

static inline void frame_put(struct frame *f, const void *p, size_t n)
{
	assert_true(f->n + n <= sizeof(f->b));
	memcpy(f->b + f->n, p, n);
	f->n += n;
}

static inline void frame_put16(struct frame *f, unsigned v)
{
	uint8_t b[2] = {v >> 8, v};

	frame_put(f, b, 2);
}

static inline void frame_hex(struct frame *f, const char *hex)
{
	for (; hex && *hex; hex += 2) {
		char two[3] = {hex[0], hex[1], 0};
		uint8_t v = strtoul(two, NULL, 16);

		frame_put(f, &v, 1);
	}
}

static inline void frame_ip(struct frame *f, const struct spec *s);

static inline void frame_icmp(struct frame *f, const struct spec *s)
{
	uint8_t h[4] = {s->type, s->code};
	static struct frame q;
	size_t n;

	frame_put(f, h, 4);
	if (!s->quote) {
		frame_put16(f, s->id);
		frame_put16(f, 0);
		return;
	}
	frame_put(f, "\0\0\0\0", 4);
	q.n = 0;
	frame_ip(&q, s->quote);
	n = q.n;
	if (s->quote_len || n > 64)
		n = s->quote_len ? (size_t)s->quote_len : 64;
	frame_put(f, q.b, n);
}

static inline void frame_l4(struct frame *f, const struct spec *s)
{
	uint8_t tcp[16] = {0};

	if (s->body) {
		frame_hex(f, s->body);
		return;
	}
	switch (s->proto) {
	case 6:
		frame_put16(f, s->sport);
		frame_put16(f, s->dport);
		tcp[8] = (s->doff ? s->doff : 5) << 4;
		tcp[9] = s->flags;
		frame_put(f, tcp, 16);
		break;
	case 17:
		frame_put16(f, s->sport);
		frame_put16(f, s->dport);
		frame_put16(f, s->udp_len ? s->udp_len : 8 + s->payload);
		frame_put16(f, 0);
		break;
	case 132:
		frame_put16(f, s->sport);
		frame_put16(f, s->dport);
		frame_put(f, tcp, 8);
		break;
	case 1:
	case 58:
		frame_icmp(f, s);
		break;
	default:
		break;
	}
}

static inline void frame_ip4(struct frame *f, const struct spec *s)
{
	size_t start = f->n, opt = s->ip_opt ? strlen(s->ip_opt) / 2 : 0, total;
	uint8_t a[16], h[4] = {0};

	h[0] = (s->version ? s->version : 4) << 4 | (s->ihl ? s->ihl : 5 + opt / 4);
	frame_put(f, h, 2);
	frame_put16(f, 0);
	frame_put16(f, s->frag_id);
	frame_put16(f, s->frag_off / 8 | (s->more ? 0x2000 : 0));
	h[0] = s->ttl ? s->ttl : 64;
	h[1] = s->proto;
	frame_put(f, h, 4);
	rig_addr(s->src, a);
	frame_put(f, a + 12, 4);
	rig_addr(s->dst, a);
	frame_put(f, a + 12, 4);
	frame_hex(f, s->ip_opt);
	frame_l4(f, s);
	for (int i = 0; i < s->payload; i++)
		frame_put(f, "x", 1);
	total = f->n - start + s->total_delta;
	f->b[start + 2] = total >> 8;
	f->b[start + 3] = total;
}

static inline void frame_ip6(struct frame *f, const struct spec *s)
{
	size_t start = f->n, len;
	uint8_t a[16], h[4] = {(s->version ? s->version : 6) << 4};

	frame_put(f, h, 4);
	frame_put16(f, 0);
	h[0] = s->ext ? s->ext_first : s->proto;
	h[1] = s->ttl ? s->ttl : 64;
	frame_put(f, h, 2);
	rig_addr(s->src, a);
	frame_put(f, a, 16);
	rig_addr(s->dst, a);
	frame_put(f, a, 16);
	frame_hex(f, s->ext);
	frame_l4(f, s);
	for (int i = 0; i < s->payload; i++)
		frame_put(f, "x", 1);
	len = f->n - start - 40 + s->total_delta;
	f->b[start + 4] = len >> 8;
	f->b[start + 5] = len;
}

static inline void frame_ip(struct frame *f, const struct spec *s)
{
	if (strchr(s->src, ':'))
		frame_ip6(f, s);
	else
		frame_ip4(f, s);
}

/* dir decides the MAC addresses. */
static inline void frame_build(struct frame *f, enum bh_dir dir, const struct spec *s)
{
	static const uint8_t group[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	const uint8_t *src = dir == BH_EGRESS ? rig_mac : rig_peer_mac;
	const uint8_t *dst = dir == BH_EGRESS ? rig_peer_mac : rig_mac;

	f->n = 0;
	frame_put(f, s->broadcast ? group : s->dmac ? s->dmac : dst, 6);
	frame_put(f, s->smac ? s->smac : src, 6);
	if (!s->src) { /* not IP */
		frame_put16(f, s->ethertype);
		frame_hex(f, s->body);
	} else {
		frame_put16(f, s->ethertype ? s->ethertype : strchr(s->src, ':') ? 0x86dd : 0x0800);
		frame_ip(f, s);
	}
	for (int i = 0; i < s->pad; i++)
		frame_put(f, "\0", 1);
	if (s->keep)
		f->n = s->keep;
}

/* A real receiver looks at the checksum of the IPv4 header. */
static inline void frame_checksum(struct frame *f)
{
	uint8_t *h = f->b + 14;
	uint32_t sum = 0;

	for (int i = 0; i < (h[0] & 15) * 2; i++)
		sum += h[2 * i] << 8 | h[2 * i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~(sum + (sum >> 16));
	h[10] = sum >> 8;
	h[11] = sum;
}

static inline int frame_run(struct rig *r, enum bh_dir dir, const struct spec *s,
			    uint32_t ingress_ifindex)
{
	struct __sk_buff ctx = {.ifindex = RIG_IFINDEX, .ingress_ifindex = ingress_ifindex};
	static struct frame f;

	frame_build(&f, dir, s);
	return rig_frame(r, dir, f.b, f.n, &ctx);
}
