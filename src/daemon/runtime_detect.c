#include "daemon/runtime_detect.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/log.h"
#include "base/str.h"
#include "daemon/journal.h"
#include "daemon/baselines.h"
#include "daemon/config_runtime.h"
#include "daemon/containers.h"
#include "daemon/exefile.h"
#include "daemon/runtime_activity.h"
#include "daemon/runtime_memory.h"
#include "detect/baseline.h"
#include "detect/detect.h"
#include "endpoint/endpoint.h"
#include "daemon/whose.h"
#include "event/ocsf_process.h"
#include "respond/respond.h"

#define CALL_WORDS (BH_TRACE_CALLS / 64)
#define RULE_NAME  344 /* "RuntimePolicy NS/NAME" */

_Static_assert(BH_WISH_TEXT == BH_ANSWER_TEXT, "a wish is an answer's sentence");

struct bh_detection {
	struct bh_detection_options opt;
	struct bh_detect *detect;
	struct bh_respond *respond;
	struct bh_runtime_memory *memory;
	uint64_t caps; /* that anybody can have here: who has them all is privileged */
	/* what is being fed */
	const struct bh_endpoint *ep;
	const struct bh_trace_event *ev;
	int64_t wall_ms;
	bool is_repeat; /* it was judged before, and is only still so */
	bool is_remembered;
	char *violation; /* uid of the finding that says so; NULL: there is none */
	char rule_name[RULE_NAME];
};

/* ---- whose ---- */

void bh_detection_subject(const struct bh_detection *x, const struct bh_endpoint *ep,
			  const struct bh_detection_moment *at, struct bh_whose *whose,
			  struct bh_subject *ret)
{
	int64_t age_ms = at->wall_ms - ep->since_s * 1000;

	bh_whose(x->opt.d, ep->ns, ep->name, whose);
	*ret = (struct bh_subject){
		.ns = ep->ns,
		.owner_kind = whose->workload.kind,
		.owner = whose->workload.name,
		.is_guessed = whose->workload.is_guessed,
		.container = whose->container,
		.image_digest = whose->digest,
		.pod = ep->name,
		.pod_uid = ep->uid ? ep->uid : "",
		.pod_id = (uint64_t)ep->slot << 32 | ep->generation,
	};
	if (age_ms >= 0 && (uint64_t)age_ms < at->ts_ns / 1000000)
		ret->pod_start_ns = at->ts_ns - (uint64_t)age_ms * 1000000;
	ret->workload = bh_subject_workload(ret);
}

static void subject_of(const struct bh_detection *x, struct bh_whose *whose, struct bh_subject *s)
{
	const struct bh_detection_moment at = {x->ev->ts_ns, x->wall_ms};

	bh_detection_subject(x, x->ep, &at, whose, s);
}

bool bh_detection_is_suspect(const struct bh_detection *x, const struct bh_endpoint *ep)
{
	return bh_detect_pod_is_suspect(x->detect, (uint64_t)ep->slot << 32 | ep->generation);
}

/* ---- findings ---- */

static void decide(struct bh_detection *x, const struct bh_finding *f, struct bh_answer *ret)
{
	struct bh_detection_replicas n = {0};
	struct bh_replicas replicas;

	if (f->response == BH_RESPOND_QUARANTINE || f->response == BH_RESPOND_FREEZE)
		x->opt.count(x->ep, &n, x->opt.arg);
	replicas = (struct bh_replicas){n.all, n.isolated, n.is_isolated};
	bh_respond_decide(x->respond, f, &replicas, ret);
	if (ret->response != BH_RESPOND_ALERT)
		bh_runtime_memory_spent(x->memory, f->activity->subject, ret->response,
					f->activity->ts_ns);
}

/* p NULL: none. The name is written to out. */
static struct bh_ocsf_rule rule_of(const struct bh_runtime_policy *p, unsigned line,
				   char out[RULE_NAME])
{
	if (!p)
		return (struct bh_ocsf_rule){0};
	snprintf(out, RULE_NAME, "RuntimePolicy %s/%s", p->ns, p->name);
	return (struct bh_ocsf_rule){.name = out,
				     .uid = p->uid,
				     .version = p->tree_hash,
				     .file = p->place.file,
				     /* nothing of a policy is above its own line */
				     .line = line ? line : p->place.line};
}

static enum bh_ocsf_analytic analytic_of(const struct bh_finding *f)
{
	if (f->usual > 0)
		return BH_ANALYTIC_STATISTICS;
	return f->detector->family == BH_DETECT_BASELINE ? BH_ANALYTIC_BEHAVIOR : BH_ANALYTIC_RULE;
}

