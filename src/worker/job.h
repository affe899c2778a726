/* job.h - what the worker is asked and what it answers.
 *
 * Question (one frame):
 *	{"images":[{"reference":TEXT,"namespace":TEXT|null,"policies":[NAME or FILE:LINE...]|null}...],
 *	 "policies":BUNDLE (policy/image_bundle.h), "now":UNIX SECONDS, "deadlineMs":N,
 *	 "layout":DIR|null, "credentials":[TEXT of a docker configuration...],
 *	 "mirrors":[entries of policy/mirrors.h]}
 * Answer: one frame for each image, in their order:
 *	{"reference","digest","verdict":"accept"|"reject"|"undecided","policy","signer","reason",
 *	 "until":UNIX SECONDS|null,"checks":[{"name","ok","detail"}...],
 *	 "contents":{"platforms","configs"}|null (verify/contents.h)}
 *
 * An image has to pass every policy whose match hits, or every one of `policies` when that is
 * given. */
#pragma once

#include <jansson.h>

#include "base/err.h"

#define BH_JOB_DEADLINE_MS 8000
#define BH_JOB_MAX_IMAGES  256

/* Judges. emit gets each answer (taken); nonzero ends it and is returned. -EINVAL for a question
 * that is not like that, then nothing was emitted. */
int bh_job_run(const json_t *job, int (*emit)(json_t *take_answer, void *arg), void *arg,
	       struct bh_err *err);
