#include "daemon/isolate.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/hostnet.h"
#include "daemon/isolate_parts.h"
#include "daemon/journal.h"
#include "daemon/procs.h"

#define RETRY_MS 5000

struct bh_quarantine *bh_isolation_find(const struct bh_isolation *q, const char *ns,
					const char *name)
{
	BH_CLEANUP(bh_freep) char *key = bh_strf("%s/%s", ns, name);

	return key ? bh_map_get_s(&q->records, key) : NULL;
}

bool bh_isolation_has(const struct bh_isolation *q, const char *ns, const char *name)
{
	return bh_isolation_find(q, ns, name) != NULL;
}

bool bh_isolation_may_cut(const struct bh_isolation *q, const char *ns, const char *name,
			  bool is_doubt)
{
	const struct bh_quarantine *rec = bh_isolation_find(q, ns, name);

	return !rec || (rec->is_doubt && !is_doubt);
}

json_t *bh_isolation_time(int64_t t)
{
	char text[32];

	return t == INT64_MAX ? json_null() : json_string(bh_time_format(t, text));
}

static void follow_devices(struct bh_isolation *q)
{
	struct bh_err err = {0};

	if (bh_sides_open(q, &err) < 0)
		bh_warn("quarantine: devices that pods make are not followed: %s", err.text);
}

int bh_isolation_flags(struct bh_isolation *q, const struct bh_quarantine *rec, struct bh_err *err)
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

int bh_isolation_allow(struct bh_isolation *q, const struct bh_quarantine *rec, struct bh_err *err)
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
	const struct bh_quarantine *rec = bh_isolation_find(q, ep->ns, ep->name);

	*ret_flags = 0;
	if (!rec)
		return 0;
	ep->is_quarantined = true;
	follow_devices(q);
	bh_sides_look(q, ep, false);
	*ret_flags = BH_SLOT_QUARANTINE | (rec->n_allow ? BH_SLOT_QALLOW : 0);
	return bh_datapath_set_qallow(q->d->dp, ep->slot, rec->allow, rec->n_allow, err);
}

static char *caller_text(const struct bh_caller *by)
{
	return bh_strf("uid %u pid %d%s%s", (unsigned)by->uid, (int)by->pid, by->exe[0] ? " " : "",
		       by->exe);
}

int bh_isolation_record(const struct bh_isolate_request *rq, const struct bh_caller *by,
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
	rec->since_s = bh_now_s();
	rec->correlation = rq->finding ? bh_strf("%s", rq->finding)
				       : bh_strf("%s/%s/quarantine/%lld", rq->ns, rq->name,
						 (long long)rec->since_s);
	rec->rule = bh_quarantine_rule_json(rq->rule);
	if (!rec->ns || !rec->name || !rec->reason || !rec->by || !rec->correlation)
		return bh_fail(err, ENOMEM, "quarantine");
	rec->is_doubt = rq->is_doubt;
	rec->is_killing = rq->kill;
	rec->is_freezing = rec->must_thaw = rq->freeze;
	rec->expires_s = rq->ttl_s ? rec->since_s + rq->ttl_s : INT64_MAX;
	r = bh_quarantine_set_allow(rec, rq->allow, err);
	if (r < 0)
		return r;
	*ret = BH_TAKE(rec);
	return 0;
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

int bh_isolation_keep(struct bh_isolation *q, struct bh_quarantine **take_rec, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *key = bh_strf("%s/%s", (*take_rec)->ns, (*take_rec)->name);
	struct bh_quarantine *rec = *take_rec;
	const struct bh_quarantine *last = bh_isolation_find(q, rec->ns, rec->name);

	rec->serial = last ? last->serial : ++q->serial;
	rec->is_frozen |= last && last->is_frozen;
	rec->must_thaw |= last && last->must_thaw;
	rec->is_killing |= last && last->is_killing;
	rec->is_freezing |= last && last->is_freezing;
	if (!key || bh_map_set_s(&q->records, key, rec))
		return bh_fail(err, ENOMEM, "quarantine");
	*take_rec = NULL;
	timer_arm(q);
	follow_devices(q);
	bh_vec_each (it, &q->d->endpoints.eps) {
		if (bh_endpoint_is_pod(*it, rec->ns, rec->name))
			bh_sides_look(q, *it, true);
	}
	/* a record that cannot be written is known until we end, and can be released */
	return bh_quarantine_save(rec, q->d->store, err);
}

int bh_isolation_recover(struct bh_isolation *q, const char *ns, const char *name,
			 struct bh_err *err)
{
	const struct bh_isolate_request rq = {
		.ns = ns, .name = name, .reason = "the kernel had it cut off; the record is lost"};
	const struct bh_caller self = {.pid = getpid(), .uid = getuid()};
	BH_CLEANUP(bh_quarantine_freep) struct bh_quarantine *rec = NULL;
	int r = bh_isolation_record(&rq, &self, &rec, err);

	if (!r)
		r = bh_isolation_flags(q, rec, err);
	return r < 0 ? r : bh_isolation_keep(q, &rec, err);
}

static void unfreeze(const struct bh_endpoint *ep)
{
	BH_CLEANUP(bh_closep) int fd = -1;
	struct bh_netns_id ns;
	struct bh_err err;

	if (!bh_netns_open(ep->netns, &fd, &err) && !bh_netns_id(fd, &ns, &err))
		bh_procs_thaw(&ns, &err);
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
	if (first && rec->must_thaw)
		unfreeze(first);
	if (!rec->cgroup)
		return;
	bh_hostnet_uncut(q->d, rec->cgroup_id);
	if (rec->must_thaw)
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
	struct bh_quarantine *rec = bh_isolation_find(q, ns, name);

	if (rec && rec->cgroup)
		follow(q, rec, uid);
}

int bh_isolation_release(struct bh_isolation *q, const char *ns, const char *name,
			 const char *reason, const struct bh_caller *by, json_t **ret_receipt,
			 struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *key = bh_strf("%s/%s", ns, name);
	BH_CLEANUP(bh_freep) char *who = caller_text(by);
	BH_CLEANUP(bh_freep) char *correlation = NULL;
	const struct bh_quarantine *rec = bh_isolation_find(q, ns, name);
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
	bh_cuts_released(q, rec->serial);
	let_go(q, rec);
	correlation = bh_strf("%s", rec->correlation);
	receipt = json_pack("{ss ss ss ss ss}", "pod", key, "since",
			    bh_time_format(rec->since_s, since), "released",
			    bh_time_format(bh_now_s(), released), "reason", reason, "by", who);
	bh_map_del_s(&q->records, key);
	if (!q->records.count)
		bh_sides_close(q);
	if (!receipt)
		return bh_fail(err, ENOMEM, "release");
	bh_journal_quarantine(q->d->journal, &(struct bh_journal_cut){.receipt = receipt,
								      .is_release = true,
								      .by = by,
								      .correlation = correlation});
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
				  rec->by, "expires", bh_isolation_time(rec->expires_s), "allow",
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
	rec->serial = ++q->serial;
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
	bh_cuts_close(q);
	bh_sides_close(q);
	bh_source_free(q->timer);
	bh_map_done(&q->records);
	free(q);
}
