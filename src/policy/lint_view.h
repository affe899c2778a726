/* lint_view.h - a world seen by labels and by addresses, for the lints. Inside policy/ only. Borrows
 * the world. */
#pragma once

#include "policy/model.h"

struct bh_seen { /* one ident of running pods */
	const struct bh_ident *id;
	const struct bh_pod *example; /* the first of them */
	uint32_t order;		      /* its place among the pods */
	bool has_dns;
};

struct bh_view_ns { /* seen[first..first+n) */
	const char *name;
	size_t first, n;
};

struct bh_view_label { /* strings are interned: equal text is an equal pointer */
	const char *ns, *key, *value;
	uint32_t seen;
};

struct bh_view_ip {
	struct bh_ip ip;
	const struct bh_pod *pod;
};

struct bh_view {
	struct bh_seen *seen;
	size_t n;
	struct bh_view_ns *ns; /* sorted by name */
	size_t n_ns;
	struct bh_view_label *labels; /* sorted by pointers */
	size_t n_labels;
	struct bh_view_ip *ips; /* sorted */
	size_t n_ips;
};

/* 0 or -ENOMEM; bh_view_done is right in both cases. */
int bh_view_init(struct bh_view *v, const struct bh_world *w);
void bh_view_done(struct bh_view *v);
/* NULL when no running pod is in it. */
const struct bh_view_ns *bh_view_ns(const struct bh_view *v, const char *name);
/* Calls fn for each ident of ns (NULL: none) that the selector matches, until it returns false. */
void bh_view_each(const struct bh_view *v, const struct bh_view_ns *ns,
		  const struct bh_selector *s, bool (*fn)(struct bh_seen *s, void *arg), void *arg);
/* A pod address inside of the peer's cidr and of none of its excepts; NULL: none. */
const struct bh_view_ip *bh_view_covered(const struct bh_view *v, const struct bh_peer *peer);
