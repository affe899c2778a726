/* notation.h - signatures of the Notary Project: a JWS or COSE envelope with its certificates.
 *
 * Revocation is not looked at: it needs requests to servers that the signature names. */
#pragma once

#include "verify/judge.h"

#define BH_TYPE_NOTATION "application/vnd.cncf.notary.signature"
#define BH_TYPE_JOSE	 "application/jose+json"
#define BH_TYPE_COSE	 "application/cose"

/* What both envelopes come down to. Owned by whoever read it. */
struct bh_notation {
	struct bh_blob message;	  /* the bytes under the signature */
	struct bh_blob payload;	  /* {"targetArtifact": {...}} */
	struct bh_blob signature; /* ECDSA: r and s, each as long as the curve */
	struct bh_blob stamp;	  /* RFC 3161 token; empty when there is none */
	char *algorithm;	  /* "PS256", "ES384" ... */
	char *content_type;
	char *scheme;	  /* notary.x509, notary.x509.signingAuthority */
	int64_t signed_s; /* signed, but only the signer's word */
	int64_t expiry_s; /* BH_TIME_MAX: none */
	X509 *leaf;
	STACK_OF(X509) * hints;
};

void bh_notation_done(struct bh_notation *n);
/* The envelope's next certificate, taken: the first is the signer's, the others are hints. */
int bh_notation_take_cert(struct bh_notation *n, X509 *take_cert, struct bh_flaw *flaw);

int bh_notation_read_jws(const struct bh_blob *envelope, struct bh_notation *ret,
			 struct bh_flaw *flaw);
int bh_notation_read_cose(const struct bh_blob *envelope, struct bh_notation *ret,
			  struct bh_flaw *flaw);

/* Judges one envelope, content and all, for a signer of kind notation. */
int bh_notation_judge(const struct bh_notation *n, const char *digest,
		      const struct bh_signer_rule *signer, int64_t now_s, struct bh_signed_by *ret,
		      struct bh_flaw *flaw);
