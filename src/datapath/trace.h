/* trace.h - the tracing programs behind one handle: load, attach by mode, read rings, books, sets.
 *
 * The exec, fork and exit programs, their maps and rings are pinned beside the data path's: what a
 * RuntimePolicy kills is killed while no daemon runs, lineage survives a restart, and what happened
 * meanwhile waits in the rings. System-call programs belong to the handle and end with it: nobody
 * would read them, and they cost every process of the node. Closing detaches nothing that is
 * pinned; mode off does. A pinned layout of another version is thrown away: it holds observations
 * only. Borrows the data path, which must live longer. Not thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "bulkhead/trace.h"

struct bh_datapath;
struct bh_prog_cost;
struct bh_trace;

/* Loads; attaches nothing that a former daemon has not left attached. -errno with the sentence when
 * this kernel does not take the programs: everything else works without them. */
int bh_trace_open(struct bh_datapath *dp, struct bh_trace **ret, struct bh_err *err);
void bh_trace_close(struct bh_trace *t);
void bh_trace_closep(struct bh_trace **t);

/* Attaches and detaches what the mode needs, while everything runs. On failure the mode is as
 * before or weaker; bh_trace_mode tells. */
int bh_trace_set_mode(struct bh_trace *t, enum bh_trace_mode mode, struct bh_err *err);
enum bh_trace_mode bh_trace_mode(const struct bh_trace *t);

/* What the programs hold of a living process; pid as this machine sees it. -ESRCH: it is gone;
 * -ENOENT: it is no pod's. */
int bh_trace_task(const struct bh_trace *t, int pid, struct bh_trace_task *ret);

/* As bh_datapath_maps, of the tracer's own maps; names are borrowed from t. */
struct bh_map_fill;
size_t bh_trace_maps(struct bh_trace *t, struct bh_map_fill *v, size_t n);

/* As bh_datapath_progs, of what is loaded; names are borrowed from t. */
size_t bh_trace_progs(const struct bh_trace *t, struct bh_prog_cost *v, size_t n);

/* Descriptor to poll for records. */
int bh_trace_fd(const struct bh_trace *t);
/* Calls fn with about max records; returns how many, at most max. Alarms do not wait for others,
 * but for what came before them: it is told first, also beyond max. fn must not consume. Nothing
 * is checked here: that is the decoder's work. */
int bh_trace_consume(struct bh_trace *t, int max,
		     void (*fn)(const void *record, size_t len, void *arg), void *arg);

/* Opens the books of a slot for its next tenant, if they are another's. Call before it is attached:
 * the programs do it too, but two first events at once might be miscounted then. */
void bh_trace_begin(struct bh_trace *t, uint32_t slot, uint32_t generation);
/* The books of a slot; all zero while nothing happened in it. */
struct bh_trace_slot bh_trace_books(const struct bh_trace *t, uint32_t slot);
/* Sums over all slots; generation and facts mean nothing. */
struct bh_trace_slot bh_trace_total(const struct bh_trace *t);

typedef int bh_trace_fact_fn(const struct bh_fact_key *key, const struct bh_fact *fact, void *arg);
/* Calls fn for each fact of a slot (0: all); a nonzero return ends the walk and is returned. */
int bh_trace_facts(struct bh_trace *t, uint32_t slot, bh_trace_fact_fn *fn, void *arg,
		   struct bh_err *err);
/* Calls fn for each fact that no record has announced, and books it as delivered. Cheap when there
 * is none. */
int bh_trace_sweep(struct bh_trace *t, bh_trace_fact_fn *fn, void *arg, struct bh_err *err);
/* Forgets facts of former tenants. */
int bh_trace_forget(struct bh_trace *t, uint32_t *ret_n, struct bh_err *err);

/* Names that pods asked for, from watch mode on; as bh_trace_sweep and bh_trace_facts. */
typedef int bh_trace_name_fn(const struct bh_dns_key *key, const struct bh_dns *value, void *arg);
int bh_trace_names_sweep(struct bh_trace *t, bh_trace_name_fn *fn, void *arg, struct bh_err *err);
int bh_trace_names(struct bh_trace *t, bh_trace_name_fn *fn, void *arg, struct bh_err *err);
/* Forgets those last asked for before before_ns, and former tenants'; returns how many. The next
 * question for one of them is told again. */
