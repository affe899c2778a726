#include "verify/statement.h"

#include <string.h>

#include "verify/verify.h"

#define IN_TOTO		 "application/vnd.in-toto+json"
#define MAX_SUBJECTS	 1024
#define MAX_DIGESTS	 32
#define SIMPLE_SIGN_TYPE "cosign container image signature"

int bh_claims_check(const json_t *claims, const struct bh_image_pairs *wanted, struct bh_flaw *flaw)
{
	bh_vec_each (pair, wanted) {
		if (!bh_vjson_is(claims, pair->key, pair->value))
			return bh_flaw(flaw, BH_WORD_ANNOTATION_MISMATCH,
				       "'%s=%s' is not among the signed claims", pair->key,
				       pair->value);
	}
	return 0;
}

int bh_simple_check(const struct bh_evidence *ev, const char *digest,
		    const struct bh_image_signer *signer, struct bh_flaw *flaw)
{
	BH_CLEANUP(bh_json_decrefp) json_t *root = NULL;
	const json_t *critical, *image, *identity;
	int r = bh_vjson_parse(ev->message.v, ev->message.n, BH_IMAGE_MAX_BLOB, &root, flaw);

	if (r)
		return r;
	critical = bh_vjson_obj(root, "critical");
	image = bh_vjson_obj(critical, "image");
	identity = bh_vjson_obj(critical, "identity");
	if (!bh_vjson_is(critical, "type", SIMPLE_SIGN_TYPE))
		return bh_flaw(flaw, BH_WORD_PAYLOAD_TYPE, "the payload is no image signature");
	if (!bh_vjson_is(image, "docker-manifest-digest", digest))
		return bh_flaw(flaw, BH_WORD_DIGEST_MISMATCH, "it is about another image");
	if (signer->signed_repository &&
	    !bh_vjson_is(identity, "docker-reference", signer->signed_repository))
		return bh_flaw(flaw, BH_WORD_REPOSITORY_MISMATCH, "it was signed for '%s'",
			       bh_vjson_str(identity, "docker-reference")
				       ? bh_vjson_str(identity, "docker-reference")
				       : "");
	return bh_claims_check(bh_vjson_obj(root, "optional"), &signer->annotations, flaw);
}

void bh_statement_done(struct bh_statement *s)
{
	json_decref(s->root);
	*s = (struct bh_statement){0};
}

/* "sha256:<hex>": the subject's digest of that name is that hex. */
static bool is_subject(const json_t *subject, const char *digest)
{
	const json_t *digests = bh_vjson_obj(subject, "digest");
	const char *name = strncmp(digest, "sha512:", 7) ? "sha256" : "sha512";

	return json_object_size(digests) <= MAX_DIGESTS && bh_vjson_is(digests, name, digest + 7);
}

static int find_subject(const json_t *root, const char *digest, struct bh_statement *s,
			struct bh_flaw *flaw)
{
	const json_t *subjects = bh_vjson_arr(root, "subject");
	size_t i;
	json_t *j;

	if (json_array_size(subjects) > MAX_SUBJECTS)
		return bh_flaw(flaw, BH_WORD_TOO_MANY, "more than %d subjects", MAX_SUBJECTS);
	json_array_foreach(subjects, i, j)
	{
		if (is_subject(j, digest)) {
			s->annotations = bh_vjson_obj(j, "annotations");
			return 0;
		}
	}
	return bh_flaw(flaw, BH_WORD_DIGEST_MISMATCH, "the statement is about another image");
}

int bh_statement_read(const struct bh_evidence *ev, const char *digest, struct bh_statement *ret,
		      struct bh_flaw *flaw)
{
	BH_CLEANUP(bh_json_decrefp) json_t *root = NULL;
	struct bh_statement s = {0};
	int r;

	if (strcmp(ev->payload_type, IN_TOTO))
		return bh_flaw(flaw, BH_WORD_PAYLOAD_TYPE, "the envelope holds no statement");
	r = bh_vjson_parse(ev->payload.v, ev->payload.n, BH_IMAGE_MAX_ATTESTATION, &root, flaw);
	if (r)
		return r;
	if (!bh_vjson_is(root, "_type", "https://in-toto.io/Statement/v1") &&
	    !bh_vjson_is(root, "_type", "https://in-toto.io/Statement/v0.1"))
		return bh_flaw(flaw, BH_WORD_PAYLOAD_TYPE, "the statement is of an unknown type");
	r = find_subject(root, digest, &s, flaw);
	if (r)
		return r;
	s.predicate_type = bh_vjson_str(root, "predicateType");
	if (!s.predicate_type)
		return bh_flaw(flaw, BH_WORD_MALFORMED, "the statement has no predicateType");
	s.predicate = json_object_get(root, "predicate");
	s.root = BH_TAKE(root);
	*ret = s;
	return 0;
}

int bh_message_check(const struct bh_evidence *ev, struct bh_flaw *flaw)
{
	unsigned char got[BH_HASH_MAX];
	size_t n;

	if (!ev->claimed.n)
		return 0;
	n = bh_evidence_hash(ev, ev->claimed_bits, got);
	return bh_blob_is(&ev->claimed, got, n)
		       ? 0
		       : bh_flaw(flaw, BH_WORD_DIGEST_MISMATCH,
				 "the bundle says it is about another artifact");
}
