#include "verify/predicate.h"

#include <string.h>

static int check_builder(const json_t *builder, const char *want, struct bh_flaw *flaw)
{
	const char *id = bh_vjson_str(builder, "id");

	if (!want)
		return 0;
	if (!id)
		return bh_flaw(flaw, BH_WORD_BUILDER_MISMATCH, "the provenance names no builder");
	if (strcmp(id, want) != 0)
		return bh_flaw(flaw, BH_WORD_BUILDER_MISMATCH, "it was built by '%s'", id);
	return 0;
}

int bh_predicate_check(const json_t *predicate, const struct bh_attestation_rule *rule,
		       int64_t now_s, struct bh_predicate_facts *ret, struct bh_flaw *flaw)
{
	const json_t *builder = bh_vjson_obj(predicate, "builder");

	*ret = (struct bh_predicate_facts){BH_TIME_MIN, BH_TIME_MAX};
	if (!predicate || json_is_null(predicate))
		return bh_flaw(flaw, BH_WORD_ATT_MALFORMED, "there is no predicate");
	switch (rule->kind) {
	case BH_PREDICATE_VULN:
		return bh_vuln_check(predicate, rule->p, now_s, ret, flaw);
	case BH_PREDICATE_SLSA1:
		builder = bh_vjson_obj(bh_vjson_obj(predicate, "runDetails"), "builder");
		return check_builder(builder, rule->p->builder_id, flaw);
	case BH_PREDICATE_SLSA02:
		return check_builder(builder, rule->p->builder_id, flaw);
	case BH_PREDICATE_OTHER:
		break;
	}
	return 0;
}
