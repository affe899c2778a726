/* report.h - the reference evaluator's answers as JSON of contract section 5: matrix, explain,
 * diff, test, exceptions. Pure.
 *
 * A half is {"verdict","rule"}. "rule" is "NetworkPolicy ns/name egress[0]", "self" for a pod to
 * itself, else "default". A half that is denied because policies select the pod and none of their
 * rules matches also has "isolatedBy": the first such policy. A half that is allowed for some
 * executables only has "processes" (only these may) or "exceptProcesses" (these may not). */
#pragma once

#include <jansson.h>

#include "refeval/refeval.h"

/* {"port":"80/TCP","pods":[...],"cells":[...]}; every ordered pair of running pods, the diagonal
 * (allowed, rule "self") included. A pod pair is allowed when some pair of their addresses of one
 * family is (or, without addresses, when selectors alone allow it). A hostNetwork pod counts as its
 * node's address: no policy applies on its own side. */
int bh_report_matrix(const struct bh_world *w, uint16_t port, uint8_t proto, json_t **ret,
		     struct bh_err *err);
/* One cell with "port"; each half also has "why" (a sentence) and, when a policy decided, "file"
 * and "line" of the rule (of the policy, when no rule matched). from/to: "NS/POD" or an address.
 * -ENOENT: there is no such pod. */
int bh_report_explain(const struct bh_world *w, const char *from, const char *to, uint16_t port,
		      uint8_t proto, json_t **ret, struct bh_err *err);
/* [{"from","to","port","before","after"}] over all pods of both worlds, every port either world's
 * policies or pods name (range ends and their neighbours), every protocol; "ICMP" stands for all
 * protocols without ports. Only what changes; "absent": the pod does not exist in that world. Where
 * both allow, but for other executables, the entry has "beforeProcesses" and "afterProcesses":
 * "any", a list, or {"except": list}. */
int bh_report_diff(const struct bh_world *before, const struct bh_world *after, json_t **ret,
		   struct bh_err *err);
/* Assertions: JSON array of {"from","to","port","expect":"allowed|denied"} and optionally
 * "process", the executable that asks. Result:
 * {"passed":N,"failed":N,"results":[{...,"verdict","rule","ok"}]}; where a pod does not exist
 * {...,"error","ok":false}. -EINVAL names the malformed assertion. */
int bh_report_test(const struct bh_world *w, const json_t *assertions, json_t **ret,
		   struct bh_err *err);
/* Every rule with a reason: [{"policy","rule","why","useCase","owner","expires","expired","file",
 * "line"}]; what is not known is null. */
int bh_report_exceptions(const struct bh_world *w, json_t **ret, struct bh_err *err);
/* The text of "rule"; the caller frees. NULL without memory. */
char *bh_report_rule(const struct bh_half *h, enum bh_dir dir);
/* One cell. A conditional half gets the "processes" of its rule; matrix and explain, which can ask
 * further, list those of all rules. NULL without memory. */
json_t *bh_report_cell(const struct bh_cell *c, const char *from, const char *to);
