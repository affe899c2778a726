/* worldkit.h - builds worlds in C for tests: objects are described in short strings and structs,
 * and die with the world. Nothing is parsed but selectors ("a=1,b!=2,c,!d") and address lists. */
#pragma once

#include "bh_test.h"

#include "base/vec.h"
#include "policy/model.h"
#include "policy/tables.h"

#define WK_MAX 12

/* ---- selectors and labels: "" matches everything ---- */

static inline void wk_requirement(struct bh_selector *s, const char *text)
{
	struct bh_requirement *q = &s->v[s->n++];
	const char *eq = strchr(text, '=');

	if (!eq) {
		q->op = *text == '!' ? BH_SEL_ABSENT : BH_SEL_EXISTS;
		q->key = strdup(text + (*text == '!'));
		return;
	}
	q->op = eq > text && eq[-1] == '!' ? BH_SEL_NOT_IN : BH_SEL_IN;
	q->key = strndup(text, (size_t)(eq - text) - (q->op == BH_SEL_NOT_IN));
	q->values = calloc(WK_MAX, sizeof(*q->values));
	for (const char *v = eq + 1; v; v = strchr(v, '|') ? strchr(v, '|') + 1 : NULL)
		q->values[q->n_values++] = strndup(v, strcspn(v, "|"));
}

/* Requirements are separated by commas; values of one by '|'. */
static inline void wk_selector(struct bh_selector *s, const char *text)
{
	char *copy = strdup(text), *rest = NULL;

	s->v = calloc(WK_MAX, sizeof(*s->v));
	for (char *q = strtok_r(copy, ",", &rest); q; q = strtok_r(NULL, ",", &rest))
		wk_requirement(s, q);
	free(copy);
	assert_int_equal(bh_selector_seal(s), 0);
}

struct wk_labels {
	struct bh_label v[WK_MAX];
	char text[256];
	struct bh_labels set;
};

/* "a=1,b=2" */
static inline void wk_labels(struct wk_labels *l, const char *text)
{
	char *rest = NULL;

	snprintf(l->text, sizeof(l->text), "%s", text);
	l->set = (struct bh_labels){.v = l->v};
	for (char *p = strtok_r(l->text, ",", &rest); p; p = strtok_r(NULL, ",", &rest)) {
		char *eq = strchr(p, '=');

		assert_non_null(eq);
		*eq = '\0';
		l->v[l->set.n++] = (struct bh_label){.key = p, .value = eq + 1};
	}
}

/* ---- addresses ---- */

static inline struct bh_ip wk_ip(const char *text)
{
	struct bh_err err;
	struct bh_ip ip;

	bh_assert_ok(&err, bh_ip_parse(text, &ip, &err));
	return ip;
}

static inline struct bh_cidr wk_cidr(const char *text)
{
	struct bh_err err;
	struct bh_cidr c;

	bh_assert_ok(&err, bh_cidr_parse(text, &c, NULL, &err));
	return c;
}

/* ---- objects ---- */

static inline struct bh_namespace *wk_namespace(const char *name, const char *labels)
{
	struct wk_labels l;
	struct bh_namespace *ns;
	struct bh_err err;

	wk_labels(&l, labels);
	bh_assert_ok(&err, bh_namespace_new(name, &l.set, &ns, &err));
	return ns;
}

struct wk_pod {
	const char *ns, *name, *labels;
	const char *ips; /* "10.0.0.1,fd00::1" */
	struct bh_named_port ports[4];
	bool host_network;
	enum bh_pod_phase phase;
};

static inline struct bh_pod *wk_pod(const struct wk_pod *p)
{
	struct bh_pod_init init = {.ns = p->ns,
				   .name = p->name,
				   .ports = p->ports,
				   .host_network = p->host_network,
				   .phase = p->phase};
	struct bh_ip ips[WK_MAX];
	struct wk_labels l;
	char *copy = strdup(p->ips ? p->ips : ""), *rest = NULL;
	struct bh_pod *pod;
	struct bh_err err;

	wk_labels(&l, p->labels ? p->labels : "");
	init.labels = l.set;
	while (init.n_ports < 4 && p->ports[init.n_ports].name)
		init.n_ports++;
	for (char *ip = strtok_r(copy, ",", &rest); ip; ip = strtok_r(NULL, ",", &rest))
		ips[init.n_ips++] = wk_ip(ip);
	init.ips = ips;
	bh_assert_ok(&err, bh_pod_new(&init, &pod, &err));
	free(copy);
	return pod;
}

/* What is NULL is absent. */
struct wk_peer {
	const char *namespaces, *pods;
	const char *cidr, *except[4];
};

struct wk_rule {
	enum bh_action action;
	struct wk_peer peers[4]; /* none: everyone */
	struct bh_port ports[6]; /* proto 0 ends; none: all */
	const char *processes[4];
	bool is_inert;
	int64_t expires_s; /* 0: never */
};

