/* trace_maps.bpf.h - the tracer's maps. Layouts: bulkhead/trace.h, for the first two abi.h; those
 * two are the data path's own, put in place of ours before the object is loaded.
 *
 * What is pinned lets the exec programs live on without the daemon. Nothing here ever decides about
 * a packet. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "bulkhead/trace.h"

/* Absent: not one of our pods. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_MAX_SLOTS);
	__type(key, __u64);
	__type(value, __u32);
} slot_by_cookie SEC(".maps");

/* Cannot be full. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, BH_MAX_SLOTS);
	__type(key, __u32);
	__type(value, struct bh_slot);
} endpoint SEC(".maps");

/* Full: the host-network pod is not traced, and the daemon says so. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_TRACE_HOST_SLOTS);
	__type(key, __u64);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} trace_cgroup SEC(".maps");

/* Cannot be full. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bh_trace_config);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} trace_config SEC(".maps");

/* Cannot be full. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, BH_TRACE_SLOTS);
	__type(key, __u32);
	__type(value, struct bh_trace_slot);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} trace_slot SEC(".maps");

/* Cannot be full. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BH_TRACE_SLOTS);
	__type(key, __u32);
	__type(value, struct bh_trace_policy);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} trace_policy SEC(".maps");

/* Full: the policy is refused. Absent: not allowed. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct bh_trace_allow_key);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} trace_allow SEC(".maps");

/* No memory: the task's next exec looks like one from outside; its pod is known all the same. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct bh_trace_task);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} trace_task SEC(".maps");

/* Full, or the slot's quota used up: events of what is not in the set are announced while the
 * slot's budget lasts, else lost, and counted as overflow. Allocated beforehand: an entry made on
 * the spot took 2 us of the 5 us that the exec of a new program cost. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BH_TRACE_FACTS);
	__type(key, struct bh_fact_key);
	__type(value, struct bh_fact);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} trace_fact SEC(".maps");

/* Full: the daemon's table is larger than this program's; it says so. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct bh_trace_name);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} trace_name SEC(".maps");

/* Full: the pod's calls are not learnt, and the daemon says so. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, BH_MAX_SLOTS);
	__type(key, __u32);
	__type(value, struct bh_trace_learn);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} trace_learn SEC(".maps");

/* Full: the pod's sequences of calls are not looked at, and the daemon says so. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, BH_MAX_SLOTS);
	__type(key, __u32);
	__type(value, struct bh_trace_seq);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} trace_seq SEC(".maps");

/* Full: see BH_SEQ_GRAMS. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, BH_SEQ_GRAMS);
	__type(key, struct bh_gram_key);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} trace_gram SEC(".maps");

/* No memory: the call is not looked at. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct bh_seq_task);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} trace_seq_task SEC(".maps");

/* Full: the window is not sent, and counted. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 17);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} trace_windows SEC(".maps");

/* Full: the namespace used longest ago is forgotten; its next exec counts as a first one. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct bh_trace_mntns_key);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} trace_mntns SEC(".maps");

/* Full: the fact stays marked unsent and the daemon's sweep announces it. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 19);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} trace_events SEC(".maps");

/* As trace_events; for what a flood of ordinary events must not drown. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} trace_alarms SEC(".maps");
