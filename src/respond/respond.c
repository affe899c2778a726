#include "respond/respond.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "detect/names.h"

#define HOUR_NS	   (3600ull * 1000000000ull)
#define WINDOW_NS  (600ull * 1000000000ull)
#define MAX_PODS   4096
#define MAX_OWNERS 4096

/* An hour in minutes: cheap, and never lets more through than an hour's budget. */
#define MINUTES 60
struct budget {
	uint64_t minute; /* of the newest bucket */
	uint16_t spent[MINUTES];
};

struct owner {
	struct budget pods, kills;
};

struct evidence {
	uint64_t at_ns[BH_SIGNAL_COUNT]; /* newest of each family */
	uint16_t told[BH_RESPOND_COUNT]; /* 1 << enum bh_held, of each response wished for */
};

struct bh_respond {
	struct bh_respond_options opt;
	struct bh_map owners; /* "ns/kind/owner" > struct owner */
	struct bh_map pods;   /* pod id > struct evidence */
	struct budget node;
};

int bh_respond_new(const struct bh_respond_options *opt, struct bh_respond **ret,
		   struct bh_err *err)
{
	struct bh_respond *r = calloc(1, sizeof(*r));

	if (!r)
		return bh_fail(err, ENOMEM, "responses");
	r->opt = *opt;
	if (!r->opt.window_ns)
		r->opt.window_ns = WINDOW_NS;
	bh_map_init(&r->owners, free);
	bh_map_init(&r->pods, free);
	*ret = r;
	return 0;
}

void bh_respond_free(struct bh_respond *r)
{
	if (!r)
		return;
	bh_map_done(&r->owners);
	bh_map_done(&r->pods);
	free(r);
}

void bh_respond_freep(struct bh_respond **r)
{
	bh_respond_free(*r);
	*r = NULL;
}

void bh_respond_pod_gone(struct bh_respond *r, uint64_t pod_id)
{
	bh_map_del(&r->pods, &pod_id, sizeof(pod_id));
}

/* ---- budgets ---- */

static unsigned spent(struct budget *b, uint64_t now_ns)
{
	uint64_t minute = now_ns / (HOUR_NS / MINUTES), i;
	unsigned sum = 0;

	/* an activity may come a little late; it then counts as now */
	if (minute > b->minute) {
		for (i = 0; i < MINUTES && i < minute - b->minute; i++)
			b->spent[(minute - i) % MINUTES] = 0;
		b->minute = minute;
	}
	for (i = 0; i < MINUTES; i++)
		sum += b->spent[i];
	return sum;
}

static void spend(struct budget *b)
{
	b->spent[b->minute % MINUTES]++;
}

/* Who has its whole budget needs no record: jobs come under a new name each time. */
static void forget_owners(struct bh_respond *r, uint64_t now_ns)
{
	struct bh_map_entry *e;
	size_t pos = 0;

	while ((e = bh_map_next(&r->owners, &pos))) {
		struct owner *o = e->value;

		if (!spent(&o->pods, now_ns) && !spent(&o->kills, now_ns))
			bh_map_del(&r->owners, e->key, e->key_len);
	}
}

/* NULL without room: then nothing is done, only told. */
static struct owner *owner_of(struct bh_respond *r, const struct bh_subject *s, uint64_t now_ns)
{
	BH_CLEANUP(bh_freep) char *key = NULL;
	struct owner *o;

	if (asprintf(&key, "%s/%s/%s", s->ns, s->owner_kind, s->owner) < 0) {
		key = NULL;
		return NULL;
	}
	o = bh_map_get_s(&r->owners, key);
	if (!o && r->owners.count >= MAX_OWNERS)
		forget_owners(r, now_ns);
	if (o || r->owners.count >= MAX_OWNERS)
		return o;
	o = calloc(1, sizeof(*o));
	if (o && bh_map_set_s(&r->owners, key, o)) {
		free(o);
		return NULL;
	}
	return o;
}

/* ---- evidence ---- */

static struct evidence *evidence_of(struct bh_respond *r, uint64_t pod_id)
{
	struct evidence *e = bh_map_get(&r->pods, &pod_id, sizeof(pod_id));

	if (e || r->pods.count >= MAX_PODS)
		return e;
	e = calloc(1, sizeof(*e));
	if (e && bh_map_set(&r->pods, &pod_id, sizeof(pod_id), e)) {
		free(e);
		return NULL;
	}
	return e;
}

/* Only what would be worth waking somebody counts. */
static bool is_evidence(const struct bh_finding *f)
{
	return f->severity >= BH_SEVERITY_MEDIUM && f->signal != BH_SIGNAL_POSTURE;
}

static bool is_enough(const struct bh_respond *r, const struct evidence *e, uint64_t now_ns)
{
	int i, n = 0;

	for (i = 0; i < BH_SIGNAL_COUNT; i++) {
		/* alarms overtake the rest: what is newer than this one counts too */
		bool is_fresh = e->at_ns[i] &&
				(e->at_ns[i] > now_ns || now_ns - e->at_ns[i] <= r->opt.window_ns);

		if (is_fresh && i == BH_SIGNAL_PROVENANCE)
			return true;
		n += is_fresh;
	}
	return n >= 2;
}

/* ---- deciding ---- */

static bool is_exempt(const struct bh_respond *r, const char *ns)
{
	const char *const *name = r->opt.exempt;

	for (; name && *name; name++) {
		if (!strcmp(*name, ns))
			return true;
	}
	return false;
}

