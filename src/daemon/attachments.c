/* What happens to an interface after its ADD: DEL, CHECK, GC, STATUS. */
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "daemon/admit.h"
#include "daemon/daemon.h"

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
	bool is_up = false;
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
	r = bh_link_is_up(ep->ifindex, &is_up, err);
	if (r < 0)
		return r;
	if (!is_up)
		return bh_fail(err, ENETDOWN, "the host's side of interface '%s' is down", ifname);
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

/* One that cannot be removed keeps no other from it; the first failure is told. */
static int collect(struct bh_daemon *d, const char *network, const json_t *valid,
		   struct bh_err *err)
{
	struct bh_err later;
	int removed = 0, r = 0;

	for (size_t i = 0; i < d->endpoints.eps.n;) {
		struct bh_endpoint *ep = d->endpoints.eps.v[i];

		if (!bh_streq(ep->network, network) || is_valid(valid, ep)) {
			i++;
		} else if (bh_daemon_drop_endpoint(d, ep, r ? &later : err) < 0) {
			r = r ? r : err->code;
			i += i < d->endpoints.eps.n && d->endpoints.eps.v[i] == ep;
		} else {
			removed++;
		}
	}
	if (r && removed)
		bh_reconcile_soon(d->reconciler);
	return r ? r : removed;
}

void bh_admit_gc(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	const char *network = NULL;
	json_t *valid = NULL;
	struct bh_err err = {0};
	int r = bh_json_get_str(args, "network", true, &network, &err);

	if (!r)
		r = bh_json_get_arr(args, "valid", true, &valid, &err);
	if (!r)
		r = collect(d, network, valid, &err);
	if (r < 0)
		bh_request_fail(rq, &err, false);
	else
		reply_after_publish(d, rq, json_pack("{si}", "removed", r));
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
