#include "daemon/observe.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "base/reason.h"
#include "daemon/daemon.h"
#include "daemon/edge_paths.h"
#include "daemon/journal.h"
#include "daemon/runtime.h"
#include "daemon/runtime_who.h"
#include "refeval/report.h"

#define EDGE_IDLE_S   3600
#define LEDGER_KEEP_S (7 * 86400)
#define LEDGER_MAX    20000

struct follower {
	struct bh_observer *o;
	struct bh_request *rq;
	struct bh_flow_filter filter; /* strings owned */
};

struct bh_observer {
	struct bh_daemon *d;
	struct bh_edge_paths *paths;
	struct bh_map owners; /* struct bh_ip > const struct bh_pod *, of owners_of */
	struct bh_world *owners_of;
	uint64_t swept_ns;
	unsigned ledger_no;
	unsigned sweeps;
	BH_VEC(struct follower *) followers;
};

int64_t bh_wall_ms(uint64_t ktime_ns)
{
	struct timespec real;
	int64_t now_ms;

	clock_gettime(CLOCK_REALTIME, &real);
	now_ms = (int64_t)real.tv_sec * 1000 + real.tv_nsec / 1000000;
	/* on another processor it may be a moment ahead of us */
	return now_ms - (int64_t)(bh_datapath_now_ns() - ktime_ns) / 1000000;
}

static json_t *wall_json(uint64_t ktime_ns)
{
	char text[32];

	return json_string(bh_time_format(bh_wall_ms(ktime_ns) / 1000, text));
}

/* Which running pod has an address; rebuilt when the enforced world is another one. */
static const struct bh_pod *owner_of(struct bh_observer *o, const struct bh_world *w,
				     const struct bh_ip *ip)
{
	if (o->owners_of != w) {
		bh_map_done(&o->owners);
		bh_map_init(&o->owners, NULL);
		bh_world_unref(o->owners_of);
		o->owners_of = bh_world_ref((struct bh_world *)w);
		for (size_t i = 0; i < w->n_pods; i++) {
			struct bh_pod *pod = w->pods[i];
			bool is_ours = !pod->host_network && pod->phase != BH_POD_DONE;

			for (size_t k = 0; is_ours && k < pod->n_ips; k++)
				bh_map_set(&o->owners, &pod->ips[k], sizeof(pod->ips[k]), pod);
		}
	}
	return bh_map_get(&o->owners, ip, sizeof(*ip));
}

static bool is_node_address(const struct bh_world *w, const struct bh_ip *ip)
{
	for (size_t i = 0; i < w->n_node_addresses; i++) {
		if (!bh_ip_cmp(&w->node_addresses[i], ip))
			return true;
	}
	return false;
}

/* What a person calls the other end: pod, node, or its address. */
static char *peer_name(struct bh_observer *o, const struct bh_world *w, const struct bh_ip *ip)
{
	const struct bh_pod *pod = owner_of(o, w, ip);
	char text[BH_IP_TEXT];

	if (pod)
		return bh_strf("%s/%s", pod->ident->ns, pod->name);
	return bh_strf("%s", is_node_address(w, ip) ? "node" : bh_ip_format(ip, text));
}

/* The endpoint's address of the peer's family. */
static struct bh_ip own_address(const struct bh_endpoint *ep, const struct bh_ip *peer)
{
	for (size_t i = 0; i < ep->n_ips; i++) {
		if (bh_ip_is4(&ep->ips[i]) == bh_ip_is4(peer))
			return ep->ips[i];
	}
	return ep->n_ips ? ep->ips[0] : (struct bh_ip){0};
}

/* Did policy say so, and does it still? A forged packet has no deciding rule. */
static bool is_by_policy(const struct bh_edge_key *k, const struct bh_half *half)
{
	switch ((enum bh_reason)k->reason) {
	case BH_R_POLICY:
	case BH_R_DEFAULT_ALLOW:
	case BH_R_POLICY_DENY:
	case BH_R_DEFAULT_DENY:
	case BH_R_EXPIRED:
		return half->verdict == (k->verdict == BH_ALLOWED ? BH_ALLOWED : BH_DENIED);
	case BH_R_PROCESS: /* the rule that names other executables */
	case BH_R_PROCESS_UNKNOWN:
		return true;
	default:
		return false;
	}
}

