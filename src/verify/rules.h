/* rules.h - the inside of struct bh_image_rules: a policy with its keys, roots and expressions
 * parsed. Private to this folder. */
#pragma once

#include <regex.h>

#include "verify/trust.h"
#include "verify/verify.h"

#define BH_MAX_KEYS  64

/* Text that must be equal, or an expression that must match all of it. */
struct bh_pattern {
	const char *text; /* borrowed from the policy; NULL with an expression */
	regex_t regex;
	bool has_regex;
};

bool bh_pattern_matches(const struct bh_pattern *p, const char *text);

struct bh_identity_rule {
	struct bh_pattern issuer, subject;
	const struct bh_image_identity *p;
};

struct bh_signer_rule {
	const struct bh_image_signer *p;
	BH_VEC(struct bh_key) keys; /* same order as p->keys */
	BH_VEC(struct bh_ca) roots;
	BH_VEC(struct bh_identity_rule) identities;
	const struct bh_trust **trusts; /* the named trust root, or all */
	size_t n_trusts;
};
BH_VEC_TYPE(bh_signer_rules, struct bh_signer_rule);

/* What an attestation of this type is looked at for. */
enum bh_predicate_kind {
	BH_PREDICATE_OTHER,
	BH_PREDICATE_SLSA02,
	BH_PREDICATE_SLSA1,
	BH_PREDICATE_VULN,
};

struct bh_attestation_rule {
	const struct bh_image_attestation *p;
	const char *type; /* the full URI */
	enum bh_predicate_kind kind;
	struct bh_signer_rules signers;
};

struct bh_image_rules {
	const struct bh_image_policy *p;
	BH_VEC(struct bh_trust) trusts;
	struct bh_signer_rules signers;
	BH_VEC(struct bh_attestation_rule) attestations;
	const char *weak; /* file of a weak key */
};

/* ---- for rules.c: signer_rule.c ---- */

int bh_signer_rule_init(struct bh_image_rules *rules, const struct bh_image_signer *p,
			struct bh_signer_rule *ret, struct bh_err *err);
void bh_signer_rule_done(struct bh_signer_rule *s);
