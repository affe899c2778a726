/* ocsf_image.h - verdicts about images as events: 5002 for each, with every check that was made,
 * and 2003 (compliance finding) for what a pod has and must not have. See ocsf.h. */
#pragma once

#include "event/ocsf.h"

struct bh_ocsf_image {
	int64_t time_ms;
	struct bh_ocsf_pod pod;	  /* name NULL: a pull, of no known pod */
	const char *reference;	  /* as the pod has it */
	const char *mode;	  /* of the policies */
	const json_t *answer;	  /* of the worker (src/worker/job.h); borrowed */
	struct bh_ocsf_rule rule; /* the ImagePolicy that judged */
};
/* Class 5002. unmapped.bulkhead has "image","digest","verdict","reason","policy","signer","mode"
 * and "checks". */
json_t *bh_ocsf_image_verdict(struct bh_ocsf *o, const struct bh_ocsf_image *i);
/* What events about the same verdict have in common; the caller's. */
char *bh_ocsf_image_uid(const char *ns, const char *pod, const char *reference, const char *digest);
/* Class 2003, for a verdict that is no accept. */
json_t *bh_ocsf_image_finding(struct bh_ocsf *o, const struct bh_ocsf_image *i);
