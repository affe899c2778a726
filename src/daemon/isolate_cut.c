/* One quarantine, from the cut to the receipt, in steps. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/evidence.h"
#include "daemon/hostnet.h"
#include "daemon/isolate_parts.h"
#include "daemon/journal.h"
#include "daemon/stopping.h"
#include "net/sockdiag.h"

#define BH_TICK_NS 10000000 /* the longest tick a kernel has, HZ=100 */

struct passed {
	uint64_t last_ns, packets;
};

struct bh_cut {
	struct bh_cut *next;
	struct bh_isolation *q;
	char *ns, *name;	   /* the pod, which may go meanwhile */
	uint64_t serial;	   /* of its quarantine, which may end; 0: it has */
	struct bh_quarantine *rec; /* not kept yet, owned */
	int netns_fd;		   /* -1: see cgroup */
	uint64_t cookie;
	char *cgroup; /* of a hostNetwork pod */
	uint64_t cgroup_id;
	char *evidence;
	char *correlation; /* of the record, as is the rule */
	json_t *rule;
	bool kill, freeze;
	bool is_again; /* its beginning was another daemon's */
	size_t step;
	struct bh_stopping *stopping; /* NULL: nothing is being stopped */
	struct bh_source *timer;
	struct bh_caller by;
	bh_isolated_fn *fn;
	void *arg;
	/* for the receipt */
	json_t *head, *allow;
	uint64_t began_ns, cut_ns;
	struct passed before, after;
	uint32_t sockets, killed;
	bool is_frozen, is_dead; /* all processes */
	int done;		 /* the first failure, told by why */
	struct bh_err why;
};

static void cut_free(struct bh_cut *c)
{
	if (!c)
		return;
	bh_quarantine_free(c->rec);
	bh_stopping_free(c->stopping);
	bh_source_free(c->timer);
	bh_closep(&c->netns_fd);
	json_decref(c->head);
	json_decref(c->allow);
	json_decref(c->rule);
	free(c->correlation);
	free(c->evidence);
	free(c->cgroup);
	free(c->name);
	free(c->ns);
	free(c);
}

static void cut_freep(struct bh_cut **c)
{
	cut_free(*c);
	*c = NULL;
}

/* One step that fails does not keep the next from being taken; the first failure is told. */
static void note(struct bh_cut *c, int r, const struct bh_err *err)
{
	if (r >= 0 || c->done < 0)
		return;
	c->done = r;
	c->why = *err;
}

/* The record, while its quarantine goes on. */
static struct bh_quarantine *record_of(const struct bh_cut *c)
{
	struct bh_quarantine *rec = bh_isolation_find(c->q, c->ns, c->name);

	return rec && rec->serial == c->serial ? rec : NULL;
}

/* ---- figures ---- */

static int sum_passed(const struct bh_cut *c, struct passed *ret, struct bh_err *err)
{
	*ret = (struct passed){0};
	bh_vec_each (it, &c->q->d->endpoints.eps) {
		uint64_t last = 0, packets = 0;
		int r;

		if (!bh_endpoint_is_pod(*it, c->ns, c->name))
			continue;
		r = bh_datapath_last_passed(c->q->d->dp, (*it)->slot, &last, &packets, err);
		if (r < 0)
			return r;
		ret->packets += packets;
		if (last > ret->last_ns)
			ret->last_ns = last;
	}
	return 0;
}

/* Time from the command to the last packet that passed, rounded up. Packets carry the kernel's
 * tick, which lags by up to BH_TICK_NS: one that may have passed after the command did so before
 * the cut, for every run that began later saw the flag. */
static uint64_t last_packet_ns(const struct bh_cut *c)
{
	if (c->after.last_ns > c->cut_ns)
		return c->after.last_ns - c->began_ns;
	return c->after.last_ns + BH_TICK_NS > c->began_ns ? c->cut_ns - c->began_ns : 0;
}

