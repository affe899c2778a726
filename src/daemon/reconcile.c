#include "daemon/reconcile.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/vec.h"
#include "daemon/daemon.h"
#include "daemon/isolate.h"
#include "daemon/journal.h"
#include "daemon/runtime.h"
#include "daemon/roster.h"
#include "daemon/subset.h"
#include "daemon/world.h"

#define RETRY_MIN_MS 500
#define RETRY_MAX_MS 30000
#define ROUNDS	     2 /* of a search: what was enforced before it takes up room in the first one */

struct waiter {
	bh_reconciled_fn *fn;
	void *arg;
};

struct bh_reconciler {
	struct bh_daemon *d;
	struct bh_source *timer, *expiry_timer, *retry_timer;
	BH_VEC(struct waiter) waiting;
	struct bh_compile_memo *memo;
	struct bh_world *world; /* enforced */
	struct bh_tables *tables;
	uint64_t revision, failures;
	uint64_t retry_ms;
	struct bh_subset refused; /* policies that are left out of world */
	bool has_failed, is_policy_refused, must_search;
	bool is_due; /* something changed since the last attempt began */
	struct bh_err failure;
	double last_ms, last_compile_ms;
};

static double ms_between(uint64_t from_ns, uint64_t to_ns)
{
	return (double)(to_ns - from_ns) / 1e6;
}

/* The slots of each subject's interfaces, as bh_publish wants them. */
struct slot_lists {
	struct bh_publish p;
	uint32_t *slots; /* all lists, one after the other */
};

static void slot_lists_done(struct slot_lists *l)
{
	free(l->p.slots_of);
	free(l->slots);
}

/* Subjects and roster are in the same order. */
static int slot_lists_fill(const struct bh_daemon *d, const struct bh_tables *t,
			   struct slot_lists *l, struct bh_err *err)
{
	BH_CLEANUP(bh_roster_done) struct bh_roster roster = {0};
	uint32_t *next;
	size_t at = 0;

	l->p.tables = t;
	l->p.slots_of = calloc(t->n_subjects + 1, sizeof(*l->p.slots_of));
	l->slots = next = calloc(d->endpoints.eps.n + 1, sizeof(*l->slots));
	if (!l->p.slots_of || !l->slots || bh_roster_make(&d->endpoints, &roster))
		return bh_fail(err, ENOMEM, "publishing %zu pods", t->n_subjects);
	for (size_t i = 0; i < t->n_subjects; i++) {
		const struct bh_tsubject *s = &t->subjects[i];

		while (at < roster.n && !bh_endpoint_is_pod(roster.v[at], s->ns, s->name))
			at++; /* a pod without tables */
		l->p.slots_of[i].slot = next;
		while (at < roster.n && bh_endpoint_is_pod(roster.v[at], s->ns, s->name))
			*next++ = roster.v[at++]->slot;
		l->p.slots_of[i].n = (size_t)(next - l->p.slots_of[i].slot);
	}
	return 0;
}

uint64_t bh_reconcile_ktime(int64_t unix_s)
{
	struct timespec real;
	uint64_t now_ns = bh_datapath_now_ns();

	clock_gettime(CLOCK_REALTIME, &real);
	return now_ns - (uint64_t)((real.tv_sec - unix_s) * 1000000000ll + real.tv_nsec);
}

static int publish(struct bh_reconciler *rc, const struct bh_tables *t, int64_t now_s,
		   struct bh_err *err)
{
	BH_CLEANUP(slot_lists_done) struct slot_lists l = {0};
	int r = slot_lists_fill(rc->d, t, &l, err);

	if (r < 0)
		return r;
	l.p.now_s = now_s;
	l.p.now_ns = bh_reconcile_ktime(now_s);
	return bh_datapath_publish(rc->d->dp, &l.p, err);
}

/* Compiles and publishes one world; on success it is the enforced one. */
static int enforce(struct bh_reconciler *rc, struct bh_world *w, struct bh_err *err)
{
	BH_CLEANUP(bh_subjects_done) struct bh_subjects subjects = {0};
	BH_CLEANUP(bh_tables_freep) struct bh_tables *t = NULL;
	struct bh_compile_request rq = {.world = w, .memo = rc->memo};
	uint64_t began = bh_datapath_now_ns();
	int r;

	r = bh_world_subjects(rc->d, w, &subjects, err);
	rq.subjects = subjects.v;
	rq.n_subjects = subjects.n;
	if (!r)
		r = bh_compile_run(&rq, &t, err);
	rc->last_compile_ms = ms_between(began, bh_datapath_now_ns());
	if (!r)
		r = publish(rc, t, w->now_s, err);
	rc->last_ms = ms_between(began, bh_datapath_now_ns());
	if (r < 0)
		return r;
	bh_journal_world(rc->d->journal, rc->world, w);
	bh_world_unref(rc->world);
	rc->world = bh_world_ref(w);
	bh_compile_recycle(rc->memo, rc->tables);
	rc->tables = BH_TAKE(t);
	rc->revision++;
	bh_runtime_changed(rc->d->runtime);
	return 0;
}

