/* maps.bpf.h - every map, declared once. Key and value layouts: bulkhead/abi.h.
 *
 * All are pinned by name, so that the objects share them and enforcement outlives the daemon. Each
 * comment says what happens when the map is full or an entry is missing: nothing is ever opened. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "bulkhead/abi.h"

#define MAP(name, map_type, key_type, value_type, max, flags)                                      \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_##map_type);                                             \
		__uint(map_flags, flags);                                                          \
		__uint(max_entries, max);                                                          \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
		__uint(pinning, LIBBPF_PIN_BY_NAME);                                               \
	} name SEC(".maps")

/* Cannot be full. Read once per packet. */
MAP(config, ARRAY, __u32, struct bh_config, 1, BPF_F_MMAPABLE);

/* Cannot be full. An entry that is not live: every packet is dropped. */
MAP(endpoint, ARRAY, __u32, struct bh_slot, BH_MAX_SLOTS, BPF_F_MMAPABLE);

/* Cannot be full. */
MAP(usage, ARRAY, __u32, struct bh_usage, BH_MAX_SLOTS, 0);

/* Cannot be full. 0 on an attached device: drop. An array, because its look-up is inlined. */
MAP(slot_by_ifindex, ARRAY, __u32, __u32, BH_IFINDEX_ARRAY, 0);

/* Full: the interface cannot be registered. Absent on an attached device: drop. */
MAP(slot_by_ifindex_hash, HASH, __u32, __u32, BH_MAX_SLOTS, 0);

/* Full: the pod cannot be registered. Absent: not one of our pods; the socket hooks stay out. */
MAP(slot_by_cookie, HASH, __u64, __u32, BH_MAX_SLOTS, 0);

/* Full: the quarantine of the host-network pod fails and says so. */
MAP(quarantined_cgroup, HASH, __u64, __u32, BH_MAX_SLOTS, 0);

/* Full: the interface cannot be registered. Absent: the address is not the pod's, drop. */
MAP(local, HASH, struct bh_local_key, __u32, 65536, BPF_F_NO_PREALLOC);

/* Full: publishing fails, the old policy stays whole. Absent: look in cidr4. */
MAP(peer4, HASH, __u32, struct bh_class, BH_MAX_PEERS, BPF_F_NO_PREALLOC);

/* As peer4. */
MAP(peer6, HASH, struct bh_peer6_key, struct bh_class, BH_MAX_PEERS, BPF_F_NO_PREALLOC);

/* Full: publishing fails, the old policy stays whole. Absent: class 0, what the default row says.
 */
MAP(cidr4, LPM_TRIE, struct bh_lpm4, struct bh_class, BH_MAX_CIDRS, BPF_F_NO_PREALLOC);

/* As cidr4. */
MAP(cidr6, LPM_TRIE, struct bh_lpm6, struct bh_class, BH_MAX_CIDRS, BPF_F_NO_PREALLOC);

/* No free id: publishing fails, the old policy stays whole. Id beyond the array: drop. */
MAP(ruleset, ARRAY, __u32, struct bh_ruleset, BH_MAX_RULESETS, 0);

/* Full: publishing fails, the old policy stays whole. Absent: the ruleset's default row. */
MAP(row, HASH, struct bh_row_key, struct bh_row, BH_MAX_ROWS, BPF_F_NO_PREALLOC);

/* Full: publishing fails, the old policy stays whole. Absent: denied. */
MAP(procrow, HASH, struct bh_procrow_key, __u32, BH_MAX_PROCROWS, BPF_F_NO_PREALLOC);

/* No free id: publishing fails, the old policy stays whole. Id beyond the array: drop. */
MAP(portmap, ARRAY, __u32, struct bh_portmap, BH_MAX_PORTMAPS, 0);

/* As portmap. */
MAP(portpage, ARRAY, __u32, struct bh_portpage, BH_MAX_PORTPAGES, 0);

/* Full: publishing fails. Absent: an executable that no policy names. Ids are never given to
 * another path while the maps live: sockets and flows remember them. */
