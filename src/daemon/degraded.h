/* degraded.h - guarantees that are weaker right now, each with its reason. */
#pragma once

#include <jansson.h>

struct bh_daemon;

/* [{"what","why"}]; the caller owns it. */
json_t *bh_degraded_json(const struct bh_daemon *d);
