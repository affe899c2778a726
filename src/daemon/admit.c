#include "daemon/admit.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/images.h"
#include "daemon/isolate.h"
#include "daemon/journal.h"
#include "daemon/runtime.h"
#include "net/neigh.h"

#define MAX_TIMEOUT_MS 600000
#define SETTLE_S       10 /* by then a plugin that was told has printed its result, or has failed */

/* An ADD that waits for its publish and for the verdict about its images. Freed by whoever answers
 * first: the later of the two, a refusal, deadline, hang-up. */
struct pending_add {
	struct bh_daemon *d;
	struct bh_request *rq;
	struct bh_source *deadline;
	uint32_t slot;
	uint64_t serial;
	bool will_open; /* the plugin sends cni.open; one of an older version does not */
	bool is_published, is_judged;
	struct bh_image_wait *images;
};

static void pending_free(struct pending_add *p)
{
	bh_reconcile_forget(p->d->reconciler, p);
	bh_images_forget(p->images);
	bh_source_free(p->deadline);
	free(p);
}

/* The endpoint this ADD made, NULL when a DEL took it meanwhile. */
static struct bh_endpoint *pending_endpoint(const struct pending_add *p)
{
	struct bh_endpoint *ep = bh_endpoint_table_slot(&p->d->endpoints, p->slot);

	return ep && ep->serial == p->serial ? ep : NULL;
}

void bh_admit_shut(struct bh_daemon *d, struct bh_endpoint *ep)
{
	ep->is_refused = true;
	ep->is_open = false;
	bh_datapath_set_flags(d->dp, ep->slot, BH_SLOT_SHUT, 0);
	bh_daemon_save_endpoint(d, ep);
}

void bh_admit_refuse(struct bh_daemon *d, struct bh_endpoint *ep)
{
	ep->add = BH_ADD_PENDING;
	bh_admit_shut(d, ep);
	bh_journal_endpoint(d->journal, ep, "refused");
}

/* The ADD has failed or was given up: the interface stays shut until DEL, whatever is published. */
static void refuse(const struct pending_add *p)
{
	struct bh_endpoint *ep = pending_endpoint(p);

	if (ep)
		bh_admit_refuse(p->d, ep);
}

/* Answered to the plugin from now on, one way or the other. */
static int open_up(struct bh_daemon *d, struct bh_endpoint *ep, struct bh_err *err)
{
	struct bh_err ignored;
	int r;

	ep->add = BH_ADD_TOLD;
	ep->told_s = bh_uptime_s();
	r = bh_reconcile_open(d->reconciler, ep);
	if (r < 0) {
		bh_admit_refuse(d, ep);
		return bh_fail_sys(err, -r, "open interface '%s'", ep->host_ifname);
	}
	/* Only time is lost when this fails. */
	bh_neigh_forget_pending(ep->netns, NULL, &ignored);
	return 0;
}

static void answer_add(struct pending_add *p, struct bh_endpoint *ep)
{
	struct bh_err err = {0};

	ep->is_covered = true;
	if (!p->will_open && open_up(p->d, ep, &err) < 0) {
		bh_request_fail(p->rq, &err, true);
		return;
	}
	bh_request_reply(p->rq, json_pack("{si sI sI}", "slot", (int)ep->slot, "revision",
					  (json_int_t)bh_reconcile_state(p->d->reconciler).revision,
					  "serial", (json_int_t)ep->serial));
}

static void fail_add(struct pending_add *p, const struct bh_err *err, bool retry)
{
	refuse(p);
	bh_request_fail(p->rq, err, retry);
	pending_free(p);
}

static void finish_add(struct pending_add *p)
{
	struct bh_endpoint *ep = pending_endpoint(p);
	struct bh_err gone = {0};

	if (!ep) {
		bh_fail(&gone, ECANCELED, "the container was deleted meanwhile");
		fail_add(p, &gone, true);
		return;
	}
	if (!p->is_published || !p->is_judged)
		return;
	answer_add(p, ep);
	pending_free(p);
}

static void on_published(int r, const struct bh_err *err, void *arg)
{
	struct pending_add *p = arg;

	p->is_published = true;
	if (r < 0 && pending_endpoint(p))
		fail_add(p, err, true);
	else
		finish_add(p);
}

