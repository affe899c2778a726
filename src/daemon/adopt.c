/* Endpoints that outlive a daemon, and what is left of those that went without a DEL. */
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/admit.h"
#include "daemon/adopt.h"
#include "daemon/daemon.h"
#include "daemon/isolate.h"
#include "daemon/journal.h"

#define MEND_SLICE 64 /* endpoints whose programs are looked at in one sweep */

struct adoption {
	struct bh_daemon *d;
	struct bh_err *err;
};

static int adopt_row(const char *key, const char *json, void *arg)
{
	struct adoption *a = arg;
	BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
	BH_CLEANUP(bh_endpoint_freep) struct bh_endpoint *ep = NULL;
	struct bh_err err = {0};
	int r = bh_json_parse(json, strlen(json), 1 << 20, &j, &err);

	if (!r)
		r = bh_endpoint_from_json(j, &ep, &err);
	if (r < 0) {
		bh_warn("endpoint '%s' in the database is unreadable: %s", key, err.text);
		return 0;
	}
	/* a daemon that died during an ADD has not answered it: the runtime takes it as failed */
	ep->is_refused |= ep->add == BH_ADD_PENDING;
	ep->is_open &= !ep->is_refused;
	ep->told_s = bh_uptime_s();
	return bh_endpoint_table_add(&a->d->endpoints, &ep, a->err);
}

/* Cut off, and no record says so: it stays cut, and can be released. */
static int recover_quarantine(struct bh_daemon *d, const struct bh_endpoint *ep,
			      const struct bh_slot *entry)
{
	struct bh_err err = {0};

	if (!(entry->flags & BH_SLOT_QUARANTINE) ||
	    bh_isolation_has(d->isolation, ep->ns, ep->name))
		return 0;
	if (bh_isolation_recover(d->isolation, ep->ns, ep->name, &err) < 0)
		bh_error("quarantine of '%s/%s' is in no record: %s", ep->ns, ep->name, err.text);
	return 0;
}

/* A daemon that died between the kernel and its record of it. What should be open and is not will
 * be with the first publish. */
static void settle_flags(struct bh_daemon *d, struct bh_endpoint *ep, const struct bh_slot *entry)
{
	if (ep->is_open)
		ep->is_open = !(entry->flags & BH_SLOT_SHUT);
	else
		bh_datapath_set_flags(d->dp, ep->slot, BH_SLOT_SHUT, 0);
}

static int shut_unknown(uint32_t slot, const struct bh_slot *entry, void *arg)
{
	struct bh_daemon *d = arg;
	struct bh_endpoint *ep = bh_endpoint_table_slot(&d->endpoints, slot);

	if (ep && ep->generation == entry->generation) {
		settle_flags(d, ep, entry);
		return recover_quarantine(d, ep, entry);
	}
	if (!bh_link_exists(entry->ifindex)) {
		struct bh_err err;

		return bh_datapath_detach(d->dp, slot, &err);
	}
	bh_warn("interface %u is enforced but in no record: shut", entry->ifindex);
	d->endpoints.generation[slot] = entry->generation;
	bh_endpoint_table_orphan(&d->endpoints, slot, !ep);
	return bh_datapath_set_flags(d->dp, slot, BH_SLOT_SHUT, 0);
}

static int sweep_orphan(uint32_t slot, const struct bh_slot *entry, void *arg)
{
	struct bh_daemon *d = arg;
	struct bh_err err;

	if (!d->endpoints.is_orphan[slot])
		return 0;
	if (bh_link_exists(entry->ifindex)) {
		if (bh_datapath_check(d->dp, slot, entry->ifindex, &err) < 0 &&
		    bh_datapath_mend(d->dp, slot, entry->ifindex, &err) < 0)
			bh_error("interface %u is in no record and not enforced: %s",
				 entry->ifindex, err.text);
		return 0;
	}
	if (bh_datapath_detach(d->dp, slot, &err) >= 0)
		bh_endpoint_table_orphan(&d->endpoints, slot, false);
	return 0;
}

