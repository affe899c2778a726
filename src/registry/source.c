#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "registry/fetcher.h"

#define MAX_LIST (4u << 20)

struct remote {
	struct bh_fetcher f;
	struct bh_registry *r;
	struct bh_image_ref ref;
	char *next;		      /* page of the list of referrers that was read last */
	const struct bh_mirror *from; /* who gave it */
	bool skips_mirrors;
};

enum bh_fetch bh_fetcher_why(struct bh_fetch_why *why)
{
	static const struct {
		int code;
		enum bh_fetch fetch;
		enum bh_image_word word;
	} rows[] = {
		{-ENOENT, BH_FETCH_ABSENT, BH_WORD_NOT_FOUND},
		{-EFBIG, BH_FETCH_REFUSED, BH_WORD_TOO_LARGE},
		{-E2BIG, BH_FETCH_REFUSED, BH_WORD_TOO_MANY},
		{-EINVAL, BH_FETCH_REFUSED, BH_WORD_REFERENCE},
		{-ETIMEDOUT, BH_FETCH_FAULT, BH_WORD_TIMEOUT},
		{-EACCES, BH_FETCH_FAULT, BH_WORD_AUTH},
		{-EPERM, BH_FETCH_FAULT, BH_WORD_REDIRECT},
		{-ENOMEM, BH_FETCH_FAULT, BH_WORD_INTERNAL},
	};

	why->word = BH_WORD_REGISTRY;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		if (rows[i].code != why->err.code)
			continue;
		why->word = rows[i].word;
		return rows[i].fetch;
	}
	return BH_FETCH_FAULT;
}

static struct bh_registry_get question(const struct remote *m, enum bh_registry_kind kind,
				       const char *ref, size_t limit)
{
	return (struct bh_registry_get){.host = m->ref.registry,
					.repository = m->ref.repository,
					.kind = kind,
					.ref = ref,
					.limit = limit,
					.skips_mirrors = m->skips_mirrors};
}

static enum bh_fetch fetch(struct remote *m, const struct bh_registry_get *q,
			   struct bh_blob *ret_bytes, struct bh_fetch_why *why)
{
	struct bh_registry_answer a;

	if (bh_registry_get(m->r, q, &a, &why->err))
		return bh_fetcher_why(why);
	*ret_bytes = (struct bh_blob){.v = (unsigned char *)BH_TAKE(a.body), .n = a.len};
	bh_registry_answer_done(&a);
	return BH_FETCH_FOUND;
}

static enum bh_fetch remote_manifest(void *ctx, const char *reference, size_t limit,
				     struct bh_blob *ret_bytes, struct bh_fetch_why *why)
{
	struct bh_registry_get q = question(ctx, BH_REGISTRY_MANIFEST, reference, limit);

	return fetch(ctx, &q, ret_bytes, why);
}

static enum bh_fetch remote_blob(void *ctx, const char *digest, size_t limit,
				 struct bh_blob *ret_bytes, struct bh_fetch_why *why)
{
	struct bh_registry_get q = question(ctx, BH_REGISTRY_BLOB, digest, limit);

	return fetch(ctx, &q, ret_bytes, why);
}

static enum bh_fetch remote_referrers(void *ctx, const char *digest, unsigned int page,
				      struct bh_blob *ret_bytes, bool *ret_more,
				      struct bh_fetch_why *why)
{
	struct remote *m = ctx;
	struct bh_registry_get q = question(m, BH_REGISTRY_REFERRERS, digest, MAX_LIST);
	struct bh_registry_answer a;
	int r;

	if (page && !m->next) {
		bh_fail(&why->err, EPROTO, "the list of referrers has no page %u", page);
		return bh_fetcher_why(why);
	}
	r = page ? bh_registry_next(m->r, &q, &(struct bh_registry_page){m->next, m->from}, &a,
				    &why->err)
		 : bh_registry_get(m->r, &q, &a, &why->err);
	/* a page that is gone is not an interface that is not there */
	if (page && r == -ENOENT)
		r = bh_fail(&why->err, EPROTO, "page %u of the list of referrers is gone", page);
	if (r)
		return bh_fetcher_why(why);
	free(m->next);
	m->next = BH_TAKE(a.next);
	m->from = a.from;
	*ret_more = m->next;
	*ret_bytes = (struct bh_blob){.v = (unsigned char *)BH_TAKE(a.body), .n = a.len};
	return BH_FETCH_FOUND;
}

static void remote_done(struct bh_fetcher *f)
{
	free(((struct remote *)f)->next);
}

int bh_fetcher_registry(const struct bh_fetch_place *place, const struct bh_image_ref *ref,
			struct bh_fetcher **ret, struct bh_err *err)
{
	struct remote *m = calloc(1, sizeof(*m));

	if (m)
		m->f.name = bh_strf("%s/%s", ref->registry, ref->repository);
	if (!m || !m->f.name) {
		free(m);
		return bh_fail(err, ENOMEM, "registry client");
	}
	m->r = place->registry;
	m->skips_mirrors = place->skips_mirrors;
	m->ref = *ref;
	m->f.done = remote_done;
	m->f.source = (struct bh_image_source){.ctx = m,
					       .name = m->f.name,
					       .manifest = remote_manifest,
					       .blob = remote_blob,
					       .referrers = remote_referrers};
	*ret = &m->f;
	return 0;
}

const struct bh_image_source *bh_fetcher_source(const struct bh_fetcher *f)
{
	return &f->source;
}

void bh_fetcher_free(struct bh_fetcher *f)
{
	if (!f)
		return;
	f->done(f);
	free(f->name);
	free(f);
}

void bh_fetcher_freep(struct bh_fetcher **f)
{
	bh_fetcher_free(*f);
	*f = NULL;
}
