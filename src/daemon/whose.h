/* whose.h - what is known of a pod besides its name: workload, container, image, verdict. For
 * events and baselines; nothing is enforced by it. */
#pragma once

#include "event/ocsf.h"
#include "policy/workload.h"

struct bh_daemon;
struct bh_endpoint;

struct bh_whose {
	struct bh_workload workload;
	/* "" where not known. The container's name and image are known when the pod has no other.
	 */
	char container[64], image[320], digest[160];
	char verdict[24]; /* the pod's worst: accept, reject, undecided */
};

void bh_whose(const struct bh_daemon *d, const char *ns, const char *pod, struct bh_whose *ret);
/* The same for events; texts are borrowed from ep and whose. */
struct bh_ocsf_pod bh_whose_pod(const struct bh_daemon *d, const struct bh_endpoint *ep,
				struct bh_whose *whose);
/* "NS/KIND/NAME" of the pod's workload. */
#define BH_WHOSE_NAME 600
const char *bh_whose_name(const struct bh_daemon *d, const char *ns, const char *pod,
			  char out[BH_WHOSE_NAME]);
