/* yaml_text.h - what happens to the text before libyaml sees it. Used by yaml.c only. */
#pragma once

#include "policy/yaml.h"

/* Rewrites a document that begins with a brace or bracket so that YAML 1.1 reads its JSON: tabs
 * outside of strings become blanks, surrogate pairs become one \U escape (which moves the columns
 * behind them on their line by two). *ret is NULL when nothing has to change; the caller frees it.
 * Returns 0 or -ENOMEM. */
int bh_yaml_from_json(const struct bh_yaml_slice *slice, char **ret, size_t *ret_len);
