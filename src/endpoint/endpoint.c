#include "endpoint/endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

struct bh_endpoint *bh_endpoint_new(void)
{
	struct bh_endpoint *ep = calloc(1, sizeof(*ep));

	if (ep)
		ep->nsid = -1;
	return ep;
}

static void labels_done(struct bh_labels *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free((char *)l->v[i].key);
		free((char *)l->v[i].value);
	}
	free(l->v);
	*l = (struct bh_labels){0};
}

void bh_endpoint_free(struct bh_endpoint *ep)
{
	if (!ep)
		return;
	free(ep->container_id);
	free(ep->ifname);
	free(ep->ns);
	free(ep->name);
	free(ep->uid);
	free(ep->netns);
	free(ep->network);
	free(ep->cgroup_path);
	labels_done(&ep->labels);
	free(ep->ips);
	free(ep);
}

void bh_endpoint_freep(struct bh_endpoint **ep)
{
	bh_endpoint_free(*ep);
	*ep = NULL;
}

const char *bh_endpoint_state(const struct bh_endpoint *ep)
{
	if (ep->is_quarantined)
		return "quarantined";
	return ep->is_open ? "open" : "shut";
}

bool bh_endpoint_is_pod(const struct bh_endpoint *ep, const char *ns, const char *name)
{
	return !strcmp(ep->name, name) && !strcmp(ep->ns, ns);
}

bool bh_endpoint_has_ip(const struct bh_endpoint *ep, const struct bh_ip *ip)
{
	for (size_t i = 0; i < ep->n_ips; i++) {
		if (!bh_ip_cmp(&ep->ips[i], ip))
			return true;
	}
	return false;
}

int bh_endpoint_set_ips(struct bh_endpoint *ep, const json_t *texts, struct bh_err *err)
{
	size_t n = json_array_size(texts);
	BH_CLEANUP(bh_freep) struct bh_ip *ips = NULL;

	if (n > BH_MAX_ADDRS)
		return bh_fail(err, E2BIG, "%zu addresses on one interface; at most %d fit", n,
			       BH_MAX_ADDRS);
	ips = calloc(n ? n : 1, sizeof(*ips));
	if (!ips)
		return bh_fail(err, ENOMEM, "addresses");
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(texts, i));
		int r;

		if (!text)
			return bh_fail(err, EINVAL, "addresses[%zu]: expected a string", i);
		r = bh_ip_parse(text, &ips[i], err);
		if (r < 0)
			return bh_note(err, r, "addresses[%zu]", i);
	}
	free(ep->ips);
	ep->ips = BH_TAKE(ips);
	ep->n_ips = n;
	return 0;
}

int bh_endpoint_set_mac(struct bh_endpoint *ep, const char *mac, struct bh_err *err)
{
	unsigned b[6];
	int end = 0;

	if (!mac) {
		ep->has_mac = false;
		return 0;
	}
	if (sscanf(mac, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
		   &end) != 6 ||
	    mac[end])
		return bh_fail(err, EINVAL, "'%s' is not a MAC address", mac);
	for (int i = 0; i < 6; i++)
		ep->mac[i] = (uint8_t)b[i];
	ep->has_mac = true;
	return 0;
}

static int label_cmp(const void *a, const void *b)
{
	const struct bh_label *x = a, *y = b;

	return strcmp(x->key, y->key);
}

int bh_endpoint_set_labels(struct bh_endpoint *ep, const json_t *list, struct bh_err *err)
{
	size_t n = json_array_size(list);
	struct bh_labels l = {.v = calloc(n ? n : 1, sizeof(struct bh_label))};

	if (!l.v)
		return bh_fail(err, ENOMEM, "labels");
	for (size_t i = 0; i < n; i++) {
		const json_t *it = json_array_get(list, i);
		const char *key = json_string_value(json_object_get(it, "key"));
		const char *value = json_string_value(json_object_get(it, "value"));

		if (!key || !value) {
			labels_done(&l);
			return bh_fail(err, EINVAL, "labels[%zu]: expected key and value", i);
		}
		l.v[l.n].key = strdup(key);
		l.v[l.n++].value = strdup(value);
		if (!l.v[i].key || !l.v[i].value) {
			labels_done(&l);
			return bh_fail(err, ENOMEM, "labels");
		}
	}
	qsort(l.v, l.n, sizeof(*l.v), label_cmp);
	for (size_t i = 1; i < l.n; i++) {
		if (!strcmp(l.v[i - 1].key, l.v[i].key)) {
			int r = bh_fail(err, EINVAL, "label '%s' is given twice", l.v[i].key);

			labels_done(&l);
			return r;
		}
	}
	labels_done(&ep->labels);
	ep->labels = l;
	return 0;
}

static json_t *ips_json(const struct bh_endpoint *ep)
{
	json_t *a = json_array();
	char text[BH_IP_TEXT];

	for (size_t i = 0; i < ep->n_ips; i++)
		json_array_append_new(a, json_string(bh_ip_format(&ep->ips[i], text)));
	return a;
}

static json_t *labels_json(const struct bh_endpoint *ep)
{
	json_t *a = json_array();

	for (size_t i = 0; i < ep->labels.n; i++)
		json_array_append_new(a, json_pack("{ss ss}", "key", ep->labels.v[i].key, "value",
						   ep->labels.v[i].value));
	return a;
}

static const char *const add_names[] = {
	[BH_ADD_PENDING] = "pending",
	[BH_ADD_TOLD] = "told",
	[BH_ADD_DONE] = "done",
};

