/* image_cache.h - verdicts about images, for as long as they hold.
 *
 * accept: a day for a digest, half a minute for a tag (it may move), never past what keys and
 * reports allow. reject: a minute, signatures may come. undecided: ten seconds, longer each time,
 * five minutes at most. What was accepted by digest is in the database too; it and its directory
 * are root's alone, for a forged row would be a way around every signature. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct bh_store;
struct bh_image_cache;

/* store is borrowed. Rows that cannot be read are dropped. */
int bh_image_cache_open(struct bh_store *store, int64_t now_s, struct bh_image_cache **ret,
			struct bh_err *err);
void bh_image_cache_close(struct bh_image_cache *c);

/* question: everything that the verdict depends on. NULL: not known, or not any more. Borrowed. */
const json_t *bh_image_cache_get(const struct bh_image_cache *c, const char *question,
				 int64_t now_s);
/* answer is borrowed; by_digest: the reference has a digest. */
void bh_image_cache_put(struct bh_image_cache *c, const char *question, const json_t *answer,
			bool by_digest, int64_t now_s);
/* true when the same question was answered with accept within the last seven days. */
bool bh_image_cache_was_good(const struct bh_image_cache *c, const char *question, int64_t now_s);
size_t bh_image_cache_count(const struct bh_image_cache *c);
