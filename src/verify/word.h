/* word.h - why an image was not accepted, as one word. The list is ordered: of several signatures
 * that all failed, the verdict names the failure that comes last here, for it got furthest.
 *
 *	BH_WORD(NAME, text) */
#pragma once

#define BH_IMAGE_WORDS(BH_WORD)                                                                    \
	BH_WORD(OK, "")                                                                            \
	BH_WORD(NO_SIGNATURE, "no-signature")                                                      \
	BH_WORD(TOO_MANY, "too-many")                                                              \
	BH_WORD(TOO_LARGE, "too-large")                                                            \
	BH_WORD(MEDIA_TYPE, "media-type")                                                          \
	BH_WORD(BLOB_DIGEST, "blob-digest")                                                        \
	BH_WORD(MALFORMED, "malformed")                                                            \
	BH_WORD(UNSUPPORTED, "unsupported-algorithm")                                              \
	BH_WORD(ALGORITHM, "algorithm")                                                            \
	BH_WORD(WRONG_KEY, "wrong-key")                                                            \
	BH_WORD(KEY_WEAK, "key-weak")                                                              \
	BH_WORD(SIGNATURE_INVALID, "signature-invalid")                                            \
	BH_WORD(CERT_CHAIN, "cert-chain")                                                          \
	BH_WORD(CERT_TIME, "cert-time")                                                            \
	BH_WORD(CERT_EKU, "cert-eku")                                                              \
	BH_WORD(TLOG_MISSING, "tlog-missing")                                                      \
	BH_WORD(TLOG_UNKNOWN, "tlog-unknown")                                                      \
	BH_WORD(TLOG_SET, "tlog-set-invalid")                                                      \
	BH_WORD(TLOG_PROOF, "tlog-proof-invalid")                                                  \
	BH_WORD(TLOG_CHECKPOINT, "tlog-checkpoint-invalid")                                        \
	BH_WORD(TLOG_BODY, "tlog-body-mismatch")                                                   \
	BH_WORD(TIMESTAMP_MISSING, "timestamp-missing")                                            \
	BH_WORD(TIMESTAMP_INVALID, "timestamp-invalid")                                            \
	BH_WORD(KEY_NOT_YET, "key-not-yet-valid")                                                  \
	BH_WORD(KEY_EXPIRED, "key-expired")                                                        \
	BH_WORD(SIGNATURE_EXPIRED, "signature-expired")                                            \
	BH_WORD(SCT_MISSING, "sct-missing")                                                        \
	BH_WORD(SCT_INVALID, "sct-invalid")                                                        \
	BH_WORD(ISSUER_MISMATCH, "issuer-mismatch")                                                \
	BH_WORD(IDENTITY_MISMATCH, "identity-mismatch")                                            \
	BH_WORD(PAYLOAD_TYPE, "payload-type")                                                      \
	BH_WORD(DIGEST_MISMATCH, "digest-mismatch")                                                \
	BH_WORD(REPOSITORY_MISMATCH, "repository-mismatch")                                        \
	BH_WORD(ANNOTATION_MISMATCH, "annotation-mismatch")                                        \
	BH_WORD(THRESHOLD, "threshold")                                                            \
	BH_WORD(ATT_MISSING, "attestation-missing")                                                \
	BH_WORD(ATT_MALFORMED, "attestation-malformed")                                            \
	BH_WORD(BUILDER_MISMATCH, "builder-mismatch")                                              \
	BH_WORD(ATT_STALE, "attestation-stale")                                                    \
	BH_WORD(VULN_THRESHOLD, "vuln-threshold")                                                  \
	BH_WORD(NOT_FOUND, "not-found")                                                            \
	BH_WORD(REFERENCE, "reference")                                                            \
	BH_WORD(REGISTRY, "registry")                                                              \
	BH_WORD(AUTH, "auth")                                                                      \
	BH_WORD(REDIRECT, "redirect")                                                              \
	BH_WORD(TIMEOUT, "timeout")                                                                \
	BH_WORD(CLOCK, "clock")                                                                    \
	BH_WORD(INTERNAL, "internal")

enum bh_image_word {
#define BH_WORD(name, text) BH_WORD_##name,
	BH_IMAGE_WORDS(BH_WORD)
#undef BH_WORD
		BH_N_IMAGE_WORDS
};

/* The text of a word; static. */
const char *bh_image_word_text(enum bh_image_word w);