/* The pod starts, but cut off, before anything has opened it. */
static int cut_off(struct pending_add *p, const struct bh_image_said *said, struct bh_err *err)
{
	const struct bh_endpoint *ep = pending_endpoint(p);
	struct bh_caller self = {.pid = getpid(), .uid = 0, .exe = "bulkheadd"};
	struct bh_isolate_request rq = {.reason = said->text, .is_doubt = said->is_doubt};
	BH_CLEANUP(bh_images_blame_done) struct bh_images_blame blame = {0};

	/* an operator's own quarantine stays as it is */
	if (!ep || !bh_isolation_may_cut(p->d->isolation, ep->ns, ep->name, said->is_doubt))
		return 0;
	rq.ns = ep->ns;
	rq.name = ep->name;
	bh_images_blame(p->d->images, said, ep->ns, ep->name, &blame);
	rq.rule = &blame.rule;
	rq.finding = blame.finding;
	return bh_isolate_now(p->d->isolation, &rq, &self, err);
}

static void on_judged(const struct bh_image_said *said, void *arg)
{
	struct pending_add *p = arg;
	struct bh_err err = {0};

	p->images = NULL;
	p->is_judged = true;
	if (said->outcome == BH_IMAGES_QUARANTINE && cut_off(p, said, &err) < 0) {
		fail_add(p, &err, true);
	} else if (said->outcome >= BH_IMAGES_RETRY) {
		bh_fail(&err, said->outcome == BH_IMAGES_RETRY ? EAGAIN : EPERM, "%s", said->text);
		fail_add(p, &err, said->outcome == BH_IMAGES_RETRY);
	} else {
		finish_add(p);
	}
}

static void on_deadline(void *arg)
{
	struct pending_add *p = arg;
	struct bh_err err = {0};

	bh_fail(&err, ETIMEDOUT, "the pod's %s in time",
		p->is_published ? "images were not judged" : "table was not live");
	fail_add(p, &err, true);
}

static void on_gone(struct bh_request *rq, void *arg)
{
	(void)rq;
	refuse(arg);
	pending_free(arg);
}

struct add_terms {
	int64_t timeout_ms;
	bool will_open;
};

static int await_publish(struct bh_daemon *d, struct bh_request *rq, const struct bh_endpoint *ep,
			 const struct add_terms *terms, struct bh_err *err)
{
	struct pending_add *p = calloc(1, sizeof(*p));
	struct bh_image_wait *images = NULL;
	int r;

	if (!p)
		return bh_fail(err, ENOMEM, "no memory for one more ADD");
	*p = (struct pending_add){.d = d,
				  .rq = rq,
				  .slot = ep->slot,
				  .serial = ep->serial,
				  .will_open = terms->will_open};
	r = bh_loop_timer(d->loop, (uint64_t)terms->timeout_ms, 0, on_deadline, p, &p->deadline,
			  err);
	if (!r && bh_reconcile_then(d->reconciler, on_published, p))
		r = bh_fail(err, ENOMEM, "no memory for one more ADD");
	if (r < 0) {
		pending_free(p);
		return r;
	}
	bh_request_on_gone(rq, on_gone, p);
	bh_images_expect(d->images);
	r = bh_images_ask(
		d->images,
		&(struct bh_image_subject){.ns = ep->ns, .name = ep->name, .uid = ep->uid},
		&(struct bh_images_listener){on_judged, p}, &images, err);
	if (r < 0)
		fail_add(p, err, true);
	else if (images) /* else on_judged was called, and p may be gone */
		p->images = images;
	return 0;
}

static int copy_arg(const json_t *args, const char *key, bool required, char **ret,
		    struct bh_err *err)
{
	const char *text = NULL;
	int r = 0;

	if (!json_is_null(json_object_get(args, key)))
		r = bh_json_get_str(args, key, required, &text, err);
	if (r < 0 || !text)
		return r;
	*ret = bh_strf("%s", text);
	return *ret ? 0 : bh_fail(err, ENOMEM, "'%s'", key);
}

