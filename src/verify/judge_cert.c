#include <string.h>

#include "base/str.h"
#include "verify/judge.h"
#include "verify/pem.h"
#include "verify/sct.h"

/* One authority must vouch for the leaf at every moment we know of: `times`, or now. */
static int check_ca(const struct bh_judging *j, const struct bh_ca *ca,
		    const struct bh_times *times, X509 **ret_issuer, struct bh_flaw *flaw)
{
	BH_CLEANUP(bh_x509_freep) X509 *issuer = NULL;

	for (size_t i = 0; i < times->n; i++) {
		struct bh_path_query q = {
			.leaf = j->ev->leaf,
			.hints = j->ev->hints,
			.at_s = times->v[i],
			.is_strict = j->signer->p->kind == BH_IMAGE_KEYLESS,
		};
		int r;

		bh_x509_freep(&issuer);
		r = bh_cert_path(ca, &q, &issuer, flaw);
		if (r)
			return r;
	}
	*ret_issuer = BH_TAKE(issuer);
	return 0;
}

static int check_one_trust(const struct bh_judging *j, const struct bh_trust *trust,
			   const struct bh_times *times, struct bh_flaw *flaw)
{
	struct bh_flaw worst = {.word = BH_WORD_OK};

	bh_vec_each (ca, &trust->cas) {
		BH_CLEANUP(bh_x509_freep) X509 *issuer = NULL;
		struct bh_flaw one;
		int r = check_ca(j, ca, times, &issuer, &one);

		if (!r && j->signer->p->require.sct)
			r = bh_sct_verify(j->ev->leaf, issuer, trust, &one);
		if (!r)
			return 0;
		bh_flaw_keep(&worst, &one);
	}
	if (!worst.word)
		return bh_flaw(flaw, BH_WORD_CERT_CHAIN, "the trust root has no authority");
	*flaw = worst;
	return -1;
}

static int check_company(const struct bh_judging *j, const struct bh_times *times,
			 struct bh_flaw *flaw)
{
	struct bh_flaw worst = {.word = BH_WORD_OK};

	bh_vec_each (ca, &j->signer->roots) {
		BH_CLEANUP(bh_x509_freep) X509 *issuer = NULL;
		struct bh_flaw one;

		if (!check_ca(j, ca, times, &issuer, &one))
			return 0;
		bh_flaw_keep(&worst, &one);
	}
	*flaw = worst;
	return -1;
}

static int check_path(const struct bh_judging *j, const struct bh_times *trusted,
		      struct bh_flaw *flaw)
{
	struct bh_times now = {.v = {j->now_s}, .n = 1};
	const struct bh_times *times = trusted->n ? trusted : &now;
	struct bh_flaw worst = {.word = BH_WORD_OK};
	int r = -1;

	if (j->signer->p->kind == BH_IMAGE_CERTIFICATES)
		r = check_company(j, times, &worst);
	for (size_t i = 0; r && i < j->signer->n_trusts && j->signer->p->kind == BH_IMAGE_KEYLESS;
	     i++) {
		struct bh_flaw one;

		r = check_one_trust(j, j->signer->trusts[i], times, &one);
		if (r)
			bh_flaw_keep(&worst, &one);
	}
	if (!r)
		return 0;
	if (worst.word == BH_WORD_CERT_TIME && !trusted->n)
		return bh_flaw(flaw, BH_WORD_TIMESTAMP_MISSING,
			       "the certificate is not valid now, and nobody trusted says when it "
			       "was used");
	*flaw = worst;
	return -1;
}

/* ---- who ---- */

static int check_extensions(X509 *leaf, const struct bh_image_identity *id, struct bh_flaw *flaw)
{
	bh_vec_each (want, &id->extensions) {
		const char *oid = bh_fulcio_oid(want->key);
		BH_CLEANUP(bh_freep) char *text = oid ? bh_cert_extension(leaf, oid) : NULL;

		if (!text || strcmp(text, want->value) != 0)
			return bh_flaw(flaw, BH_WORD_IDENTITY_MISMATCH,
				       "extension %s is '%s', not '%s'", want->key,
				       text ? text : "", want->value);
	}
	return 0;
}

