/* publish.h - one publish under way: what it works on, and its steps, one file each.
 *
 * Order (publish.c): resolve contents to ids, release what neither the live side nor the new tables
 * use, preflight every map, write and verify, store the slots' idle side, store the epoch. */
#pragma once

#include "datapath/private.h"

#define BH_KID_NONE UINT32_MAX /* content that the kernel does not have yet */

/* A peer that differs between the kernel and the tables. */
struct bh_peer_change {
	struct bh_ip ip;
	size_t at;     /* in what publish remembers: where it stands, or would stand */
	uint32_t want; /* of the idle side, or BH_CLASS_ABSENT */
	bool is_added, is_stale;
};
struct bh_peer_changes {
	BH_VEC(struct bh_peer_change) v; /* sorted by address */
	size_t n_added, n_stale;
};

struct bh_plan {
	struct bh_datapath *dp;
	struct bh_tstate *ts;
	const struct bh_publish *p;
	const struct bh_tables *t;
	unsigned live, idle; /* sides */
	/* by index in t; owned */
	uint32_t *class_kid, *page_kid, *portmap_kid, *ruleset_kid;
	uint16_t *exe_proc;
	struct bh_peer_changes peers[2]; /* by family, from the preflight */
	bool has_written;		 /* something of the idle side may differ from ts */
};

/* tload.c */
void bh_tstate_done(struct bh_tstate *ts);
/* Fills ts from the kernel's maps; what it finds in use counts as the live side's. */
int bh_tstate_load(struct bh_datapath *dp, struct bh_tstate *ts, struct bh_err *err);

/* peers.c */
int bh_peers_preflight(struct bh_plan *pl, struct bh_err *err);
int bh_peers_write(struct bh_plan *pl, struct bh_err *err);

/* cidrs.c */
int bh_cidrs_preflight(struct bh_plan *pl, struct bh_err *err);
int bh_cidrs_write(struct bh_plan *pl, struct bh_err *err);

/* ports.c: pages and port maps */
int bh_ports_resolve(struct bh_plan *pl);
int bh_ports_preflight(struct bh_plan *pl, struct bh_err *err);
int bh_ports_write(struct bh_plan *pl, struct bh_err *err);

/* exes.c */
int bh_exes_resolve(struct bh_plan *pl, struct bh_err *err);
int bh_exes_write(struct bh_plan *pl, struct bh_err *err);
/* Notes what the policy in force names from now on, when the publish went well. */
void bh_exes_settle(struct bh_tstate *ts, bool is_done);

/* rules.c: rulesets, rows, procrows */
int bh_rules_resolve(struct bh_plan *pl, struct bh_err *err);
int bh_rules_release(struct bh_plan *pl, struct bh_err *err);
int bh_rules_preflight(struct bh_plan *pl, struct bh_err *err);
int bh_rules_write(struct bh_plan *pl, struct bh_err *err);
/* For every ruleset that allows "any other executable" in a cell: the same for proc. */
int bh_rules_add_proc(struct bh_plan *pl, uint16_t proc, struct bh_err *err);
/* Who needs ruleset idx of the tables: "pod ns/name, egress", for sentences. */
const char *bh_rules_subject(const struct bh_plan *pl, uint32_t idx, char *out, size_t n);

/* Fails when used + wanted is more than the map holds. */
int bh_plan_room(struct bh_kmap *m, uint64_t used, uint64_t wanted, const char *why,
		 struct bh_err *err);
/* Write, then read back and compare. */
int bh_plan_put(struct bh_plan *pl, enum bh_dp_map map, const struct bh_kbatch *b,
		struct bh_err *err);