static int open_endpoint(struct bh_daemon *d, struct bh_endpoint *ep)
{
	int r = bh_datapath_set_flags(d->dp, ep->slot, 0, BH_SLOT_SHUT);

	if (r < 0)
		return r;
	ep->is_open = true;
	bh_daemon_save_endpoint(d, ep);
	bh_journal_endpoint(d->journal, ep, "opened");
	return 0;
}

/* What is published covers every registered endpoint: those that were shut open now. */
static void open_endpoints(struct bh_reconciler *rc)
{
	struct bh_daemon *d = rc->d;

	bh_vec_each (it, &d->endpoints.eps) {
		struct bh_endpoint *ep = *it;

		/* a pod that is being added waits for its plugin, see bh_reconcile_open */
		if (!ep->is_open && !ep->is_refused && ep->add != BH_ADD_PENDING)
			open_endpoint(d, ep);
	}
}

int bh_reconcile_open(struct bh_reconciler *rc, struct bh_endpoint *ep)
{
	return open_endpoint(rc->d, ep);
}

static void expiry_timer_arm(struct bh_reconciler *rc)
{
	int64_t next = bh_world_next_end(rc->world);
	int64_t now = bh_now_s();
	uint64_t delay_ms = 60000; /* also notices a wall clock that was set */

	if (next != INT64_MAX && next - now < 60)
		delay_ms = next > now ? (uint64_t)(next - now) * 1000 : 1;
	bh_source_after(rc->expiry_timer, delay_ms);
}

static void expiry_timer_fn(void *arg)
{
	struct bh_reconciler *rc = arg;
	int64_t next = rc->world ? bh_world_next_end(rc->world) : INT64_MAX;
	int64_t now = bh_now_s();

	bh_journal_tick(rc->d->journal, rc->world, now);
	if (rc->world && (next <= now || rc->world->now_s > now + 1))
		bh_reconcile_soon(rc);
	else
		expiry_timer_arm(rc);
}

/* The newest policies do not fit: enforce the last ones that did, over today's pods. */
static int enforce_old_policies(struct bh_reconciler *rc, struct bh_err *err)
{
	BH_CLEANUP(bh_world_unrefp) struct bh_world *w = NULL;
	const struct bh_policies old = {rc->world->policies, rc->world->n_policies};
	int r = bh_world_build(rc->d, &old, &w, err);

	return r < 0 ? r : enforce(rc, w, err);
}

/* Some policy is too large: all others of the new set are enforced without it. */
static int enforce_most(struct bh_reconciler *rc, const struct bh_world *want, struct bh_err *err)
{
	const struct bh_subset_request rq = {rc->d, want, rc->world, &rc->refused, rc->memo};
	BH_CLEANUP(bh_subset_done) struct bh_subset found = {0};
	BH_CLEANUP(bh_world_unrefp) struct bh_world *w = NULL;
	int r = bh_subset_find(&rq, &found, &w, err);

	if (!r)
		r = enforce(rc, w, err);
	if (r)
		return r;
	bh_subset_done(&rc->refused);
	rc->refused = found;
	found = (struct bh_subset){0};
	if (rc->refused.refused.n)
		*err = (struct bh_err){.code = -E2BIG};
	if (rc->refused.refused.n)
		snprintf(err->text, sizeof(err->text), "%s", rc->refused.refused.v[0].why);
	return 0;
}

/* The same policies as at the last search, over today's pods. */
static int enforce_again(struct bh_reconciler *rc, const struct bh_world *want, struct bh_err *err)
{
	const struct bh_subset_request rq = {rc->d, want, rc->world, &rc->refused, rc->memo};
	BH_CLEANUP(bh_world_unrefp) struct bh_world *w = NULL;
	int r = bh_subset_again(&rq, &w, err);

	return r ? r : enforce(rc, w, err);
}

/* On failure all of the last set's policies are tried on today's pods. */
static int enforce_what_fits(struct bh_reconciler *rc, struct bh_world *w, struct bh_err *err)
{
	struct bh_err ignored;
	int r = enforce(rc, w, err);

	rc->is_policy_refused = false;
	if (!r) {
		bh_subset_done(&rc->refused);
		return 0;
	}
	for (int i = 0; i < ROUNDS && (r == -ENOSPC || (r == -E2BIG && !i)); i++) {
		struct bh_err most = {0};

		if (enforce_most(rc, w, &most))
			break;
		rc->is_policy_refused = rc->refused.refused.n;
		if (!rc->is_policy_refused)
			return 0;
		*err = most;
	}
	if (!rc->is_policy_refused && rc->world)
		rc->is_policy_refused = !enforce_old_policies(rc, &ignored);
	return r;
}

static void note_failure(struct bh_reconciler *rc, const struct bh_err *err)
{
	rc->failures++;
	rc->has_failed = true;
	rc->failure = *err;
	rc->retry_ms = rc->retry_ms ? rc->retry_ms * 2 : RETRY_MIN_MS;
	if (rc->retry_ms > RETRY_MAX_MS)
		rc->retry_ms = RETRY_MAX_MS;
	bh_source_after(rc->retry_timer, rc->retry_ms);
	bh_journal_publish_failed(rc->d->journal, err->text);
}

