/* image_saved.h - the last good ImagePolicies of each file, with the keys they name, in the
 * database: a file that is written wrongly must not lose its policies over a restart. */
#pragma once

#include "base/err.h"
#include "policy/image_bundle.h"

struct bh_store;

/* Writes a file's policies unless they are those of before (may be NULL). What cannot be written is
 * told in the log. */
void bh_image_saved_keep(struct bh_store *store, const char *path, const struct bh_image_bundle *b,
			 const struct bh_image_bundle *before);
void bh_image_saved_drop(struct bh_store *store, const char *path);
/* Calls fn for each file; nonzero ends it. A row that cannot be read is dropped. */
int bh_image_saved_each(struct bh_store *store,
			int (*fn)(const char *path, struct bh_image_bundle **take, void *arg),
			void *arg, struct bh_err *err);
