#include "event/ocsf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/str.h"
#include "event/ocsf_parts.h"

#define PRODUCT "Bulkhead"

static const char *const severities[] = {"Unknown", "Informational", "Low", "Medium", "High"};

static const struct {
	int uid;
	const char *name, *key, *word; /* caption, name in the schema, short word */
} classes[] = {
	{BH_OCSF_NETWORK, "Network Activity", "network_activity", "network"},
	{BH_OCSF_DNS, "DNS Activity", "dns_activity", "dns"},
	{BH_OCSF_CONFIG, "Device Config State", "config_state", "policy"},
	{BH_OCSF_FILE, "File System Activity", "file_activity", "file"},
	{BH_OCSF_EXTENSION, "Kernel Extension Activity", "kernel_extension_activity", "extension"},
	{BH_OCSF_KERNEL, "Kernel Activity", "kernel_activity", "kernel"},
	{BH_OCSF_MODULE, "Module Activity", "module_activity", "module"},
	{BH_OCSF_JOB, "Scheduled Job Activity", "scheduled_job_activity", "job"},
	{BH_OCSF_PROCESS, "Process Activity", "process_activity", "process"},
	{BH_OCSF_FINDINGS, "Findings", "findings", "finding"},
	{BH_OCSF_COMPLIANCE, "Compliance Finding", "compliance_finding", "compliance"},
	{BH_OCSF_FINDING, "Detection Finding", "detection_finding", "detection"},
	{BH_OCSF_LIFECYCLE, "Application Lifecycle", "application_lifecycle", "pod"},
	{BH_OCSF_KILL, "Process Remediation Activity", "process_remediation_activity", "kill"},
	{BH_OCSF_REMEDIATION, "Network Remediation Activity", "network_remediation_activity",
	 "quarantine"},
};

static const char *const categories[] = {[1] = "System Activity",      [2] = "Findings",
					 [4] = "Network Activity",     [5] = "Discovery",
					 [6] = "Application Activity", [7] = "Remediation"};

static const char *class_name(int uid)
{
	for (size_t i = 0; i < BH_ARRAY_SIZE(classes); i++) {
		if (classes[i].uid == uid)
			return classes[i].name;
	}
	return "Base Event";
}

/* ---- parts ---- */

json_t *bh_ocsf_text(const char *s)
{
	BH_CLEANUP(bh_str_done) struct bh_str b = {0};
	size_t left = s ? strlen(s) : 0;

	if (!s)
		return NULL;
	while (left) {
		size_t n = bh_utf8_len(s, left);
		unsigned char c = (unsigned char)*s;

		if (!n || (n == 1 && (c < 0x20 || c == 0x7f)))
			bh_str_addn(&b, "?", 1);
		else
			bh_str_addn(&b, s, n);
		s += n ? n : 1;
		left -= n ? n : 1;
	}
	return b.failed ? NULL : json_string(bh_str_text(&b));
}

void bh_ocsf_put(json_t *obj, const char *key, json_t *take_value)
{
	if (take_value)
		json_object_set_new(obj, key, take_value);
}

void bh_ocsf_put_text(json_t *obj, const char *key, const char *value)
{
	bh_ocsf_put(obj, key, value && *value ? bh_ocsf_text(value) : NULL);
}

static json_t *metadata(struct bh_ocsf *o, const char *extra_profile)
{
	json_t *profiles = json_pack("[s, s]", "host", "container");
	json_t *product = json_pack("{s:s, s:s}", "name", PRODUCT, "vendor_name", PRODUCT);
	BH_CLEANUP(bh_freep) char *uid = NULL;
	json_t *m;

	bh_ocsf_put_text(product, "version", o->version);
	if (extra_profile)
		json_array_append_new(profiles, json_string(extra_profile));
	o->n++;
	uid = bh_strf("%s-%llu", o->instance, (unsigned long long)o->n);
	m = json_pack("{s:s, s:s, s:I, s:o, s:o, s:s}", "version", BH_OCSF_VERSION, "uid",
		      uid ? uid : "", "sequence", (json_int_t)o->n, "product", product, "profiles",
		      profiles, "log_name", "bulkhead");
	return m;
}

