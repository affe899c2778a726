/* pack.h - packed policies, for model.c: see bh_policy_pack in model.h. */
#pragma once

#include "policy/model.h"

/* Ends a packed policy that has no references left. */
void bh_pack_free(struct bh_policy *p);
