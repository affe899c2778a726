#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/reason.h"
#include "base/str.h"
#include "bulkhead_version.h"
#include "daemon/daemon.h"
#include "daemon/degraded.h"
#include "daemon/images.h"
#include "daemon/isolate.h"
#include "daemon/observe.h"
#include "daemon/runtime.h"
#include "daemon/sinks.h"
#include "daemon/subset.h"
#include "daemon/totals.h"
#include "daemon/verbs.h"
#include "daemon/world.h"

#define MAX_MAPS    64
#define MEASURED_MS 3000

static json_t *sources_json(const struct bh_daemon *d)
{
	json_t *a = json_array();

	if (d->manifests)
		json_array_append_new(
			a, json_pack("{ss ss ss ss?}", "type", "manifests", "directory",
				     d->cfg->manifests, "state",
				     bh_manifests_is_missing(d->manifests) ? "missing" : "ok",
				     "why", bh_manifests_trouble(d->manifests)));
	return a;
}

static json_t *maps_json(struct bh_daemon *d, uint64_t *ret_bytes)
{
	struct bh_map_fill v[MAX_MAPS];
	size_t n = bh_datapath_maps(d->dp, v, MAX_MAPS);
	json_t *a = json_array();

	n += bh_runtime_maps(d->runtime, v + n, MAX_MAPS - n);
	*ret_bytes = 0;
	for (size_t i = 0; i < n; i++) {
		*ret_bytes += v[i].bytes;
		json_array_append_new(a,
				      json_pack("{ss sI sI sI}", "name", v[i].name, "used",
						(json_int_t)v[i].used, "max", (json_int_t)v[i].max,
						"bytes", (json_int_t)v[i].bytes));
	}
	return a;
}

static json_t *capabilities_json(const struct bh_daemon *d)
{
	const struct bh_capability *v;
	size_t n = bh_datapath_capabilities(d->dp, &v), n_hooks;
	json_t *a = json_array();
	const char *why;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(a, json_pack("{ss sb ss}", "name", v[i].name, "has", v[i].has,
						   "text", v[i].text));
	why = bh_runtime_hooks(d->runtime, &n_hooks);
	json_array_append_new(a, json_pack("{ss sb ss}", "name", "lsm", "has", n_hooks > 0, "text",
					   n_hooks ? "what a RuntimePolicy refuses fails with EPERM"
					   : why   ? why
						   : "security hooks are not in use"));
	return a;
}

struct policy_rows {
	const struct bh_daemon *d;
	json_t *rows;
	const struct bh_reconcile_state *st;
};

/* Why a valid policy is not in force; NULL: it is. A policy about connections is only if the
 * enforced world holds this version of it, one about processes wherever there is tracing. */
static const char *why_pending(const struct policy_rows *r, const struct bh_policy_state *p)
{
	const char *refused;

	if (p->runtime)
		return bh_runtime_why_not(r->d->runtime);
	if (p->policy && bh_world_has_policy(r->st->world, p->policy))
		return NULL;
	refused = p->policy ? bh_subset_why(r->st->refused, p->policy) : NULL;
	if (refused)
		return refused;
	return r->st->failure ? r->st->failure : "it is not published yet";
}

static int policy_row(const struct bh_policy_state *p, void *arg)
{
	struct policy_rows *r = arg;
	const char *why = p->is_live ? why_pending(r, p) : p->why;

	return json_array_append_new(r->rows, json_pack("{ss ss ss ss sb ss?}", "kind", p->kind,
							"namespace", p->ns, "name", p->name, "file",
							p->file, "live", !why, "why", why))
		       ? -ENOMEM
		       : 0;
}

static json_t *find_problems(struct bh_daemon *d)
{
	static const char *const levels[] = {"error", "warning", "note"};
	struct bh_problems p = {0};
	json_t *a = json_array();

	bh_objects_set_time(d->objects, bh_now_s());
	bh_objects_problems(d->objects, &p);
	for (size_t i = 0; i < p.n; i++)
		json_array_append_new(a,
				      json_pack("{ss ss? si si ss? ss}", "level",
						levels[p.v[i].level], "file", p.v[i].file, "line",
						(int)p.v[i].line, "column", (int)p.v[i].col,
						"object", p.v[i].object, "text", p.v[i].text));
	bh_problems_done(&p);
	return a;
}

