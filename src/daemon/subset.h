/* subset.h - what of a new policy set can be compiled when the whole of it cannot. */
#pragma once

#include "base/vec.h"
#include "policy/tables.h"

struct bh_daemon;

struct bh_refused {
	struct bh_policy *policy; /* a reference; its older version, if any, stays in force */
	char *why;		  /* owned */
};

struct bh_subset {
	BH_VEC(struct bh_refused) refused;
};

void bh_subset_done(struct bh_subset *s);
/* Why this version of the policy is refused; NULL when it is not. */
const char *bh_subset_why(const struct bh_subset *s, const struct bh_policy *p);

struct bh_subset_request {
	struct bh_daemon *d;
	const struct bh_world *want; /* does not compile for want of room */
	const struct bh_world *old;  /* is enforced; NULL: nothing is */
	struct bh_compile_memo *memo;
};
/* Finds which of the policies that differ from old have to stay out, and builds the world without
 * them. Without an old world, -E2BIG when leaving them out could open a pod. */
int bh_subset_find(const struct bh_subset_request *rq, struct bh_subset *ret,
		   struct bh_world **ret_world, struct bh_err *err);
/* The world without those in s, when a search would end as it did before: want has old's policies
 * and those in s. Else -ESTALE. */
int bh_subset_again(const struct bh_subset_request *rq, const struct bh_subset *s,
		    struct bh_world **ret_world, struct bh_err *err);
