#include "verify/trial.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "verify/predicate.h"
#include "verify/rfc3339.h"

int bh_trial_init(struct bh_trial *t, const struct bh_image_rules *rules, const char *digest,
		  struct bh_image_verdict *verdict)
{
	*t = (struct bh_trial){.rules = rules, .digest = digest, .verdict = verdict};
	t->attested = calloc(rules->attestations.n + 1, sizeof(*t->attested));
	return t->attested ? 0 : -ENOMEM;
}

void bh_trial_done(struct bh_trial *t)
{
	bh_blob_done(&t->manifest);
	bh_vec_each (by, &t->signed_by)
		bh_signed_by_done(by);
	bh_vec_done(&t->signed_by);
	for (size_t i = 0; t->attested && i < t->rules->attestations.n; i++)
		free(t->attested[i].who);
	free(t->attested);
}

void bh_verdict_check(struct bh_image_verdict *v, bool ok, const char *name, const char *fmt, ...)
{
	struct bh_image_check check = {.ok = ok};
	char text[BH_ERR_TEXT];
	struct bh_err clean;
	va_list ap;

	if (v->checks.n >= BH_IMAGE_MAX_CHECKS)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	bh_fail(&clean, EINVAL, "%s", text); /* for what it does to hostile bytes */
	check.name = strdup(name);
	check.detail = strdup(clean.text);
	if (!check.name || !check.detail || bh_vec_push(&v->checks, check)) {
		free(check.name);
		free(check.detail);
	}
}

/* ---- what is missing ---- */

static uint32_t threshold_of(const struct bh_trial *t)
{
	uint32_t n = t->rules->p->threshold;

	return !t->rules->signers.n ? 0 : n ? n : 1;
}

static bool is_signed(const struct bh_trial *t)
{
	return t->signed_by.n >= threshold_of(t);
}

bool bh_trial_is_satisfied(const struct bh_trial *t)
{
	for (size_t i = 0; i < t->rules->attestations.n; i++)
		if (!t->attested[i].is_good)
			return false;
	return is_signed(t);
}

bool bh_trial_wants(const struct bh_trial *t, enum bh_use use)
{
	if (t->is_over)
		return false;
	/* of several reports the newest counts, so attestations are read to the end */
	return use == BH_USE_SIGNATURE ? !is_signed(t) : t->rules->attestations.n > 0;
}

/* ---- signatures ---- */

static bool is_known(const struct bh_trial *t, const struct bh_signed_by *by)
{
	bh_vec_each (known, &t->signed_by) {
		if (!memcmp(known->identity, by->identity, sizeof(by->identity)))
			return true;
		if (!memcmp(known->spki, by->spki, sizeof(by->spki)))
			return true;
	}
	return false;
}

/* What the signature brought along, one check each. */
static void check_vouched(struct bh_trial *t, const struct bh_vouched *v)
{
	char text[BH_RFC3339_TEXT];

	if (v->has_sct)
		bh_verdict_check(t->verdict, true, "certificate log",
				 "a trusted log has seen the "
				 "certificate");
	if (v->n_logs)
		bh_verdict_check(t->verdict, true, "transparency log", "%zu good %s", v->n_logs,
				 v->n_logs == 1 ? "entry" : "entries");
	if (v->n_stamps)
		bh_verdict_check(t->verdict, true, "timestamp", "%zu good", v->n_stamps);
	if (v->at_s == BH_TIME_MIN)
		return;
	bh_rfc3339_print(v->at_s, text);
	bh_verdict_check(t->verdict, true, "signing time", "%s", text);
}

void bh_trial_count(struct bh_trial *t, struct bh_signed_by *by, const char *where)
{
	bool is_new = !is_known(t, by);

	bh_verdict_check(t->verdict, true, "signature", "%s: by %s%s", where, by->who,
			 is_new ? "" : ", who has signed already");
	check_vouched(t, &by->vouched);
	if (is_new && !bh_vec_push(&t->signed_by, *by))
		by->who = NULL;
	bh_signed_by_done(by);
}

static int check_statement(const struct bh_evidence *ev, const char *digest,
			   const struct bh_image_signer *signer, struct bh_flaw *flaw)
{
	struct bh_statement s;
	int r = bh_statement_read(ev, digest, &s, flaw);

	if (r)
		return r;
	if (strcmp(s.predicate_type, BH_PREDICATE_SIGNATURE) != 0)
		r = bh_flaw(flaw, BH_WORD_NO_SIGNATURE, "it is an attestation of '%s'",
			    s.predicate_type);
	else if (signer->signed_repository)
		r = bh_flaw(flaw, BH_WORD_REPOSITORY_MISMATCH,
			    "this kind of signature names no repository");
	else
		r = bh_claims_check(s.annotations, &signer->annotations, flaw);
	bh_statement_done(&s);
	return r;
}

