/* Assertions about who reaches whom: `bulkhead policy test`. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "refeval/report_json.h"

struct assertion {
	const char *from, *to, *port, *expect, *exe;
	uint16_t number;
	uint8_t proto;
};

static int read_assertion(const json_t *j, struct assertion *ret, struct bh_err *err)
{
	struct assertion a = {0};
	int r;

	if (!json_is_object(j))
		return bh_fail(err, EINVAL, "expected an object with from, to, port and expect");
	r = bh_json_get_str(j, "from", true, &a.from, err);
	if (!r)
		r = bh_json_get_str(j, "to", true, &a.to, err);
	if (!r)
		r = bh_json_get_str(j, "port", true, &a.port, err);
	if (!r)
		r = bh_json_get_str(j, "expect", true, &a.expect, err);
	if (!r)
		r = bh_json_get_str(j, "process", false, &a.exe, err);
	if (!r)
		r = bh_port_proto_parse(a.port, &a.number, &a.proto, err);
	if (r)
		return r;
	if (strcmp(a.expect, "allowed") != 0 && strcmp(a.expect, "denied") != 0)
		return bh_fail(err, EINVAL, "'expect': '%.64s' is neither allowed nor denied",
			       a.expect);
	*ret = a;
	return 0;
}

/* The rule that settled it: of the side that denies, or else of the side that says more than
 * "default". */
static char *deciding_rule(const struct bh_cell *c)
{
	if (c->egress.verdict == BH_DENIED ||
	    (c->ingress.verdict == BH_ALLOWED && !c->ingress.rule))
		return bh_report_rule(&c->egress, BH_EGRESS);
	return bh_report_rule(&c->ingress, BH_INGRESS);
}

/* Adds "verdict", "rule" and "ok" to a copy of the assertion, or "error" and "ok": false when an
 * end of it does not exist: a test that names a pod nobody has must not pass. */
static int run_assertion(const struct bh_world *w, const struct assertion *a, json_t *result,
			 bool *ret_ok)
{
	BH_CLEANUP(bh_party_done) struct bh_party from = {0};
	BH_CLEANUP(bh_party_done) struct bh_party to = {0};
	BH_CLEANUP(bh_freep) char *rule = NULL;
	struct bh_answer answer;
	struct bh_err err = {0};
	bool failed = false;
	const char *verdict;

	*ret_ok = false;
	if (bh_party_parse(w, a->from, &from, &err) || bh_party_parse(w, a->to, &to, &err)) {
		bh_report_put(result, "error", json_string(err.text), &failed);
		bh_report_put(result, "ok", json_false(), &failed);
		return failed || err.code == -ENOMEM ? -ENOMEM : 0;
	}
	answer = bh_party_ask(&(struct bh_query){.w = w,
						 .from = &from,
						 .to = &to,
						 .proto = a->proto,
						 .port = a->number,
						 .exe = a->exe});
	verdict = bh_report_verdict(answer.cell.verdict);
	rule = deciding_rule(&answer.cell);
	*ret_ok = strcmp(verdict, a->expect) == 0;
	bh_report_put(result, "verdict", json_string(verdict), &failed);
	bh_report_put(result, "rule", rule ? json_string(rule) : NULL, &failed);
	bh_report_put(result, "ok", json_boolean(*ret_ok), &failed);
	return failed ? -ENOMEM : 0;
}

static int test_all(const struct bh_world *w, const json_t *assertions, json_t *results,
		    struct bh_err *err)
{
	json_int_t n_passed = 0;
	const json_t *j;
	size_t i;

	json_array_foreach(assertions, i, j)
	{
		json_t *result = json_copy((json_t *)j); /* jansson's own copy takes no const */
		struct assertion a;
		bool is_ok;
		int r;

		if (json_array_append_new(results, result))
			return bh_fail(err, ENOMEM, "no memory for the results");
		r = read_assertion(j, &a, err);
		if (r)
			return bh_note(err, r, "assertion %zu", i + 1);
		if (run_assertion(w, &a, result, &is_ok))
			return bh_fail(err, ENOMEM, "no memory for the results");
		n_passed += is_ok;
	}
	return (int)n_passed;
}

int bh_report_test(const struct bh_world *w, const json_t *assertions, json_t **ret,
		   struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *out = NULL;
	BH_CLEANUP(bh_json_decrefp) json_t *results = json_array();
	int passed;

	if (!json_is_array(assertions))
		return bh_fail(err, EINVAL, "assertions: expected a list");
	passed = test_all(w, assertions, results, err);
	if (passed < 0)
		return passed;
	out = json_pack("{s:i, s:i, s:O}", "passed", passed, "failed",
			(int)json_array_size(results) - passed, "results", results);
	if (!out)
		return bh_fail(err, ENOMEM, "no memory for the results");
	*ret = BH_TAKE(out);
	return 0;
}
