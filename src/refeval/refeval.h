/* refeval.h - the reference evaluator: the specification of NetworkPolicy and SegmentationPolicy,
 * written as plainly as possible, rule by rule, with no tables and no caching. It shares only the
 * model with policy/compile, so that each can find the other's mistakes. `policy matrix`,
 * `explain`, `diff`, `test` and `verify` use it. */
#pragma once

#include "policy/model.h"

/* One end of a connection: a pod of the world, or a bare address (pod NULL). When an address of a
 * running pod that is not hostNetwork is given, use bh_refeval_end to find the pod. */
struct bh_end {
	const struct bh_pod *pod;
	struct bh_ip ip; /* the address used; for a pod one of its own */
	bool has_ip;	 /* false: a pod whose addresses are not known: ipBlocks do not match it */
};
struct bh_end bh_refeval_end(const struct bh_world *w, const struct bh_ip *ip);
/* First address of the pod (of the wanted family when family is 4 or 6; 0: any). */
struct bh_end bh_refeval_pod_end(const struct bh_pod *pod, int family);

struct bh_half { /* the verdict of one side */
	enum bh_verdict verdict;
	const struct bh_policy *policy; /* deciding rule; NULL: default */
	const struct bh_rule *rule;	/* NULL with policy: isolated by it, no rule matched */
	bool is_isolated;		/* some policy selects the pod in this direction */
	bool is_conditional;		/* holds for some executables only: see bh_refeval_exes */
	bool is_self;			/* a pod to itself: never leaves it, allowed */
};

/* One half asked: may self (a pod of the world), in direction dir, have this connection with peer?
 */
struct bh_ask {
	enum bh_dir dir;
	struct bh_end self, peer;
	uint8_t proto;
	uint16_t port; /* of the destination; ignored for protocols other than TCP, UDP, SCTP */
	/* Path of the opening executable, or NULL for "any that may": a process-bound Allow then
	 * counts as allowed with is_conditional set. */
	const char *exe;
};
/* Without memory the answer is denied, by no policy. */
struct bh_half bh_refeval_ask(const struct bh_world *w, const struct bh_ask *ask);
/* Where what decided h is written: its rule, else the policy that isolates. file is borrowed from
 * the world; NULL: nothing decided, or nobody knows. */
struct bh_place bh_half_place(const struct bh_half *h, enum bh_dir dir);

struct bh_cell { /* one end opens a connection to the other */
	enum bh_verdict verdict;
	struct bh_half egress;	/* of the opener; ALLOWED with policy NULL when it is no pod */
	struct bh_half ingress; /* of the other end */
};
/* Both halves: self opens a connection to peer; dir is not read. */
struct bh_cell bh_refeval_cell(const struct bh_world *w, const struct bh_ask *ask);

/* ---- the same question in steps, for callers that ask many ---- */

/* Policies in world order, borrowed from the world; v is the caller's. */
struct bh_policies {
	const struct bh_policy **v;
	size_t n;
};
/* Fills list with every policy that selects pod in direction dir. Returns 0 or -ENOMEM. */
int bh_refeval_selecting(const struct bh_world *w, const struct bh_pod *pod, enum bh_dir dir,
			 struct bh_policies *list);
void bh_policies_done(struct bh_policies *list);
/* bh_refeval_ask, told by `selecting` which policies select self in this direction. */
struct bh_half bh_refeval_among(const struct bh_world *w, const struct bh_policies *selecting,
				const struct bh_ask *ask);

/* For which executables a conditional half is allowed. Paths are sorted and borrowed from rules. */
struct bh_exes {
	const char **v;
	size_t n;
	bool is_except; /* allowed for every executable except v; false: for v only */
};
/* ask->exe is ignored. Returns 0 or -ENOMEM. */
int bh_refeval_exes(const struct bh_world *w, const struct bh_policies *selecting,
		    const struct bh_ask *ask, struct bh_exes *ret);
void bh_exes_done(struct bh_exes *exes);
