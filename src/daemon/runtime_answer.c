#include "daemon/runtime_answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/isolate.h"
#include "daemon/journal.h"
#include "daemon/observe.h"
#include "daemon/procs.h"
#include "daemon/whose.h"
#include "event/ocsf_process.h"

struct wish {
	uint32_t slot, generation;
	enum bh_response response;
	uint32_t pid;
	uint64_t ts_ns;
	char text[BH_WISH_TEXT];
};

struct bh_runtime_answers {
	struct bh_daemon *d;
	BH_VEC(struct wish) wishes;
};

int bh_runtime_answers_open(struct bh_daemon *d, struct bh_runtime_answers **ret,
			    struct bh_err *err)
{
	struct bh_runtime_answers *x = calloc(1, sizeof(*x));

	if (!x)
		return bh_fail(err, ENOMEM, "answers to findings");
	x->d = d;
	*ret = x;
	return 0;
}

void bh_runtime_answers_close(struct bh_runtime_answers *x)
{
	if (!x)
		return;
	bh_vec_done(&x->wishes);
	free(x);
}

void bh_runtime_answers_note(const struct bh_endpoint *ep, const struct bh_detection_wish *w,
			     void *arg)
{
	struct bh_runtime_answers *x = arg;
	struct wish wish = {ep->slot, ep->generation, w->response, w->pid, w->ts_ns, ""};

	snprintf(wish.text, sizeof(wish.text), "%s", w->text);
	if (bh_vec_push(&x->wishes, wish))
		bh_error("no memory to answer a finding about %s/%s", ep->ns, ep->name);
}

static bool is_of(const struct bh_runtime_answers *x, const char *ns, const char *pod,
		  const char *workload)
{
	char other[BH_WHOSE_NAME];

	return !strcmp(bh_whose_name(x->d, ns, pod, other), workload);
}

static bool is_cut(const struct bh_runtime_answers *x, const struct bh_endpoint *ep)
{
	bool is_cut = ep->is_quarantined;

	bh_vec_each (w, &x->wishes)
		is_cut = is_cut || (w->slot == ep->slot && w->generation == ep->generation &&
				    w->response != BH_RESPOND_KILL);
	return is_cut;
}

void bh_runtime_answers_count(const struct bh_endpoint *ep, struct bh_detection_replicas *ret,
			      void *arg)
{
	struct bh_runtime_answers *x = arg;
	char workload[BH_WHOSE_NAME];
	const struct bh_world *w = bh_reconcile_state(x->d->reconciler).world;

	bh_whose_name(x->d, ep->ns, ep->name, workload);
	*ret = (struct bh_detection_replicas){.is_isolated = is_cut(x, ep)};
	if (ret->is_isolated) /* nothing more is done to it, and it may go on raising findings */
		return;
	bh_vec_each (it, &x->d->endpoints.eps) {
		if (!(*it)->owns_cookie || !is_of(x, (*it)->ns, (*it)->name, workload))
			continue;
		ret->all++;
		ret->isolated += is_cut(x, *it);
	}
	for (size_t i = 0; w && i < w->n_pods; i++) {
		const struct bh_pod *pod = w->pods[i];

		/* on other nodes; whether they are cut off there is not known here */
		ret->all += pod->phase != BH_POD_DONE &&
			    is_of(x, pod->ident->ns, pod->name, workload) &&
			    !bh_endpoint_table_pod(&x->d->endpoints, pod->ident->ns, pod->name);
	}
}

static void kill_one(struct bh_runtime_answers *x, const struct bh_endpoint *ep,
		     const struct wish *w)
{
	bool is_killed = bh_procs_kill_since((pid_t)w->pid, w->ts_ns);
	const struct bh_ocsf_kill k = {
		.time_ms = bh_wall_ms(bh_datapath_now_ns()),
		.pid = w->pid,
		.reason = w->text,
		.failure = is_killed ? NULL : "it ended before, or cannot be killed",
	};

	if (is_killed)
		bh_info("killed: pod=%s/%s pid=%u: %s", ep->ns, ep->name, w->pid, w->text);
	bh_journal_kill(x->d->journal, ep, &k);
}

static void answer(struct bh_runtime_answers *x, const struct wish *w)
{
	const struct bh_endpoint *ep = bh_endpoint_table_slot(&x->d->endpoints, w->slot);
	struct bh_isolate_request rq = {.reason = w->text,
					.freeze = w->response == BH_RESPOND_FREEZE};
	const struct bh_caller self = {.pid = getpid(), .uid = getuid(), .exe = "bulkheadd"};
	struct bh_err err = {0};

	if (!ep || ep->generation != w->generation)
		return;
	if (w->response == BH_RESPOND_KILL) {
		kill_one(x, ep, w);
		return;
	}
	rq.ns = ep->ns;
	rq.name = ep->name;
	/* one event may call for it twice; a person's own record is not replaced either */
	if (!bh_isolation_may_cut(x->d->isolation, rq.ns, rq.name, false))
		return;
	if (bh_isolate(x->d->isolation, &rq, &self, NULL, NULL, &err) < 0)
		bh_error("automatic quarantine of %s/%s: %s", ep->ns, ep->name, err.text);
}

void bh_runtime_answers_give(struct bh_runtime_answers *x)
{
	for (size_t i = 0; i < x->wishes.n; i++) {
		struct wish w = x->wishes.v[i]; /* more may come meanwhile */

		answer(x, &w);
	}
	x->wishes.n = 0;
}
