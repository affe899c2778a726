/* ident.h - the process-wide table of idents: see struct bh_ident in model.h. */
#pragma once

#include "policy/model.h"

/* The ident with this content, with one more reference. labels and ports may be unsorted and hold
 * duplicates (the last label of a key wins); both are only read. NULL without memory. */
struct bh_ident *bh_ident_get(const char *ns, const struct bh_labels *labels,
			      const struct bh_named_port *ports, size_t n_ports);
/* Gives one reference back; NULL is fine. */
void bh_ident_unref(struct bh_ident *ident);

/* Makes a sorted set of labels whose strings are interned; the last of equal keys wins. Returns 0
 * or -ENOMEM. */
int bh_labels_copy(const struct bh_labels *from, struct bh_labels *ret);
/* Frees what bh_labels_copy made. */
void bh_labels_done(struct bh_labels *l);
bool bh_labels_equal(const struct bh_labels *a, const struct bh_labels *b);
