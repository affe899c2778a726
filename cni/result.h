/* result.h - what goes to standard output: the previous result unchanged, the versions, or an error
 * object. Format: CNI specification, "CNI Plugin Result" and "Error". */
#pragma once

#include <stdio.h>

#include "request.h"

/* The previous result in rq's version. The caller owns *ret. Nothing is changed unless its own
 * version is another one: then "cniVersion", and between 0.x and 1.x "version" of each address. */
int bh_cni_result_convert(const struct bh_cni_request *rq, json_t **ret, struct bh_err *err);
/* {"cniVersion","supportedVersions"}; NULL when memory ran out. */
json_t *bh_cni_result_versions(const char *version);
/* {"cniVersion","code","msg"}; NULL when memory ran out. */
json_t *bh_cni_result_error(const char *version, enum bh_cni_code code, const struct bh_err *error);
