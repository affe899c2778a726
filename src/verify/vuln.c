#include <string.h>
#include <strings.h>

#include "verify/predicate.h"
#include "verify/rfc3339.h"

#define DAY_S 86400

/* One thing a scanner found; borrowed from its report. */
struct finding {
	const char *id; /* NULL when it has none: no exception can name it */
	enum bh_severity severity;
	bool is_fixed;
};

struct scan {
	const struct bh_image_attestation *p;
	int64_t now_s;
	struct bh_predicate_facts *facts;
};

static int malformed(struct bh_flaw *flaw, const char *what)
{
	return bh_flaw(flaw, BH_WORD_ATT_MALFORMED, "vulnerability report: %s", what);
}

/* No severity, or one nobody knows, counts as the worst. */
static enum bh_severity severity_of(const json_t *obj, const char *key)
{
	static const struct {
		const char *text;
		enum bh_severity severity;
	} names[] = {
		{"UNKNOWN", BH_SEVERITY_UNKNOWN}, {"NEGLIGIBLE", BH_SEVERITY_LOW},
		{"LOW", BH_SEVERITY_LOW},	  {"MEDIUM", BH_SEVERITY_MEDIUM},
		{"HIGH", BH_SEVERITY_HIGH},	  {"CRITICAL", BH_SEVERITY_CRITICAL},
	};
	const char *text = bh_vjson_str(obj, key);

	for (size_t i = 0; text && i < BH_ARRAY_SIZE(names); i++)
		if (!strcasecmp(text, names[i].text))
			return names[i].severity;
	return BH_SEVERITY_CRITICAL;
}

static bool is_excepted(const struct scan *s, const char *id)
{
	bh_vec_each (e, &s->p->exceptions) {
		if (!id || strcasecmp(id, e->id) != 0 || s->now_s >= e->until_s)
			continue;
		if (e->until_s < s->facts->until_s)
			s->facts->until_s = e->until_s;
		return true;
	}
	return false;
}

static int judge_finding(const struct scan *s, const struct finding *f, struct bh_flaw *flaw)
{
	if (s->p->fail_on == BH_SEVERITY_NONE || f->severity < s->p->fail_on ||
	    (s->p->ignore_unfixed && !f->is_fixed) || is_excepted(s, f->id))
		return 0;
	return bh_flaw(flaw, BH_WORD_VULN_THRESHOLD, "%s is too severe",
		       f->id ? f->id : "a finding");
}

static int judge_trivy_target(const struct scan *s, const json_t *target, struct bh_flaw *flaw)
{
	const json_t *list = json_object_get(target, "Vulnerabilities");
	size_t i;
	json_t *j;

	if (!json_is_object(target))
		return malformed(flaw, "a target that is no object");
	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list))
		return malformed(flaw, "Vulnerabilities is no list");
	json_array_foreach(list, i, j)
	{
		const char *fixed = bh_vjson_str(j, "FixedVersion");
		struct finding f = {
			.id = bh_vjson_str(j, "VulnerabilityID"),
			.severity = severity_of(j, "Severity"),
			.is_fixed = fixed && *fixed,
		};
		int r = judge_finding(s, &f, flaw);

		if (r)
			return r;
	}
	return 0;
}

static int judge_trivy(const struct scan *s, const json_t *results, struct bh_flaw *flaw)
{
	size_t i;
	json_t *j;

	json_array_foreach(results, i, j)
	{
		int r = judge_trivy_target(s, j, flaw);

		if (r)
			return r;
	}
	return 0;
}

static int judge_grype(const struct scan *s, const json_t *matches, struct bh_flaw *flaw)
{
	size_t i;
	json_t *j;

	json_array_foreach(matches, i, j)
	{
		const json_t *v = bh_vjson_obj(j, "vulnerability");
		struct finding f = {
			.id = bh_vjson_str(v, "id"),
			.severity = severity_of(v, "severity"),
			.is_fixed = bh_vjson_is(bh_vjson_obj(v, "fix"), "state", "fixed"),
		};
		int r = judge_finding(s, &f, flaw);

		if (r)
			return r;
	}
	return 0;
}

/* Trivy says Results, Grype says matches. Neither is "nothing was looked at", not "all is well". */
static int judge_report(const struct scan *s, const json_t *report, struct bh_flaw *flaw)
{
	const json_t *results = bh_vjson_arr(report, "Results");
	const json_t *matches = bh_vjson_arr(report, "matches");

	if (!json_is_object(report))
		return malformed(flaw, "scanner.result is no object");
	if (!results == !matches)
		return malformed(flaw, "it is neither Trivy's nor Grype's");
	return results ? judge_trivy(s, results, flaw) : judge_grype(s, matches, flaw);
}

static int check_age(const json_t *predicate, struct scan *s, struct bh_flaw *flaw)
{
	const char *text = bh_vjson_str(bh_vjson_obj(predicate, "metadata"), "scanFinishedOn");
	int64_t age_s = (int64_t)s->p->max_age_days * DAY_S;
	bool has_time = text && !bh_rfc3339_parse(text, &s->facts->made_s);

	if (has_time && s->facts->made_s > s->now_s + BH_REPORT_SKEW_S) {
		s->facts->made_s = BH_TIME_MIN; /* so it is not newer than those of the past */
		return bh_flaw(flaw, BH_WORD_ATT_STALE, "the report is from the future");
	}
	if (!s->p->max_age_days)
		return 0;
	if (!has_time)
		return bh_flaw(flaw, BH_WORD_ATT_STALE, "the report does not say when it was made");
	if (s->now_s - s->facts->made_s > age_s)
		return bh_flaw(flaw, BH_WORD_ATT_STALE, "the report is of %s, older than %u days",
			       text, s->p->max_age_days);
	s->facts->until_s = s->facts->made_s + age_s;
	return 0;
}

int bh_vuln_check(const json_t *predicate, const struct bh_image_attestation *p, int64_t now_s,
		  struct bh_predicate_facts *ret, struct bh_flaw *flaw)
{
	const json_t *scanner = bh_vjson_obj(predicate, "scanner");
	struct scan s = {.p = p, .now_s = now_s, .facts = ret};
	int r = check_age(predicate, &s, flaw);

	return r ? r : judge_report(&s, json_object_get(scanner, "result"), flaw);
}
