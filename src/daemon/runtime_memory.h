/* runtime_memory.h - what detection must know of the daemons before this one: their process
 * numbers, for who ended them is told only afterwards, and what they answered by themselves within
 * the hour, for a restart is no fresh budget. Kept in the database, for this boot. */
#pragma once

#include "base/err.h"
#include "daemon/runtime_activity.h"
#include "policy/runtime.h"

struct bh_runtime_memory;
struct bh_store;
struct bh_subject;

/* Reads what there is and adds ourselves. store is borrowed. What cannot be read is forgotten. */
int bh_runtime_memory_open(struct bh_store *store, struct bh_runtime_memory **ret,
			   struct bh_err *err);
void bh_runtime_memory_close(struct bh_runtime_memory *m);

/* This daemon and those before it; borrowed. */
struct bh_guard_pids bh_runtime_memory_pids(const struct bh_runtime_memory *m);
/* Notes that the subject's owner got that answer, at ts_ns (bpf_ktime_get_ns). */
void bh_runtime_memory_spent(struct bh_runtime_memory *m, const struct bh_subject *s,
			     enum bh_response response, uint64_t ts_ns);
/* Calls fn for each, the oldest first. Of the subject only what names the owner is known. */
void bh_runtime_memory_each(const struct bh_runtime_memory *m,
			    void (*fn)(const struct bh_subject *s, enum bh_response response,
				       uint64_t ts_ns, void *arg),
			    void *arg);