/* Puts back what the kernel should have for an endpoint that is still there. */
static int adopt_endpoint(struct bh_daemon *d, struct bh_endpoint *ep, struct bh_err *err)
{
	uint32_t flags = 0;
	int r;

	if (!bh_admit_is_there(ep))
		return bh_daemon_drop_endpoint(d, ep, err);
	bh_admit_settle(d, ep);
	if (bh_datapath_check(d->dp, ep->slot, ep->ifindex, err) < 0) {
		ep->is_open = false;
		return bh_admit_attach(d, ep, err);
	}
	r = bh_isolation_prepare(d->isolation, ep, &flags, err);
	if (!r && flags)
		r = bh_datapath_set_flags(d->dp, ep->slot, flags, 0);
	return r;
}

/* One pod that cannot be taken over is shut; the others must not suffer for it. */
static void adopt_or_shut(struct bh_daemon *d, struct bh_endpoint *ep)
{
	struct bh_err err = {0};

	if (adopt_endpoint(d, ep, &err) >= 0)
		return;
	bh_error("pod '%s/%s' could not be taken over and is shut: %s", ep->ns, ep->name, err.text);
	/* not recorded: the next start may do better */
	ep->is_refused = true;
	ep->is_open = false;
	bh_datapath_set_flags(d->dp, ep->slot, BH_SLOT_SHUT, 0);
}

int bh_adopt_all(struct bh_daemon *d, struct bh_err *err)
{
	struct adoption a = {d, err};
	int r = bh_store_each(d->store, "endpoint", adopt_row, &a, err);

	for (size_t i = 0; r >= 0 && i < d->endpoints.eps.n;) {
		struct bh_endpoint *ep = d->endpoints.eps.v[i];

		adopt_or_shut(d, ep);
		if (i < d->endpoints.eps.n && d->endpoints.eps.v[i] == ep)
			i++;
	}
	if (r >= 0)
		r = bh_datapath_slots(d->dp, shut_unknown, d);
	return r < 0 ? bh_note(err, r, "adopting endpoints") : 0;
}

/* Somebody took a program off the interface. One that goes away right now is no news. */
static void mend(struct bh_daemon *d, const struct bh_endpoint *ep)
{
	struct bh_err err = {0}, failed = {0};

	if (bh_datapath_check(d->dp, ep->slot, ep->ifindex, &err) >= 0)
		return;
	if (bh_datapath_mend(d->dp, ep->slot, ep->ifindex, &failed) < 0) {
		if (bh_link_exists(ep->ifindex))
			bh_error("pod '%s/%s' is not enforced: %s: %s", ep->ns, ep->name, err.text,
				 failed.text);
		return;
	}
	bh_warn("pod '%s/%s': %s; it is attached again", ep->ns, ep->name, err.text);
	bh_journal_endpoint(d->journal, ep, "mended");
}

/* Some at a time: to ask about two programs of every pod takes thousands of system calls. */
static void mend_some(struct bh_daemon *d)
{
	size_t n = d->endpoints.eps.n < MEND_SLICE ? d->endpoints.eps.n : MEND_SLICE;

	for (size_t i = 0; i < n; i++) {
		if (d->mended >= d->endpoints.eps.n)
			d->mended = 0;
		mend(d, d->endpoints.eps.v[d->mended++]);
	}
}

void bh_adopt_mend(struct bh_daemon *d, const struct bh_endpoint *ep)
{
	mend(d, ep);
}

void bh_adopt_sweep(struct bh_daemon *d)
{
	bool dropped = false;

	for (size_t i = 0; i < d->endpoints.eps.n;) {
		struct bh_endpoint *ep = d->endpoints.eps.v[i];
		struct bh_err err = {0};

		if (bh_link_exists(ep->ifindex)) {
			bh_admit_settle(d, ep);
			i++;
		} else if (bh_daemon_drop_endpoint(d, ep, &err) < 0) {
			i++;
		} else {
			dropped = true;
		}
	}
	mend_some(d);
	if (d->endpoints.n_orphans)
		bh_datapath_slots(d->dp, sweep_orphan, d);
	if (dropped)
		bh_reconcile_soon(d->reconciler);
	bh_isolation_sweep(d->isolation);
}
