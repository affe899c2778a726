/* model.h - what policy is about: namespaces, pods, nodes, policies, rules, peers, ports.
 *
 * Every object is built by one owner, sealed, and from then on immutable and shared: ref/unref.
 * A struct bh_world is a snapshot: arrays of references plus the settings a decision depends on.
 * Both evaluators (policy/compile and refeval) start from a world and nothing else; time reaches
 * them as world->now_s. The model knows no files, sockets or clocks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ip.h"
#include "bulkhead/abi.h"

/* Where something was written: for messages and explain. file is borrowed from the object. */
struct bh_place {
	const char *file;   /* as given by the source; NULL: not from a file */
	unsigned line, col; /* from 1; 0: unknown */
};

struct bh_label {
	const char *key, *value;
};

/* Sorted by key, no duplicates. Strings are owned by the object that holds the set. */
struct bh_labels {
	struct bh_label *v;
	size_t n;
};
/* NULL when absent ("" is a value). */
const char *bh_labels_get(const struct bh_labels *l, const char *key);

enum bh_selector_op { BH_SEL_IN, BH_SEL_NOT_IN, BH_SEL_EXISTS, BH_SEL_ABSENT };

struct bh_requirement {
	char *key;
	char **values; /* sorted; only with IN and NOT_IN */
	uint32_t n_values;
	enum bh_selector_op op;
};

/* All requirements are ANDed; matchLabels are IN with one value. None: selects everything.
 * Requirements are sorted (key, op, values), so equal selectors have equal text. */
struct bh_selector {
	struct bh_requirement *v;
	size_t n;
	char *text; /* canonical form, unique per meaning as written; owned */
};
bool bh_selector_matches(const struct bh_selector *s, const struct bh_labels *l);
/* Brings requirements and values into canonical order, drops repeated ones and writes text. 0 or
 * -ENOMEM. Strings and arrays are from malloc. */
int bh_selector_seal(struct bh_selector *s);
void bh_selector_done(struct bh_selector *s);

enum bh_peer_kind {
	BH_PEER_PODS, /* namespace and/or pod selector */
	BH_PEER_CIDR,
};

struct bh_peer {
	enum bh_peer_kind kind;
	/* BH_PEER_PODS: has_namespaces false: the policy's own namespace. has_pods false: all pods.
	 * At least one of them is set. */
	bool has_namespaces, has_pods;
	struct bh_selector namespaces, pods;
	/* BH_PEER_CIDR */
	struct bh_cidr cidr;
	struct bh_cidr *excepts; /* each strictly inside cidr */
	size_t n_excepts;
	struct bh_place place; /* read it with bh_peer_place */
};

enum bh_port_kind {
	BH_PORT_ALL,   /* every port of proto */
	BH_PORT_RANGE, /* first..last, inclusive, 1-65535 */
	BH_PORT_NAMED, /* resolved on the destination pod, name and protocol must match */
};

struct bh_port {
	enum bh_port_kind kind;
	uint8_t proto; /* IPPROTO_TCP, UDP or SCTP */
	uint16_t first, last;
	char *name;
};

enum bh_action { BH_ACTION_ALLOW, BH_ACTION_DENY };

struct bh_reason_note { /* spec.reason or the bulkhead.io annotations; every text may be NULL */
	char *why, *use_case, *owner;
	int64_t expires_s; /* Unix time from which the rule does not exist; INT64_MAX: never */
};

struct bh_rule {
	enum bh_action action;
	/* all_peers: `from`/`to` absent or empty: every peer, pods or not. */
	bool all_peers;
	/* all_ports: `ports` absent or empty: every port of every protocol, ICMP too. */
	bool all_ports;
	/* inert: something in the rule is not understood. An Allow then matches nothing, a Deny
	 * matches every peer and port. */
	bool is_inert;
	unsigned index; /* position in ingress[] or egress[] */
	uint32_t n_peers, n_ports, n_processes;
	struct bh_peer *peers;
	struct bh_port *ports;
	char **processes;	      /* absolute paths; egress only; none: any executable */
	struct bh_reason_note reason; /* a policy-wide annotation is copied into each rule */
	struct bh_place place;	      /* read it with bh_rule_place */
};

enum bh_policy_kind { BH_NETWORK_POLICY, BH_SEGMENTATION_POLICY };

struct bh_policy {
	unsigned refs;
	enum bh_policy_kind kind;
	char *ns, *name;
	struct bh_selector pods;
	struct bh_rule *rules[2]; /* by enum bh_dir */
	uint32_t n_rules[2];
	bool applies[2];       /* by enum bh_dir: policyTypes after defaulting */
	bool keep_established; /* annotation bulkhead.io/established: keep */
	bool is_packed;	       /* see bh_policy_pack */
	bool has_wide_spots;
	char *file;
	struct bh_place place;
	/* For the object set: of the tree with places, and of the document's text; 0: not known. */
	uint64_t tree_hash, text_hash;
};
/* "NetworkPolicy" or "SegmentationPolicy". */
const char *bh_policy_kind_name(enum bh_policy_kind kind);

struct bh_named_port {
	char *name;
	uint8_t proto;
	uint16_t port;
};

/* What selectors and named ports can tell apart about a pod. Pods that agree in all of it share
 * one ident (interned by content), so that 100 000 pods cost a few hundred evaluations. */
struct bh_ident {
	unsigned refs;
	char *ns;
	struct bh_labels labels;
	struct bh_named_port *ports; /* sorted by name, proto, port; no duplicates */
	size_t n_ports;
	uint64_t hash;
};

enum bh_pod_phase { BH_POD_RUNNING, BH_POD_DONE }; /* DONE: Succeeded or Failed */

