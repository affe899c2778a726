#include "daemon/quarantine.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "daemon/isolate.h"

void bh_quarantine_free(void *p)
{
	struct bh_quarantine *rec = p;

	if (!rec)
		return;
	free(rec->ns);
	free(rec->name);
	free(rec->reason);
	free(rec->by);
	free(rec->correlation);
	json_decref(rec->rule);
	free(rec->cgroup);
	json_decref(rec->allow_text);
	free(rec);
}

void bh_quarantine_freep(struct bh_quarantine **rec)
{
	bh_quarantine_free(*rec);
	*rec = NULL;
}

int bh_quarantine_set_allow(struct bh_quarantine *rec, const json_t *allow, struct bh_err *err)
{
	size_t n = json_array_size(allow);

	if (n > BH_QUARANTINE_ALLOW)
		return bh_fail(err, E2BIG, "%zu allow entries; at most %d fit", n,
			       BH_QUARANTINE_ALLOW);
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(allow, i));
		int r;

		if (!text)
			return bh_fail(err, EINVAL, "allow[%zu]: expected a string", i);
		r = bh_qallow_parse(text, &rec->allow[i], err);
		if (r < 0)
			return bh_note(err, r, "allow '%s'", text);
	}
	rec->n_allow = n;
	rec->allow_text = allow ? json_deep_copy(allow) : json_array();
	return rec->allow_text ? 0 : bh_fail(err, ENOMEM, "allow");
}

json_t *bh_quarantine_rule_json(const struct bh_ocsf_rule *r)
{
	return r && r->name ? json_pack("{ss ss? ss? sI sI}", "name", r->name, "uid", r->uid,
					"file", r->file, "line", (json_int_t)r->line, "version",
					(json_int_t)r->version)
			    : NULL;
}

struct bh_ocsf_rule bh_quarantine_rule(const json_t *rule)
{
	return (struct bh_ocsf_rule){
		.name = json_string_value(json_object_get(rule, "name")),
		.uid = json_string_value(json_object_get(rule, "uid")),
		.file = json_string_value(json_object_get(rule, "file")),
		.line = (unsigned)json_integer_value(json_object_get(rule, "line")),
		.version = (uint64_t)json_integer_value(json_object_get(rule, "version")),
	};
}

/* As stored; times stay numbers so that nothing is lost. */
int bh_quarantine_save(const struct bh_quarantine *rec, struct bh_store *store, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *key = bh_strf("%s/%s", rec->ns, rec->name);
	BH_CLEANUP(bh_freep) char *text = NULL;
	BH_CLEANUP(bh_json_decrefp)
	json_t *j = json_pack("{ss ss ss ss ss sO? sI sI sO sb sb sb sb sb ss? sI}", "namespace",
			      rec->ns, "name", rec->name, "reason", rec->reason, "by", rec->by,
			      "correlation", rec->correlation, "rule", rec->rule, "since",
			      (json_int_t)rec->since_s, "expires", (json_int_t)rec->expires_s,
			      "allow", rec->allow_text, "frozen", rec->is_frozen, "thaw",
			      rec->must_thaw, "killing", rec->is_killing, "freezing",
			      rec->is_freezing, "doubt", rec->is_doubt, "cgroup", rec->cgroup,
			      "cgroupId", (json_int_t)rec->cgroup_id);

	if (j)
		text = json_dumps(j, JSON_COMPACT);
	if (!key || !text)
		return bh_fail(err, ENOMEM, "quarantine record");
	return bh_store_put(store, "quarantine", key, text, err);
}

/* Absent in what an older version wrote; then whoever is frozen must be thawed. */
static int load_facts(struct bh_quarantine *rec, const json_t *j, struct bh_err *err)
{
	int r = bh_json_get_bool(j, "frozen", false, &rec->is_frozen, err);

	rec->must_thaw = rec->is_frozen;
	if (!r)
		r = bh_json_get_bool(j, "thaw", false, &rec->must_thaw, err);
	if (!r)
		r = bh_json_get_bool(j, "killing", false, &rec->is_killing, err);
	if (!r)
		r = bh_json_get_bool(j, "freezing", false, &rec->is_freezing, err);
	return r ? r : bh_json_get_bool(j, "doubt", false, &rec->is_doubt, err);
}

static int load_texts(struct bh_quarantine *rec, const json_t *j, struct bh_err *err)
{
	const struct {
		const char *key, *otherwise;
		char **ret;
	} f[] = {
		{"namespace", NULL, &rec->ns},		{"name", NULL, &rec->name},
		{"reason", "", &rec->reason},		{"by", "", &rec->by},
		{"correlation", "", &rec->correlation},
	};
	const char *cgroup = json_string_value(json_object_get(j, "cgroup"));
	json_t *rule = json_object_get(j, "rule");

	for (size_t i = 0; i < BH_ARRAY_SIZE(f); i++) {
		const char *text = f[i].otherwise;
		int r = bh_json_get_str(j, f[i].key, !text, &text, err);

		if (r < 0)
			return r;
		*f[i].ret = bh_strf("%s", text);
		if (!*f[i].ret)
			return bh_fail(err, ENOMEM, "quarantine");
	}
	rec->rule = json_is_object(rule) ? json_incref(rule) : NULL;
	rec->cgroup = cgroup ? bh_strf("%s", cgroup) : NULL;
	return cgroup && !rec->cgroup ? bh_fail(err, ENOMEM, "quarantine") : 0;
}

int bh_quarantine_load(const char *json, struct bh_quarantine **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
	BH_CLEANUP(bh_quarantine_freep) struct bh_quarantine *rec = calloc(1, sizeof(*rec));
	json_t *allow = NULL;
	int64_t id = 0;
	int r = rec ? bh_json_parse(json, strlen(json), 1 << 20, &j, err)
		    : bh_fail(err, ENOMEM, "quarantine");

	if (!r)
		r = load_texts(rec, j, err);
	if (!r)
		r = bh_json_get_int(j, "since", true, 0, INT64_MAX, &rec->since_s, err);
	if (!r)
		r = bh_json_get_int(j, "expires", true, 0, INT64_MAX, &rec->expires_s, err);
	if (!r)
		r = load_facts(rec, j, err);
	if (!r)
		r = bh_json_get_int(j, "cgroupId", false, INT64_MIN, INT64_MAX, &id, err);
	if (!r)
		r = bh_json_get_arr(j, "allow", false, &allow, err);
	if (!r)
		r = bh_quarantine_set_allow(rec, allow, err);
	if (r < 0)
		return r;
	rec->cgroup_id = rec->cgroup ? (uint64_t)id : 0;
	*ret = BH_TAKE(rec);
	return 0;
}
