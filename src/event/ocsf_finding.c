/* What detectors raise, OCSF 2003 and 2004, and what is done about processes, 7003. */
#include <string.h>

#include "base/str.h"
#include "event/ocsf_trace.h"

/* Who did it, and with which file when that is not the executable itself. */
static json_t *evidences(const struct bh_trace_event *ev)
{
	json_t *file = NULL;

	if (ev->kind == BH_TRACE_FILE || ev->kind == BH_TRACE_MAP)
		file = bh_ocsf_file_of(ev->path, ev->kind == BH_TRACE_MAP ? ev->sha256 : "");
	return json_pack("[{s:o, s:o*}]", "process", bh_ocsf_process_of(ev, 0), "file", file);
}

/* Of the bytes that it is about, and of the program that acts. */
static void put_provenance(json_t *ours, const struct bh_trace_event *ev)
{
	bool is_exec = ev->kind == BH_TRACE_EXEC;

	if (is_exec || ev->kind == BH_TRACE_FILE || ev->kind == BH_TRACE_MAP)
		bh_ocsf_put_text(ours, "provenance", bh_trace_origin_name(ev->origin));
	if (!is_exec && ev->exec_id && ev->kind)
		bh_ocsf_put_text(ours, "processProvenance",
				 bh_trace_origin_name(ev->parent_origin));
}

static void put_rule(json_t *ours, const struct bh_ocsf_rule *r)
{
	bh_ocsf_put_text(ours, "rule", r->name);
	bh_ocsf_put_text(ours, "file", r->file);
	if (r->line)
		bh_ocsf_put(ours, "line", json_integer(r->line));
}

/* How a pod is made, held against what Kubernetes recommends. Status 3: fail. */
static json_t *compliance(const struct bh_ocsf_finding *f)
{
	return json_pack("{s:[s], s:s, s:i, s:s}", "standards",
			 "Kubernetes Pod Security Standards, restricted", "control", f->detector,
			 "status_id", 3, "status", "Fail");
}

static json_t *anomaly(const struct bh_ocsf_finding *f)
{
	BH_CLEANUP(bh_freep)
	char *pod = bh_strf("%s/%s", f->pod.ns ? f->pod.ns : "", f->pod.name ? f->pod.name : "");
	BH_CLEANUP(bh_freep) char *score = bh_strf("%.2f", f->score);
	BH_CLEANUP(bh_freep) char *usual = bh_strf("%.2f", f->usual);

	return json_pack(
		"[{s:[{s:o*, s:s}], s:[{s:s, s:s, s:[{s:o*}]}], s:[{s:s, s:s, s:[{s:o*}]}]}]",
		"analysis_targets", "name", bh_ocsf_text(pod), "type", "Pod", "anomalies",
		"observation_parameter", "anomaly score", "observation_type", "Deviation Analysis",
		"observations", "value", bh_ocsf_text(score), "baselines", "observation_parameter",
		"anomaly score", "observation_type", "Deviation Analysis", "observations", "value",
		bh_ocsf_text(usual));
}

json_t *bh_ocsf_finding(struct bh_ocsf *o, const struct bh_ocsf_finding *f)
{
	const struct bh_ocsf_head h = {f->is_posture ? BH_OCSF_COMPLIANCE : BH_OCSF_FINDING,
				       f->is_new ? 1 : 2, f->is_new ? "Create" : "Update",
				       (enum bh_ocsf_severity)f->severity, f->time_ms};
	json_t *e = bh_ocsf_base(o, &h, NULL);
	json_t *ours = json_pack("{s:s, s:s, s:I, s:s}", "detector", f->detector, "key", f->key,
				 "count", (json_int_t)f->count, "response", f->response);
	BH_CLEANUP(bh_freep)
	char *uid = bh_strf("%s/%s/%s", f->pod.ns ? f->pod.ns : "", f->detector, f->key);
	json_t *attacks = json_array();

	bh_ocsf_put_pod(e, ours, &f->pod);
	bh_ocsf_put_text(ours, "answer", f->answer);
	if (f->usual > 0)
		bh_ocsf_put(e, "anomaly_analyses", anomaly(f));
	put_rule(ours, &f->rule);
	put_provenance(ours, f->event);
	for (size_t i = 0; i < 3 && f->attack[i]; i++)
		json_array_append_new(attacks, json_pack("{s:s, s:{s:s}}", "version", "14.1",
							 "technique", "uid", f->attack[i]));
	bh_ocsf_put(e, "finding_info",
		    json_pack("{s:o*, s:o*, s:o*, s:o}", "uid", bh_ocsf_text(uid), "title",
			      bh_ocsf_text(f->title), "desc", bh_ocsf_text(f->text), "attacks",
			      attacks));
	/* status 1: new, 2: in progress */
	bh_ocsf_put(e, "status_id", json_integer(f->is_new ? 1 : 2));
	bh_ocsf_put(e, "status", json_string(f->is_new ? "New" : "In Progress"));
	if (f->is_posture)
		bh_ocsf_put(e, "compliance", compliance(f));
	else
		bh_ocsf_put(e, "evidences", evidences(f->event));
	bh_ocsf_put_text(ours, "sha256Missing", f->event->sha256_why);
	return bh_ocsf_finish(e, ours, f->text);
}

/* ---- 7003 ---- */

json_t *bh_ocsf_kill(struct bh_ocsf *o, const struct bh_ocsf_kill *k)
{
	/* evict */
	const struct bh_ocsf_head h = {BH_OCSF_KILL, 2, "Evict", BH_SEV_HIGH, k->time_ms};
	json_t *e = bh_ocsf_base(o, &h, NULL);
	json_t *ours = json_pack("{s:s}", "change", "killed");
	json_t *uid = json_incref(json_object_get(json_object_get(e, "metadata"), "uid"));

	bh_ocsf_put_pod(e, ours, &k->pod);
	bh_ocsf_put_text(ours, "reason", k->reason);
	put_rule(ours, &k->rule);
	if (k->event)
		put_provenance(ours, k->event);
	bh_ocsf_put(e, "command_uid", uid);
	bh_ocsf_put(e, "process",
		    k->event ? bh_ocsf_process_of(k->event, 0)
			     : json_pack("{s:i}", "pid", (int)k->pid));
	bh_ocsf_put(e, "countermeasures",
		    json_pack("[{s:s, s:{s:s, s:s}}]", "version", "1.0.0", "d3f_technique", "uid",
			      "D3-PT", "name", "Process Termination"));
	bh_ocsf_put(e, "status_id", json_integer(k->failure ? 2 : 1));
	bh_ocsf_put(e, "status", json_string(k->failure ? "Failure" : "Success"));
	bh_ocsf_put_text(e, "status_detail", k->failure);
	bh_ocsf_put(e, "actor", json_pack("{s:s}", "app_name", k->event ? "kernel" : "bulkheadd"));
	return bh_ocsf_finish(e, ours, k->reason);
}
