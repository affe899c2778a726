/* standin.h - what is enforced in the place of a policy that does not fit: less than it allows, and
 * at least all that it denies. */
#pragma once

#include "policy/model.h"

/* A policy of the same name that selects and isolates the same pods. It allows nothing; in a
 * direction in which p has Deny rules it denies everything. NULL without memory; else a reference
 * of the caller's. */
struct bh_policy *bh_standin_new(const struct bh_policy *p);
/* What it does, for a sentence about p: "the pods it selects are ...". Static. */
const char *bh_standin_text(const struct bh_policy *p);
