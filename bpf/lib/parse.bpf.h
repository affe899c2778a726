/* parse.bpf.h - layer 3 and 4 of a packet > struct pkt.
 *
 * Functions return 0 or the reason to drop. What is not understood is never passed on: kind stays
 * PK_NONE unless every header was checked. The same code reads the packet that an ICMP error quotes
 * (PF_QUOTED), of which only the first bytes are there; p->dir says which end is the pod's. */
#pragma once

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "lib/addr.bpf.h"
#include "lib/hold.bpf.h"

#define PKT_SHORT   255	 /* the next header is beyond the linear part: pull and parse again */
#define PKT_HEADERS 1280 /* where headers may end; two whole chains fit */

#define EXT_COUNT 8   /* IPv6 extension headers followed */
#define EXT_BYTES 512 /* and their length in sum */

#define NEXTHDR_HOP	 0
#define NEXTHDR_ROUTING	 43
#define NEXTHDR_FRAGMENT 44
#define NEXTHDR_AH	 51
#define NEXTHDR_DEST	 60
#define NEXTHDR_MOBILITY 135
#define NEXTHDR_HIP	 139
#define NEXTHDR_SHIM6	 140

static __always_inline void *pkt_at(const struct __sk_buff *skb, __u32 off, __u32 len)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (off > PKT_HEADERS || data + off + len > end)
		return NULL;
	return data + off;
}

/* Why pkt_at found nothing. */
static __always_inline int pkt_missing(const struct __sk_buff *skb, __u32 end)
{
	if (end > skb->len)
		return BH_R_MALFORMED;
	return end <= PKT_HEADERS ? PKT_SHORT : BH_R_EXTENSION_HEADERS;
}

static __always_inline void pkt_set_ports(struct pkt *p, __be16 sport, __be16 dport)
{
	p->lport = p->dir == BH_EGRESS ? sport : dport;
	p->rport = p->dir == BH_EGRESS ? dport : sport;
}

/* Smallest layer 4 header; no later fragment may start inside it (RFC 1858). */
static __always_inline __u32 l4_min(__u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return 20;
	case BH_IPPROTO_SCTP:
		return 12;
	default:
		return 8;
	}
}

/* payload: bytes of the datagram in this fragment. */
static __always_inline int frag_check(struct pkt *p, __u32 off, __u32 payload)
{
	if (p->flags & PF_QUOTED)
		return off ? BH_R_MALFORMED : 0;
	if (payload == 0 || off + payload > 65535 || ((p->flags & PF_MORE) && (payload & 7)))
		return BH_R_MALFORMED;
	if (off && (off == 8 || off < l4_min(p->frag_proto)))
		return BH_R_MALFORMED;
	p->frag_off = off;
	p->frag_end = off + payload;
	return 0;
}

static __always_inline int tcp_parse(struct pkt *p, const struct tcphdr *t, __u32 l4_len)
{
	__u32 doff;

	pkt_set_ports(p, t->source, t->dest);
	p->kind = PK_CONN;
	if (p->flags & PF_QUOTED)
		return 0;
	doff = t->doff * 4;
	p->tcp_flags = ((const __u8 *)t)[13];
	if (doff < sizeof(*t) || doff > l4_len)
		return BH_R_MALFORMED;
	if ((p->tcp_flags & (TCPF_SYN | TCPF_ACK)) == TCPF_SYN)
		p->flags |= PF_OPENS;
	return 0;
}

static __always_inline int udp_parse(struct pkt *p, const struct udphdr *u, __u32 l4_len)
{
	__u32 len = bpf_ntohs(u->len);

	pkt_set_ports(p, u->source, u->dest);
	p->kind = PK_CONN;
	if (p->flags & PF_QUOTED)
		return 0;
	if (len < sizeof(*u) || (len > l4_len && !(p->flags & PF_FRAG)))
		return BH_R_MALFORMED;
	return 0;
}

/* Identifier at the requester's end, the request's type at the other: an unsolicited answer finds
 * no flow, and the edge's port is the type. */
