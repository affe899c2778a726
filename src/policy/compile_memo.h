/* compile_memo.h - what the parts of the compiler share: the memo and the things in it.
 *
 * The compiler always works on a memo; bh_compile makes a fresh one, bh_compile_run may be given
 * one that saw an earlier world. Everything that follows from one immutable object (a policy's
 * atoms, whether a selector pair matches an ident, an ident's predicates) stays in the memo as long
 * as the object stays in the world; everything that follows from the whole is computed anew each
 * time, or kept when its inputs are seen to be the same. Numbers in the memo depend on history, so
 * nothing that reaches the tables may depend on their order.
 *
 * The steps, in order, one file each:
 *   world    compile_world.c    what changed: namespaces, pods > idents and claims, policies
 *   select   compile_select.c   policies of the subjects > active predicates, executables
 *   (atoms   compile_atoms.c    one policy's rules > atoms)
 *   match    compile_match.c    idents x selector pairs > each ident's predicates
 *   cidr     compile_cidr.c     ipBlocks > disjoint prefixes
 *   classes  compile_class.c    predicate sets > classes, peers
 *   shapes   compile_shape.c    atoms of a subject > chains of cell sets; compile_port.c, _cells.c
 *   emit     compile_emit.c     cell sets > rulesets, portmaps, pages; limits
 */
#pragma once

#include <endian.h>
#include <string.h>

#include "base/vec.h"
#include "policy/compile_mem.h"

/* ---- predicates ---- */

/* Which namespaces: exactly ns; those sel selects; or all (both NULL). */
struct bh_cm_scope {
	const char *ns;
	const struct bh_selector *sel;
	BH_VEC(uint32_t) pairs;
};

/* Pods that sel selects (NULL: all) in the scope's namespaces. */
struct bh_cm_pair {
	uint32_t scope;
	const struct bh_selector *sel;
	uint32_t pred[2]; /* by enum bh_action, BH_CM_NONE: no rule names it */
	BH_VEC(uint32_t) families;
};

/* A named port of an egress rule: the pair's pods, split by the numbers the name stands for. */
struct bh_cm_member {
	uint16_t port;
	uint32_t pred;
};
struct bh_cm_family {
	uint32_t pair;
	uint8_t proto;
	enum bh_action action;
	const char *name;
	BH_VEC(struct bh_cm_member) members;
	uint32_t n_rules; /* atoms in force that name it */
};

enum bh_cm_pred_kind { BH_CM_EVERYONE, BH_CM_PODS, BH_CM_NAMED, BH_CM_CIDR };

/* Deny and Allow have predicates of their own: where two pods claim one address, only Deny's hold.
 * (An ipBlock is about the address itself, so it needs no such difference.) */
struct bh_cm_pred {
	struct bh_content id;
	enum bh_cm_pred_kind kind;
	enum bh_action action;
	const struct bh_peer *block;   /* CIDR */
	uint32_t n_rules;	       /* atoms in force that name it; NAMED: see its family */
	bool is_listed;		       /* CIDR: it stands in memo->active_cidrs */
	uint32_t live;		       /* PODS, NAMED: epoch in which some pod satisfied it */
	bool was_live;		       /* in the last compile */
	uint32_t flipped;	       /* epoch in which that changed */
	const struct bh_policy *owner; /* first that named it in a first compile; for messages */
};

/* ---- policies ---- */

/* A port set: sorted disjoint ranges, keys (proto number << 17 | port). Number 0: every port of
 * every protocol. */
#define BH_CM_PORT_KEY(pp, port) ((uint32_t)(pp) << 17 | (uint32_t)(port))
struct bh_cm_range {
	uint32_t first, end; /* end is exclusive */
};
struct bh_cm_ports {
	struct bh_cm_range *v;
	size_t n;
};

/* Executables of a rule. Number 0: any. */
struct bh_cm_procs {
	uint32_t *exe;
	size_t n;
};

struct bh_cm_exe {
	const char *path;
	uint32_t n_rules; /* atoms in force that name it */
	uint32_t index;	  /* in the tables, while active */
};

enum bh_cm_atom_kind {
	BH_CM_ATOM_PLAIN, /* pred, ports */
	BH_CM_ATOM_NAMED, /* egress: pred is a family, its members bring the ports */
	BH_CM_ATOM_LOCAL, /* ingress: name is resolved on the selected pod */
};

/* One peer of one rule with the part of the rule's ports that can be told at once. */
struct bh_cm_atom {
	uint8_t kind, action; /* enum bh_cm_atom_kind, enum bh_action */
	uint8_t proto;	      /* LOCAL */
	uint32_t pred, ports, procs;
	const char *name; /* LOCAL */
	int64_t expires_s;
};
/* As large as it must be: there are thousands of policies with a few atoms each. */
struct bh_cm_atoms {
	struct bh_cm_atom *v;
	uint32_t n;
};

