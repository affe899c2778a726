/* trace_emit.bpf.h - whose task is it, is it new, and the books: every event of a slot leaves
 * through note_event, which counts it in exactly one place. */
#pragma once

#include "lib/trace_path.bpf.h"

#define CGROUP_LEVELS 8
#define RING_STRIDE   (1 << 18) /* bytes from one wake-up to the next; half of the ring */

/* Repeated announcements of what the set has already: 20 a second, 100 at once. */
#define REPEAT_NS   50000000ull
#define REPEAT_ROOM (100 * REPEAT_NS)
/* What matters finds room that a flood of the ordinary cannot use up. */
#define MATTER_ROOM (2 * REPEAT_ROOM)

static __always_inline const struct bh_trace_config *trace_config_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&trace_config, &zero);
}

static __always_inline struct bh_trace_slot *books_of(__u32 slot)
{
	return bpf_map_lookup_elem(&trace_slot, &slot);
}

static __always_inline int slot_generation(__u32 slot, __u32 *ret)
{
	struct bh_trace_slot *host;
	struct bh_slot *s;

	if (slot >= BH_MAX_SLOTS) {
		host = books_of(slot);
		*ret = host ? host->generation : 0;
		return host != NULL;
	}
	s = bpf_map_lookup_elem(&endpoint, &slot);
	if (!s || !(*(volatile __u32 *)&s->flags & BH_SLOT_LIVE))
		return 0;
	*ret = s->generation;
	return 1;
}

static __always_inline __u32 slot_of_cgroup(void)
{
	__u32 level;

	for (level = 1; level <= CGROUP_LEVELS; level++) {
		__u64 id = bpf_get_current_ancestor_cgroup_id(level);
		__u32 *slot;

		if (!id)
			return 0;
		slot = bpf_map_lookup_elem(&trace_cgroup, &id);
		if (slot)
			return *slot;
	}
	return 0;
}

/* The slot that the task was in, while its tenant is still the same; 0: none. */
static __always_inline __u32 slot_of_before(const struct bh_trace_task *was)
{
	__u32 generation;

	if (!was || !was->slot || was->slot >= BH_MAX_SLOTS ||
	    !slot_generation(was->slot, &generation) || generation != was->generation)
		return 0;
	return was->slot;
}

/* The current task's pod: what it was before, for a task cannot leave its pod; by its network
 * namespace; by its cgroup where pods share the node's. */
static __always_inline __u32 slot_of_task(const struct task_struct *p,
					  const struct bh_trace_task *was, __u32 *ret_flags)
{
	__u64 cookie = p->nsproxy->net_ns->net_cookie;
	__u32 *slot, before = slot_of_before(was);
	const struct bh_trace_config *cfg;

	if (before) {
		if (was->cookie != cookie)
			*ret_flags |= BH_TRACE_F_NETNS_LEFT;
		return before;
	}
	slot = bpf_map_lookup_elem(&slot_by_cookie, &cookie);
	if (slot && *slot)
		return *slot;
	cfg = trace_config_get();
	return cfg && cfg->has_cgroups ? slot_of_cgroup() : 0;
}

/* The books of the slot's present tenant. */
static __always_inline struct bh_trace_slot *books_open(__u32 slot, __u32 generation)
{
	struct bh_trace_slot *b = books_of(slot);
	__u32 was;

	if (!b)
		return NULL;
	was = b->generation;
	if (unlikely(was != generation) &&
	    __sync_val_compare_and_swap(&b->generation, was, generation) == was) {
		b->seen = b->delivered = b->deduplicated = b->deferred = b->lost = b->swept = 0;
		b->execs = b->forks = b->exits = b->budget_ns = b->overflow = b->killed = 0;
		b->facts = b->mntns = 0;
	}
	return b;
}

/* Takes one announcement from the slot's share. */
static __always_inline int budget_take(struct bh_trace_slot *b, __u64 now, __u64 room)
{
	__u64 spent = b->budget_ns, from = spent > now ? spent : now;

	if (from - now > room)
		return 0;
	return __sync_val_compare_and_swap(&b->budget_ns, spent, from + REPEAT_NS) == spent;
}

enum novelty {
	FACT_KNOWN,
	FACT_NEW,   /* in the set now, marked unsent */
	FACT_EXTRA, /* beyond the quota */
};

static __always_inline void fact_again(struct bh_fact *f, __u64 now)
{
	__sync_fetch_and_add(&f->count, 1);
	f->last_ns = now;
}

/* Takes a place of the slot's quota. */
static __always_inline int fact_claim(struct bh_trace_slot *b)
{
	if (__sync_fetch_and_add(&b->facts, 1) < BH_TRACE_FACT_QUOTA)
		return FACT_NEW;
	__sync_fetch_and_add(&b->facts, -1);
	__sync_fetch_and_add(&b->overflow, 1);
	return FACT_EXTRA;
}

/* Adds what has a place; old: what a former tenant left under the key. */
static __always_inline int fact_add(struct bh_trace_slot *b, const struct bh_fact_key *k,
				    struct bh_fact *f, const struct bh_fact *old)
{
	struct bh_fact *other;

