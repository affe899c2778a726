/* refeval.h - the reference evaluator: the specification of NetworkPolicy and SegmentationPolicy,
 * written as plainly as possible, rule by rule, with no tables and no caching. It shares only the
 * model with policy/compile, so that each can find the other's mistakes. `policy matrix`, `explain`,
 * `diff`, `test` and `verify` use it. */
#pragma once

#include "policy/model.h"

/* One end of a connection: a pod of the world, or a bare address (pod NULL). When an address of a
 * running pod that is not hostNetwork is given, use bh_refeval_end to find the pod. */
struct bh_end {
	const struct bh_pod *pod;
	struct bh_ip ip;  /* the address used; for a pod one of its own */
	bool has_ip;	  /* false: a pod whose addresses are not known: ipBlocks do not match it */
};
struct bh_end bh_refeval_end(const struct bh_world *w, const struct bh_ip *ip);
/* First address of the pod (of the wanted family when family is 4 or 6; 0: any). */
struct bh_end bh_refeval_pod_end(const struct bh_pod *pod, int family);

struct bh_half { /* the verdict of one side */
	enum bh_verdict verdict;
	const struct bh_policy *policy; /* deciding rule; NULL: default */
	const struct bh_rule *rule;	/* NULL with policy: isolated by it, no rule matched */
	bool is_isolated;		/* some policy selects the pod in this direction */
	bool is_conditional;		/* only for rule->processes */
};

/* Decides one direction of `self` (a pod of the world) against `peer`, for destination port/proto.
 * exe: path of the opening executable, or NULL for "any that may": a process-bound Allow then counts
 * as allowed with is_conditional set. port is ignored for protocols other than TCP, UDP, SCTP. */
struct bh_half bh_refeval_half(const struct bh_world *w, enum bh_dir dir,
			       const struct bh_end *self, const struct bh_end *peer, uint8_t proto,
			       uint16_t port, const char *exe);

struct bh_cell { /* from opens a connection to `to` */
	enum bh_verdict verdict;
	struct bh_half egress;	/* of from; ALLOWED with policy NULL when from is no pod */
	struct bh_half ingress; /* of to */
};
struct bh_cell bh_refeval_cell(const struct bh_world *w, const struct bh_end *from,
			       const struct bh_end *to, uint8_t proto, uint16_t port,
			       const char *exe);
