/* image_thing.h - one image that runs, and the way from what the runtime says of it to a verdict:
 * is it what was judged when the pod was added, else is it what the pod's reference leads to, else
 * what is it? Shared by image_watch.c and image_thing.c. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"

struct bh_daemon;
struct bh_image_wait;
struct bh_images;

/* What all of them share. */
struct bh_image_things {
	struct bh_daemon *d;
	struct bh_images *im;
	struct bh_map by_key; /* by container, or by pod and image without a runtime */
	struct bh_map by_pod; /* "NS/NAME" > the first of its list; borrowed */
	char *version;	      /* of the policies in force; NULL: not yet */
	uint64_t mismatches, cut_pods;
};

/* One image that runs: of a container, or a volume of one. */
struct bh_image_thing {
	struct bh_image_things *all;
	struct bh_image_thing *next, *prev; /* of the pod's; a list of one has neither */
	char *ns, *pod, *container, *image, *id;
	char *uid; /* of the pod, as the runtime has it; NULL: not known */
	json_t *digests;
	char *version;	 /* of the policies it was judged by; NULL: not yet */
	json_t *verdict; /* a row of bh_image_want_row; NULL: nobody demands anything, or not yet */
	struct bh_image_wait *wait;
	int64_t retry_s; /* 0: not */
	uint64_t round;	 /* of the look that listed it last */
	bool was_good;	 /* accepted, or nothing demanded, since it runs */
	bool has_run;	 /* it ended: judged once, and not again */
	bool is_told;	 /* that it is another one than was judged */
	bool is_guess;	 /* of the manifest; no runtime says that it runs */
};

/* Takes it out of its pod's list. */
void bh_image_thing_free(void *v);
/* Puts it into its pod's list; -ENOMEM. */
int bh_image_thing_list(struct bh_image_thing *t);
/* The first of a list in which the pod's are, and at times others'; NULL: it has none. */
const struct bh_image_thing *bh_image_things_of(const struct bh_image_things *all, const char *ns,
						const char *pod);
/* By the policies in force. The verdict may come later, from the loop. */
void bh_image_thing_judge(struct bh_image_thing *t);
