/* parse_pod.c - Pod, Namespace and Node of v1: the few fields that policy depends on. Everything
 * else in them is accepted as it is, for `kubectl get -o yaml` output is dropped in unchanged. */
#include "policy/parse.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/vec.h"
#include "policy/syntax.h"
#include "policy/workload.h"

struct pod_lists {
	BH_VEC(struct bh_named_port) ports;
	BH_VEC(struct bh_ip) ips;
};

static void lists_done(struct pod_lists *l)
{
	bh_vec_done(&l->ports);
	bh_vec_done(&l->ips);
}

static void labels_free(struct bh_labels *l)
{
	free(l->v);
}

/* false: a protocol nobody's policy can name. */
static bool port_proto(struct bh_parse *p, const struct bh_yaml *n, uint8_t *ret)
{
	const char *text = bh_parse_str(p, n, "protocol", false);

	*ret = IPPROTO_TCP;
	if (!text || !strcmp(text, "TCP"))
		return true;
	*ret = !strcmp(text, "UDP") ? IPPROTO_UDP : IPPROTO_SCTP;
	if (!strcmp(text, "UDP") || !strcmp(text, "SCTP"))
		return true;
	bh_parse_warn(p, bh_yaml_find(n, "protocol"),
		      "unknown protocol '%s'; the port's name is not used", text);
	return false;
}

static void parse_port(struct bh_parse *p, const struct bh_yaml *n, struct pod_lists *l)
{
	struct bh_named_port port = {0};
	struct bh_yaml_err e;
	int64_t number = 0;
	const char *name;

	if (!bh_parse_is(p, n, BH_YAML_MAP, "port"))
		return;
	name = bh_parse_str(p, n, "name", false);
	if (!name || !*name || !port_proto(p, n, &port.proto))
		return;
	if (!bh_is_port_name(name)) {
		bh_parse_refuse(p, bh_yaml_find(n, "name"), "'%s' is not a valid port name", name);
		return;
	}
	if (bh_yaml_get_int(n, "containerPort", true, (struct bh_yaml_range){1, 65535}, &number,
			    &e)) {
		bh_parse_fail(p, &e);
		return;
	}
	port.name = (char *)name;
	port.port = (uint16_t)number;
	if (bh_vec_push(&l->ports, port))
		bh_parse_no_memory(p);
}

static void parse_container(struct bh_parse *p, const struct bh_yaml *n, bool is_init,
			    struct pod_lists *l)
{
	const struct bh_yaml *ports;
	const char *restart;
	size_t i;

	if (!bh_parse_is(p, n, BH_YAML_MAP, "container"))
		return;
	/* Only sidecars go on after the start of the pod. */
	restart = is_init ? bh_parse_str(p, n, "restartPolicy", false) : "Always";
	if (!restart || strcmp(restart, "Always"))
		return;
	ports = bh_parse_list(p, n, "ports");
	for (i = 0; ports && i < ports->n; i++)
		parse_port(p, ports->items[i], l);
}

static void parse_containers(struct bh_parse *p, const struct bh_yaml *spec, const char *key,
			     struct pod_lists *l)
{
	const struct bh_yaml *list = bh_parse_list(p, spec, key);
	size_t i;

	for (i = 0; list && i < list->n; i++)
		parse_container(p, list->items[i], !strcmp(key, "initContainers"), l);
}

/* Adds an address unless it is there already; "" is one that is not known yet. */
static void add_ip(struct bh_parse *p, const struct bh_yaml *n, struct pod_lists *l)
{
	struct bh_err err;
	struct bh_ip ip;
	size_t i;

	if (!*n->text)
		return;
	if (bh_ip_parse(n->text, &ip, &err)) {
		bh_parse_refuse(p, n, "%s", err.text);
		return;
	}
	for (i = 0; i < l->ips.n; i++) {
		if (!bh_ip_cmp(&l->ips.v[i], &ip))
			return;
	}
	if (l->ips.n == BH_MAX_ADDRS)
		bh_parse_refuse(p, n, "more than %d addresses", BH_MAX_ADDRS);
	else if (bh_vec_push(&l->ips, ip))
		bh_parse_no_memory(p);
}

