/* runtime.h - RuntimePolicy: what the containers of some pods may execute, write, call and be.
 *
 * Sealed like the other objects of the model: built by one owner, immutable from then on, shared by
 * ref and unref. Whatever a section leaves out is not checked. Where several select a pod, what one
 * of them refuses is refused, and the strictest answer is given. */
#pragma once

#include "policy/model.h"

/* What is done about a finding; each includes telling. The later, the stricter. */
enum bh_response {
	BH_RESPOND_ALERT,
	BH_RESPOND_KILL,
	BH_RESPOND_FREEZE,
	BH_RESPOND_QUARANTINE,
	BH_RESPOND_COUNT,
};
/* "alert", "kill", "freeze", "quarantine". */
const char *bh_response_name(enum bh_response r);
/* -EINVAL when there is no such name. */
int bh_response_parse(const char *name, enum bh_response *ret);

/* Origins an executable may have, as RuntimePolicy writes them; bits of exec.origins. */
enum bh_origin {
	BH_ORIGIN_IMAGE = 1u << 0, /* untouched, or only its metadata copied up */
	BH_ORIGIN_MODIFIED = 1u << 1,
	BH_ORIGIN_NEW = 1u << 2,
	BH_ORIGIN_TMPFS = 1u << 3,
	BH_ORIGIN_MEMFD = 1u << 4,
	BH_ORIGIN_VOLUME = 1u << 5,
	BH_ORIGIN_OTHER = 1u << 6,
};

/* Off: what the workload never did before is no finding. Observe: it is one, as without a policy.
 * Required: it is a violation. */
enum bh_baseline_use { BH_BASELINE_OFF, BH_BASELINE_OBSERVE, BH_BASELINE_REQUIRED };

/* Lines of the sections, 0: not written. */
struct bh_runtime_lines {
	unsigned origin, allow, writable, syscalls, users, lifetime, baseline;
	unsigned violation, anomaly; /* of `on` */
};

struct bh_paths { /* absolute, sorted; a final '*' matches any rest */
	char **v;
	size_t n;
};

/* What one detector does instead of its default. */
struct bh_runtime_on {
	char *detector;
	enum bh_response response;
	unsigned line;
};

struct bh_runtime_policy {
	unsigned refs;
	char *ns, *name;
	char *uid; /* metadata.uid; NULL: the manifest has none */
	struct bh_selector pods;
	bool has_exec_origin, has_exec_allow;
	unsigned origins; /* enum bh_origin bits */
	struct bh_paths exec_allow;
	bool has_writable;
	struct bh_paths writable; /* these files, and everything below these directories */
	char **denied_syscalls;	  /* names, sorted */
	size_t n_denied_syscalls;
	uint32_t *denied_users;
	size_t n_denied_users;
	int64_t max_lifetime_s; /* 0: not limited */
	bool has_baseline;	/* else another policy of the pod may say */
	enum bh_baseline_use baseline;
	bool has_violation, has_anomaly;
	enum bh_response on_violation, on_anomaly;
	struct bh_runtime_on *on; /* sorted by detector */
	size_t n_on;
	char *file;
	struct bh_place place;
	struct bh_runtime_lines line;
	uint64_t tree_hash, text_hash; /* kept by the object set */
};

struct bh_runtime_policy *bh_runtime_policy_ref(struct bh_runtime_policy *p);
void bh_runtime_policy_unref(struct bh_runtime_policy *p);
void bh_runtime_policy_unrefp(struct bh_runtime_policy **p);
/* true when the pod, which must be running, is one of the policy's. */
bool bh_runtime_policy_selects(const struct bh_runtime_policy *p, const struct bh_pod *pod);
/* true when one of the paths is `path` itself, is a directory above it (is_tree), or ends in '*'
 * and is its beginning. */
bool bh_paths_have(const struct bh_paths *p, const char *path, bool is_tree);
/* true for the names that `on` may have besides violation and anomaly. */
bool bh_runtime_is_detector(const char *name);
/* The policies of one pod. */
struct bh_runtime_set {
	struct bh_runtime_policy *const *v;
	size_t n;
};
/* What is to be done about a finding, and who says so. */
struct bh_runtime_answer {
	enum bh_response response;
	const struct bh_runtime_policy *policy; /* borrowed */
	unsigned line;				/* of its file; 0: not known */
};
/* The strictest answer that one of them gives to a detector by its name, else to its kind
 * ("violation", "anomaly" or NULL); false when none of them says anything, *ret is as it was. */
bool bh_runtime_answer(const struct bh_runtime_set *set, const char *detector, const char *kind,
		       struct bh_runtime_answer *ret);
/* The strictest of what they say, observe where none says anything. */
enum bh_baseline_use bh_runtime_baseline_use(const struct bh_runtime_set *set);
/* What is written for this detector, NULL when there is nothing. */
const struct bh_runtime_on *bh_runtime_policy_on(const struct bh_runtime_policy *p,
						 const char *detector);
