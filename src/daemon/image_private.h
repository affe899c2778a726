/* image_private.h - what images.c and image_known.c share. */
#pragma once

#include "base/map.h"
#include "base/vec.h"
#include "daemon/image_want.h"

/* One pod that waits. */
struct bh_image_wait {
	struct bh_images *im;
	struct bh_image_wait *next;
	char *who; /* whom the verdict is for: a pod, or a pull */
	BH_VEC(struct bh_image_want) wants;
	struct bh_images_listener listener;
	char *ns, *name; /* of the pod; NULL: none */
	const char *uid; /* while the pod's images are collected; borrowed */
	bool is_whole;	 /* all images of a pod that starts */
	bool is_running;
};

struct bh_images {
	struct bh_daemon *d;
	struct bh_image_files_set *files;
	struct bh_image_cache *cache;
	struct bh_image_access *access;
	struct bh_image_batches *batches;
	struct bh_image_wait *waits;
	struct bh_image_watch *watch;
	struct bh_image_glass *glass;
	struct bh_map records; /* of pods that were added, by NS/NAME */
	struct bh_map told;    /* what was told of running ones: {question: verdict} */
	struct bh_images_count count;
	char version[128]; /* of policies and exceptions */
};

/* Reads the sources if they changed. */
int bh_images_refresh(struct bh_images *im, struct bh_err *err);
/* The version of policies and exceptions as of the last look. */
const char *bh_images_stamp(struct bh_images *im);
/* Counts an answered want; event and log, unless it is no news about a pod that runs. */
void bh_images_tell(struct bh_images *im, const struct bh_image_wait *w,
		    const struct bh_image_want *x);
/* Keeps the rows (borrowed) of a pod that is added, until it is long gone. */
void bh_images_keep(struct bh_images *im, const struct bh_image_wait *w, json_t *rows);