static enum bh_ocsf_outcome outcome_of(const struct bh_detection *x, const struct bh_answer *a)
{
	if (x->ev->flags & (BH_TRACE_F_KILLED | BH_TRACE_F_BLOCKED))
		return BH_OUTCOME_BLOCKED;
	if (a->held == BH_HELD_DONE)
		return BH_OUTCOME_ISOLATED;
	switch (a->response) {
	case BH_RESPOND_KILL:
		return BH_OUTCOME_BLOCKED;
	case BH_RESPOND_FREEZE:
	case BH_RESPOND_QUARANTINE:
		return BH_OUTCOME_ISOLATED;
	default:
		return BH_OUTCOME_ALERT;
	}
}

/* Who is at the other end, where the finding is about that. */
static const struct bh_ocsf_far *far_of(const struct bh_activity *a, struct bh_ocsf_far *ret)
{
	const struct bh_act_edge *e = &a->u.edge;

	if (a->kind != BH_ACT_EDGE && a->kind != BH_ACT_CONNECT)
		return NULL;
	*ret = (struct bh_ocsf_far){
		.ip = e->remote,
		.proto = e->proto,
		.port = e->port,
		.is_egress = e->is_egress || a->kind == BH_ACT_CONNECT,
		.name = e->peer_name,
	};
	return ret;
}

static char *finding_uid(const struct bh_finding *f)
{
	const struct bh_subject *s = f->activity->subject;
	const struct bh_ocsf_pod pod = {
		.ns = s->ns, .owner_kind = s->owner_kind, .owner = s->owner};

	return bh_ocsf_finding_uid(&pod, f->detector->name, f->key);
}

static void log_finding(const struct bh_detection *x, const struct bh_finding *f,
			const struct bh_answer *a, const char *uid)
{
	struct bh_whose whose;
	struct bh_ocsf_far far;
	char name[RULE_NAME];
	struct bh_ocsf_finding o = {
		.rule = rule_of(f->policy, f->line, name),
		.uid = uid,
		.analytic = analytic_of(f),
		.outcome = outcome_of(x, a),
		.first_ms = x->wall_ms - (int64_t)((f->last_ns - f->first_ns) / 1000000),
		.far = far_of(f->activity, &far),
		.time_ms = x->wall_ms,
		.detector = f->detector->name,
		.title = f->detector->title,
		.key = f->key,
		.text = f->text,
		.response = bh_response_name(a->held == BH_HELD_STOPPED ? a->wished : a->response),
		.answer = a->wished == BH_RESPOND_ALERT ? NULL : a->text,
		.attack = f->detector->attack,
		.severity = (int)f->severity,
		.count = f->count,
		.is_new = f->is_new,
		.is_posture = f->signal == BH_SIGNAL_POSTURE,
		.score = f->score,
		.usual = f->usual,
		.event = x->ev,
		.pod = bh_whose_pod(x->opt.d, x->ep, &whose),
	};

	bh_containers_name(x->opt.containers, x->ep, x->ev, &whose, &o.pod);
	bh_journal_hold(x->opt.journal, bh_ocsf_finding(bh_journal_ocsf(x->opt.journal), &o),
			x->ev->ticket);
}

static void on_finding(const struct bh_finding *f, void *arg)
{
	struct bh_detection *x = arg;
	BH_CLEANUP(bh_freep) char *uid = NULL;
	char name[RULE_NAME];
	struct bh_answer answer = {0};

	if (!x->ep)
		return;
	uid = finding_uid(f);
	decide(x, f, &answer);
	/* a finding is told once for its workload; what is done about it, or not, once for the pod
	 */
	if (f->is_raised || (answer.wished != BH_RESPOND_ALERT && answer.is_news))
		log_finding(x, f, &answer, uid);
	if (answer.response != BH_RESPOND_ALERT) {
		const struct bh_detection_wish wish = {.response = answer.response,
						       .pid = answer.pid,
						       .ts_ns = f->activity->ts_ns,
						       .text = answer.text,
						       .finding = uid,
						       .event = x->ev,
						       .rule = rule_of(f->policy, f->line, name)};

		x->opt.on_wish(x->ep, &wish, x->opt.arg);
	}
	if (f->is_violation) {
		free(x->violation);
		x->violation = BH_TAKE(uid);
	}
}

