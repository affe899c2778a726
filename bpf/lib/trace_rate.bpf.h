/* trace_rate.bpf.h - counters of a slot's present tenant that are rates, not events. */
#pragma once

#include "lib/trace_emit.bpf.h"

/* Cannot be full. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, BH_TRACE_SLOTS);
	__type(key, __u32);
	__type(value, struct bh_trace_rate);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} trace_rate SEC(".maps");

static __always_inline struct bh_trace_rate *rate_open(__u32 slot, __u32 generation)
{
	struct bh_trace_rate *r = bpf_map_lookup_elem(&trace_rate, &slot);
	__u32 was;

	if (!r)
		return NULL;
	was = r->generation;
	if (unlikely(was != generation) &&
	    __sync_val_compare_and_swap(&r->generation, was, generation) == was) {
		r->cpu_live_ns = r->cpu_ended_ns = 0;
		r->dns = r->dns_odd = 0;
		r->names = 0;
	}
	return r;
}
