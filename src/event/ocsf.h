/* ocsf.h - what happened > one JSON object of the Open Cybersecurity Schema Framework,
 * version 1.5.0 (schema.ocsf.io/1.5.0), profiles host, container and security_control.
 *
 *   1001 file system activity   a pod wrote, made, renamed, linked or read a file that matters
 *   1002 kernel extension       a pod loaded a kernel module
 *   1003 kernel activity        a system call worth knowing (Invoke)
 *   1005 module activity        a file or memory became executable (Load)
 *   1006 scheduled job          the same as 1001 where cron, at or systemd look for jobs
 *   1007 process activity       an executable started in a pod (Launch); ocsf_process.h
 *   2003 compliance finding     how a pod is made is not what is recommended
 *   2004 detection finding      a detector raised it (Create) or saw it again graver (Update)
 *   4001 network activity       an edge allowed (Open) or denied (Refuse)
 *   4003 DNS activity           a pod asked for a name (Query), its first answer (Response)
 *   5002 device config state    a policy, an exception, an image verdict changed (Log)
 *   6002 application lifecycle  a pod's interface opened or went, the daemon started or stopped
 *   7003 process remediation    a process was killed (Evict)
 *   7004 network remediation    quarantine (Isolate), release (Restore)
 *
 * What the schema has no place for is in "unmapped": {"bulkhead": {"pod": "NS/NAME", ...}}. Pure:
 * time and identity come from the caller. Text from outside is made valid UTF-8 without control
 * characters. Builders return an object the caller owns, or NULL when memory ran out. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "event/event.h"

#define BH_OCSF_VERSION "1.5.0"

enum bh_ocsf_class {
	BH_OCSF_FILE = 1001,
	BH_OCSF_EXTENSION = 1002,
	BH_OCSF_KERNEL = 1003,
	BH_OCSF_MODULE = 1005,
	BH_OCSF_JOB = 1006,
	BH_OCSF_PROCESS = 1007,
	BH_OCSF_FINDINGS = 2, /* of any kind: for filters only */
	BH_OCSF_COMPLIANCE = 2003,
	BH_OCSF_FINDING = 2004,
	BH_OCSF_NETWORK = 4001,
	BH_OCSF_DNS = 4003,
	BH_OCSF_CONFIG = 5002,
	BH_OCSF_LIFECYCLE = 6002,
	BH_OCSF_KILL = 7003,
	BH_OCSF_REMEDIATION = 7004,
};

/* The source of events. Strings are borrowed. */
struct bh_ocsf {
	const char *node, *version; /* of the product */
	const char *instance;	    /* unique per start of the daemon; makes metadata.uid unique */
	uint64_t n;		    /* events built so far */
};

/* A pod; NULL where not known. */
struct bh_ocsf_pod {
	const char *ns, *name, *uid, *container_id;
	const char *image, *image_digest; /* as the pod names it; what it is */
	const char *container;		  /* name in the pod */
	const char *verdict;		  /* about its images: accept, reject, undecided */
	const char *owner_kind, *owner;	  /* workload */
	bool is_guessed;		  /* the workload is, from the pod's name */
};

/* The policy that decided, as its file says it; what is not known is NULL or 0. */
struct bh_ocsf_rule {
	const char *name; /* "RuntimePolicy shop/web" */
	const char *uid;  /* as the manifest has it */
	uint64_t version; /* of its text */
	const char *file;
	unsigned line; /* of the file */
};

/* What became of something. */
enum bh_ocsf_outcome {
	BH_OUTCOME_ALLOWED, /* nobody minds */
	BH_OUTCOME_ALERT,   /* told, and let be */
	BH_OUTCOME_BLOCKED, /* it was refused, or who did it killed */
	BH_OUTCOME_ISOLATED,
	BH_OUTCOME_RESTORED,
};

/* More of a process that is known by its number; 0 and NULL where it is not. */
struct bh_ocsf_who {
	uint64_t exec_id, parent_exec_id;
	const char *provenance; /* of its executable */
	const char *sha256;	/* of the same, in hex */
};