static int read_labels_and_ips(const json_t *args, struct bh_endpoint *ep, struct bh_err *err)
{
	json_t *labels = NULL, *addresses = NULL;
	int r = 0;

	if (!json_is_null(json_object_get(args, "labels")))
		r = bh_json_get_arr(args, "labels", false, &labels, err);
	if (!r)
		r = bh_json_get_arr(args, "addresses", true, &addresses, err);
	if (!r && labels)
		r = bh_endpoint_set_labels(ep, labels, err);
	if (!r)
		r = bh_endpoint_set_ips(ep, addresses, err);
	return r;
}

static int read_add(const json_t *args, struct bh_endpoint *ep, struct bh_err *err)
{
	const struct {
		const char *key;
		bool required;
		char **ret;
	} f[] = {
		{"containerId", true, &ep->container_id},
		{"ifname", true, &ep->ifname},
		{"netns", true, &ep->netns},
		{"podNamespace", true, &ep->ns},
		{"podName", true, &ep->name},
		{"podUid", false, &ep->uid},
		{"network", false, &ep->network},
		{"cgroupPath", false, &ep->cgroup_path},
	};

	for (size_t i = 0; i < BH_ARRAY_SIZE(f); i++) {
		int r = copy_arg(args, f[i].key, f[i].required, f[i].ret, err);

		if (r < 0)
			return r;
	}
	return read_labels_and_ips(args, ep, err);
}

/* What the interface really is; prevResult's word is not taken for it. */
static int read_interface(struct bh_endpoint *ep, struct bh_err *err)
{
	struct bh_link link;
	uint64_t own = 0;
	int r = bh_link_read(ep->netns, ep->ifname, &link, err);

	if (!r)
		r = bh_netns_cookie("/proc/self/ns/net", &own, err);
	if (r < 0)
		return r;
	if (own == link.cookie)
		return bh_fail(err, EINVAL, "'%s' is the node's own network namespace", ep->netns);
	ep->cookie = link.cookie;
	ep->ifindex = link.host_ifindex;
	ep->nsid = link.nsid;
	ep->has_mac = link.has_mac;
	memcpy(ep->mac, link.mac, sizeof(ep->mac));
	snprintf(ep->host_ifname, sizeof(ep->host_ifname), "%s", link.host_name);
	return 0;
}

bool bh_admit_is_there(const struct bh_endpoint *ep)
{
	uint64_t cookie = 0;
	struct bh_err err;

	if (!bh_link_exists(ep->ifindex))
		return false;
	/* The namespace file may be gone while processes keep the namespace; the link decides. */
	return !ep->netns || bh_netns_cookie(ep->netns, &cookie, &err) || cookie == ep->cookie;
}

/* The runtime has let go of a sandbox whose namespace file is gone. Processes that keep the
 * namespace itself stay shut in it, without the address that now is another pod's. */
static bool is_abandoned(const struct bh_endpoint *ep)
{
	uint64_t cookie;
	struct bh_err err;

	return ep->netns && bh_netns_cookie(ep->netns, &cookie, &err) == -ENOENT;
}

static void take_address(struct bh_daemon *d, struct bh_endpoint *from, const struct bh_ip *ip)
{
	size_t n = 0;

	for (size_t i = 0; i < from->n_ips; i++) {
		if (bh_ip_cmp(&from->ips[i], ip))
			from->ips[n++] = from->ips[i];
	}
	from->n_ips = n;
	bh_admit_shut(d, from);
	bh_journal_endpoint(d->journal, from, "shut");
}

/* An address whose owner vanished is free. */
static int claim_address(struct bh_daemon *d, const struct bh_endpoint *ep, const struct bh_ip *ip,
			 struct bh_err *err)
{
	struct bh_endpoint *old = bh_endpoint_table_ip(&d->endpoints, ip);
	char text[BH_IP_TEXT];

	if (!old || old->cookie == ep->cookie)
		return 0;
	if (!bh_admit_is_there(old))
		return bh_daemon_drop_endpoint(d, old, err);
	if (!is_abandoned(old))
		return bh_fail(err, EADDRINUSE, "address %s belongs to pod '%s/%s'",
			       bh_ip_format(ip, text), old->ns, old->name);
	take_address(d, old, ip);
	return 0;
}

