/* cri.h - the daemon's ear at the container runtime: a worker without privilege that asks it what
 * it runs, started again when it ends. Nothing here waits. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/loop.h"

struct bh_cri_ear;

/* answer as bh_cri_look's (kube/cri.h), borrowed. is_first: of this worker, so it tells of every
 * container. */
typedef void bh_cri_fn(const json_t *answer, bool is_first, void *arg);

/* socket: of the runtime, borrowed; NULL: the first of the usual places that is there. fn runs from
 * the loop only. */
int bh_cri_ear_open(struct bh_loop *loop, const char *socket, bh_cri_fn *fn, void *arg,
		    struct bh_cri_ear **ret, struct bh_err *err);
void bh_cri_ear_close(struct bh_cri_ear *e);

/* Asks, unless an answer is on its way or the runtime failed a moment ago. */
void bh_cri_ear_look(struct bh_cri_ear *e);
/* true when there is no runtime at all. */
bool bh_cri_ear_is_absent(const struct bh_cri_ear *e);
/* Why nothing is heard; NULL: all is well. */
const char *bh_cri_ear_trouble(const struct bh_cri_ear *e);
/* {"socket","state":"connected"|"starting"|"absent"|"failing","why","runtime","lastSeconds"}: the
 * last is the age of the last answer. The caller owns it. */
json_t *bh_cri_ear_status(const struct bh_cri_ear *e);
