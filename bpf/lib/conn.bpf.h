/* conn.bpf.h - the decision about a packet that has a tuple and no established flow that vouches
 * for it: new connections, stale flows, TCP whose entry was lost.
 *
 * A decision is always about the connection, in its initiator's direction, never about the packet.
 */
#pragma once

#include "lib/flow.bpf.h"

#define SK_TIME_WAIT	6
#define SK_LISTEN	10
#define SK_NEW_SYN_RECV 12

/* The executable that opened the socket, as the hooks saw it under today's numbering. */
static __always_inline __u16 opener_proc(const struct bh_opener *o)
{
	struct bh_slot *slot = o ? slot_of(o->slot) : NULL;

	return slot && slot->generation == o->generation ? o->proc : BH_PROC_UNKNOWN;
}

static __always_inline __u16 skb_proc(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	if (!sk)
		return BH_PROC_UNKNOWN;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return BH_PROC_UNKNOWN;
	return opener_proc(bpf_sk_storage_get(&opener, sk, NULL, 0));
}

static __always_inline struct bpf_sock *tcp_lookup(struct __sk_buff *skb, const struct pkt *p,
						   __s32 nsid, int listener)
{
	struct bpf_sock_tuple t = {};
	__u32 size;

	/* port 0 at the other end matches no connection, so only a listener is found */
	if (p->flags & PF_V6) {
		__builtin_memcpy(t.ipv6.saddr, &p->remote, sizeof(t.ipv6.saddr));
		__builtin_memcpy(t.ipv6.daddr, &p->local, sizeof(t.ipv6.daddr));
		t.ipv6.sport = listener ? 0 : p->rport;
		t.ipv6.dport = p->lport;
		size = sizeof(t.ipv6);
	} else {
		t.ipv4.saddr = p->remote.w[3];
		t.ipv4.daddr = p->local.w[3];
		t.ipv4.sport = listener ? 0 : p->rport;
		t.ipv4.dport = p->lport;
		size = sizeof(t.ipv4);
	}
	if (size == sizeof(t.ipv6))
		return bpf_skc_lookup_tcp(skb, &t, sizeof(t.ipv6), nsid, 0);
	return bpf_skc_lookup_tcp(skb, &t, sizeof(t.ipv4), nsid, 0);
}

/* Nobody remembers who began the connection, but who listens did not. */
static __always_inline __u8 tcp_listener_dir(struct __sk_buff *skb, const struct pkt *p, __s32 nsid)
{
	struct bpf_sock *sk = tcp_lookup(skb, p, nsid, 1);
	__u8 dir = BH_EGRESS;

	if (!sk)
		return dir;
	if (sk->state == SK_LISTEN)
		dir = BH_INGRESS;
	bpf_sk_release(sk);
	return dir;
}

/* Under a flood of SYNs the pod answers with cookies: for a while there is neither an entry, for
 * want of room, nor a socket. Then the listener vouches for the rest of the handshake; policy
 * decides, and the pod's kernel checks the cookie. */
static __always_inline int tcp_may_be_cookie(const struct pkt *p, const struct bh_slot *slot)
{
	struct bh_usage *u = usage_of(p->slot);
	__u8 flags = p->tcp_flags & (TCPF_SYN | TCPF_ACK | TCPF_RST | TCPF_FIN);

	if (!u || u->flows < flow_share(slot, IPPROTO_TCP, BH_INGRESS))
		return 0;
	return flags == (p->dir == BH_EGRESS ? TCPF_SYN | TCPF_ACK : TCPF_ACK);
}