/* Looking at ten thousand policies takes time; what they say changes with them, and, for what ends
 * soon, with the minute. */
static json_t *problems_json(struct bh_daemon *d)
{
	uint64_t revision = bh_objects_revision(d->objects);
	int64_t minute = bh_now_s() / 60;

	if (!d->problems || d->problems_revision != revision || d->problems_minute != minute) {
		json_decref(d->problems);
		d->problems = find_problems(d);
		d->problems_revision = revision;
		d->problems_minute = minute;
	}
	return json_incref(d->problems);
}

static json_t *drops_json(struct bh_daemon *d)
{
	struct bh_drop drops[BH_R_COUNT] = {0};
	json_t *a = json_array();

	if (bh_datapath_drops(d->dp, drops) < 0)
		return a;
	for (int i = 0; i < BH_R_COUNT; i++) {
		if (drops[i].packets)
			json_array_append_new(a, json_pack("{ss sI sI}", "reason",
							   bh_reason_name((unsigned)i), "packets",
							   (json_int_t)drops[i].packets, "bytes",
							   (json_int_t)drops[i].bytes));
	}
	return a;
}

static json_t *endpoints_json(const struct bh_daemon *d)
{
	int open = 0, shut = 0, quarantined = 0;

	bh_vec_each (it, &d->endpoints.eps) {
		quarantined += (*it)->is_quarantined;
		open += (*it)->is_open && !(*it)->is_quarantined;
		shut += !(*it)->is_open && !(*it)->is_quarantined;
	}
	return json_pack("{si si si}", "open", open, "shut", shut, "quarantined", quarantined);
}

static json_int_t rss_bytes(void)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_err err;
	long pages = 0;
	size_t len;

	if (!bh_fs_read("/proc/self/statm", 4096, &text, &len, &err))
		sscanf(text, "%*s %ld", &pages);
	return (json_int_t)pages * sysconf(_SC_PAGESIZE);
}

void bh_verb_status(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	struct bh_reconcile_state st = bh_reconcile_state(d->reconciler);
	struct policy_rows policies = {d, json_array(), &st};
	uint64_t map_bytes = 0;
	json_t *maps = maps_json(d, &map_bytes);
	json_t *result;

	(void)args;
	bh_objects_policies(d->objects, policy_row, &policies);
	result = json_pack(
		"{ss si ss sI sI sb ss so so so so so so so so so}", "version", BH_VERSION, "pid",
		(int)getpid(), "node", d->cfg->node_name, "uptimeSeconds",
		(json_int_t)(bh_now_s() - d->started_s), "revision", (json_int_t)st.revision,
		"ready", st.world && (!st.failure || st.is_policy_refused), "default",
		d->cfg->default_allow ? "kubernetes" : "deny", "sources", sources_json(d),
		"capabilities", capabilities_json(d), "degraded", bh_degraded_json(d), "maps", maps,
		"policies", policies.rows, "problems", problems_json(d), "memory",
		json_pack("{sI sI}", "rssBytes", rss_bytes(), "mapsBytes", (json_int_t)map_bytes),
		"endpoints", endpoints_json(d), "publish",
		json_pack("{sI sf sf sI ss?}", "epoch", (json_int_t)bh_datapath_epoch(d->dp),
			  "lastMilliseconds", st.last_ms, "lastCompileMilliseconds",
			  st.last_compile_ms, "failures", (json_int_t)st.failures, "lastFailure",
			  st.failure));
	if (result)
		json_object_set_new(result, "drops", drops_json(d));
	if (result)
		json_object_set_new(result, "sinks", bh_sinks_status(d->sinks));
	if (result && d->images)
		json_object_set_new(result, "images", bh_images_status(d->images));
	bh_verb_answer(rq, 0, result, &(struct bh_err){0});
}

