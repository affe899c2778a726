/* ocsf_process.h - tracing events > OCSF objects; see ocsf.h. */
#pragma once

#include "event/ocsf.h"
#include "event/trace.h"

struct bh_ocsf_process {
	int64_t time_ms;
	const struct bh_trace_event *event; /* kind BH_TRACE_EXEC */
	struct bh_ocsf_pod pod;
	struct bh_ocsf_rule rule; /* that it breaks */
};
json_t *bh_ocsf_process(struct bh_ocsf *o, const struct bh_ocsf_process *p);

struct bh_ocsf_act {
	int64_t time_ms;
	const struct bh_trace_event
		*event;	  /* kind FILE (1001, 1006), MAP (1005) or CALL (1003, 1002) */
	const char *call; /* name of the system call, NULL: not known */
	struct bh_ocsf_pod pod;
	struct bh_ocsf_rule rule; /* that it breaks */
};
json_t *bh_ocsf_act(struct bh_ocsf *o, const struct bh_ocsf_act *a);

struct bh_ocsf_name {
	int64_t time_ms;
	const struct bh_trace_event *event; /* kind BH_TRACE_DNS (4003) */
	struct bh_ocsf_pod pod;
};
json_t *bh_ocsf_name(struct bh_ocsf *o, const struct bh_ocsf_name *x);

/* How it was found: OCSF's numbers. */
enum bh_ocsf_analytic { BH_ANALYTIC_RULE = 1, BH_ANALYTIC_BEHAVIOR, BH_ANALYTIC_STATISTICS };

/* The other end of a connection. */
struct bh_ocsf_far {
	struct bh_ip ip;
	uint8_t proto;
	uint16_t port; /* the responder's; 0: none */
	bool is_egress;
	const char *name; /* NULL or "": not known */
};

/* What all events about the same finding have in common, also after a restart: workload, detector
 * and key. The caller's; NULL without memory. */
char *bh_ocsf_finding_uid(const struct bh_ocsf_pod *pod, const char *detector, const char *key);

struct bh_ocsf_finding {
	int64_t time_ms;
	const char *detector, *title, *key, *text, *response;
	const char
		*answer; /* what is done about it, or why it is not; NULL: nothing was asked for */
	const char *const *attack; /* three ATT&CK ids, the rest NULL */
	const char *uid;	   /* bh_ocsf_finding_uid's */
	struct bh_ocsf_rule rule;  /* that it breaks, else that says how to answer */
	int severity;		   /* OCSF's numbers */
	uint64_t count;		   /* so often so far, */
	int64_t first_ms;	   /* since */
	enum bh_ocsf_analytic analytic;
	enum bh_ocsf_outcome outcome;
	const struct bh_ocsf_far *far; /* whom it talks with; NULL: it is not about that */
	bool is_new;
	bool is_posture;		    /* how the pod is made: class 2003 instead of 2004 */
	double score, usual;		    /* of an anomaly; 0: nothing was measured */
	const struct bh_trace_event *event; /* that raised it */
	struct bh_ocsf_pod pod;
};
json_t *bh_ocsf_finding(struct bh_ocsf *o, const struct bh_ocsf_finding *f);

/* A process that was killed by the kernel, at its exec or call, or by the daemon. */
enum bh_ocsf_kill_end {
	BH_KILL_DONE,
	BH_KILL_FAILED,
	BH_KILL_GONE, /* it had ended by itself */
};
struct bh_ocsf_kill {
	int64_t time_ms;
	const struct bh_trace_event *event; /* by the kernel: the exec or act; NULL: by the daemon,
					     * whose finding has put aside what follows: */
	const json_t *process, *details;    /* of bh_ocsf_suspect; borrowed */
	const char *reason;		    /* one sentence */
	enum bh_ocsf_kill_end end;
	const char *detail; /* one sentence more about the end; NULL: none */
	struct bh_ocsf_rule rule;
	const char *correlation; /* the finding's uid */
	struct bh_ocsf_pod pod;
};
/* Who did it, for an event that comes later: OCSF's process, and *ret_details what of it is ours.
 * Both are the caller's. */
json_t *bh_ocsf_suspect(const struct bh_trace_event *ev, json_t **ret_details);
json_t *bh_ocsf_kill(struct bh_ocsf *o, const struct bh_ocsf_kill *k);

/* Puts the digest of the executable (hex) where it belongs into an event of one of the builders
 * here; sha256 NULL: why there is none. */
void bh_ocsf_put_digest(json_t *event, const char *sha256, const char *why);
/* Tells the digest for an exec's event (borrowed) that was told without it: an event of class 1007
 * with activity 99 "Hash", the same process.uid, and "completes": metadata.uid of that event. */
json_t *bh_ocsf_late_digest(struct bh_ocsf *o, const json_t *event, const char *sha256,
			    int64_t time_ms);
