/* admit.h - the ADD, DEL, CHECK, GC and STATUS story. It may attach an interface shut and take it
 * away; opening is reconcile's.
 *
 * An ADD has two steps, so that whatever dies in between leaves the interface shut: cni.add answers
 * when the kernel holds the pod's table; cni.open, which the plugin sends when it has heard that,
 * opens. A plugin that fails after that takes the link down, and the pod is shut for good. */
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "ctl/server.h"

struct bh_daemon;
struct bh_endpoint;

/* The cni.* verbs (see verbs.c's table). */
void bh_admit_add(struct bh_daemon *d, struct bh_request *rq, const json_t *args);
void bh_admit_open(struct bh_daemon *d, struct bh_request *rq, const json_t *args);
void bh_admit_del(struct bh_daemon *d, struct bh_request *rq, const json_t *args);
void bh_admit_check(struct bh_daemon *d, struct bh_request *rq, const json_t *args);
void bh_admit_gc(struct bh_daemon *d, struct bh_request *rq, const json_t *args);
void bh_admit_status(struct bh_daemon *d, struct bh_request *rq, const json_t *args);

/* Attaches an endpoint that is in the table, shut. */
int bh_admit_attach(struct bh_daemon *d, struct bh_endpoint *ep, struct bh_err *err);
/* Shuts an endpoint for good: it opens no more before its DEL or another ADD. */
void bh_admit_shut(struct bh_daemon *d, struct bh_endpoint *ep);
/* The same for one whose ADD failed. */
void bh_admit_refuse(struct bh_daemon *d, struct bh_endpoint *ep);
/* Looks whether the plugin could use the success that it was told of. */
void bh_admit_settle(struct bh_daemon *d, struct bh_endpoint *ep);
/* false once the interface is gone or the namespace's path leads elsewhere. */
bool bh_admit_is_there(const struct bh_endpoint *ep);