static __always_inline int icmp_echo(struct pkt *p, const __u8 *h, __u8 request)
{
	__be16 id = *(const __be16 *)(h + 4), type = bpf_htons(request);

	p->kind = PK_CONN;
	if (h[0] == request) {
		pkt_set_ports(p, id, type);
		return 0;
	}
	p->flags |= PF_ANSWER;
	pkt_set_ports(p, type, id);
	return 0;
}

static __always_inline int icmp4_parse(struct pkt *p, const __u8 *h)
{
	switch (h[0]) {
	case 0:
	case 8:
		return icmp_echo(p, h, 8);
	case 3:
	case 11:
	case 12:
		p->kind = PK_ICMP_ERR;
		return 0;
	case 4: /* source quench, deprecated by RFC 6633 */
	case 5: /* redirect */
		return BH_R_ICMP_ORPHAN;
	case 9:
		return p->dir == BH_EGRESS ? BH_R_ROUTER_ADVERTISEMENT : BH_R_MULTICAST;
	default:
		p->kind = PK_CONN;
		return 0;
	}
}

static __always_inline int icmp6_parse(struct pkt *p, const __u8 *h)
{
	switch (h[0]) {
	case 128:
	case 129:
		return icmp_echo(p, h, 128);
	case 1 ... 4:
		p->kind = PK_ICMP_ERR;
		return 0;
	case 0:
	case 5 ... 127: /* errors that nobody has defined */
		return BH_R_ICMP_ORPHAN;
	case 130 ... 132: /* multicast listeners and multicast routers */
	case 143:
	case 151 ... 153:
		return BH_R_MULTICAST;
	case 133 ... 137: /* RFC 6980: never fragmented */
		if (p->flags & (PF_QUOTED | PF_FRAG_HDR))
			return BH_R_ND;
		p->kind = PK_NEIGH;
		return 0;
	case 141: /* inverse and secure neighbour discovery */
	case 142:
	case 148:
	case 149:
		return BH_R_ND;
	default:
		p->kind = PK_CONN;
		return 0;
	}
}

static __always_inline int icmp_parse(struct pkt *p, const __u8 *h)
{
	p->icmp_type = h[0];
	p->icmp_port_is_type = 1;
	return p->flags & PF_V6 ? icmp6_parse(p, h) : icmp4_parse(p, h);
}

/* end: offset of the first byte that is not the IP packet's. */
static __always_inline int l4_parse(struct __sk_buff *skb, struct pkt *p, __u32 off, __u32 end)
{
	__u32 need;
	void *h;

	p->l4_off = off;
	switch (p->proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case BH_IPPROTO_SCTP:
		break;
	case IPPROTO_ICMP:
		if (p->flags & PF_V6)
			return BH_R_MALFORMED;
		break;
	case BH_IPPROTO_ICMPV6:
		if (!(p->flags & PF_V6))
			return BH_R_MALFORMED;
		break;
	default:
		p->kind = PK_CONN;
		return 0;
	}
	need = p->flags & PF_QUOTED ? 8 : l4_min(p->proto);
	if (off + need > end)
		return BH_R_MALFORMED;
	h = pkt_at(skb, off, 8);
	if (!h)
		return pkt_missing(skb, off + 8);
	if (p->proto == IPPROTO_UDP)
		return udp_parse(p, h, end - off);
	if (p->proto == IPPROTO_TCP && !(p->flags & PF_QUOTED)) {
		h = pkt_at(skb, off, sizeof(struct tcphdr));
		return h ? tcp_parse(p, h, end - off)
			 : pkt_missing(skb, off + sizeof(struct tcphdr));
	}
	if (p->proto == IPPROTO_ICMP || p->proto == BH_IPPROTO_ICMPV6)
		return icmp_parse(p, h);
	pkt_set_ports(p, ((const __be16 *)h)[0], ((const __be16 *)h)[1]);
	p->kind = PK_CONN;
	return 0;
}

