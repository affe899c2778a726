/* subset.h - what of a new policy set can be enforced when the whole of it cannot, for want of room
 * in the tables' format or in the kernel's maps.
 *
 * A policy that does not fit is left out alone. In its place its last version stays in force; where
 * none is (a new policy, or a new daemon), a stand-in isolates the pods it selects and denies them
 * everything in a direction in which it has Deny rules: nothing is opened. */
#pragma once

#include "base/vec.h"
#include "policy/tables.h"

struct bh_daemon;

struct bh_refused {
	struct bh_policy *policy;  /* a reference */
	struct bh_policy *standin; /* a reference; NULL: its last version is in force */
	char *why;		   /* owned */
};

struct bh_subset {
	BH_VEC(struct bh_refused) refused;
	BH_VEC(struct bh_policy *) recent; /* references; in force since others are refused */
};

void bh_subset_done(struct bh_subset *s);
/* Why this version of the policy is refused; NULL when it is not. */
const char *bh_subset_why(const struct bh_subset *s, const struct bh_policy *p);

struct bh_subset_request {
	struct bh_daemon *d;
	const struct bh_world *want;  /* does not fit */
	const struct bh_world *old;   /* is enforced; NULL: nothing is */
	const struct bh_subset *last; /* what of old's policies was refused */
	struct bh_compile_memo *memo;
};
/* Finds which policies have to stay out, and builds the world without them: of those that differ
 * from old; of those let in most recently too, and at last of all, when not even old's fit beside
 * today's pods. The database keeps their names, so that a new daemon leaves out the same. */
int bh_subset_find(const struct bh_subset_request *rq, struct bh_subset *ret,
		   struct bh_world **ret_world, struct bh_err *err);
/* The world without those in last, when a search would end as it did before: want has old's
 * policies and those in last. Else -ESTALE. */
int bh_subset_again(const struct bh_subset_request *rq, struct bh_world **ret_world,
		    struct bh_err *err);
