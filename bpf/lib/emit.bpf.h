/* emit.bpf.h - counting: edges, drops, ring announcements. No verdict depends on what happens here.
 */
#pragma once

#include "lib/pkt.bpf.h"

/* What to add, laid out as the entry it becomes: no copies of it where stack is short. */
struct edge_add {
	struct bh_edge_key key;
	struct bh_edge e; /* without flags; pid 0: nobody knows the process */
};

enum edge_result { EDGE_COUNTED, EDGE_NEW, EDGE_OTHER_PROCESS, EDGE_LOST };

static __always_inline int edge_bump(struct bh_edge *e, const struct edge_add *a, int is_fold)
{
	__u32 generation = e->generation;
	int result = EDGE_COUNTED;

	if (unlikely(generation != a->e.generation)) {
		/* a former tenant's: nobody may be credited with its counters */
		if (is_fold)
			return EDGE_LOST;
		if (__sync_val_compare_and_swap(&e->generation, generation, a->e.generation) ==
		    generation) {
			e->packets = 0;
			e->bytes = 0;
			e->first_ns = a->e.first_ns;
			e->pid = 0;
			e->flags |= BH_EDGE_UNSENT;
			result = EDGE_NEW;
		}
	}
	__sync_fetch_and_add(&e->packets, a->e.packets);
	__sync_fetch_and_add(&e->bytes, a->e.bytes);
	if ((__s64)(a->e.last_ns - e->last_ns) > 0)
		e->last_ns = a->e.last_ns;
	if (a->e.pid) {
		if (!e->pid && result == EDGE_COUNTED)
			result = EDGE_OTHER_PROCESS;
		e->pid = a->e.pid;
		e->uid = a->e.uid;
		__builtin_memcpy(e->comm, a->e.comm, sizeof(e->comm));
	}
	return result;
}

static __always_inline int edge_insert(struct edge_add *a, __u32 flags)
{
	a->e.flags = flags;
	return bpf_map_update_elem(&edge, &a->key, &a->e, BPF_NOEXIST);
}

/* The overflow edge of the slot, direction, verdict and reason. It may exceed the quota: there are
 * few of them, and the counters must go somewhere. */
static __always_inline int edge_overflow(struct edge_add *a, struct bh_usage *u, int is_fold)
{
	struct bh_edge *e;

	__sync_fetch_and_add(&u->edge_overflow, a->e.packets);
	__builtin_memset(a->key.remote, 0, sizeof(a->key.remote));
	a->key.port = 0;
	a->key.proto = 0;
	e = bpf_map_lookup_elem(&edge, &a->key);
	if (e)
		return edge_bump(e, a, is_fold);
	if (edge_insert(a, BH_EDGE_UNSENT | BH_EDGE_OVERFLOW) == 0) {
		__sync_fetch_and_add(&u->edges, 1);
		return EDGE_NEW;
	}
	e = bpf_map_lookup_elem(&edge, &a->key);
	return e ? edge_bump(e, a, is_fold) : EDGE_LOST;
}

/* Adds to the edge, makes it when it is new. May change a->key to the overflow edge's. is_fold:
 * counters of a flow that ended. In line: older kernels take no memory of a global function's
 * caller as a key. */
static __always_inline int edge_count(struct edge_add *a, int is_fold)
{
	struct bh_usage *u;
	struct bh_slot *slot;
	struct bh_edge *e;

	e = bpf_map_lookup_elem(&edge, &a->key);
	if (e)
		return edge_bump(e, a, is_fold);
	u = usage_of(a->key.slot);
	slot = slot_of(a->key.slot);
	if (!u || !slot || (is_fold && slot->generation != a->e.generation))
		return EDGE_LOST;
	if (__sync_fetch_and_add(&u->edges, 1) < slot->edge_quota) {
		if (edge_insert(a, BH_EDGE_UNSENT) == 0)
			return EDGE_NEW;
		__sync_fetch_and_add(&u->edges, -1);
		e = bpf_map_lookup_elem(&edge, &a->key);
		return e ? edge_bump(e, a, is_fold) : edge_overflow(a, u, is_fold);
	}
	__sync_fetch_and_add(&u->edges, -1);
	return edge_overflow(a, u, is_fold);
}