int bh_endpoint_to_json(const struct bh_endpoint *ep, json_t **ret, struct bh_err *err)
{
	char mac[18] = "";
	json_t *j;

	if (ep->has_mac)
		snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", ep->mac[0], ep->mac[1],
			 ep->mac[2], ep->mac[3], ep->mac[4], ep->mac[5]);
	j = json_pack("{ss ss ss ss ss? ss? ss? ss? so so ss? sI si si ss si si sb sb ss sb sI sI}",
		      "containerId", ep->container_id, "ifname", ep->ifname, "namespace", ep->ns,
		      "name", ep->name, "uid", ep->uid, "netns", ep->netns, "network", ep->network,
		      "cgroupPath", ep->cgroup_path, "labels", labels_json(ep), "addresses",
		      ips_json(ep), "mac", ep->has_mac ? mac : NULL, "cookie",
		      (json_int_t)ep->cookie, "ifindex", (int)ep->ifindex, "nsid", (int)ep->nsid,
		      "hostInterface", ep->host_ifname, "slot", (int)ep->slot, "generation",
		      (int)ep->generation, "open", ep->is_open, "refused", ep->is_refused, "add",
		      add_names[ep->add], "ownsCookie", ep->owns_cookie, "since",
		      (json_int_t)ep->since_s, "serial", (json_int_t)ep->serial);
	if (!j)
		return bh_fail(err, ENOMEM, "endpoint '%s'", ep->container_id);
	*ret = j;
	return 0;
}

static int copy_text(const json_t *j, const char *key, bool required, char **ret,
		     struct bh_err *err)
{
	const json_t *v = json_object_get(j, key);

	if (!v || json_is_null(v))
		return required ? bh_fail(err, EINVAL, "'%s' is missing", key) : 0;
	if (!json_is_string(v))
		return bh_fail(err, EINVAL, "'%s': expected a string", key);
	*ret = strdup(json_string_value(v));
	return *ret ? 0 : bh_fail(err, ENOMEM, "'%s'", key);
}

static int texts_from_json(struct bh_endpoint *ep, const json_t *j, struct bh_err *err)
{
	const struct {
		const char *key;
		bool required;
		char **ret;
	} f[] = {
		{"containerId", true, &ep->container_id},
		{"ifname", true, &ep->ifname},
		{"namespace", true, &ep->ns},
		{"name", true, &ep->name},
		{"uid", false, &ep->uid},
		{"netns", false, &ep->netns},
		{"network", false, &ep->network},
		{"cgroupPath", false, &ep->cgroup_path},
	};

	for (size_t i = 0; i < BH_ARRAY_SIZE(f); i++) {
		int r = copy_text(j, f[i].key, f[i].required, f[i].ret, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Records of versions that did not know: what was open had been answered. */
static int add_from_json(struct bh_endpoint *ep, const json_t *j, struct bh_err *err)
{
	const char *text = ep->is_open ? "done" : "pending";
	int r = bh_json_get_str(j, "add", false, &text, err);

	for (size_t i = 0; !r && i < BH_ARRAY_SIZE(add_names); i++) {
		if (strcmp(add_names[i], text))
			continue;
		ep->add = (enum bh_add_state)i;
		return 0;
	}
	return r ? r : bh_fail(err, EINVAL, "'add': there is no state '%s'", text);
}

int bh_endpoint_from_json(const json_t *j, struct bh_endpoint **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_endpoint_freep) struct bh_endpoint *ep = bh_endpoint_new();
	int64_t cookie = 0, ifindex = 0, nsid = -1, slot = 0, generation = 0, since = 0, serial = 0;
	const char *host = "", *mac = NULL;
	int r;

	if (!ep)
		return bh_fail(err, ENOMEM, "endpoint");
	mac = json_string_value(json_object_get(j, "mac"));
	r = texts_from_json(ep, j, err);
	if (!r)
		r = bh_endpoint_set_ips(ep, json_object_get(j, "addresses"), err);
	if (!r)
		r = bh_endpoint_set_labels(ep, json_object_get(j, "labels"), err);
	if (!r)
		r = bh_endpoint_set_mac(ep, mac, err);
	if (!r)
		r = bh_json_get_int(j, "cookie", true, INT64_MIN, INT64_MAX, &cookie, err);
	if (!r)
		r = bh_json_get_int(j, "ifindex", true, 1, INT32_MAX, &ifindex, err);
	if (!r)
		r = bh_json_get_int(j, "nsid", true, -1, INT32_MAX, &nsid, err);
	if (!r)
		r = bh_json_get_int(j, "slot", true, 1, BH_MAX_SLOTS - 1, &slot, err);
	if (!r)
		r = bh_json_get_int(j, "generation", true, INT32_MIN, INT32_MAX, &generation, err);
	if (!r)
		r = bh_json_get_int(j, "since", true, 0, INT64_MAX, &since, err);
	if (!r)
		r = bh_json_get_int(j, "serial", false, 0, INT64_MAX, &serial, err);
	if (!r)
		r = bh_json_get_str(j, "hostInterface", true, &host, err);
	if (!r)
		r = bh_json_get_bool(j, "open", true, &ep->is_open, err);
	if (!r)
		r = bh_json_get_bool(j, "refused", false, &ep->is_refused, err);
	if (!r)
		r = bh_json_get_bool(j, "ownsCookie", true, &ep->owns_cookie, err);
	if (!r)
		r = add_from_json(ep, j, err);
	if (r < 0)
		return r;
	ep->cookie = (uint64_t)cookie;
	ep->ifindex = (uint32_t)ifindex;
	ep->nsid = (int32_t)nsid;
	ep->slot = (uint32_t)slot;
	ep->generation = (uint32_t)generation;
	ep->since_s = since;
	ep->serial = (uint64_t)serial;
	snprintf(ep->host_ifname, sizeof(ep->host_ifname), "%s", host);
	*ret = BH_TAKE(ep);
	return 0;
}
