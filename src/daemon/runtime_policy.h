/* runtime_policy.h - RuntimePolicy > what the kernel refuses by itself in each slot. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/vec.h"
#include "bulkhead/trace.h"
#include "policy/runtime.h"

struct bh_daemon;
struct bh_endpoint;
struct bh_trace;

/* The policies of one pod put together: what any of them refuses is refused. */
struct bh_runtime_rules {
	struct bh_trace_policy kernel;
	char **allow; /* executables, with BH_TRACE_P_ALLOW; owned */
	size_t n_allow;
	BH_VEC(struct bh_runtime_policy *) policies; /* that select the pod, with references */
	bool needs_calls;			     /* something that only watch mode sees */
};
void bh_runtime_rules_done(struct bh_runtime_rules *r);

/* All that are in force; borrowed until the objects change. End with bh_vec_done. */
BH_VEC_TYPE(bh_runtime_policies, struct bh_runtime_policy *);
int bh_runtime_policies_collect(const struct bh_daemon *d, struct bh_runtime_policies *ret,
				struct bh_err *err);
/* Rules of the endpoint's pod in the world that is enforced. */
int bh_runtime_rules_make(const struct bh_daemon *d, const struct bh_runtime_policies *policies,
			  const struct bh_endpoint *ep, struct bh_runtime_rules *ret,
			  struct bh_err *err);
/* Equal rules have equal sums. */
uint64_t bh_runtime_rules_sum(const struct bh_runtime_rules *r);
