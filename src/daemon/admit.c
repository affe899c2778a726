#include "daemon/admit.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/isolate.h"
#include "daemon/journal.h"
#include "net/neigh.h"

#define MAX_TIMEOUT_MS 600000

/* An ADD that waits for its publish. Freed by whoever answers first: publish, deadline, hang-up. */
struct pending_add {
	struct bh_daemon *d;
	struct bh_request *rq;
	struct bh_source *deadline;
	uint32_t slot;
	uint64_t serial;
};

static void pending_free(struct pending_add *p)
{
	bh_reconcile_forget(p->d->reconciler, p);
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

/* The ADD has failed or was given up: the interface stays shut until DEL, whatever is published. */
static void refuse(const struct pending_add *p)
{
	struct bh_endpoint *ep = pending_endpoint(p);

	if (!ep)
		return;
	bh_admit_shut(p->d, ep);
	bh_journal_endpoint(p->d->journal, ep, "refused");
}

static void on_published(int r, const struct bh_err *err, void *arg)
{
	struct pending_add *p = arg;
	struct bh_endpoint *ep = pending_endpoint(p);
	struct bh_err gone = {0}, ignored;

	if (r < 0 || !ep) {
		if (!ep)
			bh_fail(&gone, ECANCELED, "the container was deleted meanwhile");
		refuse(p);
		bh_request_fail(p->rq, ep ? err : &gone, true);
	} else {
		/* Only time is lost when this fails. */
		bh_neigh_forget_pending(ep->netns, NULL, &ignored);
		bh_request_reply(
			p->rq,
			json_pack("{si sI}", "slot", (int)ep->slot, "revision",
				  (json_int_t)bh_reconcile_state(p->d->reconciler).revision));
	}
	pending_free(p);
}

static void on_deadline(void *arg)
{
	struct pending_add *p = arg;
	struct bh_err err = {0};

	bh_fail(&err, ETIMEDOUT, "the pod's table was not live in time");
	refuse(p);
	bh_request_fail(p->rq, &err, true);
	pending_free(p);
}

static void on_gone(struct bh_request *rq, void *arg)
{
	(void)rq;
	refuse(arg);
	pending_free(arg);
}

static int await_publish(struct bh_daemon *d, struct bh_request *rq, const struct bh_endpoint *ep,
			 int64_t timeout_ms, struct bh_err *err)
{
	struct pending_add *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return bh_fail(err, ENOMEM, "no memory for one more ADD");
	*p = (struct pending_add){.d = d, .rq = rq, .slot = ep->slot, .serial = ep->serial};
	r = bh_loop_timer(d->loop, (uint64_t)timeout_ms, 0, on_deadline, p, &p->deadline, err);
	if (!r && bh_reconcile_then(d->reconciler, on_published, p))
		r = bh_fail(err, ENOMEM, "no memory for one more ADD");
	if (r < 0) {
		pending_free(p);
		return r;
	}
	bh_request_on_gone(rq, on_gone, p);
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
	inherit_slot(d, ep);
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
	r = bh_datapath_attach(d->dp, &a, err);
	/* An earlier ADD that failed left the link down. */
	if (!r)
		r = bh_link_set_up(ep->ifindex, true, err);
	return r;
}

/* Registers and attaches; on failure nothing of it is left but, where it got that far, a shut
 * interface that its DEL takes away. */
static int admit(struct bh_daemon *d, const json_t *args, struct bh_endpoint **ret,
		 struct bh_err *err)
{
	BH_CLEANUP(bh_endpoint_freep) struct bh_endpoint *ep = bh_endpoint_new();
	struct bh_endpoint *kept = ep;
	bool changed, has_inherited;
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
	has_inherited = ep->slot;
	r = bh_endpoint_table_add(&d->endpoints, &ep, err);
	if (r < 0)
		return r;
	if (kept->is_quarantined && !bh_isolation_has(d->isolation, kept->ns, kept->name))
		r = bh_isolation_recover(d->isolation, kept->ns, kept->name, err);
	if (!r)
		r = bh_admit_attach(d, kept, err);
	if (r < 0 && has_inherited) {
		bh_admit_shut(d, kept);
		return r;
	}
	if (r < 0) {
		struct bh_err ignored;

		bh_daemon_drop_endpoint(d, kept, &ignored);
		return r;
	}
	bh_daemon_save_endpoint(d, kept);
	bh_journal_endpoint(d->journal, kept, "registered");
	*ret = kept;
	return 0;
}

void bh_admit_add(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	struct bh_endpoint *ep = NULL;
	struct bh_err err = {0};
	int64_t timeout_ms = 30000;
	int r = bh_json_get_int(args, "timeoutMs", false, 1, MAX_TIMEOUT_MS, &timeout_ms, &err);

	if (!r)
		r = admit(d, args, &ep, &err);
	if (!r) {
		r = await_publish(d, rq, ep, timeout_ms, &err);
		if (r < 0)
			bh_admit_shut(d, ep);
	}
	if (r < 0)
		bh_request_fail(rq, &err, r == -ENOMEM || r == -EAGAIN || r == -EBUSY);
}

/* Answers a DEL or GC once the pod's entries are gone from the published tables too. */
struct pending_reply {
	struct bh_daemon *d;
	struct bh_request *rq;
	json_t *result;
};

static void reply_anyway(int r, const struct bh_err *err, void *arg)
{
	struct pending_reply *p = arg;

	(void)r;
	(void)err;
	bh_request_reply(p->rq, p->result);
	free(p);
}

static void reply_gone(struct bh_request *rq, void *arg)
{
	struct pending_reply *p = arg;

	(void)rq;
	bh_reconcile_forget(p->d->reconciler, p);
	json_decref(p->result);
	free(p);
}

static void reply_after_publish(struct bh_daemon *d, struct bh_request *rq, json_t *take_result)
{
	struct pending_reply *p = malloc(sizeof(*p));

	if (!p || bh_reconcile_then(d->reconciler, reply_anyway, p)) {
		free(p);
		bh_request_reply(rq, take_result);
		return;
	}
	*p = (struct pending_reply){d, rq, take_result};
	bh_request_on_gone(rq, reply_gone, p);
}

void bh_admit_del(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	const char *id = NULL, *ifname = NULL;
	struct bh_endpoint *ep;
	struct bh_err err = {0};
	int r = bh_json_get_str(args, "containerId", true, &id, &err);

	if (!r)
		r = bh_json_get_str(args, "ifname", true, &ifname, &err);
	if (r < 0) {
		bh_request_fail(rq, &err, false);
		return;
	}
	ep = bh_endpoint_table_find(&d->endpoints, id, ifname);
	if (!ep) {
		bh_request_reply(rq, json_object());
		return;
	}
	r = bh_daemon_drop_endpoint(d, ep, &err);
	if (r < 0)
		bh_request_fail(rq, &err, true);
	else
		reply_after_publish(d, rq, json_object());
}

static int check_addresses(const struct bh_endpoint *ep, const json_t *addresses,
			   struct bh_err *err)
{
	for (size_t i = 0; i < json_array_size(addresses); i++) {
		const char *text = json_string_value(json_array_get(addresses, i));
		struct bh_ip ip;
		int r;

		if (!text)
			return bh_fail(err, EINVAL, "addresses[%zu]: expected a string", i);
		r = bh_ip_parse(text, &ip, err);
		if (r < 0)
			return r;
		if (!bh_endpoint_has_ip(ep, &ip))
			return bh_fail(err, ENOENT, "address %s is not the endpoint's", text);
	}
	return 0;
}

static int check(struct bh_daemon *d, const json_t *args, struct bh_err *err)
{
	const char *id = NULL, *ifname = NULL, *netns = NULL;
	json_t *addresses = NULL;
	struct bh_endpoint *ep;
	struct bh_link link;
	int r = bh_json_get_str(args, "containerId", true, &id, err);

	if (!r)
		r = bh_json_get_str(args, "ifname", true, &ifname, err);
	if (!r)
		r = bh_json_get_str(args, "netns", true, &netns, err);
	if (!r)
		r = bh_json_get_arr(args, "addresses", false, &addresses, err);
	if (r < 0)
		return r;
	ep = bh_endpoint_table_find(&d->endpoints, id, ifname);
	if (!ep)
		return bh_fail(err, ENOENT, "container '%s' interface '%s' is not registered", id,
			       ifname);
	r = bh_link_read(netns, ifname, &link, err);
	if (r < 0)
		return r;
	if (link.cookie != ep->cookie || link.host_ifindex != ep->ifindex)
		return bh_fail(err, ENOENT, "interface '%s' is not the one that was registered",
			       ifname);
	if (link.has_mac != ep->has_mac || memcmp(link.mac, ep->mac, sizeof(ep->mac)))
		return bh_fail(err, ENOENT,
			       "interface '%s' has another MAC address than the one registered",
			       ifname);
	if (!ep->is_open)
		return bh_fail(err, EAGAIN, "pod '%s/%s' is shut", ep->ns, ep->name);
	r = bh_datapath_check(d->dp, ep->slot, ep->ifindex, err);
	return r < 0 ? r : check_addresses(ep, addresses, err);
}

void bh_admit_check(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	struct bh_err err = {0};
	int r = check(d, args, &err);

	if (r < 0)
		bh_request_fail(rq, &err, r == -EAGAIN);
	else
		bh_request_reply(rq, json_object());
}

static bool is_valid(const json_t *valid, const struct bh_endpoint *ep)
{
	for (size_t i = 0; i < json_array_size(valid); i++) {
		const json_t *a = json_array_get(valid, i);

		if (bh_streq(json_string_value(json_object_get(a, "containerId")),
			     ep->container_id) &&
		    bh_streq(json_string_value(json_object_get(a, "ifname")), ep->ifname))
			return true;
	}
	return false;
}

void bh_admit_gc(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	const char *network = NULL;
	json_t *valid = NULL;
	struct bh_err err = {0};
	int removed = 0;
	int r = bh_json_get_str(args, "network", true, &network, &err);

	if (!r)
		r = bh_json_get_arr(args, "valid", true, &valid, &err);
	for (size_t i = 0; !r && i < d->endpoints.eps.n;) {
		struct bh_endpoint *ep = d->endpoints.eps.v[i];

		if (!bh_streq(ep->network, network) || is_valid(valid, ep)) {
			i++;
			continue;
		}
		r = bh_daemon_drop_endpoint(d, ep, &err);
		removed++;
	}
	if (r < 0)
		bh_request_fail(rq, &err, false);
	else
		reply_after_publish(d, rq, json_pack("{si}", "removed", removed));
}

void bh_admit_status(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	struct bh_reconcile_state st = bh_reconcile_state(d->reconciler);
	struct bh_err err = {0};

	(void)args;
	if (st.world && (!st.failure || st.is_policy_refused)) {
		bh_request_reply(rq, json_object());
		return;
	}
	bh_fail(&err, EAGAIN, "policy cannot be enforced now: %s",
		st.failure ? st.failure : "nothing is published yet");
	bh_request_fail(rq, &err, true);
}
