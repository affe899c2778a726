#include "daemon/runtime.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/adopt.h"
#include "daemon/baselines.h"
#include "daemon/containers.h"
#include "daemon/daemon.h"
#include "daemon/images.h"
#include "daemon/journal.h"
#include "daemon/observe.h"
#include "daemon/places.h"
#include "daemon/isolate.h"
#include "daemon/runtime_answer.h"
#include "daemon/runtime_detect.h"
#include "daemon/runtime_hash.h"
#include "daemon/runtime_hosts.h"
#include "daemon/runtime_learn.h"
#include "daemon/runtime_parts.h"
#include "daemon/runtime_guard.h"
#include "daemon/runtime_policy.h"
#include "daemon/runtime_rates.h"
#include "daemon/runtime_who.h"
#include "daemon/whose.h"
#include "datapath/trace.h"
#include "event/ocsf_process.h"
#include "policy/syscalls.h"

#define READ_MAX     128 /* records in one turn of the loop */
#define FORGET_TICKS 12
#define HOSTS_TICKS  3
#define NAMES_NS     (900 * 1000000000ull) /* a name not asked for so long is news again */
#define READ_MS	     250		   /* ordinary events do not wake us */

/* ---- events ---- */

const struct bh_endpoint *bh_runtime_endpoint_of(const struct bh_runtime *rt,
						 const struct bh_trace_event *ev)
{
	const struct bh_endpoint *ep;

	if (ev->slot >= BH_MAX_SLOTS)
		return bh_runtime_hosts_find(rt->hosts, ev->slot, ev->generation);
	ep = bh_endpoint_table_slot(&rt->d->endpoints, ev->slot);
	return ep && ep->generation == ev->generation ? ep : NULL;
}

/* Of what was seen without a hook on calls: its usual one. */
static const char *call_name(const struct bh_trace_event *ev, char *out, size_t n)
{
	static const char *const usual[BH_CALL_CLASSES] = {
		[BH_CALL_LISTEN] = "listen",
		[BH_CALL_SIGNAL] = "kill",
		[BH_CALL_MODULE] = "init_module",
		[BH_CALL_URING] = "io_uring_setup",
	};

	if (ev->call < BH_TRACE_CALLS)
		return bh_syscall_name((int)ev->call, out, n);
	return ev->kind == BH_TRACE_CALL ? usual[ev->op] : NULL;
}

/* The log gets what happened; forks and ends are for the detectors alone. */
static void log_event(struct bh_runtime *rt, const struct bh_endpoint *ep,
		      const struct bh_trace_event *ev, const struct bh_ocsf_rule *rule)
{
	struct bh_ocsf *ocsf = bh_journal_ocsf(rt->d->journal);
	int64_t time_ms = bh_wall_ms(ev->ts_ns);
	struct bh_whose whose;
	struct bh_ocsf_pod pod = bh_whose_pod(rt->d, ep, &whose);
	char call[40];

	bh_containers_name(rt->containers, ep, ev, &whose, &pod);
	if (ev->kind == BH_TRACE_EXEC) {
		struct bh_ocsf_process p = {time_ms, ev, pod, *rule};

		bh_journal_hold(rt->d->journal, bh_ocsf_process(ocsf, &p), ev->ticket);
		bh_images_nudge(rt->d->images); /* it may be a container's first */
	} else if (ev->kind == BH_TRACE_DNS) {
		struct bh_ocsf_name n = {time_ms, ev, pod};

		bh_journal_event(rt->d->journal, bh_ocsf_name(ocsf, &n));
	} else if (ev->kind != BH_TRACE_EXIT) {
		struct bh_ocsf_act a = {time_ms, ev, call_name(ev, call, sizeof(call)), pod, *rule};

		bh_journal_hold(rt->d->journal, bh_ocsf_act(ocsf, &a), ev->ticket);
	}
}

