/* policy.h - single questions to a RuntimePolicy. The tracer asks them too, to fill the kernel's
 * table of what is to be killed. */
#pragma once

#include "detect/activity.h"
#include "policy/runtime.h"

/* Bits of enum bh_origin for a provenance; 0 when it is not known. */
unsigned bh_provenance_origin(enum bh_provenance p);
/* An origin that is not known is allowed: the tracer reports it again when it knows it. */
bool bh_policy_allows_origin(const struct bh_runtime_policy *p, enum bh_provenance provenance);
/* Program and script must both be allowed. */
bool bh_policy_allows_exec(const struct bh_runtime_policy *p, const struct bh_act_process *exec);
/* The forbidden system call that this activity shows, NULL when there is none. */
const char *bh_policy_denied_call(const struct bh_runtime_policy *p, const struct bh_activity *a);
