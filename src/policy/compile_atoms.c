#include "policy/compile_memo.h"

#include <errno.h>
#include <string.h>

/* One rule on its way to atoms. */
struct work {
	struct bh_compile_memo *m;
	struct bh_cm_policy *policy;
	const struct bh_rule *rule;
	enum bh_dir dir;
	uint32_t procs;
	bool has_ports; /* some port of the rule is a number */
	uint32_t ports; /* these */
	BH_VEC(struct bh_cm_atom) atoms;
};

static int add(struct work *w, struct bh_cm_atom a)
{
	a.action = (uint8_t)w->rule->action;
	a.procs = w->procs;
	a.expires_s = w->rule->reason.expires_s;
	return bh_vec_push(&w->atoms, a);
}

/* A selector without requirements says nothing that "all" does not say. */
static const struct bh_selector *or_all(bool has, const struct bh_selector *s)
{
	return has && s->n ? s : NULL;
}

static int pair_of(const struct work *w, const struct bh_peer *peer, uint32_t *ret)
{
	struct bh_cm_scope scope = {.ns = NULL};
	uint32_t id;
	int r;

	if (peer && peer->has_namespaces)
		scope.sel = or_all(true, &peer->namespaces);
	else if (peer)
		scope.ns = w->policy->p->ns;
	r = bh_cm_scope_get(w->m, &scope, &id);
	if (r)
		return r;
	return bh_cm_pair_get(w->m, id, peer ? or_all(peer->has_pods, &peer->pods) : NULL, ret);
}

/* peer NULL: everyone. */
static int pred_of(const struct work *w, const struct bh_peer *peer, uint32_t *ret)
{
	uint32_t pair;
	int r;

	*ret = 0;
	if (!peer)
		return 0;
	if (peer->kind == BH_PEER_CIDR)
		return bh_cm_pred_cidr(w->m, peer, ret);
	r = pair_of(w, peer, &pair);
	return r ? r : bh_cm_pred_pods(w->m, pair, w->rule->action, ret);
}

static int add_named(struct work *w, const struct bh_peer *peer, const struct bh_port *port)
{
	struct bh_cm_atom a = {.name = port->name, .proto = port->proto};
	struct bh_cm_family f = {
		.action = w->rule->action, .proto = port->proto, .name = port->name};
	int r;

	if (w->dir == BH_INGRESS) {
		a.kind = BH_CM_ATOM_LOCAL;
		r = pred_of(w, peer, &a.pred);
		return r ? r : add(w, a);
	}
	if (peer && peer->kind == BH_PEER_CIDR)
		return 0; /* an address block has no names for its ports */
	a.kind = BH_CM_ATOM_NAMED;
	r = pair_of(w, peer, &f.pair);
	if (!r)
		r = bh_cm_family_get(w->m, &f, &a.pred);
	return r ? r : add(w, a);
}

static int add_peer(struct work *w, const struct bh_peer *peer)
{
	struct bh_cm_atom a = {.kind = BH_CM_ATOM_PLAIN, .ports = w->ports};
	int r = 0;

	/* a peer that says nothing: never everyone for Allow, always for Deny */
	if (peer && peer->kind == BH_PEER_PODS && !peer->has_namespaces && !peer->has_pods) {
		if (w->rule->action == BH_ACTION_ALLOW)
			return 0;
		peer = NULL;
	}
	if (w->has_ports) {
		r = pred_of(w, peer, &a.pred);
		if (!r)
			r = add(w, a);
	}
	for (size_t i = 0; !r && !w->rule->all_ports && i < w->rule->n_ports; i++) {
		if (w->rule->ports[i].kind == BH_PORT_NAMED)
			r = add_named(w, peer, &w->rule->ports[i]);
	}
	return r;
}