/* Judged first: what a detector takes exception to confirms nothing. */
static void feed(struct bh_detection *x, const struct bh_activity *a)
{
	struct bh_base_sighting s = {.pod_id = a->subject->pod_id,
				     .ts_ns = a->ts_ns,
				     .now_s = x->wall_ms / 1000,
				     .is_remembered = x->is_remembered};

	/* it may be there since a moment, or gone */
	bh_detect_set_baseline(x->detect, a->subject,
			       bh_baselines_find(x->opt.baselines, a->subject));
	if (!x->is_repeat)
		bh_detect_feed(x->detect, a);
	s.is_suspect = bh_detect_pod_is_suspect(x->detect, s.pod_id);
	bh_baselines_feed(x->opt.baselines, a, &s);
}

/* set is the activity's, and empty. */
static void denied_call(const struct bh_trace_event *ev, uint64_t set[CALL_WORDS],
			struct bh_activity *a)
{
	uint32_t nr = ev->call < BH_TRACE_CALLS ? ev->call : 0;

	set[nr / 64] = 1ull << (nr % 64);
	a->kind = BH_ACT_SYSCALLS;
	a->u.syscalls.set = set;
	a->u.syscalls.n_words = CALL_WORDS;
}

static void feed_denied(struct bh_detection *x, struct bh_activity *a)
{
	uint64_t set[CALL_WORDS] = {0};

	denied_call(x->ev, set, a);
	feed(x, a);
}

/* What an exec says besides: a container began, an id changed behind the kernel's back. */
static void feed_exec(struct bh_detection *x, struct bh_activity *a)
{
	struct bh_activity more;

	/* `nsenter -n`: its first is the first of a tree of mounts, which is the node's */
	if ((x->ev->flags & BH_TRACE_F_INIT) && bh_exefile_is_node(x->ev->mntns) &&
	    bh_detect_pod_has_container(x->detect, a->subject->pod_id))
		a->process.flags &= ~(uint32_t)BH_PROC_CONTAINER_INIT;
	more = *a;
	if (a->process.flags & BH_PROC_CONTAINER_INIT) {
		more.kind = BH_ACT_START;
		more.u.start.is_privileged = (x->ev->caps & x->caps) == x->caps;
		more.u.start.uid = x->ev->uid;
		more.u.start.is_rootfs_writable = !(x->ev->flags & BH_TRACE_F_RO_ROOT);
		feed(x, &more);
	}
	if (x->ev->flags & BH_TRACE_F_UID_GAINED) {
		more.kind = BH_ACT_SETID;
		memset(&more.u, 0, sizeof(more.u));
		more.u.setid.old_uid = 1; /* some other one than 0 */
		feed(x, &more);
	}
	if (x->ev->flags & BH_TRACE_F_NETNS_LEFT) {
		more.kind = BH_ACT_NETNS;
		feed(x, &more);
	}
	a->kind = BH_ACT_EXEC;
	feed(x, a);
}

/* Both are borrowed until look_away. */
static void look_at(struct bh_detection *x, const struct bh_endpoint *ep,
		    const struct bh_trace_event *ev, int64_t wall_ms)
{
	x->ep = ep;
	x->ev = ev;
	x->wall_ms = wall_ms;
	free(x->violation);
	x->violation = NULL;
}

static void look_away(struct bh_detection *x)
{
	x->ep = NULL;
	x->ev = NULL;
}

void bh_detection_feed(struct bh_detection *x, const struct bh_endpoint *ep,
		       const struct bh_trace_event *ev, int64_t wall_ms)
{
	const struct bh_guard_pids ours = bh_runtime_memory_pids(x->memory);
	struct bh_activity a;
	struct bh_subject subject;
	struct bh_whose whose;

	look_at(x, ep, ev, wall_ms);
	subject_of(x, &whose, &subject);
	bh_activity_of(ev, &ours, &a);
	a.subject = &subject;
	if (ev->kind == BH_TRACE_EXEC)
		feed_exec(x, &a);
	else if (ev->kind == BH_TRACE_CALL && ev->op == BH_CALL_DENIED)
		feed_denied(x, &a);
	else if (a.kind != BH_ACT_NONE)
		feed(x, &a);
	look_away(x);
}

struct bh_ocsf_rule bh_detection_rule(struct bh_detection *x, const struct bh_endpoint *ep,
				      const struct bh_trace_event *ev, int64_t wall_ms)
{
	const struct bh_guard_pids ours = bh_runtime_memory_pids(x->memory);
	const bool is_denied_call = ev->kind == BH_TRACE_CALL && ev->op == BH_CALL_DENIED;
	uint64_t set[CALL_WORDS] = {0};
	struct bh_detect_rule r = {0};
	struct bh_subject subject;
	struct bh_whose whose;
	struct bh_activity a;

	look_at(x, ep, ev, wall_ms);
	subject_of(x, &whose, &subject);
	bh_activity_of(ev, &ours, &a);
	a.subject = &subject;
	if (is_denied_call)
		denied_call(ev, set, &a);
	if (a.kind != BH_ACT_NONE)
		bh_detect_broken(x->detect, &a, &r);
	look_away(x);
	return rule_of(r.policy, r.line, x->rule_name);
}

