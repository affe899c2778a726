/* frag.bpf.h - fragments: the first one tells the ports, the later ones share its decision.
 *
 * An entry in `frag` allows nothing: it only names the tuple, which is then decided like any other.
 */
#pragma once

#include "lib/conn.bpf.h"
#include "lib/parse.bpf.h"

#define FRAG_LIFE_NS (30 * BH_S)

static __always_inline void frag_key(const struct pkt *p, struct bh_frag_key *k)
{
	const union addr *src = p->dir == BH_EGRESS ? &p->local : &p->remote;
	const union addr *dst = p->dir == BH_EGRESS ? &p->remote : &p->local;

	__builtin_memcpy(k->src, src, sizeof(k->src));
	__builtin_memcpy(k->dst, dst, sizeof(k->dst));
	k->id = p->frag_id;
	k->slot = p->slot;
	k->proto = p->frag_proto;
	k->dir = p->dir;
}

/* After the first fragment was allowed. */
__noinline int frag_remember(const struct pkt *p)
{
	struct bh_frag_key key = {};
	struct bh_frag f = {};

	if (!p)
		return BH_R_FRAGMENT_TABLE;
	frag_key(p, &key);
	f.seen_ns = p->now;
	f.generation = p->generation;
	f.first_end = p->frag_end;
	f.flow = *PKT_KEY(p);
	return bpf_map_update_elem(&frag, &key, &f, BPF_ANY) ? BH_R_FRAGMENT_TABLE : 0;
}

/* A fragment that came before its first one passes only if every port is allowed. */
static __always_inline int frag_orphan(struct __sk_buff *skb, struct pkt *p)
{
	struct grant g = {.dir = p->dir};

	if ((p->flags & PF_V6) && ip6_is_ext(p->proto))
		return BH_R_FRAGMENT_ORPHAN;
	if (conn_is_spoofed(skb, p))
		return BH_R_SPOOFED_IP;
	if (verdict_passes(conn_judge_rare(skb, p, &g)) || (p->slot_flags & BH_SLOT_SHADOW))
		return BH_R_FRAGMENT;
	return BH_R_FRAGMENT_ORPHAN;
}

/* Gives a later fragment the tuple of its first one. 0, or the verdict. */
__noinline int frag_match(struct __sk_buff *skb, struct pkt *p)
{
	struct bh_frag_key key = {};
	struct bh_frag *f;

	if (!p)
		return BH_R_MALFORMED;
	frag_key(p, &key);
	f = bpf_map_lookup_elem(&frag, &key);
	if (!f || f->generation != p->generation ||
	    (__s64)(p->now - f->seen_ns) > (__s64)FRAG_LIFE_NS)
		return frag_orphan(skb, p);
	if (p->frag_off < f->first_end)
		return BH_R_MALFORMED;
	p->proto = f->flow.proto;
	p->lport = f->flow.lport;
	p->rport = f->flow.rport;
	p->kind = PK_CONN;
	return 0;
}