static void log_kill(struct bh_runtime *rt, const struct bh_endpoint *ep,
		     const struct bh_trace_event *ev, const struct bh_ocsf_rule *rule)
{
	BH_CLEANUP(bh_freep)
	char *why = rule->name ? bh_strf("%s refuses it", rule->name) : NULL;
	struct bh_ocsf_kill k = {.time_ms = bh_wall_ms(ev->ts_ns),
				 .event = ev,
				 .reason = why ? why : "its RuntimePolicy refuses it",
				 .rule = *rule,
				 .correlation = bh_detection_violation(rt->detection)};

	if (ev->flags & BH_TRACE_F_KILLED)
		bh_journal_kill(rt->d->journal, ep, ev->exec_id, &k);
}

/* The log gets it before what is found about it, with the rule that it breaks. */
static void tell_as(struct bh_runtime *rt, const struct bh_endpoint *ep,
		    const struct bh_trace_event *ev)
{
	bool has_rules = ep->slot < BH_MAX_SLOTS && rt->rules[ep->slot];
	int64_t wall_ms = bh_wall_ms(ev->ts_ns);
	struct bh_ocsf_rule rule = {0};

	if (has_rules)
		rule = bh_detection_rule(rt->detection, ep, ev, wall_ms);
	log_event(rt, ep, ev, &rule);
	bh_detection_feed(rt->detection, ep, ev, wall_ms);
	log_kill(rt, ep, ev, &rule);
}

static void on_digest(uint64_t ticket, const char *sha256, const char *why, void *arg)
{
	struct bh_runtime *rt = arg;

	bh_journal_digest(rt->d->journal, ticket, sha256, why);
}

static void tell(struct bh_runtime *rt, struct bh_trace_event *ev)
{
	const struct bh_endpoint *ep = bh_runtime_endpoint_of(rt, ev);

	if (!ep) {
		rt->unnamed++;
		return;
	}
	rt->events++;
	rt->telling++;
	bh_places_put(rt->places, ev);
	if (ev->kind == BH_TRACE_EXEC && (ev->flags & (BH_TRACE_F_INIT | BH_TRACE_F_ADOPTED)))
		bh_guard_container(rt->guard, ep, (pid_t)ev->pid);
	/* it may be our programs that it took away */
	if (ev->kind == BH_TRACE_CALL && ev->op == BH_CALL_BPF && (ev->flags & BH_TRACE_F_HIGH))
		bh_adopt_mend(rt->d, ep);
	bh_digests_ask(rt->digests, ev);
	bh_who_memory_note(rt->who, ev);
	bh_runtime_answers_saw(rt->answers, ev);
	if (ev->kind == BH_TRACE_DNS)
		bh_runtime_who_name(rt, ev);
	tell_as(rt, ep, ev);
	rt->telling--;
}

/* Refused before it began: nothing was executed, there is nothing to hash. */
static void on_blocked(const struct bh_endpoint *ep, struct bh_trace_event *ev, void *arg)
{
	struct bh_runtime *rt = arg;

	rt->events++;
	rt->telling++;
	tell_as(rt, ep, ev);
	rt->telling--;
}

static void on_record(const void *record, size_t len, void *arg)
{
	struct bh_runtime *rt = arg;
	struct bh_trace_event ev;
	struct bh_err err;

	if (bh_trace_decode(record, len, &ev, &err) == 0) {
		tell(rt, &ev);
		return;
	}
	if (!rt->broken++)
		bh_error("%s", err.text);
}

static int on_fact(const struct bh_fact_key *key, const struct bh_fact *fact, void *arg)
{
	struct bh_runtime *rt = arg;
	struct bh_trace_event ev;
	struct bh_err err;

	if (bh_trace_decode_fact(key, fact, &ev, &err) == 0)
		tell(rt, &ev);
	return 0;
}

static int on_name(const struct bh_dns_key *key, const struct bh_dns *value, void *arg)
{
	struct bh_runtime *rt = arg;
	struct bh_trace_event ev;
	struct bh_err err;

	if (bh_trace_decode_name(key, value, &ev, &err) == 0)
		tell(rt, &ev);
	return 0;
}