json_t *bh_ocsf_base(struct bh_ocsf *o, const struct bh_ocsf_head *h, const char *extra_profile)
{
	json_t *e = json_pack("{s:i, s:s, s:i, s:s, s:i, s:s, s:I, s:i, s:s, s:I}", "class_uid",
			      h->class_uid, "class_name", class_name(h->class_uid), "category_uid",
			      h->class_uid / 1000, "category_name", categories[h->class_uid / 1000],
			      "activity_id", h->activity_id, "activity_name", h->activity,
			      "type_uid", (json_int_t)h->class_uid * 100 + h->activity_id,
			      "severity_id", (int)h->severity, "severity", severities[h->severity],
			      "time", (json_int_t)h->time_ms);

	bh_ocsf_put(e, "metadata", metadata(o, extra_profile));
	/* 1: server */
	bh_ocsf_put(e, "device",
		    json_pack("{s:o*, s:i, s:s}", "hostname", bh_ocsf_text(o->node), "type_id", 1,
			      "type", "Server"));
	return e;
}

static char *pod_text(const struct bh_ocsf_pod *p)
{
	return p->ns && p->name ? bh_strf("%s/%s", p->ns, p->name) : NULL;
}

static json_t *container(const struct bh_ocsf_pod *p)
{
	json_t *c = json_object();

	bh_ocsf_put_text(c, "name", p->container ? p->container : p->name);
	bh_ocsf_put_text(c, "uid", p->container_id);
	bh_ocsf_put_text(c, "pod_uuid", p->uid);
	/* the schema knows no image without an identity of its own */
	if (p->image_digest)
		bh_ocsf_put(c, "image",
			    json_pack("{s:o*, s:o*}", "uid", bh_ocsf_text(p->image_digest), "name",
				      bh_ocsf_text(p->image)));
	bh_ocsf_put_text(c, "orchestrator", p->ns ? "Kubernetes" : NULL);
	return c;
}

static json_t *workload(const struct bh_ocsf_pod *p)
{
	json_t *w = json_pack("{s:o*, s:o*}", "kind", bh_ocsf_text(p->owner_kind), "name",
			      bh_ocsf_text(p->owner));

	bh_ocsf_put(w, "guessed", p->is_guessed ? json_true() : NULL);
	return w;
}

void bh_ocsf_put_pod(json_t *e, json_t *ours, const struct bh_ocsf_pod *p)
{
	BH_CLEANUP(bh_freep) char *pod = pod_text(p);

	if (p->name)
		bh_ocsf_put(e, "container", container(p));
	bh_ocsf_put_text(ours, "pod", pod);
	bh_ocsf_put_text(ours, "namespace", p->ns);
	bh_ocsf_put_text(ours, "image", p->image);
	bh_ocsf_put_text(ours, "imageVerdict", p->verdict);
	if (p->owner)
		bh_ocsf_put(ours, "workload", workload(p));
}

void bh_ocsf_put_rule(json_t *e, json_t *ours, const struct bh_ocsf_rule *r)
{
	BH_CLEANUP(bh_freep)
	char *place = r->file && r->line ? bh_strf("%s:%u", r->file, r->line) : NULL;
	char version[24] = "";

	if (!r->name)
		return;
	bh_ocsf_put_text(ours, "rule", r->name);
	bh_ocsf_put_text(ours, "file", r->file);
	if (r->line)
		bh_ocsf_put(ours, "line", json_integer(r->line));
	if (r->version)
		snprintf(version, sizeof(version), "%016llx", (unsigned long long)r->version);
	bh_ocsf_put(e, "policy",
		    json_pack("{s:o*, s:o*, s:o*, s:o*}", "name", bh_ocsf_text(r->name), "uid",
			      bh_ocsf_text(r->uid), "version",
			      *version ? json_string(version) : NULL, "desc", bh_ocsf_text(place)));
}

void bh_ocsf_put_correlation(json_t *e, const char *uid)
{
	bh_ocsf_put_text(json_object_get(e, "metadata"), "correlation_uid", uid);
}

