/* json.h - jansson getters that report the path of a bad field, and a hardened parse.
 *
 * Parsing scans before it recurses: size and depth limits, valid UTF-8, duplicate keys refused,
 * nothing after the document. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define BH_JSON_MAX_DEPTH 64

static inline void bh_json_decrefp(json_t **j)
{
	json_decref(*j);
	*j = NULL;
}

/* Parses text[0..len). Errors name line and column. The caller owns *ret (json_decref). */
int bh_json_parse(const char *text, size_t len, size_t max_len, json_t **ret, struct bh_err *err);

/* Fetches a member of an object; null counts as missing, as in Kubernetes. Missing: *ret keeps its
 * value and 0 is returned when `required` is false, else -EINVAL "'key' is missing". Wrong type:
 * -EINVAL "'key': expected a string, found a number". Strings are borrowed from obj. */
int bh_json_get_str(const json_t *obj, const char *key, bool required, const char **ret,
		    struct bh_err *err);
int bh_json_get_int(const json_t *obj, const char *key, bool required, int64_t min, int64_t max,
		    int64_t *ret, struct bh_err *err);
int bh_json_get_bool(const json_t *obj, const char *key, bool required, bool *ret,
		     struct bh_err *err);
/* Borrowed object or array. */
int bh_json_get_obj(const json_t *obj, const char *key, bool required, json_t **ret,
		    struct bh_err *err);
int bh_json_get_arr(const json_t *obj, const char *key, bool required, json_t **ret,
		    struct bh_err *err);

/* A string of any bytes: those that are not UTF-8 become '?'. JSON's null for NULL and "". The
 * caller owns it. */
json_t *bh_json_text(const char *text);

/* Once, before any JSON: its memory is zeroed when it is freed, for there are passwords in some. */
void bh_json_forgets(void);
