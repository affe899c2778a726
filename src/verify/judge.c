#include "verify/judge.h"

#include <string.h>

#include "base/str.h"
#include "verify/stamp.h"
#include "verify/tlog.h"

void bh_signed_by_done(struct bh_signed_by *s)
{
	free(s->who);
	s->who = NULL;
}

static struct bh_trusts trusts_of(const struct bh_judging *j)
{
	return (struct bh_trusts){j->signer->trusts, j->signer->n_trusts};
}

/* ---- when ---- */

static int64_t earliest(const struct bh_times *times)
{
	int64_t min = times->v[0];

	for (size_t i = 1; i < times->n; i++)
		min = times->v[i] < min ? times->v[i] : min;
	return min;
}

static void add_stamps(const struct bh_judging *j, struct bh_times *times, struct bh_flaw *worst)
{
	const struct bh_evidence *ev = j->ev;

	for (size_t i = 0; i < ev->n_stamps; i++) {
		struct bh_stamp_query q = {
			.der = &ev->stamps[i],
			.message = ev->stamped.n ? &ev->stamped : &ev->signature,
			.trusts = trusts_of(j),
			.now_s = j->now_s,
		};
		struct bh_flaw flaw;

		if (bh_stamp_verify(&q, &times->v[times->n], &flaw))
			bh_flaw_keep(worst, &flaw);
		else
			times->n++;
	}
}

/* How many entries are good. */
static size_t add_entries(const struct bh_judging *j, const struct bh_key *key, X509 *leaf,
			  struct bh_times *times, struct bh_flaw *worst)
{
	int64_t seen_s = times->n ? earliest(times) : j->now_s;
	size_t n_good = 0;

	for (size_t i = 0; i < j->ev->n_tlog; i++) {
		struct bh_tlog_query q = {
			.ev = j->ev,
			.entry = &j->ev->tlog[i],
			.key = key,
			.leaf = leaf,
			.trusts = trusts_of(j),
			.now_s = j->now_s,
			.seen_s = seen_s,
		};
		struct bh_flaw flaw;
		bool has_time;

		if (bh_tlog_verify(&q, &has_time, &times->v[times->n], &flaw)) {
			bh_flaw_keep(worst, &flaw);
			continue;
		}
		n_good++;
		times->n += has_time;
	}
	return n_good;
}

int bh_judge_times(const struct bh_judging *j, const struct bh_key *key, X509 *leaf,
		   struct bh_times *ret, struct bh_flaw *flaw)
{
	const struct bh_image_require *need = &j->signer->p->require;
	struct bh_flaw bad_stamp = j->ev->stamp_flaw, bad_entry = j->ev->tlog_flaw;

	*ret = (struct bh_times){.n = 0};
	add_stamps(j, ret, &bad_stamp);
	ret->n_stamps = ret->n;
	ret->n_logs = add_entries(j, key, leaf, ret, &bad_entry);
	if (need->tlog && !ret->n_logs) {
		*flaw = bad_entry;
		return bad_entry.word ? -1
				      : bh_flaw(flaw, BH_WORD_TLOG_MISSING,
						"it is in no transparency log");
	}
	if (need->timestamp && !ret->n_stamps) {
		*flaw = bad_stamp;
		return bad_stamp.word
			       ? -1
			       : bh_flaw(flaw, BH_WORD_TIMESTAMP_MISSING, "it has no timestamp");
	}
	return 0;
}

/* ---- keys ---- */

struct bh_vouched bh_times_vouch(const struct bh_times *times)
{
	return (struct bh_vouched){
		.n_logs = times->n_logs,
		.n_stamps = times->n_stamps,
		.at_s = times->n ? earliest(times) : BH_TIME_MIN,
	};
}

/* A trusted time shows that the signature existed by then, so the earliest says most. */
static int check_window(const struct bh_judging *j, const struct bh_image_key *key,
			const struct bh_times *times, struct bh_flaw *flaw)
{
	int64_t at_s = times->n ? earliest(times) : j->now_s;

	if (at_s < key->not_before_s)
		return bh_flaw(flaw, BH_WORD_KEY_NOT_YET, "key %s was not valid yet", key->file);
	if (at_s > key->not_after_s)
		return bh_flaw(flaw, BH_WORD_KEY_EXPIRED, "key %s was not valid any more",
			       key->file);
	return 0;
}

static bool hint_is_other(const struct bh_evidence *ev, const struct bh_key *key)
{
	BH_CLEANUP(bh_freep) char *own = bh_b64_encode(key->spki, sizeof(key->spki));

	return ev->hint && *ev->hint && own && strcmp(ev->hint, own) != 0;
}

static int try_key(const struct bh_judging *j, size_t i, struct bh_signed_by *ret,
		   struct bh_flaw *flaw)
{
	const struct bh_image_key *from = &j->signer->p->keys.v[i];
	const struct bh_key *key = &j->signer->keys.v[i];
	struct bh_times times;
	int r = bh_evidence_verify(j->ev, key, flaw);

	if (r && flaw->word == BH_WORD_SIGNATURE_INVALID && hint_is_other(j->ev, key))
		return bh_flaw(flaw, BH_WORD_WRONG_KEY, "it is by another key than %s", from->file);
	if (!r)
		r = bh_judge_times(j, key, NULL, &times, flaw);
	if (!r)
		r = check_window(j, from, &times, flaw);
	if (r)
		return r;
	*ret = (struct bh_signed_by){.until_s = times.n ? BH_TIME_MAX : from->not_after_s};
	ret->vouched = bh_times_vouch(&times);
	memcpy(ret->identity, key->spki, sizeof(key->spki));
	memcpy(ret->spki, key->spki, sizeof(key->spki));
	ret->who = bh_strf("%s (key %s)", j->signer->p->name ? j->signer->p->name : "signer",
			   from->file);
	return ret->who ? 0 : bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
}

static int judge_keys(const struct bh_judging *j, struct bh_signed_by *ret, struct bh_flaw *flaw)
{
	struct bh_flaw worst = {.word = BH_WORD_OK};

	for (size_t i = 0; i < j->signer->keys.n; i++) {
		struct bh_flaw one;

		if (!try_key(j, i, ret, &one))
			return 0;
		bh_flaw_keep(&worst, &one);
	}
	*flaw = worst;
	return -1;
}

int bh_judge(const struct bh_evidence *ev, const struct bh_signer_rule *signer, int64_t now_s,
	     struct bh_signed_by *ret, struct bh_flaw *flaw)
{
	struct bh_judging j = {ev, signer, now_s};

	switch (signer->p->kind) {
	case BH_IMAGE_KEYS:
		return judge_keys(&j, ret, flaw);
	case BH_IMAGE_KEYLESS:
	case BH_IMAGE_CERTIFICATES:
		return bh_judge_cert(&j, ret, flaw);
	case BH_IMAGE_NOTATION:
		break;
	}
	return bh_flaw(flaw, BH_WORD_NO_SIGNATURE, "it is no notation signature");
}
