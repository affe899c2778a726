/* policy.bpf.h - what the compiled tables say about one question.
 *
 * The same constant number of look-ups whatever the number of rules, for both families and both
 * directions, at the interface and in the socket hooks. */
#pragma once

#include "lib/addr.bpf.h"
#include "lib/hold.bpf.h"
#include "lib/verdict.bpf.h"

struct ask {
	/* question */
	__u32 ruleset;
	__u32 class; /* without BH_CLASS_NODE */
	__be16 port; /* of the responder */
	__u16 proc;  /* BH_PROC_* or id */
	__u8 proto;
	__u8 is_some_port; /* the port is not known: is there one that would be allowed? */
	/* answer */
	__u8 reason;
	__u8 allow;
	__u8 is_lasting; /* it depends on nothing but the tables */
	__u8 pad[3];
	__u64 until_ns;
};

static __always_inline __u32 class_pick(const struct bh_class *c, __u32 side)
{
	return c ? c->id[side & 1] : BH_CLASS_ABSENT;
}

/* The address's class, BH_CLASS_NODE included. */
static __always_inline __u32 class_of(const union addr *a, int v6, __u32 side, __u32 has_cidrs)
{
	struct bh_peer6_key key6; /* keys come from the stack, see edge_count */
	__u32 key4, class;

	__builtin_memcpy(&key6, a, sizeof(key6));
	key4 = a->w[3];
	class = v6 ? class_pick(bpf_map_lookup_elem(&peer6, &key6), side)
		   : class_pick(bpf_map_lookup_elem(&peer4, &key4), side);
	if (class != BH_CLASS_ABSENT)
		return class;
	if (!has_cidrs)
		return 0;
	if (v6) {
		struct bh_lpm6 key = {.prefixlen = 128};

		__builtin_memcpy(key.addr, a, sizeof(key.addr));
		class = class_pick(bpf_map_lookup_elem(&cidr6, &key), side);
	} else {
		struct bh_lpm4 key = {.prefixlen = 32};

		__builtin_memcpy(key.addr, &a->w[3], sizeof(key.addr));
		class = class_pick(bpf_map_lookup_elem(&cidr4, &key), side);
	}
	return class == BH_CLASS_ABSENT ? 0 : class;
}

#define PORT_CLASS_MISSING 0xffffffffu

/* BH_PP_COUNT: a protocol whose ports no policy names. */
static __always_inline __u32 port_proto(__u8 proto)
{
	if (proto == IPPROTO_TCP)
		return BH_PP_TCP;
	if (proto == IPPROTO_UDP)
		return BH_PP_UDP;
	return proto == BH_IPPROTO_SCTP ? BH_PP_SCTP : BH_PP_COUNT;
}

static __always_inline __u32 port_class_of(__u32 portmap_id, __u8 proto, __be16 port)
{
	const struct bh_portpage *page;
	const struct bh_portmap *pm;
	__u32 n = bpf_ntohs(port), pp = port_proto(proto), id;

	if (pp >= BH_PP_COUNT || portmap_id == 0)
		return 0;
	pm = bpf_map_lookup_elem(&portmap, &portmap_id);
	if (!pm)
		return PORT_CLASS_MISSING;
	id = pm->page[pp][(hold(n) >> 8) & 255];
	page = bpf_map_lookup_elem(&portpage, &id);
	return page ? page->class[n & 255] : PORT_CLASS_MISSING;
}

/* Does the row allow one of these 256 ports? */
__noinline int page_has_allowed(const struct bh_row *r, __u32 page_id)
{
	const struct bh_portpage *page = bpf_map_lookup_elem(&portpage, &page_id);
	__u32 i;

	if (!r || !page)
		return 0;
	for (i = 0; i < 256; i++)
		if (verdict_cell(r, page->class[i]) == CELL_ALLOW)
			return 1;
	return 0;
}