static int reconcile(struct bh_reconciler *rc, struct bh_err *err)
{
	BH_CLEANUP(bh_world_unrefp) struct bh_world *w = NULL;
	struct bh_err first = {0};
	int r;

	rc->is_due = false;
	r = bh_world_build(rc->d, NULL, &w, &first);
	if (!r && rc->refused.refused.n && !rc->must_search && !enforce_again(rc, w, &first)) {
		open_endpoints(rc);
		expiry_timer_arm(rc);
		return 0;
	}
	rc->must_search = false;
	if (!r)
		r = enforce_what_fits(rc, w, &first);
	if (r < 0) {
		note_failure(rc, &first);
		*err = first;
		r = rc->is_policy_refused ? 0 : r;
	} else {
		rc->has_failed = false;
		rc->retry_ms = 0;
	}
	if (!r)
		open_endpoints(rc);
	if (rc->world)
		expiry_timer_arm(rc);
	return r;
}

/* RuntimePolicies follow also where no world could be enforced. */
int bh_reconcile_now(struct bh_reconciler *rc, struct bh_err *err)
{
	uint64_t before = rc->revision;
	int r = reconcile(rc, err);

	if (rc->revision == before)
		bh_runtime_changed(rc->d->runtime);
	return r;
}

static void retry_timer_fn(void *arg)
{
	struct bh_reconciler *rc = arg;

	if (!rc->has_failed)
		return;
	rc->must_search = true;
	bh_reconcile_soon(rc);
}

static void timer_fn(void *arg)
{
	struct bh_reconciler *rc = arg;
	struct bh_err err = {0};
	size_t n = rc->waiting.n;
	struct waiter *v = rc->waiting.v;
	int r;

	rc->waiting.v = NULL;
	rc->waiting.n = rc->waiting.cap = 0;
	r = bh_reconcile_now(rc, &err);
	for (size_t i = 0; i < n; i++)
		v[i].fn(r, &err, v[i].arg);
	free(v);
}

void bh_reconcile_soon(struct bh_reconciler *rc)
{
	rc->is_due = true;
	bh_source_after(rc->timer, 0);
}

int bh_reconcile_then(struct bh_reconciler *rc, bh_reconciled_fn *fn, void *arg)
{
	int r = bh_vec_push(&rc->waiting, ((struct waiter){fn, arg}));

	if (!r)
		bh_reconcile_soon(rc);
	return r;
}

int bh_reconcile_settled(struct bh_reconciler *rc, bh_reconciled_fn *fn, void *arg)
{
	if (rc->is_due || rc->has_failed || !rc->world)
		return bh_reconcile_then(rc, fn, arg);
	fn(0, &(struct bh_err){0}, arg);
	return 0;
}

void bh_reconcile_forget(struct bh_reconciler *rc, void *arg)
{
	for (size_t i = 0; i < rc->waiting.n; i++) {
		if (rc->waiting.v[i].arg == arg)
			rc->waiting.v[i--] = rc->waiting.v[--rc->waiting.n];
	}
}

struct bh_reconcile_state bh_reconcile_state(const struct bh_reconciler *rc)
{
	return (struct bh_reconcile_state){
		.revision = rc->revision,
		.world = rc->world,
		.tables = rc->tables,
		.failures = rc->failures,
		.failure = rc->has_failed ? rc->failure.text : NULL,
		.is_policy_refused = rc->is_policy_refused,
		.refused = &rc->refused,
		.last_ms = rc->last_ms,
		.last_compile_ms = rc->last_compile_ms,
	};
}

static void reconciler_freep(struct bh_reconciler **rc)
{
	bh_reconciler_free(*rc);
}

int bh_reconciler_new(struct bh_daemon *d, struct bh_reconciler **ret, struct bh_err *err)
{
	BH_CLEANUP(reconciler_freep) struct bh_reconciler *rc = calloc(1, sizeof(*rc));
	int r;

	if (!rc)
		return bh_fail(err, ENOMEM, "reconciler");
	rc->d = d;
	r = bh_compile_memo_new(&rc->memo, err);
	if (!r)
		r = bh_loop_timer(d->loop, UINT32_MAX, 0, timer_fn, rc, &rc->timer, err);
	if (!r)
		r = bh_loop_timer(d->loop, UINT32_MAX, 0, expiry_timer_fn, rc, &rc->expiry_timer,
				  err);
	if (!r)
		r = bh_loop_timer(d->loop, UINT32_MAX, 0, retry_timer_fn, rc, &rc->retry_timer,
				  err);
	if (r < 0)
		return bh_note(err, r, "reconciler");
	*ret = BH_TAKE(rc);
	return 0;
}

void bh_reconciler_free(struct bh_reconciler *rc)
{
	if (!rc)
		return;
	bh_source_free(rc->timer);
	bh_source_free(rc->expiry_timer);
	bh_source_free(rc->retry_timer);
	bh_vec_done(&rc->waiting);
	bh_compile_memo_free(rc->memo);
	bh_subset_done(&rc->refused);
	bh_tables_free(rc->tables);
	bh_world_unref(rc->world);
	free(rc);
}