static int check_message(const struct bh_evidence *ev, const struct bh_image_signer *signer,
			 struct bh_flaw *flaw)
{
	if (signer->annotations.n || signer->signed_repository)
		return bh_flaw(flaw, BH_WORD_ANNOTATION_MISMATCH,
			       "this kind of signature carries no claims");
	return bh_message_check(ev, flaw);
}

static int check_content(const struct bh_trial *t, const struct bh_evidence *ev,
			 const struct bh_image_signer *signer, struct bh_flaw *flaw)
{
	switch (ev->content) {
	case BH_CONTENT_SIMPLE:
		return bh_simple_check(ev, t->digest, signer, flaw);
	case BH_CONTENT_DSSE:
		return check_statement(ev, t->digest, signer, flaw);
	case BH_CONTENT_MESSAGE:
		break;
	}
	return check_message(ev, signer, flaw);
}

static void offer_signature(struct bh_trial *t, const struct bh_evidence *ev)
{
	struct bh_flaw worst = {.word = BH_WORD_OK};

	bh_vec_each (signer, &t->rules->signers) {
		struct bh_signed_by by;
		struct bh_flaw one;

		if (signer->p->kind == BH_IMAGE_NOTATION)
			continue;
		if (bh_judge(ev, signer, t->now_s, &by, &one)) {
			bh_flaw_keep(&worst, &one);
			continue;
		}
		if (!check_content(t, ev, signer->p, &one)) {
			bh_trial_count(t, &by, ev->where);
			return;
		}
		bh_signed_by_done(&by);
		bh_flaw_keep(&worst, &one);
	}
	if (worst.word)
		bh_trial_flaw(t, ev->where, &worst);
}

/* ---- attestations ---- */

/* Signature, then statement, subject and type, and only then what it says. */
static int judge_attestation(const struct bh_trial *t, const struct bh_evidence *ev,
			     const struct bh_attestation_rule *rule,
			     const struct bh_signer_rule *signer, struct bh_attested *ret)
{
	struct bh_predicate_facts facts;
	struct bh_signed_by by;
	struct bh_statement s;
	int r = bh_judge(ev, signer, t->now_s, &by, &ret->flaw);

	if (r)
		return r;
	r = bh_statement_read(ev, t->digest, &s, &ret->flaw);
	if (r) {
		bh_signed_by_done(&by);
		return r;
	}
	r = bh_claims_check(s.annotations, &signer->p->annotations, &ret->flaw);
	if (!r && strcmp(s.predicate_type, rule->type) != 0)
		r = bh_flaw(&ret->flaw, BH_WORD_NO_SIGNATURE, "it is of another type");
	if (!r) {
		ret->is_seen = true;
		ret->is_good = !bh_predicate_check(s.predicate, rule, t->now_s, &facts, &ret->flaw);
		ret->made_s = facts.made_s;
		ret->until_s = by.until_s < facts.until_s ? by.until_s : facts.until_s;
		ret->who = BH_TAKE(by.who);
	}
	bh_statement_done(&s);
	bh_signed_by_done(&by);
	return r;
}

/* Of reports the newest counts, of two equally new ones the bad; of others any good one. */
static bool counts_more(const struct bh_attested *old, const struct bh_attested *new,
			enum bh_predicate_kind kind)
{
	if (!old->is_seen)
		return true;
	if (kind != BH_PREDICATE_VULN)
		return !old->is_good && new->is_good;
	return new->made_s > old->made_s ||
	       (new->made_s == old->made_s && old->is_good && !new->is_good);
}

static void offer_attestation(struct bh_trial *t, const struct bh_evidence *ev, size_t i)
{
	const struct bh_attestation_rule *rule = &t->rules->attestations.v[i];
	struct bh_attested *old = &t->attested[i];

	bh_vec_each (signer, &rule->signers) {
		struct bh_attested new = {.is_seen = false};
		struct bh_attested *loser = &new;

		if (judge_attestation(t, ev, rule, signer, &new)) {
			if (!old->is_seen && new.flaw.word != BH_WORD_NO_SIGNATURE)
				bh_flaw_keep(&old->flaw, &new.flaw);
			continue;
		}
		if (counts_more(old, &new, rule->kind)) {
			struct bh_attested swap = *old;

			*old = new;
			new = swap;
		}
		free(loser->who);
		return;
	}
}