struct bh_cm_policy {
	struct bh_policy *p; /* a reference */
	struct bh_cm_atoms atoms[2];
	int64_t counted_at_s; /* those in force then are counted */
	uint32_t ns;
	unsigned n_seen;     /* times it stands in the world */
	unsigned n_selected; /* counted idents that it selects; if any, its atoms are counted */
	bool is_built[2];
	bool lends; /* the memo points into p: keep it until reset */
};

/* ---- the world's idents ---- */

struct bh_cm_ident {
	const struct bh_ident *id;
	uint32_t ns;
	size_t n_pods, n_claims;
	bool is_matched;	   /* pairs is complete for all pairs below memo->n_matched */
	BH_VEC(uint32_t) pairs;	   /* that hold */
	BH_VEC(uint32_t) preds;	   /* active ones that hold, as of the last compile */
	struct bh_content content; /* of preds */
	uint32_t part;		   /* of this compile */
	/* as a subject */
	uint32_t subject; /* epoch in which it was one */
	bool is_selected; /* policies is up to date */
	bool is_counted;  /* in their n_selected */
	BH_VEC(uint32_t) policies;
	struct bh_cm_shape *shape[2];
};

struct bh_cm_ns {
	const struct bh_namespace *obj; /* NULL: no such object in the world */
	bool is_matched;		/* scopes is complete for all below n_scopes_matched */
	BH_VEC(uint32_t) scopes;	/* that hold */
	BH_VEC(uint32_t) idents;
	BH_VEC(uint32_t) policies;
};

/* One running pod says that ip is its own. */
struct bh_cm_claim {
	struct bh_ip ip;
	uint32_t ident;
};

/* ---- classes, all of one compile ---- */

/* A set of predicates of one sort (pods' or CIDRs'); number 0 is the empty set. */
struct bh_cm_part {
	struct bh_content id;
	const uint32_t *preds;
	size_t n;
	bool has_class; /* with these CIDRs it is that class */
	uint32_t cidrs, class;
};

struct bh_cm_class {
	struct bh_content id;
	uint32_t part[2]; /* selectors, CIDRs */
};

/* A prefix of the CIDR table; sorted by address and length. */
struct bh_cm_prefix {
	struct bh_cidr cidr;
	bool is4;
	uint32_t parent; /* nearest enclosing prefix of the family, or BH_CM_NONE */
	const uint32_t *preds;
	size_t n_preds;
	struct bh_content content;
	uint32_t owner; /* a predicate whose cidr or except it is */
	uint32_t part;	/* of this compile */
};

/* ---- results ---- */

struct bh_cm_page {
	struct bh_content id;
	uint8_t class[256];
	uint32_t epoch, index; /* where it stands in the tables being made */
};

struct bh_cm_portmap {
	struct bh_content id;
	uint32_t page[BH_PP_COUNT][256];
	uint32_t epoch, index;
};

/* Same predicate, action and executables: one set of port classes. */
struct bh_cm_group {
	uint32_t pred, procs;
	enum bh_action action;
	__u64 bits[BH_PORT_WORDS];
};

/* A ruleset without its place in time. */
struct bh_cm_cells {
	struct bh_content id;
	struct bh_cm_group *groups; /* sorted by pred, action, procs */
	size_t n_groups;
	bool has_procs;
	unsigned n_port_classes;
	uint32_t portmap;
	uint32_t used;	/* epoch */
	bool is_filled; /* rows are those of memo->old_classes at least */
	struct bh_row dflt;
	BH_VEC(struct bh_trow) rows;
	BH_VEC(struct bh_tproc) procs;
	uint32_t *key;	/* what it is found by */
	size_t key_len; /* bytes */
};

struct bh_cm_phase {
	struct bh_cm_cells *cells;
	int64_t until_s;
};

/* One direction of one subject ident, kept while its inputs are the same. */
struct bh_cm_shape {
	bool is_isolated;     /* some policy selects it; if not, there are no phases */
	bool is_keeping;      /* every policy that selects it keeps established connections */
	uint32_t used;	      /* epoch */
	int64_t from_s, to_s; /* the times for which it holds */
	uint32_t *watch;      /* predicates whose liveness it depends on */
	size_t n_watch;
	uint32_t *families; /* the same for families: any member */
	size_t n_families;
	struct bh_cm_phase phase[BH_UNTIL_CHAIN];
	size_t n_phases;
	uint32_t epoch, ruleset; /* where it stands in the tables being made */
};

struct bh_compile_memo {
	struct bh_world *world; /* the last one; NULL at first */
	uint32_t epoch;
	bool is_dirty;				   /* a compile failed half way: start over */
	struct bh_arena arena;			   /* lives until reset */
	size_t fresh_bytes, fresh_preds, fresh_ns; /* after the first compile since reset */
	struct bh_hasher hasher;

