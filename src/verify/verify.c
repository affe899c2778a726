#include "verify/verify.h"

#include <string.h>

#include "verify/contents.h"
#include "verify/gather.h"
#include "verify/ref.h"

void bh_image_verdict_done(struct bh_image_verdict *v)
{
	free(v->signer);
	json_decref(v->contents);
	bh_vec_each (c, &v->checks) {
		free(c->name);
		free(c->detail);
	}
	bh_vec_done(&v->checks);
	*v = (struct bh_image_verdict){.answer = BH_IMAGE_UNDECIDED, .word = BH_WORD_INTERNAL};
}

static void end(struct bh_image_verdict *v, enum bh_image_answer answer, enum bh_image_word word)
{
	v->answer = answer;
	v->word = word;
}

/* Nobody asks on after this: the image itself could not be had. */
static void no_image(struct bh_image_verdict *v, enum bh_fetch f, const struct bh_fetch_why *why)
{
	if (f == BH_FETCH_ABSENT) {
		bh_verdict_check(v, false, "image", "there is no such image");
		end(v, BH_IMAGE_REJECT, BH_WORD_NOT_FOUND);
		return;
	}
	bh_verdict_check(v, false, "image", "%s", why->err.text);
	end(v, f == BH_FETCH_REFUSED ? BH_IMAGE_REJECT : BH_IMAGE_UNDECIDED, why->word);
}

/* Fetches the manifest and settles which digest is judged. false: the verdict is there. */
static bool resolve(const struct bh_image_query *q, const struct bh_image_ref *ref,
		    struct bh_blob *ret_manifest, struct bh_image_verdict *v)
{
	const char *what = *ref->digest ? ref->digest : ref->tag;
	struct bh_fetch_why why = {.word = BH_WORD_REGISTRY};
	enum bh_fetch f =
		q->image->manifest(q->image->ctx, what, BH_IMAGE_MAX_MANIFEST, ret_manifest, &why);

	if (f != BH_FETCH_FOUND) {
		no_image(v, f, &why);
		return false;
	}
	if (*ref->digest && !bh_digest_is_of(ref->digest, ret_manifest->v, ret_manifest->n)) {
		bh_verdict_check(v, false, "image", "the manifest does not hash to its digest");
		end(v, BH_IMAGE_REJECT, BH_WORD_DIGEST_MISMATCH);
		return false;
	}
	if (!*ref->digest && !bh_digest_of(ret_manifest->v, ret_manifest->n, v->digest)) {
		end(v, BH_IMAGE_UNDECIDED, BH_WORD_INTERNAL);
		return false;
	}
	bh_verdict_check(v, true, "image", "%s", v->digest);
	return true;
}

/* A store may hold the image too, which message signatures are about. */
static void fetch_from_stores(struct bh_trial *t, const struct bh_image_query *q)
{
	for (size_t i = 0; i < q->n_stores && !t->manifest.n; i++) {
		const struct bh_image_source *store = q->stores[i];
		struct bh_fetch_why why = {.word = BH_WORD_OK};

		if (store->manifest(store->ctx, t->digest, BH_IMAGE_MAX_MANIFEST, &t->manifest,
				    &why) == BH_FETCH_FOUND &&
		    !bh_digest_is_of(t->digest, t->manifest.v, t->manifest.n))
			bh_blob_done(&t->manifest);
	}
}

/* A mirror that has no signatures has not said that there are none. */
static void ask_image(struct bh_trial *t, const struct bh_image_query *q)
{
	bh_gather(t, q->image);
	if (q->upstream && !bh_trial_is_satisfied(t))
		bh_gather(t, q->upstream);
}

static void ask_stores(struct bh_trial *t, const struct bh_image_query *q)
{
	for (size_t i = 0; i < q->n_stores; i++)
		bh_gather(t, q->stores[i]);
}

/* With a digest the stores may settle it alone, which is what they are for: no registry at hand.
 * false: the image could not be had, and the verdict says so. */
static bool judge_digest(struct bh_trial *t, const struct bh_image_query *q,
			 const struct bh_image_ref *ref)
{
	struct bh_blob manifest = {0};

	fetch_from_stores(t, q);
	ask_stores(t, q);
	if (q->n_stores && bh_trial_is_satisfied(t))
		return true;
	if (!resolve(q, ref, &manifest, t->verdict)) {
		bh_blob_done(&manifest);
		return false;
	}
	bh_blob_done(&t->manifest);
	t->manifest = manifest;
	ask_image(t, q);
	return true;
}

static void judge(const struct bh_image_rules *rules, const struct bh_image_query *q,
		  const struct bh_image_ref *ref, struct bh_image_verdict *v)
{
	BH_CLEANUP(bh_blob_done) struct bh_blob manifest = {0};
	struct bh_trial t;
	bool is_judged = true;

	if (!*ref->digest && !resolve(q, ref, &manifest, v))
		return;
	if (bh_trial_init(&t, rules, v->digest, v)) {
		bh_trial_done(&t);
		return;
	}
	t.now_s = q->now_s;
	if (*ref->digest) {
		is_judged = judge_digest(&t, q, ref);
	} else {
		t.manifest = manifest;
		manifest = (struct bh_blob){0};
		ask_stores(&t, q);
		ask_image(&t, q);
	}
	if (is_judged)
		bh_trial_conclude(&t);
	if (t.manifest.n)
		v->contents = bh_manifest_contents(&t.manifest);
	bh_trial_done(&t);
}

void bh_image_verify(const struct bh_image_rules *rules, const struct bh_image_query *q,
		     struct bh_image_verdict *ret_verdict)
{
	struct bh_image_ref ref;
	struct bh_err err;

	*ret_verdict = (struct bh_image_verdict){
		.answer = BH_IMAGE_UNDECIDED,
		.word = BH_WORD_INTERNAL,
		.until_s = BH_TIME_MAX,
	};
	if (bh_image_ref_parse(q->reference, &ref, &err)) {
		bh_verdict_check(ret_verdict, false, "reference", "%s", err.text);
		end(ret_verdict, BH_IMAGE_REJECT, BH_WORD_REFERENCE);
		return;
	}
	if (rules->p->require_digest && !*ref.digest) {
		bh_verdict_check(ret_verdict, false, "reference", "it has no digest");
		end(ret_verdict, BH_IMAGE_REJECT, BH_WORD_REFERENCE);
		return;
	}
	memcpy(ret_verdict->digest, ref.digest, sizeof(ref.digest));
	judge(rules, q, &ref, ret_verdict);
}