/* The numbers among the rule's ports. */
static int number_ports(struct work *w)
{
	const struct bh_rule *rule = w->rule;
	BH_CLEANUP(bh_freep) struct bh_cm_range *v = calloc(rule->n_ports + 1, sizeof(*v));
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < rule->n_ports; i++) {
		const struct bh_port *p = &rule->ports[i];
		bool is_all = p->kind == BH_PORT_ALL;
		int pp = bh_cm_port_proto(p->proto);

		if (p->kind == BH_PORT_NAMED || pp < 0)
			continue;
		v[n++] = (struct bh_cm_range){
			.first = BH_CM_PORT_KEY(pp, is_all ? 0 : p->first),
			.end = BH_CM_PORT_KEY(pp, is_all ? UINT16_MAX : p->last) + 1};
	}
	w->has_ports = n > 0;
	return n ? bh_cm_ports_get(w->m, v, n, &w->ports) : 0;
}

static int name_procs(struct work *w, struct bh_err *err)
{
	const struct bh_rule *rule = w->rule;

	for (size_t i = 0; i < rule->n_processes; i++) {
		if (strlen(rule->processes[i]) >= BH_PATH_MAX)
			return bh_fail(err, E2BIG,
				       "policy '%s/%s': executable path '%.64s...' is longer than "
				       "%d bytes",
				       w->policy->p->ns, w->policy->p->name, rule->processes[i],
				       BH_PATH_MAX - 1);
	}
	if (bh_cm_procs_get(w->m, rule->processes, rule->n_processes, &w->procs))
		return bh_fail(err, ENOMEM, "no memory for policies");
	return 0;
}

/* true when the rule can match anything at all; narrows what is not understood to the safe side. */
static bool is_safe(struct work *w, bool *ret_deny_all)
{
	const struct bh_rule *rule = w->rule;
	bool is_deny = rule->action == BH_ACTION_DENY;

	*ret_deny_all = is_deny && rule->is_inert;
	if (rule->is_inert)
		return is_deny;
	/* who opens a connection to the pod is not known here */
	return w->dir == BH_EGRESS || !rule->n_processes || is_deny;
}

static int add_rule(struct work *w, struct bh_err *err)
{
	const struct bh_rule *rule = w->rule;
	bool is_deny_all;
	int r = 0;

	if (!is_safe(w, &is_deny_all))
		return 0;
	if (!is_deny_all && rule->n_processes && w->dir == BH_EGRESS)
		r = name_procs(w, err);
	if (r)
		return r;
	w->has_ports = true;
	if (!is_deny_all && !rule->all_ports)
		r = number_ports(w);
	if (!r && (is_deny_all || rule->all_peers))
		r = is_deny_all ? add(w, (struct bh_cm_atom){.kind = BH_CM_ATOM_PLAIN})
				: add_peer(w, NULL);
	else
		for (size_t i = 0; !r && i < rule->n_peers; i++)
			r = add_peer(w, &rule->peers[i]);
	return r ? bh_fail(err, -r, "policy '%s/%s' could not be taken in", w->policy->p->ns,
			   w->policy->p->name)
		 : 0;
}

static size_t lent(const struct bh_compile_memo *m)
{
	return m->scopes.n + m->pairs.n + m->families.n + m->preds.n;
}

static void work_done(struct work *w)
{
	bh_vec_done(&w->atoms);
}

int bh_cm_atoms_build(struct bh_compile_memo *m, struct bh_cm_policy *p, enum bh_dir dir,
		      struct bh_err *err)
{
	BH_CLEANUP(work_done) struct work w = {.m = m, .policy = p, .dir = dir};
	size_t before = lent(m);

	for (size_t i = 0; i < p->p->n_rules[dir]; i++) {
		int r;

		w.rule = &p->p->rules[dir][i];
		w.procs = w.ports = 0;
		r = add_rule(&w, err);
		if (r)
			return r;
	}
	if (lent(m) != before)
		p->lends = true;
	bh_vec_shrink(&w.atoms);
	p->atoms[dir].n = (uint32_t)w.atoms.n;
	p->atoms[dir].v = BH_TAKE(w.atoms.v);
	p->is_built[dir] = true;
	return 0;
}
