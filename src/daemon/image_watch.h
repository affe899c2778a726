/* image_watch.h - what really runs: every container that the runtime tells of is compared with what
 * was judged when its pod was added. Another digest is judged by itself, and what is refused is
 * quarantined. When policies change, everything that runs is judged again.
 *
 * Without a runtime to ask, the images that were judged when the pods were added are judged again.
 * What was accepted stays when a later question cannot be answered; it is asked again. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

struct bh_daemon;
struct bh_images;
struct bh_images_container;
struct bh_images_count;
struct bh_image_watch;

/* Both are borrowed. */
int bh_image_watch_open(struct bh_daemon *d, struct bh_images *im, struct bh_image_watch **ret,
			struct bh_err *err);
void bh_image_watch_close(struct bh_image_watch *w);

/* The sources changed: policies may be other ones. */
void bh_image_watch_changed(struct bh_image_watch *w);
/* Something was started somewhere: look once, soon. */
void bh_image_watch_nudge(struct bh_image_watch *w);
/* A pod is being made: look again and again for a while. */
void bh_image_watch_expect(struct bh_image_watch *w);

/* bh_images_container. */
bool bh_image_watch_container(const struct bh_image_watch *w, const char *id,
			      struct bh_images_container *ret);
/* Calls fn for each image that the pod runs, with its row of bh_image_want_row (NULL: none yet);
 * false: the runtime says nothing of the pod. */
bool bh_image_watch_each(const struct bh_image_watch *w, const char *ns, const char *name,
			 void (*fn)(const char *image, const json_t *verdict, void *arg),
			 void *arg);
/* Rows of bh_images_of_pod for what the runtime says; empty when it says nothing. The caller's. */
json_t *bh_image_watch_pod(const struct bh_image_watch *w, const char *ns, const char *name);
/* The runtime's part of bh_images_status; the caller's. */
json_t *bh_image_watch_status(const struct bh_image_watch *w);
/* Fills in what the watch counts. */
void bh_image_watch_count(const struct bh_image_watch *w, struct bh_images_count *c);
/* Why what runs is not compared; NULL: it is. */
const char *bh_image_watch_trouble(const struct bh_image_watch *w);