static void parse_status(struct bh_parse *p, const struct bh_yaml *status, struct pod_lists *l,
			 enum bh_pod_phase *phase)
{
	const struct bh_yaml *list = bh_parse_list(p, status, "podIPs");
	const char *text = bh_parse_str(p, status, "phase", false);
	size_t i;

	*phase = text && (!strcmp(text, "Succeeded") || !strcmp(text, "Failed")) ? BH_POD_DONE
										 : BH_POD_RUNNING;
	for (i = 0; list && i < list->n; i++) {
		if (bh_parse_is(p, list->items[i], BH_YAML_MAP, "'podIPs'") &&
		    bh_parse_str(p, list->items[i], "ip", false))
			add_ip(p, bh_yaml_find(list->items[i], "ip"), l);
	}
	if (bh_parse_str(p, status, "podIP", false))
		add_ip(p, bh_yaml_find(status, "podIP"), l);
}

/* ---- for names alone: what does not look right is as good as absent ---- */

static const char *plain_text(const struct bh_yaml *map, const char *key, const char *chars)
{
	const struct bh_yaml *n = bh_yaml_find(map, key);
	const char *text = n && n->type == BH_YAML_STRING ? n->text : NULL;

	return text && *text && strlen(text) < 254 && !text[strspn(text, chars)] ? text : NULL;
}

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/* Of the one controller that a pod may have. */
static const char *parse_owner(const struct bh_yaml *metadata, const struct bh_pod_init *init,
			       char out[BH_WORKLOAD_TEXT])
{
	const struct bh_yaml *list = bh_yaml_find(metadata, "ownerReferences");

	for (size_t i = 0; list && list->type == BH_YAML_LIST && i < list->n; i++) {
		const struct bh_yaml *one = list->items[i];
		struct bh_controller c = {
			.labels = &init->labels, .pod = init->name, .node = init->node};
		bool is_controller = false;
		struct bh_yaml_err e;

		if (one->type != BH_YAML_MAP ||
		    bh_yaml_get_bool(one, "controller", false, &is_controller, &e) ||
		    !is_controller)
			continue;
		c.kind = plain_text(one, "kind", LETTERS);
		c.name = plain_text(one, "name", LETTERS "-.");
		return c.kind && c.name ? bh_workload_owner(&c, out) : NULL;
	}
	return NULL;
}

static size_t count_of(const struct bh_yaml *spec, const char *key)
{
	const struct bh_yaml *list = bh_yaml_find(spec, key);

	return list && list->type == BH_YAML_LIST ? list->n : 0;
}

/* "NAME IMAGE" of a container that has the pod to itself. */
static const char *parse_sole(const struct bh_yaml *spec, char *out, size_t size)
{
	const struct bh_yaml *list = bh_yaml_find(spec, "containers");
	const char *name, *image;

	if (count_of(spec, "containers") != 1 || count_of(spec, "initContainers") ||
	    count_of(spec, "ephemeralContainers") || list->items[0]->type != BH_YAML_MAP)
		return NULL;
	name = plain_text(list->items[0], "name", LETTERS "-");
	image = plain_text(list->items[0], "image", LETTERS "-._/:@");
	if (!name || !image)
		return NULL;
	snprintf(out, size, "%.63s %s", name, image);
	return out;
}

static void parse_pod_spec(struct bh_parse *p, const struct bh_yaml *spec, struct pod_lists *l,
			   struct bh_pod_init *init)
{
	struct bh_yaml_err e;

	init->node = bh_parse_str(p, spec, "nodeName", false);
	if (init->node && !*init->node)
		init->node = NULL;
	if (bh_yaml_get_bool(spec, "hostNetwork", false, &init->host_network, &e))
		bh_parse_fail(p, &e);
	parse_containers(p, spec, "containers", l);
	parse_containers(p, spec, "initContainers", l);
}

