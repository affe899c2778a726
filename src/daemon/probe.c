#include "daemon/probe.h"

#include <netinet/in.h>
#include <string.h>

/* ---- ports ---- */

static int port_cmp(const void *a, const void *b)
{
	const struct bh_probe_port *x = a, *y = b;

	return x->proto != y->proto ? x->proto - y->proto : x->port - y->port;
}

static int add_port(struct bh_probe *p, uint8_t proto, int port)
{
	if (port < 0 || port > 65535)
		return 0;
	return bh_vec_push(&p->ports, ((struct bh_probe_port){proto, (uint16_t)port}));
}

/* Just before, at both ends of, and just behind a range. */
static int add_range(struct bh_probe *p, uint8_t proto, int first, int last)
{
	int r = add_port(p, proto, first - 1);

	if (!r)
		r = add_port(p, proto, first);
	if (!r)
		r = add_port(p, proto, last);
	return r ? r : add_port(p, proto, last + 1);
}

/* Whatever number the name has on some pod. */
static int add_named(struct bh_probe *p, const struct bh_port *port)
{
	const struct bh_ident *last = NULL;
	int r = 0;

	for (size_t i = 0; !r && i < p->w->n_pods; i++) {
		const struct bh_ident *id = p->w->pods[i]->ident;

		for (size_t k = 0; !r && id != last && k < id->n_ports; k++) {
			if (id->ports[k].proto == port->proto &&
			    !strcmp(id->ports[k].name, port->name))
				r = add_range(p, port->proto, id->ports[k].port, id->ports[k].port);
		}
		last = id;
	}
	return r;
}

static int add_rule_ports(struct bh_probe *p, const struct bh_rule *rule)
{
	int r = 0;

	for (size_t i = 0; !r && i < rule->n_ports; i++) {
		const struct bh_port *port = &rule->ports[i];

		if (port->kind == BH_PORT_RANGE)
			r = add_range(p, port->proto, port->first, port->last);
		else if (port->kind == BH_PORT_NAMED)
			r = add_named(p, port);
	}
	return r;
}

static void unique_ports(struct bh_probe *p)
{
	size_t n = 0;

	qsort(p->ports.v, p->ports.n, sizeof(*p->ports.v), port_cmp);
	for (size_t i = 0; i < p->ports.n; i++) {
		if (!n || port_cmp(&p->ports.v[n - 1], &p->ports.v[i]))
			p->ports.v[n++] = p->ports.v[i];
	}
	p->ports.n = n;
}

/* ---- peers ---- */

static int peer_cmp(const void *a, const void *b)
{
	const struct bh_probe_peer *x = a, *y = b;

	return bh_ip_cmp(&x->ip, &y->ip);
}

static int add_peer(struct bh_probe *p, const struct bh_ip *ip)
{
	struct bh_probe_peer key = {.ip = *ip};
	const struct bh_probe_peer *known = NULL;

	if (p->pods.n)
		known = bsearch(&key, p->pods.v, p->pods.n, sizeof(key), peer_cmp);
	return bh_vec_push(&p->peers, known ? *known : key);
}

static void step_back(struct bh_ip *ip)
{
	for (int i = 15; i >= 0 && ip->b[i]-- == 0; i--)
		;
}

static void step_on(struct bh_ip *ip)
{
	for (int i = 15; i >= 0 && ++ip->b[i] == 0; i--)
		;
}

/* First and last address of a prefix, and the ones outside next to them. */
static int add_cidr(struct bh_probe *p, const struct bh_cidr *c)
{
	struct bh_ip last = c->ip, before = c->ip, after;
	bool is4 = bh_ip_is4(&c->ip);
	int r = add_peer(p, &c->ip);

	for (unsigned bit = c->len; bit < 128; bit++)
		last.b[bit / 8] |= (uint8_t)(0x80 >> (bit % 8));
	after = last;
	step_back(&before);
	step_on(&after);
	if (!r)
		r = add_peer(p, &last);
	/* Stepping out of the family's range says nothing. */
	if (!r && bh_ip_is4(&before) == is4)
		r = add_peer(p, &before);
	if (!r && bh_ip_is4(&after) == is4)
		r = add_peer(p, &after);
	return r;
}

static int add_rule_cidrs(struct bh_probe *p, const struct bh_rule *rule)
{
	int r = 0;

	for (size_t i = 0; !r && i < rule->n_peers; i++) {
		const struct bh_peer *peer = &rule->peers[i];

		if (peer->kind != BH_PEER_CIDR)
			continue;
		r = add_cidr(p, &peer->cidr);
		for (size_t e = 0; !r && e < peer->n_excepts; e++)
			r = add_cidr(p, &peer->excepts[e]);
	}
	return r;
}