static int find_orphan(uint32_t slot, const struct bh_slot *entry, void *arg)
{
	struct bh_endpoint *ep = arg;

	if (entry->ifindex != ep->ifindex)
		return 0;
	ep->slot = slot;
	ep->generation = entry->generation;
	ep->is_quarantined = entry->flags & BH_SLOT_QUARANTINE;
	return 1;
}

/* A slot that serves the interface already is taken over with its programs: taking it away first
 * would leave the interface without enforcement for a moment. */
static void inherit_slot(struct bh_daemon *d, struct bh_endpoint *ep)
{
	struct bh_endpoint *old = bh_endpoint_table_ifindex(&d->endpoints, ep->ifindex);

	if (!old) {
		if (d->endpoints.n_orphans && bh_datapath_slots(d->dp, find_orphan, ep))
			bh_endpoint_table_orphan(&d->endpoints, ep->slot, false);
		ep->owns_cookie = !bh_endpoint_table_cookie(&d->endpoints, ep->cookie);
		return;
	}
	ep->slot = old->slot;
	ep->generation = old->generation;
	ep->owns_cookie = old->owns_cookie;
	bh_daemon_forget_endpoint(d, old);
}

/* Makes way: what a repeated ADD or a new owner of an address or interface finds in place. */
static int clear_conflicts(struct bh_daemon *d, struct bh_endpoint *ep, struct bh_err *err)
{
	struct bh_endpoint *old =
		bh_endpoint_table_find(&d->endpoints, ep->container_id, ep->ifname);

	if (old && old->ifindex != ep->ifindex && bh_daemon_drop_endpoint(d, old, err) < 0)
		return err->code;
	for (size_t i = 0; i < ep->n_ips; i++) {
		int r = claim_address(d, ep, &ep->ips[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}

int bh_admit_attach(struct bh_daemon *d, struct bh_endpoint *ep, struct bh_err *err)
{
	struct bh_attach a = {
		.slot = ep->slot,
		.generation = ep->generation,
		.ifindex = ep->ifindex,
		.nsid = ep->nsid,
		.cookie = ep->cookie,
		.has_mac = ep->has_mac,
		.ips = ep->ips,
		.n_ips = ep->n_ips,
		.owns_cookie = ep->owns_cookie,
	};
	uint32_t flags = 0;
	int r = bh_isolation_prepare(d->isolation, ep, &flags, err);

	if (r < 0)
		return r;
	memcpy(a.mac, ep->mac, sizeof(a.mac));
	a.flags = BH_SLOT_SHUT | flags;
	bh_runtime_endpoint_comes(d->runtime, ep);
	return bh_datapath_attach(d->dp, &a, err);
}

/* Into table and database, before the kernel: what it serves is always in a record. A slot changes
 * hands in one transaction. */
static int enrol(struct bh_daemon *d, struct bh_endpoint **take_ep, bool *ret_has_inherited,
		 struct bh_err *err)
{
	struct bh_endpoint *ep = *take_ep;
	struct bh_err trouble = {0};
	bool has_batch = !bh_store_begin(d->store, &trouble);
	int r;

	inherit_slot(d, ep);
	*ret_has_inherited = ep->slot;
	r = bh_endpoint_table_add(&d->endpoints, take_ep, err);
	if (r < 0) {
		if (has_batch)
			bh_store_rollback(d->store);
		return r;
	}
	bh_daemon_save_endpoint(d, ep);
	if (has_batch && bh_store_commit(d->store, &trouble) < 0) {
		ep->is_unsaved = true;
		bh_daemon_store_failed(d, &trouble);
	}
	return 0;
}

/* Registers and attaches; on failure nothing of it is left but, where it got that far, a shut
 * interface that its DEL takes away. */
static int admit(struct bh_daemon *d, const json_t *args, struct bh_endpoint **ret,
		 struct bh_err *err)
{
	BH_CLEANUP(bh_endpoint_freep) struct bh_endpoint *ep = bh_endpoint_new();
	struct bh_endpoint *kept = ep;
	bool changed, has_inherited = false;
	int r;

	if (!ep)
		return bh_fail(err, ENOMEM, "endpoint");
	r = read_add(args, ep, err);
	if (!r)
		r = read_interface(ep, err);
	if (!r)
		r = bh_daemon_refresh_addresses(d, &changed, err);
	if (!r)
		r = clear_conflicts(d, ep, err);
	if (r < 0)
		return r;
	ep->since_s = bh_now_s();
	r = enrol(d, &ep, &has_inherited, err);
	if (r < 0)
		return r;
	if (kept->is_quarantined && !bh_isolation_has(d->isolation, kept->ns, kept->name))
		r = bh_isolation_recover(d->isolation, kept->ns, kept->name, err);
	if (!r)
		r = bh_admit_attach(d, kept, err);
	/* An earlier ADD that failed, or a DEL, left the link down. */
	if (!r)
		r = bh_link_set_up(kept->ifindex, true, err);
	if (r < 0 && has_inherited) {
		bh_admit_shut(d, kept);
		return r;
	}
	if (r < 0) {
		struct bh_err ignored;

		bh_daemon_drop_endpoint(d, kept, &ignored);
		return r;
	}
	bh_journal_endpoint(d->journal, kept, "registered");
	*ret = kept;
	return 0;
}

void bh_admit_add(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	struct bh_endpoint *ep = NULL;
	struct bh_err err = {0};
	struct add_terms terms = {.timeout_ms = 30000};
	int r = bh_json_get_int(args, "timeoutMs", false, 1, MAX_TIMEOUT_MS, &terms.timeout_ms,
				&err);

	if (!r)
		r = bh_json_get_bool(args, "willOpen", false, &terms.will_open, &err);
	if (!r)
		r = admit(d, args, &ep, &err);
	if (!r) {
		r = await_publish(d, rq, ep, &terms, &err);
		if (r < 0)
			bh_admit_shut(d, ep);
	}
	if (r < 0)
		bh_request_fail(rq, &err, r == -ENOMEM || r == -EAGAIN || r == -EBUSY);
}

static int find_added(struct bh_daemon *d, const json_t *args, struct bh_endpoint **ret,
		      struct bh_err *err)
{
	const char *id = NULL, *ifname = NULL;
	struct bh_endpoint *ep;
	int64_t serial = 0;
	int r = bh_json_get_str(args, "containerId", true, &id, err);

	if (!r)
		r = bh_json_get_str(args, "ifname", true, &ifname, err);
	if (!r)
		r = bh_json_get_int(args, "serial", true, 1, INT64_MAX, &serial, err);
	if (r < 0)
		return r;
	ep = bh_endpoint_table_find(&d->endpoints, id, ifname);
	if (!ep || ep->serial != (uint64_t)serial)
		return bh_fail(err, ECANCELED,
			       "the container was deleted or added again meanwhile");
	if (ep->is_refused || !ep->is_covered)
		return bh_fail(err, EAGAIN, "pod '%s/%s' is shut", ep->ns, ep->name);
	*ret = ep;
	return 0;
}

void bh_admit_open(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	struct bh_endpoint *ep = NULL;
	struct bh_err err = {0};
	int r = find_added(d, args, &ep, &err);

	if (!r && ep->add == BH_ADD_PENDING)
		r = open_up(d, ep, &err);
	if (r < 0)
		bh_request_fail(rq, &err, true);
	else
		bh_request_reply(rq, json_object());
}

void bh_admit_settle(struct bh_daemon *d, struct bh_endpoint *ep)
{
	struct bh_err err = {0};
	bool is_up = true;

	/* one that goes away right now is the sweep's */
	if (ep->add != BH_ADD_TOLD || bh_link_is_up(ep->ifindex, &is_up, &err) < 0)
		return;
	if (!is_up) {
		bh_warn("pod '%s/%s': its ADD failed after it was answered; it is shut", ep->ns,
			ep->name);
		bh_admit_refuse(d, ep);
	} else if (bh_uptime_s() - ep->told_s >= SETTLE_S) {
		ep->add = BH_ADD_DONE;
		bh_daemon_save_endpoint(d, ep);
	}
}