void bh_ocsf_put_status(json_t *e, bool is_success)
{
	bh_ocsf_put(e, "status_id", json_integer(is_success ? 1 : 2));
	bh_ocsf_put(e, "status", json_string(is_success ? "Success" : "Failure"));
}

void bh_ocsf_put_outcome(json_t *e, enum bh_ocsf_outcome o)
{
	static const struct {
		int action_id, disposition_id;
		const char *action, *disposition;
	} names[] = {
		[BH_OUTCOME_ALLOWED] = {1, 1, "Allowed", "Allowed"},
		[BH_OUTCOME_ALERT] = {3, 19, "Observed", "Alert"},
		[BH_OUTCOME_BLOCKED] = {2, 2, "Denied", "Blocked"},
		[BH_OUTCOME_ISOLATED] = {2, 4, "Denied", "Isolated"},
		[BH_OUTCOME_RESTORED] = {1, 9, "Allowed", "Restored"},
	};

	bh_ocsf_put(e, "action_id", json_integer(names[o].action_id));
	bh_ocsf_put(e, "action", json_string(names[o].action));
	bh_ocsf_put(e, "disposition_id", json_integer(names[o].disposition_id));
	bh_ocsf_put(e, "disposition", json_string(names[o].disposition));
}

static json_t *process(pid_t pid, const char *name, const char *exe, uint32_t uid)
{
	const char *slash = exe ? strrchr(exe, '/') : NULL;
	BH_CLEANUP(bh_freep) char *uid_text = bh_strf("%u", uid);
	json_t *p = json_pack("{s:i}", "pid", (int)pid);

	bh_ocsf_put_text(p, "name", name);
	/* type 1: regular file */
	if (exe && *exe)
		bh_ocsf_put(p, "file",
			    json_pack("{s:o*, s:o*, s:i}", "path", bh_ocsf_text(exe), "name",
				      bh_ocsf_text(slash ? slash + 1 : exe), "type_id", 1));
	bh_ocsf_put(p, "user", json_pack("{s:s}", "uid", uid_text ? uid_text : ""));
	return p;
}

static void put_actor(json_t *e, const struct bh_ocsf_actor *a)
{
	if (a->is_known)
		bh_ocsf_put(e, "actor",
			    json_pack("{s:o*}", "process", process(a->pid, NULL, a->exe, a->uid)));
	else
		bh_ocsf_put(e, "actor", json_pack("{s:s}", "app_name", "bulkheadd"));
}

json_t *bh_ocsf_finish(json_t *take_e, json_t *take_ours, const char *message)
{
	bh_ocsf_put_text(take_e, "message", message);
	bh_ocsf_put(take_e, "unmapped", json_pack("{s:o*}", "bulkhead", take_ours));
	return take_e;
}

/* ---- 4001 ---- */

static const char *reason_name(enum bh_reason r)
{
	static const char *const names[] = {
#define NAME(sym, name, sentence) name,
		BH_REASONS(NAME)
#undef NAME
	};

	return names[r];
}

static json_t *endpoint(const struct bh_ip *ip, int port, const char *name)
{
	char addr[BH_IP_TEXT];
	json_t *e = json_object();

	if (ip)
		bh_ocsf_put_text(e, "ip", bh_ip_format(ip, addr));
	if (port)
		bh_ocsf_put(e, "port", json_integer(port));
	bh_ocsf_put_text(e, "name", name);
	return e;
}

bool bh_ocsf_has_ports(uint8_t proto)
{
	return proto == 6 || proto == 17 || proto == 132;
}

static void put_endpoints(json_t *e, const struct bh_ocsf_edge *x, const char *pod)
{
	const struct bh_edge_event *ev = x->event;
	int port = bh_ocsf_has_ports(ev->proto) ? ev->port : 0;
	bool is_egress = ev->dir == BH_EGRESS;

	/* the port is the responder's in both directions */
	if (x->local || pod)
		bh_ocsf_put(e, is_egress ? "src_endpoint" : "dst_endpoint",
			    endpoint(x->local, is_egress ? 0 : port, pod));
	bh_ocsf_put(e, is_egress ? "dst_endpoint" : "src_endpoint",
		    endpoint(&ev->remote, is_egress ? port : 0, x->peer));
}

