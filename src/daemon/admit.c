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
	uint32_t slot, generation;
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

	return ep && ep->generation == p->generation ? ep : NULL;
}

/* The ADD has failed or was given up: the interface stays shut until DEL, whatever is published. */
static void refuse(const struct pending_add *p)
{
	struct bh_endpoint *ep = pending_endpoint(p);

	if (!ep)
		return;
	ep->is_refused = true;
	ep->is_open = false;
	bh_datapath_set_flags(p->d->dp, ep->slot, BH_SLOT_SHUT, 0);
	bh_daemon_save_endpoint(p->d, ep);
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
	*p = (struct pending_add){.d = d, .rq = rq, .slot = ep->slot, .generation = ep->generation};
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

static bool is_interface_there(const struct bh_endpoint *ep)
{
	uint64_t cookie = 0;
	struct bh_err err;

	if (!bh_link_exists(ep->ifindex))
		return false;
	/* The namespace file may be gone while processes keep the namespace; the link decides. */
	return !ep->netns || bh_netns_cookie(ep->netns, &cookie, &err) || cookie == ep->cookie;
}

/* Makes way: a repeated ADD replaces its endpoint, and an address whose owner vanished is free. */
static int clear_conflicts(struct bh_daemon *d, const struct bh_endpoint *ep, struct bh_err *err)
{
	struct bh_endpoint *old =
		bh_endpoint_table_find(&d->endpoints, ep->container_id, ep->ifname);

	if (old && bh_daemon_drop_endpoint(d, old, err) < 0)
		return err->code;
	for (size_t i = 0; i < ep->n_ips; i++) {
		char text[BH_IP_TEXT];

		old = bh_endpoint_table_ip(&d->endpoints, &ep->ips[i]);
		if (!old || old->cookie == ep->cookie)
			continue;
		if (is_interface_there(old))
			return bh_fail(err, EADDRINUSE, "address %s belongs to pod '%s/%s'",
				       bh_ip_format(&ep->ips[i], text), old->ns, old->name);
		if (bh_daemon_drop_endpoint(d, old, err) < 0)
			return err->code;
	}
	return 0;
}

static int attach_shut(struct bh_daemon *d, struct bh_endpoint *ep, struct bh_err *err)
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
	bool changed;
	int r;

	if (!ep)
		return bh_fail(err, ENOMEM, "endpoint");
	r = read_add(args, ep, err);
	if (!r)
		r = read_interface(ep, err);
	if (!r)
		r = clear_conflicts(d, ep, err);
	if (!r)
		r = bh_daemon_refresh_addresses(d, &changed, err);
	if (r < 0)
		return r;
	ep->since_s = bh_now_s();
	ep->owns_cookie = !bh_endpoint_table_cookie(&d->endpoints, ep->cookie);
	r = bh_endpoint_table_add(&d->endpoints, &ep, err);
	if (r < 0)
		return r;
	r = attach_shut(d, kept, err);
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
			ep->is_refused = true;
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

struct adoption {
	struct bh_daemon *d;
	struct bh_err *err;
};

static int adopt_row(const char *key, const char *json, void *arg)
{
	struct adoption *a = arg;
	BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
	BH_CLEANUP(bh_endpoint_freep) struct bh_endpoint *ep = NULL;
	struct bh_err err = {0};
	int r = bh_json_parse(json, strlen(json), 1 << 20, &j, &err);

	if (!r)
		r = bh_endpoint_from_json(j, &ep, &err);
	if (r < 0) {
		bh_warn("endpoint '%s' in the database is unreadable: %s", key, err.text);
		return 0;
	}
	return bh_endpoint_table_add(&a->d->endpoints, &ep, a->err);
}

static int shut_unknown(uint32_t slot, const struct bh_slot *entry, void *arg)
{
	struct bh_daemon *d = arg;
	const struct bh_endpoint *ep = bh_endpoint_table_slot(&d->endpoints, slot);

	if (ep && ep->generation == entry->generation)
		return 0;
	if (!bh_link_exists(entry->ifindex)) {
		struct bh_err err;

		return bh_datapath_detach(d->dp, slot, &err);
	}
	bh_warn("interface %u is enforced but in no record: shut", entry->ifindex);
	return bh_datapath_set_flags(d->dp, slot, BH_SLOT_SHUT, 0);
}

/* Puts back what the kernel should have for an endpoint that is still there. */
static int adopt_endpoint(struct bh_daemon *d, struct bh_endpoint *ep, struct bh_err *err)
{
	uint32_t flags = 0;
	int r;

	if (!is_interface_there(ep))
		return bh_daemon_drop_endpoint(d, ep, err);
	if (bh_datapath_check(d->dp, ep->slot, ep->ifindex, err) < 0) {
		ep->is_open = false;
		return attach_shut(d, ep, err);
	}
	r = bh_isolation_prepare(d->isolation, ep, &flags, err);
	if (!r && flags)
		r = bh_datapath_set_flags(d->dp, ep->slot, flags, 0);
	return r;
}

/* One pod that cannot be taken over is shut; the others must not suffer for it. */
static void adopt_or_shut(struct bh_daemon *d, struct bh_endpoint *ep)
{
	struct bh_err err = {0};

	if (adopt_endpoint(d, ep, &err) >= 0)
		return;
	bh_error("pod '%s/%s' could not be taken over and is shut: %s", ep->ns, ep->name, err.text);
	ep->is_refused = true;
	ep->is_open = false;
	bh_datapath_set_flags(d->dp, ep->slot, BH_SLOT_SHUT, 0);
}

int bh_admit_adopt(struct bh_daemon *d, struct bh_err *err)
{
	struct adoption a = {d, err};
	int r = bh_store_each(d->store, "endpoint", adopt_row, &a, err);

	for (size_t i = 0; r >= 0 && i < d->endpoints.eps.n;) {
		struct bh_endpoint *ep = d->endpoints.eps.v[i];

		adopt_or_shut(d, ep);
		if (i < d->endpoints.eps.n && d->endpoints.eps.v[i] == ep)
			i++;
	}
	if (r >= 0)
		r = bh_datapath_slots(d->dp, shut_unknown, d);
	return r < 0 ? bh_note(err, r, "adopting endpoints") : 0;
}

void bh_admit_sweep(struct bh_daemon *d)
{
	bool dropped = false;

	for (size_t i = 0; i < d->endpoints.eps.n;) {
		struct bh_endpoint *ep = d->endpoints.eps.v[i];
		struct bh_err err = {0};

		if (bh_link_exists(ep->ifindex) || bh_daemon_drop_endpoint(d, ep, &err) < 0)
			i++;
		else
			dropped = true;
	}
	if (dropped)
		bh_reconcile_soon(d->reconciler);
}
