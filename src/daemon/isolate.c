#include "daemon/isolate.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/evidence.h"
#include "daemon/hostnet.h"
#include "daemon/journal.h"
#include "daemon/procs.h"
#include "daemon/quarantine.h"
#include "net/sockdiag.h"

#define BH_TICK_NS 10000000 /* the longest tick a kernel has, HZ=100 */
#define RETRY_MS   5000

struct bh_isolation {
	struct bh_daemon *d;
	struct bh_map records; /* "ns/name" > struct bh_quarantine, owned */
	struct bh_source *timer;
};

static struct bh_quarantine *find(const struct bh_isolation *q, const char *ns, const char *name)
{
	BH_CLEANUP(bh_freep) char *key = bh_strf("%s/%s", ns, name);

	return key ? bh_map_get_s(&q->records, key) : NULL;
}

bool bh_isolation_has(const struct bh_isolation *q, const char *ns, const char *name)
{
	return find(q, ns, name) != NULL;
}

bool bh_isolation_may_cut(const struct bh_isolation *q, const char *ns, const char *name,
			  bool is_doubt)
{
	const struct bh_quarantine *rec = find(q, ns, name);

	return !rec || (rec->is_doubt && !is_doubt);
}

static json_t *time_json(int64_t t)
{
	char text[32];

	return t == INT64_MAX ? json_null() : json_string(bh_time_format(t, text));
}

/* Applies flags and allow-list to every interface of the pod. Returns how many there are. */
static int apply_flags(struct bh_isolation *q, const struct bh_quarantine *rec, struct bh_err *err)
{
	uint32_t set = BH_SLOT_QUARANTINE | (rec->n_allow ? BH_SLOT_QALLOW : 0);
	uint32_t clear = rec->n_allow ? 0 : BH_SLOT_QALLOW;
	int n = 0;

	bh_vec_each (it, &q->d->endpoints.eps) {
		struct bh_endpoint *ep = *it;
		int r;

		if (!bh_endpoint_is_pod(ep, rec->ns, rec->name))
			continue;
		ep->is_quarantined = true;
		r = bh_datapath_set_flags(q->d->dp, ep->slot, set, clear);
		if (r < 0)
			return bh_fail_sys(err, -r, "interface '%s'", ep->host_ifname);
		n++;
	}
	return n;
}

