/* world_edit.h - a new world that is like a sealed one but for a few objects.
 *
 * What it costs follows from the number of changes, but for copies of the arrays of pointers. The
 * result is the world that bh_world_seal would have made of the same objects. Edits name an object,
 * so that it does not matter whether the old world has it; of several edits of one object the last
 * one holds. Not thread-safe, as everything that counts references. */
#pragma once

#include "policy/model.h"

struct bh_world_edit;

/* base must be sealed; the edit takes a reference. */
int bh_world_edit_new(struct bh_world *base, struct bh_world_edit **ret, struct bh_err *err);
void bh_world_edit_free(struct bh_world_edit *e);
void bh_world_edit_freep(struct bh_world_edit **e);

/* now: the object from now on, NULL: there is none. The edit takes a reference. 0 or -ENOMEM, and
 * then the edit must not be used any more. */
int bh_world_edit_namespace(struct bh_world_edit *e, const char *name, struct bh_namespace *now);
int bh_world_edit_pod(struct bh_world_edit *e, const char *ns, const char *name,
		      struct bh_pod *now);
struct bh_policy_name {
	enum bh_policy_kind kind;
	const char *ns, *name;
};
int bh_world_edit_policy(struct bh_world_edit *e, const struct bh_policy_name *which,
			 struct bh_policy *now);
/* These policies, whatever there was; sorted, each name once. */
int bh_world_edit_all_policies(struct bh_world_edit *e, struct bh_policy *const *v, size_t n);
/* These node addresses, in any order. */
int bh_world_edit_node_addresses(struct bh_world_edit *e, const struct bh_ip *v, size_t n);

/* Makes the world, sealed, as of now_s. The edit is used up. */
int bh_world_edit_end(struct bh_world_edit *e, int64_t now_s, struct bh_world **ret,
		      struct bh_err *err);
