/* detect.h - activities > findings. A table of detectors (table.c) and the state they need.
 *
 * Pure: time comes with the activities. Memory is bounded by the options, whatever a pod does; what
 * does not fit is counted, never silently dropped. A finding is raised once per workload and key
 * and then rolled up with a count; nothing is muted by time. */
#pragma once

#include "detect/activity.h"
#include "policy/runtime.h"

struct bh_baseline;

enum bh_severity { /* numbers of OCSF */
		   BH_SEVERITY_NONE,
		   BH_SEVERITY_INFO,
		   BH_SEVERITY_LOW,
		   BH_SEVERITY_MEDIUM,
		   BH_SEVERITY_HIGH,
};

/* What a finding rests on. Two findings of different families are independent of each other. */
enum bh_signal {
	BH_SIGNAL_PROVENANCE, /* code that is not the image's */
	BH_SIGNAL_PROCESS,
	BH_SIGNAL_FILE,
	BH_SIGNAL_PRIVILEGE,
	BH_SIGNAL_SECRET,
	BH_SIGNAL_NETWORK,
	BH_SIGNAL_RESOURCE,
	BH_SIGNAL_BASELINE,
	BH_SIGNAL_POSTURE, /* how the pod is made; nothing happened */
	BH_SIGNAL_COUNT,
};

enum bh_detector_class {
	BH_DETECT_ALWAYS,    /* needs nothing */
	BH_DETECT_BASELINE,  /* needs a learnt baseline */
	BH_DETECT_CHAIN,     /* several activities together */
	BH_DETECT_VIOLATION, /* needs a RuntimePolicy */
};

struct bh_judge;

/* One row of the table. */
struct bh_detector {
	const char *name;	   /* "foreign-exec": what RuntimePolicy's `on` and users call it */
	const char *title;	   /* one line */
	uint32_t acts;		   /* 1 << enum bh_act, of every kind it looks at */
	const char *attack[3];	   /* ATT&CK technique ids */
	enum bh_severity severity; /* what it usually raises; one finding may be lower or higher */
	enum bh_response response; /* by default */
	enum bh_signal signal;
	enum bh_detector_class family;
	bool (*on)(struct bh_judge *j); /* true: raise what is in j */
};

extern const struct bh_detector bh_detectors[];
extern const size_t bh_n_detectors;
/* NULL when there is none of that name. */
const struct bh_detector *bh_detector_find(const char *name);

#define BH_FINDING_KEY	192
#define BH_FINDING_TEXT 512

/* Borrowed for the call. */
struct bh_finding {
	const struct bh_detector *detector;
	const struct bh_activity *activity; /* that raised it last */
	enum bh_severity severity;	    /* of this activity */
	enum bh_signal signal;		    /* mostly the detector's */
	enum bh_response response;	    /* of the RuntimePolicy, else the detector's */
	const char *key, *text;
	double score, usual; /* what was measured, and what is normal at most; 0: nothing was */
	/* that it breaks, else that says how to answer; NULL: none does */
	const struct bh_runtime_policy *policy;
	unsigned line;			   /* of its file; 0: not known */
	bool is_violation;		   /* it breaks the policy */
	uint64_t first_ns, last_ns, count; /* of workload and key */
	bool is_new;			   /* first of its workload and key */
	bool is_raised;			   /* new, or graver than any before: worth an event */
};

struct bh_detect_options {
	size_t max_workloads, max_findings; /* with findings, whose pods are gone make room;
					       findings: per workload */
	size_t max_pods;
	uint64_t start_ns; /* so long after its start a pod is starting */
	uint64_t busy_ns;  /* so long far above its normal is worth a finding */
	/* Called for each finding, rolled up ones too. */
	void (*on_finding)(const struct bh_finding *f, void *arg);
	void *arg;
};
/* Fills in what is 0. */
#define BH_DETECT_START_NS (60ull * 1000000000ull)
#define BH_DETECT_BUSY_NS  (300ull * 1000000000ull)

struct bh_detect;
int bh_detect_new(const struct bh_detect_options *opt, struct bh_detect **ret, struct bh_err *err);
void bh_detect_free(struct bh_detect *d);
void bh_detect_freep(struct bh_detect **d);

/* What is known about a pod. The policies get a reference each; the baseline, or NULL, is borrowed
 * until the next call for this pod or until the pod is gone. Returns 0 or -ENOMEM: then all is as
 * it was. */
struct bh_detect_pod {
	struct bh_runtime_set policies;
	struct bh_baseline *baseline;
};
int bh_detect_set_pod(struct bh_detect *d, const struct bh_subject *s,
		      const struct bh_detect_pod *pod);
/* The same for the baseline alone. */
int bh_detect_set_baseline(struct bh_detect *d, const struct bh_subject *s,
			   struct bh_baseline *baseline);
void bh_detect_pod_gone(struct bh_detect *d, uint64_t pod_id);

/* Runs every detector that looks at this kind of activity. */
void bh_detect_feed(struct bh_detect *d, const struct bh_activity *a);

/* Which of the pod's policies it breaks, the one that its finding will name: for whoever tells of
 * the activity itself. Raises nothing; a pod that is too old does nothing wrong by it. */
struct bh_detect_rule {
	const struct bh_runtime_policy *policy; /* borrowed until the pod gets others */
	unsigned line;				/* of its file; 0: not known */
};
bool bh_detect_broken(struct bh_detect *d, const struct bh_activity *a, struct bh_detect_rule *ret);

struct bh_detect_stats {
	uint64_t activities, findings, raised;
	uint64_t raised_by[BH_SEVERITY_HIGH + 1]; /* severity */
	uint64_t no_memory; /* activities judged without the state they would have needed */
	size_t n_workloads, n_pods, bytes;
};
void bh_detect_stats(const struct bh_detect *d, struct bh_detect_stats *ret);

/* Everything found about a workload so far; fn returns 0 to go on. */
struct bh_found {
	const struct bh_detector *detector;
	uint64_t workload;
	const char *key;
	enum bh_severity severity; /* highest */
	uint64_t first_ns, last_ns, count;
};
int bh_detect_each(const struct bh_detect *d, int (*fn)(const struct bh_found *f, void *arg),
		   void *arg);
/* true while the pod has raised something graver than informational since it began: what it does is
 * not to be learnt from. */
bool bh_detect_pod_is_suspect(const struct bh_detect *d, uint64_t pod_id);
/* true when something runs in the pod: whoever comes with the node's own tree of mounts then is no
 * container that begins. */
bool bh_detect_pod_has_container(const struct bh_detect *d, uint64_t pod_id);
