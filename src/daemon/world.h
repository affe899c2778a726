/* world.h - today's world: what manifests say, merged with the pods CNI created here. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "policy/tables.h"

struct bh_daemon;

struct bh_policies {
	struct bh_policy *const *v; /* in the order of a world's */
	size_t n;
};
/* The world as of now, sealed. It is made of the last one, with edits for what changed since, where
 * that is known. policies: these instead of the manifests' (NULL: the manifests'). */
int bh_world_build(struct bh_daemon *d, const struct bh_policies *policies, struct bh_world **ret,
		   struct bh_err *err);
/* The same, from nothing and without a trace: for the start, and what bh_world_build must equal. */
int bh_world_build_anew(struct bh_daemon *d, struct bh_world **ret, struct bh_err *err);

/* What bh_world_build remembers of the last world: d->worlds, made by its first call. */
struct bh_worlds;
void bh_worlds_free(struct bh_worlds *ws);

struct bh_subjects {
	struct bh_subject *v; /* names borrowed from the endpoints; sorted */
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
