/* cert.h - certificates of signers: who they name, what they may do, and the path to an anchor the
 * operator chose. Nothing that came with a signature is ever an anchor. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <openssl/x509.h>

#include "verify/flaw.h"

/* An authority: leaf certificates are good when a path leads to the anchor. */
struct bh_ca {
	X509 *anchor;
	STACK_OF(X509) * intermediates; /* trusted, but they need not be used */
	int64_t start_s, end_s;		/* when the authority counts, both ends inclusive */
};

void bh_ca_done(struct bh_ca *ca);

struct bh_path_query {
	X509 *leaf;
	STACK_OF(X509) * hints; /* untrusted intermediates, may be NULL */
	int64_t at_s;
	bool is_strict; /* RFC 5280 to the letter, as Fulcio issues */
};

/* Looks for a path at one moment, the authority's own validity included. CERT_TIME when only the
 * time is wrong, else CERT_CHAIN. *ret_issuer (may be NULL): the certificate that issued the leaf,
 * NULL when the leaf is the anchor; the caller frees it. */
int bh_cert_path(const struct bh_ca *ca, const struct bh_path_query *q, X509 **ret_issuer,
		 struct bh_flaw *flaw);

/* CERT_EKU unless it is no CA, may sign, and says codeSigning. */
int bh_cert_may_sign_code(X509 *leaf, struct bh_flaw *flaw);

/* The one subject alternative name of a Fulcio certificate: e-mail, URI or Fulcio's otherName, on
 * the heap. IDENTITY_MISMATCH when there is none, another kind, or more than one. */
int bh_cert_subject(X509 *leaf, char **ret, struct bh_flaw *flaw);

/* true when one of its e-mail, URI or DNS names is exactly this. */
bool bh_cert_has_name(X509 *leaf, const char *name);

/* The OIDC issuer: .1.8, and only without it .1.1; on the heap. ISSUER_MISMATCH. */
int bh_cert_issuer(X509 *leaf, char **ret, struct bh_flaw *flaw);

/* The text of an extension named by OID, on the heap; NULL when the certificate has none, has two,
 * or has one that is no text. */
char *bh_cert_extension(X509 *leaf, const char *oid);

/* The OID of one of Fulcio's extensions by its name ("Runner Environment", without regard to case,
 * blanks and dashes), or the text itself when it is an OID; NULL otherwise. Static or borrowed. */
const char *bh_fulcio_oid(const char *name);

/* notBefore and notAfter in seconds since 1970. -EINVAL for times nobody can read. */
int bh_cert_validity(X509 *cert, int64_t *ret_start_s, int64_t *ret_end_s);
