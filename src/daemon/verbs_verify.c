#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/vec.h"
#include "daemon/daemon.h"
#include "daemon/verbs.h"
#include "refeval/refeval.h"

#define MAX_MISMATCHES 100

/* `policy verify`: for every pod here, both directions, every kind of peer and every port at which
 * anything can change, what the kernel's tables say against the reference evaluator. */

struct probe_port {
	uint8_t proto;
	uint16_t port;
};

struct probe_peer {
	struct bh_ip ip;
	const struct bh_pod *pod;
};

struct verify {
	struct bh_daemon *d;
	const struct bh_world *w;
	BH_VEC(struct probe_port) ports; /* of the pod at hand */
	BH_VEC(struct probe_peer) peers;
	uint64_t cells;
	json_t *mismatches;
	struct bh_err *err;
};

static void verify_done(struct verify *v)
{
	bh_vec_done(&v->ports);
	bh_vec_done(&v->peers);
}

static int port_cmp(const void *a, const void *b)
{
	const struct probe_port *x = a, *y = b;

	return x->proto != y->proto ? x->proto - y->proto : x->port - y->port;
}

static int add_port(struct verify *v, uint8_t proto, int port)
{
	if (port < 0 || port > 65535)
		return 0;
	return bh_vec_push(&v->ports, ((struct probe_port){proto, (uint16_t)port}));
}

/* Just before, at both ends of, and just behind a range. */
static int add_range(struct verify *v, uint8_t proto, int first, int last)
{
	int r = add_port(v, proto, first - 1);

	if (!r)
		r = add_port(v, proto, first);
	if (!r)
		r = add_port(v, proto, last);
	return r ? r : add_port(v, proto, last + 1);
}

static int add_named(struct verify *v, const struct bh_port *p)
{
	int r = 0;

	for (size_t i = 0; !r && i < v->w->n_pods; i++) {
		const struct bh_ident *id = v->w->pods[i]->ident;

		for (size_t k = 0; !r && k < id->n_ports; k++) {
			if (id->ports[k].proto == p->proto && !strcmp(id->ports[k].name, p->name))
				r = add_range(v, p->proto, id->ports[k].port, id->ports[k].port);
		}
	}
	return r;
}

static int add_rule_ports(struct verify *v, const struct bh_rule *rule)
{
	int r = 0;

	for (size_t i = 0; !r && i < rule->n_ports; i++) {
		const struct bh_port *p = &rule->ports[i];

		if (p->kind == BH_PORT_RANGE)
			r = add_range(v, p->proto, p->first, p->last);
		else if (p->kind == BH_PORT_NAMED)
			r = add_named(v, p);
	}
	return r;
}

static int gather_ports(struct verify *v, const struct bh_pod *pod, enum bh_dir dir)
{
	static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP, 47};
	size_t n = 0;
	int r = 0;

	v->ports.n = 0;
	for (size_t i = 0; !r && i < BH_ARRAY_SIZE(protos); i++)
		r = add_port(v, protos[i], 1);
	for (size_t i = 0; !r && i < v->w->n_policies; i++) {
		const struct bh_policy *p = v->w->policies[i];

		if (!bh_policy_selects(p, pod, dir))
			continue;
		for (size_t k = 0; !r && k < p->n_rules[dir]; k++)
			r = add_rule_ports(v, &p->rules[dir][k]);
	}
	qsort(v->ports.v, v->ports.n, sizeof(*v->ports.v), port_cmp);
	for (size_t i = 0; i < v->ports.n; i++) {
		if (!n || port_cmp(&v->ports.v[n - 1], &v->ports.v[i]))
			v->ports.v[n++] = v->ports.v[i];
	}
	v->ports.n = n;
	return r;
}

static int add_peer(struct verify *v, const struct bh_ip *ip)
{
	struct bh_end end = bh_refeval_end(v->w, ip);

	return bh_vec_push(&v->peers, ((struct probe_peer){*ip, end.pod}));
}

/* First and last address of a prefix, and the ones outside next to them. */
static int add_cidr(struct verify *v, const struct bh_cidr *c)
{
	struct bh_ip last = c->ip, before = c->ip, after;
	int r = add_peer(v, &c->ip), i;

	for (unsigned bit = c->len; bit < 128; bit++)
		last.b[bit / 8] |= (uint8_t)(0x80 >> (bit % 8));
	after = last;
	for (i = 15; i >= 0 && before.b[i]-- == 0; i--)
		;
	for (int k = 15; k >= 0 && ++after.b[k] == 0; k--)
		;
	if (!r)
		r = add_peer(v, &last);
	/* Stepping out of the family's range says nothing. */
	if (!r && bh_ip_is4(&before) == bh_ip_is4(&c->ip) && i >= 0)
		r = add_peer(v, &before);
	if (!r && bh_ip_is4(&after) == bh_ip_is4(&c->ip))
		r = add_peer(v, &after);
	return r;
}