	struct bh_map scope_ids, pair_ids, pred_ids, family_ids, ports_ids, procs_ids, exe_ids;
	BH_VEC(struct bh_cm_scope) scopes;
	BH_VEC(struct bh_cm_pair) pairs;
	BH_VEC(struct bh_cm_family) families;
	BH_VEC(struct bh_cm_pred) preds; /* 0: everyone */
	BH_VEC(struct bh_cm_ports) ports;
	BH_VEC(struct bh_cm_procs) procs;
	BH_VEC(struct bh_cm_exe) exes;
	size_t n_scopes_matched, n_pairs_matched;

	struct bh_map ns_ids;
	BH_VEC(struct bh_cm_ns) ns;
	struct bh_nummap ident_ids;	     /* by pointer */
	BH_VEC(struct bh_cm_ident *) idents; /* NULL: free */
	BH_VEC(uint32_t) free_idents;
	struct bh_nummap policy_ids; /* by pointer */
	BH_VEC(struct bh_cm_policy *) policies;
	BH_VEC(uint32_t) free_policies;
	BH_VEC(struct bh_policy *) lenders;	   /* gone from the world, still pointed into */
	BH_VEC(struct bh_cm_claim) claims;	   /* sorted by address */
	BH_VEC(struct bh_cm_claim) added, removed; /* while the world is compared */
	BH_VEC(uint32_t) touched;		   /* idents that lost a pod */

	BH_VEC(uint32_t) subjects; /* distinct idents, of this compile */
	BH_VEC(uint32_t) counted;  /* those of the last one */
	int64_t from_s, to_s;	   /* the times for which the counts hold */
	BH_VEC(uint32_t) active_cidrs;
	bool is_cidrs_stale; /* some of them may not be active any more */
	bool is_exes_stale;
	size_t n_exes_in_force;
	bool exes_changed;
	BH_VEC(uint32_t) active_exes; /* sorted by path */

	struct bh_arena cidr_arena;
	BH_VEC(uint32_t) table_cidrs; /* predicates the prefixes were made from */
	BH_VEC(struct bh_cm_prefix) prefixes;

	struct bh_map part_ids; /* by content */
	BH_VEC(struct bh_cm_part) parts;
	struct bh_arena part_arena;
	struct bh_nummap class_ids;			 /* by parts */
	BH_VEC(struct bh_cm_class) classes, old_classes; /* sorted by content, 0 first */
	BH_VEC(uint32_t) scratch;
	/* Room for the next tables' arrays, from tables that are gone. */
	BH_VEC(struct bh_tpeer) spare_peers;
	BH_VEC(struct bh_tpage) spare_pages;
	BH_VEC(struct bh_tportmap) spare_portmaps;

	struct bh_map cells_ids;	 /* owns them */
	struct bh_cm_cells *deny, *open; /* nothing allowed; everything allowed */
	struct bh_map page_ids, portmap_ids;
	BH_VEC(struct bh_cm_page *) pages;	 /* 0: all class 0 */
	BH_VEC(struct bh_cm_portmap *) portmaps; /* 0: all page 0 */
};

struct bh_cm_job { /* one run */
	struct bh_compile_memo *m;
	const struct bh_world *world;
	const struct bh_subject *subjects; /* sorted, distinct */
	size_t n_subjects;
	uint32_t *ident;     /* of each subject; BH_CM_NONE: hostNetwork, policy does not apply */
	struct bh_tables *t; /* being made */
};
static inline bool bh_cm_bit(const __u64 bits[BH_PORT_WORDS], unsigned n)
{
	return bits[n / 64] >> n % 64 & 1;
}
static inline void bh_cm_bit_set(__u64 bits[BH_PORT_WORDS], unsigned n)
{
	bits[n / 64] |= UINT64_C(1) << n % 64;
}

/* As bh_ip_cmp; a hundred thousand times per compile, so in place. */
static inline int bh_cm_ip_cmp(const struct bh_ip *a, const struct bh_ip *b)
{
	uint64_t x, y;

	for (int i = 0; i < 16; i += 8) {
		memcpy(&x, a->b + i, sizeof(x));
		memcpy(&y, b->b + i, sizeof(y));
		if (x != y)
			return be64toh(x) < be64toh(y) ? -1 : 1;
	}
	return 0;
}

/* ---- compile_world.c ---- */
/* Brings namespaces, idents, claims and policies up to the world. */
int bh_cm_world_sync(struct bh_cm_job *j, struct bh_err *err);
void bh_cm_world_done(struct bh_compile_memo *m);
void bh_cm_policy_free(struct bh_cm_policy *p);
uint32_t bh_cm_ident_find(const struct bh_compile_memo *m, const struct bh_ident *id);

