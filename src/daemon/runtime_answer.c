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
	struct bh_endpoint *pod; /* what events say of it, owned; it may be gone when it is told */
	enum bh_response response;
	uint32_t pid;
	uint64_t ts_ns, exec_id;
	bool was_gone; /* it was looked for in vain once */
	char text[BH_WISH_TEXT];
	char *finding;		      /* its uid */
	char *rule, *rule_uid, *file; /* that wants it; NULL: not known */
	struct bh_ocsf_rule said;     /* with these texts */
	json_t *process, *details;    /* who did it */
};

/* A process that ended, as told. */
struct end {
	uint32_t pid;
	uint64_t ts_ns;
	bool is_killed; /* by the kernel, for what a policy refuses */
};
#define ENDS 256

struct bh_runtime_answers {
	struct bh_daemon *d;
	BH_VEC(struct wish) wishes;
	struct end ends[ENDS]; /* the latest */
	unsigned n_ends;
};

static void wish_done(struct wish *w)
{
	bh_endpoint_free(w->pod);
	free(w->finding);
	free(w->rule);
	free(w->rule_uid);
	free(w->file);
	json_decref(w->process);
	json_decref(w->details);
}

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
	bh_vec_each (w, &x->wishes)
		wish_done(w);
	bh_vec_done(&x->wishes);
	free(x);
}

static char *copy_of(const char *s)
{
	return s ? bh_strf("%s", s) : NULL;
}

static struct bh_endpoint *pod_of(const struct bh_endpoint *ep)
{
	struct bh_endpoint *pod = bh_endpoint_new();

	if (!pod)
		return NULL;
	pod->ns = copy_of(ep->ns);
	pod->name = copy_of(ep->name);
	pod->uid = copy_of(ep->uid);
	pod->container_id = copy_of(ep->container_id);
	if (!pod->ns || !pod->name)
		bh_endpoint_freep(&pod);
	return pod;
}

void bh_runtime_answers_note(const struct bh_endpoint *ep, const struct bh_detection_wish *w,
			     void *arg)
{
	struct bh_runtime_answers *x = arg;
	struct wish wish = {.slot = ep->slot,
			    .generation = ep->generation,
			    .pod = pod_of(ep),
			    .response = w->response,
			    .pid = w->pid,
			    .ts_ns = w->ts_ns,
			    .exec_id = w->event->exec_id,
			    .finding = copy_of(w->finding),
			    .rule = copy_of(w->rule.name),
			    .rule_uid = copy_of(w->rule.uid),
			    .file = copy_of(w->rule.file),
			    .said = w->rule};

	snprintf(wish.text, sizeof(wish.text), "%s", w->text);
	wish.said.name = wish.rule;
	wish.said.uid = wish.rule_uid;
	wish.said.file = wish.file;
	wish.process = bh_ocsf_suspect(w->event, &wish.details);
	if (!wish.pod || bh_vec_push(&x->wishes, wish)) {
		bh_error("no memory to answer a finding about %s/%s", ep->ns, ep->name);
		wish_done(&wish);
	}
}

void bh_runtime_answers_saw(struct bh_runtime_answers *x, const struct bh_trace_event *ev)
{
	bool is_killed = ev->flags & BH_TRACE_F_KILLED;

	if (is_killed || ev->kind == BH_TRACE_EXIT)
		x->ends[x->n_ends++ % ENDS] = (struct end){ev->pid, ev->ts_ns, is_killed};
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

/* Whether the kernel has killed it since, for something else that a policy refuses. */
static bool kernel_did(const struct bh_runtime_answers *x, const struct wish *w)
{
	for (unsigned i = 0; i < ENDS; i++) {
		const struct end *e = &x->ends[i];

		if (e->is_killed && e->pid == w->pid && e->ts_ns >= w->ts_ns)
			return true;
	}
	return false;
}

/* Returns false to be asked again: whoever is gone may have been killed by the kernel, which is
 * told with the next records. */
static bool kill_one(struct bh_runtime_answers *x, struct wish *w)
{
	const struct bh_endpoint *ep = w->pod;
	enum bh_procs_end end =
		w->was_gone ? BH_PROCS_GONE : bh_procs_kill_since((pid_t)w->pid, w->ts_ns);
	struct bh_ocsf_kill k = {
		.time_ms = bh_wall_ms(bh_datapath_now_ns()),
		.process = w->process,
		.details = w->details,
		.reason = w->text,
		.rule = w->said,
		.correlation = w->finding,
	};

	if (end == BH_PROCS_GONE && !w->was_gone) {
		w->was_gone = true;
		return false;
	}
	if (end == BH_PROCS_KILLED) {
		bh_info("killed: pod=%s/%s pid=%u: %s", ep->ns, ep->name, w->pid, w->text);
	} else if (end == BH_PROCS_FAILED) {
		k.end = BH_KILL_FAILED;
		k.detail = "the kernel does not let us kill it";
	} else if (kernel_did(x, w)) {
		k.detail = "the kernel had killed it for what it did next";
	} else {
		k.end = BH_KILL_GONE;
		k.detail = "it had ended by itself";
	}
	bh_journal_kill(x->d->journal, ep, w->exec_id, &k);
	return true;
}

static bool answer(struct bh_runtime_answers *x, struct wish *w)
{
	const struct bh_endpoint *ep = bh_endpoint_table_slot(&x->d->endpoints, w->slot);
	struct bh_isolate_request rq = {.reason = w->text,
					.freeze = w->response == BH_RESPOND_FREEZE,
					.rule = &w->said,
					.finding = w->finding};
	const struct bh_caller self = {.pid = getpid(), .uid = getuid(), .exe = "bulkheadd"};
	struct bh_err err = {0};

	/* a process may outlive its pod, and what became of it is told in any case */
	if (w->response == BH_RESPOND_KILL)
		return kill_one(x, w);
	if (!ep || ep->generation != w->generation)
		return true;
	rq.ns = ep->ns;
	rq.name = ep->name;
	/* one event may call for it twice; a person's own record is not replaced either */
	if (!bh_isolation_may_cut(x->d->isolation, rq.ns, rq.name, false))
		return true;
	if (bh_isolate(x->d->isolation, &rq, &self, NULL, NULL, &err) < 0)
		bh_error("automatic quarantine of %s/%s: %s", ep->ns, ep->name, err.text);
	return true;
}

void bh_runtime_answers_give(struct bh_runtime_answers *x)
{
	size_t left = 0;

	for (size_t i = 0; i < x->wishes.n; i++) {
		struct wish w = x->wishes.v[i]; /* more may come meanwhile */

		if (answer(x, &w))
			wish_done(&w);
		else
			x->wishes.v[left++] = w;
	}
	x->wishes.n = left;
}