static int add_policy_cidrs(struct verify *v, const struct bh_policy *p)
{
	int r = 0;

	for (int dir = 0; dir < 2; dir++) {
		for (size_t k = 0; k < p->n_rules[dir]; k++) {
			const struct bh_rule *rule = &p->rules[dir][k];

			for (size_t i = 0; !r && i < rule->n_peers; i++) {
				const struct bh_peer *peer = &rule->peers[i];

				if (peer->kind != BH_PEER_CIDR)
					continue;
				r = add_cidr(v, &peer->cidr);
				for (size_t e = 0; !r && e < peer->n_excepts; e++)
					r = add_cidr(v, &peer->excepts[e]);
			}
		}
	}
	return r;
}

static int gather_peers(struct verify *v)
{
	struct bh_ip world4 = bh_ip_from4(0xc6336401); /* 198.51.100.1, RFC 5737 */
	int r = add_peer(v, &world4);

	for (size_t i = 0; !r && i < v->w->n_policies; i++)
		r = add_policy_cidrs(v, v->w->policies[i]);
	for (size_t i = 0; !r && i < v->w->n_pods; i++) {
		const struct bh_pod *pod = v->w->pods[i];

		for (size_t k = 0; !r && !pod->host_network && k < pod->n_ips; k++)
			r = add_peer(v, &pod->ips[k]);
	}
	return r;
}

/* One cell: the question, and what both sides answer. */
struct cell {
	const struct bh_endpoint *ep;
	struct bh_ask ask;
	bool kernel, reference; /* allowed */
};

static void mismatch(struct verify *v, const struct cell *c)
{
	char pod[600], ip[BH_IP_TEXT], text[24], proto[8];

	if (json_array_size(v->mismatches) >= MAX_MISMATCHES)
		return;
	snprintf(pod, sizeof(pod), "%s/%s", c->ep->ns, c->ep->name);
	snprintf(text, sizeof(text), "%u/%s", c->ask.port, bh_proto_format(c->ask.proto, proto));
	json_array_append_new(v->mismatches,
			      json_pack("{ss ss ss ss ss ss}", "pod", pod, "direction",
					c->ask.dir == BH_EGRESS ? "egress" : "ingress", "peer",
					bh_ip_format(&c->ask.peer.ip, ip), "port", text, "kernel",
					c->kernel ? "allowed" : "denied", "reference",
					c->reference ? "allowed" : "denied"));
}

/* All ports against one peer. */
static int verify_peer(struct verify *v, const struct bh_policies *selecting, struct cell *c)
{
	bh_vec_each (p, &v->ports) {
		struct bh_kernel_verdict k;
		int r;

		c->ask.proto = p->proto;
		c->ask.port = p->port;
		r = bh_datapath_decide(v->d->dp, c->ep->slot, c->ask.dir, &c->ask.peer.ip, p->proto,
				       p->port, &k, v->err);
		if (r < 0)
			return r;
		v->cells++;
		/* A conditional cell is one that some executable may use. */
		c->kernel = k.verdict == BH_ALLOWED || k.is_conditional;
		c->reference = bh_refeval_among(v->w, selecting, &c->ask).verdict == BH_ALLOWED;
		if (c->kernel != c->reference)
			mismatch(v, c);
	}
	return 0;
}

static int verify_direction(struct verify *v, struct cell *c, const struct bh_pod *pod)
{
	BH_CLEANUP(bh_policies_done) struct bh_policies selecting = {0};
	int r = gather_ports(v, pod, c->ask.dir);

	if (!r)
		r = bh_refeval_selecting(v->w, pod, c->ask.dir, &selecting);
	if (r < 0)
		return bh_fail(v->err, ENOMEM, "verify");
	bh_vec_each (peer, &v->peers) {
		if (peer->pod == pod)
			continue;
		c->ask.self = bh_refeval_pod_end(pod, bh_ip_is4(&peer->ip) ? 4 : 6);
		c->ask.peer = (struct bh_end){peer->pod, peer->ip, true};
		r = verify_peer(v, &selecting, c);
		if (r < 0)
			return r;
	}
	return 0;
}

static int verify_endpoint(struct verify *v, const struct bh_endpoint *ep)
{
	const struct bh_pod *pod = bh_world_pod(v->w, ep->ns, ep->name);
	struct cell c = {.ep = ep};
	int r = 0;

	if (!pod || pod->phase == BH_POD_DONE || !ep->is_open)
		return 0;
	for (int dir = 0; !r && dir < 2; dir++) {
		c.ask.dir = (enum bh_dir)dir;
		r = verify_direction(v, &c, pod);
	}
	return r;
}

void bh_verb_verify(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	struct bh_reconcile_state st = bh_reconcile_state(d->reconciler);
	struct bh_err err = {0};
	BH_CLEANUP(verify_done)
	struct verify v = {.d = d, .w = st.world, .mismatches = json_array(), .err = &err};
	int r = v.w ? 0 : bh_fail(&err, EAGAIN, "nothing is published yet");

	(void)args;
	if (!r && gather_peers(&v) < 0)
		r = bh_fail(&err, ENOMEM, "verify");
	bh_vec_each (it, &d->endpoints.eps) {
		if (!r)
			r = verify_endpoint(&v, *it);
	}
	bh_verb_answer(rq, r,
		       json_pack("{sI so sI}", "cells", (json_int_t)v.cells, "mismatches",
				 v.mismatches, "revision", (json_int_t)st.revision),
		       &err);
}