/* ---- compile_claim.c ---- */
/* Merges memo->added and memo->removed into memo->claims. */
int bh_cm_claims_merge(struct bh_compile_memo *m);

/* ---- compile_intern.c: numbers for things that are equal ---- */
int bh_cm_scope_get(struct bh_compile_memo *m, const struct bh_cm_scope *s, uint32_t *ret);
int bh_cm_pair_get(struct bh_compile_memo *m, uint32_t scope, const struct bh_selector *sel,
		   uint32_t *ret);
int bh_cm_pred_pods(struct bh_compile_memo *m, uint32_t pair, enum bh_action action, uint32_t *ret);
int bh_cm_pred_cidr(struct bh_compile_memo *m, const struct bh_peer *block, uint32_t *ret);
/* f: pair, action, proto and name are set. */
int bh_cm_family_get(struct bh_compile_memo *m, const struct bh_cm_family *f, uint32_t *ret);
int bh_cm_family_member(struct bh_compile_memo *m, uint32_t family, uint16_t port, uint32_t *ret);
/* ranges in any order; overlapping and touching ones are joined; the array is changed. */
int bh_cm_ports_get(struct bh_compile_memo *m, struct bh_cm_range *v, size_t n, uint32_t *ret);
int bh_cm_procs_get(struct bh_compile_memo *m, char *const *paths, size_t n, uint32_t *ret);
/* -1: a protocol without ports. */
int bh_cm_port_proto(uint8_t proto);

/* ---- compile_atoms.c ---- */
int bh_cm_atoms_build(struct bh_compile_memo *m, struct bh_cm_policy *p, enum bh_dir dir,
		      struct bh_err *err);

/* ---- compile_select.c ---- */
int bh_cm_select(struct bh_cm_job *j, struct bh_err *err);
/* Before the ident goes, or a policy in its namespace comes or goes. */
void bh_cm_uncount(struct bh_compile_memo *m, struct bh_cm_ident *ident);

/* ---- compile_match.c ---- */
int bh_cm_match(struct bh_cm_job *j, struct bh_err *err);
/* Some address may satisfy it. What no address satisfies is left out of everything. */
static inline bool bh_cm_is_live(const struct bh_compile_memo *m, const struct bh_cm_pred *p)
{
	return p->kind == BH_CM_EVERYONE || p->kind == BH_CM_CIDR || p->live == m->epoch;
}

/* ---- compile_cidr.c ---- */
int bh_cm_cidr_build(struct bh_cm_job *j, struct bh_err *err);

/* ---- compile_class.c ---- */
/* Makes classes and fills the tables' classes, peers and cidrs. */
int bh_cm_classes(struct bh_cm_job *j, struct bh_err *err);
/* Content of a set of predicates; the order of preds does not matter. */
int bh_cm_set_content(struct bh_compile_memo *m, const uint32_t *preds, size_t n,
		      struct bh_content *ret);

/* ---- compile_shape.c ---- */
int bh_cm_shapes(struct bh_cm_job *j, struct bh_err *err);
void bh_cm_shape_free(struct bh_cm_shape *s);

/* One atom as it counts for a subject: sorted and distinct by all but owner. */
struct bh_cm_fact {
	uint32_t pred, procs, ports;
	enum bh_action action;
	int64_t expires_s;
	const struct bh_policy *owner;
};

/* ---- compile_port.c ---- */
/* Makes the port classes of the facts: sets c->portmap, c->n_port_classes and the groups' bits. */
int bh_cm_port_classes(struct bh_compile_memo *m, struct bh_cm_cells *c,
		       const struct bh_cm_fact *facts, size_t n, struct bh_err *err);

/* ---- compile_page.c ---- */
struct bh_cm_piece { /* from key on, up to the next piece */
	uint32_t key;
	uint32_t class;
};
/* Port map of a canonical list: sorted, first key 0, neighbours differ. */
int bh_cm_portmap_get(struct bh_compile_memo *m, const struct bh_cm_piece *v, size_t n,
		      uint32_t *ret);

/* ---- compile_cells.c ---- */
/* Groups and port classes of the facts, which are sorted; no rows yet. */
int bh_cm_cells_get(struct bh_compile_memo *m, const struct bh_cm_fact *facts, size_t n,
		    struct bh_cm_cells **ret, struct bh_err *err);
void bh_cm_cells_free(void *cells);
/* Drops the cell sets that this compile did not use. */
void bh_cm_cells_purge(struct bh_compile_memo *m);

/* ---- compile_rows.c ---- */
/* Brings the rows of every cell set in use up to the classes. */
int bh_cm_rows_fill(struct bh_cm_job *j, struct bh_err *err);

/* ---- compile_emit.c ---- */
int bh_cm_emit(struct bh_cm_job *j, struct bh_err *err);
