/* Timestamps as only a hand can make them: naming another authority than the one that signed, and
 * made in the first or last second of its certificate. */
#include "verify_pki.h"

#include <openssl/cms.h>

#include "verify/stamp.h"
#include "verify/trust.h"

#define MESSAGE "signature"

struct rig {
	struct pki pki;
	struct bh_trust trust;
};

static int make_rig(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct bh_flaw flaw;
	char *root;

	pki_open(&r->pki);
	root = trusted_root(&r->pki);
	assert_int_equal(bh_trust_parse(root, strlen(root), &r->trust, &flaw), 0);
	free(root);
	*state = r;
	return 0;
}

static int drop_rig(void **state)
{
	struct rig *r = *state;

	bh_trust_done(&r->trust);
	pki_close(&r->pki);
	free(r);
	return 0;
}

static void set_imprint(TS_TST_INFO *info)
{
	unsigned char hash[BH_HASH_MAX];
	TS_MSG_IMPRINT *imprint = TS_MSG_IMPRINT_new();
	X509_ALGOR *algo = X509_ALGOR_new();

	bh_sha256(MESSAGE, strlen(MESSAGE), hash);
	X509_ALGOR_set0(algo, OBJ_nid2obj(NID_sha256), V_ASN1_NULL, NULL);
	TS_MSG_IMPRINT_set_algo(imprint, algo);
	TS_MSG_IMPRINT_set_msg(imprint, hash, BH_SHA256_LEN);
	TS_TST_INFO_set_msg_imprint(info, imprint);
	TS_MSG_IMPRINT_free(imprint);
	X509_ALGOR_free(algo);
}

static void set_name(TS_TST_INFO *info, const char *name)
{
	GENERAL_NAME *tsa = GENERAL_NAME_new();

	tsa->type = GEN_DIRNAME;
	tsa->d.dirn = X509_NAME_new();
	X509_NAME_add_entry_by_txt(tsa->d.dirn, "CN", MBSTRING_UTF8, (const unsigned char *)name,
				   -1, -1, 0);
	TS_TST_INFO_set_tsa(info, tsa);
	GENERAL_NAME_free(tsa);
}

/* What the authority signs; name may be NULL. */
static BIO *new_info(const char *name, int64_t at_s)
{
	TS_TST_INFO *info = TS_TST_INFO_new();
	ASN1_OBJECT *policy = OBJ_txt2obj("1.2.3.4.1", 1);
	ASN1_GENERALIZEDTIME *at = ASN1_GENERALIZEDTIME_set(NULL, (time_t)at_s);
	ASN1_INTEGER *serial = ASN1_INTEGER_new();
	BIO *bio = BIO_new(BIO_s_mem());

	ASN1_INTEGER_set(serial, 7);
	TS_TST_INFO_set_version(info, 1);
	TS_TST_INFO_set_policy_id(info, policy);
	TS_TST_INFO_set_serial(info, serial);
	TS_TST_INFO_set_time(info, at);
	set_imprint(info);
	if (name)
		set_name(info, name);
	assert_int_equal(i2d_TS_TST_INFO_bio(bio, info), 1);
	ASN1_INTEGER_free(serial);
	ASN1_GENERALIZEDTIME_free(at);
	ASN1_OBJECT_free(policy);
	TS_TST_INFO_free(info);
	return bio;
}

static bool is_good_with(const struct rig *r, const char *name, int64_t at_s, const EVP_MD *md)
{
	const unsigned int flags = CMS_BINARY | CMS_NOSMIMECAP | CMS_PARTIAL | CMS_CADES;
	const struct bh_trust *trust = &r->trust;
	struct bh_blob message = {(unsigned char *)MESSAGE, strlen(MESSAGE)}, token = {0};
	struct bh_stamp_query q = {.der = &token,
				   .message = &message,
				   .trusts = {&trust, 1},
				   .now_s = NOW_S,
				   .is_token = true};
	BIO *info = new_info(name, at_s);
	CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, NULL, flags);
	ASN1_OBJECT *type = OBJ_nid2obj(NID_id_smime_ct_TSTInfo);
	struct bh_flaw flaw;
	int64_t got_s;
	bool ok;
	int n;

	assert_int_equal(CMS_set1_eContentType(cms, type), 1);
	assert_non_null(CMS_add1_signer(cms, r->pki.tsa, r->pki.tsa_key, md, flags));
	assert_int_equal(CMS_final(cms, info, NULL, flags), 1);
	n = i2d_CMS_ContentInfo(cms, &token.v);
	assert_true(n > 0);
	token.n = (size_t)n;
	ok = !bh_stamp_verify(&q, &got_s, &flaw);
	assert_true(ok ? got_s == at_s : flaw.word == BH_WORD_TIMESTAMP_INVALID);
	OPENSSL_free(token.v);
	CMS_ContentInfo_free(cms);
	BIO_free(info);
	return ok;
}

static bool is_good(const struct rig *r, const char *name, int64_t at_s)
{
	return is_good_with(r, name, at_s, EVP_sha256());
}

/* Not only of the message, of what the authority signs as well. */
static void test_hash(void **state)
{
	const struct rig *r = *state;

	assert_true(is_good_with(r, NULL, SIGNED_S, EVP_sha384()));
	assert_true(is_good_with(r, NULL, SIGNED_S, EVP_sha512()));
	assert_false(is_good_with(r, NULL, SIGNED_S, EVP_sha1()));
}

/* The name in a token must be the signer's, or two readers say two authorities made it. */
static void test_name(void **state)
{
	const struct rig *r = *state;

	assert_true(is_good(r, NULL, SIGNED_S));
	assert_true(is_good(r, "tsa", SIGNED_S));
	assert_false(is_good(r, "tsa ca", SIGNED_S));
	assert_false(is_good(r, "tsa2", SIGNED_S));
}

/* Both ends of a certificate's validity belong to it; the trust root's begins later. */
static void test_ends(void **state)
{
	const struct rig *r = *state;

	assert_true(is_good(r, NULL, SIGNED_S - 1000));
	assert_false(is_good(r, NULL, SIGNED_S - 1001));
	assert_true(is_good(r, NULL, SIGNED_S + 86399));
	assert_true(is_good(r, NULL, SIGNED_S + 86400));
	assert_false(is_good(r, NULL, SIGNED_S + 86401));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_name),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_hash),
	};

	return cmocka_run_group_tests(tests, make_rig, drop_rig);
}
