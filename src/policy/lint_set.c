/* lint_set.c - warnings that need to know all objects: what a policy selects, which ports its pods
 * have, whose addresses a CIDR covers. */
#include "policy/objects_set.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/vec.h"
#include "policy/lint_view.h"

struct lint {
	const struct bh_objects *o;
	const struct bh_world *w;
	struct bh_view view;
	struct bh_problems *problems;
	const char *title; /* of the policy at hand */
	const struct bh_policy *policy;
};

static struct bh_about about(const struct lint *l, const struct bh_place *place)
{
	return (struct bh_about){.place = *place, .object = l->title};
}

/* ---- DNS: isolated pods that may talk to somebody but not to a resolver ---- */

/* A named port may be 53 somewhere: believed when its name says so. */
static bool port_is_dns(const struct bh_port *port)
{
	if (port->proto != IPPROTO_UDP)
		return false;
	if (port->kind == BH_PORT_NAMED)
		return strstr(port->name, "dns");
	return port->kind == BH_PORT_ALL || (port->first <= 53 && port->last >= 53);
}

static bool rule_allows_dns(const struct bh_rule *r)
{
	size_t i;

	if (r->action != BH_ACTION_ALLOW || r->is_inert)
		return false;
	for (i = 0; i < r->n_ports; i++) {
		if (port_is_dns(&r->ports[i]))
			return true;
	}
	return r->all_ports;
}

static bool allows_dns(const struct bh_policy *p)
{
	size_t i;

	for (i = 0; i < p->n_rules[BH_EGRESS]; i++) {
		if (rule_allows_dns(&p->rules[BH_EGRESS][i]))
			return true;
	}
	return false;
}

static bool mark_dns(struct bh_seen *s, void *arg)
{
	(void)arg;
	s->has_dns = true;
	return true;
}

static bool find_without_dns(struct bh_seen *s, void *arg)
{
	struct bh_seen **ret = arg;

	if (s->has_dns)
		return true;
	*ret = s;
	return false;
}

static void mark_all_dns(struct lint *l)
{
	size_t i;

	for (i = 0; i < l->w->n_policies; i++) {
		const struct bh_policy *p = l->w->policies[i];

		if (p->applies[BH_EGRESS] && allows_dns(p))
			bh_view_each(&l->view, bh_view_ns(&l->view, p->ns), &p->pods, mark_dns,
				     NULL);
	}
}

static int lint_dns(struct lint *l)
{
	const struct bh_policy *p = l->policy;
	struct bh_seen *without = NULL;
	struct bh_about at;

	if (!p->applies[BH_EGRESS] || !p->n_rules[BH_EGRESS] || allows_dns(p))
		return 0;
	bh_view_each(&l->view, bh_view_ns(&l->view, p->ns), &p->pods, find_without_dns, &without);
	if (!without)
		return 0;
	at = about(l, &p->place);
	return bh_problems_add(l->problems, BH_PROBLEM_WARNING, &at,
			       "egress is isolated and no policy allows DNS (port 53/UDP) to pod "
			       "'%s/%s'",
			       without->id->ns, without->example->name);
}

/* ---- policies and ports that meet nobody ---- */

static bool stop(struct bh_seen *s, void *arg)
{
	(void)s;
	*(bool *)arg = true;
	return false;
}

static bool selects_any(struct lint *l)
{
	bool found = false;

	bh_view_each(&l->view, bh_view_ns(&l->view, l->policy->ns), &l->policy->pods, stop, &found);
	return found;
}

static int lint_selects(struct lint *l)
{
	struct bh_about at = about(l, &l->policy->place);

	if (!l->view.n || selects_any(l))
		return 0;
	return bh_problems_add(l->problems, BH_PROBLEM_WARNING, &at,
			       "selects no known pod of namespace '%s'", l->policy->ns);
}

struct named {
	const struct bh_port *port;
	bool has_pod, has_port;
};

static bool find_port(struct bh_seen *s, void *arg)
{
	struct named *n = arg;
	size_t i;

	n->has_pod = true;
	for (i = 0; i < s->id->n_ports; i++) {
		const struct bh_named_port *port = &s->id->ports[i];

		if (port->proto == n->port->proto && !strcmp(port->name, n->port->name))
			n->has_port = true;
	}
	return !n->has_port;
}

/* Pods of every namespace that the selector (NULL: any) matches. */
static void each_in_namespaces(struct lint *l, const struct bh_selector *namespaces,
			       const struct bh_selector *pods, struct named *n)
{
	size_t i;

	for (i = 0; i < l->view.n_ns && !n->has_port; i++) {
		const struct bh_view_ns *ns = &l->view.ns[i];
		const struct bh_namespace *object = bh_world_namespace(l->w, ns->name);

		if (!namespaces || bh_selector_matches(namespaces, &object->labels))
			bh_view_each(&l->view, ns, pods, find_port, n);
	}
}