/* Is the packet's connection alive in the pod? Fills g with what its socket tells. */
__noinline int tcp_live(struct __sk_buff *skb, const struct pkt *p, struct grant *g)
{
	struct bh_slot *slot;
	struct bh_opener *o;
	struct bpf_sock *sk;
	int is_known;
	__u32 state;
	__s32 nsid;

	if (!p || !g)
		return 0;
	slot = slot_of(p->slot);
	if (!slot)
		return 0;
	nsid = slot->nsid;
	if (nsid < 0) /* would mean the host's namespace */
		return 0;
	sk = tcp_lookup(skb, p, nsid, 0);
	if (!sk)
		return 0;
	state = sk->state;
	o = bpf_sk_storage_get(&opener, sk, NULL, 0);
	is_known = o != NULL;
	g->dir = o && o->connected ? BH_EGRESS : BH_INGRESS;
	g->proc = opener_proc(o);
	bpf_sk_release(sk);
	if (state == SK_LISTEN) {
		g->dir = BH_INGRESS;
		return tcp_may_be_cookie(p, slot);
	}
	if (state == SK_NEW_SYN_RECV)
		g->dir = BH_INGRESS;
	else if (state == SK_TIME_WAIT || !is_known) /* no record: opened under other programs */
		g->dir = tcp_listener_dir(skb, p, nsid);
	g->flags = BH_FLOW_REPLIED | BH_FLOW_REBUILT;
	return 1;
}

/* What comes back through the interface it left by is the pod's own, checked when it left. */
static __always_inline int is_hairpin(const struct __sk_buff *skb, const struct pkt *p)
{
	return p->dir == BH_INGRESS && skb->ingress_ifindex == skb->ifindex;
}

/* Somebody outside says that it is the pod. */
static __always_inline int conn_is_spoofed(const struct __sk_buff *skb, const struct pkt *p)
{
	struct bh_slot *slot;

	if (p->dir != BH_INGRESS || is_hairpin(skb, p))
		return 0;
	slot = slot_of(p->slot);
	return !slot || addr_own(slot, p->slot, &p->remote, p->flags & PF_V6) != ADDR_NOT_OWN;
}

/* The node itself, shown by a packet that came from no interface. */
static __always_inline int node_exempts(struct __sk_buff *skb, const struct pkt *p,
					const struct grant *g, const struct bh_config *cfg)
{
	__u32 mode = cfg->node_mode;

	if (g->dir == BH_EGRESS)
		return mode == BH_NODE_ALLOW;
	if (mode != BH_NODE_ALLOW && mode != BH_NODE_KUBELET)
		return 0;
	if (g->flags & BH_FLOW_NODE) /* proved before */
		return 1;
	if (p->dir != BH_INGRESS || skb->ingress_ifindex != 0)
		return 0;
	return mode == BH_NODE_ALLOW ||
	       (cfg->kubelet_cgroup && bpf_skb_cgroup_id(skb) == cfg->kubelet_cgroup);
}

static __always_inline void ask_policy(struct __sk_buff *skb, const struct pkt *p, struct grant *g,
				       struct ask *a)
{
	policy_eval(a);
	if (a->reason == BH_R_PROCESS_UNKNOWN && g->dir == BH_EGRESS && p->dir == BH_EGRESS &&
	    !(p->flags & PF_QUOTED)) {
		a->proc = skb_proc(skb);
		if (a->proc != BH_PROC_UNKNOWN)
			policy_eval_any(a);
	}
	g->proc = a->proc;
	g->until_ns = a->until_ns;
}

/* What the tables are asked; false: nothing was published yet. */
static __always_inline int conn_question(const struct pkt *p, const struct grant *g, struct ask *a)
{
	const struct bh_slot *slot = slot_of(p->slot);

	if (!slot || p->epoch < 2)
		return 0;
	a->ruleset = slot->side[p->epoch & 1].ruleset[g->dir & 1];
	a->port = g->dir == BH_EGRESS ? p->rport : p->lport;
	a->proc = g->proc;
	a->proto = p->proto;
	a->is_some_port = p->kind == PK_LATER;
	return 1;
}

static __always_inline int conn_is_self(const struct __sk_buff *skb, const struct pkt *p,
					const struct grant *g)
{
	return g->dir == BH_INGRESS && (is_hairpin(skb, p) || (g->flags & BH_FLOW_SELF));
}