static int apply_allow(struct bh_isolation *q, const struct bh_quarantine *rec, struct bh_err *err)
{
	bh_vec_each (it, &q->d->endpoints.eps) {
		int r;

		if (!bh_endpoint_is_pod(*it, rec->ns, rec->name))
			continue;
		r = bh_datapath_set_qallow(q->d->dp, (*it)->slot, rec->allow, rec->n_allow, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int bh_isolation_prepare(struct bh_isolation *q, struct bh_endpoint *ep, uint32_t *ret_flags,
			 struct bh_err *err)
{
	const struct bh_quarantine *rec = find(q, ep->ns, ep->name);

	*ret_flags = 0;
	if (!rec)
		return 0;
	ep->is_quarantined = true;
	*ret_flags = BH_SLOT_QUARANTINE | (rec->n_allow ? BH_SLOT_QALLOW : 0);
	return bh_datapath_set_qallow(q->d->dp, ep->slot, rec->allow, rec->n_allow, err);
}

struct passed {
	uint64_t last_ns, packets;
};

static int sum_passed(struct bh_isolation *q, const struct bh_quarantine *rec, struct passed *ret,
		      struct bh_err *err)
{
	*ret = (struct passed){0};
	bh_vec_each (it, &q->d->endpoints.eps) {
		uint64_t last = 0, packets = 0;
		int r;

		if (!bh_endpoint_is_pod(*it, rec->ns, rec->name))
			continue;
		r = bh_datapath_last_passed(q->d->dp, (*it)->slot, &last, &packets, err);
		if (r < 0)
			return r;
		ret->packets += packets;
		if (last > ret->last_ns)
			ret->last_ns = last;
	}
	return 0;
}

/* Ends the pod's connections, so that its applications see it at once. */
static int end_sockets(struct bh_isolation *q, const struct bh_endpoint *ep, int netns_fd,
		       uint32_t *ret_n, struct bh_err *err)
{
	int r = bh_datapath_destroy_sockets(q->d->dp, netns_fd, ep->cookie, ret_n, err);

	if (r < 0)
		r = bh_sockdiag_destroy_all(netns_fd, ret_n, err);
	return r;
}

static char *caller_text(const struct bh_caller *by)
{
	return bh_strf("uid %u pid %d%s%s", (unsigned)by->uid, (int)by->pid, by->exe[0] ? " " : "",
		       by->exe);
}

static int record_new(const struct bh_isolate_request *rq, const struct bh_caller *by,
		      struct bh_quarantine **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_quarantine_freep) struct bh_quarantine *rec = calloc(1, sizeof(*rec));
	int r;

	if (!rec)
		return bh_fail(err, ENOMEM, "quarantine");
	rec->ns = bh_strf("%s", rq->ns);
	rec->name = bh_strf("%s", rq->name);
	rec->reason = bh_strf("%s", rq->reason);
	rec->by = caller_text(by);
	if (!rec->ns || !rec->name || !rec->reason || !rec->by)
		return bh_fail(err, ENOMEM, "quarantine");
	rec->is_doubt = rq->is_doubt;
	rec->since_s = bh_now_s();
	rec->expires_s = rq->ttl_s ? rec->since_s + rq->ttl_s : INT64_MAX;
	r = bh_quarantine_set_allow(rec, rq->allow, err);
	if (r < 0)
		return r;
	*ret = BH_TAKE(rec);
	return 0;
}

struct cut { /* figures of one quarantine, for the receipt */
	uint64_t began_ns, cut_ns;
	struct passed before, after;
	uint32_t sockets, killed, frozen;
};

/* What must come first and needs the pod's namespace: its processes are stopped, and its
 * connections ended once they are written down. One step that fails does not keep the next from
 * being taken; the first failure is told. */
static int end_connections(struct bh_isolation *q, const struct bh_isolate_request *rq,
			   const struct bh_endpoint *ep, struct cut *c, struct bh_err *err)
{
	BH_CLEANUP(bh_closep) int fd = -1;
	struct bh_err later = {0};
	struct bh_netns_id ns;
	int r = bh_netns_open(ep->netns, &fd, err);

	if (!r)
		r = bh_netns_id(fd, &ns, err);
	if (r < 0)
		return r;
	if (rq->freeze)
		r = bh_procs_freeze(&ns, true, &c->frozen, err);
	if (rq->evidence) {
		struct bh_evidence_request ev = {rq->evidence, rq->ns, rq->name, fd};
		int e = bh_evidence_write(q->d, &ev, r < 0 ? &later : err);

		r = r < 0 ? r : e;
	}
	if (end_sockets(q, ep, fd, &c->sockets, r < 0 ? &later : err) < 0 && !r)
		r = err->code;
	if (rq->kill && bh_procs_kill(&ns, &c->killed, r < 0 ? &later : err) < 0 && !r)
		r = err->code;
	return r;
}

/* The same for a pod without an interface. */
static int end_hostnet(struct bh_isolation *q, const struct bh_isolate_request *rq,
		       const struct bh_quarantine *rec, struct cut *c, struct bh_err *err)
{
	struct bh_err later = {0};
	int r = bh_hostnet_stop_packets(q->d, rec->cgroup, rec->cgroup_id, err);

	if (bh_hostnet_end_sockets(q->d, rec->cgroup, &c->sockets, r < 0 ? &later : err) < 0 && !r)
		r = err->code;
	if (rq->freeze &&
	    bh_hostnet_act(rec->cgroup, BH_HOSTNET_FREEZE, &c->frozen, r < 0 ? &later : err) < 0 &&
	    !r)
		r = err->code;
	if (rq->kill &&
	    bh_hostnet_act(rec->cgroup, BH_HOSTNET_KILL, &c->killed, r < 0 ? &later : err) < 0 &&
	    !r)
		r = err->code;
	return r;
}

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

/* Time from the command to the last packet that passed, rounded up. Packets carry the kernel's
 * tick, which lags by up to BH_TICK_NS: one that may have passed after the command did so before
 * the cut, for every run that began later saw the flag. */
static uint64_t last_packet_ns(const struct cut *c)
{
	if (c->after.last_ns > c->cut_ns)
		return c->after.last_ns - c->began_ns;
	return c->after.last_ns + BH_TICK_NS > c->began_ns ? c->cut_ns - c->began_ns : 0;
}

static json_t *receipt_json(const struct bh_quarantine *rec, const struct bh_isolate_request *rq,
			    const struct cut *c)
{
	uint64_t last = last_packet_ns(c);
	char pod[600], since[32];

	snprintf(pod, sizeof(pod), "%s/%s", rec->ns, rec->name);
	return json_pack("{ss ss ss ss so sI sI sI sI sI sb ss? sO}", "pod", pod, "since",
			 bh_time_format(rec->since_s, since), "reason", rec->reason, "by", rec->by,
			 "expires", time_json(rec->expires_s), "verdictMicroseconds",
			 (json_int_t)((c->cut_ns - c->began_ns) / 1000), "socketsDestroyed",
			 (json_int_t)c->sockets, "lastPacketMicroseconds",
			 (json_int_t)(last / 1000), "packetsAfter",
			 (json_int_t)(c->after.packets - c->before.packets), "killed",
			 (json_int_t)c->killed, "frozen", rec->is_frozen, "evidence", rq->evidence,
			 "allow", rec->allow_text);
}

static void timer_arm(struct bh_isolation *q)
{
	struct bh_map_entry *e;
	int64_t next = INT64_MAX, now = bh_now_s();
	size_t pos = 0;

	while ((e = bh_map_next(&q->records, &pos))) {
		const struct bh_quarantine *rec = e->value;

		if (rec->expires_s < next)
			next = rec->expires_s;
	}
	if (next == INT64_MAX)
		return;
	/* At most a minute ahead: the wall clock may be set meanwhile. */
	bh_source_after(q->timer, next <= now	    ? 0
				  : next - now > 60 ? 60000
						    : (uint64_t)(next - now) * 1000);
}

/* Cuts every interface: the first thing that happens. */
static int cut_off(struct bh_isolation *q, const struct bh_quarantine *rec, struct cut *c,
		   struct bh_err *err)
{
	int n;

	c->began_ns = bh_datapath_now_ns();
	n = apply_flags(q, rec, err);
	if (n < 0)
		return n;
	c->cut_ns = bh_datapath_now_ns();
	if (n)
		return apply_allow(q, rec, err);
	n = bh_hostnet_cut(q->d, rec->cgroup_id, err);
	c->cut_ns = bh_datapath_now_ns();
	return n;
}

static int keep(struct bh_isolation *q, struct bh_quarantine **take_rec, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *key = bh_strf("%s/%s", (*take_rec)->ns, (*take_rec)->name);
	struct bh_quarantine *rec = *take_rec;

	if (!key || bh_map_set_s(&q->records, key, rec))
		return bh_fail(err, ENOMEM, "quarantine");
	*take_rec = NULL;
	/* a record that cannot be written is known until we end, and can be released */
	return bh_quarantine_save(rec, q->d->store, err);
}

int bh_isolate(struct bh_isolation *q, const struct bh_isolate_request *rq,
	       const struct bh_caller *by, json_t **ret_receipt, struct bh_err *err)
{
	BH_CLEANUP(bh_quarantine_freep) struct bh_quarantine *rec = NULL;
	const struct bh_endpoint *ep = bh_endpoint_table_pod(&q->d->endpoints, rq->ns, rq->name);
	struct bh_err why = {0};
	struct bh_quarantine *kept;
	struct cut c = {0};
	int done = 0, r = record_new(rq, by, &rec, err);

	if (!r && rq->evidence)
		r = bh_evidence_check(rq->evidence, err);
	if (!r && !ep)
		r = find_hostnet(q, rq, rec, err);
	if (!r)
		r = cut_off(q, rec, &c, err);
	if (r < 0)
		return r;
	kept = rec;
	done = ep ? end_connections(q, rq, ep, &c, &why) : end_hostnet(q, rq, rec, &c, &why);
	kept->is_frozen = rq->freeze && !done;
	/* Whatever ran before the flag was set has ended after this. */
	bh_datapath_wait_grace(q->d->dp);
	r = sum_passed(q, kept, &c.before, err);
	if (!r)
		r = keep(q, &rec, err);
	timer_arm(q);
	if (r < 0)
		return bh_note(err, r, "the pod is cut, but the record could not be kept");
	r = sum_passed(q, kept, &c.after, err);
	if (!r && done < 0) {
		*err = why;
		r = done;
	}
	*ret_receipt = receipt_json(kept, rq, &c);
	if (*ret_receipt)
		bh_journal_quarantine(q->d->journal, *ret_receipt, false, by);
	if (!r)
		return 0;
	json_decref(*ret_receipt);
	return bh_note(err, r, "the pod is cut off, but");
}

int bh_isolation_recover(struct bh_isolation *q, const char *ns, const char *name,
			 struct bh_err *err)
{
	const struct bh_isolate_request rq = {
		.ns = ns, .name = name, .reason = "the kernel had it cut off; the record is lost"};
	const struct bh_caller self = {.pid = getpid(), .uid = getuid()};
	BH_CLEANUP(bh_quarantine_freep) struct bh_quarantine *rec = NULL;
	int r = record_new(&rq, &self, &rec, err);

	if (!r)
		r = apply_flags(q, rec, err);
	return r < 0 ? r : keep(q, &rec, err);
}

static void unfreeze(const struct bh_endpoint *ep)
{
	BH_CLEANUP(bh_closep) int fd = -1;
	struct bh_netns_id ns;
	struct bh_err err;
	uint32_t n;

	if (!bh_netns_open(ep->netns, &fd, &err) && !bh_netns_id(fd, &ns, &err))
		bh_procs_freeze(&ns, false, &n, &err);
}

/* The interfaces go back to what policy says. */
static void let_go(struct bh_isolation *q, const struct bh_quarantine *rec)
{
	const struct bh_endpoint *first = NULL;
	struct bh_err err = {0};
	uint32_t n;

	bh_vec_each (it, &q->d->endpoints.eps) {
		struct bh_endpoint *ep = *it;

		if (!bh_endpoint_is_pod(ep, rec->ns, rec->name))
			continue;
		first = first ? first : ep;
		ep->is_quarantined = false;
		bh_datapath_set_flags(q->d->dp, ep->slot, 0, BH_SLOT_QUARANTINE | BH_SLOT_QALLOW);
		bh_datapath_set_qallow(q->d->dp, ep->slot, NULL, 0, &err);
	}
	if (first && rec->is_frozen)
		unfreeze(first);
	if (!rec->cgroup)
		return;
	bh_hostnet_uncut(q->d, rec->cgroup_id);
	if (rec->is_frozen)
		bh_hostnet_act(rec->cgroup, BH_HOSTNET_THAW, &n, &err);
}

/* The same pod in a new cgroup, as after a restart with another uid. */
static void follow(struct bh_isolation *q, struct bh_quarantine *rec, const char *uid)
{
	const struct bh_hostnet_who who = {rec->ns, rec->name, uid};
	BH_CLEANUP(bh_freep) char *dir = NULL;
	struct bh_err err = {0};
	uint64_t id = 0;

	if (bh_hostnet_find(q->d, &who, &dir, &id, &err) < 0 || id == rec->cgroup_id)
		return;
	if (bh_hostnet_cut(q->d, id, &err) < 0 ||
	    bh_hostnet_stop_packets(q->d, dir, id, &err) < 0) {
		bh_error("quarantine of '%s/%s': %s", rec->ns, rec->name, err.text);
		return;
	}
	bh_hostnet_uncut(q->d, rec->cgroup_id);
	free(rec->cgroup);
	rec->cgroup = BH_TAKE(dir);
	rec->cgroup_id = id;
	if (bh_quarantine_save(rec, q->d->store, &err) < 0)
		bh_error("quarantine of '%s/%s': %s", rec->ns, rec->name, err.text);
}

void bh_isolation_sweep(struct bh_isolation *q)
{
	struct bh_map_entry *e;
	size_t pos = 0;

	while ((e = bh_map_next(&q->records, &pos))) {
		struct bh_quarantine *rec = e->value;

		if (rec->cgroup)
			follow(q, rec, NULL);
	}
}

void bh_isolation_follow(struct bh_isolation *q, const char *ns, const char *name, const char *uid)
{
	struct bh_quarantine *rec = find(q, ns, name);

	if (rec && rec->cgroup)
		follow(q, rec, uid);
}

int bh_isolation_release(struct bh_isolation *q, const char *ns, const char *name,
			 const char *reason, const struct bh_caller *by, json_t **ret_receipt,
			 struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *key = bh_strf("%s/%s", ns, name);
	BH_CLEANUP(bh_freep) char *who = caller_text(by);
	const struct bh_quarantine *rec = find(q, ns, name);
	char since[32], released[32];
	json_t *receipt;
	int r;

	if (!key || !who)
		return bh_fail(err, ENOMEM, "release");
	if (!rec)
		return bh_fail(err, ENOENT, "pod '%s' is not quarantined", key);
	r = bh_store_del(q->d->store, "quarantine", key, err);
	if (r < 0)
		return r;
	let_go(q, rec);
	receipt = json_pack("{ss ss ss ss ss}", "pod", key, "since",
			    bh_time_format(rec->since_s, since), "released",
			    bh_time_format(bh_now_s(), released), "reason", reason, "by", who);
	bh_map_del_s(&q->records, key);
	if (!receipt)
		return bh_fail(err, ENOMEM, "release");
	bh_journal_quarantine(q->d->journal, receipt, true, by);
	*ret_receipt = receipt;
	return 0;
}

json_t *bh_isolation_list(const struct bh_isolation *q)
{
	json_t *rows = json_array();
	struct bh_map_entry *e;
	size_t pos = 0;

	while ((e = bh_map_next(&q->records, &pos))) {
		const struct bh_quarantine *rec = e->value;
		char pod[600], since[32];

		snprintf(pod, sizeof(pod), "%s/%s", rec->ns, rec->name);
		json_array_append_new(
			rows,
			json_pack("{ss ss ss ss so sO sb sb}", "pod", pod, "since",
				  bh_time_format(rec->since_s, since), "reason", rec->reason, "by",
				  rec->by, "expires", time_json(rec->expires_s), "allow",
				  rec->allow_text, "frozen", rec->is_frozen, "active",
				  rec->cgroup || bh_endpoint_table_pod(&q->d->endpoints, rec->ns,
								       rec->name)));
	}
	return rows;
}

static void timer_fn(void *arg)
{
	struct bh_isolation *q = arg;
	struct bh_caller self = {.pid = getpid(), .uid = getuid()};
	struct bh_map_entry *e;
	bool has_failed = false;
	size_t pos = 0;

	while ((e = bh_map_next(&q->records, &pos))) {
		const struct bh_quarantine *rec = e->value;
		json_t *receipt = NULL;
		struct bh_err err = {0};

		if (rec->expires_s > bh_now_s())
			continue;
		if (bh_isolation_release(q, rec->ns, rec->name, "its time is over", &self, &receipt,
					 &err) < 0) {
			bh_error("quarantine could not be ended: %s", err.text);
			has_failed = true;
			continue;
		}
		json_decref(receipt);
		pos = 0;
	}
	timer_arm(q);
	if (has_failed)
		bh_source_after(q->timer, RETRY_MS);
}

static int load_record(const char *key, const char *json, void *arg)
{
	BH_CLEANUP(bh_quarantine_freep) struct bh_quarantine *rec = NULL;
	struct bh_isolation *q = arg;
	struct bh_err err = {0};

	if (bh_quarantine_load(json, &rec, &err) < 0) {
		bh_error("quarantine record '%s' is unreadable: %s", key, err.text);
		return 0;
	}
	if (rec->cgroup && (bh_hostnet_cut(q->d, rec->cgroup_id, &err) < 0 ||
			    bh_hostnet_stop_packets(q->d, rec->cgroup, rec->cgroup_id, &err) < 0))
		bh_warn("quarantine of '%s': %s", key, err.text);
	if (bh_map_set_s(&q->records, key, rec))
		return -ENOMEM;
	(void)BH_TAKE(rec);
	return 0;
}

static void isolation_closep(struct bh_isolation **q)
{
	bh_isolation_close(*q);
}

int bh_isolation_open(struct bh_daemon *d, struct bh_isolation **ret, struct bh_err *err)
{
	BH_CLEANUP(isolation_closep) struct bh_isolation *q = calloc(1, sizeof(*q));
	int r;

	if (!q)
		return bh_fail(err, ENOMEM, "quarantine");
	q->d = d;
	bh_map_init(&q->records, bh_quarantine_free);
	r = bh_loop_timer(d->loop, UINT32_MAX, 0, timer_fn, q, &q->timer, err);
	if (!r)
		r = bh_store_each(d->store, "quarantine", load_record, q, err);
	if (r < 0)
		return bh_note(err, r, "quarantine records");
	timer_arm(q);
	*ret = BH_TAKE(q);
	return 0;
}

void bh_isolation_close(struct bh_isolation *q)
{
	if (!q)
		return;
	bh_source_free(q->timer);
	bh_map_done(&q->records);
	free(q);
}