/* The rule that decided and, in *place, "file:line" of it, both to be freed; NULL: not policy. */
static char *rule_text(struct bh_observer *o, const struct bh_world *w,
		       const struct bh_endpoint *ep, const struct bh_edge_key *k, char **place)
{
	const struct bh_pod *self = bh_world_pod(w, ep->ns, ep->name);
	struct bh_ask ask = {
		.dir = k->dir,
		.self = {.pod = self, .has_ip = true},
		.peer = {.has_ip = true},
		.proto = k->proto,
		.port = ntohs(k->port),
	};
	struct bh_half half;
	struct bh_place at;

	memcpy(ask.peer.ip.b, k->remote, sizeof(ask.peer.ip.b));
	if (!self || self->phase == BH_POD_DONE)
		return NULL;
	ask.self.ip = own_address(ep, &ask.peer.ip);
	ask.peer.pod = owner_of(o, w, &ask.peer.ip);
	half = bh_refeval_ask(w, &ask);
	if (!is_by_policy(k, &half))
		return NULL;
	at = bh_half_place(&half, k->dir);
	*place = at.file ? bh_strf("%s:%u", at.file, at.line) : NULL;
	return bh_report_rule(&half, k->dir);
}

static const char *path_of(const struct bh_observer *o, const struct bh_edge_fact *e)
{
	return bh_edge_paths_get(o->paths, &e->key, e->value.generation);
}

/* One edge with everything a person wants to know about it. */
struct edge_view {
	const struct bh_endpoint *ep;
	const struct bh_edge_fact *fact;
	struct bh_ip own, remote;
	char *pod, *peer, *rule, *place;
	const char *path; /* of the executable, NULL: not known */
};

static void edge_view_done(struct edge_view *v)
{
	free(v->pod);
	free(v->peer);
	free(v->rule);
	free(v->place);
}

static void edge_view_fill(struct bh_observer *o, const struct bh_endpoint *ep,
			   const struct bh_edge_fact *e, struct edge_view *v)
{
	const struct bh_world *w = bh_reconcile_state(o->d->reconciler).world;

	v->ep = ep;
	v->fact = e;
	memcpy(v->remote.b, e->key.remote, sizeof(v->remote.b));
	v->own = own_address(ep, &v->remote);
	v->pod = bh_strf("%s/%s", ep->ns, ep->name);
	v->peer = peer_name(o, w, &v->remote);
	v->rule = rule_text(o, w, ep, &e->key, &v->place);
	v->path = path_of(o, e);
}

static json_t *edge_json(const struct edge_view *v)
{
	const struct bh_edge_key *k = &v->fact->key;
	const struct bh_edge *e = &v->fact->value;
	bool out = k->dir == BH_EGRESS;
	char own[BH_IP_TEXT], remote[BH_IP_TEXT], proto[8], port[16];
	json_t *process = bh_json_text(v->path ? v->path : e->comm);

	bh_ip_format(&v->own, own);
	bh_ip_format(&v->remote, remote);
	snprintf(port, sizeof(port), "%u/%s", ntohs(k->port), bh_proto_format(k->proto, proto));
	return json_pack("{ss ss ss ss ss ss ss ss? so si sI sI so so si ss ss}", "from",
			 out ? v->pod : v->peer, "fromAddress", out ? own : remote, "to",
			 out ? v->peer : v->pod, "toAddress", out ? remote : own, "port", port,
			 "verdict", k->verdict == BH_ALLOWED ? "allowed" : "denied", "reason",
			 bh_reason_name(k->reason), "rule", v->rule, "process", process, "pid",
			 (int)e->pid, "packets", (json_int_t)e->packets, "bytes",
			 (json_int_t)e->bytes, "first", wall_json(e->first_ns), "last",
			 wall_json(e->last_ns), "liveFlows", (int)v->fact->live_flows, "pod",
			 v->pod, "direction", out ? "egress" : "ingress");
}

static const struct bh_world *world_of(const struct bh_observer *o)
{
	return bh_reconcile_state(o->d->reconciler).world;
}

static const struct bh_endpoint *endpoint_of(const struct bh_observer *o,
					     const struct bh_edge_fact *e)
{
	const struct bh_endpoint *ep = bh_endpoint_table_slot(&o->d->endpoints, e->key.slot);

	return ep && ep->generation == e->value.generation ? ep : NULL;
}

