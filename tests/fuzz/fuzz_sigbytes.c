/* What image verification reads as DER or CBOR: certificates, timestamps, COSE. The first byte
 * chooses the reader, the rest is its input. */
#include <stdint.h>
#include <string.h>

#include "base/own.h"
#include "verify/notation.h"
#include "verify/pem.h"
#include "verify/sct.h"
#include "verify/stamp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW_S 1796083200

static void must_explain(const struct bh_flaw *flaw)
{
	if (!flaw->word || flaw->word >= BH_N_IMAGE_WORDS || !*flaw->err.text)
		abort();
}

/* The certificate against itself as authority. */
static void walk_path(X509 *cert)
{
	struct bh_ca ca = {.anchor = cert, .start_s = INT64_MIN, .end_s = INT64_MAX};
	struct bh_path_query q = {.leaf = cert, .at_s = NOW_S, .is_strict = true};
	struct bh_trust trust = {.tlogs = {.n = 0}};
	X509 *issuer = NULL;
	struct bh_flaw flaw;

	ca.intermediates = sk_X509_new_null();
	if (bh_cert_path(&ca, &q, &issuer, &flaw))
		must_explain(&flaw);
	X509_free(issuer);
	sk_X509_free(ca.intermediates);
	if (bh_sct_verify(cert, cert, &trust, &flaw))
		must_explain(&flaw);
}

static void read_cert(const struct bh_blob *in)
{
	BH_CLEANUP(bh_x509_freep) X509 *cert = bh_der_cert(in->v, in->n);
	BH_CLEANUP(bh_freep) char *subject = NULL, *issuer = NULL, *ext = NULL;
	int64_t start_s, end_s;
	struct bh_flaw flaw;
	struct bh_key key;

	if (!cert)
		return;
	if (bh_cert_subject(cert, &subject, &flaw))
		must_explain(&flaw);
	if (bh_cert_issuer(cert, &issuer, &flaw))
		must_explain(&flaw);
	if (bh_cert_may_sign_code(cert, &flaw))
		must_explain(&flaw);
	ext = bh_cert_extension(cert, "1.3.6.1.4.1.57264.1.11");
	bh_cert_has_name(cert, "x");
	bh_cert_validity(cert, &start_s, &end_s);
	if (bh_key_of_cert(&key, cert, &flaw))
		must_explain(&flaw);
	else
		bh_key_done(&key);
	walk_path(cert);
}

static void read_stamp(const struct bh_blob *in, bool is_token)
{
	const struct bh_trust none = {.tlogs = {.n = 0}}, *trusts[] = {&none};
	struct bh_blob message = {(unsigned char *)"x", 1};
	struct bh_stamp_query q = {
		.der = in,
		.message = &message,
		.trusts = {trusts, 1},
		.now_s = NOW_S,
		.is_token = is_token,
	};
	struct bh_flaw flaw;
	int64_t at_s;

	if (!bh_stamp_verify(&q, &at_s, &flaw))
		abort(); /* nobody is trusted */
	must_explain(&flaw);
}

static void read_response(const struct bh_blob *in)
{
	read_stamp(in, false);
}

static void read_token(const struct bh_blob *in)
{
	read_stamp(in, true);
}

static void read_cose(const struct bh_blob *in)
{
	struct bh_signer_rule rule = {.p = &(struct bh_image_signer){.kind = BH_IMAGE_NOTATION}};
	struct bh_notation n = {.algorithm = NULL};
	struct bh_signed_by by;
	struct bh_flaw flaw;

	if (bh_notation_read_cose(in, &n, &flaw) ||
	    bh_notation_judge(&n, "sha256:00", &rule, 0, &by, &flaw))
		must_explain(&flaw);
	bh_notation_done(&n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const readers[])(const struct bh_blob *) = {
		read_cert,
		read_response,
		read_token,
		read_cose,
	};
	struct bh_blob in;

	if (!size || data[0] < 'a' || data[0] >= 'a' + BH_ARRAY_SIZE(readers))
		return 0;
	if (bh_blob_copy(data + 1, size - 1, &in))
		return 0;
	readers[data[0] - 'a'](&in);
	bh_blob_done(&in);
	return 0;
}
