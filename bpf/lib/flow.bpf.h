/* flow.bpf.h - established flows: a cache of decisions, never a source of them.
 *
 * An entry's epoch says under which tables it was decided. Whoever changes more of an entry than
 * its counters takes it first, by swapping the epoch he saw for FLOW_TAKEN; who loses counts
 * elsewhere. Only the sweeper deletes, after taking it for good with FLOW_DEAD. So every counter is
 * folded into its edge once, and usage.flows counts entries. */
#pragma once

#include "lib/emit.bpf.h"
#include "lib/policy.bpf.h"

#define FLOW_TAKEN 0u /* epochs start at 2 */
#define FLOW_DEAD  1u

/* The sweeper waits this long after packets have begun to treat an entry as absent. */
#define FLOW_SLACK_NS BH_S

/* A decision to remember. */
struct grant {
	__u64 until_ns;
	__u16 proc;
	__u8 dir;    /* of the initiator */
	__u8 flags;  /* BH_FLOW_* to start with */
	__u8 reason; /* that it is allowed for */
	__u8 pad[3];
};

/* Worth looking at: of this tenant and not idle for too long. */
static __always_inline int flow_is_fresh(const struct bh_flow *f, const struct pkt *p)
{
	__s64 idle = p->now - f->last_ns; /* another CPU may be a little ahead */

	return f->generation == p->generation &&
	       idle <= (__s64)verdict_idle_limit(p->proto, f->flags);
}

static __always_inline int flow_has_expired(const struct bh_flow *f)
{
	__u64 until_ns = f->until_ns;

	return unlikely(until_ns != 0) && bpf_ktime_get_ns() >= until_ns;
}

/* An echo request is nobody's answer, nor an answer its own request, whatever the identifier: that
 * of a ping may be the number that stands for the type at the other end. */
static __always_inline int flow_is_other_ping(const struct bh_flow *f, const struct pkt *p)
{
	return unlikely(p->icmp_port_is_type) && (p->lport | p->rport) &&
	       (f->dir == p->dir) == !!(p->flags & PF_ANSWER);
}

/* What a node's own connection brings in must come from the node itself. */
static __always_inline int flow_fits(const struct bh_flow *f, const struct pkt *p,
				     const struct __sk_buff *skb)
{
	if (flow_is_other_ping(f, p))
		return 0;
	return likely(!(f->flags & BH_FLOW_NODE)) || f->dir == BH_EGRESS || p->dir == BH_EGRESS ||
	       skb->ingress_ifindex == 0;
}

static __always_inline __u8 flow_flags_after(const struct bh_flow *f, const struct pkt *p)
{
	int is_initiator = f->dir == p->dir;
	__u8 flags = f->flags;

	if (!is_initiator)
		flags |= BH_FLOW_REPLIED;
	if (p->tcp_flags & TCPF_FIN)
		flags |= is_initiator ? BH_FLOW_FIN_INIT : BH_FLOW_FIN_RESP;
	if (p->tcp_flags & TCPF_RST)
		flags |= BH_FLOW_RST;
	return flags;
}

static __always_inline void flow_touch(struct bh_flow *f, const struct pkt *p)
{
	__u8 flags = flow_flags_after(f, p);

	__sync_fetch_and_add(&f->packets, p->packets);
	__sync_fetch_and_add(&f->bytes, p->bytes);
	f->last_ns = p->now;
	if (flags != f->flags)
		f->flags = flags;
}

static __always_inline int flow_take(struct bh_flow *f, __u32 seen, __u32 as)
{
	return seen != FLOW_TAKEN && seen != FLOW_DEAD &&
	       __sync_val_compare_and_swap(&f->epoch, seen, as) == seen;
}

/* Moves the counters of a taken entry to its edge. */
__noinline int flow_fold(const struct bh_flow_key *k, struct bh_flow *f)
{
	struct edge_add a = {};

	if (!k || !f)
		return 0;
	a.e.packets = __sync_lock_test_and_set(&f->packets, 0);
	a.e.bytes = __sync_lock_test_and_set(&f->bytes, 0);
	__builtin_memcpy(a.key.remote, k->remote, sizeof(a.key.remote));
	a.key.slot = k->slot;
	a.key.dir = f->dir;
	a.key.port = f->dir == BH_EGRESS ? k->rport : k->lport;
	a.key.proto = k->proto;
	a.key.verdict = BH_ALLOWED;
	a.key.reason = f->reason;
	a.e.first_ns = f->first_ns;
	a.e.last_ns = f->last_ns;
	a.e.generation = f->generation;
	edge_count(&a, 1);
	return 0;
}

/* Gives a taken entry a new decision. is_new: another connection than the entry was made for. */
static __always_inline void flow_settle(struct bh_flow *f, const struct pkt *p,
					const struct grant *g, int is_new)
{
	if (is_new) {
		f->first_ns = p->now;
		f->flags = g->flags;
	} else {
		f->flags = (f->flags & ~(BH_FLOW_CUT | BH_FLOW_NODE | BH_FLOW_SELF)) | g->flags;
	}
	f->until_ns = g->until_ns;
	f->generation = p->generation;
	f->proc = g->proc;
	f->dir = g->dir;
	f->reason = g->reason;
	f->last_ns = p->now;
	(void)__sync_lock_test_and_set(&f->epoch, p->epoch);
}

