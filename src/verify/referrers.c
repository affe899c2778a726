#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "verify/bundle.h"
#include "verify/classic.h"
#include "verify/gather.h"
#include "verify/notation.h"
#include "verify/ref.h"

#define BUNDLE_PREFIX "application/vnd.dev.sigstore.bundle"
#define MAX_PAGES     16

/* Digests of referrers, each once. */
struct list {
	char digests[BH_IMAGE_MAX_REFERRERS][BH_DIGEST_TEXT];
	size_t n;
	bool has_more;
};

static void list_add(struct list *l, const json_t *entry)
{
	const char *digest = bh_vjson_str(entry, "digest");

	if (!digest || !bh_digest_ok(digest))
		return;
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->digests[i], digest))
			return;
	if (l->n == BH_IMAGE_MAX_REFERRERS)
		l->has_more = true;
	else
		memcpy(l->digests[l->n++], digest, strlen(digest) + 1);
}

static void list_add_all(struct list *l, const json_t *index)
{
	size_t i;
	json_t *entry;

	json_array_foreach(bh_vjson_arr(index, "manifests"), i, entry) list_add(l, entry);
}

static void tell(struct bh_trial *t, const char *where, enum bh_image_word word, const char *what)
{
	struct bh_flaw flaw;

	bh_flaw(&flaw, word, "%s", what);
	bh_trial_flaw(t, where, &flaw);
}

static int parse_page(struct bh_trial *t, const struct bh_blob *page, struct list *l)
{
	BH_CLEANUP(bh_json_decrefp) json_t *index = NULL;
	struct bh_flaw flaw;

	if (bh_vjson_parse(page->v, page->n, BH_IMAGE_MAX_MANIFEST, &index, &flaw)) {
		bh_trial_flaw(t, "referrers", &flaw);
		return -1;
	}
	list_add_all(l, index);
	return 0;
}

/* false: there is no such interface. */
static bool list_by_interface(struct bh_trial *t, const struct bh_image_source *source,
			      struct list *l)
{
	for (unsigned int page = 0;; page++) {
		BH_CLEANUP(bh_blob_done) struct bh_blob bytes = {0};
		struct bh_fetch_why why = {.word = BH_WORD_OK};
		bool has_more = false;
		enum bh_fetch f =
			source->referrers(source->ctx, t->digest, page, &bytes, &has_more, &why);

		if (f == BH_FETCH_ABSENT && !page)
			return false;
		if (f != BH_FETCH_FOUND) {
			bh_trial_miss(t, f, "referrers", &why);
			return true;
		}
		if (parse_page(t, &bytes, l) || !has_more)
			return true;
		if (page == MAX_PAGES) {
			l->has_more = true;
			return true;
		}
	}
}

static void list_by_tag(struct bh_trial *t, const struct bh_image_source *source, struct list *l)
{
	BH_CLEANUP(bh_json_decrefp) json_t *index = NULL;
	char tag[BH_DIGEST_TEXT];

	memcpy(tag, t->digest, strlen(t->digest) + 1);
	*strchr(tag, ':') = '-';
	if (bh_tag_ok(tag) && !bh_gather_manifest(t, source, tag, false, &index))
		list_add_all(l, index);
}

/* ---- what a referrer holds ---- */

static void gather_bundle(struct bh_trial *t, const struct bh_image_source *source,
			  const json_t *layer, const char *where)
{
	BH_CLEANUP(bh_evidence_freep) struct bh_evidence *ev = NULL;
	BH_CLEANUP(bh_blob_done) struct bh_blob blob = {0};
	struct bh_flaw flaw;

	if (bh_gather_blob(t, source, layer, where, &blob))
		return;
	if (bh_bundle_read(&blob, t->manifest.n ? &t->manifest : NULL, &ev, &flaw)) {
		bh_trial_flaw(t, where, &flaw);
		return;
	}
	bh_blob_done(&blob); /* reports are large, and what follows needs room of its own */
	ev->where = strdup(where);
	if (ev->where)
		bh_trial_offer(t, ev, BH_USE_SIGNATURE | BH_USE_ATTESTATION);
}

