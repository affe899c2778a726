/* order.h - the order in which a world lists its objects: by name, whatever their versions are. */
#pragma once

#include <string.h>

#include "policy/model.h"

static inline int bh_namespace_order(const struct bh_namespace *a, const struct bh_namespace *b)
{
	return strcmp(a->name, b->name);
}

/* Idents of one namespace mostly share its string. */
static inline int bh_pod_order(const struct bh_pod *a, const struct bh_pod *b)
{
	int r = a->ident->ns == b->ident->ns ? 0 : strcmp(a->ident->ns, b->ident->ns);

	return r ? r : strcmp(a->name, b->name);
}

static inline int bh_policy_order(const struct bh_policy *a, const struct bh_policy *b)
{
	int r = (int)a->kind - (int)b->kind;

	if (!r)
		r = strcmp(a->ns, b->ns);
	return r ? r : strcmp(a->name, b->name);
}