static __always_inline void config_flow_full(__u32 full)
{
	struct bh_config *cfg = config_get();

	if (cfg && cfg->flow_full != full)
		cfg->flow_full = full;
}

static __always_inline void flow_init(struct bh_flow *f, const struct pkt *p, const struct grant *g)
{
	f->first_ns = p->now;
	f->last_ns = p->now;
	f->until_ns = g->until_ns;
	f->packets = p->packets;
	f->bytes = p->bytes;
	f->epoch = p->epoch;
	f->generation = p->generation;
	f->proc = g->proc;
	f->dir = g->dir;
	f->flags = g->flags;
	f->flags = flow_flags_after(f, p);
	f->reason = g->reason;
}

/* Where it is noted that the two have talked; *ret_bit of it. */
static __always_inline __u64 *talk_word(const struct pkt *p, __u64 *ret_bit)
{
	__u64 h = (p->remote.d[0] * HASH_64 ^ p->remote.d[1] ^ p->proto) * HASH_64;
	__u32 slot = p->slot, i = h >> (64 - TALK_BITS);
	struct bh_talk *t = bpf_map_lookup_elem(&talk, &slot);

	*ret_bit = 1ULL << (i & 63);
	return t ? &t->with[i >> 6] : NULL;
}

static __always_inline void talk_note(const struct pkt *p)
{
	__u64 bit, *w = talk_word(p, &bit);

	if (w && unlikely(!(*w & bit)))
		__sync_fetch_and_or(w, bit);
}

static __always_inline int talk_was(const struct pkt *p)
{
	__u64 bit, *w = talk_word(p, &bit);

	return w && (*w & bit);
}

/* How many of the slot's entries such a flow may find in use. TCP can do without, and outsiders can
 * send from as many addresses as they like: neither may keep the pod itself from asking its DNS. */
static __always_inline __u32 flow_share(const struct bh_slot *slot, __u8 proto, __u8 dir)
{
	__u32 quota = slot->flow_quota;

	if (proto == IPPROTO_TCP)
		return quota - quota / 4;
	return dir == BH_INGRESS ? quota - quota / 8 : quota;
}

static __always_inline struct bh_flow *flow_find(const struct pkt *p)
{
	struct bh_flow_key key = *PKT_KEY(p); /* keys come from the stack, see edge_count */

	return bpf_map_lookup_elem(&flow, &key);
}

static __always_inline struct bh_sweeper *sweeper_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&sweeper, &zero);
}

/* Puts an entry at the end of the sweeper's ring. 0, or 1 when there is no room. */
static __always_inline int turn_put(const struct bh_flow_key *key, __u16 turn)
{
	struct bh_sweeper *w = sweeper_get();
	struct bh_turn *t;
	__u32 place, i;

	if (!w || unlikely(w->head - w->tail >= TURNS - TURNS_SPARE))
		return 1;
	place = __sync_fetch_and_add(&w->head, 1);
	i = place & (TURNS - 1);
	t = bpf_map_lookup_elem(&turns, &i);
	if (!t)
		return 1;
	t->key = *key;
	t->turn = turn;
	*(volatile __u32 *)&t->seq = place + 1;
	return 0;
}

static __always_inline void flow_list(const struct bh_flow_key *key, __u16 turn)
{
	struct bh_flow *f;

	if (likely(turn_put(key, turn) == 0))
		return;
	f = bpf_map_lookup_elem(&flow, key);
	if (f)
		f->turn = 0;
}

/* FLOW_MADE; BH_R_NONE when there is one already; else why not: FLOW_QUOTA, FLOW_TABLE. */
#define FLOW_MADE 255
static __always_inline int flow_insert(const struct pkt *p, const struct grant *g)
{
	struct bh_flow_key key;
	struct bh_flow f = {};
	struct bh_usage *u;
	struct bh_slot *slot;
	long r;

	slot = slot_of(p->slot);
	u = usage_of(p->slot);
	if (!slot || !u)
		return BH_R_FLOW_TABLE;
	flow_init(&f, p, g);
	key = *PKT_KEY(p);
	f.turn = p->now >> 22 | 1; /* any, but not that of an entry just purged */
	if (__sync_fetch_and_add(&u->flows, 1) >= flow_share(slot, p->proto, g->dir)) {
		__sync_fetch_and_add(&u->flows, -1);
		return BH_R_FLOW_QUOTA;
	}
	r = bpf_map_update_elem(&flow, &key, &f, BPF_NOEXIST);
	if (r == 0) {
		flow_list(&key, f.turn);
		if (p->proto != IPPROTO_TCP)
			talk_note(p);
		config_flow_full(0);
		return FLOW_MADE;
	}
	__sync_fetch_and_add(&u->flows, -1);
	if (r == -17) /* EEXIST */
		return BH_R_NONE;
	config_flow_full(1);
	return BH_R_FLOW_TABLE;
}