static json_t *addresses_json(const struct bh_endpoint *ep)
{
	json_t *a = json_array();
	char text[BH_IP_TEXT];

	for (size_t i = 0; i < ep->n_ips; i++)
		json_array_append_new(a, json_string(bh_ip_format(&ep->ips[i], text)));
	return a;
}

static json_t *labels_json(const struct bh_daemon *d, const struct bh_endpoint *ep)
{
	const struct bh_pod *m = bh_objects_pod(d->objects, ep->ns, ep->name);
	const struct bh_labels *l = m ? &m->ident->labels : &ep->labels;
	json_t *o = json_object();

	for (size_t i = 0; i < l->n; i++)
		json_object_set_new(o, l->v[i].key, json_string(l->v[i].value));
	return o;
}

static json_t *rulesets_json(const struct bh_daemon *d, const struct bh_endpoint *ep)
{
	const struct bh_tables *t = bh_reconcile_state(d->reconciler).tables;
	const struct bh_tsubject *s = t ? bh_tables_subject(t, ep->ns, ep->name) : NULL;

	return json_pack("{si si}", "ingress", s ? (int)s->ruleset[BH_INGRESS] : 0, "egress",
			 s ? (int)s->ruleset[BH_EGRESS] : 0);
}

static const char *why_state(const struct bh_endpoint *ep)
{
	if (ep->is_refused)
		return "its ADD failed; it stays shut until the runtime deletes it";
	if (ep->is_open || ep->is_quarantined)
		return NULL;
	return ep->is_covered ? "its ADD has not come to an end yet"
			      : "its table is not published yet";
}

static json_t *pod_json(struct bh_daemon *d, const struct bh_endpoint *ep)
{
	struct bh_pod_totals t = {0};
	struct bh_err err;
	char pod[600], mac[18] = "", since[32];
	const char *worst = NULL;
	json_t *images = bh_images_of_pod(d->images, ep->ns, ep->name, &worst);
	json_t *result;

	bh_pod_totals(d->dp, ep->slot, &t, &err);
	snprintf(pod, sizeof(pod), "%s/%s", ep->ns, ep->name);
	if (ep->has_mac)
		snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", ep->mac[0], ep->mac[1],
			 ep->mac[2], ep->mac[3], ep->mac[4], ep->mac[5]);
	result = json_pack("{ss ss? ss ss ss so ss? ss ss? so ss? so so so ss}", "pod", pod, "uid",
			   ep->uid, "containerId", ep->container_id, "interface", ep->ifname,
			   "hostInterface", ep->host_ifname, "addresses", addresses_json(ep), "mac",
			   mac[0] ? mac : NULL, "state", bh_endpoint_state(ep), "why",
			   why_state(ep), "rulesets", rulesets_json(d, ep), "image", worst,
			   "images", images, "labels", labels_json(d, ep), "counters",
			   json_pack("{sI sI sI sI sI sI}", "passedPackets",
				     (json_int_t)t.passed_packets, "passedBytes",
				     (json_int_t)t.passed_bytes, "droppedPackets",
				     (json_int_t)t.dropped_packets, "droppedBytes",
				     (json_int_t)t.dropped_bytes, "flows", (json_int_t)t.flows,
				     "edges", (json_int_t)t.edges),
			   "since", bh_time_format(ep->since_s, since));
	return result;
}

void bh_verb_pods(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	json_t *rows = json_array();

	(void)args;
	bh_vec_each (it, &d->endpoints.eps)
		json_array_append_new(rows, pod_json(d, *it));
	bh_request_reply(rq, json_pack("{so}", "pods", rows));
}

static int read_filter(const json_t *args, struct bh_pod_ref_text *pod, struct bh_flow_filter *ret,
		       struct bh_err *err)
{
	const char *text = json_string_value(json_object_get(args, "pod"));
	const char *verdict = json_string_value(json_object_get(args, "verdict"));
	int r = 0;

