/* frag.bpf.h - fragments: the first one tells the ports, the later ones share its decision.
 *
 * An entry in `frag` allows nothing: it only names the tuple, which is then decided like any other.
 *
 * A program cannot hold packets back, so what comes before its first fragment is either dropped,
 * and a datagram whose fragments arrive in another order is lost, or passed on not knowing the
 * ports. It passes where policy allows this remote some port of the protocol, or where it may be
 * the answer to something the pod is allowed to ask and did ask. It cannot do harm: nothing is
 * delivered without the first fragment, whose ports are judged, and which it cannot overlap. */
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

/* What is known of the packet's datagram, or NULL. */
static __always_inline struct bh_frag *frag_of(const struct pkt *p, const struct bh_frag_key *key)
{
	struct bh_frag *f = bpf_map_lookup_elem(&frag, key);

	if (!f || f->generation != p->generation ||
	    (__s64)(p->now - f->seen_ns) > (__s64)FRAG_LIFE_NS)
		return NULL;
	return f;
}

/* Before a first fragment is judged: it tells the others what they belong to. 0, or the verdict. */
__noinline int frag_first(const struct pkt *p)
{
	struct bh_frag_key key = {};
	struct bh_frag new = {}, *f;

	if (!p)
		return BH_R_FRAGMENT_TABLE;
	frag_key(p, &key);
	f = frag_of(p, &key);
	if (f && f->is_waiting && f->bound < p->frag_end)
		return BH_R_MALFORMED;
	new.seen_ns = p->now;
	new.generation = p->generation;
	new.bound = p->frag_end;
	new.flow = *PKT_KEY(p);
	return bpf_map_update_elem(&frag, &key, &new, BPF_ANY) ? BH_R_FRAGMENT_TABLE : 0;
}

/* A fragment whose first one is not known: FRAGMENT, or why not. */
__noinline int frag_early(struct __sk_buff *skb, struct pkt *p)
{
	struct grant g = {};

	if (!p || ((p->flags & PF_V6) && ip6_is_ext(p->proto)))
		return BH_R_FRAGMENT_ORPHAN;
	if (conn_is_spoofed(skb, p))
		return BH_R_SPOOFED_IP;
	g.dir = p->dir;
	if ((p->slot_flags & BH_SLOT_SHADOW) || verdict_passes(conn_judge_some(skb, p, &g)))
		return BH_R_FRAGMENT;
	g.dir = !p->dir;
	if (talk_was(p) && verdict_passes(conn_judge_some(skb, p, &g)))
		return BH_R_FRAGMENT;
	return BH_R_FRAGMENT_ORPHAN;
}

/* After it was let pass: its first one may not overlap it. 0, or the verdict. */
__noinline int frag_await(const struct pkt *p)
{
	struct bh_frag_key key = {};
	struct bh_frag new = {}, *f;

	if (!p)
		return BH_R_FRAGMENT_TABLE;
	frag_key(p, &key);
	f = frag_of(p, &key);
	new.seen_ns = p->now;
	new.generation = p->generation;
	new.bound = f && f->bound < p->frag_off ? f->bound : p->frag_off;
	new.is_waiting = 1;
	return bpf_map_update_elem(&frag, &key, &new, BPF_ANY) ? BH_R_FRAGMENT_TABLE : 0;
}

__noinline int frag_forget(const struct pkt *p)
{
	struct bh_frag_key key = {};

	if (!p)
		return 0;
	frag_key(p, &key);
	return bpf_map_delete_elem(&frag, &key);
}

/* After a first fragment was denied. Where others of the datagram would pass without it, its entry
 * stays and denies them; elsewhere whoever is denied shall not fill the table. */
static __always_inline void frag_denied(struct __sk_buff *skb, struct pkt *p)
{
	p->kind = PK_LATER;
	if (frag_early(skb, p) != BH_R_FRAGMENT)
		frag_forget(p);
	p->kind = PK_CONN;
}

#define FRAG_EARLY 255

/* Gives a later fragment the tuple of its first one. 0, FRAG_EARLY, or the verdict. */
__noinline int frag_match(struct pkt *p)
{
	struct bh_frag_key key = {};
	struct bh_frag *f;

	if (!p)
		return BH_R_MALFORMED;
	frag_key(p, &key);
	f = frag_of(p, &key);
	if (!f || f->is_waiting)
		return FRAG_EARLY;
	if (p->frag_off < f->bound)
		return BH_R_MALFORMED;
	p->proto = f->flow.proto;
	p->lport = f->flow.lport;
	p->rport = f->flow.rport;
	p->kind = PK_CONN;
	return 0;
}