const char *bh_detection_violation(const struct bh_detection *x)
{
	return x->violation;
}

void bh_detection_feed_again(struct bh_detection *x, const struct bh_endpoint *ep,
			     const struct bh_trace_event *ev, int64_t wall_ms, bool is_remembered)
{
	x->is_repeat = true;
	x->is_remembered = is_remembered;
	bh_detection_feed(x, ep, ev, wall_ms);
	x->is_repeat = x->is_remembered = false;
}

void bh_detection_live(struct bh_detection *x, const struct bh_endpoint *ep, uint64_t ts_ns,
		       int64_t wall_ms)
{
	struct bh_base_sighting s = {.ts_ns = ts_ns, .now_s = wall_ms / 1000};
	struct bh_subject subject;
	struct bh_whose whose;

	bh_detection_subject(x, ep, &(struct bh_detection_moment){ts_ns, wall_ms}, &whose,
			     &subject);
	s.pod_id = subject.pod_id;
	s.is_suspect = bh_detect_pod_is_suspect(x->detect, s.pod_id);
	bh_baselines_live(x->opt.baselines, &subject, &s);
}

/* What comes from no record: an activity of nobody in particular, seen at ts_ns. */
void bh_detection_feed_activity(struct bh_detection *x, const struct bh_endpoint *ep,
				struct bh_activity *a, int64_t wall_ms)
{
	struct bh_trace_event ev = {.ts_ns = a->ts_ns,
				    .pid = a->process.pid,
				    .uid = a->process.uid,
				    .exec_id = a->process.exec_id,
				    .path = "",
				    .parent_path = a->process.path,
				    .target = "",
				    .place = {"", ""},
				    .args = ""};
	struct bh_subject subject;
	struct bh_whose whose;

	snprintf(ev.comm, sizeof(ev.comm), "%s", a->process.comm);
	look_at(x, ep, &ev, wall_ms);
	subject_of(x, &whose, &subject);
	a->subject = &subject;
	feed(x, a);
	look_away(x);
}

void bh_detection_feed_calls(struct bh_detection *x, const struct bh_endpoint *ep,
			     const struct bh_detection_calls *calls, uint64_t ts_ns,
			     int64_t wall_ms)
{
	struct bh_activity a = {.kind = BH_ACT_SYSCALLS,
				.ts_ns = ts_ns,
				.process = bh_act_nobody,
				.parent = bh_act_nobody};

	a.u.syscalls.set = calls->set;
	a.u.syscalls.n_words = calls->n_words;
	a.u.syscalls.new_pairs = calls->new_pairs;
	a.u.syscalls.all_bigrams = calls->all_pairs;
	x->is_repeat = calls->is_repeat;
	bh_detection_feed_activity(x, ep, &a, wall_ms);
	x->is_repeat = false;
}

void bh_detection_feed_overflow(struct bh_detection *x, const struct bh_endpoint *ep,
				const char *what, uint64_t ts_ns, int64_t wall_ms)
{
	struct bh_activity a = {.kind = BH_ACT_OVERFLOW,
				.ts_ns = ts_ns,
				.process = bh_act_nobody,
				.parent = bh_act_nobody,
				.u.name = what};

	bh_detection_feed_activity(x, ep, &a, wall_ms);
}

void bh_detection_feed_rate(struct bh_detection *x, const struct bh_endpoint *ep,
			    const struct bh_detection_rate *rate, uint64_t ts_ns, int64_t wall_ms)
{
	struct bh_activity a = {.kind = BH_ACT_RATE,
				.ts_ns = ts_ns,
				.process = bh_act_nobody,
				.parent = bh_act_nobody};

	a.u.rate.interval_ns = rate->interval_ns;
	a.u.rate.cpu_ns = rate->cpu_ns;
	a.u.rate.execs = rate->execs;
	a.u.rate.connections = rate->connections;
	a.u.rate.dns = rate->dns;
	bh_detection_feed_activity(x, ep, &a, wall_ms);
}

static enum bh_edge_peer peer_of(const char *peer)
{
	if (!peer)
		return BH_EDGE_UNKNOWN;
	if (strchr(peer, '/'))
		return BH_EDGE_POD;
	return strcmp(peer, "node") ? BH_EDGE_OUTSIDE : BH_EDGE_NODE;
}