static void judge_notation(struct bh_trial *t, const struct bh_notation *n, const char *where)
{
	struct bh_flaw worst = {.word = BH_WORD_OK};

	bh_vec_each (signer, &t->rules->signers) {
		struct bh_signed_by by;
		struct bh_flaw flaw;

		if (signer->p->kind != BH_IMAGE_NOTATION)
			continue;
		if (!bh_notation_judge(n, t->digest, signer, t->now_s, &by, &flaw)) {
			bh_trial_count(t, &by, where);
			return;
		}
		bh_flaw_keep(&worst, &flaw);
	}
	if (worst.word)
		bh_trial_flaw(t, where, &worst);
}

static void gather_notation(struct bh_trial *t, const struct bh_image_source *source,
			    const json_t *layer, const char *where)
{
	bool is_cose = bh_vjson_is(layer, "mediaType", BH_TYPE_COSE);
	BH_CLEANUP(bh_notation_done) struct bh_notation n = {0};
	BH_CLEANUP(bh_blob_done) struct bh_blob blob = {0};
	struct bh_flaw flaw;

	if (!bh_trial_wants(t, BH_USE_SIGNATURE) || bh_gather_blob(t, source, layer, where, &blob))
		return;
	if (is_cose ? bh_notation_read_cose(&blob, &n, &flaw)
		    : bh_notation_read_jws(&blob, &n, &flaw))
		bh_trial_flaw(t, where, &flaw);
	else
		judge_notation(t, &n, where);
}

static bool is_bundle(const json_t *layer)
{
	const char *type = bh_vjson_str(layer, "mediaType");

	return type && !strncmp(type, BUNDLE_PREFIX, strlen(BUNDLE_PREFIX));
}

static bool is_notation(const json_t *manifest, const json_t *layer)
{
	return (bh_vjson_is(manifest, "artifactType", BH_TYPE_NOTATION) ||
		bh_vjson_is(bh_vjson_obj(manifest, "config"), "mediaType", BH_TYPE_NOTATION)) &&
	       (bh_vjson_is(layer, "mediaType", BH_TYPE_JOSE) ||
		bh_vjson_is(layer, "mediaType", BH_TYPE_COSE));
}

static bool is_classic(const json_t *layer)
{
	return bh_vjson_is(layer, "mediaType", BH_TYPE_SIMPLE_SIGNING) ||
	       bh_vjson_is(layer, "mediaType", BH_TYPE_DSSE_ENVELOPE);
}

/* Not the index but the manifest itself says what it is: indexes are written by many hands. */
static void gather_referrer(struct bh_trial *t, const struct bh_image_source *source,
			    const char *digest)
{
	BH_CLEANUP(bh_json_decrefp) json_t *manifest = NULL;
	BH_CLEANUP(bh_freep) char *where = bh_strf("referrer %.19s", digest);
	const json_t *layers, *first;

	if (!where || bh_gather_manifest(t, source, digest, true, &manifest))
		return;
	layers = bh_vjson_arr(manifest, "layers");
	first = json_array_get(layers, 0);
	if (is_classic(first)) {
		bh_gather_layers(t, source, manifest, where);
		return;
	}
	if (json_array_size(layers) != 1)
		return;
	if (is_bundle(first))
		gather_bundle(t, source, first, where);
	else if (is_notation(manifest, first))
		gather_notation(t, source, first, where);
}

void bh_gather_referrers(struct bh_trial *t, const struct bh_image_source *source)
{
	struct list *l = calloc(1, sizeof(*l));

	if (!l) {
		tell(t, "referrers", BH_WORD_INTERNAL, "out of memory");
		return;
	}
	if (!list_by_interface(t, source, l))
		list_by_tag(t, source, l);
	for (size_t i = 0; i < l->n; i++)
		if (bh_trial_wants(t, BH_USE_SIGNATURE) || bh_trial_wants(t, BH_USE_ATTESTATION))
			gather_referrer(t, source, l->digests[i]);
	if (l->has_more)
		tell(t, "referrers", BH_WORD_TOO_MANY, "there are more than 64");
	free(l);
}
