/* runtime_again.c - what pods go on doing. The kernel announces a thing once; a baseline counts the
 * slices of time in which it was seen, and has to hear of each. */
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/journal.h"
#include "daemon/observe.h"
#include "daemon/runtime_detect.h"
#include "daemon/runtime_learn.h"
#include "daemon/runtime_parts.h"

struct again {
	struct bh_runtime *rt;
	uint64_t since_ns, now_ns;
};

/* Executions are announced each time. Of these others a fact does not hold all that their key is
 * made of. */
static bool is_whole(const struct bh_fact_key *key)
{
	switch (key->kind) {
	case BH_TRACE_FILE:
		return key->op != BH_TRACE_OP_RENAME && key->op != BH_TRACE_OP_LINK &&
		       key->op != BH_TRACE_OP_SCRIPT;
	case BH_TRACE_MAP:
		return true;
	case BH_TRACE_CALL:
		return key->op != BH_CALL_SETID && key->op != BH_CALL_LISTEN &&
		       key->op != BH_CALL_TCP && key->op != BH_CALL_DENIED;
	default:
		return false;
	}
}

static int again_fact(const struct bh_fact_key *key, const struct bh_fact *fact, void *arg)
{
	const struct again *a = arg;
	const struct bh_endpoint *ep;
	struct bh_trace_event ev;
	struct bh_err err;

	if (fact->last_ns < a->since_ns || fact->flags & BH_TRACE_F_UNSENT || !is_whole(key) ||
	    bh_trace_decode_fact(key, fact, &ev, &err) < 0)
		return 0;
	ep = bh_runtime_endpoint_of(a->rt, &ev);
	ev.ts_ns = a->now_ns;
	if (ep)
		bh_detection_feed_again(a->rt->detection, ep, &ev, bh_wall_ms(a->now_ns),
					!a->since_ns);
	return 0;
}

void bh_runtime_again(struct bh_runtime *rt)
{
	struct again a = {rt, rt->repeated_ns, bh_datapath_now_ns()};
	struct bh_err err;

	if (rt->wanted != BH_RUNTIME_LEARN || !rt->learning ||
	    (a.since_ns && a.now_ns - a.since_ns < bh_baselines_rhythm_ns(rt->baselines)))
		return;
	bh_observer_repeat(rt->d->observer, a.since_ns);
	if (bh_trace_facts(rt->trace, 0, again_fact, &a, &err) < 0)
		bh_error("what pods still do is not learnt: %s", err.text);
	bh_learning_again(rt->learning);
	bh_vec_each (it, &rt->d->endpoints.eps) {
		if ((*it)->owns_cookie)
			bh_detection_live(rt->detection, *it, a.now_ns, bh_wall_ms(a.now_ns));
	}
	/* what happens meanwhile is told twice rather than not at all */
	rt->repeated_ns = a.now_ns;
	bh_baselines_save(rt->baselines);
}
