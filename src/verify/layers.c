#include <string.h>

#include "base/str.h"
#include "verify/classic.h"
#include "verify/gather.h"
#include "verify/ref.h"

static int check_descriptor(const json_t *layer, const char *digest, json_int_t max,
			    struct bh_flaw *flaw)
{
	const json_t *size = json_object_get(layer, "size");

	if (!digest || !bh_digest_ok(digest))
		return bh_flaw(flaw, BH_WORD_MALFORMED, "the layer has no digest");
	if (!json_is_integer(size) || json_integer_value(size) < 0)
		return bh_flaw(flaw, BH_WORD_MALFORMED, "the layer has no size");
	if (json_integer_value(size) > max)
		return bh_flaw(flaw, BH_WORD_TOO_LARGE, "the layer says it is too large");
	return 0;
}

int bh_gather_blob(struct bh_trial *t, const struct bh_image_source *source, const json_t *layer,
		   const char *where, struct bh_blob *ret)
{
	const char *digest = bh_vjson_str(layer, "digest");
	struct bh_blob blob = {0};
	struct bh_fetch_why why = {.word = BH_WORD_OK};
	struct bh_flaw flaw;
	enum bh_fetch f;

	if (check_descriptor(layer, digest, BH_IMAGE_MAX_ATTESTATION, &flaw)) {
		bh_trial_flaw(t, where, &flaw);
		return -1;
	}
	f = source->blob(source->ctx, digest,
			 (size_t)json_integer_value(json_object_get(layer, "size")), &blob, &why);
	if (f == BH_FETCH_ABSENT) {
		bh_flaw(&flaw, BH_WORD_BLOB_DIGEST, "its blob is not there");
		bh_trial_flaw(t, where, &flaw);
	}
	if (f != BH_FETCH_FOUND) {
		bh_trial_miss(t, f, where, &why);
		return -1;
	}
	if (!bh_digest_is_of(digest, blob.v, blob.n)) {
		bh_blob_done(&blob);
		bh_flaw(&flaw, BH_WORD_BLOB_DIGEST, "its blob does not hash to its digest");
		bh_trial_flaw(t, where, &flaw);
		return -1;
	}
	*ret = blob;
	return 0;
}

/* The use of a layer of this type; 0: it is no signature. */
static unsigned int use_of(const json_t *layer)
{
	if (bh_vjson_is(layer, "mediaType", BH_TYPE_SIMPLE_SIGNING))
		return BH_USE_SIGNATURE;
	return bh_vjson_is(layer, "mediaType", BH_TYPE_DSSE_ENVELOPE) ? BH_USE_ATTESTATION : 0;
}

static void gather_layer(struct bh_trial *t, const struct bh_image_source *source,
			 const json_t *layer, const char *where)
{
	unsigned int use = use_of(layer);
	BH_CLEANUP(bh_evidence_freep) struct bh_evidence *ev = NULL;
	BH_CLEANUP(bh_blob_done) struct bh_blob blob = {0};
	struct bh_flaw flaw;

	if (!use) {
		bh_flaw(&flaw, BH_WORD_MEDIA_TYPE, "the layer is no signature");
		bh_trial_flaw(t, where, &flaw);
		return;
	}
	if (!bh_trial_wants(t, use) || bh_gather_blob(t, source, layer, where, &blob))
		return;
	if (use == BH_USE_SIGNATURE && blob.n > BH_IMAGE_MAX_BLOB) {
		bh_flaw(&flaw, BH_WORD_TOO_LARGE, "the payload is too large");
		bh_trial_flaw(t, where, &flaw);
		return;
	}
	if (bh_classic_read(layer, &blob, use == BH_USE_ATTESTATION, &ev, &flaw)) {
		bh_trial_flaw(t, where, &flaw);
		return;
	}
	bh_blob_done(&blob); /* as for bundles */
	ev->where = strdup(where);
	if (!ev->where)
		return;
	do
		bh_trial_offer(t, ev, use);
	while (bh_evidence_next(ev));
}

void bh_gather_layers(struct bh_trial *t, const struct bh_image_source *source,
		      const json_t *manifest, const char *where)
{
	const json_t *layers = bh_vjson_arr(manifest, "layers");
	struct bh_flaw flaw;
	size_t i;
	json_t *layer;

	if (!json_array_size(layers)) {
		bh_flaw(&flaw, BH_WORD_NO_SIGNATURE, "it has no layers");
		bh_trial_flaw(t, where, &flaw);
	}
	json_array_foreach(layers, i, layer)
	{
		BH_CLEANUP(bh_freep) char *name = bh_strf("layer %zu of %s", i, where);

		if (!name || t->is_over)
			return;
		if (i == BH_IMAGE_MAX_SIGNATURES) {
			bh_flaw(&flaw, BH_WORD_TOO_MANY, "more than %d layers",
				BH_IMAGE_MAX_SIGNATURES);
			bh_trial_flaw(t, where, &flaw);
			return;
		}
		gather_layer(t, source, layer, name);
	}
}
