/* assertions.h - the file of `policy test`: a YAML or JSON list of {from, to, port, expect}. */
#pragma once

#include <jansson.h>

#include "base/err.h"

/* Parses text[0..len) into an array of objects with exactly these four strings; expect is "allowed"
 * or "denied". Errors are "file:line:column: sentence". The caller owns *ret. */
int bh_assertions_parse(const char *file, const char *text, size_t len, json_t **ret,
			struct bh_err *err);
