/* neigh.bpf.h - the Ethernet header, ARP and neighbour discovery.
 *
 * The one list of what needs no policy: ARP and neighbour discovery about the pod's own addresses,
 * and towards the pod announcements: of a router, and of an address that moved. No pod can make
 * such a one for another's address: it would not get out of its own interface. */
#pragma once

#include "lib/parse.bpf.h"

/* linux/if_arp.h drags libc in, which has no headers for this target */
#define ARPHRD_ETHER  1
#define ARPOP_REQUEST 1
#define ARPOP_REPLY   2

struct arp_eth4 {
	__be16 htype, ptype;
	__u8 hlen, plen;
	__be16 op;
	__u8 sha[6];
	__u8 spa[4];
	__u8 tha[6];
	__u8 tpa[4];
};
_Static_assert(sizeof(struct arp_eth4) == 28, "arp_eth4");

#define ND_RS 133
#define ND_RA 134
#define ND_NS 135
#define ND_NA 136

#define ND_OPT_SLLA    1
#define ND_OPT_TLLA    2
#define ND_OPT_COUNT   8 /* options looked at; more are refused */
#define ND_OPTS_OFFSET 24

static __always_inline int mac_is(const __u8 *mac, const struct bh_slot *slot)
{
	return *(const __u32 *)mac == *(const __u32 *)slot->mac &&
	       *(const __u16 *)(mac + 4) == *(const __u16 *)(slot->mac + 4);
}

static __always_inline int mac_check(const struct ethhdr *eth, const struct bh_slot *slot, __u8 dir)
{
	if (slot->flags & BH_SLOT_NO_MAC)
		return 0;
	if (dir == BH_EGRESS)
		return mac_is(eth->h_source, slot) ? 0 : BH_R_SPOOFED_MAC;
	return (eth->h_dest[0] & 1) || mac_is(eth->h_dest, slot) ? 0 : BH_R_NOT_FOR_POD;
}

static __always_inline int arp_own(const struct bh_slot *slot, const struct pkt *p,
				   const __u8 *addr)
{
	union addr a;

	addr_set4(&a, *(const __be32 *)addr);
	return addr_own(slot, p->slot, &a, 0) != ADDR_NOT_OWN;
}

/* Gratuitous ARP: somebody tells everybody where an address is now. */
static __always_inline int arp_announces(const struct arp_eth4 *arp)
{
	__be32 sender = *(const __be32 *)arp->spa;

	return sender != 0 && sender == *(const __be32 *)arp->tpa;
}

static __always_inline int arp_check(struct __sk_buff *skb, struct pkt *p,
				     const struct bh_slot *slot)
{
	const struct arp_eth4 *arp = pkt_at(skb, ETH_HLEN, sizeof(*arp));

	if (!arp)
		return pkt_missing(skb, ETH_HLEN + sizeof(*arp));
	if (arp->htype != bpf_htons(ARPHRD_ETHER) || arp->ptype != bpf_htons(ETH_P_IP) ||
	    arp->hlen != 6 || arp->plen != 4)
		return BH_R_ARP;
	if (arp->op != bpf_htons(ARPOP_REQUEST) && arp->op != bpf_htons(ARPOP_REPLY))
		return BH_R_ARP;
	p->kind = PK_NEIGH;
	if (p->dir == BH_INGRESS)
		return arp_own(slot, p, arp->tpa) || arp_announces(arp) ? 0 : BH_R_ARP;
	if (!(slot->flags & BH_SLOT_NO_MAC) && !mac_is(arp->sha, slot))
		return BH_R_ARP;
	if (*(const __be32 *)arp->spa == 0) /* a probe: is my address free? */
		return arp->op == bpf_htons(ARPOP_REQUEST) && arp_own(slot, p, arp->tpa) ? 0
											 : BH_R_ARP;
	return arp_own(slot, p, arp->spa) ? 0 : BH_R_ARP;
}

/* One option at p->l4_off; a link-layer address in it must be the pod's. */
__noinline int nd_option(struct __sk_buff *skb, struct pkt *p, __u32 end)
{
	struct {
		__u8 pad[6]; /* puts the address behind type and length on a word boundary */
		__u8 opt[8];
	} __attribute__((aligned(8))) buf;
	__u8 *opt = buf.opt;
	struct bh_slot *slot;
	__u32 off;

	if (!p)
		return BH_R_ND;
	off = p->l4_off;
	if (off + 8 > end || bpf_skb_load_bytes(skb, off, opt, 8) || opt[1] == 0 ||
	    off + opt[1] * 8 > end)
		return BH_R_ND;
	p->l4_off = off + opt[1] * 8;
	if (opt[0] != ND_OPT_SLLA && opt[0] != ND_OPT_TLLA)
		return 0;
	slot = slot_of(p->slot);
	if (!slot || (!(slot->flags & BH_SLOT_NO_MAC) && (opt[1] != 1 || !mac_is(opt + 2, slot))))
		return BH_R_ND;
	return 0;
}

/* Options of what the pod sends: they would be believed by its neighbours. */
static __always_inline int nd_options(struct __sk_buff *skb, struct pkt *p, __u32 off, __u32 end)
{
	__u32 i;

	p->l4_off = off;
	for (i = 0; i < ND_OPT_COUNT; i++) {
		int r;

		if (p->l4_off >= end)
			return 0;
		r = nd_option(skb, p, end);
		if (r)
			return r;
	}
	return p->l4_off >= end ? 0 : BH_R_ND;
}

