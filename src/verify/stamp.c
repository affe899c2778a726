#include "verify/stamp.h"

#include <limits.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pkcs7.h>
#include <openssl/ts.h>

#include "verify/pem.h"

static void token_freep(PKCS7 **token)
{
	PKCS7_free(*token);
	*token = NULL;
}

static void info_freep(TS_TST_INFO **info)
{
	TS_TST_INFO_free(*info);
	*info = NULL;
}

static void ctx_freep(TS_VERIFY_CTX **ctx)
{
	TS_VERIFY_CTX_free(*ctx);
	*ctx = NULL;
}

static int bad(struct bh_flaw *flaw, const char *what)
{
	ERR_clear_error();
	return bh_flaw(flaw, BH_WORD_TIMESTAMP_INVALID, "timestamp: %s", what);
}

static PKCS7 *token_of_response(const struct bh_blob *der)
{
	const unsigned char *at = der->v;
	TS_RESP *resp = d2i_TS_RESP(NULL, &at, (long)der->n);
	PKCS7 *token = NULL;
	long status;

	if (resp && at == der->v + der->n) {
		status =
			ASN1_INTEGER_get(TS_STATUS_INFO_get0_status(TS_RESP_get_status_info(resp)));
		token = TS_RESP_get_token(resp);
		/* granted, granted with modifications */
		token = (status == 0 || status == 1) && token ? PKCS7_dup(token) : NULL;
	}
	TS_RESP_free(resp);
	return token;
}

static PKCS7 *parse_token(const struct bh_stamp_query *q)
{
	const unsigned char *at = q->der->v;
	PKCS7 *token;

	if (q->der->n > LONG_MAX || !q->der->n)
		return NULL;
	if (!q->is_token)
		return token_of_response(q->der);
	token = d2i_PKCS7(NULL, &at, (long)q->der->n);
	if (token && at != q->der->v + q->der->n) {
		PKCS7_free(token);
		return NULL;
	}
	return token;
}

/* SHA-1 collides; only these may stand for the message, or for what the authority signs. */
static bool is_sha2(const X509_ALGOR *algo)
{
	const ASN1_OBJECT *obj;
	int nid;

	X509_ALGOR_get0(&obj, NULL, NULL, algo);
	nid = OBJ_obj2nid(obj);
	return nid == NID_sha256 || nid == NID_sha384 || nid == NID_sha512;
}

static bool hashes_are_sha2(PKCS7 *token, TS_TST_INFO *info)
{
	STACK_OF(PKCS7_SIGNER_INFO) *signers = PKCS7_get_signer_info(token);

	for (int i = 0; i < sk_PKCS7_SIGNER_INFO_num(signers); i++) {
		X509_ALGOR *digest = NULL;

		PKCS7_SIGNER_INFO_get0_algs(sk_PKCS7_SIGNER_INFO_value(signers, i), NULL, &digest,
					    NULL);
		if (!digest || !is_sha2(digest))
			return false;
	}
	return is_sha2(TS_MSG_IMPRINT_get_algo(TS_TST_INFO_get_msg_imprint(info)));
}

static bool seconds_of(TS_TST_INFO *info, int64_t *ret)
{
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days, seconds;
	bool ok = epoch && ASN1_TIME_diff(&days, &seconds, epoch, TS_TST_INFO_get_time(info)) == 1;

	ASN1_TIME_free(epoch);
	if (ok)
		*ret = (int64_t)days * 86400 + seconds;
	return ok;
}

static X509_STORE *store_at(const struct bh_ca *ca, int64_t at_s)
{
	X509_STORE *store = X509_STORE_new();
	X509_VERIFY_PARAM *param;

	if (!store || X509_STORE_add_cert(store, ca->anchor) != 1) {
		X509_STORE_free(store);
		return NULL;
	}
	param = X509_STORE_get0_param(store);
	X509_VERIFY_PARAM_set_time(param, (time_t)at_s);
	X509_VERIFY_PARAM_set_auth_level(param, 2);
	if (!(X509_get_extension_flags(ca->anchor) & EXFLAG_SS) || !sk_X509_num(ca->intermediates))
		X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
	return store;
}

/* The authority's own certificates, for cosign's tokens carry none. */
static STACK_OF(X509) * known_certs(const struct bh_ca *ca)
{
	STACK_OF(X509) *certs = X509_chain_up_ref(ca->intermediates);

	if (certs && !sk_X509_num(certs) && X509_up_ref(ca->anchor))
		sk_X509_push(certs, ca->anchor);
	return certs;
}

static bool token_is_by(PKCS7 *token, const struct bh_ca *ca, const struct bh_blob *message,
			int64_t at_s)
{
	BH_CLEANUP(ctx_freep) TS_VERIFY_CTX *ctx = TS_VERIFY_CTX_new();
	BIO *data = message->n <= INT_MAX ? BIO_new_mem_buf(message->v, (int)message->n) : NULL;
	X509_STORE *store = store_at(ca, at_s);
	STACK_OF(X509) *certs = known_certs(ca);
	bool ok;

	if (!ctx || !data || !store || !certs) {
		BIO_free(data);
		X509_STORE_free(store);
		bh_certs_free(certs);
		return false;
	}
	TS_VERIFY_CTX_set_flags(ctx,
				TS_VFY_SIGNATURE | TS_VFY_VERSION | TS_VFY_DATA | TS_VFY_SIGNER);
	TS_VERIFY_CTX_set_store(ctx, store);
	TS_VERIFY_CTX_set_certs(ctx, certs);
	TS_VERIFY_CTX_set_data(ctx, data);
	ok = TS_RESP_verify_token(ctx, token) == 1;
	ERR_clear_error();
	return ok;
}

/* OpenSSL counts the second of notAfter as too late, RFC 5280 does not: a second before that is
 * right, and one before any other moment shows no more. */
static bool token_is_good(PKCS7 *token, const struct bh_ca *ca, const struct bh_blob *message,
			  int64_t at_s)
{
	return token_is_by(token, ca, message, at_s) || token_is_by(token, ca, message, at_s - 1);
}

int bh_stamp_verify(const struct bh_stamp_query *q, int64_t *ret_s, struct bh_flaw *flaw)
{
	BH_CLEANUP(token_freep) PKCS7 *token = parse_token(q);
	BH_CLEANUP(info_freep)
	TS_TST_INFO *info =
		token && PKCS7_type_is_signed(token) ? PKCS7_to_TS_TST_INFO(token) : NULL;
	int64_t at_s;

	if (!info)
		return bad(flaw, "no token that was granted");
	if (!hashes_are_sha2(token, info))
		return bad(flaw, "a hash of it is not SHA-256, SHA-384 or SHA-512");
	if (!seconds_of(info, &at_s))
		return bad(flaw, "its time cannot be read");
	if (at_s > q->now_s + BH_SKEW_S)
		return bad(flaw, "its time is in the future");
	for (size_t i = 0; i < q->trusts.n; i++) {
		bh_vec_each (tsa, &q->trusts.v[i]->tsas) {
			if (bh_within(at_s, tsa->ca.start_s, tsa->ca.end_s) &&
			    token_is_good(token, &tsa->ca, q->message, at_s)) {
				*ret_s = at_s;
				return 0;
			}
		}
	}
	return bad(flaw, "not by a trusted authority over this signature");
}
