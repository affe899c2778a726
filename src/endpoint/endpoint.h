/* endpoint.h - one pod interface that CNI handed to us: identity, addresses, labels, state.
 *
 * Knows nothing of the kernel but the numbers it is known by there. An endpoint is shut from birth;
 * only daemon/reconcile opens it. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ip.h"
#include "policy/model.h"

/* How far its ADD has come. */
enum bh_add_state {
	BH_ADD_PENDING, /* the runtime has no answer yet; until then it stays shut */
	BH_ADD_TOLD,	/* open, and the plugin was told so; it may have failed since */
	BH_ADD_DONE,	/* the runtime has its success */
};

struct bh_endpoint {
	char *container_id, *ifname; /* together unique: the CNI attachment */
	char *ns, *name;	     /* the pod; several endpoints may share one */
	char *uid;		     /* NULL when the runtime gave none */
	char *netns;		     /* path as the runtime passed it */
	char *network;		     /* CNI network name */
	char *cgroup_path;	     /* pod-level cgroup below the hierarchy's root, NULL unknown */
	struct bh_labels labels;     /* from CNI args; strings owned */
	struct bh_ip *ips;
	size_t n_ips;
	uint8_t mac[6];
	bool has_mac;
	uint64_t cookie;  /* of the network namespace */
	uint32_t ifindex; /* host side */
	int32_t nsid;
	char host_ifname[16];
	uint32_t slot, generation; /* in the kernel's tables */
	bool is_open;		   /* false: shut */
	bool is_quarantined;
	bool is_refused; /* its ADD failed: it stays shut until DEL */
	bool is_covered; /* a publish had it in its tables */
	enum bh_add_state add;
	int64_t told_s;	  /* monotonic clock: TOLD since, as far as this daemon knows */
	bool owns_cookie; /* the pod's first interface: socket hooks find this slot */
	int64_t since_s;  /* Unix time of ADD */
	bool is_unsaved;  /* the database lacks its newest state */
	uint64_t serial;  /* of the ADD, counted from 1; 0: not in a table yet */
};

struct bh_endpoint *bh_endpoint_new(void);
void bh_endpoint_free(struct bh_endpoint *ep);
void bh_endpoint_freep(struct bh_endpoint **ep);

/* "shut", "open" or "quarantined". */
const char *bh_endpoint_state(const struct bh_endpoint *ep);
/* true for endpoints of the pod ns/name. */
bool bh_endpoint_is_pod(const struct bh_endpoint *ep, const char *ns, const char *name);
bool bh_endpoint_has_ip(const struct bh_endpoint *ep, const struct bh_ip *ip);

/* As stored across restarts, and back. The caller owns the result. */
int bh_endpoint_to_json(const struct bh_endpoint *ep, json_t **ret, struct bh_err *err);
int bh_endpoint_from_json(const json_t *j, struct bh_endpoint **ret, struct bh_err *err);
/* Fills addresses from a JSON array of texts; mac from "aa:bb:cc:dd:ee:ff" or NULL. */
int bh_endpoint_set_ips(struct bh_endpoint *ep, const json_t *texts, struct bh_err *err);
int bh_endpoint_set_mac(struct bh_endpoint *ep, const char *mac, struct bh_err *err);
/* Labels from [{"key","value"}]. */
int bh_endpoint_set_labels(struct bh_endpoint *ep, const json_t *list, struct bh_err *err);
