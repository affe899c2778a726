/* image.h - ImagePolicy documents > verify/image_policy.h, and which of them an image has to pass.
 *
 * Files that a policy names (keys, trust roots) are read by the caller's function, relative to the
 * policy's own file; here nothing is opened. A policy that cannot be enforced exactly as it is
 * written is refused. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/vec.h"
#include "policy/objects.h"
#include "policy/parse.h"
#include "verify/image_policy.h"
#include "verify/ref.h"

#define BH_IMAGE_MAX_FILE (4u << 20) /* of a key, root or trust root */

struct bh_image_files {
	/* Reads a whole file of at most max bytes; path is absolute or relative to where the policy
	 * file's own name is. -ENOENT and others with a sentence. NULL: names are checked only. */
	int (*read)(void *ctx, const char *path, size_t max, struct bh_blob *ret,
		    struct bh_err *err);
	void *ctx;
};

BH_VEC_TYPE(bh_image_policies, struct bh_image_policy *);
void bh_image_policies_done(struct bh_image_policies *l);

/* One object whose apiVersion, kind and name were read. NULL when it is refused, see p. */
struct bh_image_policy *bh_parse_image_policy(struct bh_parse *p, const struct bh_yaml *object,
					      const char *name, const struct bh_image_files *files);

/* All ImagePolicies of a file's text; other kinds are passed over. Returns 0 also with problems;
 * *ret then holds the good ones. -ENOMEM. */
int bh_image_policies_read(const char *file, const char *text, size_t len,
			   const struct bh_image_files *files, struct bh_image_policies *ret,
			   struct bh_problems *problems);

/* true for the apiVersion of another group's kind of the same name (Flux has an ImagePolicy too);
 * what only looks like ours is none, for it is a mistake that would go unnoticed. */
bool bh_image_is_foreign(const char *api_version);

/* ---- which policies an image has to pass ---- */

/* "pay-*": '*' stands for any number of characters; the whole name must match. */
bool bh_glob_match(const char *pattern, const char *text);
/* The same for np and n characters; folds: letters match whatever their case. */
bool bh_glob_part(const char *pattern, size_t np, const char *s, size_t n, bool folds);
/* A pattern of registry/repository: '*' stays inside one part, "**" is any number of parts. A
 * pattern without a registry is completed like a reference ("nginx": docker.io/library/nginx). Host
 * names are compared without regard to case and with or without :443. */
bool bh_image_glob_match(const char *pattern, const struct bh_image_ref *ref);
/* true when the policy is about this image in this namespace (NULL: any namespace). */
bool bh_image_policy_applies(const struct bh_image_policy *p, const char *ns,
			     const struct bh_image_ref *ref);
/* true when the policy names the namespace: images there need a policy. */
bool bh_image_policy_names(const struct bh_image_policy *p, const char *ns);

/* When the last key of the signer that lasts longest ends, over everything that must hold (the
 * earliest of signers and attestations); BH_TIME_MAX: never. */
int64_t bh_image_policy_last_key(const struct bh_image_policy *p);