/* What the tables say: the remote's class, the node's exemption, policy. */
__noinline int conn_ask(struct __sk_buff *skb, const struct pkt *p, struct grant *g, struct ask *a)
{
	struct bh_config *cfg = config_get();
	__u32 class, side;

	if (!p || !g || !a || !cfg)
		return BH_R_TABLE_INCOMPLETE;
	side = p->epoch & 1;
	class = class_of(&p->remote, p->flags & PF_V6, side, cfg->has_cidrs[side]);
	if ((class & BH_CLASS_NODE) && node_exempts(skb, p, g, cfg)) {
		g->flags = (g->flags & ~BH_FLOW_SELF) | BH_FLOW_NODE;
		return BH_R_NODE;
	}
	if (conn_is_self(skb, p, g)) {
		g->flags = (g->flags & ~BH_FLOW_NODE) | BH_FLOW_SELF;
		return BH_R_POLICY;
	}
	g->flags &= ~(BH_FLOW_NODE | BH_FLOW_SELF);
	a->class = class & ~BH_CLASS_NODE;
	a->is_lasting = !(class & BH_CLASS_NODE);
	ask_policy(skb, p, g, a);
	return a->reason;
}

/* Verdict on the connection in direction g->dir; fills the rest of g. */
static __always_inline int conn_judge(struct __sk_buff *skb, const struct pkt *p, struct grant *g)
{
	struct bh_memo *m = NULL;
	struct ask a = {};
	__u8 reason;

	if (!conn_question(p, g, &a))
		return BH_R_TABLE_INCOMPLETE;
	if (likely(!a.is_some_port && !conn_is_self(skb, p, g)))
		m = memo_of(&a, &p->remote);
	reason = m ? memo_recall(m, &a, &p->remote, p->epoch) : BH_R_NONE;
	if (reason == BH_R_NONE) {
		reason = conn_ask(skb, p, g, &a);
		if (m && a.is_lasting)
			memo_store(m, &a, &p->remote, p->epoch);
		return reason;
	}
	g->flags &= ~(BH_FLOW_NODE | BH_FLOW_SELF);
	return reason;
}

/* The same of a packet whose ports are not known: there is no memo of those. Out of line. */
__noinline int conn_judge_some(struct __sk_buff *skb, const struct pkt *p, struct grant *g)
{
	struct ask a = {};

	if (!p || !g || !conn_question(p, g, &a))
		return BH_R_TABLE_INCOMPLETE;
	return conn_ask(skb, p, g, &a);
}

/* Who began it, and what is remembered of that. f: a fresh entry or NULL. */
static __always_inline int conn_origin(struct __sk_buff *skb, const struct pkt *p,
				       const struct bh_flow *f, struct grant *g)
{
	g->dir = p->dir;
	/* a SYN begins a connection of its own, whatever flow it would like to ride on */
	if (p->flags & PF_OPENS)
		return 0;
	if (f) {
		g->dir = f->dir;
		g->proc = f->proc;
		g->flags = f->flags & (BH_FLOW_NODE | BH_FLOW_SELF);
		return 0;
	}
	if (p->proto == IPPROTO_TCP)
		return tcp_live(skb, p, g) ? 0 : BH_R_NO_CONNECTION;
	return p->flags & (PF_ANSWER | PF_PROBE) ? BH_R_NO_CONNECTION : 0;
}

/* False: another CPU is at it. */
static __always_inline int conn_renew(struct bh_flow *f, struct pkt *p, const struct grant *g,
				      __u32 seen, int is_new)
{
	if (!flow_take(f, seen, FLOW_TAKEN))
		return 0;
	if (is_new || f->reason != g->reason)
		flow_fold(PKT_KEY(p), f);
	flow_settle(f, p, g, is_new);
	flow_touch(f, p);
	return 1;
}

/* Is the entry, though its epoch moved on, to be kept as it is? */
static __always_inline int conn_keeps(const struct bh_flow *f, const struct pkt *p)
{
	struct bh_config *cfg = config_get();
	struct bh_slot *slot = slot_of(p->slot);
	const struct bh_ruleset *rs;
	__u32 id;

	if (!cfg || !slot || (p->flags & PF_OPENS) || (f->flags & BH_FLOW_CUT) ||
	    flow_has_expired(f) || f->reason == BH_R_SHADOW)
		return 0;
	if (cfg->keep_established)
		return 1;
	id = slot->side[p->epoch & 1].ruleset[f->dir & 1];
	rs = bpf_map_lookup_elem(&ruleset, &id);
	return rs && (rs->flags & BH_RULESET_KEEP);
}

static __always_inline int conn_verdict(struct __sk_buff *skb, struct pkt *p, struct bh_flow *f,
					struct grant *g)
{
	int r;

