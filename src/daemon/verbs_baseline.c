/* Verbs about baselines and the policies that come of them. */
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/baselines.h"
#include "daemon/observe.h"
#include "daemon/policy_news.h"
#include "daemon/runtime.h"
#include "daemon/verbs.h"

static int read_workload(const json_t *args, const char **ret, struct bh_err *err)
{
	return bh_json_get_str(args, "workload", true, ret, err);
}

static struct bh_baselines *baselines_of(const struct bh_daemon *d)
{
	return bh_runtime_baselines(d->runtime);
}

void bh_verb_baseline_list(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	struct bh_err err = {0};
	json_t *rows = NULL;
	int r = bh_baselines_list(baselines_of(d), &rows, &err);

	(void)args;
	bh_verb_answer(rq, r, r ? NULL : json_pack("{so}", "baselines", rows), &err);
}

void bh_verb_baseline_get(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	const char *workload = NULL;
	struct bh_err err = {0};
	int r = read_workload(args, &workload, &err);

	if (!r)
		r = bh_baselines_text(baselines_of(d), workload, &text, &err);
	bh_verb_answer(rq, r, r ? NULL : json_pack("{ss}", "text", text), &err);
}

static void tell(struct bh_daemon *d, struct bh_request *rq, const char *what, const char *workload)
{
	const struct bh_caller *by = bh_request_caller(rq);
	BH_CLEANUP(bh_freep) char *object = bh_strf("baseline %s", workload);

	bh_info("baseline of '%s' %s: uid=%u pid=%d exe=%s", workload, what, (unsigned)by->uid,
		(int)by->pid, by->exe);
	if (object)
		bh_policy_news_by(d->news, object, what, by);
}

void bh_verb_baseline_import(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	BH_CLEANUP(bh_freep) char *workload = NULL;
	const char *text = NULL;
	struct bh_err err = {0};
	int r = bh_json_get_str(args, "text", true, &text, &err);

	if (!r)
		r = bh_baselines_import(baselines_of(d), text, &workload, &err);
	if (!r)
		tell(d, rq, "imported", workload);
	bh_verb_answer(rq, r, r ? NULL : json_pack("{ss}", "workload", workload), &err);
}

void bh_verb_baseline_reset(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	const char *workload = NULL;
	struct bh_err err = {0};
	int r = read_workload(args, &workload, &err);

	if (!r)
		r = bh_baselines_reset(baselines_of(d), workload, &err);
	if (!r)
		tell(d, rq, "reset", workload);
	bh_verb_answer(rq, r, r ? NULL : json_pack("{ss}", "workload", workload), &err);
}

void bh_verb_baseline_make(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	static const char *const names[] = {[BH_MADE_NETWORK] = "network",
					    [BH_MADE_RUNTIME] = "runtime",
					    [BH_MADE_SECCOMP] = "seccomp"};
	const char *workload = NULL, *kind = NULL;
	struct bh_err err = {0};
	const struct bh_world *w = bh_verb_world_of(d, &err);
	json_t *made = NULL;
	size_t what = 0;
	int r = w ? read_workload(args, &workload, &err) : err.code;

	if (!r)
		r = bh_json_get_str(args, "kind", true, &kind, &err);
	while (!r && what < BH_ARRAY_SIZE(names) && strcmp(names[what], kind))
		what++;
	if (!r && what == BH_ARRAY_SIZE(names))
		r = bh_fail(&err, EINVAL, "'kind': '%s' is none of network, runtime, seccomp",
			    kind);
	if (!r)
		r = bh_baselines_make(baselines_of(d), workload, (enum bh_made)what, w, &made,
				      &err);
	bh_verb_answer(rq, r, made, &err);
}

/* {"pod": "NS/NAME"} or {"namespace": NS} or neither: all. */
void bh_verb_suggest(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	BH_CLEANUP(bh_json_decrefp) json_t *rows = NULL, *kept = json_array();
	struct bh_flow_filter filter = {.verdict = BH_ALLOWED};
	struct bh_pod_ref_text pod;
	const char *text = NULL, *ns = NULL;
	struct bh_err err = {0};
	const struct bh_world *w = bh_verb_world_of(d, &err);
	json_t *result = NULL;
	const json_t *row;
	size_t i;
	int r = w ? bh_json_get_str(args, "pod", false, &text, &err) : err.code;

	if (!r)
		r = bh_json_get_str(args, "namespace", false, &ns, &err);
	if (!r && text)
		r = bh_pod_text_parse(text, &pod, &err);
	if (!r && text) {
		filter.ns = pod.ns;
		filter.name = pod.name;
	}
	if (!r)
		r = bh_observer_flows(d->observer, &filter, &rows, &err);
	json_array_foreach(rows, i, row)
	{
		const char *own = json_string_value(json_object_get(row, "pod"));
		size_t n = ns ? strlen(ns) : 0;

		if (own && (!ns || (!strncmp(own, ns, n) && own[n] == '/')))
			json_array_append(kept, (json_t *)row);
	}
	if (!r)
		r = bh_suggest(kept, w, &result, &err);
	bh_verb_answer(rq, r, result, &err);
}