/* Announces an edge. path: path_len bytes, or NULL. */
static __always_inline void edge_announce(const struct edge_add *a, const char *path,
					  __u32 path_len)
{
	struct bh_event_edge *ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);
	struct bh_edge *e;

	if (!ev)
		return;
	ev->version = BH_EVENT_VERSION;
	ev->type = BH_EVENT_EDGE;
	ev->len = sizeof(*ev);
	ev->ts_ns = a->e.last_ns;
	ev->key = a->key;
	ev->generation = a->e.generation;
	ev->pid = a->e.pid;
	ev->uid = a->e.uid;
	ev->path_len = 0;
	ev->pad = 0;
	__builtin_memcpy(ev->comm, a->e.comm, sizeof(ev->comm));
	ev->path[0] = 0;
	if (path && path_len <= sizeof(ev->path) &&
	    bpf_probe_read_kernel(ev->path, sizeof(ev->path), path) == 0)
		ev->path_len = path_len;
	bpf_ringbuf_submit(ev, 0);
	e = bpf_map_lookup_elem(&edge, &a->key);
	if (e)
		__sync_fetch_and_and(&e->flags, ~BH_EDGE_UNSENT);
}

static __always_inline struct bh_drop *drop_of(__u32 reason)
{
	return bpf_map_lookup_elem(&drop, &reason);
}

static __always_inline void edge_key(const struct pkt *p, __u32 dir, __u32 reason,
				     struct bh_edge_key *k)
{
	__builtin_memcpy(k->remote, &p->remote, sizeof(k->remote));
	k->slot = p->slot;
	k->port = dir == BH_EGRESS ? p->rport : p->lport;
	if (p->icmp_port_is_type)
		k->port = bpf_htons(p->icmp_type);
	k->dir = dir;
	k->proto = p->proto;
	k->verdict = verdict_passes(reason) ? BH_ALLOWED : BH_DENIED;
	k->reason = reason;
}

/* Who called connect() for what the pod sends; 0: nobody knows. */
static __always_inline __u32 edge_opener(struct __sk_buff *skb, const struct pkt *p)
{
	struct bpf_sock *sk = skb->sk;
	struct bh_opener *o;

	if (!sk)
		return 0;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 0;
	o = bpf_sk_storage_get(&opener, sk, NULL, 0);
	if (!o || o->slot != p->slot || o->generation != p->generation || o->connected <= 1)
		return 0;
	return o->connected;
}

/* An edge that is new, a former tenant's, or beyond the quota. */
__noinline int edge_count_new(struct __sk_buff *skb, const struct pkt *p,
			      const struct bh_edge_key *k, __u32 packets, __u32 bytes)
{
	struct edge_add a = {};

	if (!p || !k)
		return 0;
	if (k->dir == BH_EGRESS && p->dir == BH_EGRESS) {
		a.e.pid = edge_opener(skb, p);
		a.e.uid = a.e.pid ? bpf_get_socket_uid(skb) : 0;
	}
	a.key = *k;
	a.e.first_ns = a.e.last_ns = p->now;
	a.e.packets = packets;
	a.e.bytes = bytes;
	a.e.generation = p->generation;
	if (edge_count(&a, 0) == EDGE_NEW)
		edge_announce(&a, NULL, 0);
	return 0;
}

/* The packet's edge. dir: the initiator's, or the packet's own when it is denied. is_counted: it is
 * added here; else it is counted in its flow, and only the edge's existence matters. */
static __always_inline void edge_count_pkt(struct __sk_buff *skb, const struct pkt *p, __u32 dir,
					   __u32 reason, int is_counted)
{
	__u32 packets = is_counted ? p->packets : 0, bytes = is_counted ? p->bytes : 0;
	struct bh_edge_key key;
	struct bh_edge *e;

	edge_key(p, dir, reason, &key);
	e = bpf_map_lookup_elem(&edge, &key);
	if (unlikely(!e || e->generation != p->generation)) {
		edge_count_new(skb, p, &key, packets, bytes);
		return;
	}
	if (packets) {
		__sync_fetch_and_add(&e->packets, packets);
		__sync_fetch_and_add(&e->bytes, bytes);
	}
	e->last_ns = p->now;
}