/* Source routes are refused, options that contradict themselves too; the others do no harm. */
__noinline int ip4_options(struct __sk_buff *skb, struct pkt *p, __u32 off, __u32 len)
{
	__u8 opt[64] = {};
	__u32 i = 0, n;

	if (!p || len < 4)
		return BH_R_MALFORMED;
	len = hold(len);
	if (len > 40 || bpf_skb_load_bytes(skb, off, opt, len))
		return BH_R_MALFORMED;
	for (n = 0; n < 40; n++) {
		__u32 size = 1;

		if (i >= len || opt[i & 63] == 0)
			return 0;
		if (opt[i & 63] != 1) {
			size = opt[(i + 1) & 63];
			if (size < 2 || i + size > len)
				return BH_R_MALFORMED;
			if (opt[i & 63] == 131 || opt[i & 63] == 137)
				return BH_R_SOURCE_ROUTE;
		}
		/* through memory: forget the path that led here, else states multiply */
		*(volatile __u16 *)&p->l4_off = i + size;
		i = *(volatile __u16 *)&p->l4_off;
	}
	return 0;
}

/* Aggregates of more than 64 KB have no length in their header, only the kernel makes them, and
 * nothing follows them. 0: it is none. */
static __always_inline __u32 big_length(const struct __sk_buff *skb, const struct pkt *p, __u32 len)
{
	return skb->gso_size && len > 65535 && !(p->flags & PF_QUOTED) ? len : 0;
}

static __always_inline void pkt_set_addrs(struct pkt *p, const union addr *src,
					  const union addr *dst)
{
	p->local = p->dir == BH_EGRESS ? *src : *dst;
	p->remote = p->dir == BH_EGRESS ? *dst : *src;
}

static __always_inline int ip4_parse(struct __sk_buff *skb, struct pkt *p, __u32 off)
{
	__u32 total, len, fragment, avail = skb->len - off;
	const struct iphdr *ip = pkt_at(skb, off, sizeof(*ip));

	if (!ip)
		return pkt_missing(skb, off + sizeof(*ip));
	len = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (unlikely(total == 0))
		total = big_length(skb, p, avail);
	if (ip->version != 4 || len < sizeof(*ip) || total < len)
		return BH_R_MALFORMED;
	addr_set4(&p->local, p->dir == BH_EGRESS ? ip->saddr : ip->daddr);
	addr_set4(&p->remote, p->dir == BH_EGRESS ? ip->daddr : ip->saddr);
	p->proto = p->frag_proto = ip->protocol;
	if (total > avail) {
		if (!(p->flags & PF_QUOTED) || len > avail)
			return BH_R_MALFORMED;
		total = avail;
	}
	fragment = bpf_ntohs(ip->frag_off);
	p->frag_id = ip->id;
	if (unlikely(len > sizeof(*ip))) {
		int r = ip4_options(skb, p, off + sizeof(*ip), len - sizeof(*ip));

		if (r)
			return r;
	}
	if (unlikely(fragment & 0x3fff)) {
		int r;

		p->flags |= PF_FRAG | (fragment & 0x2000 ? PF_MORE : 0);
		r = frag_check(p, (fragment & 0x1fff) * 8, total - len);
		if (r)
			return r;
		if (p->frag_off) {
			p->kind = PK_LATER;
			return 0;
		}
	}
	return l4_parse(skb, p, off + len, off + total);
}

static __always_inline int ip6_is_ext(__u8 nexthdr)
{
	switch (nexthdr) {
	case NEXTHDR_HOP:
	case NEXTHDR_ROUTING:
	case NEXTHDR_FRAGMENT:
	case NEXTHDR_AH:
	case NEXTHDR_DEST:
	case NEXTHDR_MOBILITY:
	case NEXTHDR_HIP:
	case NEXTHDR_SHIM6:
		return 1;
	default:
		return 0;
	}
}

