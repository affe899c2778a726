#include "verify/rules.h"

#include <errno.h>
#include <string.h>

#define MAX_SIGNERS 64

static void signers_done(struct bh_signer_rules *signers)
{
	bh_vec_each (s, signers)
		bh_signer_rule_done(s);
	bh_vec_done(signers);
}

void bh_image_rules_free(struct bh_image_rules *r)
{
	if (!r)
		return;
	bh_vec_each (t, &r->trusts)
		bh_trust_done(t);
	bh_vec_done(&r->trusts);
	signers_done(&r->signers);
	bh_vec_each (a, &r->attestations)
		signers_done(&a->signers);
	bh_vec_done(&r->attestations);
	free(r);
}

void bh_image_rules_freep(struct bh_image_rules **r)
{
	bh_image_rules_free(*r);
	*r = NULL;
}

const char *bh_image_rules_weak(const struct bh_image_rules *r)
{
	return r->weak;
}

static int init_trusts(struct bh_image_rules *rules, struct bh_err *err)
{
	bh_vec_each (root, &rules->p->trust_roots) {
		struct bh_flaw flaw;
		struct bh_trust trust;

		if (bh_trust_parse(root->json.v, root->json.n, &trust, &flaw))
			return bh_fail(err, EINVAL, "trust root '%s': %s", root->name,
				       flaw.err.text);
		if (bh_vec_push(&rules->trusts, trust)) {
			bh_trust_done(&trust);
			return bh_fail(err, ENOMEM, "trust roots");
		}
	}
	return 0;
}

static int init_signers(struct bh_image_rules *rules, const struct bh_image_signers *from,
			struct bh_signer_rules *to, struct bh_err *err)
{
	if (from->n > MAX_SIGNERS)
		return bh_fail(err, EINVAL, "more than %d signers", MAX_SIGNERS);
	bh_vec_each (p, from) {
		struct bh_signer_rule s;
		int r = bh_signer_rule_init(rules, p, &s, err);

		if (r)
			return r;
		if (bh_vec_push(to, s)) {
			bh_signer_rule_done(&s);
			return bh_fail(err, ENOMEM, "signers");
		}
	}
	return 0;
}

static const struct {
	const char *name, *uri;
	enum bh_predicate_kind kind;
} predicates[] = {
	{"slsaprovenance", "https://slsa.dev/provenance/v0.2", BH_PREDICATE_SLSA02},
	{"slsaprovenance1", "https://slsa.dev/provenance/v1", BH_PREDICATE_SLSA1},
	{"vuln", "https://cosign.sigstore.dev/attestation/vuln/v1", BH_PREDICATE_VULN},
	{"spdx", "https://spdx.dev/Document", BH_PREDICATE_OTHER},
	{"cyclonedx", "https://cyclonedx.org/bom", BH_PREDICATE_OTHER},
};

static int name_predicate(struct bh_attestation_rule *a, struct bh_err *err)
{
	if (!a->p->type)
		return bh_fail(err, EINVAL, "an attestation needs a type");
	a->type = a->p->type;
	for (size_t i = 0; i < BH_ARRAY_SIZE(predicates); i++) {
		if (!strcmp(a->type, predicates[i].name) || !strcmp(a->type, predicates[i].uri)) {
			a->type = predicates[i].uri;
			a->kind = predicates[i].kind;
			return 0;
		}
	}
	if (!strchr(a->type, ':'))
		return bh_fail(err, EINVAL,
			       "'%s' is no attestation type: those are URIs, or slsaprovenance, "
			       "slsaprovenance1, vuln, spdx, cyclonedx",
			       a->type);
	return 0;
}

/* A rule that could never be evaluated would silently not be one. */
static int check_fit(const struct bh_attestation_rule *a, struct bh_err *err)
{
	const struct bh_image_attestation *p = a->p;
	bool is_slsa = a->kind == BH_PREDICATE_SLSA02 || a->kind == BH_PREDICATE_SLSA1;
	bool wants_vuln = p->fail_on != BH_SEVERITY_NONE || p->ignore_unfixed || p->exceptions.n ||
			  p->max_age_days;

	if (p->builder_id && !is_slsa)
		return bh_fail(err, EINVAL, "builderId is for SLSA provenance, not '%s'", a->type);
	if (wants_vuln && a->kind != BH_PREDICATE_VULN)
		return bh_fail(err, EINVAL,
			       "failOn, ignoreUnfixed, maxAgeDays and exceptions are for "
			       "vulnerability reports, not '%s'",
			       a->type);
	return 0;
}

static int init_attestations(struct bh_image_rules *rules, struct bh_err *err)
{
	size_t n = rules->p->attestations.n;

	if (n > MAX_SIGNERS || bh_vec_reserve(&rules->attestations, n))
		return bh_fail(err, EINVAL, "more than %d attestations", MAX_SIGNERS);
	bh_vec_each (p, &rules->p->attestations) {
		struct bh_attestation_rule *a = &rules->attestations.v[rules->attestations.n++];
		int r;

		*a = (struct bh_attestation_rule){.p = p};
		r = name_predicate(a, err);
		if (!r)
			r = check_fit(a, err);
		if (!r && !p->signers.n)
			r = bh_fail(err, EINVAL, "nobody may sign it");
		if (!r)
			r = init_signers(rules, &p->signers, &a->signers, err);
		if (r)
			return bh_note(err, r, "attestation '%s'", p->type ? p->type : "");
	}
	return 0;
}

int bh_image_rules_new(const struct bh_image_policy *p, struct bh_image_rules **ret_rules,
		       struct bh_err *err)
{
	BH_CLEANUP(bh_image_rules_freep) struct bh_image_rules *rules = calloc(1, sizeof(*rules));
	int r;

	if (!rules)
		return bh_fail(err, ENOMEM, "image policy");
	if (!p->signers.n && !p->attestations.n && !p->require_digest)
		return bh_fail(err, EINVAL, "the policy demands nothing");
	rules->p = p;
	r = init_trusts(rules, err);
	if (!r)
		r = init_signers(rules, &p->signers, &rules->signers, err);
	if (!r)
		r = init_attestations(rules, err);
	if (r)
		return r;
	*ret_rules = BH_TAKE(rules);
	return 0;
}
