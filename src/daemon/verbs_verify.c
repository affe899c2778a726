#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/probe.h"
#include "daemon/verbs.h"
#include "refeval/refeval.h"

#define MAX_MISMATCHES 100
#define SLICE_NS       15000000u /* of work between two turns of the loop */

/* `policy verify`: for every pod here, both directions, every kind of peer and every port at which
 * anything can change, what the kernel's tables say against the reference evaluator. The tables are
 * read once; where a copy of them differs, the kernel is asked again, because what is no publish
 * (an interface that opens) may have come between. It works in slices, so that ADD, quarantine and
 * publish go on meanwhile; when a publish changes the tables under it, it starts over. */
struct verify {
	struct bh_daemon *d;
	struct bh_request *rq;
	struct bh_source *timer;
	struct bh_world *w;	      /* a reference */
	struct bh_snapshot *snapshot; /* of the kernel's tables; owned */
	uint64_t revision;
	struct bh_probe probe;
	size_t endpoint, peer, address; /* where the next slice goes on */
	int dir;
	bool is_filled; /* probe and selecting are those of endpoint and dir */
	struct bh_policies selecting;
	uint64_t cells;
	json_t *mismatches;
	struct bh_err err;
};

static void forget_work(struct verify *v)
{
	bh_probe_done(&v->probe);
	bh_policies_done(&v->selecting);
	bh_world_unref(v->w);
	bh_snapshot_freep(&v->snapshot);
	json_decref(v->mismatches);
	v->w = NULL;
	v->mismatches = NULL;
	v->selecting = (struct bh_policies){0};
}

static void verify_free(struct verify *v)
{
	forget_work(v);
	bh_source_free(v->timer);
	free(v);
}

/* From the start, against what is enforced now. */
static int begin(struct verify *v)
{
	struct bh_reconcile_state st = bh_reconcile_state(v->d->reconciler);
	int r;

	forget_work(v);
	if (!st.world)
		return bh_fail(&v->err, EAGAIN, "nothing is published yet");
	r = bh_datapath_snapshot(v->d->dp, &v->snapshot, &v->err);
	if (r)
		return r;
	v->w = bh_world_ref((struct bh_world *)st.world);
	v->revision = st.revision;
	v->endpoint = v->peer = v->address = 0;
	v->dir = 0;
	v->is_filled = false;
	v->cells = 0;
	v->mismatches = json_array();
	if (!v->mismatches || bh_probe_init(&v->probe, v->w, st.tables) < 0)
		return bh_fail(&v->err, ENOMEM, "verify");
	return 0;
}

/* One cell: the question, and what both sides answer. */
struct cell {
	const struct bh_endpoint *ep;
	struct bh_ask ask;
	bool kernel, reference; /* allowed */
};

/* A conditional cell is one that some executable may use. */
static bool may_pass(const struct bh_kernel_verdict *k)
{
	return k->verdict == BH_ALLOWED || k->is_conditional;
}

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

/* The copy says something else than the reference: does the kernel? */
static int confirm(struct verify *v, struct cell *c, const struct bh_kernel_question *q)
{
	struct bh_kernel_verdict k;
	int r = bh_datapath_decide(v->d->dp, q, &k, &v->err);

	if (r)
		return r;
	c->kernel = may_pass(&k);
	if (c->kernel != c->reference)
		mismatch(v, c);
	return 0;
}

/* All ports against one peer. */
static int verify_peer(struct verify *v, struct cell *c)
{
	bh_vec_each (p, &v->probe.ports) {
		const struct bh_kernel_question q = {c->ep->slot, c->ask.dir, c->ask.peer.ip,
						     p->proto, p->port};
		struct bh_kernel_verdict k;
		int r;

		c->ask.proto = p->proto;
		c->ask.port = p->port;
		r = bh_snapshot_decide(v->snapshot, &q, &k, &v->err);
		if (r < 0)
			return r;
		v->cells++;
		c->kernel = may_pass(&k);
		c->reference = bh_refeval_among(v->w, &v->selecting, &c->ask).verdict == BH_ALLOWED;
		if (c->kernel == c->reference)
			continue;
		r = confirm(v, c, &q);
		if (r < 0)
			return r;
	}
	return 0;
}

static int fill(struct verify *v, const struct bh_pod *pod)
{
	bh_policies_done(&v->selecting);
	v->selecting = (struct bh_policies){0};
	v->is_filled = true;
	v->peer = 0;
	if (bh_probe_fill(&v->probe, pod, (enum bh_dir)v->dir) < 0 ||
	    bh_refeval_selecting(v->w, pod, (enum bh_dir)v->dir, &v->selecting) < 0)
		return bh_fail(&v->err, ENOMEM, "verify");
	return 0;
}