/* Who, when, why: of the record, which may be another one in the end. */
static int receipt_begin(struct bh_cut *c, const struct bh_quarantine *rec)
{
	char pod[600], since[32];

	snprintf(pod, sizeof(pod), "%s/%s", c->ns, c->name);
	c->head = json_pack("{ss ss ss ss so}", "pod", pod, "since",
			    bh_time_format(rec->since_s, since), "reason", rec->reason, "by",
			    rec->by, "expires", bh_isolation_time(rec->expires_s));
	c->allow = json_incref(rec->allow_text);
	c->rule = json_incref(rec->rule);
	c->correlation = bh_strf("%s", rec->correlation);
	return c->head && c->correlation ? 0 : -ENOMEM;
}

static json_t *receipt_end(struct bh_cut *c, const struct bh_quarantine *rec)
{
	json_t *figures;

	if (c->is_again)
		figures = json_pack("{sI sb}", "killed", (json_int_t)c->killed, "frozen",
				    rec && rec->is_frozen);
	else
		figures = json_pack("{sI sI sI sI sI sb ss? sO}", "verdictMicroseconds",
				    (json_int_t)((c->cut_ns - c->began_ns) / 1000),
				    "socketsDestroyed", (json_int_t)c->sockets,
				    "lastPacketMicroseconds",
				    (json_int_t)(last_packet_ns(c) / 1000), "packetsAfter",
				    (json_int_t)(c->after.packets - c->before.packets), "killed",
				    (json_int_t)c->killed, "frozen", rec && rec->is_frozen,
				    "evidence", c->evidence, "allow", c->allow);
	if (!figures || json_object_update_new(c->head, figures))
		return NULL;
	return json_incref(c->head);
}

/* ---- steps: each returns whether it is done; else it is taken again after *ret_pause_ms ---- */

typedef bool step_fn(struct bh_cut *c, uint64_t *ret_pause_ms);

static bool stop_all(struct bh_cut *c, enum bh_procs_act act, uint64_t *ret_pause_ms)
{
	struct bh_netns_id ns;
	struct bh_err err = {0};
	int r = 0;

	if (!c->stopping && c->cgroup)
		r = bh_stopping_of_cgroup(act, c->cgroup, &c->stopping, &err);
	else if (!c->stopping)
		r = bh_netns_id(c->netns_fd, &ns, &err);
	if (!r && !c->stopping)
		r = bh_stopping_of_netns(act, &ns, &c->stopping, &err);
	if (!r)
		r = bh_stopping_step(c->stopping, ret_pause_ms, &err);
	if (!r)
		return false;
	note(c, r, &err);
	if (act == BH_PROCS_KILL) {
		c->killed = c->stopping ? bh_stopping_reached(c->stopping) : 0;
		c->is_dead = r > 0;
	} else {
		c->is_frozen = r > 0;
	}
	bh_stopping_free(BH_TAKE(c->stopping));
	return true;
}

static bool step_packets(struct bh_cut *c, uint64_t *ret_pause_ms)
{
	struct bh_err err;

	(void)ret_pause_ms;
	if (c->cgroup)
		note(c, bh_hostnet_stop_packets(c->q->d, c->cgroup, c->cgroup_id, &err), &err);
	return true;
}

/* What is written down stands still. */
static bool step_freeze_first(struct bh_cut *c, uint64_t *ret_pause_ms)
{
	return !c->evidence || !c->freeze || stop_all(c, BH_PROCS_FREEZE, ret_pause_ms);
}

static bool step_evidence(struct bh_cut *c, uint64_t *ret_pause_ms)
{
	const struct bh_evidence_request ev = {c->evidence, c->ns, c->name, c->netns_fd};
	struct bh_err err;

	(void)ret_pause_ms;
	if (c->evidence)
		note(c, bh_evidence_write(c->q->d, &ev, &err), &err);
	return true;
}

/* Ends the pod's connections, so that its applications see it at once. */
static bool step_sockets(struct bh_cut *c, uint64_t *ret_pause_ms)
{
	struct bh_datapath *dp = c->q->d->dp;
	struct bh_err err;
	int r;

	(void)ret_pause_ms;
	if (c->cgroup) {
		r = bh_hostnet_end_sockets(c->q->d, c->cgroup, &c->sockets, &err);
	} else {
		r = bh_datapath_destroy_sockets(dp, c->netns_fd, c->cookie, &c->sockets, &err);
		if (r < 0)
			r = bh_sockdiag_destroy_all(c->netns_fd, &c->sockets, &err);
	}
	note(c, r, &err);
	return true;
}

