/* predicate.h - what an attestation must say: who built the image, what a scanner found. */
#pragma once

#include "verify/rules.h"
#include "verify/statement.h"

/* How far ahead of our clock a report's time may lie. */
#define BH_REPORT_SKEW_S 300

struct bh_predicate_facts {
	int64_t made_s;	 /* when the report was finished; BH_TIME_MIN when it does not say */
	int64_t until_s; /* the answer holds until then */
};

/* Judges a predicate whose signature, subject and type were checked before. *ret is filled in also
 * on failure: of several reports the newest counts, good or bad. BUILDER_MISMATCH, ATT_MALFORMED,
 * ATT_STALE, VULN_THRESHOLD. */
int bh_predicate_check(const json_t *predicate, const struct bh_attestation_rule *rule,
		       int64_t now_s, struct bh_predicate_facts *ret, struct bh_flaw *flaw);

/* ---- vuln.c ---- */
int bh_vuln_check(const json_t *predicate, const struct bh_image_attestation *p, int64_t now_s,
		  struct bh_predicate_facts *ret, struct bh_flaw *flaw);
