#include "policy/model.h"

#include <errno.h>
#include <string.h>

#include "policy/ident.h"
#include "policy/intern.h"
#include "policy/pack.h"

const char *bh_labels_get(const struct bh_labels *l, const char *key)
{
	size_t lo = 0, hi = l->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int r = strcmp(l->v[mid].key, key);

		if (!r)
			return l->v[mid].value;
		if (r < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static bool has_value(const struct bh_requirement *q, const char *value)
{
	size_t i;

	for (i = 0; i < q->n_values; i++) {
		if (!strcmp(q->values[i], value))
			return true;
	}
	return false;
}

static bool requirement_matches(const struct bh_requirement *q, const struct bh_labels *l)
{
	const char *value = bh_labels_get(l, q->key);

	switch (q->op) {
	case BH_SEL_IN:
		return value && has_value(q, value);
	case BH_SEL_NOT_IN:
		return !value || !has_value(q, value);
	case BH_SEL_EXISTS:
		return value;
	case BH_SEL_ABSENT:
		return !value;
	}
	return false;
}

bool bh_selector_matches(const struct bh_selector *s, const struct bh_labels *l)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		if (!requirement_matches(&s->v[i], l))
			return false;
	}
	return true;
}

const char *bh_policy_kind_name(enum bh_policy_kind kind)
{
	return kind == BH_NETWORK_POLICY ? "NetworkPolicy" : "SegmentationPolicy";
}

bool bh_policy_selects(const struct bh_policy *p, const struct bh_pod *pod, enum bh_dir dir)
{
	return p->applies[dir] && !pod->host_network && pod->phase == BH_POD_RUNNING &&
	       !strcmp(p->ns, pod->ident->ns) && bh_selector_matches(&p->pods, &pod->ident->labels);
}

static void peer_done(struct bh_peer *peer)
{
	bh_selector_done(&peer->namespaces);
	bh_selector_done(&peer->pods);
	free(peer->excepts);
}

static void rule_done(struct bh_rule *r)
{
	size_t i;

	for (i = 0; i < r->n_peers; i++)
		peer_done(&r->peers[i]);
	free(r->peers);
	for (i = 0; i < r->n_ports; i++)
		free(r->ports[i].name);
	free(r->ports);
	for (i = 0; i < r->n_processes; i++)
		free(r->processes[i]);
	free(r->processes);
	free(r->reason.why);
	free(r->reason.use_case);
	free(r->reason.owner);
}

static void policy_free(struct bh_policy *p)
{
	size_t dir, i;

	if (p->is_packed) {
		bh_pack_free(p);
		return;
	}
	for (dir = 0; dir < 2; dir++) {
		for (i = 0; i < p->n_rules[dir]; i++)
			rule_done(&p->rules[dir][i]);
		free(p->rules[dir]);
	}
	bh_selector_done(&p->pods);
	free(p->ns);
	free(p->name);
	free(p->file);
	free(p);
}

struct bh_policy *bh_policy_ref(struct bh_policy *p)
{
	p->refs++;
	return p;
}

void bh_policy_unref(struct bh_policy *p)
{
	if (p && --p->refs == 0)
		policy_free(p);
}

struct bh_pod *bh_pod_ref(struct bh_pod *pod)
{
	pod->refs++;
	return pod;
}

/* name, uid and ips lie in the pod's own block. */
void bh_pod_unref(struct bh_pod *pod)
{
	if (!pod || --pod->refs)
		return;
	bh_ident_unref(pod->ident);
	bh_intern_unref(pod->node);
	bh_intern_unref(pod->owner);
	bh_intern_unref(pod->sole);
	bh_intern_unref(pod->file);
	free(pod);
}

static char *put_text(char **at, const char *text)
{
	char *s = *at;
	size_t n;

	if (!text)
		return NULL;
	n = strlen(text) + 1;
	memcpy(s, text, n);
	*at += n;
	return s;
}

static size_t text_size(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

/* One block per pod: a hundred thousand of them have to fit into a few megabytes. */
static struct bh_pod *pod_alloc(const struct bh_pod_init *init)
{
	size_t ips = init->n_ips * sizeof(*init->ips);
	struct bh_pod *pod =
		malloc(sizeof(*pod) + ips + text_size(init->name) + text_size(init->uid));
	char *at;

	if (!pod)
		return NULL;
	*pod = (struct bh_pod){
		.refs = 1,
		.n_ips = (uint16_t)init->n_ips,
		.host_network = init->host_network,
		.phase = (uint8_t)init->phase,
		.place = {.line = init->place.line, .col = init->place.col},
	};
	if (ips)
		memcpy(pod->ips, init->ips, ips);
	at = (char *)(pod->ips + init->n_ips);
	pod->name = put_text(&at, init->name);
	pod->uid = put_text(&at, init->uid);
	return pod;
}

static void pod_unrefp(struct bh_pod **pod)
{
	bh_pod_unref(*pod);
}

int bh_pod_new(const struct bh_pod_init *init, struct bh_pod **ret, struct bh_err *err)
{
	BH_CLEANUP(pod_unrefp) struct bh_pod *pod = NULL;

	if (init->n_ips > UINT16_MAX)
		return bh_fail(err, EINVAL, "pod '%s/%s': %zu addresses", init->ns, init->name,
			       init->n_ips);
	pod = pod_alloc(init);
	if (!pod)
		return bh_fail(err, ENOMEM, "pod '%s/%s': no memory", init->ns, init->name);
	pod->ident = bh_ident_get(init->ns, &init->labels, init->ports, init->n_ports);
	if (init->node)
		pod->node = bh_intern(init->node);
	if (init->file)
		pod->file = bh_intern(init->file);
	if (init->owner)
		pod->owner = bh_intern(init->owner);
	if (init->sole)
		pod->sole = bh_intern(init->sole);
	if (!pod->ident || (init->node && !pod->node) || (init->file && !pod->file) ||
	    (init->owner && !pod->owner) || (init->sole && !pod->sole))
		return bh_fail(err, ENOMEM, "pod '%s/%s': no memory", init->ns, init->name);
	*ret = BH_TAKE(pod);
	return 0;
}

struct bh_namespace *bh_namespace_ref(struct bh_namespace *n)
{
	n->refs++;
	return n;
}

void bh_namespace_unref(struct bh_namespace *n)
{
	if (!n || --n->refs)
		return;
	bh_labels_done(&n->labels);
	free(n->name);
	free(n->file);
	free(n);
}

static void namespace_unrefp(struct bh_namespace **n)
{
	bh_namespace_unref(*n);
}

int bh_namespace_new(const char *name, const struct bh_labels *labels, struct bh_namespace **ret,
		     struct bh_err *err)
{
	BH_CLEANUP(namespace_unrefp) struct bh_namespace *ns = calloc(1, sizeof(*ns));
	BH_CLEANUP(bh_freep) struct bh_label *v = NULL;
	size_t n = labels ? labels->n : 0;

	if (ns)
		ns->refs = 1;
	v = malloc((n + 1) * sizeof(*v));
	if (!ns || !v)
		return bh_fail(err, ENOMEM, "namespace '%s': no memory", name);
	if (n)
		memcpy(v, labels->v, n * sizeof(*v));
	/* Last, so that it wins over a forged one. */
	v[n] = (struct bh_label){.key = "kubernetes.io/metadata.name", .value = name};
	ns->name = strdup(name);
	if (!ns->name || bh_labels_copy(&(struct bh_labels){.v = v, .n = n + 1}, &ns->labels))
		return bh_fail(err, ENOMEM, "namespace '%s': no memory", name);
	*ret = BH_TAKE(ns);
	return 0;
}
