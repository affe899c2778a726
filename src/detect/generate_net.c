/* generate_net.c - a NetworkPolicy from edges, replayed by the reference evaluator. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "detect/generate_parts.h"
#include "policy/yaml.h"
#include "refeval/refeval.h"

enum peer_kind { PEER_POD, PEER_IP, PEER_OUTSIDE, PEER_NODE };

struct edge {
	enum bh_dir dir;
	uint8_t proto;
	uint16_t port;
	enum peer_kind kind;
	const struct bh_gen_peer *peer; /* PEER_POD */
	struct bh_ip ip;		/* PEER_IP */
};
BH_VEC_TYPE(edges, struct edge);

static const struct bh_gen_peer *find_peer(const struct bh_gen_input *in, const char *name)
{
	size_t i;

	for (i = 0; i < in->n_peers; i++) {
		if (!strcmp(in->peers[i].name, name))
			return &in->peers[i];
	}
	return NULL;
}

/* "out TCP 5432 pod shop/Deployment/db": see baseline_keys.c. */
static int parse_edge(const struct bh_gen_input *in, const char *key, struct edge *ret,
		      struct bh_err *err)
{
	char dir[4], proto[9], kind[9];
	unsigned port;
	int at = 0;

	if (sscanf(key, "%3s %8s %u %8s%n", dir, proto, &port, kind, &at) != 4 || !at ||
	    port > 65535 || bh_proto_parse(proto, &ret->proto))
		return bh_fail(err, EINVAL, "'%s' is not an edge", key);
	ret->dir = strcmp(dir, "in") ? BH_EGRESS : BH_INGRESS;
	ret->port = (uint16_t)port;
	key += at + (key[at] == ' ');
	if (!strcmp(kind, "node")) {
		ret->kind = PEER_NODE;
	} else if (!strcmp(kind, "outside")) {
		ret->kind = PEER_OUTSIDE;
	} else if (!strcmp(kind, "ip")) {
		ret->kind = PEER_IP;
		return bh_ip_parse(key, &ret->ip, err);
	} else {
		ret->kind = PEER_POD;
		ret->peer = find_peer(in, key);
		if (!ret->peer || !ret->peer->labels.n)
			return bh_fail(err, ENOENT,
				       "no labels are known that select the pods of %s", key);
	}
	return 0;
}

static int parse_edges(const struct bh_gen_input *in, struct edges *ret, struct bh_err *err)
{
	struct bh_gen_keys keys;
	size_t i;
	int r = bh_gen_keys(in, BH_BASE_EDGE, &keys);

	for (i = 0; !r && i < keys.n; i++) {
		struct edge e = {0};

		r = parse_edge(in, keys.v[i], &e, err);
		if (!r && bh_vec_push(ret, e))
			r = bh_fail(err, ENOMEM, "edges");
	}
	bh_gen_keys_done(&keys);
	return r;
}

/* ---- writing ---- */

static bool is_same_peer(const struct edge *a, const struct edge *b)
{
	return a->dir == b->dir && a->kind == b->kind && a->peer == b->peer &&
	       (a->kind != PEER_IP || !bh_ip_cmp(&a->ip, &b->ip));
}

static bool has_ports(uint8_t proto)
{
	return proto == 6 || proto == 17 || proto == 132;
}

static void write_peer(const struct edge *e, struct bh_str *out)
{
	char ip[BH_IP_TEXT];

	if (e->kind == PEER_OUTSIDE) {
		bh_str_add(out, "[{ipBlock: {cidr: 0.0.0.0/0}}, {ipBlock: {cidr: \"::/0\"}}]");
	} else if (e->kind == PEER_IP) {
		bh_str_fmt(out, "[{ipBlock: {cidr: \"%s/%d\"}}]", bh_ip_format(&e->ip, ip),
			   bh_ip_is4(&e->ip) ? 32 : 128);
	} else {
		bh_str_add(out,
			   "[{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ");
		bh_yaml_dump_string(e->peer->ns, out);
		bh_str_add(out, "}}, podSelector: ");
		bh_gen_labels(&e->peer->labels, out);
		bh_str_add(out, "}]");
	}
}

/* A rule for the peer of v[at] with all of its ports; protocols without ports need a rule that has
 * none. */
static void write_rule(const struct edges *all, size_t at, bool with_ports, struct bh_str *out)
{
	const struct edge *first = &all->v[at];
	bool has_one = false;
	char proto[8];
	size_t i;

	for (i = at; i < all->n; i++)
		has_one |=
			is_same_peer(first, &all->v[i]) && has_ports(all->v[i].proto) == with_ports;
	if (!has_one)
		return;
	bh_str_fmt(out, "  - %s: ", first->dir == BH_INGRESS ? "from" : "to");
	write_peer(first, out);
	bh_str_add(out, "\n");
	if (!with_ports)
		return;
	bh_str_add(out, "    ports:\n");
	for (i = at; i < all->n; i++) {
		const struct edge *e = &all->v[i];

		if (is_same_peer(first, e) && has_ports(e->proto))
			bh_str_fmt(out, "    - {port: %u, protocol: %s}\n", e->port,
				   bh_proto_format(e->proto, proto));
	}
}

static void write_direction(const struct edges *all, enum bh_dir dir, struct bh_str *out)
{
	size_t i, k, n = 0;

	bh_str_fmt(out, "  %s:", dir == BH_INGRESS ? "ingress" : "egress");
	for (i = 0; i < all->n; i++) {
		if (all->v[i].dir != dir || all->v[i].kind == PEER_NODE)
			continue;
		for (k = 0; k < i && !is_same_peer(&all->v[k], &all->v[i]); k++)
			continue;
		if (k < i)
			continue;
		bh_str_add(out, n++ ? "" : "\n");
		write_rule(all, i, true, out);
		write_rule(all, i, false, out);
	}
	bh_str_add(out, n ? "" : " []\n");
}