void bh_runtime_catch_up(struct bh_runtime *rt, int max)
{
	if (!rt->telling)
		bh_trace_consume(rt->trace, max, on_record, rt);
}

void bh_runtime_read(struct bh_runtime *rt, int max)
{
	bh_digests_turn(rt->digests, true);
	bh_trace_consume(rt->trace, max, on_record, rt);
	bh_digests_turn(rt->digests, false);
	bh_runtime_answers_give(rt->answers);
}

static void on_ring(int fd, unsigned events, void *arg)
{
	(void)fd;
	(void)events;
	bh_runtime_read(arg, READ_MAX);
}

static void on_timer(void *arg)
{
	struct bh_runtime *rt = arg;

	/* what is executed first: its calls are judged by that */
	if (bh_trace_mode(rt->trace) != BH_TRACE_OFF)
		bh_runtime_read(rt, READ_MAX);
	bh_learning_read(rt->learning);
	bh_runtime_again(rt);
}

/* A pod whose quota of facts is used up hides what it does from then on. */
static void look_for_overflow(struct bh_runtime *rt)
{
	bh_vec_each (it, &rt->d->endpoints.eps) {
		const struct bh_endpoint *ep = *it;
		struct bh_trace_slot b = bh_trace_books(rt->trace, ep->slot);
		uint64_t now_ns = bh_datapath_now_ns();

		if (!ep->owns_cookie || b.generation != ep->generation || !b.overflow ||
		    rt->overflowed[ep->slot] == ep->generation)
			continue;
		rt->overflowed[ep->slot] = ep->generation;
		bh_detection_feed_overflow(rt->detection, ep, "facts", now_ns, bh_wall_ms(now_ns));
	}
}

void bh_runtime_tick(struct bh_runtime *rt)
{
	uint64_t now_ns = bh_datapath_now_ns();
	struct bh_err err;
	uint32_t n;

	if (!rt || !rt->trace)
		return;
	bh_runtime_read(rt, READ_MAX);
	bh_learning_tick(rt->learning);
	bh_runtime_again(rt);
	if ((rt->are_hosts_due || rt->ticks % HOSTS_TICKS == 0) && rt->wanted != BH_RUNTIME_OFF) {
		rt->are_hosts_due = false;
		if (bh_runtime_hosts_refresh(rt->hosts))
			bh_runtime_changed(rt);
	}
	rt->ticks++;
	if (bh_trace_sweep(rt->trace, on_fact, rt, &err) < 0 ||
	    bh_trace_names_sweep(rt->trace, on_name, rt, &err) < 0 ||
	    (rt->ticks % FORGET_TICKS == 0 && bh_trace_forget(rt->trace, &n, &err) < 0))
		bh_error("tracing: %s", err.text);
	look_for_overflow(rt);
	if (rt->ticks % FORGET_TICKS)
		return;
	if (now_ns > NAMES_NS) /* the clock begins with the machine */
		bh_trace_names_forget(rt->trace, now_ns - NAMES_NS);
	bh_baselines_save(rt->baselines);
}

static void feed_edge(struct bh_runtime *rt, const struct bh_endpoint *ep,
		      const struct bh_edge_fact *e, const char *peer, bool is_repeat)
{
	struct bh_detection_edge edge = {
		.is_repeat = is_repeat,
		.is_egress = e->key.dir == BH_EGRESS,
		.is_denied = e->key.verdict == BH_DENIED,
		.proto = e->key.proto,
		.port = ntohs(e->key.port),
		.pid = e->value.pid,
		.uid = e->value.uid,
		.peer = peer,
	};
	BH_CLEANUP(bh_freep) char *comm = bh_strf("%.*s", BH_COMM_LEN, e->value.comm);
	uint64_t ts_ns;

	if (!rt || rt->wanted == BH_RUNTIME_OFF)
		return;
	memcpy(edge.remote.b, e->key.remote, sizeof(edge.remote.b));
	edge.comm = comm ? comm : "";
	edge.is_remembered = is_repeat && !rt->repeated_ns;
	/* a repeated one counts for the time it is told in */
	ts_ns = is_repeat ? bh_datapath_now_ns() : e->value.last_ns;
	bh_detection_feed_edge(rt->detection, ep, &edge, ts_ns, bh_wall_ms(ts_ns));
}

