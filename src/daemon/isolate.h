/* isolate.h - quarantine: who is cut off, since when, why, by whom, until when.
 *
 * The record is the authority: it is stored before the command is answered, it names the pod and
 * not one incarnation of it, and only release or its own end removes it. Cutting comes first, in
 * one store per interface; everything else follows. Processes take the time they take to end or to
 * stop: nobody waits for them but who asked for it. A daemon that ends meanwhile leaves the rest to
 * the next one. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ctl/server.h"
#include "datapath/datapath.h"

struct bh_daemon;
struct bh_isolation;
struct bh_endpoint;
struct bh_ocsf_rule;

struct bh_isolate_request {
	const char *ns, *name; /* the pod */
	const char *reason;    /* for the record, never empty */
	const char *uid;       /* as its runtime has it, NULL: not known; see bh_hostnet_find */
	int64_t ttl_s;	       /* 0: until released */
	const json_t *allow;   /* array of "CIDR[:PORT/PROTO]", may be NULL */
	bool kill, freeze;
	bool is_doubt;	      /* its images cannot be judged yet; whoever can, releases it */
	const char *evidence; /* directory, NULL: none */
	/* for the record, when nobody in person asks */
	const struct bh_ocsf_rule *rule; /* that wants it; NULL: not known */
	const char *finding;		 /* uid of what it answers; NULL: of none */
};

/* Loads the records; call before endpoints are adopted. */
int bh_isolation_open(struct bh_daemon *d, struct bh_isolation **ret, struct bh_err *err);
void bh_isolation_close(struct bh_isolation *q);

/* What came of it: 0 and the receipt as in contract section 5, or a sentence about what of it could
 * not be done. take_receipt is the function's, NULL when r < 0. */
typedef void bh_isolated_fn(int r, json_t *take_receipt, struct bh_err *err, void *arg);
/* Cuts the pod off, before it returns; fn is called once when the rest is done, which may be before
 * it returns too. fn NULL: what could not be done is logged. Quarantining again replaces reason,
 * end and allow-list. When it fails fn is not called and nothing was done; -ENOENT when no such pod
 * is known here. */
int bh_isolate(struct bh_isolation *q, const struct bh_isolate_request *rq,
	       const struct bh_caller *by, bh_isolated_fn *fn, void *arg, struct bh_err *err);
/* The same for a request that neither kills nor freezes: it is done when it returns. */
int bh_isolate_now(struct bh_isolation *q, const struct bh_isolate_request *rq,
		   const struct bh_caller *by, struct bh_err *err);
/* Goes on with what the last daemon could not end. Call once the endpoints are adopted. */
void bh_isolation_resume(struct bh_isolation *q);
int bh_isolation_release(struct bh_isolation *q, const char *ns, const char *name,
			 const char *reason, const struct bh_caller *by, json_t **ret_receipt,
			 struct bh_err *err);
/* The runtime says that the pod has this uid now: where it is on the node's network and cut off, it
 * is so also there. */
void bh_isolation_follow(struct bh_isolation *q, const char *ns, const char *name, const char *uid);
/* Looks whether hostNetwork pods that are cut off have come back under another cgroup. */
void bh_isolation_sweep(struct bh_isolation *q);
/* Rows of `quarantine --list`. */
json_t *bh_isolation_list(const struct bh_isolation *q);
bool bh_isolation_has(const struct bh_isolation *q, const char *ns, const char *name);
/* Whether a cut that the daemon decides on itself says more than what is there: an operator's own
 * stays as it is, and only a doubt gives way to what is none. */
bool bh_isolation_may_cut(const struct bh_isolation *q, const char *ns, const char *name,
			  bool is_doubt);
/* Makes a record, without an end, for a pod that the kernel has cut off and no record names. */
int bh_isolation_recover(struct bh_isolation *q, const char *ns, const char *name,
			 struct bh_err *err);
/* Slot flags an endpoint of this pod must start with, and its allow-list put in place. */
int bh_isolation_prepare(struct bh_isolation *q, struct bh_endpoint *ep, uint32_t *ret_flags,
			 struct bh_err *err);
/* "CIDR[:PORT/PROTO]", also an address alone; IPv6 may stand in brackets. */
int bh_qallow_parse(const char *text, struct bh_qallow_entry *ret, struct bh_err *err);
