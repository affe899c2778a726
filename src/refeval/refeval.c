/* The rules of Kubernetes NetworkPolicy v1 (types.go and its documentation) and of our own
 * SegmentationPolicy, read literally. Nothing here is clever on purpose: this file is what the
 * compiled tables are measured against. */
#include "refeval/refeval.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"

/* No path is empty, so this stands for an executable that no rule names. */
#define OTHER_EXE ""

/* ---- ends ---- */

/* Finished pods have given their address back; pods in the host's network are the node. Neither can
 * be selected, as subject or as peer. */
static bool is_selectable(const struct bh_pod *pod)
{
	return pod && pod->phase == BH_POD_RUNNING && !pod->host_network;
}

static bool pod_has_ip(const struct bh_pod *pod, const struct bh_ip *ip)
{
	for (size_t i = 0; i < pod->n_ips; i++) {
		if (bh_ip_cmp(&pod->ips[i], ip) == 0)
			return true;
	}
	return false;
}

struct bh_end bh_refeval_end(const struct bh_world *w, const struct bh_ip *ip)
{
	struct bh_end end = {.ip = *ip, .has_ip = true};

	for (size_t i = 0; i < w->n_pods && !end.pod; i++) {
		if (is_selectable(w->pods[i]) && pod_has_ip(w->pods[i], ip))
			end.pod = w->pods[i];
	}
	return end;
}

struct bh_end bh_refeval_pod_end(const struct bh_pod *pod, int family)
{
	struct bh_end end = {.pod = pod};

	for (size_t i = 0; i < pod->n_ips && !end.has_ip; i++) {
		if (family && (family == 4) != bh_ip_is4(&pod->ips[i]))
			continue;
		end.ip = pod->ips[i];
		end.has_ip = true;
	}
	return end;
}

static bool is_same_pod(const struct bh_end *self, const struct bh_end *peer)
{
	if (!is_selectable(self->pod))
		return false;
	return self->pod == peer->pod || (peer->has_ip && pod_has_ip(self->pod, &peer->ip));
}

/* ---- one rule ---- */

/* IPv4 is held v4-mapped: an IPv6 prefix must not reach into that range, nor the reverse. */
static bool cidr_matches(const struct bh_cidr *c, const struct bh_ip *ip)
{
	bool is_cidr4 = c->len >= 96 && bh_ip_is4(&c->ip);

	return is_cidr4 == bh_ip_is4(ip) && bh_cidr_has(c, ip);
}

static bool block_matches(const struct bh_peer *block, const struct bh_end *end)
{
	if (!end->has_ip || !cidr_matches(&block->cidr, &end->ip))
		return false;
	for (size_t i = 0; i < block->n_excepts; i++) {
		if (cidr_matches(&block->excepts[i], &end->ip))
			return false;
	}
	return true;
}

static bool pods_match(const struct bh_world *w, const struct bh_policy *p,
		       const struct bh_peer *peer, const struct bh_pod *pod)
{
	const struct bh_namespace *ns;

	if (!is_selectable(pod))
		return false;
	if (peer->has_pods && !bh_selector_matches(&peer->pods, &pod->ident->labels))
		return false;
	if (!peer->has_namespaces)
		return strcmp(p->ns, pod->ident->ns) == 0;
	ns = bh_world_namespace(w, pod->ident->ns);
	return ns && bh_selector_matches(&peer->namespaces, &ns->labels);
}

static bool has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP;
}

/* A name means whatever the destination pod calls so. NULL: no pod to ask, nothing matches. */
static bool name_matches(const struct bh_port *port, const struct bh_pod *destination,
			 uint16_t number)
{
	if (!is_selectable(destination))
		return false;
	for (size_t i = 0; i < destination->ident->n_ports; i++) {
		const struct bh_named_port *named = &destination->ident->ports[i];

		if (named->port == number && named->proto == port->proto &&
		    strcmp(named->name, port->name) == 0)
			return true;
	}
	return false;
}

static bool port_matches(const struct bh_port *port, const struct bh_ask *ask,
			 const struct bh_pod *destination)
{
	if (port->proto != ask->proto)
		return false;
	switch (port->kind) {
	case BH_PORT_ALL:
		return true;
	case BH_PORT_RANGE:
		return port->first <= ask->port && ask->port <= port->last;
	case BH_PORT_NAMED:
		return name_matches(port, destination, ask->port);
	}
	return false;
}

static bool ports_match(const struct bh_rule *r, const struct bh_ask *ask,
			const struct bh_pod *destination)
{
	if (r->all_ports)
		return true;
	if (!has_ports(ask->proto))
		return false;
	for (size_t i = 0; i < r->n_ports; i++) {
		if (port_matches(&r->ports[i], ask, destination))
			return true;
	}
	return false;
}

/* Ports and peers of one rule are a cross product: any port of it with any peer of it. Only an
 * egress ipBlock makes a difference to ports: it names addresses, so there is no pod whose port
 * names count, even if the address happens to be a pod's. */