void bh_runtime_edge(struct bh_runtime *rt, const struct bh_endpoint *ep,
		     const struct bh_edge_fact *e, const char *peer)
{
	feed_edge(rt, ep, e, peer, false);
}

void bh_runtime_edge_again(struct bh_runtime *rt, const struct bh_endpoint *ep,
			   const struct bh_edge_fact *e, const char *peer)
{
	feed_edge(rt, ep, e, peer, true);
}

void bh_runtime_endpoint_comes(struct bh_runtime *rt, const struct bh_endpoint *ep)
{
	if (rt && rt->trace)
		bh_trace_begin(rt->trace, ep->slot, ep->generation);
}

void bh_runtime_endpoint_gone(struct bh_runtime *rt, const struct bh_endpoint *ep)
{
	struct bh_err err;

	if (!rt || !rt->trace)
		return;
	/* answers wait: we may be in the middle of one */
	bh_trace_consume(rt->trace, BH_RUNTIME_DRAIN, on_record, rt);
	bh_trace_sweep(rt->trace, on_fact, rt, &err);
	bh_trace_names_sweep(rt->trace, on_name, rt, &err);
	bh_trace_set_policy(rt->trace, ep->slot, NULL, NULL, 0, &err);
	bh_guard_set(rt->guard, ep, false, &err);
	rt->rules[ep->slot] = 0;
	bh_learning_forget(rt->learning, ep->slot);
	bh_detection_pod_gone(rt->detection, ep);
}

/* ---- mode ---- */

const char *bh_runtime_trouble(const struct bh_runtime *rt)
{
	return rt && rt->trouble[0] ? rt->trouble : NULL;
}

const char *bh_runtime_why_not(const struct bh_runtime *rt)
{
	const char *trouble = bh_runtime_trouble(rt);

	return !trouble && rt && rt->wanted == BH_RUNTIME_OFF ? "tracing is off" : trouble;
}

/* What RuntimePolicies need is attached whatever the mode, unless tracing is off. */
static enum bh_trace_mode mode_needed(const struct bh_runtime *rt)
{
	if (rt->wanted == BH_RUNTIME_LIGHT && rt->needs_calls)
		return BH_TRACE_WATCH;
	return (enum bh_trace_mode)rt->wanted;
}

static int change_mode(struct bh_runtime *rt, struct bh_err *err)
{
	int r = bh_trace_set_mode(rt->trace, mode_needed(rt), err);

	snprintf(rt->trouble, sizeof(rt->trouble), "%.150s", r < 0 ? err->text : "");
	return r;
}

int bh_runtime_set_mode(struct bh_runtime *rt, enum bh_runtime_mode mode, struct bh_err *err)
{
	rt->wanted = mode;
	rt->repeated_ns = 0;
	bh_baselines_set(rt->baselines, mode == BH_RUNTIME_LEARN);
	if (rt->trace)
		return change_mode(rt, err);
	return mode == BH_RUNTIME_OFF ? 0 : bh_fail(err, EOPNOTSUPP, "%s", rt->trouble);
}

/* ---- policies ---- */

