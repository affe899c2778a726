/* pod.bpf.c - the packet side: both directions of a pod's interface, IPv4 and IPv6, one decision.
 *
 * bh_from_pod sits on the ingress of the host's end of the veth, bh_to_pod on its egress. Every
 * frame leaves judge() through verdict_commit(), with a reason. */
#include "lib/closed.bpf.h"
#include "lib/conn.bpf.h"
#include "lib/frag.bpf.h"
#include "lib/icmp.bpf.h"
#include "lib/neigh.bpf.h"
#include "lib/sweep.bpf.h"

#define TC_ACT_UNSPEC (-1)
#define TC_ACT_SHOT   2
#define PORT_DNS      53

/* On its own: were both look-ups one call with a choice of map, the verifier could not put the
 * array's in line, and every packet would pay for an indirect call. */
__noinline __u32 slot_by_high_ifindex(__u32 ifindex)
{
	__u32 *id = bpf_map_lookup_elem(&slot_by_ifindex_hash, &ifindex);

	return id ? *id : 0;
}

static __always_inline __u32 slot_by_device(__u32 ifindex)
{
	__u32 *id;

	if (unlikely(ifindex >= BH_IFINDEX_ARRAY))
		return slot_by_high_ifindex(ifindex);
	id = bpf_map_lookup_elem(&slot_by_ifindex, &ifindex);
	return id ? *id : 0;
}

/* Wire packets behind an skb. Offloading leaves gso_segs empty on some paths. */
static __always_inline __u32 skb_packets(const struct __sk_buff *skb)
{
	if (likely(skb->gso_size == 0))
		return 1;
	if (skb->gso_segs)
		return skb->gso_segs;
	return (skb->len + skb->gso_size - 1) / skb->gso_size;
}

/* Headers may lie outside the linear part of the skb; then pull them in and start over. */
static __always_inline int pkt_parse(struct __sk_buff *skb, struct pkt *p,
				     const struct bh_slot *slot)
{
	int r = frame_parse(skb, p, slot);

	if (likely(r != PKT_SHORT))
		return r;
	if (bpf_skb_pull_data(skb, skb->len < PKT_HEADERS ? skb->len : PKT_HEADERS))
		return BH_R_MALFORMED;
	p->flags = 0;
	p->kind = PK_NONE;
	r = frame_parse(skb, p, slot);
	return r == PKT_SHORT ? BH_R_MALFORMED : r;
}

static __always_inline int pkt_decide(struct __sk_buff *skb, struct pkt *p)
{
	struct bh_flow *f = bpf_map_lookup_elem(&flow, PKT_KEY(p));

	return f ? conn_decide(skb, p, f) : conn_decide(skb, p, NULL);
}

static __always_inline int pkt_judge_later(struct __sk_buff *skb, struct pkt *p)
{
	int verdict = frag_match(p);

	if (verdict == FRAG_EARLY) {
		verdict = frag_early(skb, p);
		if (verdict == BH_R_FRAGMENT && frag_await(p))
			return BH_R_FRAGMENT_TABLE;
		return verdict;
	}
	if (!verdict)
		verdict = pkt_decide(skb, p);
	return verdict_passes(verdict) ? BH_R_FRAGMENT | (verdict & VERDICT_COUNTED) : verdict;
}

static __always_inline int pkt_judge_error(struct __sk_buff *skb, struct pkt *p)
{
	int verdict = icmp_open(skb, p);

	if (!verdict)
		verdict = pkt_decide(skb, p);
	icmp_close(skb, p);
	return verdict_passes(verdict) ? BH_R_ICMP_RELATED : BH_R_ICMP_ORPHAN;
}

/* Packets that must be understood as part of something else first. */
static __always_inline int pkt_judge_rare(struct __sk_buff *skb, struct pkt *p)
{
	int verdict;

	if (p->kind == PK_NEIGH)
		return BH_R_NEIGHBOUR;
	if (p->kind == PK_LATER)
		return pkt_judge_later(skb, p);
	if (p->kind == PK_ICMP_ERR)
		return pkt_judge_error(skb, p);
	if (p->kind != PK_CONN)
		return BH_R_MALFORMED;
	/* a first fragment */
	verdict = frag_first(p);
	if (verdict)
		return verdict;
	verdict = pkt_decide(skb, p);
	if (!verdict_passes(verdict))
		frag_denied(skb, p);
	return verdict;
}

