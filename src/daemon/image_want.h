/* image_want.h - one question about an image of one pod, its answer, and what the answer means for
 * the pod. Shared by the files that judge images; pure but for the log. */
#pragma once

#include <jansson.h>

#include "daemon/image_cache.h"
#include "daemon/images.h"
#include "policy/image.h"

/* An image, and the policies of one mode about it. */
struct bh_image_want {
	char *question;	 /* all that the answer depends on */
	char *reference; /* as the pod has it */
	json_t *names;	 /* of the policies */
	json_t *answer;	 /* NULL: not yet */
	enum bh_image_mode mode;
	enum bh_image_on_error on_error;
	bool by_digest;
};
void bh_image_want_done(struct bh_image_want *w);

/* The strictest of the policies that share a question; the default is as strict as deny. */
enum bh_image_on_error bh_image_stricter(enum bh_image_on_error a, enum bh_image_on_error b);

struct bh_image_result {
	enum bh_image_outcome outcome;
	bool is_doubt; /* the outcome is an undecided's */
	char text[1024];
};
/* Keeps the first of the worst. */
void bh_image_worsen(struct bh_image_result *o, enum bh_image_outcome outcome, const char *fmt, ...)
	BH_PRINTF(3, 4);
/* What an answered want means. */
void bh_image_want_judge(const struct bh_image_want *w, const struct bh_image_cache *cache,
			 int64_t now_s, struct bh_image_result *o);
/* {"image","mode","verdict","reason","policy","signer","digest","detail","contents"}: the caller's;
 * NULL when memory ran out. */
json_t *bh_image_want_row(const struct bh_image_want *w);
/* "enforce", "quarantine", "audit". */
const char *bh_image_mode_text(enum bh_image_mode mode);
/* A text member, "" when there is none. */
const char *bh_image_text(const json_t *answer, const char *key);
