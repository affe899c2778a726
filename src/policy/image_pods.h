/* image_pods.h - which images the pods of manifests run: of init containers, containers, ephemeral
 * containers and image volumes. Exempting any of them would be a way around the check. */
#pragma once

#include <stddef.h>

#include "base/vec.h"

struct bh_image_pod {
	const char *ns, *name; /* borrowed from the text's tree, like everything here */
	const char *uid;       /* NULL: the manifest tells none */
	const char *hash;      /* kubernetes.io/config.hash: a static pod's own uid; NULL: none */
	const char *const *images; /* each once, in the order of the manifest */
	size_t n_images;
};

/* Calls fn for each Pod of a file's text. What does not parse is passed over: the set of objects
 * reports it. A container without an image is told as the image "". 0, -ENOMEM, or what fn returned
 * when that was not 0. */
int bh_image_pods_read(const char *text, size_t len,
		       int (*fn)(const struct bh_image_pod *pod, void *arg), void *arg);
