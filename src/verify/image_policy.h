/* image_policy.h - an ImagePolicy as a plain struct: what the YAML said, with the bytes of every
 * file it names already read.
 *
 * Nothing here is checked beyond its form; bh_image_rules_new() (verify/verify.h) parses the keys,
 * roots and expressions once and refuses what cannot be enforced. All strings and blobs belong to
 * the policy; bh_image_policy_free() frees everything. NULL strings mean "not given". */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/vec.h"
#include "verify/source.h"

enum bh_image_mode { BH_IMAGE_ENFORCE, BH_IMAGE_QUARANTINE, BH_IMAGE_AUDIT };

/* What an UNDECIDED means. LAST: the last verdict for the digest if it is young enough, else deny.
 */
enum bh_image_on_error {
	BH_IMAGE_ON_ERROR_LAST,
	BH_IMAGE_ON_ERROR_DENY,
	BH_IMAGE_ON_ERROR_QUARANTINE,
	BH_IMAGE_ON_ERROR_ALLOW,
};

/* Times are seconds since 1970; these stand for "no bound". */
#define BH_TIME_MIN INT64_MIN
#define BH_TIME_MAX INT64_MAX

BH_VEC_TYPE(bh_image_strings, char *);

struct bh_image_key {
	char *file;	      /* as the policy names it, for sentences */
	struct bh_blob pem;   /* SubjectPublicKeyInfo in PEM */
	int64_t not_before_s; /* BH_TIME_MIN when not given */
	int64_t not_after_s;  /* BH_TIME_MAX when not given; inclusive */
};

/* A claim by name: an annotation that must be signed, or an extension a certificate must carry. */
struct bh_image_pair {
	char *key; /* extensions: dotted OID, or the name in Fulcio's document, "RunInvocationURI"
		    */
	char *value;
};
BH_VEC_TYPE(bh_image_pairs, struct bh_image_pair);

/* Exactly one of issuer, issuer_regex and exactly one of subject, subject_regex. A regex is POSIX
 * extended and always matches the whole text. */
struct bh_image_identity {
	char *issuer, *issuer_regex;
	char *subject, *subject_regex;
	struct bh_image_pairs extensions;
};

enum bh_image_signer_kind {
	BH_IMAGE_KEYS,	       /* keys */
	BH_IMAGE_KEYLESS,      /* trust_root, identities */
	BH_IMAGE_CERTIFICATES, /* roots, subject */
	BH_IMAGE_NOTATION,     /* roots, trusted_identities, level */
};

/* What a signature must bring along. The reader of the YAML sets the defaults: keyless tlog and
 * sct, all others nothing. */
struct bh_image_require {
	bool tlog, sct, timestamp;
};

enum bh_notation_level { BH_NOTATION_STRICT, BH_NOTATION_PERMISSIVE };

struct bh_image_signer {
	char *name;
	enum bh_image_signer_kind kind;
	BH_VEC(struct bh_image_key) keys;
	char *trust_root; /* name of one of the policy's trust roots; NULL: any of them */
	BH_VEC(struct bh_image_identity) identities;
	char *roots_file;
	struct bh_blob roots; /* certificates and notation: PEM, one or more certificates */
	char *subject;	      /* certificates: e-mail, URI or DNS name of the leaf, exactly */
	struct bh_image_strings trusted_identities; /* "x509.subject: C=..,ST=..,O=.." or "*" */
	enum bh_notation_level level;
	struct bh_image_require require;
	struct bh_image_pairs annotations; /* signed claims, all of them */
	char *signed_repository;	   /* docker-reference of the payload, exactly */
};
BH_VEC_TYPE(bh_image_signers, struct bh_image_signer);

struct bh_image_exception {
	char *id;	 /* CVE-..., compared without regard to case */
	int64_t until_s; /* from this second on it is no exception any more; BH_TIME_MAX: none */
	char *why;
};

enum bh_severity {
	BH_SEVERITY_NONE, /* not given: severities are not judged */
	BH_SEVERITY_UNKNOWN,
	BH_SEVERITY_LOW,
	BH_SEVERITY_MEDIUM,
	BH_SEVERITY_HIGH,
	BH_SEVERITY_CRITICAL,
};

struct bh_image_attestation {
	char *type; /* URI or one of slsaprovenance, slsaprovenance1, vuln, spdx, cyclonedx */
	struct bh_image_signers signers; /* any of them */
	char *builder_id;
	enum bh_severity fail_on; /* this severity and all above */
	bool ignore_unfixed;
	uint32_t max_age_days; /* 0: not given */
	BH_VEC(struct bh_image_exception) exceptions;
};

struct bh_image_trust_root {
	char *name, *file;
	struct bh_blob json; /* trusted_root.json */
};

struct bh_image_match {
	struct bh_image_strings namespaces, images, exclude;
};

struct bh_image_policy {
	char *name;
	char *origin; /* file:line of the document, for sentences; two policies of one name differ in
			 it */
	struct bh_image_match match;
	enum bh_image_mode mode;
	enum bh_image_on_error on_error;
	bool require_digest;
	struct bh_image_strings insecure_registries;
	char *signature_store;
	char *signature_repository; /* "registry/repository" that holds the signatures */
	BH_VEC(struct bh_image_trust_root) trust_roots;
	struct bh_image_signers signers;
	uint32_t threshold; /* 0 counts as 1 */
	BH_VEC(struct bh_image_attestation) attestations;
};

struct bh_image_policy *bh_image_policy_new(void); /* zeroed; NULL when memory ran out */
void bh_image_policy_free(struct bh_image_policy *p);
void bh_image_policy_freep(struct bh_image_policy **p);

/* For readers that build a policy piece by piece. */
void bh_image_signer_done(struct bh_image_signer *s);
void bh_image_attestation_done(struct bh_image_attestation *a);
void bh_image_strings_done(struct bh_image_strings *s);
