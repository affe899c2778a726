/* world.h - today's world: what manifests say, merged with the pods CNI created here. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "policy/tables.h"

struct bh_daemon;

struct bh_policies {
	struct bh_policy *const *v;
	size_t n;
};
/* Builds and seals a world as of now. policies: these instead of the manifests' (NULL: the
 * manifests'). */
int bh_world_build(struct bh_daemon *d, const struct bh_policies *policies, struct bh_world **ret,
		   struct bh_err *err);

struct bh_subjects {
	struct bh_subject *v; /* names borrowed from the endpoints */
	size_t n;
};
/* The pods of this node that have tables: every pod with an endpoint, except finished ones (they
 * keep ruleset 0: nothing passes). */
int bh_world_subjects(const struct bh_daemon *d, const struct bh_world *w, struct bh_subjects *ret,
		      struct bh_err *err);
void bh_subjects_done(struct bh_subjects *s);

/* true when this very version of the policy is in the world. */
bool bh_world_has_policy(const struct bh_world *w, const struct bh_policy *p);
/* The world's version of the same object; NULL when it has none (or w is NULL). */
struct bh_policy *bh_world_policy_like(const struct bh_world *w, const struct bh_policy *p);

/* Unix time of the first rule's end after the world's own time; INT64_MAX when there is none. */
int64_t bh_world_next_expiry(const struct bh_world *w);
