/* runtime_detect.h - tracing events > activities > detectors > findings in the journal.
 * Apart from the rest of the daemon, whose policy tables have a struct bh_subject of their own. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/ip.h"
#include "event/ocsf_process.h"
#include "policy/runtime.h"

struct bh_daemon;
struct bh_journal;
struct bh_endpoint;
struct bh_detection;
struct bh_whose;
struct bh_baselines;
struct bh_containers;
struct bh_store;
struct bh_runtime_settings;
struct bh_activity;
struct bh_subject;

#define BH_WISH_TEXT 512

/* What a finding calls for, beyond telling. Called while an event is fed: it may only take note. */
struct bh_detection_wish {
	enum bh_response response;
	uint32_t pid;	  /* to kill, */
	uint64_t ts_ns;	  /* as it was then */
	const char *text; /* one sentence, for the record */
	/* all borrowed for the call: */
	const char *finding;		    /* its uid */
	const struct bh_trace_event *event; /* that raised it */
	struct bh_ocsf_rule rule;	    /* that wants it */
};
/* Of a pod's owner. */
struct bh_detection_replicas {
	unsigned all, isolated;
	bool is_isolated; /* the pod itself */
};
struct bh_detection_options {
	const struct bh_daemon *d;	  /* borrowed; asked for whose a pod is, and nothing else */
	struct bh_journal *journal;	  /* borrowed */
	struct bh_containers *containers; /* borrowed */
	struct bh_baselines *baselines;	  /* borrowed */
	struct bh_store *store;		  /* borrowed; what must survive us: what was answered */
	const struct bh_runtime_settings *settings; /* borrowed */
	void (*on_wish)(const struct bh_endpoint *ep, const struct bh_detection_wish *w, void *arg);
	/* the replicas of the endpoint's owner; what waits to be cut off counts as cut off */
	void (*count)(const struct bh_endpoint *ep, struct bh_detection_replicas *ret, void *arg);
	void *arg;
};

int bh_detection_open(const struct bh_detection_options *opt, struct bh_detection **ret,
		      struct bh_err *err);
void bh_detection_close(struct bh_detection *x);
/* Feeds one event of the endpoint's pod; wall_ms: Unix time of it. */
void bh_detection_feed(struct bh_detection *x, const struct bh_endpoint *ep,
		       const struct bh_trace_event *ev, int64_t wall_ms);
/* The policy that the event breaks, its name NULL when it breaks none. Borrowed until the next is
 * asked for. */
struct bh_ocsf_rule bh_detection_rule(struct bh_detection *x, const struct bh_endpoint *ep,
				      const struct bh_trace_event *ev, int64_t wall_ms);
/* The uid of the finding that says so of what was fed last, NULL: there is none. Borrowed until the
 * next is fed. */
const char *bh_detection_violation(const struct bh_detection *x);
/* The same of what was fed before, for the baseline alone. is_remembered: nobody knows when. */
void bh_detection_feed_again(struct bh_detection *x, const struct bh_endpoint *ep,
			     const struct bh_trace_event *ev, int64_t wall_ms, bool is_remembered);
/* The pod lives. */
void bh_detection_live(struct bh_detection *x, const struct bh_endpoint *ep, uint64_t ts_ns,
		       int64_t wall_ms);
/* System calls that a pod made for the first time, which bits of its filter of pairs are new, and
 * how many are set. */
struct bh_detection_calls {
	const uint64_t *set;
	size_t n_words;
	const uint8_t *new_pairs; /* NULL: none */
	unsigned all_pairs;
	bool is_repeat; /* none of them is new: for the baseline alone */
};
void bh_detection_feed_calls(struct bh_detection *x, const struct bh_endpoint *ep,
			     const struct bh_detection_calls *calls, uint64_t ts_ns,
			     int64_t wall_ms);
/* A quota of what is recorded of the pod, `what`, is used up. */
void bh_detection_feed_overflow(struct bh_detection *x, const struct bh_endpoint *ep,
				const char *what, uint64_t ts_ns, int64_t wall_ms);
/* Any other activity that no record is about; its subject is filled in. */
void bh_detection_feed_activity(struct bh_detection *x, const struct bh_endpoint *ep,
				struct bh_activity *a, int64_t wall_ms);
/* What a pod did in an interval. */
struct bh_detection_rate {
	uint64_t interval_ns, cpu_ns;
	uint64_t execs, connections, dns;
};
void bh_detection_feed_rate(struct bh_detection *x, const struct bh_endpoint *ep,
			    const struct bh_detection_rate *rate, uint64_t ts_ns, int64_t wall_ms);
/* Who talked with whom, for the first time. */
struct bh_detection_edge {
	bool is_egress, is_denied;
	uint8_t proto;
	uint16_t port; /* the responder's */
	struct bh_ip remote;
	uint32_t pid, uid;  /* 0: not known */
	const char *comm;   /* "" when not known */
	const char *peer;   /* "NS/NAME", "node" or an address */
	bool is_repeat;	    /* known before: for the baseline alone, which counts when it is seen */
	bool is_remembered; /* and nobody knows whether it was counted */
};
void bh_detection_feed_edge(struct bh_detection *x, const struct bh_endpoint *ep,
			    const struct bh_detection_edge *edge, uint64_t ts_ns, int64_t wall_ms);
/* The policies that the pod's acts are held against; they get references. */
void bh_detection_set_policies(struct bh_detection *x, const struct bh_endpoint *ep,
			       const struct bh_runtime_set *policies, int64_t wall_ms);
/* Whose doings at that moment are; borrows from ep and whose, which it fills. */
struct bh_detection_moment {
	uint64_t ts_ns;
	int64_t wall_ms;
};
void bh_detection_subject(const struct bh_detection *x, const struct bh_endpoint *ep,
			  const struct bh_detection_moment *at, struct bh_whose *whose,
			  struct bh_subject *ret);
/* true while the pod has an open finding: it is not learnt from. */
bool bh_detection_is_suspect(const struct bh_detection *x, const struct bh_endpoint *ep);
/* Findings told since the start, by OCSF's number of their severity. */
#define BH_SEVERITIES 5
void bh_detection_raised(const struct bh_detection *x, uint64_t ret[BH_SEVERITIES]);
void bh_detection_pod_gone(struct bh_detection *x, const struct bh_endpoint *ep);
