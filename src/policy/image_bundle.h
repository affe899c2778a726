/* image_bundle.h - ImagePolicies on their way to the process that judges images: their documents
 * and the bytes of all files they name, as one JSON object.
 *
 * Whoever makes a bundle may read files and keeps no secrets in it (keys and roots are public);
 * whoever opens it needs to read none. Both parse the same text with the same parser. */
#pragma once

#include <jansson.h>

#include "policy/image.h"

struct bh_image_bundle;

int bh_image_bundle_new(const struct bh_image_files *files, struct bh_image_bundle **ret,
			struct bh_err *err);
void bh_image_bundle_free(struct bh_image_bundle *b);
void bh_image_bundle_freep(struct bh_image_bundle **b);

/* Adds the ImagePolicies of a file's text. Problems are the caller's to judge: with an error among
 * them the bundle is not to be used. 0 or -errno. */
int bh_image_bundle_add(struct bh_image_bundle *b, const char *file, const char *text, size_t len,
			struct bh_problems *problems);
/* The policies so far; borrowed until the next one is added. */
const struct bh_image_policies *bh_image_bundle_policies(const struct bh_image_bundle *b);
/* {"documents":[{"file":NAME,"text":YAML}],"files":{PATH:BASE64}}; borrowed. */
json_t *bh_image_bundle_json(const struct bh_image_bundle *b);

/* The bundle whose JSON was kept. Any problem is a failure. */
int bh_image_bundle_restore(const json_t *bundle, struct bh_image_bundle **ret, struct bh_err *err);

/* The policies of such an object. Any problem is a failure: the maker saw none. */
int bh_image_bundle_open(const json_t *bundle, struct bh_image_policies *ret, struct bh_err *err);