static int match_identity(const struct bh_identity_rule *id, X509 *leaf, const char *issuer,
			  const char *subject, struct bh_flaw *flaw)
{
	if (!bh_pattern_matches(&id->issuer, issuer))
		return bh_flaw(flaw, BH_WORD_ISSUER_MISMATCH, "the identity is by '%s'", issuer);
	if (!bh_pattern_matches(&id->subject, subject))
		return bh_flaw(flaw, BH_WORD_IDENTITY_MISMATCH, "it was signed by '%s'", subject);
	return check_extensions(leaf, id->p, flaw);
}

static int check_fulcio_identity(const struct bh_judging *j, struct bh_signed_by *ret,
				 struct bh_flaw *flaw)
{
	BH_CLEANUP(bh_freep) char *issuer = NULL, *subject = NULL;
	struct bh_flaw worst = {.word = BH_WORD_OK};
	int r = bh_cert_subject(j->ev->leaf, &subject, flaw);

	if (!r)
		r = bh_cert_issuer(j->ev->leaf, &issuer, flaw);
	if (r)
		return r;
	bh_vec_each (id, &j->signer->identities) {
		struct bh_flaw one;

		if (match_identity(id, j->ev->leaf, issuer, subject, &one)) {
			bh_flaw_keep(&worst, &one);
			continue;
		}
		ret->who = bh_strf("%s (%s)", subject, issuer);
		if (!ret->who)
			return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
		bh_sha256(ret->who, strlen(ret->who), ret->identity);
		return 0;
	}
	*flaw = worst;
	return -1;
}

static int check_company_identity(const struct bh_judging *j, struct bh_signed_by *ret,
				  struct bh_flaw *flaw)
{
	const char *want = j->signer->p->subject;

	if (!bh_cert_has_name(j->ev->leaf, want))
		return bh_flaw(flaw, BH_WORD_IDENTITY_MISMATCH, "the certificate is not for '%s'",
			       want);
	ret->who = bh_strf("%s (certificate)", want);
	if (!ret->who)
		return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	bh_sha256(ret->who, strlen(ret->who), ret->identity);
	return 0;
}

/* ---- all of it, in the order in which it gets more expensive to forge ---- */

static int judge_with_key(const struct bh_judging *j, const struct bh_key *key,
			  struct bh_signed_by *ret, struct bh_flaw *flaw)
{
	bool is_company = j->signer->p->kind == BH_IMAGE_CERTIFICATES;
	struct bh_times times;
	int64_t start_s, end_s;
	int r = bh_evidence_verify(j->ev, key, flaw);

	if (!r)
		r = bh_judge_times(j, key, j->ev->leaf, &times, flaw);
	if (!r)
		r = check_path(j, &times, flaw);
	if (!r)
		r = bh_cert_may_sign_code(j->ev->leaf, flaw);
	if (r)
		return r;
	ret->until_s = BH_TIME_MAX;
	ret->vouched = bh_times_vouch(&times);
	ret->vouched.has_sct = j->signer->p->require.sct;
	if (!times.n && !bh_cert_validity(j->ev->leaf, &start_s, &end_s))
		ret->until_s = end_s;
	memcpy(ret->spki, key->spki, sizeof(key->spki));
	return is_company ? check_company_identity(j, ret, flaw)
			  : check_fulcio_identity(j, ret, flaw);
}

int bh_judge_cert(const struct bh_judging *j, struct bh_signed_by *ret, struct bh_flaw *flaw)
{
	struct bh_signed_by by = {.who = NULL};
	struct bh_key key;
	int r;

	if (!j->ev->leaf && j->ev->leaf_flaw.word) {
		*flaw = j->ev->leaf_flaw;
		return -1;
	}
	if (!j->ev->leaf)
		return bh_flaw(flaw, BH_WORD_CERT_CHAIN, "it brought no certificate");
	r = bh_key_of_cert(&key, j->ev->leaf, flaw);
	if (r)
		return r;
	r = judge_with_key(j, &key, &by, flaw);
	bh_key_done(&key);
	if (r) {
		bh_signed_by_done(&by);
		return r;
	}
	*ret = by;
	return 0;
}