/* Who asked for something. */
struct bh_ocsf_actor {
	bool is_known; /* false: the daemon by itself */
	pid_t pid;
	uid_t uid;
	const char *exe;
};

struct bh_ocsf_edge {
	int64_t time_ms; /* Unix time in ms, here and below */
	const struct bh_edge_event *event;
	struct bh_ocsf_pod pod;
	const struct bh_ip *local; /* the pod's address; NULL: not known */
	const char *peer;	   /* "NS/NAME" of the other pod, or a service's; NULL: not a pod */
	const char *rule;	   /* "NetworkPolicy ns/name egress[0]", "default" or NULL */
	const char *place;	   /* "file:line", or NULL */
	uint64_t packets, bytes;
	struct bh_ocsf_who who; /* event->pid is */
};
json_t *bh_ocsf_edge(struct bh_ocsf *o, const struct bh_ocsf_edge *e);

enum bh_ocsf_change {
	BH_CHANGE_ADDED,
	BH_CHANGE_CHANGED,
	BH_CHANGE_REMOVED,
	BH_CHANGE_REFUSED,  /* its last good version, if any, stays in force */
	BH_CHANGE_EXPIRING, /* a rule's expiry is near */
	BH_CHANGE_EXPIRED,
	BH_CHANGE_FAILED, /* it could not be published to the kernel */
};
struct bh_ocsf_config {
	int64_t time_ms;
	enum bh_ocsf_change change;
	const char *object; /* "NetworkPolicy shop/web" */
	const char *place;  /* "file:line" of it, or NULL */
	const char *text;   /* one sentence more, or NULL */
	uint64_t revision;
	struct bh_ocsf_actor actor;
	struct bh_ocsf_pod pod; /* name NULL: it is about none */
};
json_t *bh_ocsf_config(struct bh_ocsf *o, const struct bh_ocsf_config *c);

enum bh_ocsf_life { BH_LIFE_STARTED, BH_LIFE_STOPPED, BH_LIFE_REFUSED, BH_LIFE_CHANGED };
struct bh_ocsf_lifecycle {
	int64_t time_ms;
	enum bh_ocsf_life life;
	struct bh_ocsf_pod pod; /* name NULL: the daemon itself */
	const char *text;	/* one sentence more, or NULL */
	const json_t *details;	/* borrowed; added to unmapped.bulkhead; NULL: none */
};
json_t *bh_ocsf_lifecycle(struct bh_ocsf *o, const struct bh_ocsf_lifecycle *l);

struct bh_ocsf_quarantine {
	int64_t time_ms;
	bool is_release;
	struct bh_ocsf_pod pod;
	const char *reason;
	const char *failure;   /* sentence when it did not work; NULL: success */
	const json_t *receipt; /* borrowed; NULL: none */
	struct bh_ocsf_actor actor;
	struct bh_ocsf_rule rule; /* that asks for it; name NULL: a person does */
	const char *correlation;  /* the same for isolation and release; with a finding: its */
};
json_t *bh_ocsf_quarantine(struct bh_ocsf *o, const struct bh_ocsf_quarantine *q);

/* ---- choosing ---- */

struct bh_event_filter {
	int64_t since_ms; /* INT64_MIN: all */
	int class_uid;	  /* 0: all */
	const char *pod;  /* "NS/NAME", matched against both ends; NULL: all */
};
/* Whether class_uid is the wanted class, or of it when that is BH_OCSF_FINDINGS. */
bool bh_ocsf_is_class(int64_t wanted, int64_t class_uid);
bool bh_event_matches(const struct bh_event_filter *f, const json_t *event);
/* "network_activity", "Network Activity", "4001", or a short word (network, dns, policy,
 * pod, process, quarantine) > class. -EINVAL with the possible names. */
int bh_ocsf_class_parse(const char *name, int *ret_class_uid, struct bh_err *err);