static int keep(struct bh_cut *c, struct bh_err *err)
{
	int r = bh_isolation_keep(c->q, &c->rec, err);
	const struct bh_quarantine *rec = bh_isolation_find(c->q, c->ns, c->name);

	c->serial = rec ? rec->serial : 0;
	return r < 0 ? bh_note(err, r, "the record could not be kept") : 0;
}

static bool step_figures(struct bh_cut *c, uint64_t *ret_pause_ms)
{
	struct bh_err err;

	(void)ret_pause_ms;
	/* Whatever ran before the flag was set has ended after this. */
	bh_datapath_wait_grace(c->q->d->dp);
	note(c, sum_passed(c, &c->before, &err), &err);
	if (c->rec)
		note(c, keep(c, &err), &err);
	note(c, sum_passed(c, &c->after, &err), &err);
	return true;
}

static bool step_freeze(struct bh_cut *c, uint64_t *ret_pause_ms)
{
	return c->evidence || !c->freeze || stop_all(c, BH_PROCS_FREEZE, ret_pause_ms);
}

static bool step_kill(struct bh_cut *c, uint64_t *ret_pause_ms)
{
	return !c->kill || stop_all(c, BH_PROCS_KILL, ret_pause_ms);
}

static const struct step {
	step_fn *fn;
	bool needs_pod; /* its namespace or cgroup */
	bool is_again;	/* also where another daemon began */
} steps[] = {
	{step_packets, true, false}, {step_freeze_first, true, false}, {step_evidence, true, false},
	{step_sockets, true, false}, {step_figures, false, false},     {step_freeze, true, true},
	{step_kill, true, true},
};

/* ---- the end ---- */

static void unlink_cut(struct bh_cut *c)
{
	for (struct bh_cut **at = &c->q->cuts; *at; at = &(*at)->next) {
		if (*at != c)
			continue;
		*at = c->next;
		return;
	}
}

/* What the record says of the processes from now on. */
static int settle(const struct bh_cut *c, struct bh_quarantine *rec, struct bh_err *err)
{
	int r;

	rec->is_frozen = (rec->is_frozen || c->is_frozen) && !c->is_dead;
	rec->must_thaw = rec->must_thaw && !c->is_dead;
	rec->is_killing = rec->is_freezing = false;
	for (const struct bh_cut *o = c->q->cuts; o; o = o->next) {
		if (o->serial != c->serial)
			continue;
		rec->is_killing |= o->kill;
		rec->is_freezing |= o->freeze;
	}
	r = bh_quarantine_save(rec, c->q->d->store, err);
	return r < 0 ? bh_note(err, r, "the record could not be kept") : 0;
}

static void tell(struct bh_cut *c, json_t *take_receipt)
{
	int r = c->done;

	if (!r && !take_receipt)
		r = bh_fail(&c->why, ENOMEM, "no memory for the receipt");
	if (r < 0) {
		json_decref(take_receipt);
		take_receipt = NULL;
		bh_note(&c->why, r, "the pod is cut off, but");
	}
	if (c->fn)
		c->fn(r, take_receipt, &c->why, c->arg);
	else if (r < 0)
		bh_error("quarantine of '%s/%s': %s", c->ns, c->name, c->why.text);
	if (!c->fn)
		json_decref(take_receipt);
}

static void finish(struct bh_cut *c)
{
	const struct bh_ocsf_rule rule = bh_quarantine_rule(c->rule);
	struct bh_quarantine *rec = record_of(c);
	struct bh_err err;
	json_t *receipt;

	unlink_cut(c);
	if (rec && (c->kill || c->freeze))
		note(c, settle(c, rec, &err), &err);
	receipt = receipt_end(c, rec);
	if (receipt)
		bh_journal_quarantine(
			c->q->d->journal,
			&(struct bh_journal_cut){.receipt = receipt,
						 .by = &c->by,
						 .rule = &rule,
						 .correlation = c->correlation,
						 .failure = c->done < 0 ? c->why.text : NULL});
	tell(c, receipt);
	cut_free(c);
}