json_t *bh_ocsf_connection(bool is_egress, uint8_t proto, const struct bh_ip *remote)
{
	bool is4 = bh_ip_is4(remote);
	char name[8];

	return json_pack(
		"{s:i, s:s, s:i, s:s, s:i, s:s}", "direction_id", is_egress ? 2 : 1, "direction",
		is_egress ? "Outbound" : "Inbound", "protocol_num", proto, "protocol_name",
		bh_proto_format(proto, name), "protocol_ver_id", is4 ? 4 : 6, "protocol_ver",
		is4 ? "Internet Protocol version 4 (IPv4)" : "Internet Protocol version 6 (IPv6)");
}

static void put_verdict(json_t *e, const struct bh_ocsf_edge *x)
{
	bool is_allowed = x->event->verdict == BH_ALLOWED;

	bh_ocsf_put_outcome(e, is_allowed ? BH_OUTCOME_ALLOWED : BH_OUTCOME_BLOCKED);
	bh_ocsf_put_status(e, is_allowed);
	if (x->rule)
		bh_ocsf_put(e, "firewall_rule",
			    json_pack("{s:o*, s:o*}", "name", bh_ocsf_text(x->rule), "desc",
				      bh_ocsf_text(x->place)));
}

/* Whose connection it is. */
static void put_opener(json_t *e, json_t *ours, const struct bh_ocsf_edge *x)
{
	const struct bh_edge_event *ev = x->event;
	const struct bh_ocsf_who *who = &x->who;
	json_t *p;

	if (!ev->pid)
		return;
	p = process((pid_t)ev->pid, ev->comm, ev->path, ev->uid);
	bh_ocsf_put_digest_of(json_object_get(p, "file"), who->sha256);
	bh_ocsf_put_exec_ids(p, who->exec_id, who->parent_exec_id);
	bh_ocsf_put_text(ours, "processProvenance", who->provenance);
	bh_ocsf_put(e, "actor", json_pack("{s:o*}", "process", p));
}

json_t *bh_ocsf_edge(struct bh_ocsf *o, const struct bh_ocsf_edge *x)
{
	const struct bh_edge_event *ev = x->event;
	bool is_allowed = ev->verdict == BH_ALLOWED;
	const struct bh_ocsf_head h = {BH_OCSF_NETWORK, is_allowed ? 1 : 5,
				       is_allowed ? "Open" : "Refuse",
				       is_allowed ? BH_SEV_INFO : BH_SEV_LOW, x->time_ms};
	json_t *e = bh_ocsf_base(o, &h, "security_control");
	json_t *ours = json_pack("{s:s, s:s}", "verdict", is_allowed ? "allowed" : "denied",
				 "reason", reason_name(ev->reason));
	BH_CLEANUP(bh_freep) char *pod = pod_text(&x->pod);
	BH_CLEANUP(bh_freep) char *message = bh_ocsf_say_edge(x, reason_name(ev->reason));

	bh_ocsf_put_pod(e, ours, &x->pod);
	bh_ocsf_put_text(ours, "peer", x->peer);
	bh_ocsf_put_text(ours, "rule", x->rule);
	bh_ocsf_put_text(ours, "place", x->place);
	if (!bh_ocsf_has_ports(ev->proto) && ev->port)
		bh_ocsf_put(ours, "icmpType", json_integer(ev->port));
	put_endpoints(e, x, pod);
	bh_ocsf_put(e, "connection_info",
		    bh_ocsf_connection(ev->dir == BH_EGRESS, ev->proto, &ev->remote));
	put_verdict(e, x);
	bh_ocsf_put(e, "traffic",
		    json_pack("{s:I, s:I}", "packets", (json_int_t)x->packets, "bytes",
			      (json_int_t)x->bytes));
	put_opener(e, ours, x);
	return bh_ocsf_finish(e, ours, message);
}

/* ---- 5002 ---- */

