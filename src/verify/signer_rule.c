#include <errno.h>
#include <string.h>

#include <openssl/err.h>

#include "verify/dn.h"
#include "verify/expr.h"
#include "verify/pem.h"
#include "verify/rules.h"

#define MAX_TEXT 4096

bool bh_pattern_matches(const struct bh_pattern *p, const char *text)
{
	regmatch_t all;

	if (!p->has_regex)
		return p->text && !strcmp(p->text, text);
	/* the leftmost longest match is the whole text, if any match is; wrapping the expression
	 * in ^(...)$ instead could be undone by a ')' inside */
	return strlen(text) <= MAX_TEXT && !regexec(&p->regex, text, 1, &all, 0) && !all.rm_so &&
	       (size_t)all.rm_eo == strlen(text);
}

static int pattern_init(struct bh_pattern *p, const char *text, const char *regex,
			struct bh_err *err)
{
	int r;

	if (!text == !regex)
		return bh_fail(err, EINVAL, "either a text or an expression is needed");
	if (text) {
		p->text = text;
		return *text ? 0 : bh_fail(err, EINVAL, "an empty text matches nobody");
	}
	r = bh_expr_check(regex, err);
	if (r)
		return r;
	r = regcomp(&p->regex, regex, REG_EXTENDED);
	if (r) {
		char why[128];

		regerror(r, &p->regex, why, sizeof(why));
		return bh_fail(err, EINVAL, "expression '%s': %s", regex, why);
	}
	p->has_regex = true;
	return 0;
}

static void pattern_done(struct bh_pattern *p)
{
	if (p->has_regex)
		regfree(&p->regex);
}

void bh_signer_rule_done(struct bh_signer_rule *s)
{
	bh_vec_each (key, &s->keys)
		bh_key_done(key);
	bh_vec_done(&s->keys);
	bh_vec_each (ca, &s->roots)
		bh_ca_done(ca);
	bh_vec_done(&s->roots);
	bh_vec_each (id, &s->identities) {
		pattern_done(&id->issuer);
		pattern_done(&id->subject);
	}
	bh_vec_done(&s->identities);
	free(s->trusts);
}

/* ---- the kinds ---- */

static int init_keys(struct bh_image_rules *rules, struct bh_signer_rule *s, struct bh_err *err)
{
	if (!s->p->keys.n || s->p->keys.n > BH_MAX_KEYS)
		return bh_fail(err, EINVAL, "a signer has 1 to %d keys", BH_MAX_KEYS);
	bh_vec_each (from, &s->p->keys) {
		struct bh_flaw flaw;
		struct bh_key key;
		EVP_PKEY *pkey = NULL;

		if (from->not_before_s > from->not_after_s)
			return bh_fail(err, EINVAL, "%s ends before it begins", from->file);
		if (bh_pem_key_file(from->pem.v, from->pem.n, &pkey, &flaw))
			return bh_fail(err, EINVAL, "%s %s", from->file, flaw.err.text);
		if (bh_key_init(&key, pkey, &flaw))
			return bh_fail(err, EINVAL, "%s: %s", from->file, flaw.err.text);
		if (bh_vec_push(&s->keys, key)) {
			bh_key_done(&key);
			return bh_fail(err, ENOMEM, "keys");
		}
		if (key.is_weak && !rules->weak)
			rules->weak = from->file;
	}
	return 0;
}

static bool is_extension(const char *name)
{
	const char *oid = bh_fulcio_oid(name);
	ASN1_OBJECT *obj = oid ? OBJ_txt2obj(oid, 1) : NULL;

	ASN1_OBJECT_free(obj);
	ERR_clear_error();
	return obj;
}

static int init_identities(struct bh_signer_rule *s, struct bh_err *err)
{
	size_t n = s->p->identities.n;

	if (!n || n > BH_MAX_KEYS || bh_vec_reserve(&s->identities, n))
		return bh_fail(err, EINVAL, "a keyless signer has 1 to %d identities", BH_MAX_KEYS);
	if (!s->n_trusts)
		return bh_fail(err, EINVAL, "a keyless signer needs a trust root");
	bh_vec_each (from, &s->p->identities) {
		struct bh_identity_rule *id = &s->identities.v[s->identities.n++];
		int r;

		*id = (struct bh_identity_rule){.p = from};
		r = pattern_init(&id->issuer, from->issuer, from->issuer_regex, err);
		if (r)
			return bh_note(err, r, "issuer");
		r = pattern_init(&id->subject, from->subject, from->subject_regex, err);
		if (r)
			return bh_note(err, r, "subject");
		bh_vec_each (ext, &from->extensions)
			if (!is_extension(ext->key))
				return bh_fail(err, EINVAL, "there is no extension '%s'", ext->key);
	}
	return 0;
}