/* Does the row allow a port of the protocol? Asked for fragments that come too early only, so it
 * may take its time: most pages are the same one, and most rows that allow anything say so soon. */
__noinline int policy_some_port(const struct bh_row *r, __u32 portmap_id, __u32 pp)
{
	const struct bh_portmap *pm = bpf_map_lookup_elem(&portmap, &portmap_id);
	__u32 i, id, last = BH_MAX_PORTPAGES;

	if (!r || !pm || pp >= BH_PP_COUNT || verdict_allows_nothing(r))
		return 0;
	for (i = 0; i < 256; i++) {
		id = pm->page[pp][i];
		if (id == last)
			continue;
		if (page_has_allowed(r, id))
			return 1;
		last = id;
	}
	return 0;
}

static __always_inline int proc_allowed(const struct ask *a, __u32 id, __u32 class,
					__u32 port_class)
{
	struct bh_procrow_key key = {
		.ruleset = id, .class = class, .port_class = port_class, .proc = a->proc};

	return bpf_map_lookup_elem(&procrow, &key) != NULL;
}

/* Fills the answer as the ruleset id alone, which is rs, gives it. with_some: whether the question
 * is about some port; a constant. */
static __always_inline void policy_eval_one(struct ask *a, __u32 id, const struct bh_ruleset *rs,
					    int with_some)
{
	struct bh_row_key key = {};
	const struct bh_row *r;
	__u32 port_class;
	enum cell cell;

	a->allow = 0;
	a->reason = BH_R_TABLE_INCOMPLETE;
	if (!rs)
		return;
	a->reason = BH_R_DEFAULT_DENY;
	if (id == 0)
		return;
	if (rs->flags & BH_RULESET_OPEN) {
		a->allow = 1;
		a->reason = BH_R_DEFAULT_ALLOW;
		return;
	}
	key.ruleset = id;
	key.class = a->class;
	r = bpf_map_lookup_elem(&row, &key);
	if (!r) {
		r = &rs->dflt;
		key.class = BH_CLASS_DEFAULT;
	}
	if (with_some && rs->portmap && port_proto(a->proto) < BH_PP_COUNT) {
		a->allow = policy_some_port(r, rs->portmap, port_proto(a->proto));
		a->reason = a->allow ? BH_R_POLICY : BH_R_DEFAULT_DENY;
		return;
	}
	port_class = port_class_of(rs->portmap, a->proto, a->port);
	if (port_class == PORT_CLASS_MISSING) {
		a->is_lasting = 0;
		a->reason = BH_R_TABLE_INCOMPLETE;
		return;
	}
	cell = verdict_cell(r, port_class);
	if (cell == CELL_DENY_RULE)
		a->reason = BH_R_POLICY_DENY;
	if (cell == CELL_COND) {
		a->is_lasting = 0;
		a->reason = a->proc == BH_PROC_UNKNOWN ? BH_R_PROCESS_UNKNOWN : BH_R_PROCESS;
	}
	if (cell == CELL_ALLOW || (cell == CELL_COND && a->proc != BH_PROC_UNKNOWN &&
				   proc_allowed(a, id, key.class, port_class))) {
		a->allow = 1;
		a->reason = BH_R_POLICY;
	}
}

static __always_inline const struct bh_ruleset *ruleset_of(__u32 id)
{
	return bpf_map_lookup_elem(&ruleset, &id);
}

/* The ruleset that is in force now, along the chain of expiries. 0 when the chain is too long. */
static __always_inline __u32 policy_current(__u32 id, __u64 *until_ns)
{
	const struct bh_ruleset *rs;
	__u32 i;

	for (i = 0; i < BH_UNTIL_CHAIN; i++) {
		rs = ruleset_of(id);
		*until_ns = rs ? rs->until_ns : 0;
		if (!rs || !rs->until_ns || bpf_ktime_get_ns() < rs->until_ns)
			return id;
		id = rs->next;
	}
	*until_ns = 0;
	return 0;
}

