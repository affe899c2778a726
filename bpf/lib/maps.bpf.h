/* maps.bpf.h - every map, declared once. Key and value layouts: bulkhead/abi.h.
 *
 * All are pinned by name, so that the objects share them and enforcement outlives the daemon. Each
 * comment says what happens when the map is full or an entry is missing: nothing is ever opened. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "bulkhead/abi.h"

/* Cannot be full. Read once per packet. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bh_config);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} config SEC(".maps");

/* Cannot be full. An entry that is not live: every packet is dropped. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, BH_MAX_SLOTS);
	__type(key, __u32);
	__type(value, struct bh_slot);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} endpoint SEC(".maps");

/* Cannot be full. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BH_MAX_SLOTS);
	__type(key, __u32);
	__type(value, struct bh_usage);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} usage SEC(".maps");

/* Cannot be full. 0 on an attached device: drop. An array, because its look-up is inlined. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BH_IFINDEX_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} slot_by_ifindex SEC(".maps");

/* Full: the interface cannot be registered. Absent on an attached device: drop. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_SLOTS);
	__type(key, __u32);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} slot_by_ifindex_hash SEC(".maps");

/* Full: the pod cannot be registered. Absent: not one of our pods; the socket hooks stay out. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_SLOTS);
	__type(key, __u64);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} slot_by_cookie SEC(".maps");

/* Full: the quarantine of the host-network pod fails and says so. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_SLOTS);
	__type(key, __u64);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} quarantined_cgroup SEC(".maps");

/* Full: the interface cannot be registered. Absent: the address is not the pod's, drop. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct bh_local_key);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} local SEC(".maps");

/* Full: publishing fails, the old policy stays whole. Absent: look in cidr4. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, BH_MAX_PEERS);
	__type(key, __u32);
	__type(value, struct bh_class);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} peer4 SEC(".maps");

/* As peer4. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, BH_MAX_PEERS);
	__type(key, struct bh_peer6_key);
	__type(value, struct bh_class);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} peer6 SEC(".maps");

/* Full: publishing fails, the old policy stays whole. Absent: class 0, what the default row says.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, BH_MAX_CIDRS);
	__type(key, struct bh_lpm4);
	__type(value, struct bh_class);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} cidr4 SEC(".maps");

/* As cidr4. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, BH_MAX_CIDRS);
	__type(key, struct bh_lpm6);
	__type(value, struct bh_class);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} cidr6 SEC(".maps");

/* No free id: publishing fails, the old policy stays whole. Id beyond the array: drop. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BH_MAX_RULESETS);
	__type(key, __u32);
	__type(value, struct bh_ruleset);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} ruleset SEC(".maps");

/* Full: publishing fails, the old policy stays whole. Absent: the ruleset's default row. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, BH_MAX_ROWS);
	__type(key, struct bh_row_key);
	__type(value, struct bh_row);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} row SEC(".maps");

/* Full: publishing fails, the old policy stays whole. Absent: denied. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, BH_MAX_PROCROWS);
	__type(key, struct bh_procrow_key);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} procrow SEC(".maps");

/* No free id: publishing fails, the old policy stays whole. Id beyond the array: drop. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BH_MAX_PORTMAPS);
	__type(key, __u32);
	__type(value, struct bh_portmap);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} portmap SEC(".maps");

/* As portmap. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BH_MAX_PORTPAGES);
	__type(key, __u32);
	__type(value, struct bh_portpage);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} portpage SEC(".maps");

/* Full: publishing fails. Absent: an executable that no policy names. Ids are never given to
 * another path while the maps live: sockets and flows remember them. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, BH_MAX_EXES);
	__type(key, struct bh_exe_key);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} exe SEC(".maps");

/* Full, or the slot's share used up: TCP is decided packet by packet, everything else is dropped.
 * Allocated beforehand, about 36 MB: an insert then takes 120 ns instead of 360. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_FLOWS);
	__type(key, struct bh_flow_key);
	__type(value, struct bh_flow);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} flow SEC(".maps");

/* Full, or the slot's quota used up: counted in the slot's overflow edge. No verdict depends on it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, BH_MAX_EDGES);
	__type(key, struct bh_edge_key);
	__type(value, struct bh_edge);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} edge SEC(".maps");

/* What policy said about one remote, protocol and port, on this CPU. Good as long as the epoch, like
 * a flow, and only for answers that depend on nothing but the tables: no executable, no expiry, no
 * node. Cannot be full: another answer takes the place. Absent: the tables are asked. */
#define MEMO_BITS 10
struct bh_memo {
	__u64 remote[2];
	__u64 tag; /* epoch, port, protocol, reason; 0: empty */
	__u32 ruleset;
	__u32 pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1 << MEMO_BITS);
	__type(key, __u32);
	__type(value, struct bh_memo);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} memo SEC(".maps");

/* Full: the least recently used datagram is forgotten, and its remaining fragments are dropped. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, BH_MAX_FRAGS);
	__type(key, struct bh_frag_key);
	__type(value, struct bh_frag);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} frag SEC(".maps");

/* Full: the allow-list is refused, the quarantine stays closed. Absent: drop. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, BH_MAX_QALLOW);
	__type(key, struct bh_qallow_key);
	__type(value, struct bh_qallow);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} qallow SEC(".maps");

/* No memory: the opener is unknown, and denied where that matters. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct bh_opener);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} opener SEC(".maps");

/* Cannot be full. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, BH_R_COUNT);
	__type(key, __u32);
	__type(value, struct bh_drop);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} drop SEC(".maps");

/* Full: the announcement is lost, the edge stays marked BH_EDGE_UNSENT. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} events SEC(".maps");

/* Cannot be full. Pinned, so that the timer in it lives on without the daemon. */
struct bh_sweeper {
	struct bpf_timer timer;
	__u64 sweeps; /* finished ones */
	__u32 busy;   /* 1 while a sweep runs: two would count what they remove twice */
	__u32 pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bh_sweeper);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} sweeper SEC(".maps");