	*ret = (struct bh_flow_filter){.verdict = -1};
	if (text)
		r = bh_pod_text_parse(text, pod, err);
	if (r < 0)
		return r;
	if (text) {
		ret->ns = pod->ns;
		ret->name = pod->name;
	}
	if (!verdict)
		return 0;
	if (strcmp(verdict, "allowed") && strcmp(verdict, "denied"))
		return bh_fail(err, EINVAL, "verdict '%s' is neither allowed nor denied", verdict);
	ret->verdict = verdict[0] == 'a' ? BH_ALLOWED : BH_DENIED;
	return 0;
}

void bh_verb_flows(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	struct bh_pod_ref_text pod;
	struct bh_flow_filter filter;
	struct bh_err err = {0};
	json_t *rows = NULL;
	bool follow = false;
	int r = read_filter(args, &pod, &filter, &err);

	if (!r)
		r = bh_json_get_bool(args, "follow", false, &follow, &err);
	if (!r && follow)
		r = bh_request_follow(rq, &err);
	if (!r && follow) {
		bh_observer_follow(d->observer, rq, &filter);
		return;
	}
	if (!r)
		r = bh_observer_flows(d->observer, &filter, &rows, &err);
	bh_verb_answer(rq, r, r ? NULL : json_pack("{so}", "flows", rows), &err);
}

static json_t *top_pod(struct bh_daemon *d, const struct bh_endpoint *ep, json_t *used)
{
	struct bh_pod_totals t = {0};
	struct bh_err err;
	char pod[600];
	json_t *row;

	bh_pod_totals(d->dp, ep->slot, &t, &err);
	snprintf(pod, sizeof(pod), "%s/%s", ep->ns, ep->name);
	row = json_pack("{ss sI sI sI sI sI}", "pod", pod, "packets", (json_int_t)t.passed_packets,
			"bytes", (json_int_t)t.passed_bytes, "drops", (json_int_t)t.dropped_packets,
			"flows", (json_int_t)t.flows, "connections",
			(json_int_t)bh_datapath_flows_ever(d->dp, ep->slot));
	/* a pod's further interfaces execute nothing */
	if (row && ep->owns_cookie)
		json_object_update_missing(row, json_object_get(used, pod));
	return row;
}

static void end_measuring(void *arg)
{
	struct bh_daemon *d = arg;

	bh_datapath_measure(d->dp, false);
}

/* Programs are measured while somebody looks: until some time after the next reading is due. */
static void measure(struct bh_daemon *d, int64_t interval_ms)
{
	struct bh_err err;

	if (bh_datapath_measure(d->dp, true) < 0 ||
	    (!d->top_timer &&
	     bh_loop_timer(d->loop, UINT32_MAX, 0, end_measuring, d, &d->top_timer, &err) < 0))
		bh_datapath_measure(d->dp, false);
	else
		bh_source_after(d->top_timer, (uint64_t)interval_ms + MEASURED_MS);
}

void bh_verb_top(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	struct bh_prog_cost progs[96];
	BH_CLEANUP(bh_json_decrefp) json_t *used = NULL;
	json_t *pods, *programs;
	int64_t interval_ms = 2000;
	struct bh_err err = {0};
	size_t n;

	if (bh_json_get_int(args, "interval", false, 100, 3600000, &interval_ms, &err)) {
		bh_verb_answer(rq, err.code, NULL, &err);
		return;
	}
	measure(d, interval_ms);
	pods = json_array();
	programs = json_array();
	used = bh_runtime_used(d->runtime);
	n = bh_datapath_progs(d->dp, progs, BH_ARRAY_SIZE(progs));
	n += bh_runtime_progs(d->runtime, progs + n, BH_ARRAY_SIZE(progs) - n);
	bh_vec_each (it, &d->endpoints.eps)
		json_array_append_new(pods, top_pod(d, *it, used));
	for (size_t i = 0; i < n; i++)
		json_array_append_new(programs,
				      json_pack("{ss sI sI}", "name", progs[i].name, "runCount",
						(json_int_t)progs[i].run_cnt, "runNanoseconds",
						(json_int_t)progs[i].run_ns));
	bh_request_reply(rq, json_pack("{so so sI}", "pods", pods, "programs", programs,
				       "intervalSeconds", (json_int_t)(bh_now_s() - d->started_s)));
}