MAP(exe, HASH, struct bh_exe_key, __u32, BH_MAX_EXES, BPF_F_NO_PREALLOC);

/* Full, or the slot's share used up: TCP is decided packet by packet, everything else is dropped.
 * Allocated beforehand, about 36 MB: an insert then takes 120 ns instead of 360. */
MAP(flow, HASH, struct bh_flow_key, struct bh_flow, BH_MAX_FLOWS, 0);

/* A ring between sweeper.tail and .head with every entry of `flow` once, the one whose turn to be
 * swept comes next first; and with what is left of entries that a purge removed. A queue map would
 * do the same for four times the price. Full: the entry is not listed, and idles until the daemon's
 * walk through the whole table. */
#define TURNS	    BH_MAX_FLOWS
#define TURNS_SPARE 1024 /* more than CPUs that list at the same moment */
struct bh_turn {
	struct bh_flow_key key;
	__u16 turn; /* the entry's; another one: left over from a former entry */
	__u16 pad;
	__u32 seq; /* its place in the ring, plus 1; written last */
};
MAP(turns, ARRAY, __u32, struct bh_turn, TURNS, 0);
_Static_assert((TURNS & (TURNS - 1)) == 0, "places are counted without end");

/* Full, or the slot's quota used up: counted in the slot's overflow edge. No verdict depends on it.
 */
MAP(edge, HASH, struct bh_edge_key, struct bh_edge, BH_MAX_EDGES, BPF_F_NO_PREALLOC);

/* What policy said about one remote, protocol and port, on this CPU. Good as long as the epoch,
 * like a flow, and only for answers that depend on nothing but the tables: no executable, no
 * expiry, no node. Cannot be full: another answer takes the place. Absent: the tables are asked. */
#define MEMO_BITS 10
struct bh_memo {
	__u64 remote[2];
	__u64 tag; /* epoch, port, protocol, reason; 0: empty */
	__u32 ruleset;
	__u32 seq; /* odd while it is being written */
};
MAP(memo, PERCPU_ARRAY, __u32, struct bh_memo, 1 << MEMO_BITS, 0);

/* With whom the interface had connections other than TCP, roughly: a bit for several remotes and
 * protocols. Cannot be full. Purged with the slot. */
#define TALK_BITS 11
struct bh_talk {
	__u64 with[(1 << TALK_BITS) / 64];
};
MAP(talk, ARRAY, __u32, struct bh_talk, BH_MAX_SLOTS, 0);

/* Full: the least recently used datagram is forgotten, and its remaining fragments are as those
 * that come before their first. */
MAP(frag, LRU_HASH, struct bh_frag_key, struct bh_frag, BH_MAX_FRAGS, 0);

/* Full: the allow-list is refused, the quarantine stays closed. Absent: drop. */
MAP(qallow, LPM_TRIE, struct bh_qallow_key, struct bh_qallow, BH_MAX_QALLOW, BPF_F_NO_PREALLOC);

/* No memory: the opener is unknown, and denied where that matters. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct bh_opener);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} opener SEC(".maps");

/* Cannot be full. */
MAP(drop, PERCPU_ARRAY, __u32, struct bh_drop, BH_R_COUNT, 0);

/* Programs that see packets of name resolution after they have passed; empty unless tracing wants
 * them. They decide nothing. Cannot be full. */
MAP(names, PROG_ARRAY, __u32, __u32, 1, 0);

/* Full: the announcement is lost, the edge stays marked BH_EDGE_UNSENT. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 19);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} events SEC(".maps");

/* Cannot be full. Pinned, so that the timer in it lives on without the daemon. */
struct bh_sweeper {
	struct bpf_timer timer;
	__u64 rounds; /* of the timer, that have ended */
	__u32 busy;   /* 1 while a sweep runs: two would count what they remove twice */
	__u32 left;   /* turns until the timer's round is over */
	__u32 head, tail;
};
MAP(sweeper, ARRAY, __u32, struct bh_sweeper, 1, 0);
