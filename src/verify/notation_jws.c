#include <string.h>

#include "base/str.h"
#include "verify/notation.h"
#include "verify/pem.h"
#include "verify/rfc3339.h"
#include "verify/vjson.h"

#define MAX_ENVELOPE (1u << 20)
#define NOTARY	     "io.cncf.notary."

static int bad(struct bh_flaw *flaw, const char *what)
{
	return bh_flaw(flaw, BH_WORD_MALFORMED, "JWS: %s", what);
}

static int member_b64url(const json_t *obj, const char *key, struct bh_blob *ret,
			 struct bh_flaw *flaw)
{
	const char *text = bh_vjson_str(obj, key);

	if (!text || !*text || bh_b64url_decode(text, strlen(text), ret))
		return bh_flaw(flaw, BH_WORD_MALFORMED, "JWS: '%s' is missing or no base64url",
			       key);
	return 0;
}

/* What is critical must be understood, and the scheme must be critical. */
static int check_crit(const json_t *head, struct bh_flaw *flaw)
{
	static const char *const known[] = {
		NOTARY "signingScheme",
		NOTARY "expiry",
		NOTARY "authenticSigningTime",
	};
	const json_t *crit = bh_vjson_arr(head, "crit");
	bool has_scheme = false;
	size_t i;
	json_t *j;

	json_array_foreach(crit, i, j)
	{
		const char *text = json_string_value(j);
		bool is_known = false;

		for (size_t k = 0; text && k < BH_ARRAY_SIZE(known); k++)
			is_known = is_known || !strcmp(text, known[k]);
		if (!is_known || !json_object_get(head, text))
			return bad(flaw, "a critical header that is unknown or missing");
		has_scheme = has_scheme || !strcmp(text, known[0]);
	}
	return has_scheme ? 0 : bad(flaw, "the signing scheme is not critical");
}

static int read_time(const json_t *head, const char *key, int64_t *ret, struct bh_flaw *flaw)
{
	const char *text = bh_vjson_str(head, key);

	if (json_object_get(head, key) && (!text || bh_rfc3339_parse(text, ret)))
		return bh_flaw(flaw, BH_WORD_MALFORMED, "JWS: '%s' is no time", key);
	return 0;
}

static int read_head(const json_t *head, struct bh_notation *n, struct bh_flaw *flaw)
{
	const char *alg = bh_vjson_str(head, "alg"), *type = bh_vjson_str(head, "cty");
	const char *scheme = bh_vjson_str(head, NOTARY "signingScheme");
	int r = check_crit(head, flaw);

	if (r)
		return r;
	if (!alg || !type || !scheme || !json_object_get(head, NOTARY "signingTime"))
		return bad(flaw, "alg, cty, signingScheme or signingTime is missing");
	n->algorithm = strdup(alg);
	n->content_type = strdup(type);
	n->scheme = strdup(scheme);
	if (!n->algorithm || !n->content_type || !n->scheme)
		return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	r = read_time(head, NOTARY "signingTime", &n->signed_s, flaw);
	return r ? r : read_time(head, NOTARY "expiry", &n->expiry_s, flaw);
}

static int read_protected(const json_t *root, struct bh_notation *n, struct bh_flaw *flaw)
{
	BH_CLEANUP(bh_json_decrefp) json_t *head = NULL;
	BH_CLEANUP(bh_blob_done) struct bh_blob bytes = {0};
	int r = member_b64url(root, "protected", &bytes, flaw);

	if (!r)
		r = bh_vjson_parse(bytes.v, bytes.n, MAX_ENVELOPE, &head, flaw);
	return r ? r : read_head(head, n, flaw);
}

static int read_cert(const json_t *j, struct bh_notation *n, struct bh_flaw *flaw)
{
	BH_CLEANUP(bh_blob_done) struct bh_blob der = {0};
	X509 *cert = NULL;

	if (json_is_string(j) && !bh_b64_decode(json_string_value(j), json_string_length(j), &der))
		cert = bh_der_cert(der.v, der.n);
	if (!cert)
		return bad(flaw, "a certificate that cannot be read");
	return bh_notation_take_cert(n, cert, flaw);
}

static int read_unprotected(const json_t *header, struct bh_notation *n, struct bh_flaw *flaw)
{
	const json_t *chain = bh_vjson_arr(header, "x5c");
	size_t i;
	json_t *j;

	if (!json_array_size(chain) || json_array_size(chain) > BH_MAX_CHAIN)
		return bad(flaw, "no certificates, or too many");
	n->hints = sk_X509_new_null();
	json_array_foreach(chain, i, j)
	{
		int r = read_cert(j, n, flaw);

		if (r)
			return r;
	}
	if (!json_object_get(header, NOTARY "timestampSignature"))
		return 0;
	return bh_vjson_b64(header, NOTARY "timestampSignature", 65536, &n->stamp, flaw);
}

/* What is signed is the text of the two parts, as it was sent. */
static int build_message(const json_t *root, struct bh_notation *n, struct bh_flaw *flaw)
{
	char *text =
		bh_strf("%s.%s", bh_vjson_str(root, "protected"), bh_vjson_str(root, "payload"));

	if (!text)
		return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	n->message = (struct bh_blob){(unsigned char *)text, strlen(text)};
	return 0;
}

int bh_notation_read_jws(const struct bh_blob *envelope, struct bh_notation *ret,
			 struct bh_flaw *flaw)
{
	BH_CLEANUP(bh_json_decrefp) json_t *root = NULL;
	BH_CLEANUP(bh_notation_done) struct bh_notation n = {.expiry_s = BH_TIME_MAX};
	int r = bh_vjson_parse(envelope->v, envelope->n, MAX_ENVELOPE, &root, flaw);

	if (!r)
		r = read_protected(root, &n, flaw);
	if (!r)
		r = member_b64url(root, "payload", &n.payload, flaw);
	if (!r)
		r = member_b64url(root, "signature", &n.signature, flaw);
	if (!r)
		r = read_unprotected(bh_vjson_obj(root, "header"), &n, flaw);
	if (!r)
		r = build_message(root, &n, flaw);
	if (r)
		return r;
	*ret = n;
	n = (struct bh_notation){0};
	return 0;
}
