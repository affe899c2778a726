/* contents.h - what a manifest stands for: the platform manifests that an index lists, and the
 * configuration that an image has. Both are digests in bytes that were hashed, so whoever trusts
 * the manifest may trust them; it is how the image that runs is told to be the one that was judged.
 * Pure. */
#pragma once

#include <jansson.h>

#include "verify/bytes.h"

#define BH_CONTENTS_MAX 256 /* manifests of one index */

/* {"platforms":[DIGEST...],"configs":[DIGEST...]}, each once; one of them is empty. NULL: that is no
 * manifest, or memory ran out. The caller owns the result. */
json_t *bh_manifest_contents(const struct bh_blob *manifest);
