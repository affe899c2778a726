/* icmp.bpf.h - ICMP errors pass when they are about a live and still allowed flow of the pod. */
#pragma once

#include "lib/conn.bpf.h"
#include "lib/parse.bpf.h"

/* Makes p the quoted packet, to be asked about. 0, or the reason to drop. */
__noinline int icmp_open(struct __sk_buff *skb, struct pkt *p)
{
	union addr local, remote;
	struct bh_slot *slot;
	int v6, no;

	if (!p)
		return BH_R_ICMP_ORPHAN;
	local = p->local;
	remote = p->remote;
	v6 = !!(p->flags & PF_V6);
	slot = slot_of(p->slot);
	if (!slot || (p->flags & PF_FRAG))
		return BH_R_ICMP_ORPHAN;
	p->dir ^= 1; /* what is quoted went the other way */
	p->flags = PF_QUOTED | PF_PROBE | (p->flags & PF_V6);
	p->kind = PK_NONE;
	if (l3_parse(skb, p, p->l4_off + 8, v6) || p->kind != PK_CONN)
		return BH_R_ICMP_ORPHAN;
	no = addr_own(slot, p->slot, &p->local, v6);
	if (no == ADDR_NOT_OWN || !addr_same(&p->local, &local))
		return BH_R_ICMP_ORPHAN;
	/* errors about the pod's packets come from any router; its own go to who sent the packet */
	if (p->dir == BH_INGRESS && !addr_same(&p->remote, &remote))
		return BH_R_ICMP_ORPHAN;
	p->addr_no = no;
	return 0;
}

/* Makes p the error again. */
__noinline int icmp_close(struct __sk_buff *skb, struct pkt *p)
{
	int v6;

	if (!p)
		return 0;
	v6 = p->flags & PF_V6;
	p->dir = p->init_dir;
	p->flags = 0;
	p->kind = PK_NONE;
	l3_parse(skb, p, ETH_HLEN, !!v6);
	p->icmp_port_is_type = 1;
	return 0;
}