static int apply_rules(struct bh_runtime *rt, const struct bh_endpoint *ep,
		       const struct bh_runtime_rules *rules, struct bh_err *err)
{
	const struct bh_runtime_set set = {rules->policies.v, rules->policies.n};
	uint64_t sum = set.n ? bh_runtime_rules_sum(rules) : 0;
	int r;

	if (sum == rt->rules[ep->slot])
		return 0;
	r = bh_trace_set_policy(rt->trace, ep->slot, sum ? &rules->kernel : NULL,
				(const char *const *)rules->allow, rules->n_allow, err);
	if (r < 0)
		return r;
	rt->rules[ep->slot] = sum;
	bh_detection_set_policies(rt->detection, ep, &set, bh_wall_ms(bh_datapath_now_ns()));
	/* without it what is refused is killed instead */
	if (ep->slot < BH_MAX_SLOTS &&
	    bh_guard_set(rt->guard, ep,
			 rules->kernel.origins && (rules->kernel.flags & BH_TRACE_P_KILL), err) < 0)
		bh_warn("%s/%s: %s", ep->ns, ep->name, err->text);
	return 0;
}

/* Returns whether something is refused that only watch mode sees. */
static bool apply_to(struct bh_runtime *rt, const struct bh_runtime_policies *policies,
		     const struct bh_endpoint *ep)
{
	BH_CLEANUP(bh_runtime_rules_done) struct bh_runtime_rules rules = {0};
	struct bh_err err = {0};
	int r = bh_runtime_rules_make(rt->d, policies, ep, &rules, &err);

	if (!r)
		r = apply_rules(rt, ep, &rules, &err);
	if (r < 0)
		bh_error("RuntimePolicy of %s/%s is not live: %s", ep->ns, ep->name, err.text);
	return rules.needs_calls;
}

static bool apply_policies(struct bh_runtime *rt, const struct bh_runtime_policies *policies)
{
	bool needs_calls = false;

	bh_vec_each (it, &rt->d->endpoints.eps)
		if ((*it)->owns_cookie && apply_to(rt, policies, *it))
			needs_calls = true;
	for (uint32_t slot = BH_MAX_SLOTS; slot < BH_TRACE_SLOTS; slot++) {
		const struct bh_endpoint *ep = bh_runtime_hosts_at(rt->hosts, slot);

		if (ep && apply_to(rt, policies, ep))
			needs_calls = true;
	}
	return needs_calls;
}

static void policies_done(struct bh_runtime_policies *p)
{
	bh_vec_done(p);
}

void bh_runtime_changed(struct bh_runtime *rt)
{
	BH_CLEANUP(policies_done) struct bh_runtime_policies policies = {0};
	bool needs_calls = false;
	struct bh_err err = {0};

	if (!rt || !rt->trace)
		return;
	rt->are_hosts_due = true;
	bh_learning_begin(rt->learning);
	if (bh_runtime_policies_collect(rt->d, &policies, &err) < 0) {
		bh_error("%s", err.text);
		return;
	}
	if (policies.n || rt->has_policies)
		needs_calls = apply_policies(rt, &policies);
	rt->has_policies = policies.n > 0;
	if (needs_calls == rt->needs_calls)
		return;
	rt->needs_calls = needs_calls;
	if (change_mode(rt, &err) < 0)
		bh_error("tracing: %s", err.text);
}

static void open_trace(struct bh_runtime *rt)
{
	struct bh_err err = {0};
	size_t n_hooks;
	int r = bh_trace_open(rt->d->dp, &rt->trace, &err);

	if (!r)
		r = bh_loop_fd(rt->d->loop, bh_trace_fd(rt->trace), BH_LOOP_READ, on_ring, rt,
			       &rt->source, &err);
	if (!r)
		r = bh_learning_open(&(struct bh_learning_options){rt->d, rt->trace, rt->detection,
								   rt->baselines},
				     &rt->learning, &err);
	if (!r)
		r = bh_runtime_hosts_open(
			&(struct bh_runtime_hosts_options){rt->d, rt->trace, rt->detection},
			&rt->hosts, &err);
	if (!r)
		r = bh_rates_open(
			&(struct bh_rates_options){rt->d, rt->trace, rt->detection, rt->hosts},
			&rt->rates, &err);
	if (!r && rt->d->cfg->runtime.has_fanotify)
		r = bh_guard_open(
			&(struct bh_guard_options){rt->d->loop, rt->trace, on_blocked, rt},
			&rt->guard, &err);
	if (!r)
		r = bh_digests_open(&(struct bh_digests_options){rt->d->loop, on_digest, rt},
				    &rt->digests, &err);
	if (!r)
		r = bh_loop_timer(rt->d->loop, READ_MS, READ_MS, on_timer, rt, &rt->timer, &err);
	if (r < 0) {
		snprintf(rt->trouble, sizeof(rt->trouble), "processes are not traced: %.120s",
			 err.text);
		bh_warn("%s", rt->trouble);
		bh_source_freep(&rt->source);
		bh_digests_close(BH_TAKE(rt->digests));
		bh_guard_close(BH_TAKE(rt->guard));
		bh_rates_close(BH_TAKE(rt->rates));
		bh_runtime_hosts_close(BH_TAKE(rt->hosts));
		bh_learning_close(BH_TAKE(rt->learning));
		bh_trace_closep(&rt->trace);
		return;
	}
	if (bh_runtime_set_mode(rt, rt->wanted, &err) < 0)
		bh_warn("tracing: %s", err.text);
	if (bh_trace_lsm(rt->trace, &n_hooks))
		bh_info("%s", bh_trace_lsm(rt->trace, &n_hooks));
}

