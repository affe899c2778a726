/* image_exempt.h - ImageException documents: images that may run although no ImagePolicy accepts
 * them, for a while and for a reason. Break-glass: what counts is a signature of the operators' own
 * key over all of it, and whoever may write manifests only cannot make one.
 *
 * An image is named by its digest, or by its whole repository; never by a tag, which moves, nor by
 * a pattern. Pure. */
#pragma once

#include <stdint.h>

#include "base/vec.h"
#include "policy/objects.h"
#include "policy/parse.h"
#include "verify/image_policy.h"
#include "verify/key.h"
#include "verify/ref.h"

struct bh_image_exempt {
	char *name, *why;
	char *owner; /* NULL: nobody is named */
	char *until; /* RFC 3339, UTC, as it was written and signed */
	int64_t until_s;
	struct bh_image_strings images;	    /* "registry/repository" or "...@digest" */
	struct bh_image_strings namespaces; /* exact names; none: everywhere */
	struct bh_blob signature;	    /* empty: there is none */
	unsigned line;
};
void bh_image_exempt_free(struct bh_image_exempt *e);
void bh_image_exempt_freep(struct bh_image_exempt **e);

BH_VEC_TYPE(bh_image_exempts, struct bh_image_exempt *);
void bh_image_exempts_done(struct bh_image_exempts *l);

/* One object whose apiVersion, kind and name were read. NULL when it is refused, see p. */
struct bh_image_exempt *bh_parse_image_exempt(struct bh_parse *p, const struct bh_yaml *object,
					      const char *name);
/* All ImageExceptions of a file's text, as bh_image_policies_read. */
int bh_image_exempts_read(const char *file, const char *text, size_t len,
			  struct bh_image_exempts *ret, struct bh_problems *problems);

/* What is signed: a line for each member, in a fixed order. The caller's; NULL without memory. */
char *bh_image_exempt_text(const struct bh_image_exempt *e);
/* true when one of the keys has signed it (as `openssl dgst -sha256 -sign` does). */
bool bh_image_exempt_is_signed(const struct bh_image_exempt *e, const struct bh_key *keys,
			       size_t n_keys);
/* true when it is about this image: digest is what the reference resolved to, "" when that is not
 * known. ns NULL: no pod is known. */
bool bh_image_exempt_covers(const struct bh_image_exempt *e, const char *ns,
			    const struct bh_image_ref *ref, const char *digest);
