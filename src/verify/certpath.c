#include <errno.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "verify/cert.h"
#include "verify/pem.h"

void bh_ca_done(struct bh_ca *ca)
{
	X509_free(ca->anchor);
	bh_certs_free(ca->intermediates);
	*ca = (struct bh_ca){0};
}

static void ctx_freep(X509_STORE_CTX **ctx)
{
	X509_STORE_CTX_free(*ctx);
	*ctx = NULL;
}

static void store_freep(X509_STORE **store)
{
	X509_STORE_free(*store);
	*store = NULL;
}

static bool push_all(STACK_OF(X509) * to, STACK_OF(X509) * from)
{
	for (int i = 0; i < sk_X509_num(from); i++)
		if (!sk_X509_push(to, sk_X509_value(from, i)))
			return false;
	return true;
}

static void borrowed_freep(STACK_OF(X509) * *certs)
{
	sk_X509_free(*certs);
	*certs = NULL;
}

/* OpenSSL counts the second of notAfter as too late, RFC 5280 does not. */
static int64_t moment_of(const struct bh_path_query *q)
{
	int64_t start_s, end_s;

	if (!bh_cert_validity(q->leaf, &start_s, &end_s) && q->at_s == end_s && start_s < end_s)
		return q->at_s - 1;
	return q->at_s;
}

static void set_rules(X509_STORE_CTX *ctx, const struct bh_ca *ca, const struct bh_path_query *q)
{
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
	bool is_root = X509_get_extension_flags(ca->anchor) & EXFLAG_SS;
	bool is_leaf = !X509_cmp(ca->anchor, q->leaf);

	X509_VERIFY_PARAM_set_time(param, (time_t)moment_of(q));
	X509_VERIFY_PARAM_set_depth(param, BH_MAX_CHAIN);
	X509_VERIFY_PARAM_set_auth_level(param, 2);
	if (q->is_strict)
		X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
	if (!is_root || is_leaf)
		X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
}

/* A CA that is limited to other uses must not issue leaves that sign code. */
static bool uses_nest(STACK_OF(X509) * chain)
{
	for (int i = 1; i < sk_X509_num(chain); i++) {
		X509 *ca = sk_X509_value(chain, i);

		if ((X509_get_extension_flags(ca) & EXFLAG_XKUSAGE) &&
		    !(X509_get_extended_key_usage(ca) & (XKU_CODE_SIGN | XKU_ANYEKU)))
			return false;
	}
	return true;
}

static int path_flaw(int why, struct bh_flaw *flaw)
{
	bool is_time = why == X509_V_ERR_CERT_HAS_EXPIRED || why == X509_V_ERR_CERT_NOT_YET_VALID;

	ERR_clear_error();
	return bh_flaw(flaw, is_time ? BH_WORD_CERT_TIME : BH_WORD_CERT_CHAIN, "certificate: %s",
		       X509_verify_cert_error_string(why));
}

static int walk(X509_STORE_CTX *ctx, X509 **ret_issuer, struct bh_flaw *flaw)
{
	STACK_OF(X509) * chain;
	X509 *issuer;

	if (X509_verify_cert(ctx) != 1)
		return path_flaw(X509_STORE_CTX_get_error(ctx), flaw);
	ERR_clear_error();
	chain = X509_STORE_CTX_get0_chain(ctx);
	if (!uses_nest(chain))
		return bh_flaw(flaw, BH_WORD_CERT_CHAIN,
			       "certificate: an authority on the path may not issue for code");
	issuer = sk_X509_num(chain) > 1 ? sk_X509_value(chain, 1) : NULL;
	if (issuer && ret_issuer)
		X509_up_ref(issuer);
	if (ret_issuer)
		*ret_issuer = issuer;
	return 0;
}

int bh_cert_path(const struct bh_ca *ca, const struct bh_path_query *q, X509 **ret_issuer,
		 struct bh_flaw *flaw)
{
	BH_CLEANUP(ctx_freep) X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	BH_CLEANUP(store_freep) X509_STORE *store = X509_STORE_new();
	BH_CLEANUP(borrowed_freep) STACK_OF(X509) *between = sk_X509_new_null();

	if (!ctx || !store || !between || !push_all(between, ca->intermediates) ||
	    !push_all(between, q->hints) || X509_STORE_add_cert(store, ca->anchor) != 1 ||
	    X509_STORE_CTX_init(ctx, store, q->leaf, between) != 1)
		return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	if (q->at_s < ca->start_s || q->at_s > ca->end_s)
		return bh_flaw(flaw, BH_WORD_CERT_TIME, "the authority did not count at that time");
	set_rules(ctx, ca, q);
	return walk(ctx, ret_issuer, flaw);
}

int bh_cert_may_sign_code(X509 *leaf, struct bh_flaw *flaw)
{
	uint32_t flags = X509_get_extension_flags(leaf);

	if (!(flags & EXFLAG_XKUSAGE) || !(X509_get_extended_key_usage(leaf) & XKU_CODE_SIGN))
		return bh_flaw(flaw, BH_WORD_CERT_EKU, "the certificate is not for signing code");
	if (!(flags & EXFLAG_KUSAGE) || !(X509_get_key_usage(leaf) & KU_DIGITAL_SIGNATURE))
		return bh_flaw(flaw, BH_WORD_CERT_EKU, "the certificate's key may not sign");
	if (flags & EXFLAG_CA)
		return bh_flaw(flaw, BH_WORD_CERT_CHAIN, "the certificate is an authority's");
	return 0;
}

static int seconds_of(const ASN1_TIME *at, int64_t *ret)
{
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days, seconds, ok;

	ok = epoch && ASN1_TIME_diff(&days, &seconds, epoch, at) == 1;
	ASN1_TIME_free(epoch);
	if (!ok)
		return -EINVAL;
	*ret = (int64_t)days * 86400 + seconds;
	return 0;
}

int bh_cert_validity(X509 *cert, int64_t *ret_start_s, int64_t *ret_end_s)
{
	int r = seconds_of(X509_get0_notBefore(cert), ret_start_s);

	return r ? r : seconds_of(X509_get0_notAfter(cert), ret_end_s);
}
