#include "verify/sct.h"

#include <string.h>

#include <openssl/ct.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/own.h"
#include "base/str.h"
#include "verify/pem.h"

/* The certificate as the log saw it: without the list of timestamps. */
static int stripped_tbs(X509 *leaf, unsigned char **ret)
{
	BH_CLEANUP(bh_x509_freep) X509 *copy = X509_dup(leaf);
	int at = copy ? X509_get_ext_by_NID(copy, NID_ct_precert_scts, -1) : -1;

	if (at < 0)
		return -1;
	X509_EXTENSION_free(X509_delete_ext(copy, at));
	return i2d_re_X509_tbs(copy, ret);
}

static void add_number(struct bh_str *b, uint64_t value, int bytes)
{
	while (bytes--) {
		unsigned char c = (unsigned char)(value >> 8 * bytes);

		bh_str_addn(b, &c, 1);
	}
}

/* What the log signed, RFC 6962 section 3.2: version 1, a timestamp of a precertificate entry. */
static bool signed_bytes(const SCT *sct, X509 *leaf, const struct bh_key *issuer,
			 struct bh_str *ret)
{
	unsigned char *tbs = NULL, *ext = NULL;
	int n = stripped_tbs(leaf, &tbs);
	size_t n_ext = SCT_get0_extensions(sct, &ext);

	if (n <= 0 || n >= 1 << 24 || n_ext > 0xffff) {
		OPENSSL_free(tbs);
		return false;
	}
	add_number(ret, 0, 2);
	add_number(ret, SCT_get_timestamp(sct), 8);
	add_number(ret, 1, 2);
	bh_str_addn(ret, issuer->spki, sizeof(issuer->spki));
	add_number(ret, (uint64_t)n, 3);
	bh_str_addn(ret, tbs, (size_t)n);
	add_number(ret, n_ext, 2);
	if (n_ext)
		bh_str_addn(ret, ext, n_ext);
	OPENSSL_free(tbs);
	return !ret->failed;
}

static int check_log(const SCT *sct, X509 *leaf, const struct bh_key *issuer,
		     const struct bh_log *log, struct bh_flaw *flaw)
{
	unsigned char *sig;
	size_t n_sig = SCT_get0_signature(sct, &sig);
	struct bh_str text = {0};
	struct bh_blob message, signature = {sig, n_sig};
	int r;

	if (!bh_within((int64_t)(SCT_get_timestamp(sct) / 1000), log->start_s, log->end_s))
		return bh_flaw(flaw, BH_WORD_SCT_INVALID, "the log did not count at that time");
	if (!signed_bytes(sct, leaf, issuer, &text)) {
		bh_str_done(&text);
		return bh_flaw(flaw, BH_WORD_SCT_INVALID, "the SCT cannot be put together");
	}
	message = (struct bh_blob){(unsigned char *)text.s, text.n};
	r = bh_key_verify(&log->key, BH_SIG_LOG, &message, &signature, flaw);
	if (r)
		r = bh_flaw(flaw, BH_WORD_SCT_INVALID, "the SCT's signature does not verify");
	bh_str_done(&text);
	return r;
}

static int check_one(const SCT *sct, X509 *leaf, const struct bh_key *issuer,
		     const struct bh_trust *trust, struct bh_flaw *flaw)
{
	unsigned char *id;
	size_t n = SCT_get0_log_id(sct, &id);
	int r = bh_flaw(flaw, BH_WORD_SCT_INVALID, "the SCT is of a log nobody trusts");

	if (SCT_get_version(sct) != SCT_VERSION_V1)
		return r;
	bh_vec_each (log, &trust->ctlogs) {
		if (bh_log_is(log, id, n))
			r = check_log(sct, leaf, issuer, log, flaw);
		if (!r)
			return 0;
	}
	return r;
}

static int check_list(STACK_OF(SCT) * list, X509 *leaf, const struct bh_key *issuer,
		      const struct bh_trust *trust, struct bh_flaw *flaw)
{
	int n = sk_SCT_num(list);
	int r = bh_flaw(flaw, BH_WORD_SCT_MISSING, "the list of SCTs is empty");

	for (int i = 0; i < n && i < BH_MAX_SCTS; i++) {
		r = check_one(sk_SCT_value(list, i), leaf, issuer, trust, flaw);
		if (!r)
			return 0;
	}
	return r;
}

int bh_sct_verify(X509 *leaf, X509 *issuer, const struct bh_trust *trust, struct bh_flaw *flaw)
{
	STACK_OF(SCT) * list;
	struct bh_key key;
	int critical = -1, r;

	list = X509_get_ext_d2i(leaf, NID_ct_precert_scts, &critical, NULL);
	ERR_clear_error();
	if (!list && critical == -1)
		return bh_flaw(flaw, BH_WORD_SCT_MISSING, "the certificate carries no SCT");
	if (!list || !issuer) {
		SCT_LIST_free(list);
		return bh_flaw(flaw, BH_WORD_SCT_INVALID, "the list of SCTs cannot be read");
	}
	r = bh_key_of_cert(&key, issuer, flaw);
	if (!r) {
		r = check_list(list, leaf, &key, trust, flaw);
		bh_key_done(&key);
	}
	SCT_LIST_free(list);
	return r;
}