static int init_roots(struct bh_signer_rule *s, struct bh_err *err)
{
	BH_CLEANUP(bh_certs_freep) STACK_OF(X509) *certs = NULL;
	struct bh_flaw flaw;
	size_t n;

	if (bh_pem_certs_file(s->p->roots.v, s->p->roots.n, BH_MAX_KEYS, &certs, &flaw))
		return bh_fail(err, EINVAL, "%s: %s", s->p->roots_file ? s->p->roots_file : "roots",
			       flaw.err.text);
	n = (size_t)sk_X509_num(certs);
	if (bh_vec_reserve(&s->roots, n))
		return bh_fail(err, ENOMEM, "roots");
	for (size_t i = 0; i < n; i++) {
		struct bh_ca *ca = &s->roots.v[s->roots.n++];

		*ca = (struct bh_ca){.start_s = BH_TIME_MIN, .end_s = BH_TIME_MAX};
		ca->anchor = sk_X509_shift(certs);
		ca->intermediates = sk_X509_new_null();
		if (!ca->intermediates)
			return bh_fail(err, ENOMEM, "roots");
	}
	return 0;
}

static int init_trusts(struct bh_image_rules *rules, struct bh_signer_rule *s, struct bh_err *err)
{
	const char *name = s->p->trust_root;

	s->trusts = calloc(rules->trusts.n + 1, sizeof(*s->trusts));
	if (!s->trusts)
		return bh_fail(err, ENOMEM, "trust roots");
	for (size_t i = 0; i < rules->trusts.n; i++)
		if (!name || !strcmp(name, rules->p->trust_roots.v[i].name))
			s->trusts[s->n_trusts++] = &rules->trusts.v[i];
	if (name && !s->n_trusts)
		return bh_fail(err, EINVAL, "there is no trust root '%s'", name);
	return 0;
}

static int check_needs(const struct bh_signer_rule *s, struct bh_err *err)
{
	const struct bh_image_require *need = &s->p->require;

	if ((need->tlog || need->timestamp) && !s->n_trusts)
		return bh_fail(err, EINVAL,
			       "tlog and timestamp can only be required with a "
			       "trust root");
	if (need->sct && s->p->kind != BH_IMAGE_KEYLESS)
		return bh_fail(err, EINVAL, "sct can only be required of keyless signers");
	if (s->p->kind == BH_IMAGE_CERTIFICATES && !s->p->subject)
		return bh_fail(err, EINVAL, "certificates need a subject");
	if (s->p->kind == BH_IMAGE_NOTATION && !s->p->trusted_identities.n)
		return bh_fail(err, EINVAL, "notation needs trustedIdentities");
	if (s->p->kind == BH_IMAGE_NOTATION &&
	    (need->tlog || s->p->annotations.n || s->p->signed_repository))
		return bh_fail(err, EINVAL,
			       "notation signatures have no log entry, annotations "
			       "or repository");
	bh_vec_each (id, &s->p->trusted_identities) {
		int r = bh_dn_check(*id, err);

		if (r)
			return r;
	}
	return 0;
}

int bh_signer_rule_init(struct bh_image_rules *rules, const struct bh_image_signer *p,
			struct bh_signer_rule *ret, struct bh_err *err)
{
	struct bh_signer_rule s = {.p = p};
	int r = init_trusts(rules, &s, err);

	if (!r && p->kind == BH_IMAGE_KEYS)
		r = init_keys(rules, &s, err);
	else if (!r && p->kind == BH_IMAGE_KEYLESS)
		r = init_identities(&s, err);
	else if (!r)
		r = init_roots(&s, err);
	if (!r)
		r = check_needs(&s, err);
	if (r) {
		bh_signer_rule_done(&s);
		return bh_note(err, r, "signer '%s'", p->name ? p->name : "");
	}
	*ret = s;
	return 0;
}
