#include "daemon/verbs.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "daemon/admit.h"
#include "daemon/daemon.h"
#include "daemon/isolate.h"
#include "daemon/journal.h"
#include "daemon/runtime.h"

#define MAX_TTL_S  (10ll * 365 * 86400)
#define MAX_REASON 1024

void bh_verb_answer(struct bh_request *rq, int r, json_t *take_result, struct bh_err *err)
{
	if (!r && !take_result)
		r = bh_fail(err, ENOMEM, "no memory for the answer");
	if (r < 0) {
		json_decref(take_result);
		bh_request_fail(rq, err, false);
		return;
	}
	bh_request_reply(rq, take_result);
}

int bh_pod_text_parse(const char *text, struct bh_pod_ref_text *ret, struct bh_err *err)
{
	char *slash;

	if (snprintf(ret->buf, sizeof(ret->buf), "%s", text) >= (int)sizeof(ret->buf))
		return bh_fail(err, EINVAL, "the pod's name is too long");
	slash = strchr(ret->buf, '/');
	if (!slash || slash == ret->buf || !slash[1] || strchr(slash + 1, '/'))
		return bh_fail(err, EINVAL, "'%s' is not NAMESPACE/POD", text);
	*slash = '\0';
	ret->ns = ret->buf;
	ret->name = slash + 1;
	return 0;
}

static int read_reason(const json_t *args, const char **ret, struct bh_err *err)
{
	int r = bh_json_get_str(args, "reason", true, ret, err);

	if (r < 0)
		return r;
	if (!**ret)
		return bh_fail(err, EINVAL, "'reason' is empty: say why");
	if (strlen(*ret) > MAX_REASON)
		return bh_fail(err, EINVAL, "'reason' is longer than %d bytes", MAX_REASON);
	return 0;
}

static int read_quarantine(const json_t *args, struct bh_pod_ref_text *pod,
			   struct bh_isolate_request *ret, struct bh_err *err)
{
	const char *text = NULL;
	json_t *allow = NULL;
	int r = bh_json_get_str(args, "pod", true, &text, err);

	if (!r)
		r = bh_pod_text_parse(text, pod, err);
	if (!r)
		r = read_reason(args, &ret->reason, err);
	if (!r && !json_is_null(json_object_get(args, "ttlSeconds")))
		r = bh_json_get_int(args, "ttlSeconds", false, 1, MAX_TTL_S, &ret->ttl_s, err);
	if (!r && !json_is_null(json_object_get(args, "allow")))
		r = bh_json_get_arr(args, "allow", false, &allow, err);
	if (!r)
		r = bh_json_get_bool(args, "kill", false, &ret->kill, err);
	if (!r)
		r = bh_json_get_bool(args, "freeze", false, &ret->freeze, err);
	if (!r && !json_is_null(json_object_get(args, "evidence")))
		r = bh_json_get_str(args, "evidence", false, &ret->evidence, err);
	if (r < 0)
		return r;
	if (ret->kill && ret->freeze)
		return bh_fail(err, EINVAL, "kill and freeze exclude each other");
	ret->allow = allow;
	ret->ns = pod->ns;
	ret->name = pod->name;
	return 0;
}

static void on_isolated(int r, json_t *take_receipt, struct bh_err *err, void *arg)
{
	bh_verb_answer(arg, r, take_receipt, err);
}

/* It is answered once the processes have ended or stopped, or the time for it is over. Who hangs up
 * meanwhile stops nothing. */
static void verb_quarantine(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	struct bh_isolate_request iso = {0};
	struct bh_pod_ref_text pod;
	struct bh_err err = {0};
	int r = read_quarantine(args, &pod, &iso, &err);

	if (!r)
		r = bh_isolate(d->isolation, &iso, bh_request_caller(rq), on_isolated, rq, &err);
	if (r < 0)
		bh_request_fail(rq, &err, false);
}

static void verb_quarantine_list(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	(void)args;
	bh_request_reply(rq, json_pack("{so}", "quarantines", bh_isolation_list(d->isolation)));
}

static void verb_release(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	const char *text = NULL, *reason = NULL;
	struct bh_pod_ref_text pod;
	struct bh_err err = {0};
	json_t *receipt = NULL;
	int r = bh_json_get_str(args, "pod", true, &text, &err);

	if (!r)
		r = bh_pod_text_parse(text, &pod, &err);
	if (!r)
		r = read_reason(args, &reason, &err);
	if (!r)
		r = bh_isolation_release(d->isolation, pod.ns, pod.name, reason,
					 bh_request_caller(rq), &receipt, &err);
	bh_verb_answer(rq, r, receipt, &err);
}

static void verb_events(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	bh_journal_stream(d->journal, rq, args);
}

static void verb_events_verify(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	(void)args;
	bh_journal_verify(d->journal, rq);
}

enum permission {
	ANYONE, /* who may connect */
	ROOT,	/* uid 0, and logged */
};

static const struct verb {
	const char *name;
	enum permission permission;
	bh_verb_fn *fn;
} verbs[] = {
	{"cni.add", ROOT, bh_admit_add},
	{"cni.open", ROOT, bh_admit_open},
	{"cni.del", ROOT, bh_admit_del},
	{"cni.check", ROOT, bh_admit_check},
	{"cni.gc", ROOT, bh_admit_gc},
	{"cni.status", ANYONE, bh_admit_status},
	{"status", ANYONE, bh_verb_status},
	{"sync", ANYONE, bh_verb_sync},
	{"pods", ANYONE, bh_verb_pods},
	{"flows", ANYONE, bh_verb_flows},
	{"top", ANYONE, bh_verb_top},
	{"events", ANYONE, verb_events},
	{"events.verify", ANYONE, verb_events_verify},
	{"policy.matrix", ANYONE, bh_verb_matrix},
	{"policy.explain", ANYONE, bh_verb_explain},
	{"policy.verify", ANYONE, bh_verb_verify},
	{"policy.exceptions", ANYONE, bh_verb_exceptions},
	{"policy.world", ANYONE, bh_verb_world},
	{"policy.suggest", ANYONE, bh_verb_suggest},
	{"runtime", ANYONE, bh_verb_runtime},
	{"baseline.list", ANYONE, bh_verb_baseline_list},
	{"baseline.get", ANYONE, bh_verb_baseline_get},
	{"baseline.make", ANYONE, bh_verb_baseline_make},
	{"baseline.import", ROOT, bh_verb_baseline_import},
	{"baseline.reset", ROOT, bh_verb_baseline_reset},
	{"image.judge", ROOT, bh_verb_image_judge},
	{"quarantine", ROOT, verb_quarantine},
	{"quarantine.list", ANYONE, verb_quarantine_list},
	{"release", ROOT, verb_release},
};

void bh_verbs_handle(struct bh_request *rq, const char *name, const json_t *args, void *arg)
{
	const struct bh_caller *by = bh_request_caller(rq);
	struct bh_err err = {0};

	for (size_t i = 0; i < BH_ARRAY_SIZE(verbs); i++) {
		if (strcmp(verbs[i].name, name))
			continue;
		if (verbs[i].permission == ROOT && by->uid) {
			bh_warn("refused: verb=%s uid=%u pid=%d", name, (unsigned)by->uid,
				(int)by->pid);
			bh_fail(&err, EPERM, "'%s' needs uid 0", name);
			bh_request_fail(rq, &err, false);
			return;
		}
		verbs[i].fn(arg, rq, args);
		return;
	}
	bh_fail(&err, ENOTSUP, "there is no verb '%.64s'", name);
	bh_request_fail(rq, &err, false);
}
