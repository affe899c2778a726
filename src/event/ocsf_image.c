#include "event/ocsf_image.h"

#include <string.h>

#include "base/str.h"
#include "event/ocsf_parts.h"

static const char *text_of(const struct bh_ocsf_image *i, const char *key)
{
	const char *s = json_string_value(json_object_get(i->answer, key));

	return s ? s : "";
}

static json_t *details(const struct bh_ocsf_image *i)
{
	static const char *const keys[] = {"digest", "verdict", "reason", "policy", "signer"};
	json_t *j = json_object(), *checks = json_deep_copy(json_object_get(i->answer, "checks"));

	for (size_t k = 0; k < BH_ARRAY_SIZE(keys); k++)
		bh_ocsf_put_text(j, keys[k], text_of(i, keys[k]));
	bh_ocsf_put_text(j, "image", i->reference);
	bh_ocsf_put_text(j, "mode", i->mode);
	if (checks)
		bh_ocsf_put(j, "checks", checks);
	return j;
}

static bool is_accept(const struct bh_ocsf_image *i)
{
	return !strcmp(text_of(i, "verdict"), "accept");
}

static char *sentence(const struct bh_ocsf_image *i)
{
	const char *policy = text_of(i, "policy"), *reason = text_of(i, "reason");
	BH_CLEANUP(bh_freep)
	char *who = i->pod.name ? bh_strf("pod '%s/%s'", i->pod.ns, i->pod.name) : bh_strf("pull");

	return bh_strf("%s: image '%s' (%s): %s%s%s by '%s', signer '%s'", who ? who : "",
		       i->reference, text_of(i, "digest"), text_of(i, "verdict"),
		       *reason ? " " : "", reason, policy, text_of(i, "signer"));
}

char *bh_ocsf_image_uid(const char *ns, const char *pod, const char *reference, const char *digest)
{
	return bh_strf("%s/%s/%s/%s", ns ? ns : "", pod ? pod : "", reference, digest);
}

/* Whose image, by which policy, and what follows as far as it does from the verdict alone. */
static void put_judgement(json_t *e, json_t *ours, const struct bh_ocsf_image *i)
{
	BH_CLEANUP(bh_freep)
	char *uid = bh_ocsf_image_uid(i->pod.ns, i->pod.name, i->reference, text_of(i, "digest"));
	bool is_audit = !strcmp(i->mode, "audit");

	bh_ocsf_put_pod(e, ours, &i->pod);
	bh_ocsf_put_rule(e, ours, &i->rule);
	bh_ocsf_put_correlation(e, uid);
	bh_ocsf_put_outcome(e, is_accept(i) ? BH_OUTCOME_ALLOWED
			       : is_audit   ? BH_OUTCOME_ALERT
					    : BH_OUTCOME_BLOCKED);
}

json_t *bh_ocsf_image_verdict(struct bh_ocsf *o, const struct bh_ocsf_image *i)
{
	const struct bh_ocsf_head h = {BH_OCSF_CONFIG, 1, "Log",
				       is_accept(i) ? BH_SEV_INFO : BH_SEV_MEDIUM, i->time_ms};
	BH_CLEANUP(bh_freep) char *text = sentence(i);
	json_t *e = bh_ocsf_base(o, &h, "security_control");
	json_t *ours = details(i);

	bh_ocsf_put_text(ours, "object", "image verdict");
	bh_ocsf_put_text(ours, "change", is_accept(i) ? "added" : "refused");
	bh_ocsf_put(e, "actor", json_pack("{s:s}", "app_name", "bulkheadd"));
	put_judgement(e, ours, i);
	bh_ocsf_put_status(e, is_accept(i));
	return bh_ocsf_finish(e, ours, text);
}

json_t *bh_ocsf_image_finding(struct bh_ocsf *o, const struct bh_ocsf_image *i)
{
	bool is_reject = !strcmp(text_of(i, "verdict"), "reject");
	const struct bh_ocsf_head h = {BH_OCSF_COMPLIANCE, 1, "Create",
				       is_reject ? BH_SEV_HIGH : BH_SEV_MEDIUM, i->time_ms};
	BH_CLEANUP(bh_freep) char *text = sentence(i);
	BH_CLEANUP(bh_freep)
	char *uid = bh_ocsf_image_uid(i->pod.ns, i->pod.name, i->reference, text_of(i, "digest"));
	BH_CLEANUP(bh_freep) char *standard = bh_strf("ImagePolicy %s", text_of(i, "policy"));
	json_t *e = bh_ocsf_base(o, &h, "security_control");
	json_t *ours = details(i);

	put_judgement(e, ours, i);
	bh_ocsf_put(e, "is_alert", json_true());
	bh_ocsf_put(e, "finding_info",
		    json_pack("{s:o*, s:s, s:o*, s:{s:s, s:i, s:s}}", "uid", bh_ocsf_text(uid),
			      "title",
			      is_reject ? "an image that a policy rejects"
					: "an image that could not be judged",
			      "desc", bh_ocsf_text(text), "analytic", "name", "image", "type_id", 1,
			      "type", "Rule"));
	bh_ocsf_put(e, "status_id", json_integer(1));
	bh_ocsf_put(e, "status", json_string("New"));
	bh_ocsf_put(e, "compliance",
		    json_pack("{s:[o*], s:s, s:i, s:s, s:o*}", "standards", bh_ocsf_text(standard),
			      "control", "image", "status_id", is_reject ? 3 : 2, "status",
			      is_reject ? "Fail" : "Warning", "status_detail",
			      bh_ocsf_text(text_of(i, "reason"))));
	return bh_ocsf_finish(e, ours, text);
}
