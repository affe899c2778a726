/* What detectors raise, OCSF 2003 and 2004, and what is done about processes, 7003. */
#include <string.h>

#include "base/str.h"
#include "event/attack.h"
#include "event/ocsf_trace.h"

static json_t *far_end(const struct bh_ocsf_far *far)
{
	char ip[BH_IP_TEXT];
	json_t *e = json_pack("{s:s}", "ip", bh_ip_format(&far->ip, ip));

	if (far->is_egress && bh_ocsf_has_ports(far->proto) && far->port)
		bh_ocsf_put(e, "port", json_integer(far->port));
	bh_ocsf_put_text(e, "name", far->name);
	return e;
}

/* Who did it, with which file when that is not the executable itself, to whom, and what for. */
static json_t *evidences(const struct bh_ocsf_finding *f)
{
	const struct bh_trace_event *ev = f->event;
	char type[16];
	json_t *one = json_object();

	if (ev->pid || ev->kind)
		bh_ocsf_put(one, "process", bh_ocsf_process_and_parent(ev));
	if (ev->kind == BH_TRACE_FILE || ev->kind == BH_TRACE_MAP)
		bh_ocsf_put(one, "file",
			    bh_ocsf_file_of(ev->path, ev->kind == BH_TRACE_MAP ? ev->sha256 : ""));
	if (ev->kind == BH_TRACE_DNS)
		bh_ocsf_put(one, "query",
			    json_pack("{s:o*, s:s}", "hostname", bh_ocsf_text(ev->name), "type",
				      bh_dns_type(ev->type, type)));
	if (f->far) {
		bh_ocsf_put(one, f->far->is_egress ? "dst_endpoint" : "src_endpoint",
			    far_end(f->far));
		bh_ocsf_put(one, "connection_info",
			    bh_ocsf_connection(f->far->is_egress, f->far->proto, &f->far->ip));
	}
	if (!json_object_size(one)) /* the pod as a whole: what was measured */
		bh_ocsf_put(one, "data", json_pack("{s:o*}", "key", bh_ocsf_text(f->key)));
	return json_pack("[o]", one);
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

char *bh_ocsf_finding_uid(const struct bh_ocsf_pod *pod, const char *detector, const char *key)
{
	return bh_strf("%s/%s/%s/%s/%s", pod->ns ? pod->ns : "",
		       pod->owner_kind ? pod->owner_kind : "", pod->owner ? pod->owner : "",
		       detector, key);
}

static json_t *analytic(const struct bh_ocsf_finding *f)
{
	static const char *const types[] = {[BH_ANALYTIC_RULE] = "Rule",
					    [BH_ANALYTIC_BEHAVIOR] = "Behavioral",
					    [BH_ANALYTIC_STATISTICS] = "Statistical"};

	return json_pack("{s:s, s:i, s:s}", "name", f->detector, "type_id", (int)f->analytic,
			 "type", types[f->analytic]);
}

static json_t *finding_info(const struct bh_ocsf_finding *f)
{
	json_t *attacks = json_array();

	for (size_t i = 0; i < 3 && f->attack[i]; i++)
		json_array_append_new(attacks, bh_attack_json(f->attack[i]));
	return json_pack("{s:o*, s:o*, s:o*, s:o, s:o, s:I, s:I}", "uid", bh_ocsf_text(f->uid),
			 "title", bh_ocsf_text(f->title), "desc", bh_ocsf_text(f->text), "attacks",
			 attacks, "analytic", analytic(f), "first_seen_time",
			 (json_int_t)(f->count > 1 ? f->first_ms : f->time_ms), "last_seen_time",
			 (json_int_t)f->time_ms);
}

json_t *bh_ocsf_finding(struct bh_ocsf *o, const struct bh_ocsf_finding *f)
{
	const struct bh_ocsf_head h = {f->is_posture ? BH_OCSF_COMPLIANCE : BH_OCSF_FINDING,
				       f->is_new ? 1 : 2, f->is_new ? "Create" : "Update",
				       (enum bh_ocsf_severity)f->severity, f->time_ms};
	json_t *e = bh_ocsf_base(o, &h, "security_control");
	json_t *ours = json_pack("{s:s, s:o*, s:s}", "detector", f->detector, "key",
				 bh_ocsf_text(f->key), "response", f->response);

	bh_ocsf_put(e, "count", json_integer((json_int_t)f->count));
	bh_ocsf_put_correlation(e, f->uid);
	bh_ocsf_put_outcome(e, f->outcome);
	/* worth somebody's while */
	bh_ocsf_put(e, "is_alert", json_boolean(f->severity >= BH_SEV_MEDIUM));
	bh_ocsf_put_pod(e, ours, &f->pod);
	bh_ocsf_put_text(ours, "answer", f->answer);
	if (f->usual > 0)
		bh_ocsf_put(e, "anomaly_analyses", anomaly(f));
	bh_ocsf_put_rule(e, ours, &f->rule);
	put_provenance(ours, f->event);
	bh_ocsf_put(e, "finding_info", finding_info(f));
	/* status 1: new, 2: in progress */
	bh_ocsf_put(e, "status_id", json_integer(f->is_new ? 1 : 2));
	bh_ocsf_put(e, "status", json_string(f->is_new ? "New" : "In Progress"));
	if (f->is_posture)
		bh_ocsf_put(e, "compliance", compliance(f));
	bh_ocsf_put(e, "evidences", evidences(f));
	bh_ocsf_put_text(ours, "sha256Missing", f->event->sha256_why);
	return bh_ocsf_finish(e, ours, f->text);
}

/* ---- 7003 ---- */

json_t *bh_ocsf_suspect(const struct bh_trace_event *ev, json_t **ret_details)
{
	json_t *ours = json_object();

	put_provenance(ours, ev);
	*ret_details = ours;
	return bh_ocsf_process_and_parent(ev);
}

/* OCSF has two numbers of its own for it. */
static void put_end(json_t *e, const struct bh_ocsf_kill *k)
{
	static const struct {
		int id;
		const char *name;
	} ends[] = {[BH_KILL_DONE] = {1, "Success"},
		    [BH_KILL_FAILED] = {2, "Failure"},
		    [BH_KILL_GONE] = {3, "Does Not Exist"}};

	bh_ocsf_put(e, "status_id", json_integer(ends[k->end].id));
	bh_ocsf_put(e, "status", json_string(ends[k->end].name));
	bh_ocsf_put_text(e, "status_detail", k->detail);
	bh_ocsf_put_outcome(e, k->end == BH_KILL_DONE ? BH_OUTCOME_BLOCKED : BH_OUTCOME_ALERT);
}

json_t *bh_ocsf_kill(struct bh_ocsf *o, const struct bh_ocsf_kill *k)
{
	/* evict */
	const struct bh_ocsf_head h = {BH_OCSF_KILL, 2, "Evict", BH_SEV_HIGH, k->time_ms};
	json_t *e = bh_ocsf_base(o, &h, "security_control");
	static const char *const changes[] = {
		[BH_KILL_DONE] = "killed", [BH_KILL_FAILED] = "failed", [BH_KILL_GONE] = "gone"};
	json_t *ours = json_pack("{s:s}", "change", changes[k->end]);
	json_t *uid = json_incref(json_object_get(json_object_get(e, "metadata"), "uid"));

	bh_ocsf_put_pod(e, ours, &k->pod);
	bh_ocsf_put_text(ours, "reason", k->reason);
	bh_ocsf_put_rule(e, ours, &k->rule);
	bh_ocsf_put_correlation(e, k->correlation);
	if (k->event)
		put_provenance(ours, k->event);
	json_object_update_missing(ours, (json_t *)(uintptr_t)k->details);
	bh_ocsf_put(e, "command_uid", uid);
	bh_ocsf_put(e, "process",
		    k->event ? bh_ocsf_process_and_parent(k->event) : json_deep_copy(k->process));
	bh_ocsf_put(e, "countermeasures",
		    json_pack("[{s:s, s:{s:s, s:s}}]", "version", "1.0.0", "d3f_technique", "uid",
			      "D3-PT", "name", "Process Termination"));
	put_end(e, k);
	bh_ocsf_put(e, "actor", json_pack("{s:s}", "app_name", k->event ? "kernel" : "bulkheadd"));
	return bh_ocsf_finish(e, ours, k->reason);
}
