#include <stdlib.h>

#include "base/json.h"
#include "daemon/daemon.h"
#include "daemon/saved.h"
#include "daemon/verbs.h"

#define DEFAULT_TIMEOUT_MS 10000
#define MAX_TIMEOUT_MS	   600000

/* One sync: sources settle, then a publish that began after it, unless the last one has everything.
 * Freed by whoever answers. */
struct pending_sync {
	struct bh_daemon *d;
	struct bh_request *rq;
	struct bh_source *deadline;
};

static void sync_free(struct pending_sync *p)
{
	bh_reconcile_forget(p->d->reconciler, p);
	if (p->d->manifests)
		bh_manifests_forget(p->d->manifests, p);
	bh_source_free(p->deadline);
	free(p);
}

static void on_published(int r, const struct bh_err *err, void *arg)
{
	struct pending_sync *p = arg;
	struct bh_reconcile_state st = bh_reconcile_state(p->d->reconciler);
	struct bh_err why = *err;

	/* Old policies over new pods is not what was asked for. */
	if (!r && st.failure)
		r = bh_fail(&why, EBUSY, "%s", st.failure);
	/* whoever waited for it may count on it, also when its manifest breaks and the daemon dies
	 */
	bh_keeper_flush(p->d->keeper);
	bh_verb_answer(p->rq, r, r ? NULL : json_pack("{sI}", "revision", (json_int_t)st.revision),
		       &why);
	sync_free(p);
}

static void on_settled(void *arg)
{
	struct pending_sync *p = arg;
	struct bh_err err = {0};

	if (!bh_reconcile_settled(p->d->reconciler, on_published, p))
		return;
	bh_fail(&err, ENOMEM, "no memory for one more sync");
	bh_request_fail(p->rq, &err, true);
	sync_free(p);
}

static void on_deadline(void *arg)
{
	struct pending_sync *p = arg;
	struct bh_err err = {0};

	bh_fail(&err, ETIMEDOUT, "not everything is enforced yet");
	bh_request_fail(p->rq, &err, true);
	sync_free(p);
}

static void on_gone(struct bh_request *rq, void *arg)
{
	(void)rq;
	sync_free(arg);
}

void bh_verb_sync(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	struct pending_sync *p = calloc(1, sizeof(*p));
	int64_t timeout_ms = DEFAULT_TIMEOUT_MS;
	struct bh_err err = {0};
	bool changed;
	int r = p ? 0 : bh_fail(&err, ENOMEM, "no memory for one more sync");

	if (!r)
		r = bh_json_get_int(args, "timeoutMs", false, 1, MAX_TIMEOUT_MS, &timeout_ms, &err);
	if (!r)
		r = bh_daemon_refresh_addresses(d, &changed, &err);
	if (!r && changed)
		bh_reconcile_soon(d->reconciler);
	if (!r) {
		p->d = d;
		p->rq = rq;
		r = bh_loop_timer(d->loop, (uint64_t)timeout_ms, 0, on_deadline, p, &p->deadline,
				  &err);
	}
	if (r < 0) {
		free(p);
		bh_request_fail(rq, &err, false);
		return;
	}
	bh_request_on_gone(rq, on_gone, p);
	if (!d->manifests)
		on_settled(p);
	else if (bh_manifests_settled(d->manifests, on_settled, p))
		on_deadline(p);
}
