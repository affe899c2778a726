/* runtime_parts.h - shared by runtime.c and runtime_verb.c. Not for others. */
#pragma once

#include "daemon/baselines.h"
#include "daemon/runtime.h"
#include "datapath/trace.h"
#include "event/trace.h"
#include "policy/runtime.h"

#define BH_RUNTIME_DRAIN 16384 /* records, before an endpoint goes */

struct bh_containers;
struct bh_detection;
struct bh_runtime_answers;
struct bh_learning;
struct bh_guard;
struct bh_places;
struct bh_rates;
struct bh_runtime_hosts;
struct bh_who_memory;

struct bh_runtime {
	struct bh_daemon *d;
	struct bh_trace *trace; /* NULL: does not load here */
	struct bh_detection *detection;
	struct bh_baselines *baselines;
	struct bh_containers *containers;
	struct bh_who_memory *who;
	struct bh_learning *learning; /* NULL while there is no trace, like the next */
	struct bh_runtime_hosts *hosts;
	struct bh_rates *rates;
	struct bh_guard *guard; /* NULL: not asked for */
	struct bh_digests *digests;
	struct bh_places *places;
	struct bh_source *source, *timer;
	enum bh_runtime_mode wanted;
	uint64_t broken;  /* records that did not decode */
	uint64_t unnamed; /* events whose pod nobody knows */
	uint64_t events;  /* that were told */
	unsigned ticks;
	unsigned telling;		    /* an event is being told */
	uint64_t repeated_ns;		    /* up to then it was told what goes on; 0: not yet */
	bool are_hosts_due; /* pods changed since hostNetwork ones were looked for */
	uint64_t rules[BH_TRACE_SLOTS];	    /* sums of what the kernel has; 0: nothing */
	uint32_t overflowed[BH_MAX_SLOTS];  /* generation of which it was told; 0: none */
	bool has_policies;		    /* some RuntimePolicy was in force at the last look */
	bool needs_calls;		    /* a RuntimePolicy names what only watch mode sees */
	struct bh_runtime_answers *answers; /* that wait until no event is being read */
	char trouble[160];
};

/* Whose an event is; NULL: nobody's that is still there. */
const struct bh_endpoint *bh_runtime_endpoint_of(const struct bh_runtime *rt,
						 const struct bh_trace_event *ev);
/* In learn mode tells the baselines what pods still do, once in a part of a slice of time. */
void bh_runtime_again(struct bh_runtime *rt);
/* Reads up to max records, but not while one is told; what they call for waits. */
void bh_runtime_catch_up(struct bh_runtime *rt, int max);
/* Reads up to max records, then does what they call for. */
void bh_runtime_read(struct bh_runtime *rt, int max);
