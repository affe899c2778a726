/* image_access.h - what a worker needs to get at registries and cannot read itself: the node's
 * passwords, and where the container runtime fetches images from. Read anew for each question, so
 * that what an operator or a credential rotator writes counts at once. */
#pragma once

#include <jansson.h>

#include "base/err.h"

struct bh_image_access;
struct bh_settings;

/* cfg is borrowed. */
int bh_image_access_open(const struct bh_settings *cfg, struct bh_image_access **ret,
			 struct bh_err *err);
void bh_image_access_close(struct bh_image_access *a);
/* Sets "credentials" and "mirrors" of a question (src/worker/job.h) for the images in it. The
 * question is not to be kept: whoever sends it takes the secrets out again with _forget. */
int bh_image_access_add(struct bh_image_access *a, json_t *job, struct bh_err *err);
void bh_image_access_forget(json_t *job);