void bh_trial_offer(struct bh_trial *t, const struct bh_evidence *ev, unsigned int uses)
{
	if ((uses & BH_USE_SIGNATURE) && bh_trial_wants(t, BH_USE_SIGNATURE))
		offer_signature(t, ev);
	if (!(uses & BH_USE_ATTESTATION) || ev->content != BH_CONTENT_DSSE)
		return;
	for (size_t i = 0; i < t->rules->attestations.n; i++)
		offer_attestation(t, ev, i);
}

/* ---- what went wrong ---- */

void bh_trial_flaw(struct bh_trial *t, const char *where, const struct bh_flaw *flaw)
{
	bh_flaw_keep(&t->worst, flaw);
	bh_verdict_check(t->verdict, false, "signature", "%s: %s", where, flaw->err.text);
}

void bh_trial_miss(struct bh_trial *t, enum bh_fetch f, const char *where,
		   const struct bh_fetch_why *why)
{
	struct bh_flaw flaw = {why->word, why->err};

	if (f == BH_FETCH_REFUSED)
		bh_trial_flaw(t, where, &flaw);
	if (f != BH_FETCH_FAULT)
		return;
	if (!t->has_fault)
		t->fault = *why;
	t->has_fault = true;
	t->is_over = t->is_over || why->word == BH_WORD_TIMEOUT;
	bh_verdict_check(t->verdict, false, "registry", "%s: %s", where, why->err.text);
}

/* ---- the end ---- */

static void decline(struct bh_trial *t, enum bh_image_word word)
{
	t->verdict->answer = t->has_fault ? BH_IMAGE_UNDECIDED : BH_IMAGE_REJECT;
	t->verdict->word = t->has_fault ? t->fault.word : word;
}

/* The attestation that is missing or bad; OK when there is none. */
static enum bh_image_word conclude_attestations(struct bh_trial *t)
{
	enum bh_image_word word = BH_WORD_OK;

	for (size_t i = 0; i < t->rules->attestations.n; i++) {
		const struct bh_attested *a = &t->attested[i];
		BH_CLEANUP(bh_freep)
		char *name = bh_strf("attestation %s", t->rules->attestations.v[i].type);

		if (a->is_good)
			bh_verdict_check(t->verdict, true, name ? name : "attestation", "by %s",
					 a->who);
		else
			bh_verdict_check(t->verdict, false, name ? name : "attestation", "%s",
					 a->flaw.word ? a->flaw.err.text : "there is none");
		if (a->is_good && a->until_s < t->verdict->until_s)
			t->verdict->until_s = a->until_s;
		if (!a->is_good && !word)
			word = a->is_seen ? a->flaw.word : BH_WORD_ATT_MISSING;
	}
	return word;
}

static void name_signers(struct bh_trial *t)
{
	struct bh_str names = {0};

	bh_vec_each (by, &t->signed_by) {
		bh_str_fmt(&names, "%s%s", names.n ? ", " : "", by->who);
		if (by->until_s < t->verdict->until_s)
			t->verdict->until_s = by->until_s;
	}
	/* where only attestations are demanded, whoever made them answers for the image */
	for (size_t i = 0; !t->rules->signers.n && i < t->rules->attestations.n; i++)
		if (t->attested[i].is_good)
			bh_str_fmt(&names, "%s%s", names.n ? ", " : "", t->attested[i].who);
	t->verdict->signer = names.n ? bh_str_take(&names) : NULL;
	bh_str_done(&names);
}

void bh_trial_conclude(struct bh_trial *t)
{
	enum bh_image_word word;

	t->verdict->until_s = BH_TIME_MAX;
	name_signers(t);
	word = conclude_attestations(t);
	if (is_signed(t) && !word) {
		t->verdict->answer = BH_IMAGE_ACCEPT;
		t->verdict->word = BH_WORD_OK;
		return;
	}
	if (is_signed(t))
		decline(t, word);
	else if (t->signed_by.n) {
		bh_verdict_check(t->verdict, false, "threshold", "%zu of %u different signers",
				 t->signed_by.n, threshold_of(t));
		decline(t, BH_WORD_THRESHOLD);
	} else if (t->worst.word || t->has_fault)
		decline(t, t->worst.word);
	else {
		bh_verdict_check(t->verdict, false, "signature", "nobody signed it");
		decline(t, BH_WORD_NO_SIGNATURE);
	}
}
