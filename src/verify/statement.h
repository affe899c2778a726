/* statement.h - what a verified signature says: the claims of a simple signing payload, or an
 * in-toto statement. Call it only after the signature has been verified. */
#pragma once

#include "verify/evidence.h"
#include "verify/image_policy.h"
#include "verify/vjson.h"

#define BH_PREDICATE_SIGNATURE "https://sigstore.dev/cosign/sign/v1"

struct bh_statement {
	json_t *root;		    /* owned */
	const char *predicate_type; /* borrowed from root, like the rest */
	const json_t *predicate;
	const json_t *annotations; /* of the subject that is the image; may be NULL */
};

/* PAYLOAD_TYPE, MALFORMED, or DIGEST_MISMATCH unless a subject is `digest`. */
int bh_statement_read(const struct bh_evidence *ev, const char *digest, struct bh_statement *ret,
		      struct bh_flaw *flaw);
void bh_statement_done(struct bh_statement *s);

/* A payload of simple signing: its type, its digest, the policy's annotations and repository. */
int bh_simple_check(const struct bh_evidence *ev, const char *digest,
		    const struct bh_image_signer *signer, struct bh_flaw *flaw);

/* Every claim the policy wants must be there with that value. ANNOTATION_MISMATCH. */
int bh_claims_check(const json_t *claims, const struct bh_image_pairs *wanted,
		    struct bh_flaw *flaw);

/* What a message signature says about its message. DIGEST_MISMATCH. */
int bh_message_check(const struct bh_evidence *ev, struct bh_flaw *flaw);