static bool filter_takes(const struct bh_flow_filter *f, const struct bh_endpoint *ep,
			 const struct bh_edge_key *k)
{
	if (f->verdict >= 0 && k->verdict != f->verdict)
		return false;
	return !f->ns || bh_endpoint_is_pod(ep, f->ns, f->name);
}

struct listing {
	struct bh_observer *o;
	const struct bh_flow_filter *filter;
	uint64_t changed_since_ns; /* 0: all */
	json_t *rows;
};

static int list_edge(const struct bh_edge_fact *e, void *arg)
{
	BH_CLEANUP(edge_view_done) struct edge_view v = {0};
	struct listing *l = arg;
	const struct bh_endpoint *ep = endpoint_of(l->o, e);
	const struct bh_world *w = world_of(l->o);

	if (!ep || !w || !filter_takes(l->filter, ep, &e->key) ||
	    e->value.last_ns < l->changed_since_ns)
		return 0;
	edge_view_fill(l->o, ep, e, &v);
	return json_array_append_new(l->rows, edge_json(&v)) ? -ENOMEM : 0;
}

static int list_kept(const char *key, const char *json, void *arg)
{
	struct listing *l = arg;
	json_t *row = NULL;
	char pod[600];
	struct bh_err err;

	(void)key;
	if (bh_json_parse(json, strlen(json), 1 << 20, &row, &err) < 0)
		return 0;
	snprintf(pod, sizeof(pod), "%s/%s", l->filter->ns ? l->filter->ns : "",
		 l->filter->name ? l->filter->name : "");
	if ((l->filter->ns && !bh_streq(json_string_value(json_object_get(row, "pod")), pod)) ||
	    (l->filter->verdict >= 0 &&
	     !bh_streq(json_string_value(json_object_get(row, "verdict")),
		       l->filter->verdict == BH_ALLOWED ? "allowed" : "denied"))) {
		json_decref(row);
		return 0;
	}
	return json_array_append_new(l->rows, row) ? -ENOMEM : 0;
}

int bh_observer_flows(struct bh_observer *o, const struct bh_flow_filter *f, json_t **ret,
		      struct bh_err *err)
{
	struct listing l = {o, f, 0, json_array()};
	int r;

	bh_observer_drain(o);
	r = bh_datapath_edges(o->d->dp, 0, list_edge, &l, err);
	if (!r)
		r = bh_store_each(o->d->store, "edge", list_kept, &l, err);
	if (r < 0) {
		json_decref(l.rows);
		return r;
	}
	*ret = l.rows;
	return 0;
}

static void tell_followers(struct bh_observer *o, const struct bh_endpoint *ep,
			   const struct bh_edge_fact *e, const json_t *row)
{
	bh_vec_each (it, &o->followers) {
		json_t *copy;

		if (!filter_takes(&(*it)->filter, ep, &e->key))
			continue;
		copy = json_deep_copy(row);
		bh_request_more((*it)->rq, json_pack("{s[o]}", "flows", copy));
	}
}

static void announce(struct bh_observer *o, const struct bh_edge_fact *e)
{
	const struct bh_endpoint *ep = endpoint_of(o, e);
	const struct bh_world *w = world_of(o);
	BH_CLEANUP(edge_view_done) struct edge_view v = {0};
	BH_CLEANUP(bh_json_decrefp) json_t *row = NULL;
	struct bh_journal_edge told;

	if (!ep || !w)
		return;
	edge_view_fill(o, ep, e, &v);
	told = (struct bh_journal_edge){e, ep, &v.own, v.path, NULL, v.rule, v.place};
	told.peer = v.peer && strchr(v.peer, '/') ? v.peer : NULL;
	bh_journal_edge(o->d->journal, &told);
	bh_runtime_edge(o->d->runtime, ep, e, v.peer);
	row = o->followers.n ? edge_json(&v) : NULL;
	if (row)
		tell_followers(o, ep, e, row);
}

static void remember_path(struct bh_observer *o, const struct bh_event_edge *ev)
{
	BH_CLEANUP(bh_freep)
	char *path = ev->pid ? bh_runtime_who_path(o->d->runtime, ev) : NULL;

	if (path)
		bh_edge_paths_put(o->paths, &ev->key, ev->generation, path);
}