static __always_inline int nd_addr_ok(const struct bh_slot *slot, const struct pkt *p,
				      const union addr *a)
{
	return addr_is_link_local6(a) || addr_own(slot, p->slot, a, 1) != ADDR_NOT_OWN;
}

static __always_inline int nd_from_pod(const struct pkt *p, const struct bh_slot *slot, __u8 type,
				       const union addr *target)
{
	if (type == ND_RA)
		return BH_R_ROUTER_ADVERTISEMENT;
	if (type == ND_NS && p->local.d[0] == 0 && p->local.d[1] == 0) /* is my address free? */
		return nd_addr_ok(slot, p, target) ? 0 : BH_R_ND;
	if (!nd_addr_ok(slot, p, &p->local))
		return BH_R_ND;
	if (type == ND_NA)
		return nd_addr_ok(slot, p, target) ? 0 : BH_R_ND;
	return type == ND_NS || type == ND_RS ? 0 : BH_R_ND;
}

static __always_inline int nd_to_pod(const struct pkt *p, const struct bh_slot *slot, __u8 type,
				     const union addr *target)
{
	/* link scope: ff02::/16 or one of the pod's unicast addresses */
	if (!(p->local.b[0] == 0xff && (p->local.b[1] & 0x0f) == 2) &&
	    !nd_addr_ok(slot, p, &p->local))
		return BH_R_ND;
	if (type == ND_NS)
		return nd_addr_ok(slot, p, target) ? 0 : BH_R_ND;
	return type == ND_NA || type == ND_RA ? 0 : BH_R_ND;
}

/* p->l4_off: the ICMPv6 header. Reads what it needs by copy; runs rarely. */
__noinline int nd_check(struct __sk_buff *skb, struct pkt *p)
{
	struct bh_slot *slot;
	struct ipv6hdr ip;
	struct {
		__u8 type, code;
		__u16 sum;
		__u32 reserved;
		union addr target; /* NS, NA */
	} nd = {};
	__u32 off, end;
	int r;

	slot = p ? slot_of(p->slot) : NULL;
	if (!slot || bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return BH_R_ND;
	off = p->l4_off;
	end = ETH_HLEN + sizeof(ip) + bpf_ntohs(ip.payload_len);
	if (off + 8 > end || bpf_skb_load_bytes(skb, off, &nd, 8))
		return BH_R_ND;
	if (ip.hop_limit != 255 || nd.code != 0)
		return BH_R_ND;
	if (nd.type == ND_NS || nd.type == ND_NA) {
		if (off + ND_OPTS_OFFSET > end || bpf_skb_load_bytes(skb, off, &nd, sizeof(nd)))
			return BH_R_ND;
	}
	if (p->dir == BH_INGRESS)
		return nd_to_pod(p, slot, nd.type, &nd.target);
	r = nd_from_pod(p, slot, nd.type, &nd.target);
	if (r)
		return r;
	return nd_options(skb, p, off + (nd.type == ND_RS ? 8 : ND_OPTS_OFFSET), end);
}

static __always_inline int addr_check(struct pkt *p, const struct bh_slot *slot, int group)
{
	int v6 = p->flags & PF_V6, no = addr_own(slot, p->slot, &p->local, v6);

	if (p->dir == BH_EGRESS && no == ADDR_NOT_OWN)
		return BH_R_SPOOFED_IP;
	if (group || addr_is_multicast(p->dir == BH_EGRESS ? &p->remote : &p->local, v6))
		return BH_R_MULTICAST;
	if (no == ADDR_NOT_OWN)
		return BH_R_NOT_FOR_POD;
	if (addr_is_martian(&p->remote, v6) || addr_is_multicast(&p->remote, v6))
		return BH_R_MALFORMED;
	p->addr_no = no;
	return 0;
}

/* A whole frame: tag, MAC addresses, ethertype, layers 3 and 4, whose addresses. */
static __always_inline int frame_parse(struct __sk_buff *skb, struct pkt *p,
				       const struct bh_slot *slot)
{
	const struct ethhdr *eth = pkt_at(skb, 0, sizeof(*eth));
	__be16 proto;
	int r, group;

	if (!eth)
		return pkt_missing(skb, sizeof(*eth));
	proto = eth->h_proto;
	group = eth->h_dest[0] & 1;
	if (skb->vlan_present || proto == bpf_htons(ETH_P_8021Q) ||
	    proto == bpf_htons(ETH_P_8021AD))
		return BH_R_VLAN;
	r = mac_check(eth, slot, p->dir);
	if (r)
		return r;
	if (proto == bpf_htons(ETH_P_ARP))
		return arp_check(skb, p, slot);
	if (proto != bpf_htons(ETH_P_IP) && proto != bpf_htons(ETH_P_IPV6))
		return BH_R_ETHERTYPE;
	/* IPv4 in line: a call costs a tenth of the budget of an established packet */
	if (proto == bpf_htons(ETH_P_IP))
		r = ip4_parse(skb, p, ETH_HLEN);
	else
		r = l3_parse(skb, p, ETH_HLEN, 1);
	if (r)
		return r;
	return p->kind == PK_NEIGH ? nd_check(skb, p) : addr_check(p, slot, group);
}