/* Answers a, whatever the ruleset: out of line, where a nanosecond is not dear. */
__noinline int policy_eval_any(struct ask *a)
{
	__u8 reason;
	__u32 id;

	if (!a)
		return 0;
	id = policy_current(a->ruleset, &a->until_ns);
	policy_eval_one(a, id, ruleset_of(id), 0);
	if (likely(a->allow || id == a->ruleset))
		return 0;
	/* the ruleset in force denies; would the first of the chain have allowed it? */
	reason = a->reason;
	policy_eval_one(a, a->ruleset, ruleset_of(a->ruleset), 0);
	a->reason = a->allow ? BH_R_EXPIRED : reason;
	a->allow = 0;
	return 0;
}

/* The same where the port is not known, without asking whether a rule that has expired would have
 * allowed it: nobody is told the reason of such a verdict. In line: the functions below are as deep
 * in the stack as kernels before 6.8 let programs go, where each counts for a multiple of 32 bytes,
 * and all for 512. */
static __always_inline void policy_eval_some(struct ask *a)
{
	__u32 id = policy_current(a->ruleset, &a->until_ns);

	a->is_lasting = 0;
	policy_eval_one(a, id, ruleset_of(id), 1);
}

/* The same; quick where the ruleset is in force for ever. */
static __always_inline void policy_eval(struct ask *a)
{
	const struct bh_ruleset *rs;

	if (unlikely(a->is_some_port)) {
		policy_eval_some(a);
		return;
	}
	rs = ruleset_of(a->ruleset);
	if (unlikely(!rs || rs->until_ns)) {
		a->is_lasting = 0;
		policy_eval_any(a);
		return;
	}
	a->until_ns = 0;
	policy_eval_one(a, a->ruleset, rs, 0);
}

/* Answers given before, see struct bh_memo. A connection that opens like another one of late costs
 * no look-up in the hashes. */

static __always_inline __u64 memo_tag(const struct ask *a, __u32 epoch, __u8 reason)
{
	return (__u64)epoch << 32 | (__u64)a->port << 16 | (__u32)a->proto << 8 | reason;
}

/* Where the answer to a about remote would be. Protocols share it: few ports serve two of them. */
static __always_inline struct bh_memo *memo_of(const struct ask *a, const union addr *remote)
{
	__u64 h = remote->d[0] * HASH_64 ^ remote->d[1];
	__u32 i;

	h ^= (__u64)a->ruleset << 40 ^ (__u64)a->port << 16;
	i = h * HASH_64 >> (64 - MEMO_BITS);
	return bpf_map_lookup_elem(&memo, &i);
}

/* The reason, or BH_R_NONE. A real-time kernel may run other packets of this CPU in between: an odd
 * seq says that somebody is writing, another one than before that somebody has written. */
static __always_inline __u8 memo_recall(const volatile struct bh_memo *m, const struct ask *a,
					const union addr *remote, __u32 epoch)
{
	__u32 seq = m->seq;
	__u64 tag = m->tag;

	if ((seq & 1) || (tag ^ memo_tag(a, epoch, 0)) > 0xff || m->ruleset != a->ruleset ||
	    m->remote[0] != remote->d[0] || m->remote[1] != remote->d[1] || m->seq != seq)
		return BH_R_NONE;
	return tag;
}

static __always_inline void memo_store(volatile struct bh_memo *m, const struct ask *a,
				       const union addr *remote, __u32 epoch)
{
	__u32 seq = m->seq;

	if ((seq & 1) || __sync_val_compare_and_swap(&m->seq, seq, seq + 1) != seq)
		return;
	m->remote[0] = remote->d[0];
	m->remote[1] = remote->d[1];
	m->ruleset = a->ruleset;
	m->tag = memo_tag(a, epoch, a->reason);
	m->seq = seq + 2;
}
