/* verify.h - is this image one that the policy accepts? Three answers, never two.
 *
 * Pure: bytes come from sources (verify/source.h), the time is an argument, nothing is kept between
 * calls. Hostile input is the normal case here; every limit below holds whatever is sent. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"
#include "base/vec.h"
#include "verify/image_policy.h"
#include "verify/source.h"
#include "verify/word.h"

/* Limits of one verification. */
#define BH_IMAGE_MAX_MANIFEST	 (4u << 20)  /* manifest, index */
#define BH_IMAGE_MAX_BLOB	 (4u << 20)  /* payload, bundle, signature envelope */
#define BH_IMAGE_MAX_ATTESTATION (16u << 20) /* envelopes of attestations carry whole reports */
#define BH_IMAGE_MAX_SIGNATURES	 64	     /* layers tried, .sig and .att each */
#define BH_IMAGE_MAX_REFERRERS	 64
#define BH_IMAGE_MAX_CHECKS	 96
#define BH_DIGEST_TEXT		 136 /* "sha512:" + 128 + NUL */

/* ---- rules: a policy made ready ---- */

struct bh_image_rules;

/* Parses keys, trust roots, certificates and expressions of `p`, which must outlive the rules and
 * not change. Fails with a sentence for what cannot be enforced as written: an unreadable key, a
 * trust root without validity, an unknown trust root, an expression longer than 256 bytes, a rule
 * that does not fit the type of its attestation. A key that is too weak is no error here: its
 * signatures are refused, see bh_image_rules_weak(). */
int bh_image_rules_new(const struct bh_image_policy *p, struct bh_image_rules **ret_rules,
		       struct bh_err *err);
void bh_image_rules_free(struct bh_image_rules *r);
void bh_image_rules_freep(struct bh_image_rules **r);

/* The file of the first key that is too weak to count; NULL when there is none. Borrowed from the
 * policy. */
const char *bh_image_rules_weak(const struct bh_image_rules *r);

/* ---- the question and its answer ---- */

enum bh_image_answer { BH_IMAGE_ACCEPT, BH_IMAGE_REJECT, BH_IMAGE_UNDECIDED };

struct bh_image_check {
	char *name; /* "image", "signature", "attestation https://slsa.dev/provenance/v1" */
	bool ok;
	char *detail; /* a sentence, valid UTF-8 without control characters */
};

/* All strings belong to the verdict; bh_image_verdict_done() frees them. */
struct bh_image_verdict {
	enum bh_image_answer answer;
	enum bh_image_word word;     /* OK with ACCEPT */
	char digest[BH_DIGEST_TEXT]; /* what was judged; "" when the reference did not resolve */
	char *signer;		     /* who signed it, of all counted signatures; NULL: nobody */
	int64_t until_s; /* ACCEPT: true until then as far as keys and reports go; BH_TIME_MAX */
	json_t *contents; /* verify/contents.h; NULL: its manifest was not seen */
	BH_VEC(struct bh_image_check) checks;
};

void bh_image_verdict_done(struct bh_image_verdict *v);

struct bh_image_query {
	const char *reference; /* registry.example/app:v1, app@sha256:..., as the user wrote it */
	const struct bh_image_source *image; /* where the reference resolves; signatures too */
	const struct bh_image_source *const *stores; /* asked for signatures before `image` */
	size_t n_stores;
	/* asked for signatures when what `image` has is not enough: mirrors often have none, or old
	 * ones; NULL: nobody */
	const struct bh_image_source *upstream;
	int64_t now_s;
};

/* Judges. Always fills in *ret_verdict (the caller ends it), also when memory ran out. */
void bh_image_verify(const struct bh_image_rules *rules, const struct bh_image_query *q,
		     struct bh_image_verdict *ret_verdict);