uint32_t bh_trace_names_forget(struct bh_trace *t, uint64_t before_ns);

/* How many programs at the kernel's security hooks are attached, and why they are not; NULL: they
 * are, or nobody wanted them. */
const char *bh_trace_lsm(const struct bh_trace *t, size_t *ret_n);

/* Loads what answers bh_trace_guard_ask, once. */
int bh_trace_guard_begin(struct bh_trace *t, struct bh_err *err);
/* Whether the slot's policy refuses to execute what ask->fd, a descriptor of ours, has open, by
 * where its bytes come from. Fills in what is marked as out; path only when it is refused. */
int bh_trace_guard_ask(struct bh_trace *t, struct bh_guard_ask *ask, struct bh_err *err);

/* What the slots' tenants used up so far, from light mode on. cpu_live_ns + cpu_ended_ns is the
 * processor time of the tasks that are, or were, theirs; it may step back a little when one ends at
 * that moment. Walks all tasks of the node once. -ENOTCONN: nobody counts. */
int bh_trace_rates(struct bh_trace *t, const uint32_t *slots, size_t n, struct bh_trace_rate *ret,
		   struct bh_err *err);

/* What the kernel refuses by itself in a slot. p->generation must be the slot's. allow:
 * executables, absolute paths, used with BH_TRACE_P_ALLOW. p NULL: nothing any more. What the old one
 * refuses and the new one too is refused in between; on failure the old one stays. */
int bh_trace_set_policy(struct bh_trace *t, uint32_t slot, const struct bh_trace_policy *p,
			const char *const *allow, size_t n_allow, struct bh_err *err);
/* What the slot's tenant did so far, in learn mode; the first call for a tenant begins it. */
int bh_trace_learned(struct bh_trace *t, uint32_t slot, uint32_t generation,
		     struct bh_trace_learn *ret, struct bh_err *err);
/* Adds the calls that tasks wait in at the moment to what slots do; in learn mode, else nothing. */
int bh_trace_learn_waiting(struct bh_trace *t, struct bh_err *err);
void bh_trace_unlearn(struct bh_trace *t, uint32_t slot);
/* Takes the calls out of a slot's set, so that the next time shows which are made again; nothing is
 * lost in between. false: nothing is learnt there. */
bool bh_trace_take_calls(struct bh_trace *t, uint32_t slot, uint32_t generation,
			 uint64_t ret[BH_TRACE_CALLS / 64]);

/* What the kernel does with the order of a slot's calls: counts grams, judges them by a filter, or
 * both. Replaces what was there, counters included. */
int bh_trace_seq_set(struct bh_trace *t, uint32_t slot, const struct bh_trace_seq *want,
		     struct bh_err *err);
/* 0 or -ENOENT. */
int bh_trace_seq_get(const struct bh_trace *t, uint32_t slot, struct bh_trace_seq *ret);
void bh_trace_seq_unset(struct bh_trace *t, uint32_t slot);
/* Fetches what was counted since the last call: each gram goes to fn and is forgotten. Sorted by
 * slot and gram. */
typedef void bh_trace_gram_fn(const struct bh_gram_key *key, uint64_t count, void *arg);
int bh_trace_grams(struct bh_trace *t, bh_trace_gram_fn *fn, void *arg, struct bh_err *err);
/* Calls fn with up to max windows (struct bh_trace_window, not checked); returns how many. */
int bh_trace_windows(struct bh_trace *t, int max,
		     void (*fn)(const void *record, size_t len, void *arg), void *arg);

/* hostNetwork pods: processes below the cgroup (inode of its cgroup2 directory) are slot's, a
 * number from BH_MAX_SLOTS whose books begin anew; slot 0: nobody's any more. */
int bh_trace_set_cgroup(struct bh_trace *t, uint64_t cgroup, uint32_t slot, uint32_t generation,
			struct bh_err *err);