static void on_record(const struct bh_event_edge *ev, void *arg)
{
	struct bh_observer *o = arg;
	struct bh_edge_fact e = {.key = ev->key};

	remember_path(o, ev);
	e.value.first_ns = e.value.last_ns = ev->ts_ns;
	e.value.packets = 1;
	e.value.generation = ev->generation;
	e.value.pid = ev->pid;
	e.value.uid = ev->uid;
	memcpy(e.value.comm, ev->comm, sizeof(e.value.comm));
	announce(o, &e);
}

void bh_observer_drain(struct bh_observer *o)
{
	bh_datapath_ring_consume(o->d->dp, on_record, o);
}

struct repeat {
	struct bh_observer *o;
	uint64_t since_ns;
};

static int repeat_edge(const struct bh_edge_fact *e, void *arg)
{
	struct repeat *rp = arg;
	const struct bh_endpoint *ep = endpoint_of(rp->o, e);
	const struct bh_world *w = world_of(rp->o);
	BH_CLEANUP(bh_freep) char *peer = NULL;
	struct bh_ip remote;

	if (!ep || !w || e->key.verdict != BH_ALLOWED || e->value.last_ns < rp->since_ns)
		return 0;
	memcpy(remote.b, e->key.remote, sizeof(remote.b));
	peer = peer_name(rp->o, w, &remote);
	bh_runtime_edge_again(rp->o->d->runtime, ep, e, peer);
	return 0;
}

void bh_observer_repeat(struct bh_observer *o, uint64_t since_ns)
{
	struct repeat rp = {o, since_ns};
	struct bh_err err = {0};

	if (bh_datapath_edges(o->d->dp, 0, repeat_edge, &rp, &err) < 0)
		bh_warn("edges are not told to baselines: %s", err.text);
}

static int sweep_edge(const struct bh_edge_fact *e, void *arg)
{
	struct bh_observer *o = arg;

	if (!(e->value.flags & BH_EDGE_UNSENT))
		return 0;
	announce(o, e);
	bh_datapath_edge_sent(o->d->dp, &e->key);
	return 0;
}

static void keep_row(struct bh_observer *o, const json_t *row)
{
	BH_CLEANUP(bh_freep) char *text = json_dumps(row, JSON_COMPACT);
	struct bh_err err = {0};
	char key[64];

	snprintf(key, sizeof(key), "%020lld-%010u", (long long)bh_now_s(), o->ledger_no++);
	if (text && bh_store_put(o->d->store, "edge", key, text, &err) < 0)
		snprintf(o->d->store_trouble, sizeof(o->d->store_trouble),
			 "edges are not kept: %.90s", err.text);
}

struct keeping {
	struct bh_observer *o;
	uint64_t before_ns; /* only edges idle since then, without live flows */
};

static int keep_edge(const struct bh_edge_fact *e, void *arg)
{
	struct keeping *k = arg;
	const struct bh_endpoint *ep = endpoint_of(k->o, e);
	const struct bh_world *w = world_of(k->o);
	BH_CLEANUP(edge_view_done) struct edge_view v = {0};
	BH_CLEANUP(bh_json_decrefp) json_t *row = NULL;

	if (!ep || !w || (k->before_ns && (e->live_flows || e->value.last_ns >= k->before_ns)))
		return 0;
	edge_view_fill(k->o, ep, e, &v);
	row = edge_json(&v);
	if (row)
		keep_row(k->o, row);
	return 0;
}

static void keep_edges(struct bh_observer *o, uint32_t slot, uint64_t before_ns)
{
	struct keeping k = {o, before_ns};
	struct bh_err err = {0};

	if (bh_store_begin(o->d->store, &err) < 0)
		return;
	bh_datapath_edges(o->d->dp, slot, keep_edge, &k, &err);
	bh_store_commit(o->d->store, &err);
}

void bh_observer_keep(struct bh_observer *o, const struct bh_endpoint *ep)
{
	bh_observer_drain(o);
	keep_edges(o, ep->slot, 0);
}

struct trimming {
	struct bh_observer *o;
	char limit[32];
	size_t n;
	BH_VEC(char *) old;
};

static int trim_row(const char *key, const char *json, void *arg)
{
	struct trimming *t = arg;
	char *copy;

	(void)json;
	t->n++;
	if (strcmp(key, t->limit) >= 0)
		return 0;
	copy = bh_strf("%s", key);
	return copy ? bh_vec_push(&t->old, copy) : -ENOMEM;
}

