/* baselines.h - baselines of workloads in the daemon: fed in learn mode, kept in the database,
 * listed, moved, and turned into policies. Apart from the rest of the daemon, as runtime_detect.h
 * is.
 *
 * A workload is named "NAMESPACE/OWNER"; the name of one of its pods does as well. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "policy/model.h"

struct bh_activity;
struct bh_base_sighting;
struct bh_baseline;
struct bh_baselines;
struct bh_store;
struct bh_gram;
struct bh_learning_settings;
struct bh_subject;
struct bh_trace;

/* Reads what the database has; a row that cannot be read is told and left alone. store is borrowed.
 * settings: until when is learnt, also of what the database has. now_ns: by the kernel's clock. */
int bh_baselines_open(struct bh_store *store, const struct bh_learning_settings *settings,
		      uint64_t now_ns, struct bh_baselines **ret, struct bh_err *err);
/* Saves first. */
void bh_baselines_close(struct bh_baselines *l);
/* Writes baselines that changed. Failures are logged and tried again. */
void bh_baselines_save(struct bh_baselines *l);

/* Baselines learn while it is on; else they only are what activities are held against. */
void bh_baselines_set(struct bh_baselines *l, bool is_on);
bool bh_baselines_is_on(const struct bh_baselines *l);
/* The order of a pod's calls: what its tasks did since the last time, and one task's last calls. */
void bh_baselines_see_grams(struct bh_baselines *l, const struct bh_subject *subject,
			    const struct bh_gram *v, size_t n, const struct bh_base_sighting *s);
void bh_baselines_see_window(struct bh_baselines *l, const struct bh_subject *subject,
			     const struct bh_trace *t, const struct bh_base_sighting *s);
void bh_baselines_feed(struct bh_baselines *l, const struct bh_activity *a,
		       const struct bh_base_sighting *s);
/* The pod lives, whatever it does. */
void bh_baselines_live(struct bh_baselines *l, const struct bh_subject *subject,
		       const struct bh_base_sighting *s);
/* How long what is told at once may have taken: a part of a slice of time. */
uint64_t bh_baselines_rhythm_ns(const struct bh_baselines *l);
/* The workload's baseline, borrowed while l lives; NULL: none. */
struct bh_baseline *bh_baselines_find(const struct bh_baselines *l, const struct bh_subject *s);

/* [{"workload", "state" ("learning", "closed"), "waitsFor" (text or null), "starts", "units",
 *   "overflow", "keys": {KIND: {"seen", "confirmed", "unseen"}},
 *   "sequences": {"seen", "windows", "unseen", "notJudged" (why, or null)}}] */
int bh_baselines_list(const struct bh_baselines *l, json_t **ret, struct bh_err *err);
/* Canonical text of a baseline, the caller's. -ENOENT. */
int bh_baselines_text(const struct bh_baselines *l, const char *workload, char **ret,
		      struct bh_err *err);
/* Adds what a file says to the baseline of its workload, or makes it; the same file counts once.
 * *ret_workload: the caller's. */
int bh_baselines_import(struct bh_baselines *l, const char *text, char **ret_workload,
			struct bh_err *err);
/* Forgets, and learns anew. -ENOENT. */
int bh_baselines_reset(struct bh_baselines *l, const char *workload, struct bh_err *err);

enum bh_made { BH_MADE_NETWORK, BH_MADE_RUNTIME, BH_MADE_SECCOMP };
/* {"workload", "text", "observed", "admitted", "slack", "asked", "what"} from the baseline. */
int bh_baselines_make(const struct bh_baselines *l, const char *workload, enum bh_made what,
		      const struct bh_world *w, json_t **ret, struct bh_err *err);
/* The same as a NetworkPolicy of each workload of `flows` (rows of the flows verb): what they were
 * allowed, and no more. *ret: {"policies": [...], "failed": [{"workload", "why"}]}. */
int bh_suggest(const json_t *flows, const struct bh_world *w, json_t **ret, struct bh_err *err);
