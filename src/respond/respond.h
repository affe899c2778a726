/* respond.h - a finding and what its policy wants done > what is done, or why it is only told.
 *
 * Telling is always done. Beyond it an automatic answer must not do an intruder's work: it is
 * bounded per owner and hour, never takes away more than a share of an owner's replicas, leaves
 * exempt namespaces alone, and quarantine needs either code that is not the image's or two signals
 * of different families. An owner of a single pod has no share to keep: its pod may be isolated.
 * Everything it holds back is named, so that an operator sees what a dry run, or a larger budget,
 * would have done. Owners that had no answer within the hour are forgotten when there are too many.
 * Pure: time is that of the activities; the daemon acts.
 */
#pragma once

#include "detect/detect.h"

struct bh_respond_options {
	bool is_dry_run;	   /* decide everything, do nothing */
	const char *const *exempt; /* namespaces, NULL-terminated; borrowed for life; may be NULL */
	unsigned pods_per_hour;	   /* quarantined or frozen per owner */
	unsigned kills_per_hour;   /* per owner */
	unsigned node_per_hour;	   /* quarantined or frozen on this node */
	double least_share; /* of an owner's replicas that stays untouched; 1: nothing is isolated,
			       not even an owner's only pod */
	uint64_t window_ns; /* two signals so near each other count together; 0: ten minutes */
};

struct bh_respond;
int bh_respond_new(const struct bh_respond_options *opt, struct bh_respond **ret,
		   struct bh_err *err);
void bh_respond_free(struct bh_respond *r);
void bh_respond_freep(struct bh_respond **r);

/* What only the caller knows about the pod's owner. */
struct bh_replicas {
	unsigned all;	   /* that the owner has, as far as this node can know; 0 counts as 1 */
	unsigned isolated; /* quarantined or frozen ones among them */
	bool is_isolated;  /* this pod is one of those */
};

enum bh_held {
	BH_HELD_NOT,  /* do it */
	BH_HELD_WISH, /* nothing but telling was asked for */
	BH_HELD_DRY_RUN,
	BH_HELD_EXEMPT,	  /* the namespace is */
	BH_HELD_EVIDENCE, /* one signal that is not of provenance */
	BH_HELD_REPLICAS, /* too few would remain */
	BH_HELD_BUDGET,
	BH_HELD_DONE,	 /* the pod is isolated already */
	BH_HELD_TARGET,	 /* no process to kill is known */
	BH_HELD_POSTURE, /* how a pod is made is not an attack */
	BH_HELD_STOPPED, /* nothing is left to kill: the kernel did it */
};

#define BH_ANSWER_TEXT 512

struct bh_answer {
	enum bh_response wished, response; /* response is ALERT unless held is BH_HELD_NOT */
	enum bh_held held;
	bool is_news; /* the first time that this pod got this answer: worth an event */
	uint32_t pid; /* of the process to kill */
	char text[BH_ANSWER_TEXT]; /* one sentence: what and why, or why not, and who wants it */
};

/* Decides about one finding, and remembers it as evidence. What it decides to do counts against the
 * budget, in a dry run too. */
void bh_respond_decide(struct bh_respond *r, const struct bh_finding *f,
		       const struct bh_replicas *replicas, struct bh_answer *ret);
/* What was spent before this one began: the owner got that answer at ts_ns. Call it before any
 * decision, the oldest first. */
void bh_respond_spent(struct bh_respond *r, const struct bh_subject *s, enum bh_response response,
		      uint64_t ts_ns);
/* Forgets a pod's evidence. */
void bh_respond_pod_gone(struct bh_respond *r, uint64_t pod_id);
