/* image_files.h - the ImagePolicies and the pods' images of the manifests' directory, looked at
 * when somebody asks.
 *
 * A file that was written wrongly keeps its last good policies, also over a restart; one that never
 * was right leaves a hole that image_files_trouble tells of, and then no image counts as judged. */
#pragma once

#include <jansson.h>

#include "policy/image.h"

struct bh_image_files_set;

/* dir may be NULL: nothing at all. All are borrowed. What an earlier daemon left in store is in
 * force until the first look at the directory. */
struct bh_store;
struct bh_image_glass; /* gets the exceptions that are found on the way */
int bh_image_files_open(const char *dir, struct bh_store *store, struct bh_image_glass *glass,
			struct bh_image_files_set **ret, struct bh_err *err);
void bh_image_files_close(struct bh_image_files_set *s);
/* Looks at the directory; reads what is new there, and what keys and roots policies name once in a
 * few seconds. now_ms: of a clock that only goes forward. */
int bh_image_files_refresh(struct bh_image_files_set *s, uint64_t now_ms, struct bh_err *err);

/* All borrowed until the next refresh. */
struct bh_image_policy *const *bh_image_files_policies(const struct bh_image_files_set *s,
						       size_t *ret_n);
/* Whose images are asked for. */
struct bh_image_who {
	const char *ns, *name;
	const char *uid; /* NULL or "": not known, and any will do */
};
/* The pod's images, of several manifests those of all; NULL when none describes the pod, as one of
 * an earlier pod of that name does not. */
char *const *bh_image_files_pod(struct bh_image_files_set *s, const struct bh_image_who *who,
				size_t *ret_n);
/* For the worker: all policies with their files (policy/image_bundle.h). */
json_t *bh_image_files_bundle(const struct bh_image_files_set *s);
/* Another text whenever anything in the bundle is other. */
const char *bh_image_files_version(const struct bh_image_files_set *s);
/* Why some file's policies are not in force at all; NULL: they are. */
const char *bh_image_files_trouble(const struct bh_image_files_set *s);