static bool rule_matches(const struct bh_world *w, const struct bh_policy *p,
			 const struct bh_rule *r, const struct bh_ask *ask)
{
	const struct bh_pod *destination = ask->dir == BH_INGRESS ? ask->self.pod : ask->peer.pod;

	if (r->is_inert)
		return r->action == BH_ACTION_DENY;
	if (r->all_peers)
		return ports_match(r, ask, destination);
	for (size_t i = 0; i < r->n_peers; i++) {
		const struct bh_peer *peer = &r->peers[i];

		if (peer->kind == BH_PEER_PODS && pods_match(w, p, peer, ask->peer.pod) &&
		    ports_match(r, ask, destination))
			return true;
		if (peer->kind == BH_PEER_CIDR && block_matches(peer, &ask->peer) &&
		    ports_match(r, ask, ask->dir == BH_INGRESS ? destination : NULL))
			return true;
	}
	return false;
}

/* An inert Deny is not trusted to mean only the executables it could be read to name. */
static bool is_for_exes(const struct bh_rule *r)
{
	return r->n_processes > 0 && !(r->is_inert && r->action == BH_ACTION_DENY);
}

static bool is_for_exe(const struct bh_rule *r, const char *exe)
{
	if (!is_for_exes(r))
		return true;
	for (size_t i = 0; i < r->n_processes; i++) {
		if (strcmp(r->processes[i], exe) == 0)
			return true;
	}
	return false;
}

/* ---- all rules ---- */

/* Deny wins over every Allow; the rest is a union, so the first Allow is as good as any other, but
 * one that holds for every executable says more than one that does not. */
static struct bh_half decide(const struct bh_world *w, const struct bh_policies *selecting,
			     const struct bh_ask *ask, const char *exe)
{
	struct bh_half allowed = {.verdict = BH_ALLOWED};
	struct bh_half unmatched = {.verdict = BH_DENIED, .is_isolated = true};

	for (size_t i = 0; i < selecting->n; i++) {
		const struct bh_policy *p = selecting->v[i];

		for (size_t k = 0; k < p->n_rules[ask->dir]; k++) {
			const struct bh_rule *r = &p->rules[ask->dir][k];
			bool is_better =
				!allowed.rule || (allowed.is_conditional && !is_for_exes(r));

			if (r->action == BH_ACTION_ALLOW && !is_better)
				continue;
			if (!bh_rule_lives(r, w->now_s) || !is_for_exe(r, exe) ||
			    !rule_matches(w, p, r, ask))
				continue;
			if (r->action == BH_ACTION_DENY)
				return (struct bh_half){.verdict = BH_DENIED,
							.policy = p,
							.rule = r,
							.is_isolated = true,
							.is_conditional = is_for_exes(r)};
			allowed.policy = p;
			allowed.rule = r;
			allowed.is_isolated = true;
			allowed.is_conditional = is_for_exes(r);
		}
	}
	unmatched.policy = selecting->v[0];
	return allowed.rule ? allowed : unmatched;
}

/* The next rule, from *policy and *rule on, that is bound to executables and matches apart from
 * them. Moves both past it. */
static const struct bh_rule *next_bound(const struct bh_world *w,
					const struct bh_policies *selecting,
					const struct bh_ask *ask, size_t *policy, size_t *rule)
{
	for (; *policy < selecting->n; ++*policy, *rule = 0) {
		const struct bh_policy *p = selecting->v[*policy];

		while (*rule < p->n_rules[ask->dir]) {
			const struct bh_rule *r = &p->rules[ask->dir][(*rule)++];

			if (is_for_exes(r) && bh_rule_lives(r, w->now_s) &&
			    rule_matches(w, p, r, ask))
				return r;
		}
	}
	return NULL;
}

/* Nobody said who asks: allowed when anyone may. */
static struct bh_half decide_any(const struct bh_world *w, const struct bh_policies *selecting,
				 const struct bh_ask *ask)
{
	struct bh_half half = decide(w, selecting, ask, OTHER_EXE);
	const struct bh_rule *r;
	size_t policy = 0, rule = 0;

	if (half.verdict == BH_DENIED && half.rule)
		return half;
	while ((r = next_bound(w, selecting, ask, &policy, &rule))) {
		if (half.verdict == BH_ALLOWED) {
			/* Others may, so a bound rule matters only when it takes away. */
			half.is_conditional |= r->action == BH_ACTION_DENY;
			continue;
		}
		for (size_t i = 0; i < r->n_processes; i++) {
			struct bh_half one = decide(w, selecting, ask, r->processes[i]);

			one.is_conditional = one.verdict == BH_ALLOWED;
			if (one.verdict == BH_ALLOWED)
				return one;
			if (one.rule)
				half = one; /* a Deny explains more than a missing Allow */
		}
	}
	return half;
}