static bool leaves_enough(const struct bh_respond *r, const struct bh_replicas *replicas)
{
	unsigned all = replicas->all ? replicas->all : 1;
	double left = (double)all - replicas->isolated - 1;

	return (all == 1 && r->opt.least_share < 1) ||
	       left >= ceil(r->opt.least_share * all - 1e-9);
}

static enum bh_held hold_pod(struct bh_respond *r, const struct bh_finding *f,
			     const struct bh_replicas *replicas, const struct evidence *e)
{
	uint64_t now = f->activity->ts_ns;
	struct owner *o = owner_of(r, f->activity->subject, now);

	if (replicas->is_isolated)
		return BH_HELD_DONE;
	if (f->response == BH_RESPOND_QUARANTINE && (!e || !is_enough(r, e, now)))
		return BH_HELD_EVIDENCE;
	if (!leaves_enough(r, replicas))
		return BH_HELD_REPLICAS;
	if (!o || spent(&o->pods, now) >= r->opt.pods_per_hour ||
	    spent(&r->node, now) >= r->opt.node_per_hour)
		return BH_HELD_BUDGET;
	spend(&o->pods);
	spend(&r->node);
	return BH_HELD_NOT;
}

static enum bh_held hold_kill(struct bh_respond *r, const struct bh_finding *f)
{
	struct owner *o = owner_of(r, f->activity->subject, f->activity->ts_ns);

	if (f->activity->process.pid <= 1)
		return BH_HELD_TARGET;
	if (!o || spent(&o->kills, f->activity->ts_ns) >= r->opt.kills_per_hour)
		return BH_HELD_BUDGET;
	spend(&o->kills);
	return BH_HELD_NOT;
}

static enum bh_held hold(struct bh_respond *r, const struct bh_finding *f,
			 const struct bh_replicas *replicas, const struct evidence *e)
{
	enum bh_held held;

	if (f->response == BH_RESPOND_ALERT)
		return BH_HELD_WISH;
	if (f->signal == BH_SIGNAL_POSTURE)
		return BH_HELD_POSTURE;
	if (f->response == BH_RESPOND_KILL && (f->activity->process.flags & BH_PROC_STOPPED))
		return BH_HELD_STOPPED;
	if (is_exempt(r, f->activity->subject->ns))
		return BH_HELD_EXEMPT;
	held = f->response == BH_RESPOND_KILL ? hold_kill(r, f) : hold_pod(r, f, replicas, e);
	return held == BH_HELD_NOT && r->opt.is_dry_run ? BH_HELD_DRY_RUN : held;
}

static void explain(const struct bh_finding *f, struct bh_answer *a)
{
	static const char *const why[] = {
		[BH_HELD_NOT] = "",
		[BH_HELD_WISH] = "",
		[BH_HELD_DRY_RUN] = ", but this is a dry run",
		[BH_HELD_EXEMPT] = ", but its namespace is exempt",
		[BH_HELD_EVIDENCE] = ", but there is neither foreign code nor a second signal",
		[BH_HELD_REPLICAS] = ", but too few replicas would remain",
		[BH_HELD_BUDGET] = ", but this hour's budget is used up",
		[BH_HELD_DONE] = ", and it is isolated already",
		[BH_HELD_TARGET] = ", but no process to kill is known",
		[BH_HELD_POSTURE] = ", but how a pod is made is not an attack",
		[BH_HELD_STOPPED] = ", and the kernel has stopped it",
	};
	const struct bh_subject *s = f->activity->subject;
	const struct bh_runtime_policy *p = f->policy;
	size_t n;

	snprintf(a->text, sizeof(a->text), "%s%s for %s/%s because of %s%s",
		 a->held == BH_HELD_NOT || a->held == BH_HELD_STOPPED ? "" : "wanted: ",
		 bh_response_name(a->wished), s->ns, s->pod, f->detector->name, why[a->held]);
	n = strlen(a->text);
	if (p && p->place.file && f->line)
		snprintf(a->text + n, sizeof(a->text) - n, " (RuntimePolicy %s/%s, %s:%u)", p->ns,
			 p->name, bh_path_base(p->place.file), f->line);
}

void bh_respond_decide(struct bh_respond *r, const struct bh_finding *f,
		       const struct bh_replicas *replicas, struct bh_answer *ret)
{
	struct evidence *e = evidence_of(r, f->activity->subject->pod_id);

	if (e && is_evidence(f))
		e->at_ns[f->signal] = f->activity->ts_ns;
	*ret = (struct bh_answer){.wished = f->response, .response = BH_RESPOND_ALERT};
	ret->held = hold(r, f, replicas, e);
	if (ret->held == BH_HELD_NOT) {
		ret->response = f->response;
		ret->pid = f->response == BH_RESPOND_KILL ? f->activity->process.pid : 0;
	}
	explain(f, ret);
	ret->is_news = !e || !(e->told[f->response] & (1u << ret->held));
	if (e)
		e->told[f->response] |= (uint16_t)(1u << ret->held);
}

static void take_from(struct budget *b, uint64_t ts_ns)
{
	spent(b, ts_ns);
	spend(b);
}

void bh_respond_spent(struct bh_respond *r, const struct bh_subject *s, enum bh_response response,
		      uint64_t ts_ns)
{
	bool is_kill = response == BH_RESPOND_KILL;
	struct owner *o = owner_of(r, s, ts_ns);

	if (o)
		take_from(is_kill ? &o->kills : &o->pods, ts_ns);
	if (!is_kill)
		take_from(&r->node, ts_ns);
}