static void unique_peers(struct bh_probe *p)
{
	size_t n = 0;

	qsort(p->peers.v, p->peers.n, sizeof(*p->peers.v), peer_cmp);
	for (size_t i = 0; i < p->peers.n; i++) {
		if (!n || peer_cmp(&p->peers.v[n - 1], &p->peers.v[i]))
			p->peers.v[n++] = p->peers.v[i];
	}
	p->peers.n = n;
}

/* ---- kinds of pods: alike in what selectors see, and in what prefixes they lie in ---- */

static int kind_cmp(const void *a, const void *b)
{
	const struct bh_probe_peer *x = *(struct bh_probe_peer *const *)a;
	const struct bh_probe_peer *y = *(struct bh_probe_peer *const *)b;
	bool x4 = bh_ip_is4(&x->ip), y4 = bh_ip_is4(&y->ip);

	if (x->pod->ident != y->pod->ident)
		return x->pod->ident < y->pod->ident ? -1 : 1;
	if (x->class != y->class)
		return x->class < y->class ? -1 : 1;
	return x4 != y4 ? (int)x4 - (int)y4 : (x > y) - (x < y);
}

static bool same_kind(const struct bh_probe_peer *x, const struct bh_probe_peer *y)
{
	return x->pod->ident == y->pod->ident && x->class == y->class &&
	       bh_ip_is4(&x->ip) == bh_ip_is4(&y->ip);
}

static int find_kinds(struct bh_probe *p)
{
	struct bh_probe_peer **order = calloc(p->pods.n + 1, sizeof(struct bh_probe_peer *));

	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < p->pods.n; i++)
		order[i] = &p->pods.v[i];
	qsort(order, p->pods.n, sizeof(*order), kind_cmp);
	for (size_t i = 0; i < p->pods.n; i++) {
		bool is_first = !i || !same_kind(order[i - 1], order[i]);

		order[i]->first = is_first ? (uint32_t)(order[i] - p->pods.v) : order[i - 1]->first;
	}
	free(order);
	return 0;
}

int bh_probe_init(struct bh_probe *p, const struct bh_world *w, const struct bh_tables *t)
{
	*p = (struct bh_probe){.w = w};
	for (size_t i = 0; i < w->n_pods; i++) {
		const struct bh_pod *pod = w->pods[i];

		if (pod->host_network || pod->phase == BH_POD_DONE)
			continue;
		for (size_t k = 0; k < pod->n_ips; k++) {
			struct bh_probe_peer peer = {.ip = pod->ips[k], .pod = pod};
			bool is_node;

			peer.class = bh_tables_class(t, &peer.ip, &is_node);
			if (bh_vec_push(&p->pods, peer))
				return -ENOMEM;
		}
	}
	if (p->pods.n)
		qsort(p->pods.v, p->pods.n, sizeof(*p->pods.v), peer_cmp);
	return find_kinds(p);
}

int bh_probe_fill(struct bh_probe *p, const struct bh_pod *pod, enum bh_dir dir)
{
	static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP, 47};
	struct bh_ip world4 = bh_ip_from4(0xc6336401); /* 198.51.100.1, RFC 5737 */
	int r;

	p->peers.n = p->ports.n = 0;
	r = add_peer(p, &world4);
	for (size_t i = 0; !r && i < BH_ARRAY_SIZE(protos); i++)
		r = add_port(p, protos[i], 1);
	for (size_t i = 0; !r && i < p->w->n_policies; i++) {
		const struct bh_policy *policy = p->w->policies[i];

		if (!bh_policy_selects(policy, pod, dir))
			continue;
		for (size_t k = 0; !r && k < policy->n_rules[dir]; k++) {
			r = add_rule_ports(p, &policy->rules[dir][k]);
			if (!r)
				r = add_rule_cidrs(p, &policy->rules[dir][k]);
		}
	}
	for (size_t i = 0; !r && i < p->pods.n; i++) {
		if (p->pods.v[i].first == i)
			r = bh_vec_push(&p->peers, p->pods.v[i]);
	}
	if (r)
		return r;
	unique_ports(p);
	unique_peers(p);
	return 0;
}

void bh_probe_done(struct bh_probe *p)
{
	bh_vec_done(&p->pods);
	bh_vec_done(&p->peers);
	bh_vec_done(&p->ports);
}