/* Takes steps until one has to wait. */
static void go_on(void *arg)
{
	struct bh_cut *c = arg;
	bool has_pod = c->cgroup || c->netns_fd >= 0;
	uint64_t pause_ms = 0;
	struct bh_err err;

	for (; c->step < BH_ARRAY_SIZE(steps); c->step++) {
		const struct step *s = &steps[c->step];

		if ((s->needs_pod && !has_pod) || (c->is_again && !s->is_again))
			continue;
		if (s->fn(c, &pause_ms))
			continue;
		if (!bh_source_after(c->timer, pause_ms))
			return;
		/* nobody would wake us up again */
		note(c, bh_fail(&err, ENOMEM, "its processes cannot be waited for"), &err);
		break;
	}
	finish(c);
}

void bh_cuts_released(struct bh_isolation *q, uint64_t serial)
{
	struct bh_cut *c = q->cuts;

	while (c) {
		struct bh_err err;

		if (c->serial != serial) {
			c = c->next;
			continue;
		}
		c->serial = 0;
		note(c, bh_fail(&err, ECANCELED, "it was released before all was done"), &err);
		finish(c);
		c = q->cuts;
	}
}

void bh_cuts_close(struct bh_isolation *q)
{
	while (q->cuts) {
		struct bh_cut *c = q->cuts;
		struct bh_err err;

		q->cuts = c->next;
		note(c, bh_fail(&err, ECANCELED, "the daemon ends: the next one goes on"), &err);
		tell(c, NULL);
		cut_free(c);
	}
}

/* ---- the beginning ---- */

/* A pod that has no interface here may be a hostNetwork pod. */
static int find_hostnet(struct bh_isolation *q, const struct bh_isolate_request *rq,
			struct bh_quarantine *rec, struct bh_err *err)
{
	const struct bh_hostnet_who who = {rq->ns, rq->name, rq->uid};
	int r = bh_hostnet_find(q->d, &who, &rec->cgroup, &rec->cgroup_id, err);

	if (!r && rq->evidence)
		r = bh_fail(err, EOPNOTSUPP,
			    "pod '%s/%s' is on the node's network: its evidence "
			    "would be the node's",
			    rq->ns, rq->name);
	if (!r && rec->n_allow)
		r = bh_fail(err, EOPNOTSUPP,
			    "pod '%s/%s' is on the node's network: it can only be "
			    "cut off as a whole",
			    rq->ns, rq->name);
	return r;
}

static int cut_new(struct bh_isolation *q, const char *ns, const char *name, struct bh_cut **ret,
		   struct bh_err *err)
{
	BH_CLEANUP(cut_freep) struct bh_cut *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return bh_fail(err, ENOMEM, "quarantine");
	c->netns_fd = -1;
	c->q = q;
	c->ns = bh_strf("%s", ns);
	c->name = bh_strf("%s", name);
	if (!c->ns || !c->name)
		return bh_fail(err, ENOMEM, "quarantine");
	r = bh_loop_timer(q->d->loop, UINT32_MAX, 0, go_on, c, &c->timer, err);
	if (r < 0)
		return r;
	*ret = BH_TAKE(c);
	return 0;
}

/* What of the request and of the record will be needed. */
static int copy_request(struct bh_cut *c, const struct bh_isolate_request *rq,
			const struct bh_caller *by, struct bh_err *err)
{
	c->by = *by;
	c->kill = rq->kill;
	c->freeze = rq->freeze;
	c->evidence = rq->evidence ? bh_strf("%s", rq->evidence) : NULL;
	c->cgroup = c->rec->cgroup ? bh_strf("%s", c->rec->cgroup) : NULL;
	c->cgroup_id = c->rec->cgroup_id;
	if (!c->evidence != !rq->evidence || !c->cgroup != !c->rec->cgroup ||
	    receipt_begin(c, c->rec))
		return bh_fail(err, ENOMEM, "quarantine");
	return 0;
}

