/* image_glass.h - break-glass: the ImageExceptions of the manifests that are signed by a key of the
 * daemon's own settings, and which of them let an image through now. Every use is an event. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "policy/image_exempt.h"

struct bh_image_glass;

/* key_files: array of paths of public keys (PEM); NULL or empty: no exception counts. Fails when
 * one cannot be read. */
int bh_image_glass_open(const json_t *key_files, struct bh_image_glass **ret, struct bh_err *err);
void bh_image_glass_close(struct bh_image_glass *g);

/* A manifest's text, in the place of what it said before. What is not signed is told in the log and
 * of no effect. */
void bh_image_glass_read(struct bh_image_glass *g, const char *path, const char *text, size_t len);
void bh_image_glass_gone(struct bh_image_glass *g, const char *path);

/* The exception that lets the image run now, noted as used; NULL: none. digest as in
 * bh_image_exempt_covers. Borrowed until the next manifest is read. */
const struct bh_image_exempt *bh_image_glass_find(struct bh_image_glass *g, const char *ns,
						  const struct bh_image_ref *ref,
						  const char *digest);
/* Another number whenever other exceptions hold than before: also when one ends. */
uint64_t bh_image_glass_stamp(const struct bh_image_glass *g, int64_t now_s);
/* An answer of the worker's form that says why the image may run; the caller's. */
json_t *bh_image_glass_answer(const struct bh_image_exempt *e, const char *reference,
			      const char *digest);
/* Rows for the verb policy.exceptions: {"rule","why","useCase","owner","expires","expired",
 * "lastUsed","file","line"}. The caller's. */
json_t *bh_image_glass_rows(const struct bh_image_glass *g, int64_t now_s);
