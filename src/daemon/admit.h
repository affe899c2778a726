/* admit.h - the ADD, DEL, CHECK, GC and STATUS story. It may attach an interface shut and take it
 * away; opening is reconcile's. */
#pragma once

#include <jansson.h>

#include "ctl/server.h"

struct bh_daemon;

/* The cni.* verbs (see verbs.c's table). */
void bh_admit_add(struct bh_daemon *d, struct bh_request *rq, const json_t *args);
void bh_admit_del(struct bh_daemon *d, struct bh_request *rq, const json_t *args);
void bh_admit_check(struct bh_daemon *d, struct bh_request *rq, const json_t *args);
void bh_admit_gc(struct bh_daemon *d, struct bh_request *rq, const json_t *args);
void bh_admit_status(struct bh_daemon *d, struct bh_request *rq, const json_t *args);

/* Takes over endpoints that a previous daemon left; those whose interface is gone are dropped, and
 * kernel slots nobody knows are shut. */
int bh_admit_adopt(struct bh_daemon *d, struct bh_err *err);
/* Drops endpoints whose interface vanished without a DEL. */
void bh_admit_sweep(struct bh_daemon *d);
