/* images.h - may this pod start? Every image of the pod, against every ImagePolicy about it, judged
 * by workers without privilege; one verification for however many pods ask at once.
 *
 * Which images a pod has comes from its manifest, where it tells a uid from the one of this pod. A
 * pod that no manifest describes is let through, except in a namespace that a policy names and
 * where a policy is about every image there is. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "event/ocsf.h"

struct bh_daemon;
struct bh_images;
struct bh_image_wait;

enum bh_image_outcome {
	BH_IMAGES_ALLOW,
	BH_IMAGES_QUARANTINE, /* the pod starts, cut off */
	BH_IMAGES_RETRY,      /* refused for now: nobody could find out */
	BH_IMAGES_REFUSE,
};

struct bh_image_said {
	enum bh_image_outcome outcome;
	bool is_doubt;	    /* only because nobody could find out */
	const char *text;   /* why, for people; "" with ALLOW */
	const json_t *rows; /* bh_image_want_row's, one for each image and mode; borrowed */
};
struct bh_images_listener {
	void (*fn)(const struct bh_image_said *said, void *arg);
	void *arg;
};

/* What is asked about. */
struct bh_image_subject {
	const char *ns, *name; /* the pod; NULL: none is known, as at a pull */
	const char *uid;   /* of the pod; NULL: not known, and any manifest of its name counts */
	const char *image; /* NULL: all that the pod's manifest names */
	bool is_running;   /* the pod started already; it is not told again unless it is news */
};

/* Which policy's verdict it is that has the pod cut off, and the finding that tells of it. */
struct bh_images_blame {
	struct bh_ocsf_rule rule;
	char *finding; /* uid; NULL: not known */
	char name[300], file[4096];
};
void bh_images_blame(const struct bh_images *im, const struct bh_image_said *said, const char *ns,
		     const char *pod, struct bh_images_blame *ret);
void bh_images_blame_done(struct bh_images_blame *b);

/* Does nothing with images.mode off. */
int bh_images_open(struct bh_daemon *d, struct bh_images **ret, struct bh_err *err);
/* Ends the workers; those who wait are not called. */
void bh_images_close(struct bh_images *im);

/* l->fn is called once: before this returns (then *ret is NULL), or from the loop. Without a pod,
 * the policies that name no namespaces judge. im may be NULL: all is allowed. */
int bh_images_ask(struct bh_images *im, const struct bh_image_subject *s,
		  const struct bh_images_listener *l, struct bh_image_wait **ret,
		  struct bh_err *err);
/* fn will not be called. w may be NULL. */
void bh_images_forget(struct bh_image_wait *w);

/* Something in the sources changed. im may be NULL, here and below. */
void bh_images_changed(struct bh_images *im);
/* A program was started in a pod, which may be a new container's: one look at what runs, soon. */
void bh_images_nudge(struct bh_images *im);
/* A pod is added: its containers are looked for until they had the time to start. */
void bh_images_expect(struct bh_images *im);
/* What the container runtime told of a container by its id, borrowed until the loop runs again. */
struct bh_images_container {
	const char *ns, *pod;
	const char *name, *image, *digest, *verdict; /* the last two: "" when not known */
};
bool bh_images_container(const struct bh_images *im, const char *id,
			 struct bh_images_container *ret);
/* What is known of a pod's images: array of {"image","container","digest","verdict","reason",
 * "policy","signer","mode","runs"}; *ret_worst its worst verdict, NULL without any. The caller owns
 * the result. */
json_t *bh_images_of_pod(const struct bh_images *im, const char *ns, const char *name,
			 const char **ret_worst);
/* The same in short, and cheap: for every event. */
struct bh_images_about {
	const char *verdict; /* the pod's worst; NULL: none is known */
	const char *digest;  /* of its image of that reference; NULL: not known */
};
void bh_images_about(const struct bh_images *im, const char *ns, const char *name,
		     const char *image, struct bh_images_about *ret);
/* Rows of the verb policy.exceptions; the caller's. */
json_t *bh_images_exceptions(const struct bh_images *im);
/* {"mode","runtime"}; NULL with images.mode off. The caller's. */
json_t *bh_images_status(const struct bh_images *im);

/* ---- for image_watch.c ---- */

/* Another text whenever policies or the keys they name are other ones; looks at the directory. */
const char *bh_images_version(struct bh_images *im);
/* What was said when the pod was added, {"version","rows"}; NULL: nothing. Borrowed. */
const json_t *bh_images_record(const struct bh_images *im, const char *ns, const char *name);
/* The images of the pod's manifest, borrowed; NULL without one. */
char *const *bh_images_pod_images(const struct bh_images *im, const char *ns, const char *name,
				  size_t *ret_n);

struct bh_images_count {
	uint64_t accepted, rejected, undecided; /* verdicts, cached ones included */
	uint64_t verifications, refused_pods;
	uint64_t mismatches;	   /* containers that ran another digest than the one judged */
	uint64_t cut_pods;	   /* quarantined for what they run */
	size_t cached, containers; /* containers: known from the runtime */
};
struct bh_images_count bh_images_count(const struct bh_images *im);
/* Why images are not judged as the settings say; NULL: they are. */
const char *bh_images_trouble(const struct bh_images *im);
