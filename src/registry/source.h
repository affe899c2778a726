/* source.h - the registry, and directories with OCI image layouts, as sources of verification
 * (verify/source.h). */
#pragma once

#include "base/err.h"
#include "registry/registry.h"
#include "verify/ref.h"
#include "verify/source.h"

struct bh_fetcher; /* owns what its source's ctx points to */

struct bh_fetch_place {
	struct bh_registry *registry; /* borrowed */
	bool skips_mirrors;	      /* only what the registry itself has */
};
/* The repository of ref in its registry, or in the mirrors of that. */
int bh_fetcher_registry(const struct bh_fetch_place *place, const struct bh_image_ref *ref,
			struct bh_fetcher **ret, struct bh_err *err);
/* A directory with an OCI image layout: index.json and blobs/. Tags are the entries'
 * org.opencontainers.image.ref.name, a whole reference "registry/repository:tag" may stand there
 * too; referrers are found by the subject of each manifest. -ENOENT when dir is no layout. */
int bh_fetcher_layout(const char *dir, const struct bh_image_ref *ref, struct bh_fetcher **ret,
		      struct bh_err *err);
const struct bh_image_source *bh_fetcher_source(const struct bh_fetcher *f);
void bh_fetcher_free(struct bh_fetcher *f);
void bh_fetcher_freep(struct bh_fetcher **f);

#define BH_STORE_MAX_LAYOUTS 64

/* A store: dir itself, or the layouts that are its subdirectories, in byte order of their names. */
struct bh_layouts {
	struct bh_fetcher *v[BH_STORE_MAX_LAYOUTS];
	const struct bh_image_source *sources[BH_STORE_MAX_LAYOUTS];
	size_t n;
};
/* dir is a layout or a folder of some, or of none yet. -ENOENT when it is not there, -E2BIG when
 * there are too many. */
int bh_layouts_open(const char *dir, const struct bh_image_ref *ref, struct bh_layouts *ret,
		    struct bh_err *err);
void bh_layouts_close(struct bh_layouts *l);
