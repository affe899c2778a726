/* closed.bpf.h - pods that are shut or quarantined: before any policy, flow or exemption. */
#pragma once

#include "lib/pkt.bpf.h"

static __always_inline int qallow_matches(const struct bh_qallow *q, const struct pkt *p)
{
	__u32 i;

	if (q->n == 0)
		return 1;
	for (i = 0; i < BH_QALLOW_PORTS; i++) {
		__be16 port = q->port[i].port;

		if (i >= q->n)
			return 0;
		if (q->port[i].proto != p->proto)
			continue;
		if (port == 0)
			return 1;
		if (p->kind == PK_CONN && !p->icmp_port_is_type &&
		    (p->lport == port || p->rport == port))
			return 1;
	}
	return 0;
}

static __always_inline int qallow_judge(const struct pkt *p)
{
	struct bh_qallow_key key = {.prefixlen = 32 + 128, .slot = p->slot};
	struct bh_qallow *q;

	__builtin_memcpy(key.addr, &p->remote, sizeof(key.addr));
	q = bpf_map_lookup_elem(&qallow, &key);
	return q && qallow_matches(q, p) ? BH_R_QUARANTINE_ALLOW : BH_R_QUARANTINE;
}

/* parsed: 0, or why the packet was not understood. */
__noinline int closed_judge(const struct pkt *p, __u32 parsed)
{
	__u32 flags;

	if (!p)
		return BH_R_NONE;
	flags = p->slot_flags;
	if ((flags & BH_SLOT_QUARANTINE) && !(flags & BH_SLOT_QALLOW))
		return BH_R_QUARANTINE;
	if (!parsed && p->kind == PK_NEIGH)
		return BH_R_NEIGHBOUR;
	if (flags & BH_SLOT_SHUT)
		return BH_R_SHUT;
	if (parsed || p->kind == PK_NONE)
		return BH_R_QUARANTINE;
	return qallow_judge(p);
}
