/* icmp.bpf.h - ICMP errors pass when they are about a live and still allowed flow of the pod. */
#pragma once

#include "lib/conn.bpf.h"
#include "lib/parse.bpf.h"

/* What the edge of the error needs, kept while p describes the quoted packet. */
struct icmp_outer {
	union addr local, remote;
	__u8 dir, proto, flags, icmp_type;
};

static __always_inline int icmp_quoted(struct __sk_buff *skb, struct pkt *p,
				       const struct icmp_outer *o)
{
	int v6 = !!(o->flags & PF_V6), no;
	struct bh_slot *slot = slot_of(p->slot);

	if (!slot || (o->flags & PF_FRAG))
		return BH_R_ICMP_ORPHAN;
	p->dir = o->dir ^ 1; /* what is quoted went the other way */
	p->flags = PF_QUOTED | PF_PROBE;
	p->kind = PK_NONE;
	if (l3_parse(skb, p, p->l4_off + 8, v6) || p->kind != PK_CONN)
		return BH_R_ICMP_ORPHAN;
	no = addr_own(slot, p->slot, &p->local, v6);
	if (no == ADDR_NOT_OWN || !addr_same(&p->local, &o->local))
		return BH_R_ICMP_ORPHAN;
	/* errors about the pod's packets come from any router; its own go to who sent the packet */
	if (o->dir == BH_EGRESS && !addr_same(&p->remote, &o->remote))
		return BH_R_ICMP_ORPHAN;
	p->addr_no = no;
	return verdict_passes(conn_decide(skb, p)) ? BH_R_ICMP_RELATED : BH_R_ICMP_ORPHAN;
}

__noinline int icmp_related(struct __sk_buff *skb, struct pkt *p)
{
	struct icmp_outer o = {};
	int verdict;

	if (!p)
		return BH_R_NONE;
	o.local = p->local;
	o.remote = p->remote;
	o.dir = p->dir;
	o.proto = p->proto;
	o.flags = p->flags;
	o.icmp_type = p->icmp_type;
	verdict = icmp_quoted(skb, p, &o);
	p->local = o.local;
	p->remote = o.remote;
	p->dir = o.dir;
	p->init_dir = o.dir;
	p->proto = o.proto;
	p->flags = o.flags;
	p->icmp_type = o.icmp_type;
	p->icmp_port_is_type = 1;
	return verdict;
}