void bh_detection_feed_edge(struct bh_detection *x, const struct bh_endpoint *ep,
			    const struct bh_detection_edge *edge, uint64_t ts_ns, int64_t wall_ms)
{
	struct bh_activity a = {.kind = BH_ACT_EDGE,
				.ts_ns = ts_ns,
				.process = bh_act_nobody,
				.parent = bh_act_nobody};
	char ns[256], name[BH_WHOSE_NAME] = "";
	const char *slash = edge->peer ? strchr(edge->peer, '/') : NULL;

	a.process.pid = edge->pid;
	a.process.uid = edge->uid;
	a.process.comm = edge->comm;
	if (slash) {
		snprintf(ns, sizeof(ns), "%.*s", (int)(slash - edge->peer), edge->peer);
		bh_whose_name(x->opt.d, ns, slash + 1, name);
	}
	a.u.edge = (struct bh_act_edge){
		.is_egress = edge->is_egress,
		.is_denied = edge->is_denied,
		.proto = edge->proto,
		.port = edge->port,
		.remote = edge->remote,
		.peer = peer_of(edge->peer),
		.peer_name = name,
	};
	x->is_repeat = edge->is_repeat;
	x->is_remembered = edge->is_remembered;
	bh_detection_feed_activity(x, ep, &a, wall_ms);
	x->is_repeat = x->is_remembered = false;
}

void bh_detection_set_policies(struct bh_detection *x, const struct bh_endpoint *ep,
			       const struct bh_runtime_set *policies, int64_t wall_ms)
{
	const struct bh_trace_event none = {0};
	const struct bh_detect_pod pod = {.policies = *policies};
	struct bh_subject subject;
	struct bh_whose whose;

	look_at(x, ep, &none, wall_ms);
	subject_of(x, &whose, &subject);
	if (bh_detect_set_pod(x->detect, &subject, &pod))
		bh_error("no memory for the RuntimePolicies of %s/%s", ep->ns, ep->name);
	look_away(x);
}

void bh_detection_raised(const struct bh_detection *x, uint64_t ret[BH_SEVERITIES])
{
	struct bh_detect_stats stats;

	_Static_assert(BH_SEVERITIES == BH_SEVERITY_HIGH + 1, "the detectors' severities");
	bh_detect_stats(x->detect, &stats);
	memcpy(ret, stats.raised_by, sizeof(stats.raised_by));
}

void bh_detection_pod_gone(struct bh_detection *x, const struct bh_endpoint *ep)
{
	uint64_t id = (uint64_t)ep->slot << 32 | ep->generation;

	bh_detect_pod_gone(x->detect, id);
	bh_respond_pod_gone(x->respond, id);
}

static void spent_before(const struct bh_subject *s, enum bh_response response, uint64_t ts_ns,
			 void *arg)
{
	struct bh_detection *x = arg;

	bh_respond_spent(x->respond, s, response, ts_ns);
}

static void detection_freep(struct bh_detection **x)
{
	bh_detection_close(*x);
}

int bh_detection_open(const struct bh_detection_options *opt, struct bh_detection **ret,
		      struct bh_err *err)
{
	const struct bh_runtime_settings *c = opt->settings;
	const struct bh_respond_options respond = {
		.is_dry_run = c->is_dry_run,
		.exempt = bh_config_exempt(c),
		.pods_per_hour = c->pods_per_hour,
		.kills_per_hour = c->kills_per_hour,
		.node_per_hour = c->node_per_hour,
		.least_share = c->least_share,
	};
	BH_CLEANUP(detection_freep) struct bh_detection *x = calloc(1, sizeof(*x));
	struct bh_detect_options detect = {.start_ns = c->startup_ns,
					   .busy_ns = c->busy_ns,
					   .on_finding = on_finding,
					   .arg = x};
	int r;

	if (!x)
		return bh_fail(err, ENOMEM, "detection");
	x->opt = *opt;
	for (int cap = 0; cap < 64; cap++)
		x->caps |= prctl(PR_CAPBSET_READ, cap) == 1 ? 1ull << cap : 0;
	r = bh_detect_new(&detect, &x->detect, err);
	if (!r)
		r = bh_respond_new(&respond, &x->respond, err);
	if (!r)
		r = bh_runtime_memory_open(opt->store, &x->memory, err);
	if (r < 0)
		return r;
	bh_runtime_memory_each(x->memory, spent_before, x);
	*ret = BH_TAKE(x);
	return 0;
}

void bh_detection_close(struct bh_detection *x)
{
	if (!x)
		return;
	bh_runtime_memory_close(x->memory);
	bh_respond_free(x->respond);
	bh_detect_free(x->detect);
	free(x->violation);
	free(x);
}
