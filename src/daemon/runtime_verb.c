#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/journal.h"
#include "daemon/policy_news.h"
#include "daemon/runtime_hash.h"
#include "daemon/runtime_hosts.h"
#include "daemon/runtime_parts.h"
#include "daemon/runtime_rates.h"

static const char *const mode_names[] = {
	[BH_RUNTIME_OFF] = "off",
	[BH_RUNTIME_LIGHT] = "light",
	[BH_RUNTIME_WATCH] = "watch",
	[BH_RUNTIME_LEARN] = "learn",
};

static json_t *books_json(const struct bh_trace_slot *b)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "seen",
			 (json_int_t)b->seen, "delivered", (json_int_t)(b->delivered + b->swept),
			 "deduplicated", (json_int_t)b->deduplicated, "deferred",
			 (json_int_t)(b->deferred - b->swept), "lost", (json_int_t)b->lost, "execs",
			 (json_int_t)b->execs, "forks", (json_int_t)b->forks, "exits",
			 (json_int_t)b->exits, "overflow", (json_int_t)b->overflow, "killed",
			 (json_int_t)b->killed);
}

static void add_used(const struct bh_endpoint *ep, const struct bh_rates_total *t, void *arg)
{
	BH_CLEANUP(bh_freep) char *pod = bh_strf("%s/%s", ep->ns, ep->name);

	if (pod)
		json_object_set_new(arg, pod,
				    json_pack("{s:I, s:I, s:I, s:I}", "cpuNanoseconds",
					      (json_int_t)t->cpu_ns, "execs", (json_int_t)t->execs,
					      "connections", (json_int_t)t->connections, "dns",
					      (json_int_t)t->dns));
}

json_t *bh_runtime_used(struct bh_runtime *rt)
{
	json_t *used = json_object();
	struct bh_err ignored;

	if (rt && rt->rates)
		bh_rates_each(rt->rates, add_used, used, &ignored);
	return used;
}

size_t bh_runtime_maps(struct bh_runtime *rt, struct bh_map_fill *v, size_t n)
{
	return rt && rt->trace ? bh_trace_maps(rt->trace, v, n) : 0;
}

size_t bh_runtime_progs(const struct bh_runtime *rt, struct bh_prog_cost *v, size_t n)
{
	return rt && rt->trace ? bh_trace_progs(rt->trace, v, n) : 0;
}

static json_t *pods_json(const struct bh_runtime *rt)
{
	json_t *a = json_array();

	bh_vec_each (it, &rt->d->endpoints.eps) {
		const struct bh_endpoint *ep = *it;
		struct bh_trace_slot b = bh_trace_books(rt->trace, ep->slot);
		BH_CLEANUP(bh_freep) char *pod = bh_strf("%s/%s", ep->ns, ep->name);

		if (!ep->owns_cookie || b.generation != ep->generation)
			continue;
		json_array_append_new(a, json_pack("{s:s, s:i, s:o}", "pod", pod ? pod : "",
						   "facts", (int)b.facts, "books", books_json(&b)));
	}
	return a;
}

/* Of files, and of events that did not wait for them. */
static json_t *hashes_json(const struct bh_runtime *rt)
{
	const struct bh_journal_books b = bh_journal_books(rt->d->journal);
	json_t *out = bh_digests_status(rt->digests);

	json_object_set_new(out, "eventsWithout", json_integer((json_int_t)b.pending));
	json_object_set_new(out, "eventsForgotten", json_integer((json_int_t)b.forgotten));
	return out;
}

static json_t *runtime_json(const struct bh_runtime *rt)
{
	struct bh_trace_slot total = {0};
	enum bh_trace_mode mode = BH_TRACE_OFF;
	const char *lsm_why = NULL;
	size_t n_lsm = 0;

	if (rt->trace) {
		lsm_why = bh_trace_lsm(rt->trace, &n_lsm);
		total = bh_trace_total(rt->trace);
		mode = bh_trace_mode(rt->trace);
	}
	return json_pack("{s:s, s:s, s:s?, s:o, s:{s:I, s:I, s:I, s:I}, s:o, s:{s:I, s:s?}, s:o}",
			 "mode", mode_names[mode], "wanted", mode_names[rt->wanted], "trouble",
			 bh_runtime_trouble(rt), "books", books_json(&total), "records", "told",
			 (json_int_t)rt->events, "unnamed", (json_int_t)rt->unnamed, "broken",
			 (json_int_t)rt->broken, "readings",
			 (json_int_t)(rt->rates ? bh_rates_readings(rt->rates) : 0), "hashes",
			 hashes_json(rt), "securityHooks", "attached", (json_int_t)n_lsm, "why",
			 lsm_why, "pods", rt->trace ? pods_json(rt) : json_array());
}

const char *bh_runtime_hooks(const struct bh_runtime *rt, size_t *ret_n)
{
	*ret_n = 0;
	return rt && rt->trace ? bh_trace_lsm(rt->trace, ret_n) : NULL;
}

static int parse_mode(const char *name, enum bh_runtime_mode *ret, struct bh_err *err)
{
	for (size_t i = 0; i < BH_ARRAY_SIZE(mode_names); i++) {
		if (!strcmp(mode_names[i], name)) {
			*ret = (enum bh_runtime_mode)i;
			return 0;
		}
	}
	return bh_fail(err, EINVAL, "'%.40s' is not off, light, watch or learn", name);
}

void bh_verb_runtime(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	const struct bh_caller *by = bh_request_caller(rq);
	enum bh_runtime_mode mode = BH_RUNTIME_OFF;
	const char *name = NULL;
	struct bh_err err = {0};
	int r = 0;

	if (!json_is_null(json_object_get(args, "mode")))
		r = bh_json_get_str(args, "mode", false, &name, &err);
	if (!r && name && by->uid)
		r = bh_fail(&err, EPERM, "changing the mode needs uid 0");
	if (!r && name)
		r = parse_mode(name, &mode, &err);
	if (!r && name) {
		r = bh_runtime_set_mode(d->runtime, mode, &err);
		bh_info("runtime mode: %s uid=%u pid=%d", name, (unsigned)by->uid, (int)by->pid);
		bh_policy_news_by(d->news, "tracing", name, by);
	}
	if (!r && d->runtime->trace) {
		bh_runtime_read(d->runtime, BH_RUNTIME_DRAIN); /* also of pods that are gone now */
		if (bh_runtime_hosts_refresh(d->runtime->hosts))
			bh_runtime_changed(d->runtime);
		bh_runtime_tick(d->runtime);
	}
	bh_verb_answer(rq, r, r ? NULL : runtime_json(d->runtime), &err);
}