static void next_direction(struct verify *v)
{
	v->is_filled = false;
	v->endpoint += v->dir == 1;
	v->dir = !v->dir;
}

/* The next peer of the pod at hand. */
static int step_cells(struct verify *v)
{
	const struct bh_endpoint *ep = v->d->endpoints.eps.v[v->endpoint];
	const struct bh_pod *pod = bh_world_pod(v->w, ep->ns, ep->name);
	struct cell c = {.ep = ep};
	const struct bh_probe_peer *peer;
	int r = 0;

	if (!pod || pod->phase == BH_POD_DONE || !ep->is_open) {
		v->endpoint++;
		v->dir = 0;
		v->is_filled = false;
		return 0;
	}
	if (!v->is_filled)
		r = fill(v, pod);
	if (r < 0 || v->peer >= v->probe.peers.n) {
		next_direction(v);
		return r;
	}
	peer = &v->probe.peers.v[v->peer++];
	if (peer->pod == pod)
		return 0;
	c.ask.dir = (enum bh_dir)v->dir;
	c.ask.self = bh_refeval_pod_end(pod, bh_ip_is4(&peer->ip) ? 4 : 6);
	c.ask.peer = (struct bh_end){peer->pod, peer->ip, true};
	return verify_peer(v, &c);
}

/* Pods of one kind were asked once: the kernel must hold them for one kind too. */
static int step_address(struct verify *v)
{
	const struct bh_endpoint *ep = v->d->endpoints.eps.v[0];
	const struct bh_probe_peer *p = &v->probe.pods.v[v->address++];
	const struct bh_kernel_question ask_own = {ep->slot, BH_EGRESS, p->ip, 0, 0};
	const struct bh_kernel_question ask_first = {ep->slot, BH_EGRESS,
						     v->probe.pods.v[p->first].ip, 0, 0};
	struct cell c = {.ep = ep, .ask = {.peer = {p->pod, p->ip, true}}};
	struct bh_kernel_verdict own, first;
	int r;

	if (&v->probe.pods.v[p->first] == p)
		return 0;
	r = bh_snapshot_decide(v->snapshot, &ask_own, &own, &v->err);
	if (!r)
		r = bh_snapshot_decide(v->snapshot, &ask_first, &first, &v->err);
	if (r < 0)
		return r;
	v->cells++;
	if (own.class != first.class)
		mismatch(v, &c);
	return 0;
}

/* 1: there is more to do. */
static int step(struct verify *v)
{
	int r;

	if (v->endpoint < v->d->endpoints.eps.n)
		r = step_cells(v);
	else if (v->d->endpoints.eps.n && v->address < v->probe.pods.n)
		r = step_address(v);
	else
		return 0;
	return r < 0 ? r : 1;
}

static void answer(struct verify *v, int r)
{
	json_t *result = NULL;

	if (!r)
		result = json_pack("{sI sO sI}", "cells", (json_int_t)v->cells, "mismatches",
				   v->mismatches, "revision", (json_int_t)v->revision);
	bh_verb_answer(v->rq, r, result, &v->err);
	verify_free(v);
}

static void run_slice(void *arg)
{
	struct verify *v = arg;
	uint64_t began = bh_datapath_now_ns();
	int r = 1;

	if (!v->w || bh_reconcile_state(v->d->reconciler).revision != v->revision ||
	    bh_datapath_epoch(v->d->dp) != bh_snapshot_epoch(v->snapshot))
		r = begin(v) < 0 ? v->err.code : 1;
	while (r == 1 && bh_datapath_now_ns() - began < SLICE_NS)
		r = step(v);
	if (r == 1)
		bh_source_after(v->timer, 1);
	else
		answer(v, r);
}

static void on_gone(struct bh_request *rq, void *arg)
{
	(void)rq;
	verify_free(arg);
}

void bh_verb_verify(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	struct verify *v = calloc(1, sizeof(*v));
	struct bh_err err = {0};
	int r = v ? 0 : bh_fail(&err, ENOMEM, "no memory to verify");

	(void)args;
	if (!r)
		r = bh_loop_timer(d->loop, 0, 0, run_slice, v, &v->timer, &err);
	if (r < 0) {
		free(v);
		bh_request_fail(rq, &err, true);
		return;
	}
	v->d = d;
	v->rq = rq;
	bh_request_on_gone(rq, on_gone, v);
}
