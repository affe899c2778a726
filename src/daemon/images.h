/* images.h - may this pod start? Every image of the pod, against every ImagePolicy about it, judged
 * by workers without privilege; one verification for however many pods ask at once.
 *
 * Which images a pod has comes from its manifest. A pod that no manifest describes is let through,
 * except in a namespace that a policy names. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"

struct bh_daemon;
struct bh_images;
struct bh_image_wait;

enum bh_image_outcome {
	BH_IMAGES_ALLOW,
	BH_IMAGES_QUARANTINE, /* the pod starts, cut off */
	BH_IMAGES_RETRY,      /* refused for now: nobody could find out */
	BH_IMAGES_REFUSE,
};

/* text: why, for people; "" with ALLOW. */
typedef void bh_images_fn(enum bh_image_outcome outcome, const char *text, void *arg);

/* Does nothing with images.mode off. */
int bh_images_open(struct bh_daemon *d, struct bh_images **ret, struct bh_err *err);
/* Ends the workers; those who wait are not called. */
void bh_images_close(struct bh_images *im);

/* fn is called once: before this returns (then *ret is NULL), or from the loop. */
int bh_images_ask(struct bh_images *im, const char *ns, const char *name, bh_images_fn *fn,
		  void *arg, struct bh_image_wait **ret, struct bh_err *err);
/* The same about one image that no pod is known for: the policies that name no namespaces judge it.
 */
int bh_images_ask_image(struct bh_images *im, const char *reference, bh_images_fn *fn, void *arg,
			struct bh_image_wait **ret, struct bh_err *err);
/* fn will not be called. w may be NULL. */
void bh_images_forget(struct bh_image_wait *w);

struct bh_images_count {
	uint64_t accepted, rejected, undecided; /* verdicts, cached ones included */
	uint64_t verifications, refused_pods;
	size_t cached;
};
struct bh_images_count bh_images_count(const struct bh_images *im);
/* Why images are not judged as the settings say; NULL: they are. */
const char *bh_images_trouble(const struct bh_images *im);