static __always_inline int pkt_judge(struct __sk_buff *skb, struct pkt *p)
{
	struct bh_flow *f;

	if (unlikely(p->kind != PK_CONN || (p->flags & PF_FRAG)))
		return pkt_judge_rare(skb, p);
	f = p->flags & PF_OPENS ? NULL : bpf_map_lookup_elem(&flow, PKT_KEY(p));
	if (!f)
		return conn_decide(skb, p, NULL);
	if (unlikely(!flow_is_good(f, p, skb)))
		return conn_decide(skb, p, f);
	flow_touch(f, p);
	return BH_R_ESTABLISHED | VERDICT_COUNTED;
}

/* The only exit: counts, announces, returns. */
static __always_inline int verdict_commit(struct __sk_buff *skb, const struct pkt *p, int verdict)
{
	__u8 reason = verdict;
	struct bh_drop *d;

	if (likely(verdict_passes(verdict))) {
		if (!(verdict & VERDICT_COUNTED) && reason != BH_R_NEIGHBOUR)
			edge_count_pkt(skb, p, p->init_dir, reason, 1);
		return TC_ACT_UNSPEC;
	}
	d = drop_of(reason);
	if (d) { /* this CPU's own, and bottom halves are off */
		d->packets += p->packets;
		d->bytes += p->bytes;
	}
	if (p->slot)
		edge_count_pkt(skb, p, p->dir, reason, 1);
	return TC_ACT_SHOT;
}

/* Shows a packet that passes to whoever watches what names pods ask for; while nobody does, `names`
 * is empty and this goes on here. What it runs passes the packet too. */
static __always_inline void names_show(struct __sk_buff *skb, const struct pkt *p)
{
	skb->cb[0] = p->slot;
	skb->cb[1] = p->l4_off | (__u32)p->proto << 16 | (__u32)p->dir << 24;
	bpf_tail_call(skb, &names, 0);
}

static __always_inline int judge(struct __sk_buff *skb, enum bh_dir dir)
{
	struct bh_config *cfg = config_get();
	__u32 id = slot_by_device(skb->ifindex);
	struct bh_slot *slot = id ? slot_of(id) : NULL;
	struct pkt p = {.dir = dir, .init_dir = dir};
	int r;

	p.packets = skb_packets(skb);
	p.bytes = skb->len;
	if (!cfg || !slot || !(slot->flags & BH_SLOT_LIVE))
		return verdict_commit(skb, &p, BH_R_NO_ENDPOINT);
	p.slot = id;
	p.key_slot = id;
	p.slot_flags = *(volatile __u32 *)&slot->flags;
	p.generation = slot->generation;
	p.epoch = *(volatile __u32 *)&cfg->epoch;
	p.now = clock_now(cfg);
	r = pkt_parse(skb, &p, slot);
	if (unlikely(p.slot_flags & (BH_SLOT_SHUT | BH_SLOT_QUARANTINE)))
		r = closed_judge(&p, r);
	else if (!r)
		r = pkt_judge(skb, &p);
	r = verdict_commit(skb, &p, r);
	if (unlikely(p.rport == bpf_htons(PORT_DNS)) && r == TC_ACT_UNSPEC)
		names_show(skb, &p);
	return r;
}

SEC("tc")
int bh_from_pod(struct __sk_buff *skb)
{
	return judge(skb, BH_EGRESS);
}

SEC("tc")
int bh_to_pod(struct __sk_buff *skb)
{
	return judge(skb, BH_INGRESS);
}

/* One sweep now; see struct bh_sweep_args. */
SEC("syscall")
int bh_sweep(struct bh_sweep_args *args)
{
	struct bh_sweeper *w = sweeper_get();
	struct sweep s = {
		.edges_before_ns = args->edges_before_ns,
		.slot = args->slot_plus_one ? args->slot_plus_one - 1 : SWEEP_EVERY,
		.all = args->all,
	};

	if (!w || sweep_run(w, &s))
		return 1;
	args->flows = s.flows;
	args->edges = s.edges;
	return 0;
}

/* Arms the timer that sweeps, from now on and for as long as the map is pinned. Run again after an
 * upgrade: the new program's callback takes over. Lists what older programs left unlisted. */
SEC("syscall")
int bh_timer_start(void *ctx)
{
	struct sweep s = {.slot = SWEEP_EVERY};
	struct bh_sweeper *w = sweeper_get();

	if (!w)
		return 1;
	sweep_adopt(w, &s);
	bpf_timer_init(&w->timer, &sweeper, 1 /* CLOCK_MONOTONIC */); /* once; then it says EBUSY */
	if (bpf_timer_set_callback(&w->timer, sweep_timer))
		return 1;
	return bpf_timer_start(&w->timer, 0, 0) ? 1 : 0;
}

char _license[] SEC("license") = "GPL";