struct bh_pod *bh_parse_pod(struct bh_parse *p, const struct bh_yaml *object, const char *ns,
			    const char *name)
{
	BH_CLEANUP(lists_done) struct pod_lists l = {0};
	BH_CLEANUP(labels_free) struct bh_labels labels = {0};
	const struct bh_yaml *metadata = bh_yaml_find(object, "metadata");
	const struct bh_yaml *spec = bh_parse_map(p, object, "spec");
	const struct bh_yaml *status = bh_parse_map(p, object, "status");
	struct bh_pod_init init = {
		.ns = ns, .name = name, .file = p->file, .place = bh_parse_place(p, object)};
	char owner[BH_WORKLOAD_TEXT], sole[320];
	struct bh_pod *pod = NULL;
	struct bh_err err;

	init.uid = bh_parse_str(p, metadata, "uid", false);
	bh_parse_labels(p, metadata, &labels);
	if (spec)
		parse_pod_spec(p, spec, &l, &init);
	if (status)
		parse_status(p, status, &l, &init.phase);
	if (p->is_refused)
		return NULL;
	init.labels = labels;
	init.owner = metadata ? parse_owner(metadata, &init, owner) : NULL;
	init.sole = spec ? parse_sole(spec, sole, sizeof(sole)) : NULL;
	init.ports = l.ports.v;
	init.n_ports = l.ports.n;
	init.ips = l.ips.v;
	init.n_ips = l.ips.n;
	if (bh_pod_new(&init, &pod, &err))
		bh_parse_no_memory(p);
	return pod;
}

struct bh_namespace *bh_parse_namespace(struct bh_parse *p, const struct bh_yaml *object,
					const char *name)
{
	BH_CLEANUP(labels_free) struct bh_labels labels = {0};
	const struct bh_yaml *metadata = bh_yaml_find(object, "metadata");
	struct bh_namespace *ns = NULL;
	struct bh_err err;

	bh_parse_labels(p, metadata, &labels);
	if (p->is_refused)
		return NULL;
	if (bh_namespace_new(name, &labels, &ns, &err)) {
		bh_parse_no_memory(p);
		return NULL;
	}
	ns->place = bh_parse_place(p, object);
	ns->file = p->file ? bh_parse_strdup(p, p->file) : NULL;
	ns->place.file = ns->file;
	return ns;
}

struct bh_node *bh_node_ref(struct bh_node *n)
{
	n->refs++;
	return n;
}

void bh_node_unref(struct bh_node *n)
{
	if (!n || --n->refs)
		return;
	free(n->name);
	free(n->file);
	free(n->ips);
	free(n);
}

/* Host names and the like stand in the same list. */
static void parse_address(struct bh_parse *p, const struct bh_yaml *n, struct pod_lists *l)
{
	const char *type, *text;

	if (!bh_parse_is(p, n, BH_YAML_MAP, "address"))
		return;
	type = bh_parse_str(p, n, "type", true);
	text = bh_parse_str(p, n, "address", true);
	if (type && text && (!strcmp(type, "InternalIP") || !strcmp(type, "ExternalIP")))
		add_ip(p, bh_yaml_find(n, "address"), l);
}

struct bh_node *bh_parse_node(struct bh_parse *p, const struct bh_yaml *object, const char *name)
{
	BH_CLEANUP(lists_done) struct pod_lists l = {0};
	const struct bh_yaml *status = bh_parse_map(p, object, "status");
	const struct bh_yaml *list = status ? bh_parse_list(p, status, "addresses") : NULL;
	struct bh_node *node;
	size_t i;

	for (i = 0; list && i < list->n; i++)
		parse_address(p, list->items[i], &l);
	if (p->is_refused)
		return NULL;
	node = bh_parse_calloc(p, 1, sizeof(*node));
	if (!node)
		return NULL;
	node->refs = 1;
	node->name = bh_parse_strdup(p, name);
	node->file = p->file ? bh_parse_strdup(p, p->file) : NULL;
	node->place = bh_parse_place(p, object);
	node->place.file = node->file;
	node->ips = l.ips.v;
	node->n_ips = l.ips.n;
	l.ips.v = NULL;
	return node;
}