int bh_runtime_open(struct bh_daemon *d, struct bh_runtime **ret, struct bh_err *err)
{
	struct bh_runtime *rt = calloc(1, sizeof(*rt));
	int r;

	if (!rt)
		return bh_fail(err, ENOMEM, "tracing");
	rt->d = d;
	rt->wanted = d->cfg->runtime.mode;
	r = bh_containers_open(d, &rt->containers, err);
	if (!r)
		r = bh_who_memory_open(&rt->who, err);
	if (!r)
		r = bh_places_open(&rt->places, err);
	if (!r)
		r = bh_runtime_answers_open(d, &rt->answers, err);
	if (!r)
		r = bh_baselines_open(d->store, &d->cfg->runtime.learning, bh_datapath_now_ns(),
				      &rt->baselines, err);
	if (!r)
		r = bh_detection_open(
			&(struct bh_detection_options){.d = d,
						       .journal = d->journal,
						       .baselines = rt->baselines,
						       .containers = rt->containers,
						       .store = d->store,
						       .settings = &d->cfg->runtime,
						       .on_wish = bh_runtime_answers_note,
						       .count = bh_runtime_answers_count,
						       .arg = rt->answers},
			&rt->detection, err);
	if (r < 0) {
		bh_runtime_close(rt);
		return r;
	}
	open_trace(rt);
	bh_runtime_changed(rt);
	*ret = rt;
	return 0;
}

void bh_runtime_close(struct bh_runtime *rt)
{
	if (!rt)
		return;
	bh_source_free(rt->timer);
	bh_source_free(rt->source);
	bh_digests_close(rt->digests);
	bh_guard_close(rt->guard);
	bh_rates_close(rt->rates);
	bh_runtime_hosts_close(rt->hosts);
	bh_learning_close(rt->learning);
	bh_trace_close(rt->trace);
	bh_detection_close(rt->detection);
	bh_baselines_close(rt->baselines);
	bh_runtime_answers_close(rt->answers);
	bh_containers_close(rt->containers);
	bh_who_memory_close(rt->who);
	bh_places_close(rt->places);
	free(rt);
}

const struct bh_digests *bh_runtime_digests(const struct bh_runtime *rt)
{
	return rt ? rt->digests : NULL;
}

struct bh_baselines *bh_runtime_baselines(const struct bh_runtime *rt)
{
	return rt->baselines;
}

struct bh_trace_slot bh_runtime_total(const struct bh_runtime *rt)
{
	return rt && rt->trace ? bh_trace_total(rt->trace) : (struct bh_trace_slot){0};
}

void bh_runtime_findings(const struct bh_runtime *rt, uint64_t ret[BH_SEVERITIES])
{
	memset(ret, 0, BH_SEVERITIES * sizeof(*ret));
	if (rt)
		bh_detection_raised(rt->detection, ret);
}