static __always_inline int ip6_fragment(struct pkt *p, const __u8 *h, __u32 payload)
{
	__u32 field = bpf_ntohs(*(const __be16 *)(h + 2));
	int r;

	if (p->flags & PF_FRAG_HDR)
		return BH_R_EXTENSION_HEADERS;
	p->flags |= PF_FRAG_HDR;
	p->proto = p->frag_proto = h[0];
	p->l4_off += 8;
	if (!(field & 0xfff9))
		return 0;
	p->frag_id = *(const __be32 *)(h + 4);
	p->flags |= PF_FRAG | (field & 1 ? PF_MORE : 0);
	r = frag_check(p, field & 0xfff8, payload);
	if (!r && p->frag_off)
		p->kind = PK_LATER;
	return r;
}

/* Steps over the extension header at p->l4_off. */
__noinline int ip6_ext(struct __sk_buff *skb, struct pkt *p, __u32 end, __u32 index)
{
	__u32 off, len;
	const __u8 *h;

	if (!p)
		return BH_R_MALFORMED;
	off = p->l4_off;
	if (p->proto == NEXTHDR_HOP && index)
		return BH_R_EXTENSION_HEADERS;
	if (off + 8 > end)
		return BH_R_MALFORMED;
	h = pkt_at(skb, off, 8);
	if (!h)
		return pkt_missing(skb, off + 8);
	if (p->proto == NEXTHDR_FRAGMENT)
		return ip6_fragment(p, h, end - off - 8);
	if (p->proto == NEXTHDR_ROUTING && (h[2] == 0 || h[3] != 0))
		return BH_R_SOURCE_ROUTE;
	len = p->proto == NEXTHDR_AH ? (h[1] + 2) * 4 : (h[1] + 1) * 8;
	if (off + len > end)
		return BH_R_MALFORMED;
	if (off + len - p->l3_off - sizeof(struct ipv6hdr) > EXT_BYTES)
		return BH_R_EXTENSION_HEADERS;
	p->proto = h[0];
	p->l4_off = off + len;
	return 0;
}

static __always_inline int ip6_chain(struct __sk_buff *skb, struct pkt *p, __u32 end)
{
	__u32 i;
	int r;

	for (i = 0; i < EXT_COUNT; i++) {
		r = ip6_ext(skb, p, end, i);
		if (r || p->kind == PK_LATER || !ip6_is_ext(p->proto))
			return r;
	}
	return BH_R_EXTENSION_HEADERS;
}

static __always_inline int ip6_parse(struct __sk_buff *skb, struct pkt *p, __u32 off)
{
	__u32 payload, avail = skb->len - off;
	const struct ipv6hdr *ip = pkt_at(skb, off, sizeof(*ip));

	if (!ip)
		return pkt_missing(skb, off + sizeof(*ip));
	payload = bpf_ntohs(ip->payload_len);
	pkt_set_addrs(p, (const union addr *)&ip->saddr, (const union addr *)&ip->daddr);
	/* payload 0 is a jumbogram, an aggregate of the kernel's, or nothing at all */
	if (payload == 0)
		payload = big_length(skb, p, avail - sizeof(*ip));
	if (ip->version != 6 || payload == 0)
		return BH_R_MALFORMED;
	if (payload > avail - sizeof(*ip)) {
		if (!(p->flags & PF_QUOTED))
			return BH_R_MALFORMED;
		payload = avail - sizeof(*ip);
	}
	p->flags |= PF_V6;
	p->l3_off = off;
	p->l4_off = off + sizeof(*ip);
	p->proto = p->frag_proto = ip->nexthdr;
	if (unlikely(ip6_is_ext(p->proto))) {
		int r = ip6_chain(skb, p, p->l4_off + payload);

		if (r || p->kind == PK_LATER)
			return r;
	}
	return l4_parse(skb, p, p->l4_off, off + sizeof(*ip) + payload);
}

/* The IP packet at off. The caller has set dir, and PF_QUOTED where it applies. */
__noinline int l3_parse(struct __sk_buff *skb, struct pkt *p, __u32 off, __u32 v6)
{
	if (!p || off > PKT_HEADERS || off > skb->len)
		return BH_R_MALFORMED;
	return v6 ? ip6_parse(skb, p, off) : ip4_parse(skb, p, off);
}