#define WK_TCP(n)                                                                                  \
	{                                                                                          \
		.kind = BH_PORT_RANGE, .proto = 6, .first = (n), .last = (n)                       \
	}
#define WK_UDP(n)                                                                                  \
	{                                                                                          \
		.kind = BH_PORT_RANGE, .proto = 17, .first = (n), .last = (n)                      \
	}
#define WK_RANGE(p, a, b)                                                                          \
	{                                                                                          \
		.kind = BH_PORT_RANGE, .proto = (p), .first = (a), .last = (b)                     \
	}
#define WK_ALL(p)                                                                                  \
	{                                                                                          \
		.kind = BH_PORT_ALL, .proto = (p)                                                  \
	}
#define WK_NAMED(p, n)                                                                             \
	{                                                                                          \
		.kind = BH_PORT_NAMED, .proto = (p), .name = (n)                                   \
	}

static inline void wk_put_peer(struct bh_peer *to, const struct wk_peer *from)
{
	to->kind = from->cidr ? BH_PEER_CIDR : BH_PEER_PODS;
	to->has_namespaces = from->namespaces;
	to->has_pods = from->pods;
	wk_selector(&to->namespaces, from->namespaces ? from->namespaces : "");
	wk_selector(&to->pods, from->pods ? from->pods : "");
	if (from->cidr)
		to->cidr = wk_cidr(from->cidr);
	to->excepts = calloc(4, sizeof(*to->excepts));
	for (size_t i = 0; i < 4 && from->except[i]; i++)
		to->excepts[to->n_excepts++] = wk_cidr(from->except[i]);
}

static inline bool wk_has_peer(const struct wk_peer *p)
{
	return p->namespaces || p->pods || p->cidr;
}

static inline void wk_put_rule(struct bh_rule *to, const struct wk_rule *from)
{
	to->action = from->action;
	to->is_inert = from->is_inert;
	to->reason.expires_s = from->expires_s ? from->expires_s : INT64_MAX;
	to->peers = calloc(4, sizeof(*to->peers));
	while (to->n_peers < 4 && wk_has_peer(&from->peers[to->n_peers])) {
		wk_put_peer(&to->peers[to->n_peers], &from->peers[to->n_peers]);
		to->n_peers++;
	}
	to->all_peers = !to->n_peers;
	to->ports = calloc(6, sizeof(*to->ports));
	for (; to->n_ports < 6 && from->ports[to->n_ports].proto; to->n_ports++) {
		to->ports[to->n_ports] = from->ports[to->n_ports];
		if (to->ports[to->n_ports].name)
			to->ports[to->n_ports].name = strdup(to->ports[to->n_ports].name);
	}
	to->all_ports = !to->n_ports;
	to->processes = calloc(4, sizeof(*to->processes));
	for (; to->n_processes < 4 && from->processes[to->n_processes]; to->n_processes++)
		to->processes[to->n_processes] = strdup(from->processes[to->n_processes]);
}

/* A policy without rules; pods: its podSelector. */
static inline struct bh_policy *wk_policy(const char *ns, const char *name, const char *pods)
{
	struct bh_policy *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->refs = 1;
	p->ns = strdup(ns);
	p->name = strdup(name);
	wk_selector(&p->pods, pods);
	return p;
}

/* The policy then applies in that direction. A Deny makes it a SegmentationPolicy. */
static inline void wk_rule(struct bh_policy *p, enum bh_dir dir, const struct wk_rule *rule)
{
	size_t n = p->n_rules[dir];
	struct bh_rule *v = realloc(p->rules[dir], (n + 1) * sizeof(*v));

	assert_non_null(v);
	p->rules[dir] = v;
	v[n] = (struct bh_rule){.index = (unsigned)n};
	wk_put_rule(&v[n], rule);
	p->n_rules[dir]++;
	p->applies[dir] = true;
	if (rule->action == BH_ACTION_DENY)
		p->kind = BH_SEGMENTATION_POLICY;
}

/* ---- worlds; each add takes over the caller's reference ---- */

static inline struct bh_world *wk_world(int64_t now_s)
{
	struct bh_world *w;
	struct bh_err err;

	bh_assert_ok(&err, bh_world_new(&w, &err));
	w->now_s = now_s;
	return w;
}

static inline void wk_add_pod(struct bh_world *w, struct bh_pod *pod)
{
	assert_int_equal(bh_world_add_pod(w, pod), 0);
	bh_pod_unref(pod);
}

static inline void wk_add_policy(struct bh_world *w, struct bh_policy *p)
{
	assert_int_equal(bh_world_add_policy(w, p), 0);
	bh_policy_unref(p);
}

static inline void wk_add_namespace(struct bh_world *w, struct bh_namespace *ns)
{
	assert_int_equal(bh_world_add_namespace(w, ns), 0);
	bh_namespace_unref(ns);
}

static inline void wk_seal(struct bh_world *w)
{
	struct bh_err err;

	bh_assert_ok(&err, bh_world_seal(w, &err));
}
