/* gather.h - finds the signatures of an image in one source and lays each before the trial.
 * Private to this folder. */
#pragma once

#include "verify/trial.h"

/* Looks where the formats put signatures, until the trial wants no more: the .sig tag, referrers
 * or their fallback tag, the .att tag. */
void bh_gather(struct bh_trial *t, const struct bh_image_source *source);

/* ---- layers.c ---- */

/* A manifest whose layers are classic signatures (or attestations); `where` names it. */
void bh_gather_layers(struct bh_trial *t, const struct bh_image_source *source,
		      const json_t *manifest, const char *where);

/* Fetches the blob of a layer and checks its size and hash. 0, or -1 after the trial was told. */
int bh_gather_blob(struct bh_trial *t, const struct bh_image_source *source, const json_t *layer,
		   const char *where, struct bh_blob *ret);

/* ---- referrers.c ---- */
void bh_gather_referrers(struct bh_trial *t, const struct bh_image_source *source);

/* Fetches and parses a manifest; want_digest (may be NULL) is what its bytes must hash to. The
 * caller owns *ret. 0; -ENOENT when it is absent; -1 after the trial was told. */
int bh_gather_manifest(struct bh_trial *t, const struct bh_image_source *source,
		       const char *reference, bool is_digest, json_t **ret);