	f->count = 1;
	if (bpf_map_update_elem(&trace_fact, k, f, old ? BPF_ANY : BPF_NOEXIST) == 0)
		return FACT_NEW;
	__sync_fetch_and_add(&b->facts, -1);
	other = bpf_map_lookup_elem(&trace_fact, k); /* another CPU's, or the map is full */
	if (other) {
		__sync_fetch_and_add(&other->count, 1);
		return FACT_KNOWN;
	}
	__sync_fetch_and_add(&b->overflow, 1);
	return FACT_EXTRA;
}

/* Looks the fact up, or adds it: *f is its first content, flags without UNSENT. */
static __always_inline int fact_note(struct bh_trace_slot *b, const struct bh_fact_key *k,
				     struct bh_fact *f)
{
	struct bh_fact *old = bpf_map_lookup_elem(&trace_fact, k);

	if (old && old->generation == f->generation) {
		fact_again(old, f->last_ns);
		return FACT_KNOWN;
	}
	if (fact_claim(b) != FACT_NEW)
		return FACT_EXTRA;
	f->flags |= BH_TRACE_F_UNSENT;
	return fact_add(b, k, f, old);
}

/* 0: the daemon's sweep was quicker, announced the fact and has it in the books. */
static __always_inline int fact_sent(const struct bh_fact_key *k)
{
	struct bh_fact *f = bpf_map_lookup_elem(&trace_fact, k);

	return !f || __sync_fetch_and_and(&f->flags, ~BH_TRACE_F_UNSENT) & BH_TRACE_F_UNSENT;
}

/* Whether a record is wanted; if not, the event is in the books already. */
static __always_inline int event_wants_record(struct bh_trace_slot *b, int novelty, int is_high,
					      __u64 now, __u64 room)
{
	__sync_fetch_and_add(&b->seen, 1);
	if (novelty == FACT_NEW || is_high || budget_take(b, now, room))
		return 1;
	if (novelty == FACT_KNOWN)
		__sync_fetch_and_add(&b->deduplicated, 1);
	else
		__sync_fetch_and_add(&b->lost, 1);
	return 0;
}

/* After the record was offered to the ring. k: the fact, NULL where there is none. */
static __always_inline void event_close(struct bh_trace_slot *b, const struct bh_fact_key *k,
					int novelty, int is_sent)
{
	if (is_sent && (novelty != FACT_NEW || !k || fact_sent(k))) {
		__sync_fetch_and_add(&b->delivered, 1);
	} else if (novelty == FACT_NEW) {
		__sync_fetch_and_add(&b->deferred, 1);
	} else if (novelty == FACT_KNOWN) {
		__sync_fetch_and_add(&b->deduplicated, 1);
	} else {
		__sync_fetch_and_add(&b->lost, 1);
	}
}

/* An alarm wakes its reader; what is ordinary waits for him, unless the ring fills up. A wake-up is
 * an interrupt, 4 to 8 us in a virtual machine. By the writers' position alone: the reader's lies
 * in another CPU's cache. */
static __always_inline long ring_send(int is_high, void *record, __u64 len)
{
	__u64 flags = BPF_RB_NO_WAKEUP, before, after;

	if (unlikely(is_high))
		return bpf_ringbuf_output(&trace_alarms, record, len, 0);
	before = bpf_ringbuf_query(&trace_events, BPF_RB_PROD_POS);
	after = before + ((len + BPF_RINGBUF_HDR_SZ + 7) & ~7ull);
	if (unlikely(before / RING_STRIDE != after / RING_STRIDE))
		flags = BPF_RB_FORCE_WAKEUP;
	return bpf_ringbuf_output(&trace_events, record, len, flags);
}

/* The last component of a path that ends before BH_PATH_MAX, zero-padded; 0: it begins too near to
 * the end of its buffer. at: in memory, so that the verifier need not follow each value of it. */
static __always_inline __u32 name_last(const char *path, __u32 size, volatile __u32 *at,
				       struct bh_trace_name *ret)
{
	__u32 i, from;

	*at = 0;
	for (i = 0; i < BH_PATH_MAX - 1; i++) {
		if (!path[i])
			break;
		if (path[i] == '/')
			*at = i + 1;
	}
	from = *at;
	if (from >= BH_PATH_MAX || from >= size - sizeof(*ret))
		return 0;
	__builtin_memset(ret, 0, sizeof(*ret));
	bpf_probe_read_kernel_str(ret->text, sizeof(ret->text), path + from);
	return 1;
}

/* Of a last component, cut to the size and zero-padded; never 0. */
static __always_inline __u32 name_hash(const struct bh_trace_name *n)
{
	const __u32 *word = (const __u32 *)n->text;
	__u32 h = 2166136261u, i;

	for (i = 0; i < sizeof(n->text) / 4; i++)
		h = (h ^ word[i]) * 16777619u;
	return h ? h : 1;
}

/* Unique: a CPU does not start two images within a microsecond. */
static __always_inline __u64 exec_id_make(__u64 now)
{
	return (now & ~1023ull) | (bpf_get_smp_processor_id() & 1023);
}