json_t *bh_ocsf_config(struct bh_ocsf *o, const struct bh_ocsf_config *c)
{
	static const struct {
		const char *name;
		enum bh_ocsf_severity severity;
	} kinds[] = {
		[BH_CHANGE_ADDED] = {"added", BH_SEV_INFO},
		[BH_CHANGE_CHANGED] = {"changed", BH_SEV_INFO},
		[BH_CHANGE_REMOVED] = {"removed", BH_SEV_INFO},
		[BH_CHANGE_REFUSED] = {"refused", BH_SEV_MEDIUM},
		[BH_CHANGE_EXPIRING] = {"expiring", BH_SEV_LOW},
		[BH_CHANGE_EXPIRED] = {"expired", BH_SEV_LOW},
		[BH_CHANGE_FAILED] = {"failed", BH_SEV_HIGH},
	};
	const struct bh_ocsf_head h = {BH_OCSF_CONFIG, 1, "Log", kinds[c->change].severity,
				       c->time_ms};
	json_t *e = bh_ocsf_base(o, &h, c->place ? "security_control" : NULL);
	json_t *ours = json_pack("{s:s, s:I}", "change", kinds[c->change].name, "revision",
				 (json_int_t)c->revision);
	BH_CLEANUP(bh_freep)
	char *message = bh_strf("%s %s%s%s", c->object, kinds[c->change].name, c->text ? ": " : "",
				c->text ? c->text : "");

	bh_ocsf_put_status(e, c->change != BH_CHANGE_REFUSED && c->change != BH_CHANGE_FAILED);
	bh_ocsf_put_text(ours, "object", c->object);
	bh_ocsf_put_text(ours, "place", c->place);
	if (c->place)
		bh_ocsf_put(e, "policy",
			    json_pack("{s:o*, s:o*}", "name", bh_ocsf_text(c->object), "desc",
				      bh_ocsf_text(c->place)));
	bh_ocsf_put_text(ours, "text", c->text);
	if (c->pod.name)
		bh_ocsf_put_pod(e, ours, &c->pod);
	put_actor(e, &c->actor);
	return bh_ocsf_finish(e, ours, message);
}

/* ---- 6002 ---- */

json_t *bh_ocsf_lifecycle(struct bh_ocsf *o, const struct bh_ocsf_lifecycle *l)
{
	static const struct {
		int activity_id;
		const char *activity, *name;
		enum bh_ocsf_severity severity;
	} kinds[] = {
		[BH_LIFE_STARTED] = {3, "Start", "started", BH_SEV_INFO},
		[BH_LIFE_STOPPED] = {4, "Stop", "stopped", BH_SEV_INFO},
		[BH_LIFE_REFUSED] = {7, "Disable", "refused", BH_SEV_MEDIUM},
		[BH_LIFE_CHANGED] = {8, "Update", "changed", BH_SEV_INFO},
	};
	const struct bh_ocsf_head h = {BH_OCSF_LIFECYCLE, kinds[l->life].activity_id,
				       kinds[l->life].activity, kinds[l->life].severity,
				       l->time_ms};
	BH_CLEANUP(bh_freep) char *pod = pod_text(&l->pod);
	const char *app = pod ? pod : "bulkheadd";
	BH_CLEANUP(bh_freep)
	char *message = bh_strf("%s %s%s%s", app, kinds[l->life].name, l->text ? ": " : "",
				l->text ? l->text : "");
	json_t *e = bh_ocsf_base(o, &h, NULL);
	json_t *ours = json_pack("{s:s}", "change", kinds[l->life].name);

	bh_ocsf_put_pod(e, ours, &l->pod);
	bh_ocsf_put_status(e, l->life != BH_LIFE_REFUSED);
	bh_ocsf_put_text(ours, "text", l->text);
	if (l->details)
		json_object_update_missing(ours, (json_t *)l->details);
	bh_ocsf_put(e, "app",
		    json_pack("{s:o*, s:s}", "name", bh_ocsf_text(app), "vendor_name",
			      pod ? "Kubernetes" : PRODUCT));
	return bh_ocsf_finish(e, ours, message);
}

/* ---- 7004 ---- */

