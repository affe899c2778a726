#include "daemon/runtime_hosts.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/hostnet.h"
#include "daemon/runtime_detect.h"
#include "datapath/trace.h"

struct host {
	struct bh_endpoint *ep; /* owned; NULL: the place is free */
	uint64_t cgroup;
	bool is_wanted; /* the pod is still there */
};

struct bh_runtime_hosts {
	struct bh_daemon *d;
	struct bh_trace *trace;
	struct bh_detection *detection;
	struct host host[BH_TRACE_HOST_SLOTS];
	uint32_t generation;
};

static struct host *host_of(struct bh_runtime_hosts *h, const struct bh_pod *pod)
{
	for (size_t i = 0; i < BH_TRACE_HOST_SLOTS; i++) {
		const struct bh_endpoint *ep = h->host[i].ep;

		if (ep && bh_endpoint_is_pod(ep, pod->ident->ns, pod->name) && ep->uid &&
		    pod->uid && strcmp(ep->uid, pod->uid) == 0)
			return &h->host[i];
	}
	return NULL;
}

static struct host *free_place(struct bh_runtime_hosts *h)
{
	for (size_t i = 0; i < BH_TRACE_HOST_SLOTS; i++)
		if (!h->host[i].ep)
			return &h->host[i];
	return NULL;
}

static struct bh_endpoint *endpoint_for(struct bh_runtime_hosts *h, const struct host *at,
					const struct bh_pod *pod)
{
	BH_CLEANUP(bh_endpoint_freep) struct bh_endpoint *ep = bh_endpoint_new();

	if (!ep)
		return NULL;
	ep->ns = bh_strf("%s", pod->ident->ns);
	ep->name = bh_strf("%s", pod->name);
	ep->uid = bh_strf("%s", pod->uid);
	if (!ep->ns || !ep->name || !ep->uid)
		return NULL;
	ep->slot = BH_MAX_SLOTS + (uint32_t)(at - h->host);
	ep->generation = ++h->generation;
	ep->since_s = bh_now_s();
	return BH_TAKE(ep);
}

static bool take_in(struct bh_runtime_hosts *h, const struct bh_pod *pod)
{
	struct host *at = free_place(h);
	BH_CLEANUP(bh_endpoint_freep) struct bh_endpoint *ep = NULL;
	BH_CLEANUP(bh_freep) char *dir = NULL;
	struct bh_err err;
	uint64_t cgroup;

	/* no cgroup: it runs on another node, or not yet */
	if (!at || bh_hostnet_find(h->d, &(struct bh_hostnet_who){pod->ident->ns, pod->name, NULL},
				   &dir, &cgroup, &err) < 0)
		return false;
	ep = endpoint_for(h, at, pod);
	if (!ep)
		return false;
	if (bh_trace_set_cgroup(h->trace, cgroup, ep->slot, ep->generation, &err) < 0) {
		bh_error("hostNetwork pod %s/%s is not traced: %s", ep->ns, ep->name, err.text);
		return false;
	}
	at->ep = BH_TAKE(ep);
	at->cgroup = cgroup;
	at->is_wanted = true;
	return true;
}

static void let_go(struct bh_runtime_hosts *h, struct host *at)
{
	struct bh_err ignored;

	bh_trace_set_cgroup(h->trace, at->cgroup, 0, 0, &ignored);
	bh_detection_pod_gone(h->detection, at->ep);
	bh_endpoint_freep(&at->ep);
	*at = (struct host){0};
}

/* Looking for its cgroup costs a walk, and a large cluster has thousands of them elsewhere. */
static bool may_be_here(const struct bh_runtime_hosts *h, const struct bh_pod *pod)
{
	return !pod->node || !*pod->node || strcmp(pod->node, h->d->cfg->node_name) == 0;
}

bool bh_runtime_hosts_refresh(struct bh_runtime_hosts *h)
{
	const struct bh_world *w = bh_reconcile_state(h->d->reconciler).world;
	bool has_come = false;

	for (size_t i = 0; i < BH_TRACE_HOST_SLOTS; i++)
		h->host[i].is_wanted = false;
	for (size_t i = 0; w && i < w->n_pods; i++) {
		const struct bh_pod *pod = w->pods[i];
		struct host *at;

		if (!pod->host_network || !pod->uid || pod->phase == BH_POD_DONE ||
		    !may_be_here(h, pod))
			continue;
		at = host_of(h, pod);
		if (at)
			at->is_wanted = true;
		else if (take_in(h, pod))
			has_come = true;
	}
	for (size_t i = 0; i < BH_TRACE_HOST_SLOTS; i++)
		if (h->host[i].ep && !h->host[i].is_wanted)
			let_go(h, &h->host[i]);
	return has_come;
}

const struct bh_endpoint *bh_runtime_hosts_at(const struct bh_runtime_hosts *h, uint32_t slot)
{
	return slot < BH_MAX_SLOTS || slot >= BH_TRACE_SLOTS ? NULL
							     : h->host[slot - BH_MAX_SLOTS].ep;
}

const struct bh_endpoint *bh_runtime_hosts_find(const struct bh_runtime_hosts *h, uint32_t slot,
						uint32_t generation)
{
	const struct bh_endpoint *ep = bh_runtime_hosts_at(h, slot);

	return ep && ep->generation == generation ? ep : NULL;
}

int bh_runtime_hosts_open(const struct bh_runtime_hosts_options *opt, struct bh_runtime_hosts **ret,
			  struct bh_err *err)
{
	struct bh_runtime_hosts *h = calloc(1, sizeof(*h));

	if (!h)
		return bh_fail(err, ENOMEM, "tracing of hostNetwork pods");
	h->d = opt->d;
	h->trace = opt->trace;
	h->detection = opt->detection;
	/* what a former daemon numbered is numbered anew */
	h->generation = (uint32_t)bh_now_s();
	*ret = h;
	return 0;
}

void bh_runtime_hosts_close(struct bh_runtime_hosts *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < BH_TRACE_HOST_SLOTS; i++)
		bh_endpoint_freep(&h->host[i].ep);
	free(h);
}
