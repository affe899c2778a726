/* key.h - public keys and the one algorithm each may be used with. The algorithm follows from the
 * key and the form of the signature, never from what the signature says about itself. */
#pragma once

#include <stdbool.h>

#include <openssl/x509.h>

#include "verify/bytes.h"
#include "verify/flaw.h"

enum bh_key_kind { BH_KEY_P256, BH_KEY_P384, BH_KEY_P521, BH_KEY_RSA, BH_KEY_ED25519 };

enum bh_sig_form {
	BH_SIG_CLASSIC, /* SHA-256 whatever the curve; Ed25519 over the message */
	BH_SIG_BUNDLE,	/* the curve's own hash, for P-384 and P-521 SHA-256 as well */
	BH_SIG_LOG,	/* what logs sign: the same hashes, Ed25519 over the message */
};

struct bh_key {
	EVP_PKEY *pkey;
	enum bh_key_kind kind;
	bool is_weak; /* RSA below 2048 or above 8192 bits or to the power of 1, Ed25519 of small
		       * order: verifies nothing
		       */
	unsigned char spki[BH_SHA256_LEN]; /* sha256 of the SubjectPublicKeyInfo */
	unsigned char *der;		   /* the SubjectPublicKeyInfo itself */
	size_t n_der;
};

/* Takes pkey over, also on failure. UNSUPPORTED for a kind of key or curve not listed above. */
int bh_key_init(struct bh_key *k, EVP_PKEY *take_pkey, struct bh_flaw *flaw);
void bh_key_done(struct bh_key *k);

/* The key of a certificate. */
int bh_key_of_cert(struct bh_key *k, const X509 *cert, struct bh_flaw *flaw);

/* SubjectPublicKeyInfo in DER, every byte of it. */
int bh_key_of_der(struct bh_key *k, const unsigned char *der, size_t n, struct bh_flaw *flaw);

/* SIGNATURE_INVALID when it does not verify, KEY_WEAK, UNSUPPORTED. An ECDSA signature must be DER
 * to the last byte. */
int bh_key_verify(const struct bh_key *k, enum bh_sig_form form, const struct bh_blob *message,
		  const struct bh_blob *signature, struct bh_flaw *flaw);
/* The same when only the message's SHA-256 is known; Ed25519 needs the message. */
int bh_key_verify_hash(const struct bh_key *k, const struct bh_blob *hash,
		       const struct bh_blob *signature, struct bh_flaw *flaw);