/* One block, as small as it gets: there may be a hundred thousand. */
struct bh_pod {
	unsigned refs;
	uint16_t n_ips;
	bool host_network;
	uint8_t phase; /* enum bh_pod_phase */
	char *name;
	struct bh_ident *ident; /* holds the namespace */
	char *uid;		/* NULL when not known */
	char *node;		/* spec.nodeName; NULL when not known */
	char *owner;		/* "Deployment/web" (policy/workload.h); NULL: no controller */
	char *sole;		/* "CONTAINER IMAGE" of its only container; NULL: has more */
	union {
		char *file; /* place.file; NULL: known from CNI only */
		struct bh_place place;
	};
	struct bh_ip ips[]; /* n_ips; name and uid are behind them */
};

struct bh_namespace {
	unsigned refs;
	char *name;
	bool is_implied;	 /* pods are in it, but no object describes it */
	struct bh_labels labels; /* always has kubernetes.io/metadata.name */
	char *file;
	struct bh_place place;
};

/* A snapshot. The arrays are sorted (namespaces by name; pods by namespace, name; policies by kind,
 * namespace, name), so equal worlds are equal byte for byte. A pod whose namespace has no object
 * has an implicit one: bh_world_seal adds it. */
struct bh_world {
	unsigned refs;
	struct bh_namespace **namespaces;
	size_t n_namespaces;
	struct bh_pod **pods;
	size_t n_pods;
	size_t n_sorted_pods; /* while building: so many at the front are in order, each once */
	struct bh_policy **policies;
	size_t n_policies;
	struct bh_ip *node_addresses; /* of this node, sorted */
	size_t n_node_addresses;
	bool default_allow; /* enforcement.default: kubernetes */
	int64_t now_s;	    /* Unix time the world is seen at */
	/* Once it is sealed these own the arrays and the references in them; before, the world
	 * does. Worlds of which neither has other pods (or namespaces, policies) share one. */
	struct bh_shelf *namespace_shelf, *pod_shelf, *policy_shelf;
};

/* Building: bh_world_new, then add (each add takes a reference of its own), then seal. */
int bh_world_new(struct bh_world **ret, struct bh_err *err);
int bh_world_add_namespace(struct bh_world *w, struct bh_namespace *ns);
int bh_world_add_pod(struct bh_world *w, struct bh_pod *pod);
int bh_world_add_policy(struct bh_world *w, struct bh_policy *p);
int bh_world_add_node_address(struct bh_world *w, const struct bh_ip *ip);
void bh_world_sort_node_addresses(struct bh_world *w);
/* Sorts, adds implicit namespaces. Of several pods (or namespaces, policies) of the same name the
 * one added last stays. After it the world is immutable. */
int bh_world_seal(struct bh_world *w, struct bh_err *err);
struct bh_world *bh_world_ref(struct bh_world *w);
void bh_world_unref(struct bh_world *w);
void bh_world_unrefp(struct bh_world **w);

/* Of a sealed world: the first moment behind now_s at which a rule ends; INT64_MAX: none does. */
int64_t bh_world_next_end(const struct bh_world *w);

const struct bh_namespace *bh_world_namespace(const struct bh_world *w, const char *name);
const struct bh_pod *bh_world_pod(const struct bh_world *w, const char *ns, const char *name);

/* Where a rule of p is written, or a peer of that rule. */
struct bh_place bh_rule_place(const struct bh_policy *p, enum bh_dir dir, const struct bh_rule *r);
struct bh_place bh_peer_place(const struct bh_policy *p, enum bh_dir dir, const struct bh_rule *r,
			      const struct bh_peer *peer);

/* A policy, its strings and arrays are from malloc, or it is packed; the last unref frees it. */
struct bh_policy *bh_policy_ref(struct bh_policy *p);
void bh_policy_unref(struct bh_policy *p);
/* Puts a policy whose only owner the caller is into little memory: what it has in common with other
 * packed ones (rule lists, peers, port lists, selectors, texts) is kept once for all of them. The
 * same content, elsewhere: pointers into the old one are void. 0, or -ENOMEM: all is as it was. */
int bh_policy_pack(struct bh_policy **p);
struct bh_pod *bh_pod_ref(struct bh_pod *p);
void bh_pod_unref(struct bh_pod *p);
struct bh_namespace *bh_namespace_ref(struct bh_namespace *n);
void bh_namespace_unref(struct bh_namespace *n);

/* Makes a pod. Strings, labels, ports and addresses are copied. labels and ports may be unsorted;
 * duplicates are removed (the last label wins). The ident is interned in the process-wide table of
 * idents and dropped with its last pod. */
struct bh_pod_init {
	const char *ns, *name, *uid, *node, *file, *owner, *sole;
	struct bh_labels labels;
	const struct bh_named_port *ports;
	size_t n_ports;
	const struct bh_ip *ips;
	size_t n_ips;
	bool host_network;
	enum bh_pod_phase phase;
	struct bh_place place;
};
int bh_pod_new(const struct bh_pod_init *init, struct bh_pod **ret, struct bh_err *err);
int bh_namespace_new(const char *name, const struct bh_labels *labels, struct bh_namespace **ret,
		     struct bh_err *err);

/* true when `pod` (running, not hostNetwork) is a subject of p in direction dir. */
bool bh_policy_selects(const struct bh_policy *p, const struct bh_pod *pod, enum bh_dir dir);
/* true when the rule exists at now_s. */
static inline bool bh_rule_lives(const struct bh_rule *r, int64_t now_s)
{
	return now_s < r->reason.expires_s;
}