/* Cuts every interface: the first thing that happens. */
static int cut_off(struct bh_cut *c, struct bh_err *err)
{
	struct bh_isolation *q = c->q;
	int n;

	c->began_ns = bh_datapath_now_ns();
	n = bh_isolation_flags(q, c->rec, err);
	if (n < 0)
		return n;
	c->cut_ns = bh_datapath_now_ns();
	if (n)
		return bh_isolation_allow(q, c->rec, err);
	n = bh_hostnet_cut(q->d, c->rec->cgroup_id, err);
	c->cut_ns = bh_datapath_now_ns();
	return n;
}

static void open_netns(struct bh_cut *c, const struct bh_endpoint *ep)
{
	struct bh_err err;

	c->cookie = ep->cookie;
	note(c, bh_netns_open(ep->netns, &c->netns_fd, &err), &err);
}

static void start(struct bh_cut **take_c)
{
	struct bh_cut *c = BH_TAKE(*take_c);

	c->next = c->q->cuts;
	c->q->cuts = c;
	go_on(c);
}

int bh_isolate(struct bh_isolation *q, const struct bh_isolate_request *rq,
	       const struct bh_caller *by, bh_isolated_fn *fn, void *arg, struct bh_err *err)
{
	BH_CLEANUP(cut_freep) struct bh_cut *c = NULL;
	const struct bh_endpoint *ep = bh_endpoint_table_pod(&q->d->endpoints, rq->ns, rq->name);
	struct bh_err why;
	int r = cut_new(q, rq->ns, rq->name, &c, err);

	if (!r)
		r = bh_isolation_record(rq, by, &c->rec, err);
	if (!r && rq->evidence)
		r = bh_evidence_check(rq->evidence, err);
	if (!r && !ep)
		r = find_hostnet(q, rq, c->rec, err);
	if (!r)
		r = copy_request(c, rq, by, err);
	if (!r)
		r = cut_off(c, err);
	if (r < 0)
		return r;
	c->fn = fn;
	c->arg = arg;
	if (ep)
		open_netns(c, ep);
	if (rq->kill || rq->freeze) /* this may take longer than we live */
		note(c, keep(c, &why), &why);
	start(&c);
	return 0;
}

struct outcome {
	int r;
	struct bh_err *err;
};

static void on_outcome(int r, json_t *take_receipt, struct bh_err *err, void *arg)
{
	struct outcome *o = arg;

	json_decref(take_receipt);
	o->r = r;
	*o->err = *err;
}

int bh_isolate_now(struct bh_isolation *q, const struct bh_isolate_request *rq,
		   const struct bh_caller *by, struct bh_err *err)
{
	struct outcome o = {.err = err};
	int r = bh_isolate(q, rq, by, on_outcome, &o, err);

	return r < 0 ? r : o.r;
}

static void resume(struct bh_isolation *q, const struct bh_quarantine *rec)
{
	const struct bh_endpoint *ep = bh_endpoint_table_pod(&q->d->endpoints, rec->ns, rec->name);
	BH_CLEANUP(cut_freep) struct bh_cut *c = NULL;
	struct bh_err err;
	int r = cut_new(q, rec->ns, rec->name, &c, &err);

	if (!r && receipt_begin(c, rec))
		r = bh_fail(&err, ENOMEM, "receipt");
	if (r < 0) {
		bh_error("quarantine of '%s/%s': %s", rec->ns, rec->name, err.text);
		return;
	}
	c->by = (struct bh_caller){.pid = getpid(), .uid = getuid(), .exe = "bulkheadd"};
	c->is_again = true;
	c->serial = rec->serial;
	c->kill = rec->is_killing;
	c->freeze = rec->is_freezing;
	c->cgroup = rec->cgroup ? bh_strf("%s", rec->cgroup) : NULL;
	if (ep)
		open_netns(c, ep);
	else if (!c->cgroup)
		note(c, bh_fail(&err, ESRCH, "the pod was gone before all of it had stopped"),
		     &err);
	start(&c);
}

void bh_isolation_resume(struct bh_isolation *q)
{
	struct bh_map_entry *e;
	size_t pos = 0;

	while ((e = bh_map_next(&q->records, &pos))) {
		const struct bh_quarantine *rec = e->value;

		if (rec->is_killing || rec->is_freezing)
			resume(q, rec);
	}
}
