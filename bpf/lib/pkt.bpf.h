/* pkt.bpf.h - one packet as the programs know it, and the helpers every part needs. */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bulkhead/abi.h"
#include "lib/maps.bpf.h"

#ifndef likely
#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif

#define BH_S	1000000000ULL /* nanoseconds */
#define HASH_64 0x9e3779b97f4a7c15ULL

#define BH_IPPROTO_SCTP	  132
#define BH_IPPROTO_ICMPV6 58

enum pkt_kind {
	PK_NONE,     /* not understood: only ever dropped */
	PK_NEIGH,    /* ARP or neighbour discovery that is in order */
	PK_CONN,     /* has a tuple */
	PK_LATER,    /* fragment without its layer 4 header */
	PK_ICMP_ERR, /* ICMP error; what it quotes starts at l4_off + 8 */
};

enum pkt_flag {
	PF_V6 = 1,
	PF_FRAG = 2,	 /* is a fragment, not an atomic one */
	PF_FRAG_HDR = 4, /* carries an IPv6 fragment header */
	PF_QUOTED = 8,	 /* the packet quoted by an ICMP error: only its first bytes are there */
	PF_OPENS = 16,	 /* TCP SYN without ACK */
	PF_ANSWER = 32,	 /* ICMP echo reply */
	PF_MORE = 64,	 /* more fragments follow */
	PF_PROBE = 128,	 /* ask for a verdict only: make no flow, count nothing */
};

#define TCPF_FIN 0x01
#define TCPF_SYN 0x02
#define TCPF_RST 0x04
#define TCPF_ACK 0x10

union addr {
	__u64 d[2];
	__be32 w[4];
	__u8 b[16];
};

/* key_slot to rport lie as in struct bh_flow_key, so that the look-up needs no copy. */
struct pkt {
	__u32 slot;
	__u16 key_slot; /* slot again */
	__u8 addr_no;
	__u8 proto;
	union addr remote; /* IPv4 is v4-mapped */
	__be16 lport;
	__be16 rport;
	__u32 slot_flags;
	union addr local; /* the pod's end */
	__u64 now;	  /* clock_now */
	__u32 generation;
	__u32 epoch;
	__u32 packets; /* wire packets it stands for */
	__u32 bytes;
	__u32 frag_id;
	__u16 frag_off; /* bytes */
	__u16 frag_end; /* offset of the first byte after this fragment */
	__u16 l3_off;
	__u16 l4_off;
	__u8 kind;	 /* enum pkt_kind */
	__u8 dir;	 /* enum bh_dir of the packet */
	__u8 init_dir;	 /* enum bh_dir of the connection's initiator, where it is known */
	__u8 frag_proto; /* as the fragment says it */
	__u8 flags;	 /* enum pkt_flag */
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 icmp_port_is_type; /* the edge's port is the ICMP type */
};
#define PKT_KEY(p) ((const struct bh_flow_key *)&(p)->key_slot)
_Static_assert(__builtin_offsetof(struct pkt, rport) - __builtin_offsetof(struct pkt, key_slot) ==
		       __builtin_offsetof(struct bh_flow_key, rport),
	       "a flow's key within struct pkt");

/* Verdicts travel as their reason; the ones that pass come first in enum bh_reason. */
#define VERDICT_COUNTED 0x100 /* or-ed in: the packet is counted in its flow already */

static __always_inline int verdict_passes(int verdict)
{
	__u8 reason = verdict;

	return reason > BH_R_NONE && reason < BH_R_NO_ENDPOINT;
}

static __always_inline struct bh_slot *slot_of(__u32 id)
{
	return bpf_map_lookup_elem(&endpoint, &id);
}

static __always_inline struct bh_config *config_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&config, &zero);
}

/* The time of bpf_ktime_get_coarse_ns, a tick or two behind bpf_ktime_get_ns, without its price:
 * jiffies are one load. Both move on with the same ticks by the same amount, so their distance
 * stays as it is; the first packet after each sweep measures it all the same. */
static __always_inline __u64 clock_now(struct bh_config *cfg)
{
	__u64 offset = *(volatile __u64 *)&cfg->clock_ns;
	__u64 ticks_ns = bpf_jiffies64() * cfg->tick_ns, now;

	if (likely(offset))
		return ticks_ns + offset;
	now = bpf_ktime_get_coarse_ns();
	if (cfg->tick_ns)
		*(volatile __u64 *)&cfg->clock_ns = now - ticks_ns;
	return now;
}

static __always_inline struct bh_usage *usage_of(__u32 id)
{
	return bpf_map_lookup_elem(&usage, &id);
}

static __always_inline void addr_set4(union addr *a, __be32 v4)
{
	a->d[0] = 0;
	a->w[2] = bpf_htonl(0xffff);
	a->w[3] = v4;
}

static __always_inline int addr_same(const union addr *a, const union addr *b)
{
	return a->d[0] == b->d[0] && a->d[1] == b->d[1];
}