/* Forgets what is older than a week; with too many rows, what is older than a day. */
static void trim_ledger(struct bh_observer *o)
{
	struct trimming t = {.o = o};
	struct bh_err err = {0};

	snprintf(t.limit, sizeof(t.limit), "%020lld", (long long)bh_now_s() - LEDGER_KEEP_S);
	bh_store_each(o->d->store, "edge", trim_row, &t, &err);
	if (t.n > LEDGER_MAX) {
		snprintf(t.limit, sizeof(t.limit), "%020lld", (long long)bh_now_s() - 86400);
		bh_store_each(o->d->store, "edge", trim_row, &t, &err);
	}
	bh_store_begin(o->d->store, &err);
	bh_vec_each (it, &t.old) {
		bh_store_del(o->d->store, "edge", *it, &err);
		free(*it);
	}
	bh_store_commit(o->d->store, &err);
	bh_vec_done(&t.old);
}

static void tell_changes(struct bh_observer *o)
{
	bh_vec_each (it, &o->followers) {
		struct listing l = {o, &(*it)->filter, o->swept_ns, json_array()};
		struct bh_err err;

		if (!bh_datapath_edges(o->d->dp, 0, list_edge, &l, &err) && json_array_size(l.rows))
			bh_request_more((*it)->rq, json_pack("{sO}", "flows", l.rows));
		json_decref(l.rows);
	}
}

void bh_observer_sweep(struct bh_observer *o)
{
	uint64_t now = bh_datapath_now_ns();
	uint64_t idle_before = now - (uint64_t)EDGE_IDLE_S * 1000000000u;
	struct bh_err err = {0};
	uint32_t n;

	bh_observer_drain(o);
	if (bh_datapath_edges(o->d->dp, 0, sweep_edge, o, &err) < 0)
		bh_debug("sweep: %s", err.text);
	tell_changes(o);
	o->swept_ns = now;
	if (o->sweeps++ % 60 || now < idle_before)
		return;
	keep_edges(o, 0, idle_before);
	bh_datapath_forget_edges(o->d->dp, idle_before, &n, &err);
	trim_ledger(o);
}

static void follower_gone(struct bh_request *rq, void *arg)
{
	struct follower *f = arg;
	struct bh_observer *o = f->o;

	(void)rq;
	for (size_t i = 0; i < o->followers.n; i++) {
		if (o->followers.v[i] == f)
			o->followers.v[i] = o->followers.v[--o->followers.n];
	}
	free((char *)f->filter.ns);
	free((char *)f->filter.name);
	free(f);
}

void bh_observer_follow(struct bh_observer *o, struct bh_request *rq,
			const struct bh_flow_filter *filter)
{
	struct follower *f = calloc(1, sizeof(*f));
	struct bh_err err = {0};
	json_t *rows = NULL;

	if (!f || bh_vec_push(&o->followers, f)) {
		free(f);
		bh_fail(&err, ENOMEM, "no memory for one more follower");
		bh_request_fail(rq, &err, true);
		return;
	}
	f->o = o;
	f->rq = rq;
	f->filter.verdict = filter->verdict;
	f->filter.ns = filter->ns ? bh_strf("%s", filter->ns) : NULL;
	f->filter.name = filter->name ? bh_strf("%s", filter->name) : NULL;
	bh_request_on_gone(rq, follower_gone, f);
	if (!bh_observer_flows(o, filter, &rows, &err))
		bh_request_more(rq, json_pack("{so}", "flows", rows));
}

int bh_observer_open(struct bh_daemon *d, struct bh_observer **ret, struct bh_err *err)
{
	struct bh_observer *o = calloc(1, sizeof(*o));

	if (o)
		o->paths = bh_edge_paths_new();
	if (!o || !o->paths) {
		free(o);
		return bh_fail(err, ENOMEM, "observer");
	}
	o->d = d;
	bh_map_init(&o->owners, NULL);
	*ret = o;
	return 0;
}

void bh_observer_close(struct bh_observer *o)
{
	if (!o)
		return;
	bh_edge_paths_free(o->paths);
	bh_map_done(&o->owners);
	bh_world_unref(o->owners_of);
	bh_vec_done(&o->followers);
	free(o);
}