json_t *bh_ocsf_quarantine(struct bh_ocsf *o, const struct bh_ocsf_quarantine *q)
{
	const struct bh_ocsf_head h = {BH_OCSF_REMEDIATION, q->is_release ? 3 : 1,
				       q->is_release ? "Restore" : "Isolate", BH_SEV_HIGH,
				       q->time_ms};
	BH_CLEANUP(bh_freep) char *pod = pod_text(&q->pod);
	BH_CLEANUP(bh_freep)
	char *message = bh_strf("%s %s: %s", pod ? pod : "pod",
				q->is_release ? "released" : "quarantined", q->reason);
	json_t *e = bh_ocsf_base(o, &h, "security_control");
	json_t *ours = json_pack("{s:s}", "change", q->is_release ? "released" : "quarantined");
	json_t *uid = json_incref(json_object_get(json_object_get(e, "metadata"), "uid"));

	bh_ocsf_put_pod(e, ours, &q->pod);
	bh_ocsf_put_text(ours, "reason", q->reason);
	if (q->receipt)
		bh_ocsf_put(ours, "receipt", json_deep_copy(q->receipt));
	bh_ocsf_put(e, "command_uid", uid);
	/* every connection of the pod, in and out */
	bh_ocsf_put(
		e, "connection_info",
		json_pack("{s:i, s:s}", "direction_id", 99, "direction", "Inbound and outbound"));
	bh_ocsf_put(e, "countermeasures",
		    json_pack("[{s:s, s:{s:s, s:s}}]", "version", "1.0.0", "d3f_technique", "uid",
			      "D3-NI", "name", "Network Isolation"));
	bh_ocsf_put_outcome(e, q->is_release ? BH_OUTCOME_RESTORED : BH_OUTCOME_ISOLATED);
	bh_ocsf_put_status(e, !q->failure);
	if (q->failure && !q->is_release) { /* it is cut off, but something else failed */
		bh_ocsf_put(e, "status_id", json_integer(4));
		bh_ocsf_put(e, "status", json_string("Partial"));
	}
	bh_ocsf_put_text(e, "status_detail", q->failure);
	bh_ocsf_put_rule(e, ours, &q->rule);
	bh_ocsf_put_correlation(e, q->correlation);
	put_actor(e, &q->actor);
	return bh_ocsf_finish(e, ours, message);
}

/* ---- choosing ---- */

static bool is_about(const json_t *event, const char *pod)
{
	const json_t *ours = json_object_get(json_object_get(event, "unmapped"), "bulkhead");
	const char *own = json_string_value(json_object_get(ours, "pod"));
	const char *peer = json_string_value(json_object_get(ours, "peer"));

	return (own && !strcmp(own, pod)) || (peer && !strcmp(peer, pod));
}

bool bh_ocsf_is_class(int64_t wanted, int64_t class_uid)
{
	return wanted == class_uid || (wanted == BH_OCSF_FINDINGS && class_uid / 1000 == wanted);
}

bool bh_event_matches(const struct bh_event_filter *f, const json_t *event)
{
	int64_t class_uid = json_integer_value(json_object_get(event, "class_uid"));

	if (f->class_uid && !bh_ocsf_is_class(f->class_uid, class_uid))
		return false;
	if (f->since_ms != INT64_MIN &&
	    json_integer_value(json_object_get(event, "time")) < f->since_ms)
		return false;
	return !f->pod || is_about(event, f->pod);
}

int bh_ocsf_class_parse(const char *name, int *ret_class_uid, struct bh_err *err)
{
	BH_CLEANUP(bh_str_done) struct bh_str known = {0};

	for (size_t i = 0; i < BH_ARRAY_SIZE(classes); i++) {
		char number[12];

		snprintf(number, sizeof(number), "%d", classes[i].uid);
		if (!strcasecmp(name, classes[i].name) || !strcasecmp(name, classes[i].key) ||
		    !strcasecmp(name, classes[i].word) || !strcmp(name, number)) {
			*ret_class_uid = classes[i].uid;
			return 0;
		}
	}
	for (size_t i = 0; i < BH_ARRAY_SIZE(classes); i++)
		bh_str_fmt(&known, "%s%s", i ? ", " : "", classes[i].key);
	return bh_fail(err, EINVAL, "there is no event class '%s', but %s", name,
		       bh_str_text(&known));
}
