/* tables.h - what compile makes of a world: a finite table per pod, in canonical order.
 *
 * All numbers here are indexes into this struct's own arrays, assigned canonically (sorted by
 * content), so that the same world gives the same bytes. datapath/apply maps them to kernel ids.
 * Content hashes (128 bits of SHA-256) let apply recognise what it already has. */
#pragma once

#include "policy/model.h"

struct bh_content {
	uint8_t b[16];
};

/* Class 0 is "world": addresses that satisfy no predicate. */
struct bh_tclass {
	struct bh_content id; /* of the sorted set of predicates it satisfies */
};

struct bh_tpeer { /* a pod address, or an address of this node */
	struct bh_ip ip;
	uint32_t class;
	bool is_node;
};

struct bh_tcidr { /* longest match wins; excepts are pushed down into disjoint meaning */
	struct bh_cidr cidr;
	uint32_t class;
};

struct bh_tpage { /* 256 ports */
	struct bh_content id;
	uint8_t class[256];
};

struct bh_tportmap {
	struct bh_content id;
	uint32_t page[BH_PP_COUNT][256]; /* indexes into pages */
};

struct bh_trow {
	uint32_t class;
	struct bh_row row;
};

struct bh_tproc { /* this executable may open cell (class, port_class) */
	uint32_t class; /* or BH_CLASS_DEFAULT */
	uint16_t port_class;
	uint16_t exe; /* index into exes + 2, or BH_PROC_OTHER */
};

/* One direction's compiled result. Index 0 of rulesets is "deny everything". until_s is Unix time;
 * next is the index of the ruleset for the time from then on. The chain is at most BH_UNTIL_CHAIN
 * long; its last element never allows anything that could have expired. */
struct bh_truleset {
	struct bh_content id;
	uint32_t portmap; /* index into portmaps */
	uint32_t flags;	  /* BH_RULESET_* */
	uint32_t next;
	int64_t until_s; /* INT64_MAX: for ever */
	struct bh_row dflt;
	struct bh_trow *rows; /* sorted by class; only those that differ from dflt */
	size_t n_rows;
	struct bh_tproc *procs; /* sorted */
	size_t n_procs;
};

struct bh_tsubject { /* a local pod */
	const char *ns, *name; /* owned by the tables */
	uint32_t ruleset[2];   /* by enum bh_dir, indexes into rulesets */
};

/* A limit that did not fit, naming the policy. */
struct bh_tables {
	struct bh_tclass *classes;
	size_t n_classes;
	struct bh_tpeer *peers; /* sorted by address; only those that need an entry */
	size_t n_peers, cap_peers;
	struct bh_tcidr *cidrs; /* sorted */
	size_t n_cidrs;
	struct bh_tpage *pages; /* index 0: all class 0 */
	size_t n_pages, cap_pages;
	struct bh_tportmap *portmaps; /* index 0: all page 0 */
	size_t n_portmaps, cap_portmaps;
	struct bh_truleset *rulesets;
	size_t n_rulesets;
	char **exes; /* executable paths named by rules, sorted */
	size_t n_exes;
	struct bh_tsubject *subjects; /* sorted by namespace, name */
	size_t n_subjects;
};

/* A pod of this node whose tables are wanted. */
struct bh_subject {
	const char *ns, *name;
};

/* Compiles the tables of the given local pods (each must be a pod of w). Pure and deterministic.
 * Fails with -E2BIG and a sentence naming the policy when something does not fit the ABI's limits
 * (ports classes, rulesets, ...); nothing is ever cut short. */
int bh_compile(const struct bh_world *w, const struct bh_subject *subjects, size_t n_subjects,
	       struct bh_tables **ret, struct bh_err *err);

/* Compiling again and again: a memo keeps what did not change between two worlds, so that a small
 * change costs little. The result is the same, byte for byte, with and without. The memo holds
 * references to the last world's objects. */
struct bh_compile_memo;
int bh_compile_memo_new(struct bh_compile_memo **ret, struct bh_err *err);
void bh_compile_memo_free(struct bh_compile_memo *m);
void bh_compile_memo_freep(struct bh_compile_memo **m);

struct bh_compile_request {
	struct bh_world *world;
	const struct bh_subject *subjects; /* in any order */
	size_t n_subjects;
	struct bh_compile_memo *memo; /* NULL: none */
};
/* bh_compile with a memo. After a failure the memo is as good as a new one. */
int bh_compile_run(const struct bh_compile_request *req, struct bh_tables **ret,
		   struct bh_err *err);

/* Instead of bh_tables_free: memory that the next compile would ask for again stays with the memo. */
void bh_compile_recycle(struct bh_compile_memo *m, struct bh_tables *t);

void bh_tables_free(struct bh_tables *t);
void bh_tables_freep(struct bh_tables **t);

/* The same decision as the kernel's, over the tables: class of an address. */
uint32_t bh_tables_class(const struct bh_tables *t, const struct bh_ip *ip, bool *ret_is_node);
struct bh_tverdict {
	enum bh_verdict verdict;
	enum bh_reason reason; /* POLICY, DEFAULT_ALLOW, POLICY_DENY, DEFAULT_DENY, PROCESS, ... */
	bool is_conditional;   /* depends on the executable */
};
/* proto: any IP protocol; port: destination port (0 for protocols without). exe: path or NULL when
 * not known. now_s: follows expiries. Does not know about the node exemption. */
struct bh_tquestion {
	const struct bh_tsubject *subject;
	enum bh_dir dir;
	struct bh_ip peer;
	uint8_t proto;
	uint16_t port;
	const char *exe;
	int64_t now_s;
};
struct bh_tverdict bh_tables_ask(const struct bh_tables *t, const struct bh_tquestion *q);
const struct bh_tsubject *bh_tables_subject(const struct bh_tables *t, const char *ns,
					    const char *name);
/* Stable text of everything, for golden tests. Caller frees; NULL without memory. */
char *bh_tables_print(const struct bh_tables *t);