static void look_for_port(struct lint *l, const struct bh_rule *r, enum bh_dir dir, struct named *n)
{
	const struct bh_view_ns *own = bh_view_ns(&l->view, l->policy->ns);
	static const struct bh_selector everything;
	size_t i;

	if (dir == BH_INGRESS) {
		bh_view_each(&l->view, own, &l->policy->pods, find_port, n);
		return;
	}
	if (r->all_peers)
		each_in_namespaces(l, NULL, &everything, n);
	for (i = 0; i < r->n_peers && !n->has_port; i++) {
		const struct bh_peer *peer = &r->peers[i];

		if (peer->kind != BH_PEER_PODS)
			continue;
		if (peer->has_namespaces)
			each_in_namespaces(l, &peer->namespaces, &peer->pods, n);
		else
			bh_view_each(&l->view, own, &peer->pods, find_port, n);
	}
}

static int lint_ports(struct lint *l, const struct bh_rule *r, enum bh_dir dir)
{
	struct bh_place place = bh_rule_place(l->policy, dir, r);
	struct bh_about at = about(l, &place);
	char proto[8];
	size_t i;
	int ret = 0;

	for (i = 0; !ret && i < r->n_ports; i++) {
		struct named n = {.port = &r->ports[i]};

		if (n.port->kind != BH_PORT_NAMED)
			continue;
		look_for_port(l, r, dir, &n);
		if (n.has_pod && !n.has_port)
			ret = bh_problems_add(l->problems, BH_PROBLEM_WARNING, &at,
					      "no %s pod has a port named '%s' of protocol %s",
					      dir == BH_INGRESS ? "selected" : "peer", n.port->name,
					      bh_proto_format(n.port->proto, proto));
	}
	return ret;
}

/* ---- CIDRs and expiry ---- */

static int lint_cidr(struct lint *l, const struct bh_peer *peer, const struct bh_place *place)
{
	const struct bh_view_ip *hit = bh_view_covered(&l->view, peer);
	struct bh_about at = about(l, place);
	char cidr[BH_CIDR_TEXT], ip[BH_IP_TEXT];
	bool is_all = peer->cidr.len == (bh_ip_is4(&peer->cidr.ip) ? 96 : 0);

	if (!hit)
		return 0;
	/* Everybody who writes "everything" knows; everybody else may be surprised. */
	return bh_problems_add(l->problems, is_all ? BH_PROBLEM_NOTE : BH_PROBLEM_WARNING, &at,
			       "%s also covers addresses of pods, such as %s of '%s/%s'",
			       bh_cidr_format(&peer->cidr, cidr), bh_ip_format(&hit->ip, ip),
			       hit->pod->ident->ns, hit->pod->name);
}

static int lint_expiry(struct lint *l, const struct bh_rule *r, enum bh_dir dir)
{
	struct bh_place place = bh_rule_place(l->policy, dir, r);
	struct bh_about at = about(l, &place);
	char text[32] = "";
	time_t t = (time_t)r->reason.expires_s;
	struct tm tm;

	if (!l->o->now_s || bh_rule_lives(r, l->o->now_s))
		return 0;
	if (gmtime_r(&t, &tm))
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return bh_problems_add(l->problems, BH_PROBLEM_WARNING, &at,
			       "the rule expired at %s and is not in force", text);
}

static int lint_rule(struct lint *l, const struct bh_rule *r, enum bh_dir dir)
{
	size_t i;
	int ret = lint_expiry(l, r, dir);

	for (i = 0; !ret && i < r->n_peers; i++) {
		struct bh_place place = bh_peer_place(l->policy, dir, r, &r->peers[i]);

		if (r->peers[i].kind == BH_PEER_CIDR)
			ret = lint_cidr(l, &r->peers[i], &place);
	}
	return ret || r->is_inert ? ret : lint_ports(l, r, dir);
}

static int lint_policy(struct lint *l)
{
	int r = lint_selects(l);
	size_t dir, i;

	if (!r)
		r = lint_dns(l);
	for (dir = 0; dir < 2; dir++) {
		for (i = 0; !r && l->policy->applies[dir] && i < l->policy->n_rules[dir]; i++)
			r = lint_rule(l, &l->policy->rules[dir][i], (enum bh_dir)dir);
	}
	return r;
}

static int lint_all(struct lint *l)
{
	const struct bh_index *x = l->o->index;
	size_t i = 0;
	int r = 0;

	mark_all_dns(l);
	while (!r && i < x->n) {
		const struct bh_claim *c = bh_index_winner(x, i, &i);
		BH_CLEANUP(bh_freep) char *title = NULL;

		/* What the file does not say (any more) has no place to point at. */
		if (!c || c->kind < BH_KIND_NETWORK_POLICY || c->kind == BH_KIND_RUNTIME_POLICY ||
		    c->state != BH_CLAIM_LIVE)
			continue;
		title = bh_claim_title(c);
		if (!title)
			return -ENOMEM;
		l->title = title;
		l->policy = c->obj;
		r = lint_policy(l);
	}
	return r;
}

int bh_lint_set(const struct bh_objects *o, struct bh_problems *ret)
{
	BH_CLEANUP(bh_world_unrefp) struct bh_world *w = NULL;
	struct lint l = {.o = o, .problems = ret};
	struct bh_err err;
	int r = bh_world_new(&w, &err);

	if (!r)
		r = bh_objects_fill(o, w, &err);
	if (!r)
		r = bh_world_seal(w, &err);
	if (!r)
		r = bh_view_init(&l.view, w);
	l.w = w;
	if (!r)
		r = lint_all(&l);
	bh_view_done(&l.view);
	return r;
}