struct bh_half bh_refeval_among(const struct bh_world *w, const struct bh_policies *selecting,
				const struct bh_ask *ask)
{
	/* Not a pod that can be isolated: nothing of ours stands in its way. */
	if (!ask->self.pod || ask->self.pod->host_network)
		return (struct bh_half){.verdict = BH_ALLOWED};
	if (is_same_pod(&ask->self, &ask->peer))
		return (struct bh_half){.verdict = BH_ALLOWED, .is_self = true};
	if (!selecting->n)
		return (struct bh_half){.verdict = w->default_allow ? BH_ALLOWED : BH_DENIED};
	return ask->exe ? decide(w, selecting, ask, ask->exe) : decide_any(w, selecting, ask);
}

/* ---- who is a subject ---- */

static bool is_subject(const struct bh_policy *p, const struct bh_pod *pod, enum bh_dir dir)
{
	return is_selectable(pod) && p->applies[dir] && strcmp(p->ns, pod->ident->ns) == 0 &&
	       bh_selector_matches(&p->pods, &pod->ident->labels);
}

void bh_policies_done(struct bh_policies *list)
{
	free(list->v);
	*list = (struct bh_policies){0};
}

int bh_refeval_selecting(const struct bh_world *w, const struct bh_pod *pod, enum bh_dir dir,
			 struct bh_policies *list)
{
	size_t n = 0;

	*list = (struct bh_policies){0};
	for (size_t i = 0; pod && i < w->n_policies; i++)
		n += is_subject(w->policies[i], pod, dir);
	if (!n)
		return 0;
	list->v = calloc(n, sizeof(*list->v));
	if (!list->v)
		return -ENOMEM;
	for (size_t i = 0; i < w->n_policies; i++) {
		if (is_subject(w->policies[i], pod, dir))
			list->v[list->n++] = w->policies[i];
	}
	return 0;
}

/* ---- answers ---- */

struct bh_half bh_refeval_ask(const struct bh_world *w, const struct bh_ask *ask)
{
	BH_CLEANUP(bh_policies_done) struct bh_policies selecting = {0};

	if (bh_refeval_selecting(w, ask->self.pod, ask->dir, &selecting))
		return (struct bh_half){.verdict = BH_DENIED};
	return bh_refeval_among(w, &selecting, ask);
}

struct bh_cell bh_refeval_cell(const struct bh_world *w, const struct bh_ask *ask)
{
	struct bh_ask egress = *ask, ingress = *ask;
	struct bh_cell cell;
	bool is_allowed;

	egress.dir = BH_EGRESS;
	ingress.dir = BH_INGRESS;
	ingress.self = ask->peer;
	ingress.peer = ask->self;
	cell.egress = bh_refeval_ask(w, &egress);
	cell.ingress = bh_refeval_ask(w, &ingress);
	is_allowed = cell.egress.verdict == BH_ALLOWED && cell.ingress.verdict == BH_ALLOWED;
	cell.verdict = is_allowed ? BH_ALLOWED : BH_DENIED;
	return cell;
}

/* ---- executables ---- */

static int by_path(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int gather_bound(const struct bh_world *w, const struct bh_policies *selecting,
			const struct bh_ask *ask, struct bh_exes *all)
{
	const struct bh_rule *r;
	size_t policy = 0, rule = 0;

	while ((r = next_bound(w, selecting, ask, &policy, &rule))) {
		const char **v = realloc(all->v, (all->n + r->n_processes) * sizeof(*v));

		if (!v)
			return -ENOMEM;
		all->v = v;
		for (size_t i = 0; i < r->n_processes; i++)
			all->v[all->n++] = r->processes[i];
	}
	return 0;
}

void bh_exes_done(struct bh_exes *exes)
{
	free(exes->v);
	*exes = (struct bh_exes){0};
}

int bh_refeval_exes(const struct bh_world *w, const struct bh_policies *selecting,
		    const struct bh_ask *ask, struct bh_exes *ret)
{
	BH_CLEANUP(bh_exes_done) struct bh_exes exes = {0};
	struct bh_ask one = *ask;
	size_t n = 0;
	int r = gather_bound(w, selecting, ask, &exes);

	if (r)
		return r;
	one.exe = OTHER_EXE;
	exes.is_except = bh_refeval_among(w, selecting, &one).verdict == BH_ALLOWED;
	if (exes.n)
		qsort(exes.v, exes.n, sizeof(*exes.v), by_path);
	for (size_t i = 0; i < exes.n; i++) {
		if (n && strcmp(exes.v[n - 1], exes.v[i]) == 0)
			continue;
		one.exe = exes.v[i];
		if ((bh_refeval_among(w, selecting, &one).verdict == BH_ALLOWED) != exes.is_except)
			exes.v[n++] = exes.v[i];
	}
	*ret = exes;
	ret->n = n;
	exes = (struct bh_exes){0};
	return 0;
}

struct bh_place bh_half_place(const struct bh_half *h, enum bh_dir dir)
{
	struct bh_place place = {0};

	if (!h->policy)
		return place;
	place = h->rule ? bh_rule_place(h->policy, dir, h->rule) : h->policy->place;
	if (!place.file)
		place.file = h->policy->file;
	return place;
}
