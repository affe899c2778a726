/* vjson.h - JSON from a registry: parsed with a bound on what it may cost in memory, and read
 * without ever guessing at a missing or wrong field. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/json.h"
#include "verify/bytes.h"
#include "verify/flaw.h"

/* Parses; MALFORMED or TOO_LARGE. What the tree would take is estimated before it is built: four
 * bytes of text can cost two hundred of memory. Duplicate keys, depth above 64, bytes that are no
 * UTF-8, NUL in a string and anything after the document are MALFORMED. */
int bh_vjson_parse(const void *bytes, size_t n, size_t max, json_t **ret, struct bh_flaw *flaw);

/* A member; NULL when it is missing or null, which protobuf's JSON takes for the same. */
json_t *bh_vjson_get(const json_t *obj, const char *key);

/* A string member; NULL when it is missing or no string. It holds no NUL. */
const char *bh_vjson_str(const json_t *obj, const char *key);

/* true when the member is this string. */
bool bh_vjson_is(const json_t *obj, const char *key, const char *want);

/* An object or array member; NULL when missing or something else. */
json_t *bh_vjson_obj(const json_t *obj, const char *key);
json_t *bh_vjson_arr(const json_t *obj, const char *key);

/* A base64 member of 1 to max bytes; MALFORMED. The caller owns *ret. */
int bh_vjson_b64(const json_t *obj, const char *key, size_t max, struct bh_blob *ret,
		 struct bh_flaw *flaw);

/* A 64-bit number as JSON number or, as protobuf writes it, as string; missing means 0, negative is
 * -EINVAL. */
int bh_vjson_i64(const json_t *obj, const char *key, int64_t *ret);