	if (f && conn_keeps(f, p)) {
		g->dir = f->dir;
		g->proc = f->proc;
		g->flags = f->flags & (BH_FLOW_NODE | BH_FLOW_SELF);
		g->until_ns = f->until_ns;
		g->reason = f->reason;
		return f->reason;
	}
	if (conn_is_spoofed(skb, p)) {
		g->reason = BH_R_SPOOFED_IP;
		return BH_R_SPOOFED_IP;
	}
	r = conn_origin(skb, p, f, g);
	if (!r)
		r = conn_judge(skb, p, g);
	if (r == BH_R_NO_CONNECTION && (p->flags & PF_PROBE))
		return r;
	if (verdict_is_policy(r) && (p->slot_flags & BH_SLOT_SHADOW)) {
		r = BH_R_SHADOW;
		g->until_ns = 0;
	}
	g->reason = r;
	return r;
}

/* Vouches the entry for the packet as it is? */
static __always_inline int flow_is_good(const struct bh_flow *f, const struct pkt *p,
					const struct __sk_buff *skb)
{
	return f->epoch == p->epoch && flow_is_fresh(f, p) && !flow_has_expired(f) &&
	       flow_fits(f, p, skb) &&
	       (f->reason != BH_R_SHADOW || (p->slot_flags & BH_SLOT_SHADOW));
}

/* No entry could be made. TCP lives on without one: its socket vouches for it, packet by packet. */
static __always_inline int conn_without(const struct pkt *p, const struct grant *g, int why)
{
	struct bh_usage *u = usage_of(p->slot);

	if (why == BH_R_NONE) /* it is gone again; the edge counts this packet */
		return g->reason;
	if (u)
		__sync_fetch_and_add(&u->flow_refused, 1);
	return p->proto == IPPROTO_TCP ? g->reason : why;
}

/* The verdict on a packet with a tuple, and its entry in `flow`. f: that entry, or NULL. Before a
 * SYN nobody needs to look: most are denied or find none, and an insert tells of the others. */
__noinline int conn_decide(struct __sk_buff *skb, struct pkt *p, struct bh_flow *f)
{
	struct grant g = {};
	int r, verdict, is_fresh, is_new;
	__u32 seen;

	if (!p)
		return BH_R_NONE;
	seen = f ? *(volatile __u32 *)&f->epoch : 0;
	if (f && !(p->flags & PF_OPENS) && flow_is_good(f, p, skb)) {
		if (p->flags & PF_PROBE)
			return BH_R_ESTABLISHED;
		p->init_dir = f->dir;
		flow_touch(f, p);
		return BH_R_ESTABLISHED | VERDICT_COUNTED;
	}
	is_fresh = f && flow_is_fresh(f, p) && flow_fits(f, p, skb);
	verdict = conn_verdict(skb, p, is_fresh ? f : NULL, &g);
	if (p->flags & PF_PROBE)
		return verdict;
	if (!verdict_passes(verdict)) {
		if (is_fresh && !(p->flags & PF_OPENS))
			f->flags |= BH_FLOW_CUT;
		return verdict;
	}
	p->init_dir = g.dir;
	p->icmp_port_is_type = 0; /* as the flow's counters will be filed */
	if (!f) {
		r = flow_insert(p, &g);
		if (likely(r == FLOW_MADE)) {
			edge_count_pkt(skb, p, g.dir, g.reason, 0);
			return g.reason | VERDICT_COUNTED;
		}
		f = r == BH_R_NONE || (p->flags & PF_OPENS) ? flow_find(p) : NULL;
		if (!f)
			return conn_without(p, &g, r);
		seen = *(volatile __u32 *)&f->epoch;
		is_fresh = flow_is_fresh(f, p) && flow_fits(f, p, skb);
	}
	is_new = !is_fresh || g.dir != f->dir ||
		 ((p->flags & PF_OPENS) && verdict_idle_limit(p->proto, f->flags) < 11 * BH_S);
	if (!conn_renew(f, p, &g, seen, is_new))
		return g.reason; /* the edge counts this packet */
	if (is_new)
		edge_count_pkt(skb, p, g.dir, g.reason, 0);
	return g.reason | VERDICT_COUNTED;
}