/* ---- replaying ---- */

static struct bh_ip address(size_t n)
{
	/* documentation prefix: nothing observed is there */
	struct bh_ip ip = {.b = {0x20, 0x01, 0x0d, 0xb8, 0xff, 0xff}};

	ip.b[14] = (uint8_t)(n >> 8);
	ip.b[15] = (uint8_t)n;
	return ip;
}

static int add_pod(struct bh_world *w, const char *ns, size_t n, const struct bh_labels *labels,
		   struct bh_err *err)
{
	struct bh_ip ip = address(n);
	char name[24];
	struct bh_pod *pod = NULL;
	int r;

	snprintf(name, sizeof(name), "p%zu", n);
	r = bh_pod_new(
		&(struct bh_pod_init){
			.ns = ns, .name = name, .labels = *labels, .ips = &ip, .n_ips = 1},
		&pod, err);
	if (!r && bh_world_add_pod(w, pod))
		r = bh_fail(err, ENOMEM, "world");
	if (pod)
		bh_pod_unref(pod);
	return r;
}

/* Pod p0 is the workload's, p1... its peers'. */
static int make_world(const struct bh_gen_input *in, const char *text, struct bh_world **ret,
		      struct bh_err *err)
{
	BH_CLEANUP(bh_objects_freep) struct bh_objects *o = NULL;
	BH_CLEANUP(bh_world_unrefp) struct bh_world *w = NULL;
	size_t i;
	int r = bh_gen_parse(text, &o, err);

	if (!r)
		r = bh_world_new(&w, err);
	if (!r)
		r = add_pod(w, in->baseline->ns, 0, &in->labels, err);
	for (i = 0; !r && i < in->n_peers; i++)
		r = add_pod(w, in->peers[i].ns, i + 1, &in->peers[i].labels, err);
	if (!r)
		r = bh_objects_fill(o, w, err);
	if (!r)
		r = bh_world_seal(w, err);
	if (!r)
		*ret = BH_TAKE(w);
	return r;
}

static bool is_admitted(const struct bh_gen_input *in, const struct bh_world *w,
			const struct edge *e)
{
	struct bh_ask ask = {.dir = e->dir, .proto = e->proto, .port = e->port};
	struct bh_ip own = address(0), other = e->ip;

	/* the node's own traffic is the configuration's business, not a policy's */
	if (e->kind == PEER_NODE)
		return true;
	if (e->kind == PEER_POD)
		other = address((size_t)(e->peer - in->peers) + 1);
	else if (e->kind == PEER_OUTSIDE)
		other = bh_ip_from4(0xc0000201); /* 192.0.2.1 */
	ask.self = bh_refeval_end(w, &own);
	ask.peer = bh_refeval_end(w, &other);
	return bh_refeval_ask(w, &ask).verdict == BH_ALLOWED;
}

static bool is_observed(const struct edges *all, const struct edge *e)
{
	size_t i;

	for (i = 0; i < all->n; i++) {
		if (is_same_peer(&all->v[i], e) && all->v[i].proto == e->proto &&
		    all->v[i].port == e->port)
			return true;
	}
	return false;
}

/* Every known peer on every observed port, in both directions. */
static void count_slack(const struct bh_gen_input *in, const struct bh_world *w,
			const struct edges *all, struct bh_gen_report *ret)
{
	size_t i, p;
	int dir;

	for (i = 0; i < all->n; i++) {
		for (p = 0; p < in->n_peers; p++) {
			for (dir = 0; dir < 2; dir++) {
				struct edge e = {.dir = (enum bh_dir)dir,
						 .proto = all->v[i].proto,
						 .port = all->v[i].port,
						 .peer = &in->peers[p]};

				ret->asked++;
				ret->slack += !is_observed(all, &e) && is_admitted(in, w, &e);
			}
		}
	}
	snprintf(ret->what, sizeof(ret->what),
		 "connections with the %zu known workloads on the %zu observed ports that were not "
		 "observed",
		 in->n_peers, all->n);
}

int bh_generate_network(const struct bh_gen_input *in, struct bh_str *out,
			struct bh_gen_report *ret, struct bh_err *err)
{
	BH_CLEANUP(bh_world_unrefp) struct bh_world *w = NULL;
	struct bh_gen_report report = {0};
	struct edges all = {0};
	size_t i;
	int r = parse_edges(in, &all, err);

	if (!r) {
		bh_gen_head(in, "networking.k8s.io/v1", "NetworkPolicy", out);
		bh_str_add(out, "  policyTypes: [Ingress, Egress]\n");
		write_direction(&all, BH_INGRESS, out);
		write_direction(&all, BH_EGRESS, out);
		r = out->failed ? bh_fail(err, ENOMEM, "policy")
				: make_world(in, bh_str_text(out), &w, err);
	}
	for (i = 0; !r && i < all.n; i++) {
		report.observed++;
		report.admitted += is_admitted(in, w, &all.v[i]);
	}
	if (!r && report.admitted != report.observed)
		r = bh_fail(err, EPROTO, "the policy admits %zu of %zu observed edges",
			    report.admitted, report.observed);
	if (!r) {
		count_slack(in, w, &all, &report);
		*ret = report;
	}
	bh_vec_done(&all);
	return r;
}
