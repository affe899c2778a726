#include "verify/gather.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "verify/ref.h"

int bh_gather_manifest(struct bh_trial *t, const struct bh_image_source *source,
		       const char *reference, bool is_digest, json_t **ret)
{
	BH_CLEANUP(bh_blob_done) struct bh_blob bytes = {0};
	struct bh_fetch_why why = {.word = BH_WORD_OK};
	struct bh_flaw flaw;
	enum bh_fetch f =
		source->manifest(source->ctx, reference, BH_IMAGE_MAX_MANIFEST, &bytes, &why);

	if (f == BH_FETCH_ABSENT)
		return -ENOENT;
	if (f != BH_FETCH_FOUND) {
		bh_trial_miss(t, f, reference, &why);
		return -1;
	}
	if (is_digest && !bh_digest_is_of(reference, bytes.v, bytes.n)) {
		bh_flaw(&flaw, BH_WORD_BLOB_DIGEST, "the manifest does not hash to its digest");
		bh_trial_flaw(t, reference, &flaw);
		return -1;
	}
	if (bh_vjson_parse(bytes.v, bytes.n, BH_IMAGE_MAX_MANIFEST, ret, &flaw)) {
		bh_trial_flaw(t, reference, &flaw);
		return -1;
	}
	return 0;
}

/* sha256:<hex> > sha256-<hex>.sig */
static void gather_tag(struct bh_trial *t, const struct bh_image_source *source, const char *suffix)
{
	BH_CLEANUP(bh_json_decrefp) json_t *manifest = NULL;
	BH_CLEANUP(bh_freep) char *tag = bh_strf("%s%s", t->digest, suffix);

	if (!tag)
		return;
	*strchr(tag, ':') = '-';
	if (bh_tag_ok(tag) && !bh_gather_manifest(t, source, tag, false, &manifest))
		bh_gather_layers(t, source, manifest, tag);
}

/* Notation has no tags of its own. */
static bool has_sigstore_signer(const struct bh_trial *t)
{
	bh_vec_each (s, &t->rules->signers)
		if (s->p->kind != BH_IMAGE_NOTATION)
			return true;
	return false;
}

void bh_gather(struct bh_trial *t, const struct bh_image_source *source)
{
	if (bh_trial_wants(t, BH_USE_SIGNATURE) && has_sigstore_signer(t))
		gather_tag(t, source, ".sig");
	if (bh_trial_wants(t, BH_USE_SIGNATURE) || bh_trial_wants(t, BH_USE_ATTESTATION))
		bh_gather_referrers(t, source);
	if (bh_trial_wants(t, BH_USE_ATTESTATION))
		gather_tag(t, source, ".att");
}
